"""Every operation on arrays that are as unforgiving as CuPy's: see `tests/gpu/strict`.

What is asked of each case of each record: the CPU's results, dtypes and gradients; and that nothing
is copied to the host on the way, since on a GPU each such copy would wait for all that runs.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

import chainrule as cr
from chainrule.engine.calls import broadcasts_of, calls_of
from chainrule.engine.record import RECORDS
from chainrule.engine.tensor import on_host
from chainrule.gpu.probing import usable

from .strict import StrictArray, indexing, launching_device, strict_device, traffic

OURS = {name: record for name, record in RECORDS.items() if record.builtin}
NAMES = [name for name, record in OURS.items() if calls_of(record) or broadcasts_of(record)]
each_record = pytest.mark.parametrize("name", NAMES)
compiled = pytest.mark.skipif(not usable("emulated"), reason="no C++ compiler is here")
launching = pytest.param(launching_device, marks=compiled)
each_device = pytest.mark.parametrize("device", [strict_device, launching], ids=["array", "raw"])


def values(tensors):
    return [None if each is None else on_host(each) for each in tensors]


def first_order(call, device, dtype):
    """The result, and the gradients of the arguments, floating ones in a dtype."""
    arrays = [np.asarray(each) for each in call.draw(0)]
    arrays = [each.astype(dtype) if each.dtype.kind == "f" else each for each in arrays]
    return pulled(call, arrays, device)


def pulled(call, arrays, device):
    """The result, and the gradients of the arguments for a random upstream one."""
    given = [cr.tensor(each, None, each.dtype.kind == "f", device) for each in arrays]
    y = call(*given)
    if y.requires_grad:
        upstream = np.random.default_rng(1).normal(size=y.shape).astype(y.dtype)
        y.backward(cr.tensor(upstream, device=device))
    return [y, *(each.grad for each in given)]


def same(found, expected, tolerance):
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        if ours is None or theirs is None:
            assert ours is theirs
            continue
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@each_record
@each_device
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_record_computes_what_it_does_on_the_cpu(name, device, dtype):
    # The fused kernels of the CPU round differently: some hundred units in the last place.
    tolerance = 200 * np.finfo(dtype).eps
    for call in [*calls_of(RECORDS[name]), *broadcasts_of(RECORDS[name])]:
        expected = values(first_order(call, "cpu", dtype))
        before = traffic.down
        found = first_order(call, device, dtype)
        assert traffic.down == before, f"{call} copies to the host"
        assert all(type(each._data) is StrictArray for each in found if each is not None)
        same(values(found), expected, tolerance)


def second_order(call, device):
    """Gradients, and the gradients of their sum, weighted at random."""
    given = [cr.tensor(each, None, True, device) for each in call.draw(0)]
    y = call(*given)
    if not y.requires_grad:
        return []
    rng = np.random.default_rng(1)
    upstream = cr.tensor(rng.normal(size=y.shape), None, True, device)
    slopes = cr.grad([y], given, [upstream], create_graph=True, allow_unused=True)
    weights = [cr.tensor(rng.normal(size=each.shape), device=device) for each in slopes]
    total = sum((each * w).sum() for each, w in zip(slopes, weights, strict=True))
    curved = []
    if isinstance(total, cr.Tensor) and total.requires_grad:
        curved = cr.grad([total], [*given, upstream], allow_unused=True)
    return [*slopes, *curved]


@each_record
@each_device
def test_the_gradient_of_the_gradient_too(name, device):
    for call in [*calls_of(RECORDS[name])[-2:], *broadcasts_of(RECORDS[name])[2:3]]:
        expected = values(second_order(call, "cpu"))
        same(values(second_order(call, device)), expected, 1e-10)


@compiled
@each_record
def test_dtypes_may_differ(name):
    """As on the CPU: the dtypes of the result and of the gradients, and what they are."""
    for call in calls_of(RECORDS[name]):
        arrays = [np.asarray(each) for each in call.draw(0)]
        for turn in range(2):
            given = [
                each.astype(("float64", "float32")[(i + turn) % 2])
                if each.dtype.kind == "f"
                else each
                for i, each in enumerate(arrays)
            ]
            expected = values(pulled(call, given, "cpu"))
            found = values(pulled(call, given, launching_device))
            same(found, expected, 200 * np.finfo(np.float32).eps)


@pytest.fixture
def default_device():
    yield cr.set_default_device
    cr.set_default_device(None)


def test_random_programs_compute_what_they_do_on_the_cpu(default_device):
    @settings(max_examples=40)
    @given(cr.testing.programs())
    def test(program):
        outcomes = []
        for device in ("cpu", strict_device):
            default_device(device)  # of the constants in a program
            given = program.tensors(device=device)
            outputs = program(*given)
            total = sum(
                (y * cr.tensor(w, device=device)).sum()
                for y, w in zip(outputs, program.weights, strict=True)
            )
            slopes = cr.grad(total, given, allow_unused=True) if total.requires_grad else []
            outcomes.append(values([*outputs, *slopes]))
        default_device(None)  # what draws programs computes too
        for one, two in zip(*outcomes, strict=True):
            assert one.dtype == two.dtype
            scale = max(1.0, np.abs(one).max(initial=0.0))
            np.testing.assert_allclose(two, one, rtol=1e-9, atol=1e-11 * scale)

    test()


PLAIN = np.array([[1.5, -2.0, 0.0], [np.nan, np.inf, -2.0]])
WHOLE = np.array([[3, -1, 3], [0, 2, -7]], np.int16)
SIGNS = np.array([[True, False, True], [False, False, True]])
#: Calls for each of several operations.
CALLS = [
    (
        "equal not_equal less less_equal greater greater_equal",
        [(PLAIN, PLAIN[:1]), (WHOLE, 2), (WHOLE, PLAIN), (2.5, PLAIN), (SIGNS, SIGNS[:, :1])],
    ),
    ("logical_and logical_or logical_xor", [(SIGNS, PLAIN), (WHOLE, True), (WHOLE, WHOLE)]),
    ("logical_not isfinite isinf isnan", [(PLAIN,), (WHOLE,), (SIGNS,)]),
    ("bitwise_and bitwise_or bitwise_xor", [(WHOLE, 3), (SIGNS, SIGNS)]),
    ("bitwise_invert", [(WHOLE,), (SIGNS,)]),
    ("argmax argmin", [(PLAIN,), (WHOLE, 1), (SIGNS, 0, True)]),
    ("all any count_nonzero", [(PLAIN,), (WHOLE, 1, True), (SIGNS, (0, 1)), (PLAIN, -2)]),
    ("argsort", [(PLAIN,), (PLAIN, 0, True), (WHOLE, 1, True), (WHOLE, 0, False, False)]),
]
WITHOUT_GRADIENT = {name: calls for names, calls in CALLS for name in names.split()}


@pytest.mark.parametrize("name", WITHOUT_GRADIENT)
def test_an_operation_without_a_gradient_answers_as_on_the_cpu(name):
    for first, *rest in WITHOUT_GRADIENT[name]:
        if isinstance(first, float):
            expected = RECORDS[name].function(first, cr.tensor(rest[0]))
            found = RECORDS[name].function(first, cr.tensor(rest[0], device="strict"))
        else:
            expected = RECORDS[name].function(cr.tensor(first), *rest)
            found = RECORDS[name].function(cr.tensor(first, device="strict"), *rest)
        same(values([found]), values([expected]), 0.0)


def test_every_record_is_here():
    assert set(OURS) == {*NAMES, *WITHOUT_GRADIENT}


# Indices ----------------------------------------------------------------------------------------


@pytest.fixture
def matrix():
    return cr.tensor(np.arange(12.0).reshape(4, 3), requires_grad=True, device=strict_device)


def test_indices_of_the_host_are_checked(matrix):
    for call in (
        lambda: matrix[[0, 4]],
        lambda: matrix[:, np.array([-4])],
        lambda: cr.take(matrix, [0, 7], axis=0),
        lambda: cr.take_along_axis(matrix, np.array([[3]]), axis=1),
        lambda: cr.gather(matrix, [[0, 5]], axis=1),
        lambda: cr.scatter_add(matrix, [[-4]], [[1.0]], 1),
        lambda: matrix.at[[4]].add(1.0),
        lambda: matrix.at[[4]].set(1.0),
        lambda: cr.scatter_index([1.0], index=[9], shape=(4,)),
    ):
        with pytest.raises(IndexError, match="out of bounds"):
            call()
    with cr.no_grad(), pytest.raises(IndexError, match="out of bounds"):
        matrix.detach()[[9]] = 1.0


def test_indices_on_the_device_are_not_read_and_find_nothing_out_of_bounds(matrix):
    far = cr.tensor([[0, 4], [-4, -5]], device=strict_device)
    expected = np.array([[[0, 1, 2], [np.nan] * 3], [[0, 1, 2], [np.nan] * 3]])
    before = traffic.down
    found = [matrix[far], cr.take(matrix, far, axis=0), cr.swapaxes(matrix, 0, 1)[:, far, None]]
    found += [matrix[far, ..., 1:2], matrix[None, far, 0], matrix[far, None, [[0], [2]]]]
    found += [matrix.at[far, 0].add(10.0)]
    assert traffic.down == before
    host = values(found)
    np.testing.assert_array_equal(host[0], expected)
    np.testing.assert_array_equal(host[1], expected)
    np.testing.assert_array_equal(host[2], np.moveaxis(expected, -1, 0)[:, :, :, None])
    np.testing.assert_array_equal(host[3], expected[..., 1:2])
    np.testing.assert_array_equal(host[4], expected[None, ..., 0])
    row = [[0, np.nan], [2, np.nan]]
    np.testing.assert_array_equal(host[5], np.array(row)[:, :, None])
    assert np.isnan(host[6]).sum() == 2
    near = cr.tensor([3, -1], device=strict_device)
    np.testing.assert_array_equal(on_host(matrix[near]), np.full((2, 1), 1) * [[9, 10, 11]])


def test_where_indices_repeat_the_same_bits_come_out_whatever_the_order():
    rng = np.random.default_rng(3)
    index = rng.integers(0, 5, 60)
    given = rng.normal(size=(60, 2)) * 10.0 ** rng.integers(-8, 8, (60, 2))
    outcomes = []
    for seed in range(4):
        indexing.rng = np.random.default_rng(seed)
        x = cr.tensor(np.ones((5, 2)), requires_grad=True, device=strict_device)
        v = cr.tensor(given, requires_grad=True, device=strict_device)
        weights = cr.tensor(given[::-1].copy(), device=strict_device)
        (x[index] * weights).sum().backward()
        put, added = x.at[index].set(v), x.at[index].add(v)
        put.backward(cr.tensor(given[:5], device=strict_device))
        outcomes.append(values([x.grad, v.grad, put, added]))
        with cr.no_grad():
            fresh = cr.tensor(np.ones((5, 2)), device=strict_device)
            fresh[index] = v
        np.testing.assert_array_equal(on_host(fresh), outcomes[-1][2])
    for other in outcomes[1:]:
        for one, two in zip(outcomes[0], other, strict=True):
            np.testing.assert_array_equal(one, two)
    expected = np.ones((5, 2))
    expected[index] = given
    np.testing.assert_array_equal(outcomes[0][2], expected)
    expected = np.ones((5, 2))
    np.add.at(expected, index, given)
    scale = np.zeros((5, 2))
    np.add.at(scale, index, abs(given))
    assert (abs(outcomes[0][3] - expected) <= 60 * np.finfo(float).eps * (scale + 1)).all()


def test_masks_and_integers_on_the_device(matrix):
    mask = matrix > 4.0
    picked = matrix[mask]
    picked.backward(cr.tensor(np.arange(7.0), device=strict_device))
    np.testing.assert_array_equal(on_host(picked), np.arange(5.0, 12.0))
    np.testing.assert_array_equal(on_host(matrix.grad).ravel()[5:], np.arange(7.0))
    counts = cr.tensor(np.zeros(3, np.int64), device=strict_device)
    # CuPy has no atomic additions of int64.
    assert on_host(counts.at[[0, 2, 2]].add(np.array([1, 1, 5]))).tolist() == [1, 0, 6]


@pytest.mark.parametrize("name", ["lstm", "gru", "simple_rnn"])
def test_a_mask_may_be_on_the_device(name):
    call = next(
        each for each in calls_of(RECORDS[name]) if each.case.static.get("mask") is not None
    )
    arrays, mask = call.draw(0), call.case.static["mask"]
    outcomes = []
    for device in ("cpu", strict_device):
        given = [cr.tensor(each, None, True, device) for each in arrays]
        before = traffic.down
        y = RECORDS[name].function(*given, mask=cr.tensor(mask, device=device))
        slopes = cr.grad((y * y).sum(), given, create_graph=True)
        curved = cr.grad(sum((each * each).sum() for each in slopes), given)
        assert traffic.down == before
        outcomes.append(values([y, *slopes, *curved]))
    same(outcomes[1], outcomes[0], 1e-10)


# Losses, linear algebra, changes in place -------------------------------------------------------


def test_labels_on_the_device_are_not_read_and_a_wrong_one_gives_nan():
    logits = cr.tensor(np.zeros((3, 4)), requires_grad=True, device=strict_device)
    with pytest.raises(ValueError, match="labels must be from 0 to 3"):
        cr.sparse_softmax_cross_entropy(logits, np.array([0, 4, 1]))
    before = traffic.down
    found = cr.sparse_softmax_cross_entropy(logits, cr.tensor([0, 4, -1], device=strict_device))
    assert traffic.down == before
    np.testing.assert_allclose(on_host(found), [np.log(4), np.nan, np.nan])


def test_what_lapack_refuses_is_an_error_on_the_device_too():
    singular = cr.tensor(np.stack([np.eye(2), np.ones((2, 2))]), device=strict_device)
    for call in (
        lambda: cr.inv(singular),
        lambda: cr.solve(singular, cr.ones((2, 1), device=strict_device)),
        lambda: cr.cholesky(-singular),
    ):
        with pytest.raises(cr.MatrixError, match=r"\[[01]\] is"):
            call()


def test_changes_in_place():
    x = cr.tensor(np.arange(4.0), device=strict_device)
    with cr.no_grad():
        x[1:3] = np.array([5.0, 6.0])
        x[0] = 9.0
        x += 1
        x *= cr.tensor(np.full(4, 2.0), device=strict_device)
    assert on_host(x).tolist() == [20.0, 12.0, 14.0, 8.0]
    wide = cr.broadcast_to(cr.tensor([1.0], device=strict_device), (3,))
    with pytest.raises(cr.ShapeError, match="repeats the memory"):
        wide[0] = 2.0
    view = x[1:]
    with cr.no_grad():
        view[0] = -1.0
    assert on_host(x)[1] == -1.0


def test_what_repeats_the_memory_of_a_smaller_tensor_is_not_changed_in_place():
    """CuPy lets one write there, and each element is changed by any number of threads."""
    for device in ("cpu", strict_device):
        small = cr.tensor([1.0], device=device)
        wide = cr.broadcast_to(small, (3,))
        with pytest.raises(cr.ShapeError, match="cannot be changed in place"):
            wide += 1
        assert on_host(small).tolist() == [1.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["floor_divide", "remainder"])
def test_division_with_a_remainder_is_exact(name, dtype):
    """CuPy's 1 // 0.1 is 10, and its 1 % inf is NaN."""
    rng = np.random.default_rng(2)
    special = np.array([0.0, -0.0, 1.0, -1.0, 0.1, -0.3, 7.0, np.inf, -np.inf, np.nan, 1e20])
    a, b = (each.ravel() for each in np.meshgrid(special, special))
    a, b = (
        np.append(each, rng.normal(size=300) * 10.0 ** rng.integers(-3, 4, 300)).astype(dtype)
        for each in (a, b)
    )
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(a, b)
        x, y = (cr.tensor(each, device=strict_device) for each in (a, b))
        found = getattr(cr, name)(x, y)
        symbol = {"floor_divide": "__ifloordiv__", "remainder": "__imod__"}[name]
        np.testing.assert_array_equal(on_host(getattr(cr.tensor(x), symbol)(y)), expected)
    np.testing.assert_array_equal(on_host(found), expected)
    np.testing.assert_array_equal(np.signbit(on_host(found)), np.signbit(expected))
    assert found.dtype == dtype
    assert on_host(cr.tensor([7, -7, 5], device=strict_device) % 3).tolist() == [1, 2, 2]
    assert on_host(1.0 // cr.tensor([0.1], device=strict_device)).tolist() == [9.0]


def test_whole_numbers_have_no_negative_powers():
    x = cr.tensor([2, -1], device=strict_device)
    for call in (lambda: x**-1, lambda: cr.power(x, -2), lambda: x.__ipow__(-1)):
        with pytest.raises(cr.ShapeError, match="negative integer powers"):
            call()
    assert on_host(x**2).tolist() == [4, 1]
    x **= 3
    assert on_host(x).tolist() == [8, -1]
    assert on_host(x.astype("float64") ** -1).tolist() == [0.125, -1.0]


def test_numbers_of_python_and_numpy_beside_tensors():
    x = cr.tensor(np.array([1.0, -2.0], np.float32), requires_grad=True, device=strict_device)
    for y in (2 * x, x + 1, 1.0 - x, x**2, 2.0**x, x / 3, np.float32(2) * x, x * np.array([1, 2])):
        assert y.device == "strict"
    assert (2 * x).dtype == "float32"
    y = np.arange(2, dtype=np.float32) * x + [1.0, 2.0]
    y.sum().backward()
    np.testing.assert_array_equal(on_host(x.grad), [0.0, 1.0])
    assert (x.mean() > 0).item() is False
    assert float(x[0]) == 1.0
    assert np.shape(x) == (2,)
