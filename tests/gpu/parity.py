"""How kernels of a GPU are held to their references: arguments are drawn, and the results compared.

A family's test says for each kernel how to draw its arguments and how far results may be apart:

    CASES = {"softmax": Case(draw_softmax, softmax_allows), ...}

    @every(CASES)
    def test_equals_reference(device, kernel_set, dtype, name):
        check(device, kernel_set, dtype, name, CASES[name])

`device` and `kernel_set` are fixtures of conftest.py. Every example runs in a drawn schedule of
threads, with arrays that are aligned to packs of 16 bytes or are not; and a kernel that left its
work to the reference fails. The reference is NumPy's, in the
same dtype; both sides' roundings are part of the bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from chainrule.engine.devices import REFERENCE, Device, get_device
from chainrule.gpu import emulator, launcher

Array = np.ndarray[Any, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
SCHEDULES = ("forward", "reverse", "shuffle:1", "shuffle:2")
#: Examples of a test; each thread of Numba's kernels is a Python function, which takes its time.
EXAMPLES = {"raw": 40, "numba": 6}

#: Failing arguments are not made simpler, which would take minutes.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)

#: Lengths of rows: all short ones, and those around the sizes of warps, packs and blocks.
LENGTHS = {
    "raw": st.one_of(
        st.integers(1, 70), st.sampled_from([31, 32, 33, 64, 128, 255, 256, 257, 1024, 1025])
    ),
    "numba": st.one_of(st.integers(1, 9), st.sampled_from([31, 32, 33, 64, 129])),
}


@dataclass(frozen=True)
class Case:
    """How a kernel is tested.

    `draw(draw, dtype, lengths)` gives its arguments, with rows of `lengths`. `allowed`, given the
    arguments and an array of the reference's result, says how far the kernel's may be from that;
    `position` is where the array was in the arguments, if it is one that a kernel changes, or None.
    `changed` are the positions of those. `settings` are context managers that are drawn from: in
    each the kernel is to give the same.
    """

    draw: Callable[[Draw, np.dtype[Any], st.SearchStrategy[int]], list[Any]]
    allowed: Callable[[list[Any], int | None, Array], Any]
    changed: tuple[int, ...] = ()
    settings: tuple[Callable[[], Any], ...] = field(default=(ExitStack,))


def every(cases: dict[str, Case]) -> Any:
    """Parametrises a test by `name`, the kernels, and `dtype`."""

    def decorated(test: Any) -> Any:
        test = pytest.mark.parametrize("dtype", DTYPES, ids=str)(test)
        return pytest.mark.parametrize("name", list(cases))(test)

    return decorated


def check(
    device: Device,
    kernel_set: str,
    dtype: np.dtype[Any],
    name: str,
    case: Case,
    examples: int | None = None,
) -> None:
    """Compares a kernel with its reference on drawn arguments."""

    @settings(max_examples=examples or EXAMPLES[kernel_set], deadline=None, phases=PHASES)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        arguments = case.draw(data.draw, dtype, LENGTHS[kernel_set])
        schedule = data.draw(st.sampled_from(SCHEDULES))
        shifted = data.draw(st.sampled_from([(), (), (0,), (1,), range(len(arguments))]))
        with ExitStack() as stack:
            stack.enter_context(data.draw(st.sampled_from(case.settings))())
            stack.enter_context(emulator.schedule(schedule))
            if shifted and kernel_set == "raw":
                stack.enter_context(emulator.checked())  # which sees what is not aligned
            compare(device, kernel_set, name, case, arguments, shifted)

    run()


def placed(device: Device, array: Array, shifted: bool) -> Any:
    """A copy of an array on a device, `shifted` by one number from where memory was allocated."""
    if not shifted:
        return device.from_host(array)
    longer = np.concatenate([np.zeros(1, array.dtype), array.ravel()])
    return device.from_host(longer)[1:].reshape(array.shape)


def compare(
    device: Device,
    kernel_set: str,
    name: str,
    case: Case,
    arguments: list[Any],
    shifted: Collection[int] = (),
) -> list[str]:
    """Compares a kernel with its reference on arguments, NumPy's; gives what was launched.

    Of the arrays at the positions `shifted` none begins at a multiple of 16 bytes.
    """
    expected = [np.array(each) if isinstance(each, np.ndarray) else each for each in arguments]
    actual = [
        placed(device, each, i in shifted) if isinstance(each, np.ndarray) else each
        for i, each in enumerate(arguments)
    ]
    with np.errstate(all="ignore"):
        by_reference = REFERENCE[name](get_device("cpu").sets["reference"], *expected)
        with launches() as launched:
            by_kernel = getattr(device.sets[kernel_set], name)(*actual)
    assert launched, f"{name} left its work to the reference"
    right = _results(case, expected, by_reference, np.asarray)
    found = _results(case, actual, by_kernel, device.to_host)
    assert len(right) == len(found)
    for (position, truth), (_, result) in zip(right, found, strict=True):
        near(result, truth, case.allowed(arguments, position, truth))
    for i, before in enumerate(arguments):
        if isinstance(before, np.ndarray) and i not in case.changed:
            after = device.to_host(actual[i])
            np.testing.assert_array_equal(after, before, err_msg=f"argument {i} was changed")
    return launched


def near(result: Array, truth: Array, allowed: Any) -> None:
    """Asserts that a result has the dtype and shape of the truth, and is `allowed` from it.

    What is infinite or NaN must be so in both.
    """
    assert result.dtype == truth.dtype
    assert result.shape == truth.shape
    finite = np.isfinite(truth)
    np.testing.assert_array_equal(result[~finite], truth[~finite])
    assert np.isfinite(result[finite]).all(), "not finite where the reference is"
    distance = np.abs(np.subtract(result[finite], truth[finite], dtype=np.float64))
    excess = distance - np.broadcast_to(allowed, finite.shape)[finite]
    assert not (excess > 0).any(), f"off by {excess.max()} too much, {distance.max()} in all"


def same_every_time(name: str, case: Case, arguments: list[Any]) -> None:
    """Asserts that a kernel in CUDA C gives the same bits, whichever of its threads is first."""
    emulated = get_device("emulated")
    found = set()
    for schedule in SCHEDULES:
        given = [each.copy() if isinstance(each, np.ndarray) else each for each in arguments]
        with emulator.schedule(schedule):
            returned = getattr(emulated.sets["raw"], name)(*given)
        found.add(b"".join(each.tobytes() for _, each in _results(case, given, returned, np.array)))
    assert len(found) == 1


def _results(case: Case, arguments: list[Any], returned: Any, host: Any) -> list[Any]:
    """What to compare: the changed arguments, with their positions, and what was returned."""
    changed = [(i, host(arguments[i])) for i in case.changed if arguments[i] is not None]
    if returned is None:
        return changed
    several = returned if isinstance(returned, (tuple, list)) else (returned,)
    return [*changed, *((None, host(each)) for each in several)]


@contextmanager
def launches() -> Iterator[list[str]]:
    """A list, to which the name of every entry is added that is launched in the `with` block."""
    names: list[str] = []
    launch = launcher.launch

    def noted(k: Any, entry: Any, *arguments: Any, **named: Any) -> None:
        names.append(entry.name)
        launch(k, entry, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launcher, "launch", noted)
        yield names


@contextmanager
def attributes(module: Any, **values: Any) -> Iterator[None]:
    """Attributes of a module, such as its thresholds, set for the length of a `with` block."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setattr(module, name, value)
        yield


# Arguments ----------------------------------------------------------------------------------


def numbers(draw: Draw, dtype: np.dtype[Any], *shape: int, special: bool = True) -> Array:
    """Random numbers: with ties, denormal ones, infinities or NaN among them if `special`.

    None is so large or small that a product leaves the range of float32: there one of two right
    answers may be infinite.
    """
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    array = np.asarray(random.standard_normal(shape) * 10.0 ** random.integers(-3, 4, shape))
    if special:
        denormal = float(np.finfo(dtype).smallest_subnormal)
        kinds = [[0.0, -0.0, 1.0], [denormal, -9 * denormal], [np.inf, 1.0], [-np.inf], [np.nan]]
        chosen = random.random(shape) < draw(st.sampled_from([0.0, 0.02, 0.5, 1.0]))
        array[chosen] = random.choice(draw(st.sampled_from(kinds)), int(chosen.sum()))
    return array.astype(dtype)


def row_counts(draw: Draw, length: int) -> int:
    """How many rows of that length: few if they are long."""
    return draw(st.sampled_from([1, 2, 3, 9] if length < 70 else [1, 2, 3]))
