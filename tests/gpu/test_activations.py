"""The kernels of activations equal their references, with a bias and without."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.operations.biased import BIASED, BY_RESULT, GATED
from chainrule.gpu import emulator
from chainrule.gpu.families import activations

from .parity import (
    DTYPES,
    EXAMPLES,
    LENGTHS,
    SCHEDULES,
    Array,
    Case,
    Draw,
    attributes,
    check,
    every,
    launches,
    near,
    numbers,
)

Lengths = st.SearchStrategy[int]

#: Rows in one chunk, in some, and in as few as there may be; and all accesses checked.
PLANS = (
    lambda: attributes(activations),
    lambda: attributes(activations, CHUNK=4),
    lambda: attributes(activations, CHUNK=1, MOST_CHUNKS=3),
    emulator.checked,
)


def shape_of(draw: Draw, lengths: Lengths) -> tuple[int, ...]:
    columns = draw(lengths)
    rows = draw(st.sampled_from([n for n in (1, 2, 7, 40, 300) if n == 1 or n * columns < 2_000]))
    return draw(st.sampled_from([(rows, columns), (1, rows, columns)]))


def allowance(truth: Array, activation: Any) -> tuple[float, float]:
    """How far values may be apart relatively, and absolutely.

    The functions of C's libraries are off by up to 5 units in the last place, NumPy's by 2, our
    erfc by 4; a few roundings are beside them. The form with tanh rounds, up to six times, an
    exponent that reaches the logarithm of the smallest number. What is denormal has few digits.
    """
    about = np.finfo(truth.dtype)
    steep = -6 * np.log(float(about.smallest_subnormal)) if activation == "gelu_tanh" else 0
    return float(about.eps) * (16 + steep), 8 * float(about.smallest_subnormal) * (1 + steep)


def value_allows(arguments: list[Any], position: int | None, truth: Array) -> Any:
    activation = "gelu_tanh" if arguments[-1] is True else ""
    relative, absolute = allowance(truth, activation)
    size = np.abs(np.nan_to_num(truth, posinf=0, neginf=0)).astype(np.float64)
    return relative * size + absolute * 50


def draw_plain(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    return [numbers(draw, dtype, *shape_of(draw, lengths))]


def draw_gelu(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    return [*draw_plain(draw, dtype, lengths), draw(st.booleans())]


CASES = {
    name: Case(draw_plain, value_allows, settings=(PLANS[0], emulator.checked))
    for name in ("sigmoid", "erf", "erfc", "silu")
} | {"gelu": Case(draw_gelu, value_allows)}


@every(CASES)
def test_equals_reference(device: Any, kernel_set: str, dtype: Any, name: str) -> None:
    check(device, kernel_set, dtype, name, CASES[name], examples=EXAMPLES[kernel_set] // 2)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("activation", [*BY_RESULT, *GATED])
def test_with_a_bias(device: Any, kernel_set: str, dtype: Any, activation: str) -> None:
    """Values and gradients of x and of the bias, to those of the CPU's reference."""
    record = cr.bias_activation if activation in BY_RESULT else cr.bias_gated_activation

    @settings(max_examples=EXAMPLES[kernel_set] // 2, deadline=None)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        shape = shape_of(data.draw, LENGTHS[kernel_set])
        x, bias = numbers(data.draw, dtype, *shape), numbers(data.draw, dtype, shape[-1])
        upstream = numbers(data.draw, dtype, *shape, special=False)
        found = []
        plan, schedule = data.draw(st.sampled_from(PLANS)), data.draw(st.sampled_from(SCHEDULES))
        for where, set_name in (("cpu", "reference"), (device.name, kernel_set)):
            one, two = (cr.tensor(each, device=where, requires_grad=True) for each in (x, bias))
            with (
                np.errstate(all="ignore"),
                cr.kernels(set_name),
                plan(),
                emulator.schedule(schedule),
                launches() as launched,
            ):
                y = record(one, two, activation=activation)
                y.backward(cr.tensor(upstream, device=where))
            assert bool(launched) == (where != "cpu")
            found.append([each.to("cpu").numpy() for each in (y, one.grad, two.grad)])
        (y, slope, total), ours = found
        relative, absolute = allowance(y, activation)
        size = np.abs(np.nan_to_num(y, posinf=0, neginf=0)).astype(np.float64)
        near(ours[0], y, relative * size + absolute * 50)
        # The derivative is at most 1.2; near 1 it is the difference of numbers near 1 from 1.
        of_slope = 4 * relative * np.abs(upstream) + absolute * 50
        near(ours[1], slope, of_slope)
        axes, rows = tuple(range(len(shape) - 1)), y.size // shape[-1]
        sizes = of_slope + rows * float(np.finfo(dtype).eps) * np.abs(np.nan_to_num(slope))
        near(ours[2], total, sizes.sum(axis=axes))

    run()


def test_the_gradient_of_a_bias_has_the_same_bits_in_every_order(device: Any) -> None:
    random = np.random.default_rng(0)
    g, y = (random.standard_normal((700, 33)).astype("float32") for _ in range(2))
    found = []
    for schedule in SCHEDULES:
        with emulator.schedule(schedule):
            k = device.sets["raw"]
            given = (device.from_host(each) for each in (g, y))
            _, total = k.bias_activation_backward(*given, None, None, None, "tanh")
        found.append(device.to_host(total))
    for each in found:
        np.testing.assert_array_equal(each, found[0])
    np.testing.assert_allclose(found[0], (g * (1 - y * y)).sum(axis=0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(), (0, 3), (3, 0)])
def test_of_nothing_and_of_one(device: Any, kernel_set: str, shape: tuple[int, ...]) -> None:
    k, x = device.sets[kernel_set], device.from_host(np.ones(shape, "float32"))
    assert k.sigmoid(x).shape == shape
    assert [each.shape for each in k.silu(x)] == [shape, shape]
    if shape:
        bias = device.from_host(np.ones(shape[-1:], "float32"))
        y, kept = k.bias_activation(x, bias, "tanh")
        slope, total = k.bias_activation_backward(x, y, None, None, kept, "tanh")
        assert slope.shape == y.shape == shape and total.shape == shape[-1:]


LAYERS = {
    "dense": (cr.layers.Dense, (6,), (4, 5)),
    "dense on steps": (cr.layers.Dense, (6,), (2, 3, 5)),
    "convolution": (cr.layers.Conv1D, (6, 2), (2, 4, 5)),
}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "silu", "gelu", "elu", None])
def test_layers_do_bias_and_activation_at_once(device: Any, kind: str, name: str | None) -> None:
    """As on the CPU, but that another rounds; only what has a kernel goes to it."""
    kind_of_layer, sizes, shape = LAYERS[kind]
    x = np.random.default_rng(0).standard_normal(shape).astype("float32")
    layer = kind_of_layer(*sizes, activation=name, bias_initializer="random_normal")
    layer(x)
    found = []
    for where in ("cpu", device.name):
        layer.to(where)
        given = cr.tensor(x, device=where, requires_grad=True)
        with launches() as launched:
            y = layer(given)
            upstream = np.random.default_rng(1).standard_normal(y.shape).astype("float32")
            y.backward(cr.tensor(upstream, device=where))
        fused = {"bias_activation_forward", "bias_activation_backward"} & set(launched)
        assert len(fused) == (2 if where != "cpu" and name in BIASED else 0)
        tensors = [y, given.grad, layer.kernel.grad, layer.bias.grad]
        found.append([each.to("cpu").numpy() for each in tensors])
        layer.zero_grad()
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_layer_of_your_own_as_activation_is_called(device: Any) -> None:
    class Doubled(cr.layers.Activation):
        def call(self, x: Any) -> Any:
            return super().call(x) * 2

    layer = cr.layers.Dense(2, activation=Doubled("relu"), kernel_initializer="ones").to(
        device.name
    )
    y = layer(cr.tensor(np.ones((1, 3), "float32"), device=device.name))
    np.testing.assert_array_equal(y.to("cpu").numpy(), [[6.0, 6.0]])
