"""The kinds of wrong VJP: what is done to a gradient, or to what it is computed from.

A kind is a function of a `Pull`, one call of a right VJP, that returns a wrong gradient. It works
on arrays and on Tensors alike, as VJPs do. Where a kind does not fit (an array without a second
axis cannot be transposed) the right gradient is returned: such a mutant is equivalent there, and
is found to be so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.engine.errors import GradientError
from chainrule.engine.operations.reductions import spread
from chainrule.engine.record import tensor_functions
from chainrule.engine.tensor import Tensor


@dataclass
class Pull:
    """One call of a VJP: the namespace, the upstream gradient and what it reads, by name.

    `right` computes the right gradient from (k, g, values); `memory` lives as long as the mutant
    is planted; `shape` is that of the argument where it is known; `ties` says, of the values, at
    which entries of the gradient there is a tie or a kink.
    """

    k: Any
    g: Any
    values: dict[str, Any]
    right: Callable[[Any, Any, Mapping[str, Any]], Any]
    memory: dict[str, Any] = field(default_factory=dict)
    ties: Callable[[Mapping[str, Any]], Any] | None = None

    @property
    def on_tensors(self) -> bool:
        """Is the gradient being recorded, to be differentiated again?"""
        return self.k is tensor_functions

    def gradient(self, g: Any = None, **changed: Any) -> Any:
        """The right gradient, or that for another upstream gradient or other values."""
        return self.right(self.k, self.g if g is None else g, self.values | changed)

    def arrays(self) -> dict[str, Any]:
        """The arrays of floats that the VJP reads."""
        return {name: value for name, value in self.values.items() if _floats(value)}

    def operands(self) -> list[Any]:
        """The same, those of a sequence of operands included, one by one."""
        found: list[Any] = []
        for value in self.values.values():
            found += value if isinstance(value, tuple) else (value,)
        return [each for each in found if _floats(each)]

    def each(self, change: Callable[[Any], Any]) -> dict[str, Any]:
        """What the VJP reads, with every array of floats changed."""

        def changed(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple([changed(one) for one in value])
            return change(value) if _floats(value) else value

        return {name: changed(value) for name, value in self.values.items()}


def _floats(value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.generic, Tensor)) and value.dtype.kind == "f"


def raw(value: Any) -> Any:
    """The array of a Tensor; an array as it is."""
    return value._data if isinstance(value, Tensor) else value


def masked(pull: Pull, mask: Any, inside: Any, outside: Any) -> Any:
    """`inside` where the mask (an array) holds, `outside` elsewhere."""
    return pull.k.where(mask, inside, outside)


def silently(pull: Pull, attempt: Callable[[], Any]) -> Any:
    """What is attempted, or the right gradient where that raises, or has another shape.

    A wrong VJP that raises announces itself; only silent ones prove anything of a checker.
    """
    right = pull.gradient()
    try:
        with np.errstate(all="ignore"):
            wrong = attempt()
    except (ValueError, IndexError, TypeError, GradientError, ZeroDivisionError, AssertionError):
        return right
    return wrong if wrong.shape == right.shape and wrong.dtype.kind == "f" else right


# Wrong everywhere ---------------------------------------------------------------------------


def sign(pull: Pull) -> Any:
    return -pull.gradient()


def factor_2(pull: Pull) -> Any:
    return 2 * pull.gradient()


def zero(pull: Pull) -> Any:
    return 0 * pull.gradient()


def small_error(pull: Pull) -> Any:
    return pull.gradient() * (1 + 1e-4)


def smaller_error(pull: Pull) -> Any:
    return pull.gradient() * (1 + 1e-6)


def upstream_alone(pull: Pull) -> Any:
    """The upstream gradient, spread to the argument's shape, without the local derivative."""
    right = pull.gradient()
    if pull.g.shape == right.shape:
        return pull.g * 1

    def attempt() -> Any:
        if "axis" in pull.values:
            keepdims = bool(pull.values.get("keepdims", pull.g.ndim == right.ndim))
            return spread(pull.k, pull.g, right.shape, pull.values["axis"], keepdims)
        return pull.k.broadcast_to(pull.g, right.shape) * 1

    return silently(pull, attempt)


