"""Packing: parameters stay the Tensors that they were, wherever their memory goes."""

from __future__ import annotations

import copy
import gc
import itertools
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.optim import SGD, Adam
from chainrule.optim.packing import place_of

from .network import loss, parameters, train

random = np.random.default_rng(0)


def leaves(*shapes: tuple[int, ...], dtype: str = "float64") -> list[cr.Tensor]:
    return [
        cr.tensor(random.standard_normal(shape), dtype=dtype, requires_grad=True)
        for shape in shapes
    ]


def give_gradients(tensors: Sequence[cr.Tensor], factor: float = 1.0) -> None:
    """By a backward pass; the gradient of w is 2 * factor * w."""
    total = sum((factor * (each * each).sum() for each in tensors), cr.tensor(0.0))
    total.backward()


def values(tensors: Sequence[cr.Tensor]) -> list[np.ndarray[Any, Any]]:
    return [each.numpy().copy() for each in tensors]


def address(tensor: cr.Tensor) -> int:
    return tensor._data.__array_interface__["data"][0]


def assert_equal(found: Any, expected: Any) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def reference_run(optimizer: Any, weights: list[cr.Tensor], steps: int) -> Any:
    """The trajectory with one optimiser of its own for each parameter: nothing is packed."""
    alone = [optimizer([each]) for each in weights]
    path = []
    for _ in range(steps):
        for each in alone:
            each.zero_grad()
        loss(weights).backward()
        for each in alone:
            each.step()
        path.append(values(weights))
    return path


KINDS = [
    lambda given: SGD(given, 0.05),
    lambda given: SGD(given, 0.05, momentum=0.9, nesterov=True, weight_decay=0.1),
    lambda given: Adam(given, 0.05),
    lambda given: Adam(given, 1e-4, as_printed=True),
]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=["sgd", "nesterov", "adam", "printed"])


# The layout ---------------------------------------------------------------------------------


