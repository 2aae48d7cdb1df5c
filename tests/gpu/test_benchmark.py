"""The benchmark of the GPU, on a device that runs nothing, and in the emulator by a fake clock."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest

from benchmarks import gpu
from benchmarks.__main__ import show, table
from benchmarks.gpu import __main__ as command
from benchmarks.gpu import measuring, steps, workloads
from benchmarks.gpu.measuring import CountedDevice, Launch, Noting, noted
from benchmarks.gpu.steps import torch_device, trained
from chainrule.engine.devices import get_device
from chainrule.gpu.families.pooling import max_pool_entry
from chainrule.gpu.probing import DeviceReport
from chainrule.gpu.table import entries

from . import strict


class FakeClock:
    """Every call takes a millisecond; those that are timed run once."""

    def __init__(self) -> None:
        self.calls = 0

    def times(self, function: Any, repeats: int) -> list[float]:
        function()
        self.calls += 1
        return [0.0005, 0.001, 0.9][:repeats] if repeats > 2 else [0.001] * repeats


def test_every_entry_of_the_table_is_counted():
    rows = gpu.counted(workloads.SMALL)
    missed = [each.workload for each in rows if each.note == gpu.NO_WORKLOAD]
    assert not missed, "entries that no workload launches"
    assert all(each.seconds is None and "no GPU, no figure" in each.note for each in rows)
    assert len(rows) >= len(entries())


def test_what_is_counted_follows_from_the_sizes():
    rows = {each.workload: each for each in gpu.counted(workloads.Sizes())}
    softmax = rows["softmax_forward_float, rows 65,536, columns 1,024"]
    assert softmax.moved == 2 * 4 * 65_536 * 1_024
    product = rows["tiled_matmul_float, rows 4,096, inner 4,096, columns 4,096"]
    assert (product.moved, product.operations) == (3 * 4 * 4_096**2, 2 * 4_096**3)
    step = rows["adam_step_float, size 67,108,864"]
    assert step.moved == 4 * 7 * 67_108_864  # reads w, g, m, v; writes w, m, v
    assert "reads 1.07 GB, writes 805 MB" in step.note


def test_all_but_the_kernels_runs_with_cupys_functions():
    """The host's side of every family, and what the benchmark makes arrays with."""
    by_numpy = gpu.counted(workloads.SMALL)
    assert gpu.counted(workloads.SMALL, CountedDevice(strict.module)) == by_numpy


def test_a_gpu_is_measured_like_the_emulator(monkeypatch):
    monkeypatch.setattr(gpu, "get_device", lambda name: get_device("emulated"))
    rows = gpu.measured("cuda", True, FakeClock(), (workloads.matmul,), models=0)
    assert [each.workload.split(":")[0] for each in rows] == ["copy", "GEMM", "raw", "numba"]


def test_a_null_pointer_moves_nothing():
    entry = next(each for each in entries("optimizers") if each.name == "sgd_step")
    size, rest = np.int64(10), [np.float32(0), np.float32(0), np.int32(0), np.float32(0)]
    w = np.zeros(10, np.float32)
    for velocity, moved in ((None, 3 * 40), (w, 5 * 40)):
        launch = Launch(entry, "float32", (1, 1, 1), 0, (w, w, velocity, size, *rest))
        assert launch.moved == moved


def test_without_a_gpu_it_says_so(capsys):
    if gpu.probe_cuda().usable:
        pytest.skip("there is a GPU")
    rows = gpu.run(smoke=True)
    assert "No GPU gave a figure: " in capsys.readouterr().out
    assert "no GPU, no figure" in table(rows)


def test_times_become_shares_of_the_peaks(tmp_path, capsys):
    clock = FakeClock()
    few = (workloads.pooling, workloads.matmul)
    rows = gpu.measured("emulated", True, clock, few, models=0)
    names = [each.workload for each in rows]
    assert all(name.startswith(gpu.EMULATED) for name in names)
    kernels = rows[2:]
    found = {each.workload.removeprefix(gpu.EMULATED).split(",")[0] for each in kernels}
    expected = [each.name for family in ("pooling", "matmul") for each in entries(family)]
    assert found == {
        f"{kernel_set}: {e}_float" for kernel_set in ("raw", "numba") for e in expected
    }
    assert clock.calls == 2 + len(kernels)
    assert rows[0].note == "8 MB/s"  # 1,000 numbers, read and written in a millisecond
    for each in kernels:
        assert each.seconds == 0.001
        peak = 2 * 15**3 if each.peer == "GEMM" else 8_000
        work = each.operations if each.peer == "GEMM" else each.moved
        assert work is not None
        assert each.ratio == pytest.approx(peak / work)
    show(rows, str(tmp_path / "rows.json"))
    assert json.loads((tmp_path / "rows.json").read_text())[2]["moved"] == kernels[0].moved
    assert "GEMM" in capsys.readouterr().out


