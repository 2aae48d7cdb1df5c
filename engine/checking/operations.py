"""The checks that every operation of the table passes, and that users' own can be put to.

`check_operation` runs them all: the proof; gradients of first and second order (`gradcheck`); that
they do not depend on the memory's layout, on which of the arguments are tracked, or on being
recorded; dtypes; and that nothing is mutated or aliased.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..calls import Array, Call, ElementwiseCall, broadcasts_of, calls_of, invoke
from ..creation import zeros_like
from ..devices import default_on_cpu
from ..errors import CheckError
from ..record import RECORDS, Record
from ..tape import enable_grad
from ..tensor import Tensor
from ..transforms import grad
from .differences import signed, slope
from .gradcheck import assert_gradients
from .table import check_cases


def upstream_for(shape: tuple[int, ...], seed: int) -> Array:
    """Signed numbers, none of them near zero."""
    return signed(np.random.default_rng(seed), shape)


def first_order(function: Callable[..., Tensor], arrays: Sequence[Array], seed: int) -> list[Array]:
    """The gradients that `backward` gives of the result times a random upstream gradient."""
    tensors = [Tensor(each, requires_grad=True) for each in arrays]
    with enable_grad():
        result = function(*tensors)
    if not result.requires_grad:
        return [np.zeros_like(each) for each in arrays]
    result.backward(upstream_for(result.shape, seed).astype(result.dtype))
    grads = [each.grad for each in tensors]
    return [
        np.zeros_like(array) if each is None else each.numpy()
        for each, array in zip(grads, arrays, strict=True)
    ]


def assert_close(got: Any, expected: Any, tolerance: float, what: str = "gradient") -> None:
    """Raises CheckError unless equal to a tolerance, relative to the larger of 1 and the largest.

    >>> assert_close([1.0], [1.0 + 1e-12], 1e-9)
    """
    got, expected = np.asarray(got), np.asarray(expected)
    if got.shape != expected.shape:
        raise CheckError(f"{what}: shape {got.shape}, expected {expected.shape}")
    if expected.size:
        scale = max(1.0, float(np.max(np.abs(expected))))
        error = float(np.max(np.abs(got - expected))) / scale
        if not error <= tolerance:
            raise CheckError(f"{what}: error {error:.1e}, got\n{got}\nexpected\n{expected}")


# Checks -------------------------------------------------------------------------------------


def check_definition(call: Call | ElementwiseCall, seed: int = 0) -> None:
    """The record's definition, if it has one, gives what its forward function does.

    That its gradient is that of the VJPs, too, is part of the check of second order. Raises
    CheckError.
    """
    definition = call.record.definition
    if definition is None or not isinstance(call, Call) or call.case.prepare is not None:
        return
    arguments = call.case.draw(call.record, seed)
    wrapped = [Tensor(each) if isinstance(each, np.ndarray) else each for each in arguments]
    static = call.record.defaults | dict(call.case.static)
    expected = invoke(call.record, wrapped, call.case.static).numpy()
    assert_close(definition(*wrapped, **static).numpy(), expected, 1e-12, f"{call!r}: definition")


def check_alone(call: Call | ElementwiseCall, seed: int = 0) -> None:
    """Each argument's gradient is the same when no other argument requires one.

    Raises CheckError.
    """
    arrays = call.draw(seed)
    together = first_order(call, arrays, seed)
    for i, array in enumerate(arrays):
        tensors = [Tensor(each) for each in arrays]
        tensors[i] = Tensor(array, requires_grad=True)
        result = call(*tensors)
        if not result.requires_grad:
            continue
        upstream = upstream_for(result.shape, seed).astype(result.dtype)
        (found,) = grad([result], [tensors[i]], [upstream], allow_unused=True)
        assert_close(found.numpy(), together[i], 1e-12, f"{call!r}: gradient {i} alone")


def check_complete(call: Call) -> None:
    """Every floating argument that is drawn has a VJP, unless the result does not depend on it.

    Raises CheckError, naming the argument.
    """
    record, arguments = call.record, call.case.draw(call.record)
    rest = [i for i in call.case.drawn() if i not in call.variable]
    if call.case.prepare is not None:
        return
    for position in rest:

        def value(moved: Sequence[Array], position: int = position) -> Array:
            given: Any = [*arguments[:position], *moved, *arguments[position + 1 :]]
            result = invoke(record, given, call.case.static).numpy()
            return np.atleast_1d(np.sum(result * upstream_for(result.shape, 0)))

        array = np.asarray(arguments[position], np.float64)
        way = upstream_for(array.shape, 1)
        found = slope(value, [array], [way], value([array]))
        if abs(found.value[0]) > found.error[0]:
            raise CheckError(
                f"{call!r}: the result depends on '{record.argument_name(position)}', which has no "
                "VJP, and so its gradient would be lost; give it one, or, if it is a constant such "
                "as a label, give the case a constant array in place of its shape"
            )


def check_dtypes(call: Call | ElementwiseCall) -> None:
    """float32 gives float32, float64 float64; each gradient has its argument's shape and dtype."""
    for dtype in (np.dtype("float32"), np.dtype("float64")):
        tensors = [Tensor(each.astype(dtype), requires_grad=True) for each in call.draw(0)]
        result = call(*tensors)
        expected = np.dtype("float64") if call.wide else dtype  # constants of float64 join in
        if result.dtype != expected and "dtype" not in call.record.statics:
            raise CheckError(f"{call!r}: gives {result.dtype} for {dtype}")
        if not result.requires_grad:
            continue
        result.backward(upstream_for(result.shape, 1).astype(result.dtype))
        for i, each in enumerate(tensors):
            if each.grad is None:
                continue
            if (each.grad.shape, each.grad.dtype) != (each.shape, dtype):
                raise CheckError(f"{call!r}: gradient {i} is {each.grad!r}, for {dtype}")
            if not each.grad.numpy().flags["C_CONTIGUOUS"]:
                raise CheckError(f"{call!r}: the elements of gradient {i} do not lie in order")


