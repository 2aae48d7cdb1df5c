"""The worked example, written out by hand: 100 inputs, two hidden layers of 500 ReLU, 10 sigmoids.

Read this first. On the left of every assertion stands what the engine computed; on the right the
derivation, line by line, in NumPy:

    z1 = x W1 + b1    a1 = max(0, z1)
    z2 = a1 W2 + b2   a2 = max(0, z2)
    z3 = a2 W3 + b3   y = sigmoid(z3)          J = 1/2 |y - target|^2, summed over the batch

    delta3 = (y - target) * y (1 - y)          dJ/dW3 = a2' delta3    dJ/db3 = delta3
    delta2 = (delta3 W3') * [z2 > 0]           dJ/dW2 = a1' delta2    dJ/db2 = delta2
    delta1 = (delta2 W2') * [z1 > 0]           dJ/dW1 = x' delta1     dJ/db1 = delta1

A batch stands in rows, so a sum over its rows is a matrix product, and ' is the transpose.
"""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr

SIZES = [(100, 500), (500, 500), (500, 10)]
LEARNING_RATE = 0.1


class ByHand:
    """Parameters, a batch, and everything that the derivation says about them."""

    def __init__(self, batch: int) -> None:
        draw = np.random.default_rng(batch)
        self.W = [draw.normal(0, np.sqrt(2 / shape[0]), shape) for shape in SIZES]
        self.b = [draw.normal(0, 0.1, shape[1]) for shape in SIZES]
        self.x = draw.normal(0, 1, (batch, 100))
        self.target = draw.uniform(0, 1, (batch, 10))

        W1, W2, W3 = self.W
        b1, b2, b3 = self.b
        # Forward propagation
        self.z1 = self.x @ W1 + b1
        self.a1 = np.maximum(0, self.z1)
        self.z2 = self.a1 @ W2 + b2
        self.a2 = np.maximum(0, self.z2)
        self.z3 = self.a2 @ W3 + b3
        self.y = 1 / (1 + np.exp(-self.z3))
        self.J = 0.5 * np.sum((self.y - self.target) ** 2)
        # Backward propagation: the errors, delta_l = dJ/dz_l
        self.delta3 = (self.y - self.target) * self.y * (1 - self.y)
        self.delta2 = (self.delta3 @ W3.T) * (self.z2 > 0)
        self.delta1 = (self.delta2 @ W2.T) * (self.z1 > 0)
        # The gradients
        self.dW = [self.x.T @ self.delta1, self.a1.T @ self.delta2, self.a2.T @ self.delta3]
        self.db = [self.delta1.sum(axis=0), self.delta2.sum(axis=0), self.delta3.sum(axis=0)]


class ByEngine:
    """The same network in the engine: the forward lines, and `backward()` for all the rest."""

    def __init__(self, page: ByHand) -> None:
        self.W = [cr.tensor(each, requires_grad=True) for each in page.W]
        self.b = [cr.tensor(each, requires_grad=True) for each in page.b]
        x, target = cr.tensor(page.x), cr.tensor(page.target)
        self.z1 = x @ self.W[0] + self.b[0]
        a1 = cr.relu(self.z1)
        self.z2 = a1 @ self.W[1] + self.b[1]
        a2 = cr.relu(self.z2)
        self.z3 = a2 @ self.W[2] + self.b[2]
        self.y = cr.sigmoid(self.z3)
        self.J = 0.5 * cr.sum((self.y - target) ** 2)
        for z in (self.z1, self.z2, self.z3):
            z.retain_grad()
        self.J.backward()


def assert_equal(ours: cr.Tensor, derived: np.ndarray) -> None:
    """To 1e-12, relative to the largest entry."""
    assert ours.shape == np.shape(derived)
    error = np.max(np.abs(ours.numpy() - derived)) / np.max(np.abs(derived))
    assert error <= 1e-12, f"relative error {error:.1e}"