@every_kind
def test_packed_or_alone_is_the_same(kind: Any) -> None:
    """One kernel call for all gives the bits of one call for each."""
    together, alone = parameters(), parameters()
    path = train(together, kind(together), 5)
    for found, expected in zip(path, reference_run(kind, alone, 5), strict=True):
        assert_equal(found, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_views_are_aligned_adjacent_and_contiguous(dtype: str) -> None:
    tensors = leaves((3, 5), (7,), (), (64,), (1, 1, 3), dtype=dtype)
    adam = Adam(tensors)
    give_gradients(tensors)
    adam.step()
    for tensor in tensors:
        buffer = tensor._node.watch.buffer
        assert address(tensor) % 64 == 0
        assert buffer.__array_interface__["data"][0] % 64 == 0
        assert tensor._data.flags.c_contiguous
        assert buffer.flags.c_contiguous
        assert buffer.shape == tensor.shape
    for first, second in itertools.pairwise(tensors):
        assert address(second) - address(first) == -(-first._data.nbytes // 64) * 64
    assert len(adam._runs) == 1


def test_packing_is_lazy() -> None:
    tensors = leaves((3,), (2, 2))
    before = [each._data for each in tensors]
    sgd = SGD(tensors)
    sgd.zero_grad()
    sgd.state()
    assert all(each._data is array for each, array in zip(tensors, before, strict=True))
    sgd.step()  # no gradient yet: packed, nothing changed
    assert all(each._data is not array for each, array in zip(tensors, before, strict=True))
    assert_equal(values(tensors), before)


def test_values_stay_the_same_to_the_bit_and_old_arrays_are_left_untouched() -> None:
    special = np.array([0.0, -0.0, np.nan, np.inf, 5e-324, -np.nan])
    special.view(np.uint64)[2] |= 0xABC  # the payload of a NaN
    tensor, other = cr.tensor(special, requires_grad=True), leaves((3,))[0]
    transposed = cr.tensor(random.standard_normal((2, 3)).T, requires_grad=True)
    transposed_before = transposed.numpy().copy()
    view = tensor.numpy()
    other.grad = cr.ones(3)
    SGD([tensor, transposed, other], 0.5).step()
    assert tensor.numpy().tobytes() == special.tobytes() == view.tobytes()
    assert not np.shares_memory(view, tensor.numpy())
    np.testing.assert_array_equal(transposed.numpy(), transposed_before)


def test_mixed_dtypes_empty_and_0d_parameters() -> None:
    tensors = leaves((), (0,), (3,), (0, 4)) + leaves((2,), (), (0,), (5,), dtype="float32")
    tensors = [tensors[i] for i in (0, 4, 1, 5, 2, 6, 3, 7)]
    start = values(tensors)
    sgd = SGD(tensors, 0.25)
    give_gradients([each for each in tensors if each.dtype == np.float64])
    give_gradients([each for each in tensors if each.dtype == np.float32])
    sgd.step()
    assert_equal(values(tensors), [0.5 * each for each in start])
    assert [each.dtype for each in tensors] == [each.dtype for each in start]
    assert len(sgd._runs) == 2


def test_only_empty_parameters() -> None:
    tensors = leaves((0,), (3, 0))
    adam = Adam(tensors)
    give_gradients(tensors)
    adam.step()
    assert adam._runs == []


def test_an_empty_block_before_another() -> None:
    tensors = leaves((0,)) + leaves((3,), dtype="float32")
    before = values(tensors)
    sgd = SGD(tensors, 0.25)
    give_gradients(tensors[:1])
    give_gradients(tensors[1:])
    sgd.step()
    assert_equal(values(tensors), [0.5 * each for each in before])


def test_shared_weights_count_once() -> None:
    w, b = leaves((3, 3), (3,))
    sgd = SGD([w, b, w, ("again", w)], 0.25)
    assert [each is w for each in sgd.parameters] == [True, False]
    (w @ w).sum().backward()
    g, before = w.grad.numpy().copy(), w.numpy().copy()
    sgd.step()
    np.testing.assert_array_equal(w.numpy(), before - 0.25 * g)


def test_padding_stays_zero() -> None:
    """Whatever happens to the parameters around it."""
    tensors = leaves((3,), (5,))
    adam = Adam(tensors, weight_decay=0.5)
    for factor in (1.0, np.inf, np.nan):
        give_gradients(tensors, factor)
        with np.errstate(invalid="ignore"):
            adam.step()
    block = adam._places[0].block
    for flat in (block.values, block.gradients, *adam._segments[0].memory.values()):
        np.testing.assert_array_equal(flat[3:8], 0)
        np.testing.assert_array_equal(flat[13:16], 0)


# Gradients ----------------------------------------------------------------------------------


def test_gradients_are_written_into_the_buffer() -> None:
    tensors = parameters()
    adam = Adam(tensors)
    train(tensors, adam, 1)
    adam.zero_grad()
    assert all(each.grad is None for each in tensors)
    loss(tensors).backward()
    assert all(each.grad._data is each._node.watch.buffer for each in tensors)


def test_a_held_gradient_keeps_its_values() -> None:
    """Of the step before packing, of later ones, and across freezing."""
    (w,) = leaves((4,))
    sgd = SGD([w], 0.1, momentum=0.5)
    held, copies = [], []
    for factor in (1.0, -2.0, 3.0, -4.0):
        sgd.zero_grad()
        give_gradients([w], factor)
        held.append(w.grad)
        copies.append(w.grad.numpy().copy())
        sgd.step()
        if factor == 3.0:
            w.requires_grad = False
            w.requires_grad = True
    assert_equal([each.numpy() for each in held], copies)


def test_a_held_gradient_survives_an_assigned_one() -> None:
    (w,) = leaves((4,))
    sgd = SGD([w], 0.1)
    sgd.step()
    give_gradients([w])
    held, before = w.grad, w.grad.numpy().copy()
    assigned = cr.tensor([1.0, 2.0, 3.0, 4.0])
    start = w.numpy().copy()
    w.grad = assigned
    sgd.step()
    np.testing.assert_array_equal(held.numpy(), before)
    np.testing.assert_array_equal(w.numpy(), start - 0.1 * assigned.numpy())
    sgd.step()  # once more, with the same gradient
    assert w.grad is assigned
    assert assigned.tolist() == [1.0, 2.0, 3.0, 4.0]
    give_gradients([w])  # adds to it
    np.testing.assert_allclose(w.grad.numpy(), assigned.numpy() + 2 * w.numpy())
    assert assigned.tolist() == [1.0, 2.0, 3.0, 4.0]


def test_two_backward_calls_add_up() -> None:
    for steps_before in (0, 1):
        (w,) = leaves((4,))
        sgd = SGD([w], 0.1)
        for _ in range(steps_before):
            give_gradients([w])
            sgd.step()
        sgd.zero_grad()
        before = w.numpy().copy()
        give_gradients([w], 1.0)
        give_gradients([w], 0.5)
        sgd.step()
        np.testing.assert_allclose(w.numpy(), before - 0.1 * 3 * before, rtol=1e-15)


def test_a_step_without_zero_grad_goes_on_adding() -> None:
    (w,), (expected,) = leaves((4,)), [np.zeros(4)]
    sgd = SGD([w], 0.1)
    for _ in range(4):
        expected = expected + 2 * w.numpy()
        give_gradients([w])
        np.testing.assert_allclose(w.grad.numpy(), expected, rtol=1e-14)
        sgd.step()
        np.testing.assert_allclose(w.grad.numpy(), expected, rtol=1e-14)


def test_gradients_with_a_graph() -> None:
    """The gradient of a gradient penalty: `.grad` stays differentiable, its values are stepped."""
    (w,) = leaves((4,))
    sgd = SGD([w], 0.1)
    for _ in range(2):
        before = w.numpy().copy()
        (gradient,) = cr.grad((w**3).sum(), [w], create_graph=True)
        w.grad = gradient
        assert w.grad.requires_grad
        sgd.step()
        np.testing.assert_allclose(w.numpy(), before - 0.1 * 3 * before**2)
        assert w.grad is gradient


def test_a_hook_may_replace_the_gradient() -> None:
    (w,) = leaves((4,))
    sgd = SGD([w], 0.25)
    w.register_hook(lambda g: g * 2)
    for _ in range(2):
        sgd.zero_grad()
        before = w.numpy().copy()
        give_gradients([w])
        sgd.step()
        np.testing.assert_array_equal(w.numpy(), before - 0.25 * 4 * before)


# Which parameters are stepped -----------------------------------------------------------------


@every_kind
def test_without_a_gradient_left_entirely_alone(kind: Any) -> None:
    """Bits, momentum, decay and the count of steps, though its neighbours are stepped."""
    tensors = leaves((3,), (4,), (5,))
    optimizer = kind(tensors)
    for _ in range(3):
        give_gradients(tensors)
        optimizer.step()
    optimizer.zero_grad()
    state, before = optimizer.state(), values(tensors)
    give_gradients([tensors[0], tensors[2]])
    optimizer.step()
    assert tensors[1].numpy().tobytes() == before[1].tobytes()
    after = optimizer.state()
    for name in after:
        if name.endswith(".1"):
            np.testing.assert_array_equal(after[name], state[name])
    assert not np.array_equal(tensors[0].numpy(), before[0])
    assert not np.array_equal(tensors[2].numpy(), before[2])
    assert len(optimizer._runs) == 2


@every_kind
def test_freezing_and_unfreezing(kind: Any) -> None:
    """As if each parameter had an optimiser of its own, that steps only where it has a gradient."""
    together, alone = parameters(), parameters()
    optimizer, optimizers = kind(together), [kind([each]) for each in alone]
    for step in range(12):
        if step in (3, 8):
            for weights in (together, alone):
                weights[2].requires_grad = weights[3].requires_grad = step == 8
        optimizer.zero_grad()
        loss(together).backward()
        optimizer.step()
        for each in optimizers:
            each.zero_grad()
        loss(alone).backward()
        for each in optimizers:
            each.step()
        assert_equal(values(together), values(alone))
    assert optimizer.state()["steps.0"] == 12
    assert optimizer.state()["steps.2"] == 7


def test_frozen_from_the_start() -> None:
    tensors = parameters()
    tensors[0].requires_grad = False
    adam, before = Adam(tensors), values(tensors)
    train(tensors, adam, 2)
    np.testing.assert_array_equal(tensors[0].numpy(), before[0])
    tensors[0].requires_grad = True
    train(tensors, adam, 1)
    assert not np.array_equal(tensors[0].numpy(), before[0])
    assert tensors[0].grad is not None


def test_an_old_graph_cannot_write_over_a_new_gradient() -> None:
    """A graph from before freezing still leads to the parameter's former node."""
    (w,) = leaves((4,))
    sgd = SGD([w], 0.1)
    give_gradients([w])
    sgd.step()
    old = (5 * w).sum()
    w.requires_grad = False
    w.requires_grad = True
    for _ in range(2):  # the second is written where the former node's gradients were
        sgd.zero_grad()
        give_gradients([w])
        sgd.step()
    expected, before = w.grad.numpy().copy(), w.numpy().copy()
    old.backward()
    np.testing.assert_array_equal(w.grad.numpy(), expected)
    sgd.step()
    np.testing.assert_array_equal(w.numpy(), before - 0.1 * expected)


# What moves ---------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("when", [0, 2], ids=["before the first step", "later"])
def test_deepcopy(kind: Any, when: int) -> None:
    """Model and optimiser, copied together, go the same way, apart from each other."""
    weights = parameters()
    optimizer = kind(weights)
    train(weights, optimizer, when)
    copied, copied_optimizer = copy.deepcopy((weights, optimizer))
    start = values(weights)
    path = train(weights, optimizer, 3)
    assert_equal(values(copied), start)
    assert copied_optimizer._places == copied_optimizer._blocks == []
    copied_path = train(copied, copied_optimizer, 3)
    for a, b in zip(path, copied_path, strict=True):
        assert_equal(a, b)
    for a, b in zip(weights, copied, strict=True):
        assert not np.shares_memory(a._data, b._data)
    assert_equal(values(weights), path[-1])


def test_deepcopied_parameters_get_places_of_their_own() -> None:
    weights = parameters()
    train(weights, Adam(weights), 2)
    before = values(weights)
    copied = copy.deepcopy(weights)
    assert all(place_of(each) is None for each in copied)
    train(copied, SGD(copied, 0.1), 2)
    assert_equal(values(weights), before)


def test_assign_keeps_the_place() -> None:
    weights = parameters()
    adam = Adam(weights, 0.01)
    train(weights, adam, 2)
    arrays, loaded = [each._data for each in weights], [0.5 * each for each in values(weights)]
    for each, value in zip(weights, loaded, strict=True):
        each.assign(value)
    assert_equal(values(weights), loaded)
    train(weights, adam, 1)
    assert all(each._data is array for each, array in zip(weights, arrays, strict=True))


@every_kind
def test_rebinding(kind: Any) -> None:
    """New arrays, for one parameter or for all, also each other's: values and memory go along."""
    moved, still = parameters(), parameters()
    optimizer, expected = kind(moved), train(still, kind(still), 8)
    for step in range(8):
        if step in (2, 3):
            moved[1]._data = moved[1]._data.copy()
        if step == 5:
            for each in moved:
                each._data = each._data.copy()
        if step == 6:  # arrays swapped, values not
            a, b = moved[1]._data.copy(), np.full_like(moved[1]._data, 7)
            moved[1]._data[...] = b
            moved[1]._data = a
        found = train(moved, optimizer, 1)[0]
        assert_equal(found, expected[step])
        assert len(optimizer._runs) == 1, "a rebound parameter joins the others again"


def test_swapped_arrays() -> None:
    a, b = leaves((3,), (3,))
    sgd = SGD([a, b], 0.25)
    give_gradients([a, b])
    sgd.step()
    before = values([a, b])
    a._data, b._data = b._data, a._data
    sgd.zero_grad()
    give_gradients([a, b])
    sgd.step()
    assert_equal(values([a, b]), [0.5 * before[1], 0.5 * before[0]])
    assert not np.shares_memory(a._data, b._data)


def test_rebinding_to_another_shape_starts_anew() -> None:
    (w,) = leaves((3,))
    adam = Adam([w], 0.1)
    for _ in range(5):
        give_gradients([w])
        adam.step()
    w.requires_grad = False
    w._data = np.ones((2, 2))
    w.requires_grad = True
    give_gradients([w])
    adam.step()
    np.testing.assert_allclose(w.numpy(), 0.9, rtol=1e-6)
    assert adam.state()["steps.0"] == 1


def test_a_detached_tensor_gets_memory_of_its_own() -> None:
    (w,) = leaves((3,))
    sgd = SGD([w], 0.25)
    give_gradients([w])
    sgd.step()
    alias = w.detach()
    alias.requires_grad = True
    other, before = SGD([alias], 0.25), w.numpy().copy()
    give_gradients([alias])
    other.step()
    np.testing.assert_array_equal(w.numpy(), before)
    np.testing.assert_array_equal(alias.numpy(), 0.5 * before)


# Several optimisers -------------------------------------------------------------------------


def halves_and_whole(order: str, weights: list[cr.Tensor]) -> list[Any]:
    first, second = weights[:3], weights[3:]
    groups = {
        "two halves": [first, second],
        "interleaved": [weights[::2], weights[1::2]],
        "whole, then a half": [weights, second],
        "whole, then every other": [weights, weights[::2]],
        "a half, then the whole": [second, weights],
        "twice the whole": [weights, list(reversed(weights))],
    }
    return [Adam(each, 0.01) for each in groups[order]]


@pytest.mark.parametrize(
    "order",
    [
        "two halves",
        "interleaved",
        "whole, then a half",
        "whole, then every other",
        "a half, then the whole",
        "twice the whole",
    ],
)
def test_optimisers_that_share_do_not_move_each_others_arrays(order: str) -> None:
    """And step as if each parameter were alone with each of its optimisers."""
    weights, alone = parameters(), parameters()
    optimizers = halves_and_whole(order, weights)
    lonely = [
        [
            Adam([alone[[each is w for w in weights].index(True)]], 0.01)
            for each in optimizer.parameters
        ]
        for optimizer in optimizers
    ]
    arrays: list[Any] = []
    for step in range(4):
        for optimizer, its in zip(optimizers, lonely, strict=True):
            for tensors in (weights, alone):
                for each in tensors:
                    each.zero_grad()
                loss(tensors).backward()
            optimizer.step()
            for each in its:
                each.step()
        assert_equal(values(weights), values(alone))
        now = [id(each._data) for each in weights]
        assert step == 0 or now == arrays, "moved after the first step"
        arrays = now


def test_parameters_that_another_optimiser_packed_stay_where_they_are() -> None:
    weights = parameters()
    first, second = weights[:3], weights[3:]
    half, whole = SGD(first, 0.01), SGD(weights, 0.01)
    half.step()
    arrays = [each._data for each in first]
    whole.step()
    assert all(each._data is array for each, array in zip(first, arrays, strict=True))

    arrays = [each._data for each in second]
    first[0]._data = first[0]._data.copy()
    half.step()  # moves its own
    whole.step()  # and this one finds them
    assert all(each._data is array for each, array in zip(second, arrays, strict=True))
    assert not np.shares_memory(first[1]._data, first[0]._data)


def test_neighbours_are_found_in_any_order() -> None:
    """The empty one begins where the next does."""
    tensors = leaves((3,), (0,), (4,), (0, 2))
    packing = SGD(tensors)
    packing.step()
    for order in itertools.permutations(range(4)):
        adam = Adam([tensors[i] for i in order], 1e-9)
        give_gradients(tensors)
        adam.step()
        assert len(adam._segments) == len(adam._runs) == 1


def test_when_the_first_optimiser_is_gone() -> None:
    weights, expected = parameters(), parameters()
    train(weights, SGD(weights, 0.05), 2)  # and dropped
    gc.collect()
    assert all(place_of(each) is None for each in weights)
    path = train(weights, Adam(weights, 0.01), 2)
    train(expected, SGD(expected, 0.05), 2)
    assert_equal(path[-1], train(expected, Adam(expected, 0.01), 2)[-1])


def test_memory_is_freed() -> None:
    """Without the garbage collector: an optimiser, its blocks and its memory make no cycle."""
    gc.collect()
    gc.disable()
    try:
        weights = parameters()
        adam = Adam(weights)
        train(weights, adam, 2)
        owner = weakref.ref(weights[0]._data.base)
        memory = weakref.ref(adam._segments[0].memory["m"].base)
        weights[1]._data = weights[1]._data.copy()
        train(weights, adam, 1)  # repacked: the old memory goes
        assert owner() is None
        assert memory() is None
        owner = weakref.ref(weights[0]._data.base)
        del adam
        assert owner() is not None, "the weights live on"
        one = weights.pop()
        weights.clear()
        assert owner() is not None
        del one
        assert owner() is None
    finally:
        gc.enable()


# Graphs and state ---------------------------------------------------------------------------


def test_a_graph_from_before_the_step_is_refused() -> None:
    w, b, frozen = leaves((3,), (3,), (3,))
    frozen.requires_grad = False
    sgd = SGD([w, b, frozen], 0.1)
    for _ in range(2):  # the first packs
        of_w, of_b = (w * w).sum(), (b * b * frozen).sum()
        give_gradients([w])
        sgd.step()
        with pytest.raises(cr.GradientError, match="changed in place"):
            of_w.backward()
        of_b.backward()  # b and the frozen one were not stepped
        sgd.zero_grad()


def test_step_needs_no_no_grad_and_records_nothing() -> None:
    (w,) = leaves((3,))
    give_gradients([w])
    SGD([w]).step()
    assert w.is_leaf
    assert w.requires_grad


@every_kind
@pytest.mark.parametrize("steps", [0, 3])
def test_state_round_trip(kind: Any, steps: int) -> None:
    """Loaded before the first step, or into an optimiser that has its own already."""
    weights = parameters()
    optimizer = kind(weights)
    train(weights, optimizer, steps)
    optimizer.learning_rate *= 0.5
    state, start = optimizer.state(), values(weights)
    expected = train(weights, optimizer, 3)
    for steps_before in (0, 2):
        again = parameters()
        other = kind(again)
        train(again, other, steps_before)
        other.load_state(state)
        for each, value in zip(again, start, strict=True):
            each.assign(value)
        for a, b in zip(train(again, other, 3), expected, strict=True):
            assert_equal(a, b)


def test_a_loaded_count_of_steps_is_used_at_once() -> None:
    """Though the same parameters have gradients, those stepped less often come apart."""
    a, b = leaves((3,), (3,))
    adam = Adam([a, b], 0.1)
    give_gradients([a, b])
    adam.step()
    state = adam.state()
    adam.load_state({**state, "steps.1": 0, "m.1": np.zeros(3), "v.1": np.zeros(3)})
    before = b.numpy().copy()
    adam.step()
    np.testing.assert_allclose(np.abs(b.numpy() - before), 0.1, rtol=1e-6)


def test_state_is_a_copy() -> None:
    weights = parameters()
    adam = Adam(weights)
    train(weights, adam, 1)
    state = adam.state()
    frozen = copy.deepcopy(state)
    adam.load_state(state)
    train(weights, adam, 1)
    for name, value in state.items():
        np.testing.assert_array_equal(value, frozen[name])


def test_bad_states_change_nothing() -> None:
    weights = leaves((2, 3), (3,))
    adam = Adam(weights)
    give_gradients(weights)
    adam.step()
    good = adam.state()
    bad: list[tuple[dict[str, Any], type[Exception], str]] = [
        (SGD(weights).state(), ValueError, r"missing \['m.0', 'm.1', 'v.0', 'v.1'\]"),
        ({**good, "velocity.0": np.zeros(3)}, ValueError, r"unknown \['velocity.0'\]"),
        ({**good, "v.1": np.zeros((3, 1))}, cr.ShapeError, r"v.1 has shape \(3, 1\)"),
        ({**good, "m.1": np.zeros(3, int)}, cr.ShapeError, "m.1 has .*int64"),
        ({**good, "steps.0": -1}, ValueError, "steps.0 must be a whole number"),
        ({**good, "steps.0": 1.5}, ValueError, "steps.0 must be a whole number"),
        ({**good, "learning_rate": float("nan")}, ValueError, "learning_rate"),
    ]
    for state, error, message in bad:
        with pytest.raises(error, match=message):
            adam.load_state({**state, "m.0": np.ones((2, 3))} if "m.0" in state else state)
        for name, value in adam.state().items():
            np.testing.assert_array_equal(value, good[name])
