"""The first NaN or infinity is named; saved values that changed are refused; all else stays off."""

from __future__ import annotations

import gc
import inspect
import threading
import weakref

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers, models
from chainrule.engine.anomaly import Origin, check_sum
from chainrule.engine.devices import state
from chainrule.engine.record import RECORDS
from tests.engine.test_backward import CHANGES, count_nodes, no_collector  # noqa: F401


def leaf(values, dtype="float64"):
    return cr.tensor(np.array(values, dtype), requires_grad=True)


def here(offset=0):
    """The file and the number of the line that calls it, plus an offset, as errors show them."""
    return f"{__file__}:{inspect.currentframe().f_back.f_lineno + offset}:"


@pytest.fixture(autouse=True)
def state_is_put_back():
    yield
    assert state.mode is None
    assert state.layers == ()


def anomaly(function, **options):
    """The text of the error that a function raises under detection."""
    with pytest.raises(cr.AnomalyError) as caught, cr.detect_anomaly(**options):
        function()
    return str(caught.value)


# Forward ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_operation_that_makes_a_nan_is_named(recorded, dtype):
    x = cr.tensor([[1.0, -4.0], [0.25, 2.0]], dtype=dtype, requires_grad=recorded)
    with pytest.raises(cr.AnomalyError) as caught, cr.detect_anomaly():
        line = here(1)
        cr.log(x)
    text = str(caught.value)
    assert text.startswith("forward: 'log' made 1 NaN, of finite inputs\n")
    assert f"line:   {line} cr.log(x)\n" in text
    assert f"x:      shape (2, 2), {dtype}, from -4 to 2\n" in text
    assert "result: shape (2, 2)" in text
    assert "the first at (0, 1)" in text


@pytest.mark.parametrize(
    ("function", "bad"),
    [
        (lambda: cr.exp(cr.tensor([1.0, 1000.0])), "1 +Inf"),
        (lambda: cr.tensor([1.0, 2.0]) / cr.tensor([0.0, -0.0]), "1 +Inf and 1 -Inf"),
        (lambda: cr.tensor([0.0, 1.0]) / 0.0, "1 NaN and 1 +Inf"),
        (lambda: cr.sqrt(cr.tensor(-1.0)), "1 NaN"),
        (lambda: cr.tensor([1, 0]) / cr.tensor([0, 0]), "1 NaN and 1 +Inf"),
        (lambda: cr.tensor([3e38], dtype="float32") * 2, "1 +Inf"),
        (lambda: cr.tensor([1e300]).astype("float32"), "1 +Inf"),
    ],
)
def test_what_was_made_is_counted(function, bad):
    text = anomaly(function)
    assert f"made {bad}, of finite inputs" in text
    assert ("inf=False" in text) is ("NaN" not in bad)


def test_the_operation_that_meets_a_nan_says_so_and_where_it_came_from():
    x = leaf([np.nan, 1.0])
    text = anomaly(lambda: x * 2.0)
    assert text.startswith(
        "forward: 'multiply' is the first to meet input that is not finite: a (1 NaN)\n"
    )
    assert "a leaf, given by the user" in text
    before = x * 1.0
    assert "the result of 'multiply', computed outside of detect_anomaly" in anomaly(
        lambda: cr.exp(before)
    )
    assert "b (1 +Inf)" in anomaly(lambda: cr.tensor([1.0]) + np.inf)


def test_a_nan_assigned_under_detection_is_traced_to_its_line():
    w, line = leaf([1.0, 2.0]), []

    def run():
        line.append(here(1))
        w.assign([1.0, np.nan])
        w + 1.0

    assert f"changed in place, {line[0] if line else ''}" in (text := anomaly(run))
    assert line[0] in text


def test_who_does_not_pass_a_nan_on_is_left_alone():
    x = leaf([np.nan, 1.0, np.inf])
    with cr.detect_anomaly():
        fine = cr.where(cr.tensor([False, True, False]), x, 0.0)
        assert (x > 0).tolist() == [False, True, True]
        assert x.argmax().item() == 0
        assert x[1].item() == 1.0
        fine.backward([1.0, -2.0, 3.0])
    assert x.grad.tolist() == [0.0, -2.0, 0.0]


