"""The short way of a call does what the long one does, of every record."""

import sys
import threading

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.calls import broadcasts_of, calls_of
from chainrule.engine.record import RECORDS, apply
from chainrule.engine.tape import LATEST, Storage, mark_changed

SHORT = [
    record
    for record in RECORDS.values()
    if record.builtin and record.call is None and not (record.variadic or record.composed)
]


def drawn(record):
    """Arguments and static arguments of a few calls of a record."""
    for call in calls_of(record):
        arguments = call.case.draw(record)
        if call.case.prepare is not None:
            arguments = list(call.case.prepare(*arguments))
        yield arguments, dict(call.case.static)
    for call in broadcasts_of(record):
        yield call.draw(0), {}


def frozen(record, static):
    """The static arguments of a call, as the operation keeps them."""
    given = record.defaults | static
    kept = {each: given[each] for each in record.statics}
    for name, function in record.freeze.items():
        kept[name] = function(kept[name])
    return {name: tuple(each) if type(each) is list else each for name, each in kept.items()}


def operands(arguments, tracked):
    """Tensors of the arrays among the arguments; those at the positions `tracked` are leaves."""
    made = [cr.tensor(e) if isinstance(e, np.ndarray) else e for e in arguments]
    for i in tracked:
        if isinstance(made[i], cr.Tensor) and made[i].dtype.kind == "f":
            made[i].requires_grad = True
    return made


def outcome(run, given):
    """What there is to be known of a call: result, what its node has, and gradients."""
    result = run(given)
    node = result._node
    shares = [isinstance(e, cr.Tensor) and e._storage is result._storage for e in given]
    found = [result.numpy(), result.device, shares, node is None]
    if node is not None:
        places = [e._storage for e in (result, *given) if isinstance(e, cr.Tensor)]
        found += [node.plan, node.static, node.shape, node.dtype, node.kernels]
        found += [node.saved, [places.index(e) if e in places else -1 for e in node.storages]]
        found += [[e is not None for e in node.parents]]
        result.backward(np.random.default_rng(5).normal(size=result.shape))
        found += [e.grad.numpy() for e in given if isinstance(e, cr.Tensor) and e.grad is not None]
    return found


def same(a, b):
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[each], b[each]) for each in a)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return a is b or a == b


@pytest.mark.parametrize("record", SHORT, ids=lambda record: record.name)
def test_the_short_way_does_what_the_long_one_does(record):
    positions = range(len(record.arguments))
    calls = [(a, s) for a, s in drawn(record) if len(a) == len(record.arguments)]
    for arguments, static in calls[:6]:
        for tracked in ([], [0], [positions[-1]], [*positions]):

            def short(given, static=static):
                return record.function(*given, **static)

            def long(given, static=static):
                return apply(record, given, frozen(record, static))

            short(operands(arguments, []))  # the first call of all is a long one
            found = [outcome(run, operands(arguments, tracked)) for run in (short, long)]
            assert same(*found), (static, tracked)


@pytest.mark.parametrize("number", [2, 0.5])
@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "power", "maximum"])
def test_numbers_take_the_dtype_of_what_they_meet(name, number):
    record = RECORDS[name]
    values = np.random.default_rng(1).uniform(0.5, 2, (2, 3)).astype(np.float32)
    for make in (lambda x: (x, number), lambda x: (number, x)):
        x, z = (cr.tensor(values, requires_grad=True) for _ in range(2))
        short, long = record.function(*make(x)), apply(record, make(z), {})
        assert short.dtype == np.float32 and same(short.numpy(), long.numpy())
        for each in (short, long):
            each.backward(values - 1)
        assert x.grad.dtype == np.float32 and same(x.grad.numpy(), z.grad.numpy())
        assert not record.function(*make(x.detach())).requires_grad


def test_a_function_is_compiled_at_its_first_call_and_stays_the_same_object():
    double = cr.operation("double_", forward=lambda k, x: 2 * x, vjp=lambda k, g: 2 * g)
    code, before = double.__code__, double
    x = cr.tensor([1.0, -3.0], requires_grad=True)
    first = double(x)
    assert double is before and double.__code__ is not code
    code = double.__code__
    assert first.tolist() == double(x).tolist() == double([1.0, -3.0]).tolist() == [2.0, -6.0]
    assert double.__code__ is code


def test_threads_that_make_the_first_call_at_once_are_all_answered():
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for i in range(20):
            cube = cr.operation(f"cube_{i}", forward=lambda k, x: x**3, vjp=lambda k, g, x: g * x)
            found, start = [], threading.Barrier(4)

            def call(cube=cube, found=found, start=start):
                start.wait()
                found.append(cube(cr.tensor(3.0, requires_grad=True)).item())

            threads = [threading.Thread(target=call) for _ in range(4)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
            assert found == [27.0] * 4
    finally:
        sys.setswitchinterval(switch)


def test_what_is_no_plain_call_takes_the_long_way():
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    with cr.no_grad():
        assert not (x * x).requires_grad
    with cr.detect_anomaly(), pytest.raises(cr.AnomalyError, match="'log' made 1 NaN"):
        cr.log(x - 1.5)
    assert (x * [3.0, 4.0]).tolist() == [3.0, 8.0] and (x * True).tolist() == [1.0, 2.0]
    small = cr.tensor(np.array([1, 2], np.uint8))
    assert cr.sqrt(small).dtype == np.float64  # where NumPy goes to float16
    with pytest.raises(cr.ShapeError, match=r"multiply.*\(2,\).*\(3,\)"):
        x * cr.ones(3)
    with pytest.raises(cr.DtypeError, match="multiply"):
        x * "a"


def test_a_list_of_axes_may_change_after_the_call():
    axes = [1]
    x = cr.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    for _ in range(2):
        y = cr.sum(x, axis=axes)
        axes[:] = [0]
        x.grad = None
        y.backward([1.0, -1.0])
        assert x.grad.tolist() == [[1.0] * 3, [-1.0] * 3]
        axes[:] = [1]


def test_operations_that_are_not_ours_share_no_memory_at_any_call():
    same_again = cr.operation("same_again", forward=lambda k, x: x, vjp=lambda k, g: g)
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(3):
        y = same_again(x)
        assert not np.may_share_memory(y.numpy(), x.numpy()) and y.tolist() == x.tolist()


def test_the_last_change_of_all_is_the_last_that_was_entered():
    first, second = Storage(), Storage()
    mark_changed(first, second)
    assert first.changed == second.changed == LATEST.changed > Storage().changed == 0
    mark_changed(first)
    assert first.changed == LATEST.changed > second.changed


def test_a_value_changed_after_it_was_saved_is_stale_and_one_changed_before_is_not():
    w, other = (cr.tensor([2.0, 3.0], requires_grad=True) for _ in range(2))
    with cr.no_grad():
        w += 1.0
    (w * w).sum().backward()
    assert w.grad.tolist() == [6.0, 8.0]
    y = (w * w).sum()
    with cr.no_grad():
        other += 1.0  # something changed since, but nothing that was saved
    y.backward(retain_graph=True)
    with cr.no_grad():
        w += 1.0
    with pytest.raises(cr.GradientError, match="changed in place"):
        y.backward()
