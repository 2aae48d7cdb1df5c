"""Adam: Algorithm 1 of Kingma and Ba, the rule as printed, and PyTorch's trajectories."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.kernels import numba_optimizers
from chainrule.optim import SGD, Adam

from .network import assert_follows_pytorch, loss, parameters, train


def gradients(count: int, size: int = 5) -> list[np.ndarray[Any, Any]]:
    return [np.random.default_rng(t).standard_normal(size) for t in range(count)]


def steps_of(adam: Adam, parameter: cr.Tensor, given: list[Any]) -> list[np.ndarray[Any, Any]]:
    """The parameter after each step with these gradients."""
    path = []
    for g in given:
        parameter.grad = cr.tensor(g, dtype=parameter.dtype)
        adam.step()
        path.append(parameter.numpy().copy())
    return path


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_algorithm_1_line_by_line(weight_decay: float) -> None:
    alpha, beta_1, beta_2, epsilon = 0.01, 0.8, 0.95, 1e-3
    start = np.random.default_rng(9).standard_normal(5)
    parameter = cr.tensor(start, requires_grad=True)
    adam = Adam([parameter], alpha, beta_1, beta_2, epsilon, weight_decay)
    path = steps_of(adam, parameter, gradients(5))

    theta, m, v, t = start, np.zeros(5), np.zeros(5), 0
    for found in path:
        t = t + 1
        g = gradients(t)[-1] + weight_decay * theta
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        m_hat = m / (1 - beta_1**t)
        v_hat = v / (1 - beta_2**t)
        theta = theta - alpha * m_hat / (np.sqrt(v_hat) + epsilon)
        np.testing.assert_allclose(found, theta, rtol=1e-14)


def test_the_rule_as_printed_line_by_line() -> None:
    alpha, beta_1, beta_2 = 1e-4, 0.9, 0.999
    start = np.random.default_rng(9).standard_normal(5)
    parameter = cr.tensor(start, requires_grad=True)
    adam = Adam([parameter], alpha, as_printed=True)
    path = steps_of(adam, parameter, gradients(5))

    w, m = start, np.zeros(5)
    for t, (found, g) in enumerate(zip(path, gradients(5), strict=True), start=1):
        m = beta_1 * m + (1 - beta_1) * g
        w = w - alpha * (m / (1 - beta_1**t)) / (1 - beta_2**t)
        np.testing.assert_allclose(found, w, rtol=1e-13)


def test_the_first_printed_step_is_1000_times_too_large() -> None:
    """At t = 1, m / (1 - beta_1) is the gradient, and 1 / (1 - beta_2) is 1,000."""
    g = np.array([0.5, -2.0])
    parameter, plain = (cr.tensor([0.0, 0.0], requires_grad=True) for _ in range(2))
    plain.grad = cr.tensor(g)
    SGD([plain], learning_rate=0.001).step()
    steps_of(Adam([parameter], 0.001, as_printed=True), parameter, [g])
    np.testing.assert_allclose(parameter.numpy(), 1000 * plain.numpy(), rtol=1e-12)


def test_the_printed_step_decays_to_momentum() -> None:
    """With a constant gradient momentum's step is learning_rate * g: so is the printed, late."""
    parameter = cr.tensor([0.0], requires_grad=True)
    path = steps_of(Adam([parameter], 0.001, as_printed=True), parameter, [np.ones(1)] * 10_000)
    last = path[-1] - path[-2]
    np.testing.assert_allclose(last, -0.001, rtol=1e-3)


def test_v_of_the_printed_rule_is_computed_and_never_used() -> None:
    parameter = cr.tensor([1.0], requires_grad=True)
    adam = Adam([parameter], as_printed=True)
    steps_of(adam, parameter, [np.array([3.0])])
    state = adam.state()
    np.testing.assert_allclose(state["v.0"], [0.009])
    after = parameter.numpy().copy()
    state["v.0"] *= 1e6
    adam.load_state(state)
    parameter.assign(after)
    one = steps_of(adam, parameter, [np.array([1.0])])
    state["v.0"] *= 0
    adam.load_state(state)
    parameter.assign(after)
    np.testing.assert_array_equal(steps_of(adam, parameter, [np.array([1.0])]), one)