def test_integers_and_empty_tensors_are_never_anomalous():
    with cr.detect_anomaly():
        assert (cr.tensor([2**62]) * 4).tolist() == [0]
        assert cr.log(cr.zeros((0, 3))).shape == (0, 3)


def test_infinities_may_be_meant():
    x, mask = leaf([1.0, -2.0]), cr.tensor([True, False])

    def attention():
        weights = cr.softmax(cr.where(mask, x, -np.inf))
        weights.backward([0.5, -3.0])
        return weights.tolist()

    assert "'where' is the first to meet" in anomaly(attention)
    with cr.detect_anomaly(inf=False):
        assert attention() == [1.0, 0.0]
    everything = cr.tensor([-np.inf, -np.inf])
    text = anomaly(lambda: everything - everything, inf=False)
    assert "'subtract' made 2 NaN, of infinite inputs" in text
    with cr.detect_anomaly(nan=False, inf=False), np.errstate(invalid="ignore"):
        assert np.isnan((everything - everything).numpy()).all()


def test_an_operation_made_of_others_is_named_with_its_part():
    ours = {"__name__": "chainrule.engine.operations.invented"}
    exec("def forward(k, x):\n    return k.log(x / 2.0)", ours)
    ours["forward"].__module__ = __name__  # the record is not one of the table's
    half = cr.composition("log_of_half", forward=ours["forward"], formula="log(x / 2)")
    line = here(1)
    text = anomaly(lambda: half(cr.tensor(-1.0)))
    assert "'log' (a part of 'log_of_half') made 1 NaN" in text
    assert line in text
    users = cr.composition("log_of_third", forward=lambda k, x: k.log(x / 3.0), formula="log(x/3)")
    line = here(-1)
    assert line in anomaly(lambda: users(cr.tensor(-1.0)))  # a line of the user's own operation


def test_numpy_does_not_warn_of_what_raises():
    with np.errstate(all="raise"):
        assert "made 1 NaN" in anomaly(lambda: cr.log(cr.tensor(-1.0)))
        x = leaf(0.0)
        assert "'sqrt' for its argument 'x'" in anomaly(lambda: cr.sqrt(x).backward())


# Lines ------------------------------------------------------------------------------------------


def test_code_without_a_file_has_a_line_too():
    space = {"cr": cr}
    exec("def f():\n    y = 1\n    return cr.log(cr.tensor(-1.0))", space)
    assert "<string>:3" in anomaly(space["f"])
    module = compile("cr.log(cr.tensor(-1.0))", "<ipython-input-7>", "exec")
    assert "<ipython-input-7>:1" in anomaly(lambda: exec(module, {"cr": cr, "__name__": "x"}))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.log(x),
        lambda x: x.log() if hasattr(x, "log") else cr.log(x),
        lambda x: cr.grad(lambda y: cr.log(y))(x),
        lambda x: list(map(cr.log, [x])),
    ],
    ids=["numpy", "method", "grad", "map"],
)
def test_the_line_is_the_users_however_it_is_called(call):
    text = anomaly(lambda: call(cr.tensor(-1.0)))
    assert f"{__file__}:{call.__code__.co_firstlineno}:" in text


# Backward ---------------------------------------------------------------------------------------


def test_the_vjp_that_makes_an_infinity_is_named_with_the_line_of_its_operation():
    x, factor = leaf([4.0, 0.0]), cr.tensor([-3.0, 2.0])
    with cr.detect_anomaly():
        line = here(1)
        root = cr.sqrt(x)
        y = (root * factor).sum()
        with pytest.raises(cr.AnomalyError) as caught:
            y.backward()
    text = str(caught.value)
    assert text.startswith("backward: the gradient of 'sqrt' for its argument 'x' has 1 +Inf")
    assert "of a finite upstream gradient" in text
    assert f"{line} root = cr.sqrt(x)" in text
    assert "upstream: shape (2,), float64, from -3 to 2" in text
    assert "result:   shape (2,), float64, from 0 to 2" in text
    assert x.grad is None


