"""Checkpoints: the same results and gradients with less memory, or an error."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.devices import state
from chainrule.engine.random import generator
from chainrule.engine.tape import Node


def leaf(values, dtype="float64"):
    return cr.tensor(np.array(values, dtype), requires_grad=True)


def drawn(seed, shape=(4, 5)):
    return np.random.default_rng(seed).normal(size=shape)


def plain(function, *args, **kwargs):
    return function(*args, **kwargs)


def exact(left, right):
    """The same bits, signs of zeros included."""
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert a.numpy().tobytes() == b.numpy().tobytes()


class Block:
    """Parameters that a function closes over, each used more than once."""

    def __init__(self, seed, dtype="float64"):
        self.w = leaf(drawn(seed, (5, 5)) / 2, dtype)
        self.b = leaf(drawn(seed + 1, (5,)), dtype)

    def __call__(self, x, scale=1.0):
        h = cr.tanh(x @ self.w + self.b)
        return cr.exp(h * 0.3) * cr.sin(x @ self.w) * scale + h * self.b


BLOCK = Block(0)
W, B = BLOCK.w, BLOCK.b


def nested(through, x):
    return through(lambda y: through(BLOCK, cr.sin(y)) * y + through(BLOCK, y), x)


def chain(through, x):
    for scale in (1.0, -0.5, 2.0, 1.0):
        x = through(BLOCK, x, scale=scale)
    return x


def computed_outside(through, x):
    v = W * 2.0 - 1.0
    y = through(lambda: cr.tanh(x @ v) * v[0] * B)  # nothing but what it closes over
    return y * v[1] + x @ v


def used_twice(through, x):
    y = through(BLOCK, x)
    return y * through(BLOCK, y) + cr.exp(-y * y)


def several(through, x):
    def function(x):
        h = BLOCK(x)
        return h, [cr.exp(-h * h) * B, {"sum": (h * x).sum(), "count": 3}], h, x

    h, (e, rest), again, same = through(function, x)
    assert rest["count"] == 3
    assert same is x
    assert again is h
    return h * e * rest["sum"] + again * 0.1 + x


def unused_results(through, x):
    first, _, third = through(lambda x: (cr.sin(x), BLOCK(x), x @ W), x)
    return first * third


def random_numbers(through, x):
    x = x * cr.random.uniform((5,))
    for _ in range(3):
        x = through(lambda x: BLOCK(x) * cr.random.normal((4, 5)), x)
        x = x + cr.random.normal((5,))
    return x


def mixed_dtypes(through, x):
    def function(x):
        narrow = x.astype("float32")
        return narrow * narrow, x * B

    a, b = through(function, x)
    return a * b + a


def keyword_and_list(through, x):
    def function(pair, *, table, count):
        return (pair[0] @ pair[1]) * table["b"] * count

    return through(function, [x, W], table={"b": B}, count=2)


PROGRAMS = {
    each.__name__: each
    for each in (
        nested,
        chain,
        computed_outside,
        used_twice,
        several,
        unused_results,
        random_numbers,
        mixed_dtypes,
        keyword_and_list,
    )
}
programs = pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)


def outcome(program, through, collect):
    """What a program computes, what `collect` makes of it, and the next random number."""
    cr.seed(11)
    x = leaf(drawn(7))
    y = program(through, x)
    return [y, *collect(y, [x, W, B]), cr.random.normal((2,))]


def by_backward(y, leaves):
    for each in leaves:
        each.grad = None
    y.backward(drawn(3))
    return [cr.zeros(()) if each.grad is None else each.grad for each in leaves]


def by_grad(y, leaves):
    return cr.grad([y], leaves, [drawn(3)], allow_unused=True)


def by_two_passes(y, leaves):
    first = cr.grad([y], leaves, [drawn(3)], retain_graph=True, allow_unused=True)
    second = cr.grad([y], leaves, [drawn(4)], allow_unused=True)
    with pytest.raises(cr.GradientError, match="freed"):
        y.backward(drawn(3))
    return [*first, *second]


def by_create_graph(y, leaves):
    return cr.grad([y], leaves, [drawn(3)], create_graph=True, allow_unused=True)


@programs
@pytest.mark.parametrize("collect", [by_grad, by_two_passes, by_create_graph])
def test_the_same_bits_as_the_plain_call(program, collect):
    exact(outcome(program, cr.checkpoint, collect), outcome(program, plain, collect))


@programs
def test_the_same_bits_kept_in_the_leaves(program):
    exact(outcome(program, cr.checkpoint, by_backward), outcome(program, plain, by_backward))


@programs
def test_second_derivatives_agree_to_rounding(program):
    def collect(y, leaves):
        firsts = cr.grad([y], leaves, [drawn(3)], create_graph=True, allow_unused=True)
        total = sum(
            ((each * drawn(5 + i, each.shape)).sum() for i, each in enumerate(firsts)),
            cr.tensor(0.0),
        )
        return cr.grad([total], leaves, allow_unused=True)

    for a, b in zip(
        outcome(program, cr.checkpoint, collect), outcome(program, plain, collect), strict=True
    ):
        scale = np.abs(b.numpy()).max()
        # Sums of a few hundred terms in another order; float32's epsilon is 1.2e-7.
        tolerance = 1e-6 if program is mixed_dtypes else 1e-12
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=0, atol=tolerance * max(1.0, scale))


def test_transformations_go_through_checkpoints():
    def f(through):
        return lambda x: (nested(through, x) * drawn(2)).sum()

    x, v = drawn(0), drawn(1)
    for transform in (
        lambda f: cr.grad(f)(x),
        lambda f: cr.jvp(f, x, v)[1],
        lambda f: cr.hvp(f, x, v)[1],
        lambda f: cr.jacobian(cr.grad(f))(x),
        lambda f: cr.grad(lambda x: cr.jvp(f, x, v)[1])(x),
    ):
        ours, theirs = transform(f(cr.checkpoint)).numpy(), transform(f(plain)).numpy()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * np.abs(theirs).max())


def test_transformations_go_through_in_a_checkpoint_too():
    x = leaf(drawn(0))

    def function(x):
        return cr.grad(lambda y: (BLOCK(y) * x).sum())(x) * B

    exact(
        cr.grad(cr.checkpoint(function, x).sum(), [x, W, B]),
        cr.grad(function(x).sum(), [x, W, B]),
    )


def test_an_outer_gradient_sees_what_a_checkpoint_closes_over():
    """d/da d/dx (a x^2) = 2x, though only the checkpoint knows of a."""

    def outer(a):
        return cr.grad(lambda x: cr.checkpoint(lambda t: a * t * t, x))(2.0)

    assert cr.grad(outer)(3.0).item() == 4.0
    assert cr.jvp(outer, 3.0, 1.0)[1].item() == 4.0


# Plain calls --------------------------------------------------------------------------------


def test_where_nothing_is_recorded_the_call_is_plain():
    calls = []

    def function(x):
        calls.append(x)
        return x * 2

    x = leaf(1.0)
    with cr.no_grad():
        assert not cr.checkpoint(function, x).requires_grad
    constant = cr.tensor(1.0)
    assert not cr.checkpoint(function, constant).requires_grad
    assert cr.checkpoint(lambda: x) is x
    assert cr.checkpoint(lambda: 3) == 3
    assert calls == [x, constant]


def test_backward_in_no_grad_records_the_second_run():
    x = leaf(2.0)
    y = cr.checkpoint(lambda x: x * x * x, x)
    with cr.no_grad():
        y.backward()
        assert not cr.is_recording()
    assert x.grad.item() == 12.0


def test_the_function_runs_once_more_for_each_backward_pass():
    calls = []

    def function(x):
        calls.append(state.recomputing)
        return cr.exp(x), cr.sin(x)

    a, b = cr.checkpoint(function, leaf(1.0))
    y = a * b + a
    y.backward(retain_graph=True)
    y.backward()
    assert calls == [False, True, True]
    assert not state.recomputing


def test_a_gradient_above_the_checkpoint_runs_nothing():
    calls = []
    y = cr.checkpoint(lambda x: calls.append(1) or cr.exp(x), leaf(1.0))
    cr.grad(y * y, y)
    assert len(calls) == 1


def test_hooks_see_the_whole_gradient_once():
    x, seen = leaf(3.0), []
    x.register_hook(lambda g: seen.append(("x", g.item())))
    middle = x * 2
    middle.register_hook(lambda g: seen.append(("middle", g.item())))

    def function(m):
        inner = m * m
        if state.recomputing:
            inner.register_hook(lambda g: seen.append(("inner", g.item())) or g * 10)
        return inner * x + m

    y = cr.checkpoint(function, middle)
    y.register_hook(lambda g: seen.append(("y", g.item())))
    y.retain_grad()
    (y * 1 + middle).backward()
    # y = m^2 x + m; the hook makes dy/dm = 10 * 2 m x + 1; and one more path to m
    assert seen == [("y", 1.0), ("inner", 3.0), ("middle", 362.0), ("x", 36.0 + 724.0)]
    assert y.grad.item() == 1.0


def test_a_changed_hook_of_a_result_holds():
    x = leaf(2.0)
    y = cr.checkpoint(lambda x: x * x, x)
    y.register_hook(lambda g: -g)
    y.backward()
    assert x.grad.item() == -4.0


def test_the_kernel_set_of_the_call_computes_the_second_run():
    seen = []

    def record(k, x):
        seen.append(k.name)
        return x * 2

    spy = cr.operation("kernel_spy", forward=record, vjp=lambda k, g: seen.append(k.name) or g * 2)
    with cr.kernels("reference"):
        y = cr.checkpoint(lambda x: spy(x), leaf(1.0))
    y.backward()
    assert seen == ["reference"] * 3
    assert state.mode is None


def test_the_generator_is_where_it_was_even_if_the_function_seeds_or_fails():
    x = leaf(1.0)

    def function(x):
        cr.seed(5)
        return x * cr.random.normal()

    y = cr.checkpoint(function, x)
    cr.seed(1)
    source, before = generator(), generator().bit_generator.state
    y.backward()
    assert generator() is source
    assert generator().bit_generator.state == before

    def failing(x):
        cr.random.normal((3,))
        if state.recomputing:
            raise ZeroDivisionError
        return x * 2

    y = cr.checkpoint(failing, x)
    before = generator().bit_generator.state
    with cr.no_grad(), pytest.raises(ZeroDivisionError):
        y.backward()
    assert generator().bit_generator.state == before
    assert (state.recording, state.mode, state.recomputing) == (True, None, False)


def test_arrays_are_copied():
    x, array = leaf([1.0, 2.0]), np.array([3.0, 4.0])
    y = cr.checkpoint(lambda x, a, b: x * a * b[0], x, array, [array])
    array[:] = 0.0
    y.backward([1.0, -1.0])
    assert x.grad.tolist() == [9.0, -16.0]


def test_an_argument_that_is_made_a_constant_later_had_a_gradient():
    x = leaf(2.0)
    node = x._node
    y = cr.checkpoint(lambda x: x * x, x)
    x.requires_grad = False
    y.backward()
    assert node.watch.grad.item() == 4.0


def test_a_layer_that_is_built_by_its_first_call():
    class Lazy:
        w = None

        def __call__(self, x):
            if self.w is None:
                self.w = leaf(2.0)
            return cr.exp(self.w * x)

    lazy, x = Lazy(), leaf(0.5)
    cr.checkpoint(lazy, x).backward()
    assert lazy.w.grad.item() == 0.5 * np.exp(1.0)
    assert x.grad.item() == 2.0 * np.exp(1.0)


# What must not change -----------------------------------------------------------------------


def changes():
    """Ways to change a tensor in place."""

    def assign(x):
        x.assign(x.numpy() * (1 + 1e-12))  # far below what a comparison of values could see

    def step(x):
        with cr.no_grad():
            x -= 1e-12

    def item(x):
        with cr.no_grad():
            x[0] = 1.25

    def view(x):
        with cr.no_grad():
            x.T.assign(x.T.numpy() * 2)

    return {"assign": assign, "step": step, "item": item, "view": view}


@pytest.mark.parametrize("change", changes().values(), ids=changes())
@pytest.mark.parametrize("which", ["argument", "constant argument", "weight", "bias", "nested"])
def test_an_in_place_change_is_refused(change, which):
    """The bias is read by no VJP, but by the second run."""
    x, w, b, c = leaf(drawn(0)), leaf(drawn(1)), leaf(drawn(2, (5,))), cr.tensor(drawn(3))

    def function(x, c):
        return cr.exp(x * w + b + c)

    if which == "nested":
        y = cr.checkpoint(lambda x, c: cr.checkpoint(function, x * 2, c), x, c)
    else:
        y = cr.checkpoint(function, x, c)
    changed = {"argument": x, "constant argument": c, "weight": w, "bias": b, "nested": b}[which]
    change(changed)
    with pytest.raises(cr.GradientError, match=r"'checkpoint' .*changed in place"):
        y.sum().backward()


def test_a_changed_constant_that_is_closed_over_is_refused():
    x, constant, array = leaf([1.0, 2.0]), cr.tensor([3.0, 4.0]), np.array([1.0, 1.0])
    y = cr.checkpoint(lambda x: cr.exp(x) * constant, x)  # the VJP reads it
    constant *= 1 + 1e-12
    with pytest.raises(cr.GradientError, match="changed in place"):
        y.backward([1.0, 1.0])
    y = cr.checkpoint(lambda x: cr.exp(x + constant), x)  # only the second run reads it
    constant *= 1.001
    with pytest.raises(cr.GradientError, match=r"checkpoint: .*result 0, .*other values"):
        y.backward([1.0, 1.0])
    y = cr.checkpoint(lambda x: cr.exp(x + array), x)
    array[0] = 2.0
    with pytest.raises(cr.GradientError, match=r"checkpoint: .*result 0, .*other values"):
        y.backward([1.0, 1.0])
    assert x.grad is None


def test_a_change_of_what_is_not_read_raises_no_alarm():
    x, elsewhere = leaf([1.0, 2.0]), cr.tensor([3.0])
    y = cr.checkpoint(lambda x: x * 3.0, x)
    with cr.no_grad():
        y *= 2.0
    elsewhere += 1.0
    y.backward([1.0, -1.0])
    assert x.grad.tolist() == [3.0, -3.0]


def test_a_result_that_is_changed_in_place_and_read_is_refused():
    y = cr.checkpoint(lambda x: cr.exp(x), leaf([1.0, 2.0]))
    with cr.no_grad():
        y *= 2.0
    with pytest.raises(cr.GradientError, match="changed in place"):
        y.backward([1.0, 1.0])


def test_a_rebound_parameter_is_refused():
    table = {"w": leaf(2.0)}
    y = cr.checkpoint(lambda x: x * table["w"], leaf(3.0))
    table["w"] = leaf(2.0)
    with pytest.raises(cr.GradientError, match="other tensors that require gradients"):
        y.backward()


@pytest.mark.parametrize("run", [False, True])
def test_a_parameter_that_is_used_in_one_run_only_is_refused(run):
    x, w = leaf(3.0), leaf(2.0)
    y = cr.checkpoint(lambda x: x * 2 + (0 * w if state.recomputing is run else 0), x)
    with pytest.raises(cr.GradientError, match="other tensors that require gradients"):
        y.backward()


@pytest.mark.parametrize(
    ("second", "match"),
    [
        (lambda x: x[:1], r"result 0 has shape \(1,\), float64, where .* shape \(2,\), float64"),
        (lambda x: x.astype("float32"), r"result 0 has shape \(2,\), float32"),
        (lambda x: x.detach(), "result 0 .*requires no gradient"),
        (lambda x: 3.0, "result 0 is missing"),
        (lambda x: (x * 2) * 2, "result 0.* has other values"),
        (lambda x: x * np.nan, "result 0.* has other values"),
    ],
)
def test_a_function_that_computes_something_else_is_refused(second, match):
    x = leaf([1.0, 2.0])
    y = cr.checkpoint(lambda x: second(x * 2) if state.recomputing else x * 2, x)
    with pytest.raises(cr.GradientError, match=f"checkpoint: .*{match}"):
        y.backward([1.0, 1.0])
    assert x.grad is None


def test_rounding_nan_and_infinity_are_no_difference():
    x = leaf([1.0, np.nan, 3.0, -0.0])
    y = cr.checkpoint(lambda x: x * (1 + 1e-15 * state.recomputing) + [0, 0, np.inf, 0], x)
    y.backward(np.ones(4))
    np.testing.assert_allclose(x.grad.numpy(), np.ones(4))


def test_numbers_from_elsewhere_are_refused():
    rng = np.random.default_rng(0)
    y = cr.checkpoint(lambda x: x * rng.normal(size=2), leaf([1.0, 2.0]))
    with pytest.raises(cr.GradientError, match="did not compute the same"):
        y.backward([1.0, 1.0])


def test_one_result_frees_the_others():
    a, b = cr.checkpoint(lambda x: (cr.exp(x), cr.sin(x)), leaf(1.0))
    a.backward()
    with pytest.raises(cr.GradientError, match=r"'checkpoint'.*retain_graph=True"):
        b.backward()


def test_an_interrupted_pass_leaves_no_gradient_behind():
    """A walk that fails between two results and their call must not count in the next one."""
    x = leaf(2.0)
    a, b = cr.checkpoint(lambda x: (x * 3.0, x * 5.0), x)

    def stop(gradient):
        raise ZeroDivisionError

    remove = a.register_hook(stop)  # b is the newer node: it has handed its gradient on by then
    with pytest.raises(ZeroDivisionError):
        (a + b).backward(retain_graph=True)
    remove()
    (a + b).backward()
    assert x.grad.item() == 8.0


# Memory -------------------------------------------------------------------------------------

SEGMENTS, OPERATIONS, SIZE = 16, 8, 16_384  # 128 KiB an array


def segment(x):
    for _ in range(OPERATIONS // 2):
        x = cr.sin(x) * 1.5  # sin keeps its argument, the product nothing of its size
    return x


def peak(through, **options):
    """Bytes that one forward and backward pass needs at most, beyond its start."""
    x = leaf(np.linspace(0.0, 1.0, SIZE))
    gc.collect()
    tracemalloc.start()
    y = x
    for _ in range(SEGMENTS):
        y = through(segment, y)
    upstream = np.ones(SIZE)
    y.backward(upstream, **options)
    _, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert x.grad is not None
    return highest


@pytest.mark.parametrize("retain_graph", [False, True])
def test_the_peak_of_a_chain_is_its_results_and_one_segment(retain_graph):
    """In arrays: plain, each sine keeps its argument: 16 segments of 4.

    With checkpoints 16 results, the inner values of one segment (4 kept by sines, 2 in the making),
    and a few upstream gradients with their copies (at most 4).
    """
    array = 8 * SIZE
    slack = 4 * array  # of nodes and Python objects
    assert peak(plain, retain_graph=retain_graph) >= SEGMENTS * OPERATIONS // 2 * array
    bound = (SEGMENTS + OPERATIONS // 2 + 2 + 4) * array + slack
    assert peak(cr.checkpoint, retain_graph=retain_graph) <= bound
    assert bound < SEGMENTS * OPERATIONS // 2 * array / 2


def test_a_checkpoint_keeps_no_inner_node_and_is_freed_at_once():
    def count():
        return sum(type(each) is Node for each in gc.get_objects())

    x = leaf(drawn(0))
    gc.collect()
    gc.disable()
    try:
        before = count()
        y = cr.checkpoint(segment, x)
        assert count() == before + 2  # the call and its result
        del y
        assert count() == before
        y = cr.checkpoint(segment, x)
        y.backward(drawn(1), retain_graph=True)
        assert count() == before + 2
        y.backward(drawn(1))
        assert count() == before + 1  # the result forgets the call
        del y
        x.grad = None
        assert count() == before
    finally:
        gc.enable()
