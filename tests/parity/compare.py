"""Runs the sample inputs of an entry of PyTorch's operator database through PyTorch and chainrule.

`op_db` lists several hundred operations (OpInfo), each with sample inputs that PyTorch's own tests
use. What answers an entry, and how its arguments translate, is said in `adapter`; here both are
run in float64 and compared:

- values, with shapes and dtypes;
- the vector-Jacobian products with random signed upstream gradients, for every input that has
  a gradient, computed by kernels and once more by recorded operations;
- where PyTorch has second derivatives, those of <VJP, random weights> with respect to the inputs
  and to the upstream gradients.

PyTorch is imported when the first entry is asked for, not before.
"""

from __future__ import annotations

import contextlib
import functools
import random
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.engine import errors
from chainrule.engine.checking.operations import upstream_for

#: The most samples of one entry, spread evenly over its list. None of those answered has more in
#: PyTorch 2.13 (linalg.vector_norm has 180).
MOST_SAMPLES = 200
#: The most elements in the arguments of a sample.
MOST_ELEMENTS = 10_000
#: Errors relative to the largest entry. Sums of up to 1,000 products lose up to about 1,000 eps, or
#: 2e-13; the samples are mostly smaller.
FIRST, SECOND = 1e-11, 1e-10

OUR_ERRORS = tuple(
    each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, Exception) and each.__module__ == errors.__name__
)

#: What was compared in this process, for the summary of the tests.
OUTCOMES: dict[str, Outcome] = {}


class Explained(Exception):  # noqa: N818 - it is no error
    """A sample is not compared, for the reason given: chainrule means something else by it."""


def refused(reason: str, call: Callable[[], Any]) -> Any:
    """A sample that chainrule refuses on purpose: the call must raise one of its own errors."""
    try:
        call()
    except OUR_ERRORS as error:
        raise Explained(f"refused ({type(error).__name__}): {reason}") from None
    raise AssertionError(f"this should be refused, but was computed: {reason}")


def may_refuse(condition: bool, reason: str, call: Callable[[], Any]) -> Any:
    """A sample that is compared, unless the condition holds and chainrule refuses it."""
    try:
        return call()
    except OUR_ERRORS as error:
        if not condition:
            raise
        raise Explained(f"refused ({type(error).__name__}): {reason}") from None


@dataclass(frozen=True)
class Answer:
    """What of chainrule answers an entry of the database.

    Attributes: `ours`, the names in chainrule (or `Tensor.name`) that it needs; `call`, a function
    of the first of them and of the sample's arguments, as Tensors; `theirs`, named arguments that
    PyTorch gets in place of the sample's; `results`, how many of PyTorch's results are compared
    (None: all); `constant`, the positions of results that PyTorch gives the gradient 0, and we
    none; `undefined`, that our second derivative may be any number where PyTorch's is not a
    number; `first` and `second`, tolerances; `reason`, why any of these is not as usual.
    """

    ours: tuple[str, ...]
    call: Callable[..., Any]
    theirs: Mapping[str, Any] = field(default_factory=dict)
    results: int | None = None
    constant: tuple[int, ...] = ()
    undefined: bool = False
    first: float = FIRST
    second: float = SECOND
    reason: str = ""

    def missing(self) -> list[str]:
        """The names that chainrule does not have."""
        return [name for name in self.ours if not there(name)]


def there(name: str) -> bool:
    """Does chainrule have something of that name?"""
    owner = cr
    for part in name.split("."):
        if not hasattr(owner, part):
            return False
        owner = getattr(owner, part)
    return True


@dataclass
class Outcome:
    """What became of the samples of one entry."""

    name: str
    ours: tuple[str, ...]
    samples: int = 0
    beyond_cap: int = 0
    compared: int = 0
    first: int = 0
    second: int = 0
    explained: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


