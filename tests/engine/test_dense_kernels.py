"""Dense layers as one operation on the CPU: which are, and that they give what three give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.devices import get_device
from chainrule.engine.kernels.compiled import threads
from chainrule.engine.threads import cores

from .test_kernel_parity import run_python

KERNELS = get_device("cpu").sets["numba"]


def calls(dtype: str) -> dict[str, list[Any]]:
    """Large enough to be shared, and not evenly divisible."""
    random = np.random.default_rng(3)

    def array(*shape: int) -> Any:
        return random.standard_normal(shape).astype(dtype)

    x, kernel, bias, g = array(203, 77), array(77, 130), array(130), array(203, 130)
    wide, line = array(900, 70), array(900)
    return {
        "affine": [x, kernel, bias, "sigmoid"],
        "affine_backward": [g, (True, True, True), np.tanh(g), x, kernel, "tanh"],
        "bias_activation": [array(3, 300, 77), array(77), "relu"],
        "bias_activation_backward": [wide, array(900, 70), None, None, None, "relu"],
        "sparse_softmax_cross_entropy": [wide, random.integers(0, 70, 900)],
        "softmax_cross_entropy": [wide, abs(array(900, 70))],
        "softmax_cross_entropy_backward": [line, -abs(wide), abs(array(900, 70))],
    }


@pytest.mark.parametrize("kernel", calls("float32"))
def test_results_do_not_depend_on_the_number_of_threads(kernel: str) -> None:
    arguments, outcomes = calls("float32")[kernel], []
    try:
        for count in (1, 2, 3):
            threads.limit(count)
            found = getattr(KERNELS, kernel)(*arguments)
            outcomes.append(found if isinstance(found, tuple) else (found,))
    finally:
        threads.limit(cores())
    for other in outcomes[1:]:
        for a, b in zip(outcomes[0], other, strict=True):
            assert (a is None) is (b is None)
            np.testing.assert_array_equal(a, b)


def names(y: Any) -> list[str]:
    """The operations that y comes from, the last first, along the first inputs."""
    found, node = [], y._node
    while node is not None and node.plan is not None:
        found.append(node.plan.record.name)
        node = node.parents[0]
    return found


@pytest.mark.parametrize("activation", [None, "relu", "sigmoid", "tanh", "gelu", "softmax", cr.sin])
@pytest.mark.parametrize("shape", [(64, 60), (4, 16, 60)])
def test_a_large_layer_is_one_operation_and_gives_the_same(activation: Any, shape: Any) -> None:
    random = np.random.default_rng(4)
    layer = cr.layers.Dense(70, activation, bias_initializer="random_normal")
    x = cr.tensor(random.standard_normal(shape).astype("float32"), requires_grad=True)
    upstream = random.standard_normal((*shape[:-1], 70)).astype("float32")
    y = layer(x)
    one = "affine_activation" if activation in ("relu", "sigmoid", "tanh") else "affine"
    assert one in names(y) and "matmul" not in names(y)
    y.backward(upstream)
    found = [y, x.grad, layer.kernel.grad, layer.bias.grad]
    x.grad = layer.kernel.grad = layer.bias.grad = None
    apart = {None: lambda z: z, cr.sin: cr.sin}.get(activation) or getattr(cr, str(activation))
    expected = apart(x @ layer.kernel + layer.bias)
    expected.backward(upstream)
    apart = [expected, x.grad, layer.kernel.grad, layer.bias.grad]
    for ours, theirs in zip(found, apart, strict=True):
        # Sums of up to 70 products of numbers near 1, in both.
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=2e-4)


def test_small_layers_show_their_operations_and_load_no_compiler() -> None:
    run_python(
        """
        import sys
        import numpy as np
        import chainrule as cr
        layer = cr.layers.Dense(16, "relu")
        y = layer(np.ones((32, 64)))
        assert y._node.plan.record.name == "relu"
        logits = cr.layers.Dense(4)(y)
        cr.sparse_softmax_cross_entropy(logits, np.zeros(32, int)).sum().backward()
        assert "numba" not in sys.modules
        large = cr.layers.Dense(10)(np.ones((32, 500)))
        assert large._node.plan.record.name == "affine"
        assert "numba" in sys.modules
        """
    )


def test_a_bias_alone_from_a_size_on() -> None:
    """As a convolution adds it."""
    layer = cr.layers.Conv2D(4, 1, activation="relu")
    for side, name in ((8, "relu"), (64, "bias_activation")):
        assert layer(np.ones((1, side, side, 2)))._node.plan.record.name == name


def test_the_gradient_of_the_gradient() -> None:
    random = np.random.default_rng(5)
    layer = cr.layers.Dense(66, "tanh")
    x = cr.tensor(random.standard_normal((33, 61)).astype("float64") / 8)
    layer = cr.layers.Dense(66, "tanh", dtype="float64")
    assert names(layer(x))[:1] == ["affine_activation"]
    direction = cr.tensor(random.standard_normal(x.shape))
    weights = cr.tensor(random.standard_normal((33, 66)))

    def slope(function: Any) -> Any:
        at = cr.tensor(x.numpy(), requires_grad=True)
        (first,) = cr.grad((function(at) * weights).sum(), [at], create_graph=True)
        (second,) = cr.grad((first * direction).sum(), [at])
        return second.numpy()

    apart = slope(lambda at: cr.tanh(at @ layer.kernel + layer.bias))
    np.testing.assert_allclose(slope(layer), apart, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("labels", [[[0, -1]], [[0, 3]]])
@pytest.mark.parametrize("kind", ["int64", "int32"])
def test_labels_outside_of_the_classes_are_refused(labels: Any, kind: str) -> None:
    with pytest.raises(ValueError, match="0 to 2"):
        cr.sparse_softmax_cross_entropy(np.zeros((1, 2, 3)), np.array(labels, kind))


def test_numbers_in_another_order_of_bytes_are_left_to_numpy() -> None:
    x, bias = np.ones((200, 100), np.dtype("f4").newbyteorder()), np.ones(100, "f4")
    for y in (KERNELS.bias_activation(x, bias, "relu")[0], KERNELS.affine(x, x.T, x[:, 0], "relu")):
        assert set(y.ravel().tolist()) <= {2.0, 101.0}
