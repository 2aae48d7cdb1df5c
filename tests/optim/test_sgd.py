"""SGD: the rule as derived, its options, and PyTorch's trajectories."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import optim
from chainrule.engine.kernels import numba_optimizers
from chainrule.optim import SGD

from .network import WEIGHTS, assert_follows_pytorch, loss, parameters


def leaf_with_gradient(size: int = 5, dtype: str = "float64") -> cr.Tensor:
    random = np.random.default_rng(1)
    w = cr.tensor(random.standard_normal(size), dtype=dtype, requires_grad=True)
    w.grad = cr.tensor(random.standard_normal(size), dtype=dtype)
    return w


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_step_is_the_derived_rule(dtype: str) -> None:
    weights = parameters(dtype)
    sgd = SGD(weights, learning_rate=0.1)
    loss(weights).backward()
    expected = [w.numpy() - np.dtype(dtype).type(0.1) * w.grad.numpy() for w in weights]
    sgd.step()
    for w, right in zip(weights, expected, strict=True):
        assert w.dtype == dtype
        np.testing.assert_array_equal(w.numpy(), right)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_momentum_line_by_line(nesterov: bool, weight_decay: float) -> None:
    parameter = leaf_with_gradient()
    w, velocity = parameter.numpy().copy(), np.zeros(5)
    sgd = SGD([parameter], 0.1, momentum=0.9, nesterov=nesterov, weight_decay=weight_decay)
    for t in (1, 2, 3):
        dJ_dw = np.random.default_rng(t).standard_normal(5)
        g = dJ_dw + weight_decay * w
        velocity = 0.9 * velocity + g
        w = w - 0.1 * (g + 0.9 * velocity if nesterov else velocity)
        parameter.grad = cr.tensor(dJ_dw)
        sgd.step()
        np.testing.assert_allclose(parameter.numpy(), w, rtol=1e-14)


def test_weight_decay_line_by_line() -> None:
    parameter = leaf_with_gradient()
    w, g = parameter.numpy().copy(), parameter.grad.numpy().copy()
    SGD([parameter], 0.5, weight_decay=0.1).step()
    np.testing.assert_allclose(parameter.numpy(), w - 0.5 * (g + 0.1 * w), rtol=1e-15)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True},
        {"weight_decay": 0.01},
        {"momentum": 0.5, "nesterov": True, "weight_decay": 0.01},
    ],
    ids=str,
)
@pytest.mark.parametrize("kernel_set", ["reference", "numba"])
def test_follows_pytorch(
    options: dict[str, Any], kernel_set: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setitem(numba_optimizers.THRESHOLDS, "sgd_step", 0)
    with cr.kernels(kernel_set):
        assert_follows_pytorch(
            lambda weights: SGD(weights, learning_rate=0.02, **options),
            lambda weights: torch.optim.SGD(weights, lr=0.02, **options),
        )


def test_learning_rate_may_be_set_between_steps() -> None:
    parameter = leaf_with_gradient()
    sgd = SGD([parameter], 0.5)
    before, g = parameter.numpy().copy(), parameter.grad.numpy().copy()
    sgd.learning_rate = 0.0  # as a schedule that warms up begins
    sgd.step()
    np.testing.assert_array_equal(parameter.numpy(), before)
    sgd.learning_rate = np.float64(0.25)
    sgd.step()
    np.testing.assert_array_equal(parameter.numpy(), before - 0.25 * g)
    with pytest.raises(ValueError, match="learning_rate must be a finite number, not negative"):
        sgd.learning_rate = float("nan")
    assert sgd.learning_rate == 0.25


def test_a_numpy_learning_rate_does_not_widen_float32() -> None:
    parameter = leaf_with_gradient(dtype="float32")
    SGD([parameter], learning_rate=np.float64(0.1), momentum=np.float64(0.9)).step()
    assert parameter.dtype == np.float32


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"learning_rate": 0}, ValueError, "SGD: learning_rate must be positive.*got 0"),
        ({"learning_rate": -0.1}, ValueError, "SGD: learning_rate"),
        ({"learning_rate": float("nan")}, ValueError, "SGD: learning_rate"),
        ({"learning_rate": float("inf")}, ValueError, "SGD: learning_rate"),
        ({"learning_rate": "0.1"}, TypeError, "SGD: learning_rate.*'0.1'"),
        ({"learning_rate": True}, TypeError, "SGD: learning_rate"),
        ({"learning_rate": None}, TypeError, "SGD: learning_rate"),
        ({"momentum": 1.0}, ValueError, r"SGD: momentum must be in \[0, 1\)"),
        ({"momentum": -0.5}, ValueError, "SGD: momentum"),
        ({"momentum": float("nan")}, ValueError, "SGD: momentum"),
        ({"weight_decay": -1e-9}, ValueError, "SGD: weight_decay"),
        ({"weight_decay": float("inf")}, ValueError, "SGD: weight_decay"),
        ({"nesterov": True}, ValueError, "nesterov=True needs momentum; give momentum=0.9"),
    ],
)
def test_bad_settings(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SGD(parameters(), **options)


def test_bad_parameters() -> None:
    w = cr.ones(3)
    w.requires_grad = True
    bad: list[tuple[Any, type[Exception], str]] = [
        ([], ValueError, "parameters is empty"),
        (iter([]), ValueError, "parameters is empty"),
        (0.1, TypeError, r"write SGD\(parameters, learning_rate=...\)"),
        (w, TypeError, "put the one in brackets"),
        (lambda: [w], TypeError, "call it"),
        ([np.ones(3)], TypeError, r"parameters\[0\] must be a Tensor"),
        ([w, None], TypeError, r"parameters\[1\] must be a Tensor, got None"),
        ([("kernel", 3.0)], TypeError, "'kernel' must be a Tensor"),
        ([w * 2], cr.GradientError, r"parameters\[0\] was computed by 'multiply'"),
        ([cr.tensor([1, 2])], cr.DtypeError, r"shape \(2,\), int64"),
        ([cr.tensor([True])], cr.DtypeError, "bool"),
    ]
    for given, error, message in bad:
        with pytest.raises(error, match=message):
            SGD(given, 0.1)


def test_any_iterable_of_tensors() -> None:
    weights = parameters()
    for given in (
        tuple(weights),
        (each for each in weights),
        {str(i): each for i, each in enumerate(weights)}.values(),
        [(str(i), each) for i, each in enumerate(weights)],
        {str(i): each for i, each in enumerate(weights)}.items(),
    ):
        found = SGD(given, 0.1).parameters
        assert [id(each) for each in found] == [id(each) for each in weights]


def test_parameters_given_later() -> None:
    sgd = SGD(learning_rate=0.5)
    with pytest.raises(RuntimeError, match=r"it has no parameters yet.*attach\(parameters\)"):
        sgd.step()
    with pytest.raises(ValueError, match="it has no parameters yet"):
        sgd.load_state({"learning_rate": 0.5})
    sgd.zero_grad()
    weights = parameters()
    sgd.attach(weights)
    sgd.attach(reversed(weights))  # the same ones
    loss(weights).backward()
    sgd.step()
    assert not np.array_equal(weights[0].numpy(), WEIGHTS[0])
    with pytest.raises(ValueError, match="has 6 parameters already, and these 5 are not the same"):
        sgd.attach(weights[1:])
    with pytest.raises(ValueError, match="parameters is empty"):
        SGD().attach([])


def test_repr_and_settings() -> None:
    sgd = SGD(learning_rate=0.5, momentum=0.9)
    assert repr(sgd) == "SGD(learning_rate=0.5, momentum=0.9, nesterov=False, weight_decay=0.0)"
    assert sgd.settings == {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0}


def test_get() -> None:
    assert type(optim.get("sgd")) is SGD
    assert type(optim.get("SGD")) is SGD
    assert type(optim.get("Adam")) is optim.Adam
    sgd = SGD(learning_rate=0.3)
    assert optim.get(sgd) is sgd
    for unknown in ("sdg", None, SGD, 3):
        with pytest.raises(ValueError, match="is unknown; known: 'sgd', 'adam'"):
            optim.get(unknown)
