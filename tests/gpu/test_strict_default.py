"""With a GPU as the default device, as CHAINRULE_DEVICE=cuda makes it."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers
from chainrule.engine.devices import default_device
from chainrule.engine.tensor import on_host

from .strict import strict_device


@pytest.fixture(autouse=True)
def on_the_device():
    cr.set_default_device(strict_device)
    yield
    cr.set_default_device(None)


def square(x):
    return x * x


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda x: cr.value_and_grad(lambda y: (y * y).sum())(x)[1], [2.0, -4.0]),
        (lambda x: cr.vjp(square, x)[1]([1.0, 10.0])[0], [2.0, -40.0]),
        (lambda x: cr.jvp(square, x, [1.0, 10.0])[1], [2.0, -40.0]),
        (lambda x: cr.jacobian(square)(x), [[2.0, 0.0], [0.0, -4.0]]),
        (lambda x: cr.hessian(lambda y: (y**3).sum())(x), [[6.0, 0.0], [0.0, -12.0]]),
        (lambda x: cr.hvp(lambda y: (y**3).sum(), x, [1.0, 0.0])[1], [6.0, 0.0]),
        (lambda x: cr.square(x), [1.0, 4.0]),
    ],
)
@pytest.mark.parametrize("x", [[1.0, -2.0], np.array([1.0, -2.0])])
def test_what_is_no_tensor_becomes_one_there(call, expected, x):
    found = call(x)
    assert found.device == "strict"
    np.testing.assert_allclose(on_host(found), expected, rtol=1e-15)


def test_gradients_are_checked_on_the_cpu_whatever_the_default_is():
    assert cr.gradcheck(lambda x: cr.tanh(x) * cr.ones(2), [0.3, -1.0])
    cr.assert_gradients(layers.Dense(2), np.ones((2, 3)))
    cr.testing.check_operation(cr.tanh)
    assert default_device() is strict_device
    for subject, given, what in (
        (square, cr.tensor([1.0]), "input 0 is"),
        (layers.Dense(2).to(strict_device), np.ones((2, 3)), "the layer is"),
    ):
        with pytest.raises(cr.DeviceError, match=rf"{what} on 'strict'.*x\.cpu\(\)"):
            cr.gradcheck(subject, given)


def test_tensors_in_a_list_stay_on_their_device():
    cr.set_default_device(None)
    x = cr.tensor([1.0, 2.0], device=strict_device)
    both = cr.tensor([x, 2.0 * x])
    assert both.device == "strict"
    assert on_host(both).tolist() == [[1.0, 2.0], [2.0, 4.0]]
    assert cr.tensor([x, x], device="cpu").device == "cpu"
