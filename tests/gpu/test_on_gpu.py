"""The whole engine on a real GPU: operations, layers, programs, exchange with other libraries."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings

import chainrule as cr
from chainrule.engine.calls import broadcasts_of, calls_of
from chainrule.engine.devices import get_device
from chainrule.engine.hosted import host_array
from chainrule.engine.record import RECORDS
from chainrule.gpu.probing import probe_cuda

from ..layers.test_every_layer import MASK, SEQUENCE, each_layer, made
from ..layers.test_placed import computed
from .test_strict_records import each_record, first_order, same, second_order, values

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module", autouse=True)
def gpu():
    report = probe_cuda()
    if not report.usable:
        pytest.skip(f"{report.reason}; {report.remedy}")
    return get_device("cuda")


@each_record
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_record_computes_what_it_does_on_the_cpu(name, dtype, gpu):
    tolerance = 500 * np.finfo(dtype).eps
    for call in [*calls_of(RECORDS[name]), *broadcasts_of(RECORDS[name])]:
        expected = values(first_order(call, "cpu", dtype))
        before = gpu.copies_back
        found = first_order(call, "cuda", dtype)
        assert gpu.copies_back == before, f"{call} copies to the host"
        same(values(found), expected, tolerance)


@each_record
def test_the_gradient_of_the_gradient_too(name):
    for call in [*calls_of(RECORDS[name])[-2:], *broadcasts_of(RECORDS[name])[2:3]]:
        expected = values(second_order(call, "cpu"))
        same(values(second_order(call, "cuda")), expected, 1e-10)


@each_layer
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernels", ["raw", "numba", "reference"])
def test_every_layer_computes_what_it_computes_on_the_cpu(name, dtype, kernels):
    layer, x = made(name, dtype)
    mask = MASK if x.shape == SEQUENCE else None
    upstream = np.random.default_rng(4).normal(size=2000).astype(dtype)
    twin = copy.deepcopy(layer)
    layer.to("cuda")
    _, expected = computed(twin, x, mask, upstream)
    with cr.kernels(kernels):
        _, found = computed(layer, x, mask, upstream)
    tolerance = 5000 * np.finfo(dtype).eps
    for ours, theirs in zip(found, expected, strict=True):
        if theirs is None:
            assert ours is None
        else:
            assert ours.dtype == theirs.dtype
            np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
    for (_, ours), (_, theirs) in zip(layer.named_weights(), twin.named_weights(), strict=True):
        np.testing.assert_allclose(host_array(ours), theirs.numpy(), rtol=tolerance, atol=tolerance)


@settings(max_examples=50)
@given(cr.testing.programs())
def test_random_programs_agree_with_the_cpu(program):
    cr.testing.check_program(program, devices=["cuda"])


def test_memory_is_shared_with_cupy_and_pytorch():
    cupy = pytest.importorskip("cupy")
    theirs = cupy.arange(3.0)
    x = cr.from_dlpack(theirs)
    assert x.device == "cuda"
    theirs[0] = 7.0
    assert x.tolist() == [7.0, 1.0, 2.0]
    assert cupy.asarray(x).data.ptr == theirs.data.ptr
    assert cupy.from_dlpack(x).data.ptr == theirs.data.ptr
    assert cr.tensor(theirs).device == "cuda"
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        ones = torch.ones(2, device="cuda")
        y = cr.from_dlpack(ones)
        ones[1] = 5.0
        torch.cuda.synchronize()
        assert y.tolist() == [1.0, 5.0]
        assert torch.from_dlpack(x).tolist() == [7.0, 1.0, 2.0]
        assert torch.as_tensor(x, device="cuda").tolist() == [7.0, 1.0, 2.0]


def test_memory_that_runs_out_is_told_with_what_holds_it(gpu):
    x = cr.ones((1 << 20,), "float32", device="cuda")
    with pytest.raises(cr.OutOfMemoryError, match="free"):
        cr.broadcast_to(x, (1 << 20, 1 << 20)) * 2.0
    assert (x * 2.0).sum().item() == 2.0 * (1 << 20)  # and the program goes on


def test_the_doctor_says_that_it_computes():
    report = next(each for each in cr.gpu.probe(thorough=True) if each.name == "cuda")
    assert report.usable, report
    assert "computes on cuda:0" in report.reason