def test_which_argument_it_is():
    a, b = leaf([1.0]), leaf([0.0])
    with np.errstate(divide="ignore", invalid="ignore"):
        y = a / b
        with pytest.raises(cr.AnomalyError, match=r"'divide' for its argument 'a'"):
            run_backward(y)
        y = cr.tensor([1e-300]) / leaf([1e-200])
        with pytest.raises(cr.AnomalyError, match=r"'multiply' for its argument 'b'"):
            run_backward(cr.tensor([1e300]) * leaf([1e-300]), 1e300)


def run_backward(y, upstream=1.0):
    with cr.detect_anomaly():
        y.backward(np.full(y.shape, upstream))


def test_backward_alone_is_checked_and_the_line_is_unknown():
    x = leaf([4.0, 0.0])
    y = cr.sqrt(x)
    with pytest.raises(cr.AnomalyError) as caught:
        run_backward(y)
    assert "line:     unknown, since the forward pass ran outside" in str(caught.value)
    assert "'sqrt' for its argument 'x'" in str(caught.value)


def test_an_upstream_gradient_that_is_given_is_told_apart():
    x = leaf([1.0, 2.0])
    text = anomaly(lambda: (x * x).backward([1.0, np.nan]))
    assert "the upstream gradient given for the result of 'multiply' has 1 NaN" in text
    assert "the upstream gradient given for a leaf has 1 NaN" in anomaly(
        lambda: x.backward([1.0, np.nan])
    )
    seeded = cr.tensor([np.inf, 1.0])
    text = anomaly(lambda: cr.grad(x * x, x, grad_outputs=seeded, create_graph=True))
    assert "the upstream gradient given" in text


@pytest.mark.parametrize("below", [False, True], ids=["leaf", "computed"])
def test_a_sum_of_finite_contributions_that_overflows_is_found(below):
    def run():
        x = leaf(1.0, "float32")
        y = x * 1.0 if below else x
        cr.stack([y, y]).backward(np.float32([3e38, 3e38]))

    with np.errstate(over="ignore"):
        text = anomaly(run)
    assert "though every contribution was finite" in text
    assert ("the result of 'multiply'" in text) is below
    assert "last from" in text and "'stack'" in text


def test_a_sum_over_repeated_axes_that_overflows_is_found():
    x = leaf(1.0, "float32")
    text = anomaly(lambda: (x + cr.zeros(3, "float32")).backward(np.float32([3e38] * 3)))
    assert "'add' for its argument 'a' has 1 +Inf" in text


def test_the_gradient_asked_for_is_looked_at_even_in_the_middle():
    middle = leaf(1.0, "float32") * 1.0
    y = cr.stack([middle, middle])
    with np.errstate(over="ignore"):
        text = anomaly(lambda: cr.grad(y, middle, grad_outputs=np.float32([3e38, 3e38])))
    assert "the result of 'multiply' has 1 +Inf" in text


def test_gradients_of_gradients_are_traced_to_the_operation_that_they_belong_to():
    x = leaf([4.0, 0.0])
    with cr.detect_anomaly():
        line = here(1)
        y = x**1.5
        (slope,) = cr.grad([y.sum()], [x], create_graph=True)
        assert slope.tolist() == [3.0, 0.0]
        with pytest.raises(cr.AnomalyError) as caught:
            slope.backward([1.0, -1.0])
    assert "in the gradient of 'power'" in str(caught.value)
    assert line in str(caught.value)


