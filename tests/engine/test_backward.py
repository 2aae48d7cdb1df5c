"""The walk back: accumulation, freed graphs, hooks, stale values, and what it costs."""

from __future__ import annotations

import contextlib
import copy
import gc
import tracemalloc
import weakref

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.record import RECORDS
from chainrule.engine.tape import Node


def leaf(values, dtype="float64"):
    return cr.tensor(np.array(values, dtype), requires_grad=True)


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


# Accumulation -------------------------------------------------------------------------------


def test_gradients_accumulate_until_they_are_forgotten():
    x = leaf([1.0, 2.0])
    (x * 3).backward([1.0, -2.0])
    first = x.grad
    (x * x).backward([-1.0, 0.5])
    assert x.grad.tolist() == [1.0, -4.0]
    assert first.tolist() == [3.0, -6.0]  # what was handed out does not change
    x.zero_grad()
    assert x.grad is None
    (x * 3).backward([1.0, -2.0])
    assert x.grad.tolist() == [3.0, -6.0]


def test_every_path_to_a_leaf_counts():
    x = leaf(3.0)
    a = x * 2
    (a * a + a * x - x).backward(-2.0)  # 4x^2 + 2x^2 - x
    assert x.grad.item() == -2 * (12 * 3 - 1)


def test_a_leaf_is_its_own_gradient():
    x = leaf([1.0, 2.0])
    upstream = cr.tensor([3.0, -4.0])
    x.backward(upstream)
    assert x.grad.tolist() == [3.0, -4.0]
    assert not np.shares_memory(x.grad.numpy(), upstream.numpy())


def test_two_leaves_of_one_sum_do_not_share_their_gradient():
    x, y = leaf([1.0]), leaf([2.0])
    (x + y).backward([-3.0])
    x.grad.assign([7.0])
    assert y.grad.tolist() == [-3.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (2,)])
def test_gradients_have_the_dtype_of_what_they_belong_to(dtype, shape):
    x = leaf(np.ones(shape), dtype)
    y = x * np.full(shape, -2.5)  # float64
    y.retain_grad()
    y.backward(np.full(shape, 2, np.int64))
    assert (x.grad.dtype, y.grad.dtype) == (np.dtype(dtype), np.float64)
    assert type(x.grad) is cr.Tensor
    assert x.grad.shape == shape


def test_backward_needs_an_upstream_gradient_that_fits():
    x = leaf([1.0, 2.0])
    with pytest.raises(cr.ShapeError, match=r"backward: .*shape \(2,\).*one element"):
        (x * 2).backward()
    with pytest.raises(cr.ShapeError, match=r"upstream gradient has shape \(3,\)"):
        (x * 2).backward([1.0, 2.0, 3.0])
    with pytest.raises(cr.GradientError, match="requires no gradient"):
        cr.tensor(1.0).backward()


def test_one_element_of_any_shape_needs_no_upstream_gradient():
    x = leaf([[2.0]])
    (x * x).backward()
    assert x.grad.tolist() == [[4.0]]


# Freed graphs -------------------------------------------------------------------------------


def test_a_second_backward_is_an_error_that_names_the_remedy():
    x = leaf(2.0)
    y = x * x
    y.backward()
    with pytest.raises(cr.GradientError, match=r"'multiply'.*freed.*retain_graph=True"):
        y.backward()
    assert x.grad.item() == 4.0


def test_retain_graph_allows_a_second_backward():
    x = leaf(2.0)
    y = cr.exp(x * x)
    y.backward(-1.0, retain_graph=True)
    y.backward(3.0)
    np.testing.assert_allclose(x.grad.item(), 2 * 4 * np.exp(4.0), rtol=1e-15)


def test_a_shared_trunk_is_freed_with_the_first_branch():
    x = leaf(2.0)
    trunk = x * x
    left, right = trunk * 3, trunk * 5
    left.backward()
    before = x.grad.item()
    with pytest.raises(cr.GradientError, match="freed"):
        right.backward()
    assert x.grad.item() == before


def test_a_gradient_with_respect_to_a_middle_leaves_what_lies_below_alone():
    x = leaf([1.0, 2.0])
    middle = x * 3
    (gradient,) = cr.grad([(middle * middle).sum()], [middle])
    assert gradient.tolist() == [6.0, 12.0]
    middle.backward([1.0, -1.0])
    assert x.grad.tolist() == [3.0, -3.0]


