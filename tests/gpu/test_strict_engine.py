"""The rest of the engine on arrays that are as unforgiving as CuPy's."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.tensor import on_host

from .strict import strict_device, traffic


def there(values, requires_grad=True):
    return cr.tensor(np.asarray(values, float), requires_grad=requires_grad, device="strict")


def test_creation():
    x = there([1.0, 2.0])
    made = [
        *(cr.zeros(2, device="strict"), cr.full(2, 3.0, device="strict")),
        *(cr.eye(2, device="strict"), cr.arange(3, device="strict")),
        *(cr.linspace(0, 1, 3, device="strict"), cr.random.normal(2, device="strict")),
        *(cr.zeros_like(x), cr.ones_like(x), cr.full_like(x, 2), x.astype("int64")),
        cr.one_hot(cr.tensor([0, 2], device="strict"), 3),
    ]
    assert {each.device for each in made} == {"strict"}
    assert on_host(made[-1]).tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]


def test_gradients_are_kept_copied_hooked_and_set():
    x = there([1.0, 2.0])
    x.register_hook(lambda g: 2.0 * g)
    y = x * x
    y.retain_grad()
    y.backward([1.0, -1.0])
    (x * 3.0).sum().backward()
    assert on_host(x.grad).tolist() == [10.0, -2.0]
    assert on_host(y.grad).tolist() == [1.0, -1.0]
    twin = copy.deepcopy(x)
    assert twin.device == "strict" and on_host(twin.grad).tolist() == [10.0, -2.0]
    x.grad = np.array([5.0, 6.0])
    assert x.grad.device == "strict"
    one, two = cr.grad((x * x).sum(), [x, x])
    assert one._data is not two._data


def test_transforms_give_what_they_give_on_the_cpu():
    def function(x):
        return (cr.sin(x) * x**2).sum()

    def vector(x):
        return cr.tanh(x) * x[0]

    for transform in (
        lambda x: cr.value_and_grad(function)(x),
        lambda x: [cr.jacobian(vector)(x), cr.hessian(function)(x)],
        lambda x: cr.checkpoint(vector, x),
    ):
        plain, found = transform(cr.tensor([0.3, 0.7])), transform(there([0.3, 0.7], False))
        plain, found = (
            each if isinstance(each, (list, tuple)) else [each] for each in (plain, found)
        )
        for ours, theirs in zip(found, plain, strict=True):
            assert ours.device == "strict"
            np.testing.assert_allclose(on_host(ours), theirs.numpy(), rtol=1e-12)


def test_anomalies_are_found():
    with cr.detect_anomaly(), pytest.raises(cr.AnomalyError, match="'log' made 1 NaN"):
        cr.log(there([-1.0, 2.0]))
    with cr.detect_anomaly():
        x = there([1.0, 2.0])
        y = x.detach()
        loss = (x * x).sum()
        y._data[0] = 7.0  # behind the engine's back
        with pytest.raises(cr.GradientError):
            loss.backward()


def test_a_users_own_operation_may_return_what_it_was_given():
    same = cr.operation("itself", forward=lambda k, x: x, vjp=lambda k, g: g)
    x = there([1.0, 2.0])
    y = same(x)
    with cr.no_grad():
        x.detach()[0] = 9.0
    assert on_host(y)[0] == 1.0
    y.backward([1.0, 3.0])
    assert on_host(x.grad).tolist() == [1.0, 3.0]
    kept = np.array([1.0, 2.0])
    scaled = cr.operation(
        "scaled_by",
        forward=lambda k, x, *, factor: x * k.asarray(factor),
        vjp=lambda k, g, factor: g * (k.asarray(factor) if hasattr(k, "xp") else factor),
    )
    z = scaled(x, factor=kept)
    kept[:] = 0.0
    z.sum().backward()
    assert on_host(x.grad).tolist() == [2.0, 5.0]


def test_booleans_go_to_floats_of_a_size_that_counts():
    flags = cr.tensor([True, False], device="strict")
    assert cr.exp(flags).dtype == "float64"


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: x + there([1.0, 2.0, 3.0]), cr.ShapeError, "broadcast"),
        (lambda x: x @ there(np.ones((3, 3))), cr.ShapeError, "last axis"),
        (lambda x: x.reshape(3), cr.ShapeError, "elements"),
        (lambda x: cr.concat([x, x[None]]), cr.ShapeError, "dimension"),
        (lambda x: x[np.array([True])], cr.ShapeError, "mask"),
        (lambda x: x[1.5], cr.DtypeError, "integers"),
        (lambda x: x[0, 0, 0], IndexError, "too much"),
        (lambda x: x[5], IndexError, "out of bounds"),
        (lambda x: x + cr.tensor([1.0, 2.0]), cr.DeviceError, "two devices"),
        (lambda x: cr.ones(3)[cr.arange(2, device="strict")], cr.DeviceError, "index.cpu"),
        (lambda x: np.asarray(x.detach()), cr.DeviceError, "NumPy cannot read it"),
        (lambda x: x.backward([1.0]), cr.ShapeError, "shape"),
        (lambda x: cr.softmax(x, axis=3), cr.ShapeError, "axis"),
    ],
)
def test_what_is_wrong_is_said_without_a_copy_to_the_host(call, error, text):
    x, before = there([1.0, 2.0]) * 1.0, traffic.down
    with pytest.raises(error, match=text):
        call(x)
    assert traffic.down == before


def test_the_device_is_registered_and_moves_tensors():
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    y = x.to("strict")
    assert y.device == strict_device.name
    (y * y).sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]
    assert "device=strict" in repr(y)


@pytest.mark.parametrize(("here", "other"), [("cpu", "strict"), ("strict", "cpu")])
def test_gradients_of_another_device_are_refused(here, other):
    x = cr.tensor([1.0, 2.0], requires_grad=True, device=here)
    upstream = cr.tensor([1.0, -1.0], device=other)
    for call in (
        lambda: (x * x).backward(upstream),
        lambda: cr.grad([x * x], [x], [upstream]),
    ):
        with pytest.raises(cr.DeviceError, match=rf"gradient is on {other!r}.* on {here!r}.*\.to"):
            call()
    assert x.grad is None
    x.register_hook(lambda g: g.to(other))
    with pytest.raises(cr.GradientError, match=f"a Tensor of shape .* on {here!r}"):
        (x * x).sum().backward()
    assert x.grad is None


def test_arrays_of_numpy_in_an_operation_of_the_users_own_are_told_the_way():
    scaled = cr.operation(
        "scaled_by_host", forward=lambda k, x: x * np.array([1.0, 2.0]), vjp=lambda k, g: g
    )
    with pytest.raises(cr.DtypeError, match=r"k\.asarray"):
        scaled(there([1.0, 2.0]))
    with pytest.raises(cr.DtypeError, match="from_dlpack"):
        there([1.0, 2.0]) + there([1.0])._data