def test_gradients_of_gradients_of_what_was_computed_outside_have_the_line_of_grad():
    x = leaf([4.0, 0.0])
    y = (x**1.5).sum()
    with cr.detect_anomaly():
        line = here(1)
        (slope,) = cr.grad([y], [x], create_graph=True)
        with pytest.raises(cr.AnomalyError) as caught:
            slope.backward([1.0, -1.0])
    assert line in str(caught.value)


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_vjp_is_judged_by_what_it_returns_on_arrays_and_on_tensors(create_graph):
    """An intermediate infinity that the VJP masks away is no anomaly in either pass."""
    masked = cr.operation(
        "masked",
        forward=lambda k, x: k.where(x == 0, 0.0, x),
        vjp=lambda k, g, x: g * k.where(x == 0, 0.0, 1.0 / x * x),
    )
    with cr.detect_anomaly():
        x = leaf([0.0, 2.0])
        slope = cr.grad(masked(x).sum(), x, create_graph=create_graph)
    assert slope.tolist() == [0.0, 1.0]


# Layers -----------------------------------------------------------------------------------------


class Branch(layers.Layer):
    def __init__(self):
        super().__init__(name="branch")
        self.inner = models.Sequential([layers.Dense(2), layers.Dense(3)])

    def call(self, x):
        return cr.log(self.inner(x) * 0.0 - 1.0)


def test_the_path_of_layers_is_named_as_in_the_names_of_weights():
    model = models.Sequential([layers.Dense(3), Branch()], name="model")
    text = anomaly(lambda: model(np.ones((2, 4), "float32")))
    assert "layer:  model/branch\n" in text
    assert f"{__file__}:" in text and "cr.log(self.inner(x)" in text
    inner = model.get_layer("branch").inner
    inner.get_layer("dense_1").kernel.assign(np.full((2, 3), np.nan))
    text = anomaly(lambda: model(np.ones((2, 4), "float32")))
    assert "layer:  model/branch/inner/dense_1\n" in text
    assert "'matmul' is the first to meet" in text
    assert "inner.dense_1.kernel" in dict(model.get_layer("branch").named_weights())


def test_fit_names_the_layer_in_the_fused_pass_and_in_the_backward_pass():
    model = models.Sequential(
        [layers.Dense(3), layers.Dense(2, activation="softmax")], name="model"
    )
    model.compile("sgd", "categorical_crossentropy")
    x, y = np.ones((4, 5), "float32"), np.eye(2)[[0, 1, 0, 1]]
    model.fit(x, y, epochs=1, verbose=0)
    with cr.detect_anomaly():
        model.fit(x, y, epochs=1, verbose=0)
    model.get_layer("dense_1").kernel.assign(np.full((3, 2), np.nan))
    assert "layer:  model/dense_1\n" in anomaly(lambda: model.fit(x, y, epochs=1, verbose=0))

    class Root(layers.Layer):
        def call(self, x):
            return cr.sqrt(x)

    zero = leaf([0.0], "float32")
    text = anomaly(lambda: Root()(zero).backward([1.0]))
    assert text.startswith("backward: ")
    assert "layer:    root\n" in text


# The block --------------------------------------------------------------------------------------


def test_results_and_gradients_are_the_same_under_detection():
    def run():
        rng = np.random.default_rng(0)
        x, w = leaf(rng.normal(size=(3, 4))), leaf(rng.normal(size=(4, 2)), "float32")
        y = cr.log_softmax(cr.tanh(x @ w) * x[:, :2], axis=-1)
        y.backward(rng.normal(size=(3, 2)))
        (first,) = cr.grad([(cr.sin(x) * x).sum()], [x], create_graph=True)
        (second,) = cr.grad([first], [x], grad_outputs=[rng.normal(size=(3, 4))])
        return [each.tobytes() for each in map(cr.Tensor.numpy, (y, x.grad, w.grad, second))]

    expected = run()
    with cr.detect_anomaly():
        assert run() == expected


def test_blocks_nest_and_the_inner_one_holds():
    def half():
        return cr.tensor(1.0) / 0.0

    block = cr.detect_anomaly()
    with block:
        with cr.detect_anomaly(inf=False), np.errstate(divide="ignore"):
            assert half().item() == np.inf
            with block, pytest.raises(cr.AnomalyError):
                half()
        with pytest.raises(cr.AnomalyError):
            half()
    with np.errstate(divide="ignore"):
        assert half().item() == np.inf