def check_purity(call: Call | ElementwiseCall) -> None:
    """No argument, and no upstream gradient, is changed; no gradient shares anybody's memory."""
    arrays = call.draw(0)
    tensors = [Tensor(each, requires_grad=True) for each in arrays]
    result = call(*tensors)
    if not result.requires_grad:
        return
    gradient = Tensor(upstream_for(result.shape, 2))
    before = gradient.numpy().copy()
    result.backward(gradient)
    unchanged = [(gradient.numpy(), before)]
    unchanged += [(t.numpy(), array) for t, array in zip(tensors, arrays, strict=True)]
    if not all(np.array_equal(now, then) for now, then in unchanged):
        raise CheckError(f"{call!r}: changes an argument or the upstream gradient in place")
    kept = [each.grad.numpy() for each in tensors if each.grad is not None]
    others = [gradient.numpy(), result.numpy(), *(each.numpy() for each in tensors)]
    for i, a in enumerate(kept):
        if any(np.shares_memory(a, b) for b in [*kept[:i], *kept[i + 1 :], *others]):
            raise CheckError(f"{call!r}: a gradient shares the memory of something else")
    results = result.numpy()
    if not call.record.view and any(np.shares_memory(results, each.numpy()) for each in tensors):
        raise CheckError(f"{call!r}: the result shares the memory of an argument")


#: Arrangements in memory of the same numbers, none of which may make a difference.
LAYOUTS = ("plain", "transposed", "spaced")


def lay_out(
    function: Callable[..., Tensor], arrays: Sequence[Array], layout: str
) -> tuple[Callable[..., Tensor], list[Array]]:
    """A function and its arrays, arranged so that it computes on memory of that layout."""
    if layout == "transposed":
        return function, [np.array(each.T, order="C").T for each in arrays]
    if layout == "spaced":

        def with_gaps(*tensors: Tensor) -> Tensor:
            return function(*map(_spaced, tensors))

        return with_gaps, [*arrays]
    return function, [*arrays]


def _spaced(x: Tensor) -> Tensor:
    """The same numbers as every second one of a larger tensor."""
    pairs = RECORDS["stack"].function([x, zeros_like(x)], axis=-1)
    return RECORDS["getitem"].function(pairs, (..., 0))


def check_call(call: Call | ElementwiseCall, seed: int = 0) -> None:
    """What is checked of one call beside its gradients' values, and these in other layouts.

    Raises CheckError, naming the call and what it got wrong.
    """
    for layout in LAYOUTS[1:]:
        function, arrays = lay_out(call, call.draw(seed), layout)
        assert_gradients(function, *arrays, argnums=range(len(arrays)), seed=seed)
    check_definition(call, seed)
    check_alone(call, seed)
    if isinstance(call, Call):
        check_complete(call)
    check_dtypes(call)
    check_purity(call)


@default_on_cpu()
def check_operation(operation: Any, seed: int = 0) -> list[str]:
    """Puts an operation, of the table or a user's own, to every check; says what was checked.

    Arguments: `operation`, a function made by `cr.operation`, `cr.elementwise` or
    `cr.composition`; `seed` of the numbers drawn. An elementwise operation is called on 0-d, empty
    and broadcast arrays from its domain, any other on the cases of its record.

    The proof of an elementwise operation of one argument follows the branches of its code. For the
    rest, what is checked is checked on these calls: code that takes another branch for other
    numbers, or for larger arrays, needs cases that lead there. Of an operation that is not
    elementwise, `formula` and `derivative` are prose, which nobody checks.

    The derivative is proved, if SymPy is installed, unless the record gives a reason why it cannot
    be. Then gradients of first and second order are checked as `cr.gradcheck` does, at ties and
    kinks too; they must not depend on the layout of memory, nor on which arguments are tracked; and
    nothing may be mutated or aliased.

    Raises CheckError (or ProofError, which is one) at the first claim that does not hold;
    ValueError for a record that has no gradient, or no cases.

    >>> import chainrule as cr
    >>> for line in check_operation(cr.tanh):
    ...     print(line)
    d/dx ((exp(x) - exp(-x)) / (exp(x) + exp(-x))) = 1 - tanh(x)**2
    the code of tanh on symbols
    the code of tanh on numbers, to 16 units in the last place
    the gradients of tanh(()), tanh((3,)), tanh((2, 3)), tanh((0, 2)), to second order
    """
    record: Record = operation if isinstance(operation, Record) else operation.record
    if not record.differentiable:
        raise ValueError(f"{record.name}: has no gradient to check")
    calls: list[Call | ElementwiseCall] = [*calls_of(record), *broadcasts_of(record)]
    if not calls:
        raise ValueError(
            f"{record.name}: give the record cases=[case(...), ...]: calls on which it is checked"
        )
    done: list[str] = []
    if importlib.util.find_spec("sympy") and not record.unproved:
        from ..proof import prove

        done += prove(record)
    check_cases(record, 2, seed).require()
    for call in calls:
        check_call(call, seed)
    return [*done, f"the gradients of {', '.join(map(repr, calls))}, to second order"]
