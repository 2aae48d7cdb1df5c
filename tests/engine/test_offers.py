"""Gradients computed into an optimiser's memory are those computed elsewhere, to the bit."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine import offers
from chainrule.engine.kernels import numba_affine, numba_products

N = 80  # matrices of that size are multiplied by compiled kernels
Array = np.ndarray[Any, Any]
assert N**3 > numba_products.SMALL


def parameters(count: int = 2) -> list[cr.Tensor]:
    """Square matrices of one size, packed by an optimiser that has taken a step."""
    random = np.random.default_rng(0)
    made = [
        cr.tensor(random.standard_normal((N, N)), dtype="float32", requires_grad=True)
        for _ in range(count)
    ]
    optimizer = cr.optim.SGD(made, learning_rate=1e-3)
    sum((each * each).sum() for each in made).backward()
    optimizer.step()
    optimizer.zero_grad()
    _kept.append(optimizer)
    return made


_kept: list[Any] = []


@pytest.fixture(autouse=True)
def _keeps_optimizers() -> Any:
    yield
    _kept.clear()


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[Array]:
    """The offered buffers that kernels took."""
    found: list[Array] = []
    ask = offers.empty

    def empty(shape: Any, dtype: Any) -> Any:
        before = list(offers.state.offers or ())
        array = ask(shape, dtype)
        found.extend(each for each in before if each is array)
        return array

    for module in (numba_products, numba_affine):
        monkeypatch.setattr(module, "empty", empty)
    return found


def upstream() -> cr.Tensor:
    return cr.tensor(np.random.default_rng(1).standard_normal((N, N)), dtype="float32")


def compared(program: Callable[..., cr.Tensor], count: int = 2) -> list[cr.Tensor]:
    """Runs a program of parameters twice, once without an optimiser's memory; the first ones."""
    packed = parameters(count)
    loose = [cr.tensor(each.numpy(), requires_grad=True) for each in packed]
    for several in (packed, loose):
        (program(*several) * upstream()).sum().backward()
    for one, other in zip(packed, loose, strict=True):
        if other.grad is None:
            assert one.grad is None
        else:
            np.testing.assert_array_equal(one.grad.numpy(), other.grad.numpy())
    return packed


def test_a_product_of_two_parameters(taken: list[Array]) -> None:
    """Both gradients have the shape of both buffers: neither may end up in the other's."""
    compared(lambda a, b: a @ b)
    assert len(taken) == 2


def test_a_parameter_times_itself(taken: list[Array]) -> None:
    compared(lambda a: a @ a, count=1)
    assert len(taken) == 1


def test_a_parameter_that_is_used_twice(taken: list[Array]) -> None:
    compared(lambda a, b: a @ b + b @ a)
    compared(lambda a, b: (a @ b) @ a)
    compared(lambda a, b: a @ b + a)
    assert taken


def test_a_product_whose_other_factor_is_computed(taken: list[Array]) -> None:
    """The gradient of the computed factor has the shape of the buffer, too."""
    compared(lambda a, b: cr.tanh(a) @ b)
    compared(lambda a, b: a @ cr.tanh(b))
    compared(lambda a, b: a @ (b @ a))
    assert taken


def test_a_transposed_parameter(taken: list[Array]) -> None:
    compared(lambda a, b: a.T @ b)
    compared(lambda a, b: a @ b.T)
    compared(lambda a, b: (a.T @ b.T).T)


def test_gradients_that_are_not_zeroed_add_up(taken: list[Array]) -> None:
    a, b = parameters()
    for times in (1, 2, 3):
        ((a @ b) * upstream()).sum().backward()
        loose = [cr.tensor(each.numpy(), requires_grad=True) for each in (a, b)]
        ((loose[0] @ loose[1]) * upstream()).sum().backward()
        for one, other in zip((a, b), loose, strict=True):
            expected = other.grad.numpy() * np.float32(times)
            np.testing.assert_allclose(one.grad.numpy(), expected, rtol=1e-5, atol=1e-3)
    assert len(taken) == 2, "only the first time there is no gradient yet"


def test_a_gradient_that_somebody_holds_keeps_its_values(taken: list[Array]) -> None:
    a, b = parameters()
    ((a @ b) * upstream()).sum().backward()
    held, values = a.grad, a.grad.numpy().copy()
    a.grad = b.grad = None
    ((a @ b) * upstream() * 3).sum().backward()
    np.testing.assert_array_equal(held.numpy(), values)
    assert not np.array_equal(a.grad.numpy(), values)


def test_a_graph_that_contains_the_last_gradient(taken: list[Array]) -> None:
    """What it saved is still read in the walk that makes the next gradient."""
    a, b = parameters()
    ((a @ b) * upstream()).sum().backward()
    last = a.grad.numpy().copy()
    scaled = b * a.grad  # saves the gradient's memory
    a.grad = b.grad = None
    ((a @ scaled) * upstream()).sum().backward()
    loose = [cr.tensor(each.numpy(), requires_grad=True) for each in (a, b)]
    ((loose[0] @ (loose[1] * cr.tensor(last))) * upstream()).sum().backward()
    for one, other in zip((a, b), loose, strict=True):
        np.testing.assert_array_equal(one.grad.numpy(), other.grad.numpy())