def test_the_state_is_restored_after_an_exception_of_any_kind():
    with pytest.raises(ZeroDivisionError), cr.detect_anomaly():
        raise ZeroDivisionError
    assert state.mode is None
    x = leaf([1.0, 2.0])
    with cr.detect_anomaly():
        with pytest.raises(cr.ShapeError):
            x + cr.zeros(3)
        with pytest.raises(cr.AnomalyError):
            cr.log(-x)
        with pytest.raises(cr.AnomalyError):
            cr.log(-x)  # the first error left the block as it was


def test_as_a_decorator_it_holds_for_every_call():
    @cr.detect_anomaly(inf=False)
    def inner(x, depth):
        """Documented."""
        return inner(x, depth - 1) if depth else cr.log(x)

    for _ in range(2):
        with pytest.raises(FloatingPointError):
            inner(cr.tensor(-1.0), 2)
        assert state.mode is None
    assert inner.__doc__ == "Documented."


def test_a_decorated_function_may_run_in_two_threads_at_once():
    entered, leave = threading.Event(), threading.Event()

    @cr.detect_anomaly()
    def work(other=None):
        if other is None:
            entered.set()
            leave.wait()
        else:
            other.start()
            entered.wait()

    other = threading.Thread(target=work)
    with cr.kernels("reference"):
        before = state.mode
        work(other)
        assert state.mode is before
    leave.set()
    other.join()


def test_it_holds_for_one_thread():
    seen = []
    with cr.detect_anomaly(), np.errstate(invalid="ignore"):
        thread = threading.Thread(target=lambda: seen.append(state.mode))
        thread.start()
        thread.join()
        assert state.mode is not None
    assert seen == [None]


@pytest.mark.parametrize("outside", [True, False])
def test_kernel_sets_are_chosen_as_ever(outside):
    seen = []
    spy = cr.operation("spy_kernels", forward=lambda k, x: seen.append(k.name) or x * 1.0)
    if outside:
        with cr.kernels("reference"), cr.detect_anomaly():
            spy(cr.tensor(1.0))
            with pytest.raises(cr.AnomalyError):
                cr.log(cr.tensor(-1.0))
    else:
        with cr.detect_anomaly(), cr.kernels("reference"):
            spy(cr.tensor(1.0))
            with pytest.raises(cr.AnomalyError):
                cr.log(cr.tensor(-1.0))
    with cr.detect_anomaly():
        spy(cr.tensor(1.0))
    spy(cr.tensor(1.0))
    assert seen == ["reference", "numba", "numba"]


def test_recording_means_what_it_meant():
    x = leaf(2.0)
    with cr.detect_anomaly(), cr.no_grad():
        assert not (x * x).requires_grad
    with cr.no_grad(), cr.detect_anomaly(), cr.enable_grad():
        assert (x * x).requires_grad


def test_nothing_of_it_is_left_outside():
    x = leaf([1.0, 2.0])
    with cr.detect_anomaly():
        assert type((x * x)._node.static) is Origin
    assert type((x * x)._node.static) is dict
    x.assign([2.0, 3.0])
    assert not hasattr(x._storage, "place")


# Changed values ---------------------------------------------------------------------------------


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_stale_value_is_named_with_both_lines(change):
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    with cr.detect_anomaly(), cr.no_grad():
        with cr.enable_grad():
            saved = here(1)
            y = (x * x).sum()
        change(x)
        with pytest.raises(cr.GradientError) as caught:
            y.backward()
    text = str(caught.value)
    assert "'multiply' (result shape (2, 2), float64)" in text
    assert f"saved at:   {saved} y = (x * x).sum()" in text
    assert "changed at: " in text and "test_backward.py:" in text


def test_a_change_outside_of_detection_has_no_line_and_no_old_one():
    x = leaf([1.0, 2.0])
    with cr.detect_anomaly():
        with cr.no_grad():
            x -= 1.0
        y = (x * x).sum()
    with cr.no_grad():
        x -= 1.0
    with pytest.raises(cr.GradientError, match="saved at") as caught:
        y.backward()
    assert "changed at" not in str(caught.value)