@pytest.fixture(params=[1, 32], ids=["one example", "a batch of 32"])
def page(request: pytest.FixtureRequest) -> ByHand:
    return ByHand(batch=request.param)


def test_forward_propagation(page: ByHand) -> None:
    engine = ByEngine(page)
    assert_equal(engine.z1, page.z1)
    assert_equal(engine.z2, page.z2)
    assert_equal(engine.z3, page.z3)
    assert_equal(engine.y, page.y)
    assert_equal(engine.J, page.J)


def test_the_errors_delta(page: ByHand) -> None:
    engine = ByEngine(page)
    assert_equal(engine.z3.grad, page.delta3)
    assert_equal(engine.z2.grad, page.delta2)
    assert_equal(engine.z1.grad, page.delta1)


def test_the_gradients_of_all_306_010_parameters(page: ByHand) -> None:
    engine = ByEngine(page)
    for i in range(3):
        assert_equal(engine.W[i].grad, page.dW[i])
        assert_equal(engine.b[i].grad, page.db[i])
    assert sum(each.size for each in engine.W + engine.b) == 306_010


def test_one_step_of_gradient_descent(page: ByHand) -> None:
    engine = ByEngine(page)
    with cr.no_grad():
        for parameter in engine.W + engine.b:
            parameter -= LEARNING_RATE * parameter.grad
    for i in range(3):
        assert_equal(engine.W[i], page.W[i] - LEARNING_RATE * page.dW[i])
        assert_equal(engine.b[i], page.b[i] - LEARNING_RATE * page.db[i])


def test_one_step_of_the_sgd_optimiser(page: ByHand) -> None:
    engine = ByEngine(page)
    cr.optim.SGD(engine.W + engine.b, learning_rate=LEARNING_RATE).step()
    for i in range(3):
        assert_equal(engine.W[i], page.W[i] - LEARNING_RATE * page.dW[i])
        assert_equal(engine.b[i], page.b[i] - LEARNING_RATE * page.db[i])


@pytest.mark.parametrize("as_printed", [False, True], ids=["published", "as printed"])
def test_three_steps_of_adam(page: ByHand, as_printed: bool) -> None:
    """m and v are running means of the gradient and its square. The rule as the source prints it
    divides by 1 - beta2^t and leaves v unused; the published one divides by the root of v-hat.
    """
    alpha, beta1, beta2, epsilon = 0.001, 0.9, 0.999, 1e-8
    w = page.W[2].copy()
    m, v = np.zeros_like(w), np.zeros_like(w)
    parameter = cr.tensor(w, requires_grad=True)
    adam = cr.optim.Adam([parameter], learning_rate=alpha, as_printed=as_printed)
    for t in (1, 2, 3):
        g = page.dW[2] / t  # another gradient each time
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        if as_printed:
            w = w - alpha * (m / (1 - beta1**t)) / (1 - beta2**t)
        else:
            w = w - alpha * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + epsilon)
        parameter.grad = cr.tensor(g)
        adam.step()
    assert_equal(parameter, w)


def test_the_layers_compute_the_same(page: ByHand) -> None:
    """`Dense` is z = x W + b, and the model's loss is J: nothing else happens on the way."""
    from chainrule.layers import Dense
    from chainrule.models import Sequential

    model = Sequential(
        [
            Dense(500, activation="relu", dtype="float64"),
            Dense(500, activation="relu", dtype="float64"),
            Dense(10, activation="sigmoid", dtype="float64"),
        ]
    )
    model.build((None, 100))
    for i in range(3):
        model.layers[i].kernel.assign(page.W[i])
        model.layers[i].bias.assign(page.b[i])
    y = model(page.x)
    loss = cr.losses.HalfSquaredError(reduction="sum")(page.target, y)
    loss.backward()
    assert_equal(y, page.y)
    assert_equal(loss, page.J)
    for i in range(3):
        assert_equal(model.layers[i].kernel.grad, page.dW[i])
        assert_equal(model.layers[i].bias.grad, page.db[i])
