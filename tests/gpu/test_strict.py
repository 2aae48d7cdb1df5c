"""The stand-in for CuPy is as unforgiving as it says, and offers what CuPy does."""

from __future__ import annotations

import numpy as np
import pytest

from .strict import StrictArray, indexing, module, traffic


def device(*numbers, dtype=None):
    return module.array(np.array(numbers, dtype))


def test_it_meets_no_array_of_numpy():
    x = device(1.0, 2.0)
    for call in (
        lambda: x + np.ones(2),
        lambda: np.ones(2) * x,
        lambda: x == np.ones(2),
        lambda: module.where(x > 1, np.ones(2), x),
        lambda: module.concatenate([x, np.ones(2)]),
        lambda: module.sum(np.ones(2)),
        lambda: np.asarray(x),
        lambda: np.maximum(x, np.array(1.0)),
        lambda: module.add(x, x, out=np.ones(2)),
    ):
        with pytest.raises(TypeError):
            call()


def test_numpys_functions_on_it_are_cupys():
    x = device(1.0, 4.0)
    for y in (np.sqrt(x), np.add(x, 1), np.where(x > 1, x, 0.0), np.concatenate([x, x])):
        assert type(y) is StrictArray
    assert np.float32(2) * device(1.0, dtype=np.float32) == 2.0
    with pytest.raises(TypeError):
        np.heaviside(x, [1.0, 2.0])


def test_nothing_is_a_scalar_and_every_copy_is_counted():
    x = device(1.0, 4.0)
    for y in (x.sum(), x[0], x.max(), module.add.reduce(x), module.count_nonzero(x), x.any()):
        assert type(y) is StrictArray and y.shape == ()
    before = traffic.down
    assert (float(x.sum()), int(x[1]), bool(x.any()), x.tolist()) == (5.0, 4, True, [1.0, 4.0])
    assert x[0].item() == 1.0 and x.get().tolist() == [1.0, 4.0] and "4." in repr(x)
    assert traffic.down == before + 7
    with pytest.raises(TypeError):
        range(x[0])
    with pytest.raises(AttributeError):
        x.flags.writeable  # noqa: B018
    with pytest.raises(TypeError):
        hash(x)


def test_indices_wrap_and_repeated_ones_have_no_order():
    x = device(1.0, 2.0, 3.0)
    assert x[device(3, -4)].tolist() == [1.0, 3.0]
    with pytest.raises(IndexError):
        x[3]
    x[device(4)] = 9.0
    assert x.tolist() == [1.0, 9.0, 3.0]
    index, values = device(*[0] * 50), module.arange(50.0)
    seen, sums = set(), set()
    for seed in range(8):
        indexing.rng = np.random.default_rng(seed)
        y = module.zeros(2)
        y[index] = values
        seen.add(y.tolist()[0])
        y = module.zeros(1, dtype=np.float32)
        module.add.at(y, index, (10.0 ** (values % 8)).astype(np.float32))
        sums.add(y.tolist()[0])
    assert len(seen) > 1 and len(sums) > 1
    with pytest.raises(TypeError, match="only supports"):
        module.add.at(device(1, 2), device(0), device(1))


def test_there_is_nothing_that_cupy_does_not_have():
    x = device(1.0, 2.0)
    for call in (
        lambda: module.add.reduce(x, 0, None, None, False, 1.0),
        lambda: module.sum(x, initial=0),
        lambda: module.max(x, where=x > 0),
        lambda: module.argsort(x, stable=True),
        lambda: module.add(x, 1, where=x > 1),
        lambda: x.astype("float32", casting="safe"),
        lambda: x.sort(stable=True),
        lambda: module.concat([x, 1.0]),
        lambda: module.sin(True, False, False),
    ):
        with pytest.raises(TypeError):
            call()
    for name in ("vecdot", "errstate", "matvec"):
        assert not hasattr(module, name)
    with pytest.raises(NotImplementedError):
        module.maximum.reduce(x)
    with pytest.raises(ValueError, match="kind"):
        module.argsort(x, kind="quicksort")
    with pytest.raises(AttributeError):
        module.where(True, x, x)
    with pytest.raises(ValueError, match="fill"):
        x[0:1] = np.ones(1)


@pytest.mark.parametrize("name", ["add", "power", "floor", "sign", "true_divide", "exp", "maximum"])
def test_dtypes_are_those_of_cupys_loops(name):
    whole, small = device(1, 2, dtype=np.int16), device(1.0, dtype=np.float32)
    ufunc, binary = getattr(module, name), name in ("add", "power", "true_divide", "maximum")
    for x in (whole, small):
        with np.errstate(all="ignore"):
            arguments = (x, 2) if binary else (x,)
            expected = getattr(np, name)(*[getattr(each, "_a", each) for each in arguments])
        assert ufunc(*arguments).dtype == expected.dtype


def test_linear_algebra_fails_silently_unless_asked():
    import strictx  # stands beside `strict` as `cupyx` does beside `cupy`

    singular = module.ones((2, 2))
    assert module.linalg.inv(singular).shape == (2, 2)
    with strictx.errstate(linalg="raise"), pytest.raises(np.linalg.LinAlgError):
        module.linalg.inv(singular)
    with pytest.raises(ValueError, match="must have"):
        module.linalg.solve(module.ones((2, 2, 2)), module.ones((1, 2, 1)))