def test_hooks_see_gradients_as_before(taken: list[Array]) -> None:
    a, b = parameters()
    seen: list[Array] = []
    handle = a.register_hook(lambda gradient: seen.append(gradient.numpy().copy()))
    ((a @ b) * upstream()).sum().backward()
    handle()
    np.testing.assert_array_equal(seen[0], a.grad.numpy())
    assert len(taken) == 1, "that of b"


def test_other_gradients_and_anomaly_detection_take_no_offer(taken: list[Array]) -> None:
    a, b = parameters()
    before = [each.grad for each in (a, b)]
    found = cr.grad(lambda a, b: ((a @ b) * upstream()).sum())(a, b)
    assert [each.grad for each in (a, b)] == before
    with cr.detect_anomaly():
        ((a @ b) * upstream()).sum().backward()
    assert not taken
    np.testing.assert_array_equal(a.grad.numpy(), found.numpy())


def test_an_error_on_the_way_leaves_no_offer() -> None:
    a, b = parameters()
    wrong = cr.operation(
        "wrong_product",
        forward=lambda k, a, b: k.matmul(a, b),
        vjp={"a": lambda k, g, b: 1 / 0, "b": lambda k, g, a: k.matmul(a.T, g)},
        products=lambda y, a, b: 1,
    )
    with pytest.raises(ZeroDivisionError):
        (wrong(a, b) * upstream()).sum().backward()
    assert offers.state.offers is None
    assert a.grad is None
    assert b.grad is None


def test_a_held_gradient_outlives_its_optimizer() -> None:
    a, b = parameters()
    ((a @ b) * upstream()).sum().backward()
    held, values = a.grad, a.grad.numpy().copy()
    _kept.clear()
    gc.collect()
    another = cr.optim.Adam([a, b])
    another.zero_grad()
    ((a @ b) * upstream() * 3).sum().backward()
    np.testing.assert_array_equal(held.numpy(), values)


def test_a_hook_that_goes_back_itself() -> None:
    def gradient_of(weights: list[cr.Tensor]) -> Array:
        b = weights[1]
        x = cr.tensor(np.random.default_rng(3).standard_normal((N, N)), dtype="float32")
        inner = cr.tensor(np.ones((N, N)), dtype="float32", requires_grad=True)
        h = inner * 1
        h.register_hook(lambda g: ((x @ b) * 5).sum().backward())
        ((h @ b) * upstream()).sum().backward()
        return b.grad.numpy()

    packed = parameters()
    loose = [cr.tensor(each.numpy(), requires_grad=True) for each in packed]
    np.testing.assert_allclose(gradient_of(packed), gradient_of(loose), rtol=1e-4, atol=1e-3)


def test_a_hook_that_returns_an_old_gradient() -> None:
    """It lies in the memory that the next gradient would be computed into."""

    def gradient_of(weights: list[cr.Tensor]) -> Array:
        a, b = weights
        x = upstream()
        ((x @ b) * upstream()).sum().backward()
        old = [b.grad]
        a.grad = b.grad = None
        y = x @ b
        y.register_hook(lambda g: old.pop())
        y.sum().backward()
        return b.grad.numpy()

    packed = parameters()
    loose = [cr.tensor(each.numpy(), requires_grad=True) for each in packed]
    np.testing.assert_allclose(gradient_of(packed), gradient_of(loose), rtol=1e-4, atol=1e-2)


def test_an_error_further_back_leaves_no_gradient(taken: list[Array]) -> None:
    a, b = parameters()
    wrong = cr.operation("wrong_factor", forward=lambda k, x: x * 1, vjp=lambda k, g: 1 / 0)
    y = wrong(cr.concat([a, a])) @ b
    with pytest.raises(ZeroDivisionError):
        (y * y).sum().backward()
    assert taken, "the gradient of b was computed first"
    assert a.grad is None
    assert b.grad is None


def test_training_is_the_same_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained() -> list[Array]:
        cr.seed(0)
        layers = [cr.layers.Dense(300, activation="relu"), cr.layers.Dense(300, activation="tanh")]
        model = cr.models.Sequential([*layers, cr.layers.Dense(10, activation="softmax")])
        model.compile("adam", "sparse_categorical_crossentropy")
        x = np.random.default_rng(0).standard_normal((64, 100)).astype("float32")
        for _ in range(4):
            model.train_on_batch(x, np.arange(64) % 10)
        return list(model.get_weights())

    with_offers = trained()
    monkeypatch.setattr(offers, "_free", lambda *about: None)
    for one, other in zip(with_offers, trained(), strict=True):
        np.testing.assert_array_equal(one, other)