def test_a_gradient_with_respect_to_a_middle_runs_no_vjp_below():
    calls = []
    spy = cr.operation("spy", forward=lambda k, x: x * 2, vjp=lambda k, g: calls.append(1) or g * 2)
    middle = spy(leaf(1.0))
    cr.grad(middle * middle, middle)
    assert calls == []


# Watching -----------------------------------------------------------------------------------


def test_computed_tensors_keep_a_gradient_when_asked():
    x = leaf([1.0, 2.0])
    y, z = x * 2, None
    y.retain_grad()
    z = y * y
    z.backward([1.0, -1.0])
    assert y.grad.tolist() == [4.0, -8.0]
    assert z.grad is None
    assert not np.shares_memory(y.grad.numpy(), x.grad.numpy())
    with pytest.raises(cr.GradientError, match="requires no gradient"):
        cr.tensor(1.0).retain_grad()


def test_hooks_see_and_replace_the_whole_gradient():
    x, seen = leaf(3.0), []
    y = x * 2
    y.register_hook(lambda g: seen.append(g.item()))
    remove = y.register_hook(lambda g: g * 10)
    y.register_hook(lambda g: seen.append(g.item()))
    (y * y + y).backward(-1.0, retain_graph=True)
    assert seen == [-13.0, -130.0]
    assert x.grad.item() == -260.0
    remove()
    remove()  # removing twice does nothing
    x.zero_grad()
    (y * 1).backward()
    assert x.grad.item() == 2.0


def test_a_hook_on_a_leaf_that_is_the_only_one_left_still_keeps_the_gradient():
    x = leaf(1.0)
    x.register_hook(lambda g: -g)
    (x * 5).backward()
    assert x.grad.item() == -5.0


@pytest.mark.parametrize("answer", [3.0, cr.zeros(3), np.zeros(2)])
def test_a_hook_that_returns_something_else_is_refused(answer):
    x = leaf([1.0, 2.0])
    x.register_hook(lambda g: answer)
    with pytest.raises(cr.GradientError, match=r"register_hook: .*Tensor of shape \(2,\)"):
        (x * 2).backward([1.0, 2.0])


def test_a_hook_does_not_change_the_dtype_of_a_gradient():
    x = leaf([1.0, 2.0], "float32")
    x.register_hook(lambda g: cr.tensor([1.0, -2.0]))
    try:
        (x * 2).backward([1.0, 2.0])
    except (cr.GradientError, cr.DtypeError):
        return
    assert x.grad.dtype == np.float32


def test_a_hook_that_writes_into_its_gradient_harms_nobody_else():
    def scale(gradient):
        with contextlib.suppress(ValueError, RuntimeError):  # read-only is an answer too
            gradient *= 10

    x, y = leaf([1.0]), leaf([2.0])
    a, b = x * 1, y * 1
    b.register_hook(scale)
    upstream = cr.tensor([-1.0])
    (a + b).backward(upstream)
    assert x.grad.tolist() == [-1.0]
    assert upstream.tolist() == [-1.0]


# In-place changes ---------------------------------------------------------------------------