def test_the_share_of_a_copy_is_told_where_there_is_enough_to_move():
    n = 2**20
    x, y = np.zeros(4 * n, np.float32), np.zeros(n, np.float32)
    scalars = [np.int64(1), *map(np.int32, [2, 2 * n, 1, 1, n, 2, 2, 2, 2, 1, 1, 0, 0])]
    launch = Launch(max_pool_entry, "float32", (1, 1, 1), 0, (x, y, *scalars))
    best = measuring.Peaks(bytes=1e11, operations=1e12)
    row = gpu._timed("pool", launch, Noting(), FakeClock(), best, 3)
    assert (row.seconds, row.moved) == (0.001, 20 * n)
    assert row.note == "21 GB/s, 21% of the copy's"
    assert row.peer_seconds == pytest.approx(20 * n / 1e11)


def test_noting_keeps_the_largest_launch_and_leaves_the_backend_as_it_was():
    device = CountedDevice()
    k, before = device.sets["raw"], device.backend("raw")
    with noted(device, "raw") as noting:
        for side in (2, 8, 4):
            k.max_pool(np.zeros((1, side, side, 1), np.float32), 2, None, "valid")
    assert noting.largest["max_pool"].numbers["height"] == 8
    assert device.backend("raw") is before


def test_cuda_events_stamp_a_number_of_calls(monkeypatch):
    """CuPy's events, faked: the time between two of them is that of ten calls."""

    class Event:
        def record(self) -> None:
            self.at = len(calls)

        def synchronize(self) -> None:
            pass

    class cuda:  # noqa: N801 (a stand-in for a module)
        pass

    calls: list[int] = []
    cuda.Event, cuda.get_elapsed_time = Event, staticmethod(lambda a, b: 3.0 * (b.at - a.at))
    fake: Any = type(sys)("cupy")
    fake.cuda = cuda
    monkeypatch.setitem(sys.modules, "cupy", fake)
    times = measuring.EventClock(inner=10).times(lambda: calls.append(0), 4)
    assert times == [pytest.approx(0.003)] * 4 and len(calls) == 41


def test_steps_of_training_beside_a_peer():
    device: Any = get_device("emulated")
    (alone,) = trained(device, None, 1, 1, models=1)
    assert alone.peer_seconds is None and "without a peer" in alone.note
    pytest.importorskip("torch")
    (beside,) = trained(device, "cpu", 1, 1, models=1)
    assert beside.peer == "PyTorch on 'cpu'" and beside.peer_seconds and beside.ratio
    assert torch_device() in (None, "cuda")


@pytest.mark.parametrize("model", range(len(steps.MODELS)))
def test_the_models_of_both_libraries_are_the_same(model):
    """As many parameters, but for a second bias in each of PyTorch's LSTM layers."""
    torch = pytest.importorskip("torch")
    name, make, shape, batch, classes = steps.MODELS[model]
    theirs = steps._torch_model(torch, name)
    ours = make()
    ours.build((None, *shape))
    count = sum(each.numel() for each in theirs.parameters())
    twice = 2 * 4 * 128 if "LSTM" in name else 0
    assert count - twice == ours.count_params()
    x, y = steps._batch(name, shape, batch, classes)
    steps._theirs(name, "cpu", x, y, 1)()


def test_the_command_tells_without_a_gpu_what_kernels_must_move(monkeypatch, capsys):
    monkeypatch.setattr(gpu, "probe_cuda", lambda: DeviceReport("cuda", False, "no driver"))
    monkeypatch.setattr(sys, "argv", ["benchmarks.gpu", "--smoke"])
    command.main()
    told = capsys.readouterr().out
    assert "No GPU gave a figure: no driver." in told and "softmax_forward" in told
