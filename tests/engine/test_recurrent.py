"""Recurrent operations: against PyTorch, against themselves without padding, and what they keep."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.kernels import blocks
from chainrule.engine.operations.recurrent import gru_steps, lstm_steps, simple_rnn_steps

GATES = {"lstm": 4, "gru": 3, "simple_rnn": 1}
STEPS = {"lstm": lstm_steps, "gru": gru_steps, "simple_rnn": simple_rnn_steps}
NAMES = sorted(GATES)


def arrays(name: str, batch=3, steps=5, features=2, units=4, dtype="float64", seed=0) -> list[Any]:
    """x, the initial states, kernel, recurrent kernel, bias."""
    rng = np.random.default_rng(seed)
    columns = GATES[name] * units
    shapes = [(batch, steps, features), *[(batch, units)] * (2 if name == "lstm" else 1)]
    shapes += [(features, columns), (units, columns)]
    shapes += [(2, columns) if name == "gru" else (columns,)]
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def signed(shape, seed=7):
    return np.random.default_rng(seed).normal(size=shape)


def gradients(function, given, upstream, **named):
    tensors = [cr.tensor(each, requires_grad=True) for each in given]
    result = function(*tensors, **named)
    found = cr.grad([result], tensors, [cr.tensor(upstream.astype(result.dtype))])
    return result.numpy(), [each.numpy() for each in found]


# PyTorch ------------------------------------------------------------------------------------

#: Of each block of PyTorch's rows, which of our blocks of columns it is.
ORDER = {"lstm": (0, 1, 2, 3), "gru": (1, 0, 2), "simple_rnn": (0,)}


def to_torch(name, matrix):
    """A kernel or bias as PyTorch has it: transposed, blocks in its order."""
    blocks = np.split(matrix, GATES[name], axis=-1)
    return np.concatenate([blocks[i] for i in ORDER[name]], axis=-1).T


def from_torch(name, matrix):
    """The way back: exchanging two blocks is its own inverse."""
    return to_torch(name, matrix.T).T


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NAMES)
def test_equals_pytorch(name, dtype):
    torch = pytest.importorskip("torch")
    given = arrays(name, dtype=dtype)
    x, *states, kernel, recurrent, bias = given
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "simple_rnn": torch.nn.RNN}[name]
    theirs = kind(2, 4, batch_first=True, dtype=getattr(torch, dtype))
    input_bias, inner_bias = bias if name == "gru" else (bias, np.zeros_like(bias))
    weights = [to_torch(name, each) for each in (kernel, recurrent, input_bias, inner_bias)]
    with torch.no_grad():
        for parameter, weight in zip(theirs.parameters(), weights, strict=True):
            parameter.copy_(torch.tensor(np.ascontiguousarray(weight)))
    inputs = [torch.tensor(each, requires_grad=True) for each in (x, *states)]
    initial = [each[None] for each in inputs[1:]]
    y, last = theirs(inputs[0], tuple(initial) if name == "lstm" else initial[0])
    expected = y
    if name == "lstm":
        expected = torch.cat([y, last[1][0][:, None]], dim=1)
    upstream = signed(expected.shape)
    expected.backward(torch.tensor(upstream.astype(dtype)))
    ours, found = gradients(getattr(cr, name), given, upstream)
    right = [each.grad.numpy() for each in inputs]
    of_kernel, of_recurrent, of_input_bias, of_inner_bias = [
        from_torch(name, each.grad.numpy()) for each in theirs.parameters()
    ]
    both = np.stack([of_input_bias, of_inner_bias])
    right += [of_kernel, of_recurrent, both if name == "gru" else of_input_bias]
    bound = 1e-9 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(ours, expected.detach().numpy(), rtol=bound, atol=bound)
    assert ours.dtype == dtype
    for one, other in zip(found, right, strict=True):
        assert one.dtype == dtype
        np.testing.assert_allclose(one, other, rtol=bound, atol=bound)


# The definition -----------------------------------------------------------------------------


@pytest.mark.parametrize("kernels", ["reference", "numba"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_fused_equals_the_definition(name, masked, kernels):
    given = arrays(name)
    mask = np.random.default_rng(3).integers(0, 2, (3, 5)).astype(bool) if masked else None
    upstream = signed((3, 6 if name == "lstm" else 5, 4))
    with cr.kernels(kernels):
        y, found = gradients(getattr(cr, name), given, upstream, mask=mask)
    expected, right = gradients(STEPS[name], given, upstream, mask=mask)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-13)
    for one, other in zip(found, right, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_alone_is_what_it_is_among_others(name):
    given = arrays(name)
    upstream = signed((3, 6 if name == "lstm" else 5, 4))
    _, together = gradients(getattr(cr, name), given, upstream)
    for i, each in enumerate(given):
        tensor = cr.tensor(each, requires_grad=True)
        result = getattr(cr, name)(*given[:i], tensor, *given[i + 1 :])
        (found,) = cr.grad([result], [tensor], [upstream])
        np.testing.assert_array_equal(found.numpy(), together[i])


def test_sure_gates_neither_overflow_nor_lose_the_state():
    """σ of ±1e4: the cell state is kept as it is, with gradient 1 through the steps."""
    _, _, c0, kernel, recurrent, _ = arrays("lstm", steps=50)
    bias = np.concatenate([np.full(4, -1e4), np.full(4, 1e4), np.zeros(4), np.full(4, 1e4)])
    tensor = cr.tensor(c0, requires_grad=True)
    with np.errstate(all="raise", under="ignore"):
        y = cr.lstm(np.zeros((3, 50, 2)), 0 * c0, tensor, kernel, recurrent * 0, bias)
        (found,) = cr.grad([y[:, -1]], [tensor], [signed((3, 4))])
    np.testing.assert_array_equal(y[:, -1].numpy(), c0)
    np.testing.assert_array_equal(found.numpy(), signed((3, 4)))


# Masks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["after", "before", "between"])
@pytest.mark.parametrize("name", NAMES)
def test_padding_changes_nothing(name, where):
    """Real steps alone, and among padded ones: the same states at them, the same gradients."""
    x, *rest = arrays(name)
    real = {"after": [0, 1, 2, 3, 4], "before": [2, 3, 4, 5, 6], "between": [0, 2, 3, 5, 6]}[where]
    padded, mask = signed((3, 7, 2), 1), np.zeros((3, 7), bool)
    padded[:, real], mask[:, real] = x, True
    upstream = signed((3, 6 if name == "lstm" else 5, 4))
    places = [*real, 7] if name == "lstm" else real
    y, found = gradients(getattr(cr, name), [x, *rest], upstream)
    long_upstream = np.zeros((3, 8 if name == "lstm" else 7, 4))
    long_upstream[:, places] = upstream
    long_y, long_found = gradients(getattr(cr, name), [padded, *rest], long_upstream, mask=mask)
    np.testing.assert_allclose(long_y[:, places], y, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(long_found[0][:, real], found[0], rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(long_found[0][:, ~mask[0]], 0)
    for one, other in zip(long_found[1:], found[1:], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_a_padded_step_repeats_the_state(name):
    given = arrays(name)
    mask = np.array([[True, False, True, False, False], [True] * 5, [False] * 5])
    y = getattr(cr, name)(*given, mask=mask).numpy()
    h0 = given[1]
    np.testing.assert_array_equal(y[0, 1], y[0, 0])
    np.testing.assert_array_equal(y[0, 3:5], y[0, [2, 2]])
    np.testing.assert_array_equal(y[2, :5], np.repeat(h0[2:3], 5, axis=0))
    if name == "lstm":
        np.testing.assert_array_equal(y[2, 5], given[2][2])


@pytest.mark.parametrize("name", NAMES)
def test_a_mask_may_be_a_tensor_and_changed_afterwards(name):
    given = arrays(name)
    mask = np.ones((3, 5), bool)
    mask[1, 3:] = False
    upstream = signed((3, 6 if name == "lstm" else 5, 4))
    _, expected = gradients(getattr(cr, name), given, upstream, mask=mask)
    tensors = [cr.tensor(each, requires_grad=True) for each in given]
    result = getattr(cr, name)(*tensors, mask=cr.tensor(mask))
    mask[...] = False
    for one, other in zip(cr.grad([result], tensors, [upstream]), expected, strict=True):
        np.testing.assert_array_equal(one.numpy(), other)


# Conduct ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_no_samples(name):
    given = arrays(name, batch=0)
    y, found = gradients(getattr(cr, name), given, signed((0, 6 if name == "lstm" else 5, 4)))
    assert y.shape == (0, 6 if name == "lstm" else 5, 4)
    for one, other in zip(found, given, strict=True):
        assert one.shape == other.shape
        assert not one.any()


def kept_bytes(name, steps):
    """What the graph behind a result keeps alive."""
    x, *rest = arrays(name, batch=8, steps=steps, units=32, dtype="float32")
    tensors = [cr.tensor(each, requires_grad=True) for each in (x, *rest)]
    getattr(cr, name)(*tensors)  # what is made at first use
    gc.collect()
    tracemalloc.start()
    with blocks.aside():
        result = getattr(cr, name)(*tensors)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.requires_grad
    return kept


@pytest.mark.parametrize("name", NAMES)
def test_what_is_kept_grows_with_the_number_of_steps(name):
    """At most the gates, two states and what is beside them: (gates + 2) numbers a unit."""
    short, double, long = (kept_bytes(name, steps) for steps in (64, 128, 256))
    a_step = 8 * 32 * 4
    assert abs((long - double) - 2 * (double - short)) <= 0.02 * long
    assert (long - short) / 192 <= a_step * (GATES[name] + 2) + 64


def test_a_changed_result_is_refused():
    tensors = [cr.tensor(each, requires_grad=True) for each in arrays("lstm")]
    y = cr.lstm(*tensors)
    total = (y * 2).sum()
    with cr.no_grad():
        y *= 2
    with pytest.raises(cr.GradientError, match="'lstm'"):
        total.backward()


# Errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: np.zeros((3, 2))}, r"gru: x must be \(batch, time, features\).*shape \(3, 2\)"),
        ({0: np.zeros((3, 0, 2))}, r"gru: x must be .* with at least one step"),
        ({1: np.zeros((2, 4))}, r"gru: h0 must be \(batch, units\), here \(3, 4\), got.*\(2, 4\)"),
        ({2: np.zeros((3, 12))}, r"gru: kernel must be \(features, 3 units\), here \(2, 12\)"),
        ({3: np.zeros((4, 4))}, r"gru: kernel|gru: recurrent_kernel must be \(units, 3 units\)"),
        ({4: np.zeros(12)}, r"gru: bias must be \(2, 3 units\), here \(2, 12\)"),
    ],
)
def test_shapes_that_do_not_fit(change, message):
    given = arrays("gru")
    for i, each in change.items():
        given[i] = each
    with pytest.raises(cr.ShapeError, match=message):
        cr.gru(*given)


def test_masks_that_do_not_fit():
    given = arrays("lstm")
    with pytest.raises(cr.ShapeError, match=r"lstm: mask must be \(batch, time\), here \(3, 5\)"):
        cr.lstm(*given, mask=np.ones((3, 4), bool))
    with pytest.raises(cr.DtypeError, match=r"lstm: mask must be booleans.*use mask != 0"):
        cr.lstm(*given, mask=np.ones((3, 5)))