def test_an_optimiser_is_a_change_with_a_line():
    model = models.Sequential([layers.Dense(1)])
    x = np.ones((2, 3), "float32")
    step = cr.optim.SGD(model.parameters() if model(x) is not None else [], 0.1)
    with cr.detect_anomaly():
        stale = (model(x) ** 2).sum()
        (model(x) ** 2).sum().backward()
        line = here(1)
        step.step()
        old = model.parameters()[0] ** 2
        step.step()
        del stale
        with pytest.raises(cr.GradientError) as caught:
            old.sum().backward()
    assert "changed at: " in str(caught.value)
    assert line.split(":")[0] in str(caught.value)


SNEAKY = {
    "_data": lambda x: x._data.__setitem__((0, 0), 7.0),
    "base of the view": lambda x: x.numpy().base.__setitem__((0, 0), 7.0),
    "flags": lambda x: np.lib.stride_tricks.as_strided(x.numpy().base).__setitem__((0, 0), 7.0),
    "one bit": lambda x: x._data.view("u1").__setitem__((1, 15), 1),
}


@pytest.mark.parametrize("change", SNEAKY.values(), ids=SNEAKY)
@pytest.mark.parametrize("transposed", [False, True])
def test_a_change_behind_the_engines_back_is_refused(change, transposed):
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    with cr.detect_anomaly():
        line = here(1)
        y = cr.sin(x.T if transposed else x)
        change(x)
        with pytest.raises(cr.GradientError) as caught:
            y.backward([[1.0, -1.0], [2.0, 0.5]])
    text = str(caught.value)
    assert "'sin' (result shape (2, 2), float64) saved for its gradient, its x, was changed" in text
    assert line in text


def test_results_and_residuals_are_guarded_too():
    for name in ("exp", "tanh", "softmax"):
        x = leaf([1.0, 2.0])
        with cr.detect_anomaly():
            y = RECORDS[name].function(x)
            y._data[0] += 1e-9
            with pytest.raises(cr.GradientError, match=rf"'{name}'.*its result, was changed"):
                y.backward([1.0, 1.0])
    logits = leaf([[1.0, 2.0]])
    with cr.detect_anomaly():
        loss = cr.sparse_softmax_cross_entropy(logits, np.array([1]))
        plan, saved = loss._node.plan, loss._node.saved
        for array in np.atleast_1d(saved[plan.slots.index("r")]):
            array.flags.writeable = True
            array[...] += 1.0
        with pytest.raises(cr.GradientError, match="its residuals, was changed"):
            loss.backward([1.0])


def test_a_vjp_that_writes_into_what_it_was_given_is_refused():
    def spoil_argument(k, g, x):
        x *= 0.0
        return g

    def spoil_gradient(k, g):
        g *= 2.0
        return g

    for vjp, what in ((spoil_argument, "its x, was written into by the VJP"),
                      (spoil_gradient, "'spoils' wrote into the upstream gradient")):  # fmt: skip
        spoils = cr.operation("spoils", forward=lambda k, x: x * 1.0, vjp=vjp)
        x = leaf([1.0, 2.0])
        with pytest.raises(cr.GradientError, match=what), cr.detect_anomaly():
            (spoils(x) * 3.0).backward([1.0, -1.0])
        y = spoils(leaf([1.0, 2.0])) * 3.0
        with pytest.raises(cr.GradientError, match=what):
            run_backward(y)


def test_a_forward_that_writes_into_its_argument_is_refused():
    def forward(k, x):
        x += 1.0
        return x * 2.0

    spoils = cr.operation("spoils_x", forward=forward, vjp=lambda k, g: g * 2)
    what = r"spoils_x: forward wrote into its argument 'x'"
    with pytest.raises(cr.GradientError, match=what), cr.detect_anomaly():
        spoils(leaf([1.0, 2.0]))