def missing_argument(pull: Pull) -> Any:
    """Ones in place of the last array that is read: its factor is missing."""
    names = [*pull.arrays()]
    if not names:
        return pull.gradient()
    ones = np.ones(pull.values[names[-1]].shape)
    return silently(pull, lambda: pull.gradient(**{names[-1]: ones}))


# Wrong arrangement --------------------------------------------------------------------------


def _reversed_axes(k: Any, x: Any) -> Any:
    """The last two axes swapped; where they differ in length, read in memory order as before."""
    if x.ndim < 2:
        return x
    return k.reshape(k.matrix_transpose(x), x.shape)


def transposed(pull: Pull) -> Any:
    return _reversed_axes(pull.k, pull.gradient())


def transposed_operand(pull: Pull) -> Any:
    return silently(
        pull,
        lambda: pull.right(pull.k, pull.g, pull.each(lambda x: _reversed_axes(pull.k, x))),
    )


def transposed_upstream(pull: Pull) -> Any:
    return silently(pull, lambda: pull.gradient(_reversed_axes(pull.k, pull.g)))


_STATIC = ("axis", "axes", "axis1", "source", "offset", "shift", "reps", "correction", "ord", "k")


def _other(value: Any, ndim: int) -> Any:
    """Another value of a static argument."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, (int, float, tuple)):
        return value
    if isinstance(value, tuple):
        return tuple([_other(each, ndim) for each in value])
    if isinstance(value, int) and -ndim <= value < ndim:
        return (value + 1) % ndim
    return value + 1


def wrong_axis(pull: Pull) -> Any:
    """The next axis (or another offset, shift, order) in place of the one that was given."""
    found = [name for name in _STATIC if name in pull.values]
    if not found:
        return pull.gradient()
    ndim = max(pull.g.ndim, *(x.ndim for x in pull.operands()), 1)
    changed = {name: _other(pull.values[name], ndim) for name in found}
    return silently(pull, lambda: pull.gradient(**changed))


def swapped_operands(pull: Pull) -> Any:
    """The arrays that are read, each in the place of the next."""
    names = [*pull.arrays()]
    if len(names) < 2:
        return pull.gradient()
    values = [pull.values[name] for name in names]
    turned = dict(zip(names, [*values[1:], values[0]], strict=True))
    return silently(pull, lambda: pull.gradient(**turned))


# Wrong in part ------------------------------------------------------------------------------


def _spot(shape: tuple[int, ...], flat: int) -> Any:
    """A mask that holds at one entry."""
    mask = np.zeros(int(np.prod(shape)), bool)
    mask[flat : flat + 1] = True
    return mask.reshape(shape)


def one_entry(pull: Pull) -> Any:
    right = pull.gradient()
    spot = _spot(right.shape, 2 * right.size // 3)
    return masked(pull, spot, 1.5 * right, right) if right.size else right


def upstream_entry_lost(pull: Pull) -> Any:
    """The upstream gradient of the last element of the result is ignored."""
    if not pull.g.size:
        return pull.gradient()
    return pull.gradient(masked(pull, _spot(pull.g.shape, pull.g.size - 1), 0.0, pull.g))


def nonzero_for_zero(pull: Pull) -> Any:
    """Where the right gradient is exactly zero, a small number."""
    right = pull.gradient()
    return masked(pull, raw(right) == 0, 1e-3, right) if right.size else right


def negative_values(pull: Pull) -> Any:
    """Wrong for negative values of what is read only."""
    right = pull.gradient()
    alike = [x for x in pull.operands() if x.shape == right.shape]
    return masked(pull, raw(alike[-1]) < 0, 1.5 * right, right) if alike else right


def ties(pull: Pull) -> Any:
    """Wrong at ties and kinks only, and outside the interval between the one-sided slopes."""
    if pull.ties is None:
        return pull.gradient()
    right = pull.gradient()
    tied = pull.ties(pull.values)
    return silently(pull, lambda: masked(pull, tied, right * 5 + 3 * upstream_alone(pull), right))


def whole_for_ties(pull: Pull) -> Any:
    """Each of several equal extremes gets the whole gradient, in place of a share of it."""
    if pull.ties is None:
        return pull.gradient()
    right = pull.gradient()
    share = raw(right) / np.where(raw(upstream_alone(pull)) == 0, 1, raw(upstream_alone(pull)))
    tied = pull.ties(pull.values) & (share > 0) & (share < 1)
    return silently(pull, lambda: masked(pull, tied, upstream_alone(pull), right))


# Wrong for some upstream gradients ----------------------------------------------------------


def negative_upstream(pull: Pull) -> Any:
    return pull.gradient(masked(pull, raw(pull.g) < 0, 1.5 * pull.g, pull.g))


def absolute_upstream(pull: Pull) -> Any:
    """Not linear in the upstream gradient: its absolute value is used."""
    return pull.gradient(abs(pull.g))


def strided_upstream(pull: Pull) -> Any:
    """Wrong if the memory of the upstream gradient is not in order (it was broadcast, say)."""
    plain = pull.on_tensors or pull.g.flags["C_CONTIGUOUS"]
    return pull.gradient() if plain else 1.5 * pull.gradient()


# Wrong with time ----------------------------------------------------------------------------


def stale(pull: Pull) -> Any:
    """Reads the arrays that it read in its first call with these shapes, ever since."""
    arrays = pull.arrays()
    key = tuple((name, each.shape) for name, each in arrays.items())
    if not arrays:
        return pull.gradient()
    kept = pull.memory.setdefault(
        str(key), {name: np.array(raw(each)) for name, each in arrays.items()}
    )
    return silently(pull, lambda: pull.gradient(**kept))


def not_deterministic(pull: Pull) -> Any:
    rng = pull.memory.setdefault("rng", np.random.default_rng(0))
    right = pull.gradient()
    return right * (1 + 1e-3 * rng.uniform(-1, 1, right.shape))


def changes_upstream(pull: Pull) -> Any:
    right = pull.gradient() * 1
    if not pull.on_tensors and pull.g.flags.writeable:
        pull.g *= 2
    return right


def changes_input(pull: Pull) -> Any:
    """Changes in place what it reads (the argument, or the result), after use."""
    right = pull.gradient() * 1
    arrays = [] if pull.on_tensors else pull.operands()
    if arrays and isinstance(arrays[0], np.ndarray) and arrays[0].flags.writeable:
        arrays[0][...] *= 1.5
    return right


def reused_buffer(pull: Pull) -> Any:
    """Returns the same memory in each call: the gradient of the call before is overwritten."""
    right = pull.gradient()
    if pull.on_tensors:
        return right
    buffer = pull.memory.setdefault(f"{right.shape}", np.empty_like(right))
    buffer[...] = right
    return buffer


# Wrong kind of array ------------------------------------------------------------------------


def single_precision(pull: Pull) -> Any:
    """Computed to the precision of float32."""
    return pull.gradient().astype("float32")


def wrong_shape(pull: Pull) -> Any:
    right = pull.gradient()
    return pull.k.reshape(right, (-1,)) if right.ndim > 1 else pull.k.reshape(right, (1, 1, -1))


# Wrong in second order only -----------------------------------------------------------------


def _detached(x: Any) -> Any:
    return x.detach() if isinstance(x, Tensor) else x


def second_lost(pull: Pull) -> Any:
    """What is read counts as constant: the second derivative with respect to it is lost."""
    if not pull.on_tensors:
        return pull.gradient()
    return pull.right(pull.k, pull.g, pull.each(_detached))


def second_doubled(pull: Pull) -> Any:
    """The second derivative with respect to what is read is doubled, the value as it should be."""
    if not pull.on_tensors:
        return pull.gradient()
    return pull.right(pull.k, pull.g, pull.each(lambda x: x + (x - _detached(x))))


def second_upstream_lost(pull: Pull) -> Any:
    """The recorded gradient does not depend on the upstream gradient."""
    return pull.gradient(_detached(pull.g) * 1)


# Out of sight -------------------------------------------------------------------------------

#: More elements than any case of the table has.
LARGE = 40


def large_only(pull: Pull) -> Any:
    right = pull.gradient()
    return 1.5 * right if right.size > LARGE else right


def float32_only(pull: Pull) -> Any:
    right = pull.gradient()
    return 1.5 * right if pull.g.dtype == np.float32 else right


@dataclass(frozen=True)
class Kind:
    """A kind of wrong VJP.

    Attributes: `change`, see above (None: it is planted elsewhere, see `plant`); `about`, one
    line for the table; `group`: "first" order, "second" order, "ties" (checked on points with
    ties and on kinks), or "hidden": on the cases of the table it cannot be seen.
    """

    name: str
    about: str
    change: Callable[[Pull], Any] | None
    group: str = "first"


KINDS = [
    Kind("sign", "the gradient with the wrong sign", sign),
    Kind("factor 2", "the gradient twice", factor_2),
    Kind("missing factor", "the upstream gradient alone, without the local derivative",
         upstream_alone),
    Kind("missing argument", "ones in place of an array that is read", missing_argument),
    Kind("unbroadcast dropped", "the first of the repeated entries in place of their sum", None),
    Kind("unbroadcast mean", "the mean of the repeated entries in place of their sum", None),
    Kind("unbroadcast axis", "summed as if leading axes only had been repeated", None),
    Kind("transposed", "the last two axes of the gradient swapped", transposed),
    Kind("transposed operand", "the last two axes of what is read swapped", transposed_operand),
    Kind("transposed upstream", "the last two axes of the upstream gradient swapped",
         transposed_upstream),
    Kind("wrong axis", "another axis, offset, shift or order than in the call", wrong_axis),
    Kind("zero", "no gradient at all", zero),
    Kind("stale value", "what was saved in an earlier call is read", stale),
    Kind("swapped gradients", "each argument gets the gradient of another", None),
    Kind("swapped operands", "one argument read in place of another", swapped_operands),
    Kind("detached branch", "one of several arguments counts as constant", None),
    Kind("part ignored", "the upstream gradient of one element ignored", upstream_entry_lost),
    Kind("one entry", "one entry of the gradient times 1.5", one_entry),
    Kind("nonzero for zero", "0.001 where the gradient is exactly zero", nonzero_for_zero),
    Kind("negative values", "times 1.5 for negative arguments only", negative_values),
    Kind("ties", "at ties and kinks, outside the one-sided slopes", ties, "ties"),
    Kind("whole for ties", "equal extremes get the whole gradient each", whole_for_ties, "ties"),
    Kind("negative upstream", "times 1.5 where the upstream gradient is negative",
         negative_upstream),
    Kind("absolute upstream", "not linear: the upstream gradient's absolute value",
         absolute_upstream),
    Kind("strided upstream", "times 1.5 if the upstream gradient's memory is not in order",
         strided_upstream),
    Kind("not deterministic", "another error of up to 0.1% in each call", not_deterministic),
    Kind("changes upstream", "the upstream gradient changed in place", changes_upstream),
    Kind("changes input", "an argument or the result changed in place", changes_input),
    Kind("reused buffer", "the same memory returned by each call", reused_buffer),
    Kind("single precision", "float64 gradients rounded to float32", single_precision),
    Kind("wrong shape", "the gradient in another shape", wrong_shape),
    Kind("error 1e-4", "a relative error of 1e-4", small_error),
    Kind("error 1e-6", "a relative error of 1e-6", smaller_error),
    Kind("second: lost", "what the VJP reads counts as constant when differentiated",
         second_lost, "second"),
    Kind("second: doubled", "the second derivative twice, the first one right",
         second_doubled, "second"),
    Kind("second: upstream", "does not depend on the upstream gradient when differentiated",
         second_upstream_lost, "second"),
    Kind("second: definition", "the definition of a fused operation has a wrong second derivative",
         None, "second"),
    Kind("large only", f"times 1.5 for arrays of more than {LARGE} elements", large_only,
         "hidden"),
    Kind("float32 only", "times 1.5 in float32", float32_only, "hidden"),
]  # fmt: skip
