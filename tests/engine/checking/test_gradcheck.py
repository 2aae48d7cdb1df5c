"""The gradient checker passes right gradients, finds wrong ones, and says exactly what is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.checking.stand_in import StandIn, observed
from chainrule.engine.devices import Device, _devices, register_device
from chainrule.engine.errors import CheckError, DtypeError
from chainrule.layers import Dense
from chainrule.training import Sequential

POINT = np.array([0.3, -1.2, 2.0])


def operation(vjp, forward=lambda k, x: x * x * x, name="planted", **about):
    return cr.operation(name, forward=forward, vjp=vjp, **about)


def finding(report):
    assert not report.ok
    return report.findings[0]


# What passes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_right_function_passes(order):
    report = cr.gradcheck(lambda x, w: cr.tanh(x @ w), POINT, np.ones((3, 2)), order=order)
    assert report.ok and report.order == order and not report.vacuous
    assert report.entries >= 9 and report.worst <= 1
    assert (report.oracle, report.notes) == ("complex step", [])  # which nothing contradicts


def test_a_layer_is_checked_with_its_parameters_by_name():
    layer = Dense(2, activation="tanh")
    report = cr.gradcheck(layer, np.ones((2, 3), np.float32), order=2)
    assert report.ok and "input 0 was float32, and is checked in float64" in report.notes
    assert report.entries == 6 + 6 + 2 + (6 + 6 + 2 + 4)  # and the upstream gradient
    assert layer.kernel.grad is None and layer.kernel.dtype == np.float32


def test_a_wrong_parameter_gradient_is_called_by_the_parameters_name():
    wrong = operation(
        {"x": lambda k, g, w: g @ w.T, "w": lambda k, g, x: -(x.T @ g)},
        forward=lambda k, x, w: x @ w,
    )

    class Wrong(Dense):
        def call(self, x):
            return wrong(x, self.kernel)

    found = finding(cr.gradcheck(Wrong(2), np.ones((2, 3))))
    assert (found.input, found.meaning) == ("kernel", "the sign is wrong")


def test_a_model_is_checked_with_its_loss():
    model = Sequential([Dense(4, activation="relu"), Dense(3, activation="softmax")])
    x, y = np.random.default_rng(0).normal(size=(5, 2)), np.array([0, 1, 2, 0, 1])
    with pytest.raises(TypeError, match="is not compiled"):
        cr.gradcheck(model, x, y)
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert cr.gradcheck(model, x, y, order=2).ok
    model.compile("sgd", "mse")
    assert cr.gradcheck(model, x, np.eye(3)[y]).ok
    assert cr.gradcheck(model, x).ok  # the outputs alone
    wrong = operation(lambda k, g, x: -2 * g * x, forward=lambda k, x: x * x)
    model.compile("sgd", lambda y_true, y_pred: wrong(y_pred - y_true).mean(axis=-1))
    assert finding(cr.gradcheck(model, x, np.eye(3)[y])).meaning == "the sign is wrong"
    assert cr.gradcheck(model, x).ok


def test_closed_over_parameters_are_checked_too():
    alone = cr.tensor(POINT, requires_grad=True)
    assert cr.gradcheck(lambda: cr.sin(alone)).entries == 3
    w = cr.tensor([1.0, 2.0, 3.0], dtype="float32", requires_grad=True)
    report = cr.gradcheck(lambda x: cr.exp(x) * w, POINT)
    assert report.ok and report.entries == 6
    stopped = finding(cr.gradcheck(lambda x: cr.exp(x) * (w + w.detach()), POINT))
    assert "finite differences" in str(stopped) or stopped.input == "parameter 0"


def test_numpy_functions_with_their_vjp():
    def vjp(g, x, w):
        return g @ w.T, x.T @ g

    x, w = np.ones((2, 3)) * POINT, np.arange(6.0).reshape(3, 2)
    assert cr.gradcheck(lambda x, w: x @ w, x, w, vjp=vjp).ok
    found = finding(cr.gradcheck(lambda x, w: x @ w, x, w, vjp=lambda g, x, w: (g @ w.T, -x.T @ g)))
    assert (found.input, found.meaning) == ("input 1", "the sign is wrong")
    for kind in (tuple, list):
        pair = cr.gradcheck(
            lambda x, kind=kind: kind([np.sin(x), np.cos(x)]),
            POINT,
            vjp=lambda g, x: g[0] * np.cos(x) - g[1] * np.sin(x),
        )
        assert pair.ok


def test_several_results_and_integer_results_beside_them():
    def both(x):
        return cr.sin(x), cr.argmax(x), cr.exp(x)

    assert cr.gradcheck(both, POINT, order=2).ok


def test_random_functions_see_the_same_numbers_again():
    def dropout(x):
        return x * (cr.random.uniform(3) > 0.5)

    report = cr.gradcheck(dropout, POINT)
    assert report.ok and any("random numbers" in each for each in report.notes)


def test_constants_of_float32_are_computed_with_in_float64():
    scale = cr.tensor(POINT, dtype="float32")
    with observed(StandIn()):
        assert cr.exp(scale).dtype == np.float64
        assert cr.tensor(POINT).astype("float32").dtype == np.float64
    assert cr.exp(scale).dtype == np.float32
    report = cr.gradcheck(lambda x: x * cr.exp(scale), POINT)
    assert report.ok and report.notes == ["float32 within it is computed in float64"]


def test_checkpointed_functions():
    w = cr.tensor(np.eye(3), requires_grad=True)
    report = cr.gradcheck(lambda x: cr.checkpoint(lambda x: cr.sin(x @ w), x), POINT)
    assert report.ok and report.entries == 12


def test_an_operation_alone_is_checked_on_its_cases():
    report = cr.gradcheck(cr.relu)
    assert report.ok and report.cases >= 5 and report.kinks >= 1 and report.zeros
    with pytest.raises(ValueError, match="argmax has no gradient"):
        cr.gradcheck(cr.argmax)


# Verdicts on entries ----------------------------------------------------------------------------

MEANINGS = {
    "the sign is wrong": lambda k, g, x: -g * 3 * x * x,
    "a factor 2 too large": lambda k, g, x: 2 * g * 3 * x * x,
    "a factor 3 too small": lambda k, g, x: g * x * x,
    "the local derivative is missing": lambda k, g, x: g * (x == x),
    "the whole gradient is zero": lambda k, g, x: g * 0,
}


@pytest.mark.parametrize("meaning", MEANINGS)
def test_common_faults_are_recognised(meaning):
    found = finding(cr.gradcheck(operation(MEANINGS[meaning]), np.append(POINT, 0.7)))
    assert meaning in (found.meaning or ""), str(found)


def test_a_transposition_is_recognised():
    wrong = operation(lambda k, g, x: (g * 3 * x * x).T)
    found = finding(cr.gradcheck(wrong, np.arange(9.0).reshape(3, 3) / 5 - 1))
    assert found.meaning == "it is transposed"


def test_swapped_gradients_are_recognised():
    wrong = operation(
        {"a": lambda k, g, a: g * a, "b": lambda k, g, b: g * b}, forward=lambda k, a, b: a * b
    )
    found = finding(cr.gradcheck(wrong, POINT, POINT[::-1] + 1))
    assert found.meaning == "it is what input 1 got: the two are swapped"


@pytest.mark.parametrize("small", [1e-4, 1e-11])
def test_one_wrong_entry_is_found_exactly_among_many(small):
    """Its gradient is far smaller than the others', and it is off by half.

    At 1e-11 of them a sum over all entries is rounded by more: it must be weighted.
    """

    def vjp(g, x):
        gradient = g * weights * np.cos(x)
        gradient[17, 31] *= 1.5
        return gradient

    rng = np.random.default_rng(0)
    weights = rng.uniform(1, 2, (100, 60))
    weights[17, 31] = small
    x = rng.normal(size=(100, 60))
    report = cr.gradcheck(lambda x: np.sum(weights * np.sin(x)), x, vjp=vjp)
    found = finding(report)
    assert found.index == (17, 31) and abs(found.ratio - 1.5) < 1e-6
    assert found.meaning == "only this entry is wrong"
    assert report.directions and "17, 31" in str(report)


def test_a_softmax_that_hides_from_an_upstream_of_ones():
    """With g = 1 the right gradient is zero, and so is any multiple of it."""
    wrong = operation(
        lambda k, g, y: 2 * y * (g - k.sum(g * y, axis=-1, keepdims=True)),
        forward=lambda k, x: k.exp(x) / k.sum(k.exp(x), axis=-1, keepdims=True),
    )
    assert finding(cr.gradcheck(wrong, POINT)).meaning == "a factor 2 too large"


def test_zeros_are_confirmed_or_fail():
    report = cr.gradcheck(cr.relu, np.array([-1.0, -2.0, 3.0]))
    assert report.ok and report.zeros == 2 and not report.vacuous
    assert cr.gradcheck(cr.sign, POINT).zeros == 3
    wrong = operation(lambda k, g, x: g * 1e-9, forward=lambda k, x: k.sign(x))
    found = finding(cr.gradcheck(wrong, POINT))
    assert found.expected == 0 and abs(found.got) > 1e-10


def test_vacuous_checks_are_counted_raised_or_rejected():
    def nothing(x):
        return cr.softmax(x).sum()

    report = cr.gradcheck(nothing, POINT)
    assert report.ok and len(report.vacuous) == 1 and report.indistinct == 3
    with pytest.raises(CheckError, match="vacuous"):
        cr.gradcheck(nothing, POINT, on_vacuous="raise")
    tried = []

    @settings(max_examples=30, database=None, derandomize=True)
    @given(st.integers(0, 10))
    def rejecting(n):
        if n % 2:
            tried.append(n)
            cr.gradcheck(nothing, POINT, on_vacuous="reject")
            raise AssertionError("not reached")

    rejecting()
    assert tried


def test_vacuous_cases_of_an_operation_are_told():
    one = operation(
        lambda k, g, x: g * k.softmax(x, -1) * (1 - k.sum(k.softmax(x, -1))),
        forward=lambda k, x: k.sum(k.softmax(x, -1)),
        cases=[cr.testing.case((3,)), cr.testing.case((0, 2))],
    )
    report = cr.gradcheck(one)
    assert report.ok and len(report.vacuous) == 1, str(report)
    assert report.vacuous[0].startswith("planted((3,)): input 0: its whole gradient is within")


def test_what_does_not_run_in_float32_fails_for_who_uses_it():
    def forward(k, x):
        if x.dtype == np.float32:
            raise ValueError("no kernel")
        return x * 2.0

    doubled = operation(lambda k, g: g * 2.0, forward)
    report = cr.gradcheck(doubled, POINT)
    assert report.ok and "does not run in float32" in report.notes[-1]
    found = finding(cr.gradcheck(doubled, POINT.astype(np.float32)))
    assert found.kind == "precision" and "does not run in float32 on cpu" in found.text


KINKS = [
    (cr.relu, [0.0, 1.0]),
    (cr.abs, [0.0, -1.0]),
    (cr.leaky_relu, [0.0, -2.0]),
    (lambda x: cr.max(x), [2.0, 1.0, 2.0]),
    (lambda x: cr.sort(x), [2.0, 1.0, 2.0]),
    (lambda x: cr.maximum(x, 0.5), [0.5, 0.0]),
    (lambda x: cr.clip(x, 0.0, 1.0), [0.0, 1.0, 0.5]),
]


@pytest.mark.parametrize("number", range(len(KINKS)))
def test_at_kinks_the_gradient_lies_between_the_slopes(number):
    function, point = KINKS[number]
    report = cr.gradcheck(function, point)
    assert report.ok and report.kinks >= 1, str(report)


@pytest.mark.parametrize("slope", [-0.1, 1.1])
def test_a_gradient_outside_of_the_slopes_at_a_kink_fails(slope):
    wrong = operation(
        lambda k, g, x: g * ((x > 0) + slope * (x == 0)), forward=lambda k, x: k.maximum(x, 0)
    )
    found = finding(cr.gradcheck(wrong, np.array([0.0, 1.0, -1.0])))
    assert found.index == (0,) and "at a kink" in found.text


def test_conventions_at_kinks_that_do_not_add_up():
    """relu(x) - relu(-x) is x; of two zeros at its kinks none is 1."""
    found = finding(cr.gradcheck(lambda x: cr.relu(x) - cr.relu(-x), [0.0, 1.0]))
    assert found.index == (0,) and "need not add up" in found.text


def test_a_nan_at_a_kink_fails():
    report = cr.gradcheck(lambda x: cr.sqrt((x * x).sum()), [0.0, 0.0])
    assert finding(report).meaning == "it is not finite" and len(report.findings) == 1


def test_a_point_next_to_a_kink_is_no_kink():
    """Steps become so small that no branch flips; the gradient is held to one side."""
    point = np.array([1e-7, -1e-7, 1.0])
    assert cr.gradcheck(cr.relu, point).ok
    vjp = lambda g, x: g * (x > 0)  # noqa: E731
    assert cr.gradcheck(lambda x: np.maximum(x, 0), point, vjp=vjp).ok
    wrong = cr.gradcheck(lambda x: np.maximum(x, 0), point, vjp=lambda g, x: g * (x > -1e-6))
    assert finding(wrong).index == (1,)


def test_inputs_of_any_size_are_stepped_in_proportion():
    for size in (1e-8, 1e-3, 1e3, 1e8):
        x = size * np.array([1.1, 2.0, 3.7])
        assert cr.gradcheck(np.log, x, vjp=lambda g, x: g / x).ok, size
        assert not cr.gradcheck(np.log, x, vjp=lambda g, x: g / x * 1.0001).ok, size
    oscillating = np.array([1000.0, 2000.0])
    assert cr.gradcheck(np.sin, oscillating, vjp=lambda g, x: g * np.cos(x)).ok
    assert not cr.gradcheck(np.sin, oscillating, vjp=lambda g, x: g * np.sin(x)).ok


def test_errors_at_a_tenth_of_a_millionth_are_seen():
    assert not cr.gradcheck(np.sin, POINT, vjp=lambda g, x: g * np.cos(x) * (1 + 1e-7)).ok
    assert not cr.gradcheck(operation(lambda k, g, x: g * 3.0000000001 * x * x), POINT).ok


def test_wrong_only_in_second_order():
    hidden = operation(lambda k, g, x: g * (3 * np.asarray(getattr(x, "_data", x)) ** 2))
    assert cr.gradcheck(hidden, POINT).ok
    found = finding(cr.gradcheck(hidden, POINT, order=2))
    assert found.kind.startswith("order 2")


def test_what_happens_outside_of_the_graph_is_found():
    detached = cr.gradcheck(lambda x: cr.exp(x) * x.detach(), POINT)
    assert not detached.ok
    outside = cr.gradcheck(lambda x: cr.exp(x) + cr.tensor(x.numpy() ** 2), POINT)
    assert not outside.ok


def test_a_report_says_the_order_of_taylors_remainder():
    right = cr.gradcheck(np.exp, POINT, vjp=lambda g, x: g * np.exp(x))
    wrong = cr.gradcheck(np.exp, POINT, vjp=lambda g, x: -g * np.exp(x))
    assert abs(right.taylor - 2) < 0.2 and abs(wrong.taylor - 1) < 0.2
    assert "remainder of order 2.0" in str(right) and "remainder of order 1.0" in str(wrong)


# Everything else that may be wrong ----------------------------------------------------------------


def mutates_input(g, x):
    result = g * np.cos(x)
    x *= 2
    return result


def mutates_upstream(g, x):
    g *= np.cos(x)
    return g.copy()


calls = iter(range(10**6))

OTHER = {
    "mutation": [mutates_input, mutates_upstream],
    "linearity": [
        lambda g, x: np.abs(g) * np.cos(x),
        lambda g, x: g * np.cos(x) + 1,
        lambda g, x: np.where(g == 0, 1e-3, g) * np.cos(x),
    ],
    "repeatability": [lambda g, x: g * np.cos(x) * (1 + next(calls))],
    "shape": [lambda g, x: np.sum(g * np.cos(x)), lambda g, x: (g * np.cos(x))[:, None]],
    "dtype": [lambda g, x: (g * np.cos(x)).astype(np.float32)],
    "aliasing": [lambda g, x: x],
    "gradient": [lambda g, x: np.where(g < 0, 0.0, g * np.cos(x)) * np.nan],
}


@pytest.mark.parametrize(("kind", "vjp"), [(k, v) for k, each in OTHER.items() for v in each])
def test_other_faults_are_told_by_their_kind(kind, vjp):
    assert finding(cr.gradcheck(np.sin, POINT.copy(), vjp=vjp)).kind == kind


def test_an_upstream_that_lies_strided_in_memory():
    def careless(g, x):
        return np.ndarray(g.shape, g.dtype, g.base if g.base is not None else g) * np.cos(x)

    assert finding(cr.gradcheck(np.sin, POINT, vjp=careless)).kind == "repeatability"


def test_a_function_that_is_not_deterministic():
    rng = np.random.default_rng()
    found = finding(cr.gradcheck(lambda x: x * rng.normal(), POINT))
    assert found.kind == "repeatability" and "not deterministic" in found.text


def test_a_function_that_changes_its_input():
    def spoils(x):
        with cr.no_grad():
            x += 1
        return x * 2

    def spoils_array(x):
        x += 1
        return 2 * x

    assert (
        finding(cr.gradcheck(spoils_array, POINT.copy(), vjp=lambda g, x: 2 * g)).kind == "mutation"
    )
    assert finding(cr.gradcheck(spoils, POINT)).kind == "mutation"


def test_float32_that_is_worse_than_rounding():
    def narrow(k, g, x):
        wrong = 1.001 if getattr(x, "dtype", None) == np.float32 else 1.0
        return g * 3 * x * x * np.float32(wrong) if wrong > 1 else g * 3 * x * x

    found = finding(cr.gradcheck(operation(narrow), POINT))
    assert found.kind == "precision" and "in float32" in found.text


def test_another_device_is_compared_with_the_cpu():
    class Slightly:
        def __getattr__(self, name):
            return getattr(np, name)

        @staticmethod
        def cos(x, **rest):
            return np.cos(x, **rest) * 1.01

    twin = Device("twin", Slightly(), {"reference": {}}, "reference")
    register_device(twin)
    try:
        assert cr.gradcheck(cr.exp, POINT, devices=["twin"]).ok
        found = finding(cr.gradcheck(cr.sin, POINT, devices=["twin"]))
        assert found.kind == "precision" and "on twin" in found.text
    finally:
        del _devices["twin"]


# Bad input --------------------------------------------------------------------------------------


def test_bad_input_is_refused_with_the_remedy():
    with pytest.raises(DtypeError, match="must return a Tensor, or a tuple of Tensors, got"):
        cr.gradcheck(lambda x: x.numpy(), POINT)
    with pytest.raises(DtypeError, match="is not differentiable: it returns"):
        cr.gradcheck(cr.argmax, POINT)
    with pytest.raises(ValueError, match="is not finite"):
        cr.gradcheck(cr.exp, [np.nan, 1.0])
    with pytest.raises(ValueError, match="gives -inf at the point"), np.errstate(all="ignore"):
        cr.gradcheck(cr.log, [0.0, 1.0])
    for function in (cr.sqrt, cr.cbrt, lambda x: x**0.5):
        with pytest.raises(ValueError, match=r"is infinite at the point, .* input 0\[1\]"):
            cr.gradcheck(function, [1.0, 0.0])
    with pytest.raises(cr.ShapeError, match="input 0 is a list whose rows differ"):
        cr.gradcheck(cr.exp, [[1.0], [1.0, 2.0]])
    with pytest.raises(ValueError, match="give <lambda> the inputs"):
        cr.gradcheck(lambda x: x)
    with pytest.raises(ValueError, match="give dense the inputs"):
        cr.gradcheck(Dense(2))
    with pytest.raises(ValueError, match="there is nothing to check"):
        cr.gradcheck(lambda flag: cr.tensor([1.0]), True)
    with pytest.raises(ValueError, match="order must be"):
        cr.gradcheck(cr.exp, POINT, order=4)
    with pytest.raises(ValueError, match="seed must be an integer"):
        cr.gradcheck(cr.exp, POINT, seed=-1)
    with pytest.raises(cr.DeviceError, match="kernels='numpy' is unknown; known: 'reference'"):
        cr.gradcheck(cr.exp, POINT, kernels="numpy")
    with pytest.raises(ValueError, match="order=2 is for functions of Tensors"):
        cr.gradcheck(np.exp, POINT, vjp=lambda g, x: 1 / 0, order=2)  # at once, before any work
    with pytest.raises(TypeError, match="vjp must be a function"):
        cr.gradcheck(np.exp, POINT, vjp=POINT)
    with pytest.raises(ValueError, match="on_vacuous must be"):
        cr.gradcheck(cr.exp, POINT, on_vacuous="ignore")
    with pytest.raises(TypeError, match="the first argument must be a function"):
        cr.gradcheck(POINT, cr.exp)
    with pytest.raises(DtypeError, match="complex"):
        cr.gradcheck(cr.exp, np.array([1j]))
    with pytest.raises(ValueError, match="argnums"):
        cr.gradcheck(cr.exp, POINT, argnums=1)
    with pytest.raises(ValueError, match="a gradient for each of 1 inputs, got 2"):
        cr.gradcheck(np.exp, POINT, vjp=lambda g, x: (g, g))


def test_integers_are_converted_alone_and_held_beside_floats():
    report = cr.gradcheck(cr.exp, [1, 2])
    assert report.ok and "input 0 was int64, and is checked in float64" in report.notes
    report = cr.gradcheck(lambda z, y: cr.softmax_cross_entropy(z, y), np.eye(2), [0, 1])
    assert report.ok and "input 1: integers, held constant" in report.notes


def test_empty_inputs_are_vacuous():
    report = cr.gradcheck(cr.exp, np.zeros((0, 2)))
    assert report.ok and "is empty" in report.vacuous[0]


def test_a_tuple_of_inputs_is_taken_as_pytorch_does():
    assert cr.gradcheck(lambda a, b: a * b, (POINT, POINT)).ok


# The report -------------------------------------------------------------------------------------


def test_the_same_seed_repeats_a_check():
    wrong = operation(lambda k, g, x: g * x)
    first, second = (cr.gradcheck(wrong, POINT).to_dict() for _ in range(2))
    assert first == second
    other = cr.gradcheck(wrong, POINT, seed=first["seed"] + 1).to_dict()
    assert other["findings"][0]["got"] != first["findings"][0]["got"]
    assert json.loads(json.dumps(first)) == first


def test_assert_gradients_raises_the_report():
    assert cr.assert_gradients(cr.exp, POINT).ok
    with pytest.raises(CheckError, match=r"(?s)expected .*seed=\d+ repeats this check"):
        cr.assert_gradients(operation(MEANINGS["the sign is wrong"]), POINT)


def test_the_kernel_set_that_is_chosen_computes():
    seen = set()

    def forward(k, x):
        seen.add(k.name)
        return x * 2.0

    doubled = operation(lambda k, g: g * 2.0, forward)
    assert cr.gradcheck(doubled, POINT).ok and seen >= {"numba", "reference"}
    seen.clear()
    with cr.kernels("reference"):
        assert cr.gradcheck(doubled, POINT).ok
    assert cr.gradcheck(doubled, POINT, kernels="reference").ok
    assert seen == {"reference", "complex"}


def test_within_hypothesis_no_kernel_is_compiled():
    seen, sets = [], set()

    def forward(k, x):
        sets.add(k.name)
        return k.erf(x)

    own = operation(lambda k, g, x: g * k.exp(-x * x) * (2 / np.sqrt(np.pi)), forward)

    @settings(max_examples=3, database=None)
    @given(st.floats(0.1, 2.0))
    def check(x):
        report = cr.gradcheck(own, [x])
        seen.append((report.ok, report.seed))

    check()
    assert all(ok for ok, _ in seen) and len({seed for _, seed in seen}) > 1
    assert sets == {"reference", "complex"}