def test_what_changes_nothing_that_is_read_raises_no_alarm():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    with cr.detect_anomaly():
        y = (x + 2.0) * 3.0
        x._data[0, 0] = 9.0
        y.backward([[1.0, -1.0], [2.0, 0.5]])
        z = cr.sin(x)
        z.backward(np.ones((2, 2)), retain_graph=True)
        z.backward(-np.ones((2, 2)))
    assert x.grad.tolist() == [[3.0, -3.0], [6.0, 1.5]]


def test_check_sums_see_every_element_of_every_layout():
    base = np.arange(24.0).reshape(2, 3, 4)
    views = [base, base.T, base[:, ::2], base[::-1], base[..., :1], base.transpose(1, 0, 2)]
    for view in views:
        before = check_sum(view)
        for index in np.ndindex(view.shape):
            old = view[index]
            view[index] = np.nextafter(old, 100.0)
            assert check_sum(view) != before
            view[index] = old
        assert check_sum(view) == before
    wide = np.broadcast_to(base[0, :1], (10**9, 3, 4)[-2:])
    assert check_sum(wide) == check_sum(base[0, :1].copy())
    huge = np.broadcast_to(np.float64(3.0), (10**6, 10**6))  # read once, not 10**12 times
    assert check_sum(huge) == check_sum(np.array([[3.0]]))
    assert check_sum(()) == check_sum(3.0) == check_sum(np.zeros((0, 2))) == 0


# Memory -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["exp", "softmax", "max"])
def test_a_dropped_graph_frees_its_memory_at_once(no_collector, name):  # noqa: F811
    x = leaf(np.linspace(0.1, 1.0, 1000))
    with cr.detect_anomaly():
        before = count_nodes()
        y = RECORDS[name].function(x * 2)
        result = weakref.ref(y._data)
        del y
        assert result() is None
        assert count_nodes() == before
        middle = cr.exp(x)
        y = (middle * middle).sum()
        saved = weakref.ref(middle._data)
        del middle
        y.backward()
        assert saved() is None


def test_a_long_loop_under_detection_keeps_nothing(no_collector):  # noqa: F811
    w = leaf(np.ones((50, 50)))

    def step():
        loss = (cr.relu(cr.ones((8, 50)) @ w) ** 2).mean()
        loss.backward()
        with cr.no_grad():
            w.assign(w.numpy() - 1e-3 * w.grad.numpy())
        w.zero_grad()

    with cr.detect_anomaly():
        step()
        step()
        before = len(gc.get_objects())
        for _ in range(30):
            step()
        assert len(gc.get_objects()) - before < 10


def test_an_error_keeps_no_array():
    x = leaf(np.full(1000, -1.0))
    memory = weakref.ref(x._data)
    caught = None
    try:
        with cr.detect_anomaly():
            cr.log(x)
    except cr.AnomalyError as error:
        caught = error.with_traceback(None)
    del x
    gc.collect()
    assert memory() is None
    assert "'log'" in str(caught)


def test_what_a_hook_makes_of_a_leafs_gradient_is_seen():
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    x.register_hook(lambda gradient: cr.tensor([np.nan, 1.0]))
    with cr.detect_anomaly(), pytest.raises(cr.AnomalyError, match="of a leaf has 1 NaN"):
        (x * 2).backward([1.0, -1.0])


def test_a_sum_of_gradients_that_overflows_in_grad_is_seen():
    x = cr.tensor(np.float32([1.0]), requires_grad=True)
    with cr.detect_anomaly(), np.errstate(over="ignore"):
        (x * 2.0).backward(np.float32([1.5e38]))
        with pytest.raises(cr.AnomalyError, match=r"of a leaf has 1 \+Inf.*grad"):
            (x * 2.0).backward(np.float32([1.5e38]))


def test_gradients_that_nobody_asked_for_are_no_anomaly():
    b = cr.tensor([0.0, 1.0], requires_grad=True)
    a = cr.tensor([1.0, 1.0], requires_grad=True)
    with cr.detect_anomaly():
        assert cr.grad((a * cr.sqrt(b)).sum(), [a])[0].tolist() == [0.0, 1.0]
        assert cr.jvp(lambda x: x**1.5, 0.0, 1.0)[1].item() == 0.0