CHANGES = {
    "-=": lambda x: x.__isub__(1.0),
    "*=": lambda x: x.__imul__(2.0),
    "assign": lambda x: x.assign(np.zeros(x.shape)),
    "x[...] =": lambda x: x.__setitem__(..., 7.0),
    "transpose": lambda x: x.T.__iadd__(1.0),
    "row": lambda x: x[0].__iadd__(1.0),
    "reshape": lambda x: x.reshape(-1).__iadd__(1.0),
    "detach": lambda x: x.detach().__iadd__(1.0),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_stale_value_is_refused(change):
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    y = (x * x).sum()
    with cr.no_grad():
        change(x)
    with pytest.raises(cr.GradientError, match=r"'multiply'.*changed in place"):
        y.backward()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_value_that_no_vjp_reads_raises_no_alarm(change):
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    y = (x + 2.0) * 3.0 - x
    with cr.no_grad():
        change(x)
    y.backward([[1.0, -1.0], [2.0, 0.5]])
    assert x.grad.tolist() == [[2.0, -2.0], [4.0, 1.0]]


def test_a_stale_result_is_refused():
    x = leaf([1.0, 2.0])
    y = cr.exp(x)
    with cr.no_grad():
        y -= 1.0
    with pytest.raises(cr.GradientError, match=r"'exp'.*changed in place"):
        y.backward([1.0, 1.0])


def test_a_stale_constant_is_refused():
    x, factor = leaf([1.0, 2.0]), cr.tensor([3.0, 4.0])
    y = x * factor
    factor += 1.0
    with pytest.raises(cr.GradientError, match="changed in place"):
        y.backward([1.0, 1.0])


@pytest.mark.parametrize("index", [[0, 1], 0, np.array([True, False])], ids=["list", "int", "mask"])
def test_an_index_that_copies_raises_no_alarm(index):
    x = leaf([1.0, 2.0])
    part = x[index]
    expected = 2 * part.numpy()
    y = part * part
    with cr.no_grad():
        x -= 1.0
    y.backward(np.ones(y.shape))
    np.testing.assert_array_equal(x.grad.numpy()[index], expected)


@pytest.mark.parametrize("kind", [np.array, cr.tensor, list], ids=["array", "tensor", "list"])
def test_an_index_that_is_changed_later_changes_no_gradient(kind):
    x, index = leaf([1.0, 2.0, 3.0]), kind([0, 1])
    y = x[index]
    index[0] = 2
    y.backward([1.0, -5.0])
    assert x.grad.tolist() == [1.0, -5.0, 0.0]


def test_in_place_changes_while_recording_are_refused_or_made_new():
    w, data = leaf([1.0, 2.0]), cr.tensor([1.0, 2.0])
    for attempt in (
        lambda: w.__isub__(1.0),
        lambda: w.__setitem__(0, 1.0),
        lambda: data.__setitem__(0, w[0]),
    ):
        with pytest.raises(cr.GradientError, match=r"no_grad\(\)"):
            attempt()
    computed = before = w * 2
    computed += w
    assert computed is not before
    computed.backward([1.0, -1.0])
    assert w.grad.tolist() == [3.0, -3.0]
    data += w
    assert data.requires_grad


def test_an_update_keeps_the_leaf_and_its_memory():
    w = leaf([1.0, 2.0], "float32")
    memory, same = w.numpy(), w
    (w * w).backward([1.0, 1.0])
    with cr.no_grad():
        w -= 0.25 * w.grad
    assert w is same
    assert w.requires_grad
    assert w.dtype == np.float32
    assert memory.tolist() == [0.5, 1.0]


def test_in_place_changes_that_do_not_fit_are_refused_by_name():
    x = cr.tensor([1, 2])
    with pytest.raises(cr.DtypeError, match=r"\+=: .*int64"):
        x += 0.5
    with pytest.raises(cr.ShapeError, match=r"\*=: "):
        x *= np.ones((3, 2), int)
    with pytest.raises(cr.ShapeError, match=r"assign: .*\(2,\).*\(3,\)"):
        x.assign([1, 2, 3])


@pytest.mark.parametrize("held", [True, False], ids=["held", "dropped"])
@pytest.mark.parametrize("forget", [True, False], ids=["anew", "added"])
def test_a_graph_of_a_packed_gradient_is_stale_once_the_next_one_is_written(held, forget):
    """An optimiser lets all gradients of a parameter be written into one buffer."""
    x = leaf([1.0, 2.0])
    optimizer = cr.optim.SGD([x], 1e-30)
    (x * x).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    (x * x).sum().backward()
    gradient = x.grad
    y = (gradient * x).sum()
    later = (gradient * 1.0 * x).sum()  # what it saved is a copy
    if not held:
        del gradient
    if forget:
        x.grad = None
    (x * 5.0).sum().backward()
    with pytest.raises(cr.GradientError, match=r"'multiply'.*changed in place"):
        y.backward()
    x.grad = None
    later.backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_a_gradient_that_moved_out_of_the_buffer_is_changed_no_more():
    x = leaf([1.0, 2.0])
    optimizer = cr.optim.SGD([x], 1e-30)
    (x * x).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    (x * x).sum().backward()
    gradient = x.grad
    x.grad = None
    (x * 5.0).sum().backward()  # writes the buffer
    y = (gradient * x).sum()
    x.grad = None
    (x * 7.0).sum().backward()  # and again
    x.grad = None
    y.backward()
    assert x.grad.tolist() == gradient.tolist() == [2.0, 4.0]


# Length and memory --------------------------------------------------------------------------


def chain(length):
    x = leaf(1.0)
    y = x
    for _ in range(length):
        y = y + 1.0
    return x, y


@pytest.mark.slow
def test_a_million_additions_go_there_and_back_without_recursion():
    x, y = chain(1_000_000)
    assert y.item() == 1_000_001.0
    y.backward(-3.0)
    assert x.grad.item() == -3.0
    _, dropped = chain(200_000)
    del dropped  # a recursive destructor would overflow the C stack here


def test_the_memory_of_a_chain_is_linear_in_its_length(no_collector):
    def peak(length):
        tracemalloc.start()
        _, y = chain(length)
        y.backward()
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    short, long = peak(2_000), peak(8_000)
    assert long < 4.4 * short
    assert long / 8_000 < 1_000  # bytes an operation


def test_the_work_on_shared_subexpressions_is_linear():
    """Each of 100,000 nodes reads the one before it twice: 2**100000 paths, 100,000 VJPs."""
    calls = []
    double = cr.operation(
        "counted",
        forward=lambda k, a, b: 0.5 * a + 0.5 * b,
        vjp={"a": lambda k, g: calls.append(1) or 0.5 * g, "b": lambda k, g: 0.5 * g},
    )
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = double(y, y)
    y.backward(-2.0)
    assert len(calls) == 100_000
    assert x.grad.item() == -2.0


def test_each_node_of_a_tangle_is_visited_once():
    """Diamonds: each node adds the one before it and an older one, drawn at random."""
    calls, length = [], 100_000
    mix = cr.operation(
        "mix",
        forward=lambda k, a, b: 0.5 * a + 0.5 * b,
        vjp={"a": lambda k, g: calls.append(1) or 0.5 * g, "b": lambda k, g: 0.5 * g},
    )
    older = (np.random.default_rng(0).random(length) * np.arange(1, length + 1)).astype(int)
    nodes = [leaf(1.0)]
    for i in older:
        nodes.append(mix(nodes[-1], nodes[i]))
    nodes[-1].backward(-2.0)
    assert len(calls) == length
    assert abs(nodes[0].grad.item() + 2.0) < 1e-9  # weights of all paths add up to 1


def count_nodes():
    return sum(type(each) is Node for each in gc.get_objects())


@pytest.mark.parametrize("name", ["exp", "tanh", "relu", "softmax", "sqrt", "max"])
def test_a_dropped_graph_frees_its_memory_at_once(no_collector, name):
    x = leaf(np.linspace(0.1, 1.0, 1000))
    before = count_nodes()
    y = RECORDS[name].function(x * 2)
    result = weakref.ref(y._data)
    del y
    assert result() is None
    assert count_nodes() == before


def test_backward_frees_what_the_graph_saved(no_collector):
    x = leaf(np.linspace(0.1, 1.0, 1000))
    middle = cr.exp(x)
    y = (middle * middle).sum()
    saved = weakref.ref(middle._data)
    del middle
    assert saved() is not None
    y.backward()
    assert saved() is None


def test_a_graph_of_a_gradient_is_dropped_at_once_too(no_collector):
    x = leaf([1.0, 2.0])
    before = count_nodes()
    for _ in range(3):
        y = (cr.tanh(x) * x).sum()
        (gradient,) = cr.grad([y], [x], create_graph=True)
        (gradient * gradient).sum().backward()
        del y, gradient
    assert count_nodes() == before


def test_a_dropped_loop_of_training_leaves_nothing_behind(no_collector):
    w = leaf(np.ones((50, 50)))

    def step():
        loss = (cr.relu(cr.ones((8, 50)) @ w) ** 2).mean()
        loss.backward()
        with cr.no_grad():
            w.assign(w.numpy() - 1e-3 * w.grad.numpy())
        w.zero_grad()

    step()
    tracemalloc.start()
    step()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(20):
        step()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 8 * 50 * 50  # less than one more array of that size


def test_a_copy_of_a_leaf_is_a_leaf_with_memory_of_its_own():
    x = leaf([1.0, 2.0])
    (x * x).backward([1.0, -1.0])
    twin = copy.deepcopy(x)
    assert twin.requires_grad
    assert twin.is_leaf
    assert twin.grad.tolist() == x.grad.tolist()
    assert not np.shares_memory(twin.grad.numpy(), x.grad.numpy())
    assert not np.shares_memory(twin.numpy(), x.numpy())
    with pytest.raises(cr.GradientError, match="deepcopy"):
        copy.deepcopy(x * 2)
