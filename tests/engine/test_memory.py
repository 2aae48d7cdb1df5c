"""Where memory runs out, the error tells what was asked for, what is free, and what takes it."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.devices import cpu, get_device
from chainrule.engine.memory import in_bytes, live_arrays, requested
from chainrule.layers import Dense
from chainrule.optim import SGD

EMULATED = get_device("emulated")


class NoMemoryError(MemoryError):
    """As CuPy's, which tells in its text alone."""

    def __init__(self, size):
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: 7 bytes).")


def refuse(*arguments, **options):
    raise NoMemoryError(1_500_000_000)


@pytest.fixture
def full(monkeypatch):
    """The emulated device, with no memory left for the results of `tanh` and of its gradient."""
    monkeypatch.setattr(EMULATED.kernels, "tanh", refuse, raising=False)
    monkeypatch.setattr(
        type(EMULATED), "memory", lambda self: (200 * 2**20, 16 * 2**30), raising=False
    )
    return EMULATED


def test_the_error_tells_sizes_operands_and_a_remedy(full):
    x = cr.tensor(np.ones((300, 1000)), requires_grad=True, device="emulated")
    y = x * 2.0
    with pytest.raises(cr.OutOfMemoryError) as caught:
        y.tanh()
    text = str(caught.value)
    assert isinstance(caught.value, MemoryError)
    assert text.startswith(
        "tanh: out of memory on 'emulated': 1.40 GB were asked for, 200.00 MB of"
    )
    assert "16.00 GB are free" in text and "x has shape (300, 1000), float64" in text
    assert "2.29 MB  shape (300, 1000), float64, made by 'multiply'" in text
    assert "2.29 MB  shape (300, 1000), float64, a tensor whose gradient is asked for" in text
    assert "cr.checkpoint" in text and "smaller batches" in text
    assert isinstance(caught.value.__cause__, NoMemoryError)


def test_what_a_graph_keeps_is_told_with_its_operation_and_under_anomaly_detection_its_line(full):
    x = cr.tensor(np.ones((500, 400)), requires_grad=True, device="emulated")
    y = (x.exp() + 1.0).square()
    with pytest.raises(cr.OutOfMemoryError, match=r"kept for the gradient of '(exp|square)'"):
        y.tanh()
    del y
    with cr.detect_anomaly():
        y = x.exp() * 3.0
        with pytest.raises(cr.OutOfMemoryError, match=r"'multiply', .*test_memory\.py:\d+: y = x"):
            y.tanh()


def test_the_backward_pass_the_gradient_and_the_optimiser_tell_too(monkeypatch):
    x = cr.tensor(np.ones((30, 10)), requires_grad=True, device="emulated")
    y, z = (cr.tanh(x).sum() for _ in range(2))
    plans = [node.plan for node in (y._node.parents[0], z._node.parents[0])]
    monkeypatch.setattr(plans[0], "pull", refuse)
    with pytest.raises(cr.OutOfMemoryError, match="backward: out of memory on 'emulated'"):
        y.backward()
    with pytest.raises(cr.OutOfMemoryError, match="grad: out of memory on 'emulated'"):
        cr.grad(z, x)
    monkeypatch.undo()
    w = cr.tensor([1.0], requires_grad=True)
    (w * w).sum().backward()
    monkeypatch.setattr("chainrule.optim.optimizer.pack", refuse)
    with pytest.raises(cr.OutOfMemoryError, match="SGD: step: out of memory on 'cpu'"):
        SGD([w]).step()
    layer = Dense(2)
    layer(np.ones((1, 2)))
    monkeypatch.setattr(type(EMULATED), "from_host", refuse)
    with pytest.raises(cr.OutOfMemoryError, match=r"Dense\.to: out of memory on 'emulated'"):
        layer.to("emulated")
    assert layer.device == layer.kernel.device == "cpu"


def test_numpys_own_error_is_retold():
    with pytest.raises(cr.OutOfMemoryError, match=r"outer|multiply.*on 'cpu': .* TB were asked"):
        cr.ones(2**24)[:, None] * cr.ones(2**24)


def test_equal_kinds_are_counted_together_and_views_with_what_they_view():
    gc.collect()
    tensors = [cr.ones((11, 13), device="emulated") for _ in range(3)]
    views = [each[1:] for each in tensors]
    rows = [row for row in live_arrays(EMULATED) if "(11, 13)" in row[1] or "(10, 13)" in row[1]]
    assert sum(size for size, _ in rows) == 3 * 11 * 13 * 8 and len(views) == 3
    alone = [cr.zeros((17, 3), device="emulated") for _ in range(4)]
    assert (4 * 17 * 3 * 8, "4 of shape (17, 3), float64, a tensor without a gradient") in (
        live_arrays(EMULATED)
    )
    del alone
    sizes = [size for size, _ in live_arrays(EMULATED)]
    assert sizes == sorted(sizes, reverse=True)
    assert not any("(17, 3)" in what for _, what in live_arrays(cpu))


def test_what_was_asked_for_is_read_from_either_librarys_error():
    with pytest.raises(MemoryError) as caught:
        np.ones((2**30, 2**20))
    assert requested(caught.value) == 2**53
    assert requested(NoMemoryError(12_345)) == 12_345
    assert requested(MemoryError()) is None
    assert [in_bytes(n) for n in (0, 1023, 1024, 2**41)] == ["0 B", "1023 B", "1.00 KB", "2.00 TB"]