@functools.cache
def database() -> dict[str, Any]:
    """The entries of PyTorch's operator database by name, or name/variant.

    Raises ImportError without torch or expecttest.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import expecttest  # noqa: F401 - torch.testing asks for it
        from torch.testing._internal.common_methods_invocations import op_db
    return {
        f"{each.name}/{each.variant_test_name}" if each.variant_test_name else each.name: each
        for each in op_db
    }


@contextlib.contextmanager
def same_draws(seed: int) -> Iterator[None]:
    """Seeds all that the database draws from, and puts it back as it was."""
    import torch

    ours, numpys = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # torch.manual_seed does this, and formats the stack for CUDA's sake.
        torch.default_generator.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(ours)
            np.random.set_state(numpys)


def samples_of(entry: Any) -> list[tuple[Any, ...]]:
    """The sample inputs of an entry, as (arguments, named arguments), of float64 or integers."""
    import torch

    dtype = torch.float64 if torch.float64 in entry.dtypes else torch.int64
    with same_draws(0):
        # What entry.sample_inputs() wraps; the wrapper looks through the stack, at length, for a
        # test of PyTorch's own.
        tracked = entry.supports_autograd and dtype == torch.float64
        found = entry.sample_inputs_func(entry, "cpu", dtype, requires_grad=tracked)
        return [((each.input, *each.args), dict(each.kwargs)) for each in found]


class Translation:
    """Arguments of one sample, in PyTorch's terms and in ours; a tensor twice is a Tensor twice."""

    def __init__(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        self.pairs: dict[int, tuple[Any, Any]] = {}
        #: The sample's own tensors are kept, so that no other takes the id of one.
        self.kept: list[Any] = []
        self.elements = 0
        both = [self.pair(each) for each in arguments]
        both_named = {name: self.pair(each) for name, each in named.items()}
        self.theirs = [each for each, _ in both], {n: each for n, (each, _) in both_named.items()}
        self.ours = [each for _, each in both], {n: each for n, (_, each) in both_named.items()}
        self.variables = [pair for pair in self.pairs.values() if pair[0].requires_grad]

    def pair(self, value: Any) -> tuple[Any, Any]:
        """An argument for PyTorch, and for us."""
        import torch

        if isinstance(value, torch.Tensor):
            if id(value) not in self.pairs:
                copy = value.detach().clone().requires_grad_(value.requires_grad)
                self.elements += copy.numel()
                ours = cr.tensor(copy.detach().numpy(), requires_grad=value.requires_grad)
                self.pairs[id(value)] = (copy, ours)
                self.kept.append(value)
            return self.pairs[id(value)]
        if isinstance(value, (list, tuple)):
            both = [self.pair(each) for each in value]
            theirs, ours = [each for each, _ in both], [each for _, each in both]
            if isinstance(value, list):
                return theirs, ours
            return tuple(theirs), tuple(ours)
        if isinstance(value, torch.dtype):
            return value, str(value).removeprefix("torch.")
        return value, value


def as_list(result: Any) -> list[Any]:
    """One result or several, as a list."""
    return list(result) if isinstance(result, (list, tuple)) else [result]


def error_of(
    ours: Any, theirs: Any, tolerance: float, what: str, *, undefined: bool = False
) -> str:
    """What is wrong with a Tensor, if something is; `undefined`: but where PyTorch has NaN."""
    found, expected = np.asarray(ours.numpy()), theirs.numpy(force=True)
    if found.shape != expected.shape:
        return f"{what}: shape {found.shape}, PyTorch {expected.shape}"
    if found.dtype != expected.dtype:
        return f"{what}: dtype {found.dtype}, PyTorch {expected.dtype}"
    if not expected.size:
        return ""
    if expected.dtype.kind != "f":
        return "" if np.array_equal(found, expected) else f"{what}: {found}, PyTorch {expected}"
    if undefined and np.isfinite(found).all():
        found = np.where(np.isnan(expected), expected, found)
    finite = np.isfinite(expected)
    if not np.array_equal(found[~finite], expected[~finite], equal_nan=True):
        return f"{what}: {found}, PyTorch {expected}"
    if not finite.any():
        return ""
    # Far below 1, rounding of what cancelled is all there is.
    scale = max(float(np.max(np.abs(expected[finite]))), 1e-3)
    error = float(np.max(np.abs(found[finite] - expected[finite]))) / scale
    if error <= tolerance:
        return ""
    worst = int(np.argmax(np.where(finite, np.abs(found - expected), -1.0)))
    place = tuple(map(int, np.unravel_index(worst, found.shape)))
    return (
        f"{what}: error {error:.1e} of the largest entry; at {place} {found.flat[worst]}, "
        f"PyTorch {expected.flat[worst]}"
    )


def without_reason(warned: Sequence[Any], results: Sequence[Any]) -> str:
    """The first of our warnings, if all that PyTorch computes is finite."""
    if warned and all(np.isfinite(each.numpy(force=True)).all() for each in results):
        return f"warns, though the results are finite: {warned[0].message}"
    return ""


def told(arguments: Any) -> str:
    """Arguments as a message shows them."""
    if isinstance(arguments, cr.Tensor):
        return f"{arguments.dtype}{arguments.shape}"
    if isinstance(arguments, (list, tuple)):
        return "[" + ", ".join(map(told, arguments)) + "]"
    if isinstance(arguments, dict):
        return ", ".join(f"{name}={told(each)}" for name, each in arguments.items())
    return repr(arguments)


def pull_back(
    theirs: Sequence[Any], ours: Sequence[Any], variables: Sequence[Any], seed: int, second: bool
) -> tuple[list[tuple[Any, Any, str]], list[tuple[Any, Any, str]]]:
    """Gradients of first and second order: (ours, PyTorch's, what it is)."""
    import torch

    raw = [upstream_for(tuple(each.shape), seed + i) for i, each in enumerate(theirs)]
    their_up = [torch.tensor(each, requires_grad=second) for each in raw]
    our_up = [cr.tensor(each, requires_grad=second) for each in raw]
    their_x, our_x = [each for each, _ in variables], [each for _, each in variables]

    def torch_grad(outputs: Any, inputs: Any, upstream: Any, graph: bool) -> list[Any]:
        found = torch.autograd.grad(
            outputs, inputs, upstream, create_graph=graph, retain_graph=True, allow_unused=True
        )
        zeros = [torch.zeros_like(each) for each in inputs]
        return [z if each is None else each for each, z in zip(found, zeros, strict=True)]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        their_first = torch_grad(theirs, their_x, their_up, second)
    plain = cr.grad(
        list(ours), our_x, [each.detach() for each in our_up], retain_graph=True, allow_unused=True
    )
    names = [f"of argument {i}" for i in range(len(our_x))]
    first = [
        (mine, other, f"gradient {name}")
        for mine, other, name in zip(plain, their_first, names, strict=True)
    ]
    if not second:
        return first, []
    our_first = cr.grad(list(ours), our_x, our_up, create_graph=True, allow_unused=True)
    first += [
        (mine, other, f"gradient {name}, recorded")
        for mine, other, name in zip(our_first, their_first, names, strict=True)
    ]
    weights = [upstream_for(tuple(each.shape), seed + 100 + i) for i, each in enumerate(our_first)]
    their_all, our_all = [*their_x, *their_up], [*our_x, *our_up]

    used = [i for i, each in enumerate(their_first) if each.requires_grad]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        their_second = (
            torch_grad(
                [their_first[i] for i in used],
                their_all,
                [torch.tensor(weights[i]) for i in used],
                False,
            )
            if used
            else [torch.zeros_like(each) for each in their_all]
        )
    used = [i for i, each in enumerate(our_first) if each.requires_grad]
    our_second = (
        cr.grad(
            [our_first[i] for i in used],
            our_all,
            [weights[i] for i in used],
            allow_unused=True,
        )
        if used
        else [cr.zeros_like(each) for each in our_all]
    )
    names += [f"of upstream gradient {i}" for i in range(len(our_up))]
    return first, [
        (mine, other, f"second derivative {name}")
        for mine, other, name in zip(our_second, their_second, names, strict=True)
    ]


def compare_sample(
    entry: Any, answer: Answer, sample: tuple[Any, ...], seed: int, outcome: Outcome
) -> None:
    """Runs one sample, and enters what was compared, or why not, or what is wrong."""
    translation = Translation(*sample)
    arguments, named = translation.ours
    where = f"{entry.name}({told(arguments)}{', ' if named else ''}{told(named)})"
    if translation.elements > MOST_ELEMENTS:
        outcome.explained[f"more than {MOST_ELEMENTS:,} elements"] += 1
        return
    function = cr
    for part in answer.ours[0].split("."):
        function = getattr(function, part)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            ours = as_list(answer.call(function, *arguments, **named))
    except Explained as reason:
        outcome.explained[str(reason)] += 1
        return
    except Exception as error:
        outcome.failures.append(f"{where}: {type(error).__name__}: {error}")
        return
    their_arguments, their_named = translation.theirs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = as_list(entry.op(*their_arguments, **{**their_named, **answer.theirs}))
    theirs = theirs[: answer.results]
    wrong = [without_reason(warned, theirs)]
    wrong += [
        error_of(mine, other, answer.first, f"result {i}")
        for i, (mine, other) in enumerate(zip(ours, theirs, strict=False))
    ]
    if len(ours) != len(theirs):
        wrong.append(f"{len(ours)} results, PyTorch {len(theirs)}")
    wanted = [
        i
        for i, each in enumerate(theirs)
        if each.requires_grad and i not in answer.constant and not any(wrong)
    ]
    lost = [f"result {i} has no gradient" for i in wanted if not ours[i].requires_grad]
    first: list[Any] = []
    second: list[Any] = []
    if wanted and translation.variables and not lost:
        try:
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                first, second = pull_back(
                    [theirs[i] for i in wanted],
                    [ours[i] for i in wanted],
                    translation.variables,
                    seed,
                    entry.supports_gradgrad,
                )
            wrong.append(without_reason(warned, [each[1] for each in [*first, *second]]))
        except Exception as error:
            lost.append(f"gradient: {type(error).__name__}: {error}")
    wrong += [error_of(*each[:2], answer.first, each[2]) for each in first]
    wrong += [
        error_of(*each[:2], answer.second, each[2], undefined=answer.undefined) for each in second
    ]
    wrong = [each for each in [*wrong, *lost] if each]
    outcome.failures += [f"{where}: {each}" for each in wrong[:3]]
    outcome.compared += 1
    outcome.first += bool(first)
    outcome.second += bool(second)


def compare(name: str, answer: Answer) -> Outcome:
    """Compares all samples of an entry, up to the caps."""
    outcome = Outcome(name, answer.ours, missing=answer.missing())
    if answer.reason:
        usual = (answer.first, answer.second) == (FIRST, SECOND)
        told_bounds = "" if usual else f"tolerances {answer.first:.0e}, {answer.second:.0e}: "
        outcome.notes.append(told_bounds + answer.reason)
    if name not in database():
        outcome.notes.append("this PyTorch has no such entry")
        return outcome
    entry = database()[name]
    samples = samples_of(entry)
    outcome.samples = len(samples)
    if outcome.missing:
        return outcome
    chosen = range(len(samples))
    if len(samples) > MOST_SAMPLES:
        spread = np.linspace(0, len(samples) - 1, MOST_SAMPLES).round().astype(int)
        chosen = sorted(set(spread.tolist()))  # type: ignore[assignment]
        outcome.beyond_cap = len(samples) - len(chosen)
    if entry.supports_autograd and not entry.supports_gradgrad:
        outcome.notes.append("second order: PyTorch has none")
    for i in chosen:
        compare_sample(entry, answer, samples[i], zlib.crc32(name.encode()) + i, outcome)
    return outcome


def total_line(outcomes: Sequence[Outcome]) -> str:
    """The whole run in one line."""
    there = [each for each in outcomes if not each.missing and each.samples]
    ours = {name for each in there for name in each.ours}
    return (
        f"{len(there)} entries of PyTorch's operator database answered by {len(ours)} names of "
        f"chainrule: {sum(each.compared for each in there)} samples compared, gradients of "
        f"{sum(each.first for each in there)}, second order of "
        f"{sum(each.second for each in there)}; "
        f"{sum(sum(each.explained.values()) for each in there)} not compared, with a reason; "
        f"{sum(each.beyond_cap for each in there)} beyond the cap of {MOST_SAMPLES} an entry; "
        f"{sum(bool(each.failures) for each in there)} entries disagree"
    )


def report(outcomes: Sequence[Outcome]) -> list[str]:
    """The table: a line for each entry, and under it the reasons, and the whole at the end."""
    width = max([len(each.name) for each in outcomes], default=0)
    lines = [f"{'entry':{width}}  samples compared  first second  answered by"]
    for each in outcomes:
        if each.missing:
            lines.append(f"{each.name:{width}}  not there: {', '.join(each.missing)}")
            continue
        lines.append(
            f"{each.name:{width}}  {each.samples:7} {each.compared:8} {each.first:6} "
            f"{each.second:6}  {', '.join(each.ours)}"
        )
        if each.beyond_cap:
            lines.append(f"    {each.beyond_cap} beyond the cap of {MOST_SAMPLES} samples")
        lines += [f"    {count} not compared: {why}" for why, count in each.explained.items()]
        lines += [f"    {note}" for note in each.notes]
        lines += [f"    DISAGREES {failure}" for failure in each.failures]
    return [*lines, "", total_line(outcomes)]