def test_defaults_are_those_of_the_paper() -> None:
    adam = Adam()
    assert adam.learning_rate == 0.001
    assert adam.settings == {
        "beta_1": 0.9,
        "beta_2": 0.999,
        "epsilon": 1e-8,
        "weight_decay": 0.0,
        "as_printed": False,
    }


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {}),
        (
            {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-4},
            {"betas": (0.8, 0.95), "eps": 1e-4},
        ),
        ({"weight_decay": 0.1}, {"weight_decay": 0.1}),
    ],
    ids=["defaults", "betas", "weight decay"],
)
@pytest.mark.parametrize("kernel_set", ["reference", "numba"])
def test_follows_pytorch(
    ours: dict[str, Any],
    theirs: dict[str, Any],
    kernel_set: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setitem(numba_optimizers.THRESHOLDS, "adam_step", 0)
    with cr.kernels(kernel_set):
        assert_follows_pytorch(
            lambda weights: Adam(weights, learning_rate=0.01, **ours),
            lambda weights: torch.optim.Adam(weights, lr=0.01, **theirs),
        )


def test_float32_stays_float32() -> None:
    weights = parameters("float32")
    adam = Adam(weights, learning_rate=np.float64(0.01))
    train(weights, adam, 3)
    state = adam.state()
    assert {each.dtype for each in weights} == {np.dtype(np.float32)}
    assert {state[f"{name}.{i}"].dtype for name in "mv" for i in range(6)} == {np.dtype(np.float32)}


def test_t_counts_the_steps_of_each_parameter() -> None:
    """A parameter that joins late is corrected as at t = 1: its first step is of size alpha."""
    early, late = (cr.tensor([1.0], requires_grad=True) for _ in range(2))
    adam = Adam([early, late], learning_rate=0.1)
    for _ in range(50):
        early.grad = cr.tensor([1.0])
        adam.step()
    late.grad = cr.tensor([7.0])
    adam.step()
    np.testing.assert_allclose(late.numpy(), [0.9], rtol=1e-8)
    assert adam.state()["steps.0"] == 51
    assert adam.state()["steps.1"] == 1


@pytest.mark.parametrize("size", [1, 200_000])
def test_a_zero_gradient_moves_nothing(size: int) -> None:
    w = cr.ones(size, dtype="float32")
    w.requires_grad = True
    w.grad = cr.zeros(size, dtype="float32")
    Adam([w]).step()
    np.testing.assert_array_equal(w.numpy(), 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0.0}, "Adam: learning_rate must be positive"),
        ({"beta_1": 1.0}, r"Adam: beta_1 must be in \[0, 1\)"),
        ({"beta_1": -0.1}, "Adam: beta_1"),
        ({"beta_2": 1}, "Adam: beta_2"),
        ({"beta_2": float("nan")}, "Adam: beta_2"),
        ({"epsilon": 0.0}, "Adam: epsilon must be finite and at least 1.2e-38, such as 1e-8"),
        ({"epsilon": 1e-50}, "Adam: epsilon"),
        ({"epsilon": -1e-8}, "Adam: epsilon"),
        ({"weight_decay": -1}, "Adam: weight_decay"),
        ({"weight_decay": 0.1, "as_printed": True}, "the rule as printed has none"),
    ],
)
def test_bad_settings(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Adam(parameters(), **options)
    with pytest.raises(TypeError, match="Adam: beta_1"):
        Adam(parameters(), beta_1=(0.9, 0.999))  # type: ignore[arg-type]


def test_it_learns() -> None:
    weights = parameters()
    before = loss(weights).item()
    train(weights, Adam(weights, learning_rate=0.05), 200)
    assert loss(weights).item() < 0.05 * before
