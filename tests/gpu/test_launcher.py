"""Nothing reaches a kernel unchecked: every argument of a launch is compared with the table."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.engine.errors import DeviceError, DtypeError, ShapeError
from chainrule.gpu.devices import CudaDevice, GpuDevice
from chainrule.gpu.launcher import launch
from chainrule.gpu.sources import wrapper
from chainrule.gpu.table import F64, I32, I64, REAL, U8, U64, entry, reads, scalar, updates, writes


class Recorder:
    """A backend that remembers what it is given."""

    def __init__(self):
        self.launches = []

    def launch(self, entry, real, grid, shared, arguments):
        self.launches.append((entry.name, real, grid, shared, arguments))


ROWS = entry(
    "examples",
    "rows",
    reads("x", REAL, "rows * columns"),
    reads("mask", U8, "rows", optional=True),
    writes("y", REAL, "rows * columns"),
    updates("counts", I64, "columns"),
    scalar("rows", I64),
    scalar("columns", I32),
    scalar("rate", REAL),
    scalar("exact", F64),
    scalar("key", U64),
    block=64,
    enter=False,
)
SIZED = entry("examples", "sized", writes("y", REAL, "n"), scalar("n", I32), dynamic=True,
              enter=False)  # fmt: skip


@pytest.fixture
def device():
    return GpuDevice("recorded", np, {"raw": Recorder()})


def arguments(**changed):
    given = {
        "x": np.ones((2, 3), np.float32),
        "mask": None,
        "y": np.empty((2, 3), np.float32),
        "counts": np.zeros(3, np.int64),
        "rows": 2,
        "columns": 3,
        "rate": 0.1,
        "exact": 0.1,
        "key": 2**64 - 1,
    }
    return list((given | changed).values())


def run(device, grid=2, **changed):
    launch(device.sets["raw"], ROWS, arguments(**changed), grid)
    return device.backend("raw").launches


def test_a_launch_is_handed_on_with_every_number_cast(device):
    ((name, real, grid, shared, given),) = run(device)
    assert (name, real, grid, shared) == ("rows", "float32", (2, 1, 1), 0)
    assert [each.dtype.name for each in given[4:]] == [
        "int64", "int32", "float32", "float64", "uint64",
    ]  # fmt: skip
    assert given[6] == np.float32(0.1) and given[7] == 0.1 and given[8] == 2**64 - 1
    assert given[1] is None


def test_the_instance_is_that_of_the_arrays(device):
    wide = {"x": np.ones((2, 3)), "y": np.empty((2, 3))}
    assert run(device, **wide)[0][1] == "float64"


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        (
            {"x": np.ones((2, 3), np.float16)},
            DtypeError,
            "x must be of float32 or float64.*float16",
        ),
        ({"y": np.empty((2, 3))}, DtypeError, "y must be of float32, got shape .2, 3., float64"),
        ({"counts": np.zeros(3, np.int32)}, DtypeError, "counts must be of int64"),
        ({"mask": np.ones(2, bool)}, DtypeError, "mask must be of uint8"),
        ({"x": np.ones((3, 2), np.float32).T}, ShapeError, "x must lie in memory in order"),
        ({"x": np.ones((2, 4), np.float32)}, ShapeError, r"rows \* columns = 6 elements.*2, 4"),
        ({"mask": np.ones(3, np.uint8)}, ShapeError, "mask must have rows = 2 elements"),
        ({"y": None}, TypeError, "y must be an array, got None"),
        ({"x": [[1.0] * 3] * 2}, DtypeError, "x must be of float32 or float64"),
        ({"y": [1.0] * 6}, DeviceError, "y must be an array of device 'recorded'"),
        ({"rows": 2.5}, DtypeError, "rows must be a number for int64"),
        ({"rate": "much"}, DtypeError, "rate must be a number for float32, got 'much'"),
        ({"columns": 2**31}, ShapeError, "columns is 2147483648; it must be from .* to 2147483647"),
        ({"key": -1}, ShapeError, "key is -1; it must be from 0 to"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(device, changed, error, words):
    with pytest.raises(error, match=words) as caught:
        run(device, **changed)
    assert "rows" in str(caught.value)
    assert device.backend("raw").launches == []


def test_read_only_memory_is_not_written(device):
    y = np.empty((2, 3), np.float32)
    y.flags.writeable = False
    with pytest.raises(ShapeError, match="y is written to, and is read-only"):
        run(device, y=y)
    x = np.ones((2, 3), np.float32)
    x.flags.writeable = False
    assert len(run(device, x=x)) == 1


def test_the_number_of_arguments_is_checked(device):
    with pytest.raises(TypeError, match=r"takes 9 arguments \(x, mask, .*\), got 8"):
        launch(device.sets["raw"], ROWS, arguments()[:-1], 2)


def test_no_blocks_launch_nothing_and_too_many_are_refused(device):
    assert run(device, grid=0) == []
    assert run(device, grid=(3, 0)) == []
    for grid in (-1, 2**31, (1, 70_000), (1, 1, 1, 1)):
        with pytest.raises(ShapeError, match="grid must be up to three numbers of blocks"):
            run(device, grid=grid)


def test_shared_memory_by_size_is_for_entries_that_declare_it(device):
    k, y = device.sets["raw"], np.empty(2, np.float32)
    launch(k, SIZED, (y, 2), 1, shared=1024)
    assert device.backend("raw").launches[-1][3] == 1024
    with pytest.raises(ShapeError, match="up to 49152 bytes of shared memory, asked for 50000"):
        launch(k, SIZED, (y, 2), 1, shared=50_000)
    with pytest.raises(ShapeError, match="declare dynamic=True"):
        launch(k, ROWS, arguments(), 1, shared=8)


def test_the_reference_set_launches_nothing(device):
    with pytest.raises(DeviceError, match="'reference' launches no kernels"):
        launch(device.sets["reference"], ROWS, arguments(), 1)


def test_the_wrapper_names_types_and_the_bound_on_threads():
    assert wrapper(SIZED, "float64") == (
        'extern "C" __global__ void __launch_bounds__(256, 1)\n'
        "sized_double(double* __restrict__ y, int n)\n"
        "{ sized<double>(y, n); }"
    )
    assert "const float* __restrict__ x, const unsigned char* __restrict__ mask" in wrapper(
        ROWS, "float32"
    )


@pytest.mark.parametrize("block", [0, 48, 2048])
def test_a_block_is_whole_warps(block):
    with pytest.raises(ValueError, match="multiple of 32"):
        entry("examples", "wrong", block=block, enter=False)


def test_numbers_at_the_ends_of_their_range_are_cast_and_beyond_are_not(device):
    """Python's numbers go a quick way, NumPy's a slow one, to the same."""
    for number in (True, 3, np.int32(3), np.float64(3.0)):
        given = run(device, columns=3, exact=number)[-1][4]
        assert given[7] == number and given[7].dtype == np.float64
    for rate, cast in ((1e300, np.inf), (-1e300, -np.inf), (np.nan, np.nan), (2, 2.0)):
        given = run(device, rate=rate)[-1][4]
        np.testing.assert_array_equal(given[6], np.float32(cast))
    largest = 2**31 - 1
    for columns in (largest, np.int64(largest)):
        with pytest.raises(ShapeError, match=f"{2 * largest} elements"):  # it was multiplied right
            run(device, columns=columns)
    for key in (2**64, np.float64(2.0**64), -1):
        with pytest.raises(ShapeError, match=r"key is .*; it must be from 0 to"):
            run(device, key=key)
    with pytest.raises(DtypeError, match="rows must be a number for int64"):
        run(device, rows=float("inf"))


class Memory(np.ndarray):
    """An array that says which GPU has it, as CuPy's do."""

    class data:  # noqa: N801 (as CuPy spells it)
        device_id = 1


def test_an_array_of_another_gpu_is_refused(device, monkeypatch):
    monkeypatch.setattr(GpuDevice, "holds", lambda self, x: CudaDevice.holds(self, x))
    monkeypatch.setattr(GpuDevice, "index", 1, raising=False)
    ours = {name: np.empty((2, 3), np.float32).view(Memory) for name in ("x", "y")}
    ours["counts"] = np.zeros(3, np.int64).view(Memory)
    assert len(run(device, **ours)) == 1
    monkeypatch.setattr(GpuDevice, "index", 0)
    with pytest.raises(DeviceError, match=r"x must be an array of device 'recorded'.* of GPU 1"):
        run(device, **ours)
