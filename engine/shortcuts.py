"""The short way of a call: from nothing but Tensors of one device to a recorded result.

`apply` and `compute` of `engine/record.py` can do whatever an operation may be asked to. What is
asked nearly always is done here, by code that is written out for the one operation: no argument
is looked at twice, and no list is made to be taken apart. Of a small operation most of the time
goes into what surrounds the arithmetic; this takes a third of that away. It is compiled when the
operation is first called, so that importing two hundred operations does not pay for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .devices import LARGE, state
from .errors import explain
from .foreign import pair, unshared
from .tape import FIXED, Node, Storage, next_moment
from .tensor import Tensor

if TYPE_CHECKING:
    from .record import Record


def storage_of(operand: Any) -> Storage:
    """The storage of an operand that may be a number, which never changes."""
    return operand._storage if type(operand) is Tensor else FIXED


#: What the code refers to, besides what the function has already.
_NAMES = {
    "_EXPLAINED": (ValueError, TypeError, IndexError, MemoryError),
    "_FLOAT16": np.dtype("float16"),
    "_FLOAT32": np.dtype("float32"),
    "_NOTHING": dict[str, Any](),
    "_Node": Node,
    "_Storage": Storage,
    "_Tensor": Tensor,
    "_explain": explain,
    "_ndarray": np.ndarray,
    "_new": object.__new__,
    "_next_moment": next_moment,
    "_pair": pair,
    "_state": state,
    "_storage_of": storage_of,
    "_unshared": unshared,
}

#: What it does is what `apply` and `compute` do; see there.
_SOURCE = """
def {name}({parameters}):
    {freeze}
    {load}
    if _device is not None and _state.mode is None and _record.plans is _plans{small}:
        _k = _device.kernels
        try:
            _y = _record.forward(_k, {arrays}, {keywords})
        except _EXPLAINED as _error:
            raise _explain(_error, _record, ({arrays},), {static}, _device) from _error
        {residuals}
        if type(_y) is not _ndarray:
            if type(_y) is tuple:
                _y, _r = _pair({name!r}, _y)
            if type(_y) is not _ndarray:
                _y = _device.xp.asarray(_y)
        {unshare}
        _tensor = _new(_Tensor)
        _tensor._data = _y
        _tensor._device = _device
        _tensor._storage = _own = {storage}
        {record}
        if _y.dtype is not _FLOAT16:
            _tensor._node = None
            return _tensor
    return _apply(_record, ({inputs},), {static})
"""

_RECORD = """if ({tracked}) and _state.recording:
            _dtype = _y.dtype
            if _dtype is _FLOAT32 or (_dtype.kind == "f" and _dtype is not _FLOAT16):
                _tensor._node = _node = _Node()
                {save}
                _node.static = {static}
                _node.parents = ({parents},)
                _node.kernels = _k
                _node.shape = _y.shape
                _node.dtype = _dtype
                _node.moment = _next_moment()
                _node.watch = None
                return _tensor"""

#: Of two arguments, one may be a number.
_TWO = """if type({a}) is _Tensor:
        _device = {a}._device; _x = _x0 = {a}._data; _n0 = {a}._node
        if type({b}) is _Tensor and {b}._device is _device:
            _x1 = {b}._data; _n1 = {b}._node
        elif type({b}) is float or type({b}) is int:
            _x1 = {b}; _n1 = None
        else:
            _device = None
    elif type({b}) is _Tensor and (type({a}) is float or type({a}) is int):
        _device = {b}._device; _x0 = {a}; _n0 = None; _x = _x1 = {b}._data; _n1 = {b}._node
    else:
        _device = None"""


def shorten(function: Any, record: Record, parameters: str, frozen: Mapping[str, str]) -> None:
    """Gives an operation's function the short way, at its first call.

    `frozen` are expressions for static arguments, by name.
    """
    space = function.__globals__
    apply = space["_apply"]

    def first(*call: Any) -> Tensor:
        scope: dict[str, Any] = {}
        space.update(_NAMES, _apply=apply, _plans=record.plans)
        exec(_source(record, parameters, frozen, space), space, scope)
        function.__code__ = scope[record.name].__code__
        result: Tensor = apply(*call)
        return result

    space["_apply"] = first


def _source(
    record: Record, parameters: str, frozen: Mapping[str, str], space: dict[str, Any]
) -> str:
    names = record.arguments
    storage, residuals, unshare, recording = "_Storage()", "", "", ""
    arrays, nodes = (", ".join(f"_{kind}{i}" for i in range(len(names))) for kind in "xn")
    given = ", ".join(f"{each!r}: {each}" for each in record.statics)
    static = f"{{{given}}}" if given else "_NOTHING"
    if record.view:
        shared = "_device.xp.may_share_memory(_y, _x0)"
        storage = f"{names[0]}._storage if {shared} else _Storage()"
    if not record.builtin:
        unshare = f"_y, _r = _unshared(_y, _r, ({arrays},))"
    if record.differentiable:
        recording = _RECORD.format(
            tracked=" or ".join(f"_n{i} is not None" for i in range(len(names))),
            save=_save(record, arrays, space),
            static=static,
            parents=nodes,
        )
    if re.search(r"\b_r\b", recording + unshare):
        residuals = "_r = None"  # unless the forward function gives some
    return _SOURCE.format(
        name=record.name,
        parameters=parameters,
        freeze="; ".join(f"{each} = {text}" for each, text in frozen.items()),
        load=_load(names),
        small=""
        if record.large is None
        else f" and {'_x' if len(names) == 2 else '_x0'}.size < {LARGE}",
        arrays=arrays,
        keywords=", ".join(f"{each}={each}" for each in record.statics),
        static=static,
        residuals=residuals,
        unshare=unshare,
        storage=storage,
        record=recording,
        inputs=", ".join(names),
    )


def _load(names: Sequence[str]) -> str:
    """What takes the operands apart, and finds the device, or None for the long way."""
    if len(names) == 2:
        return _TWO.format(a=names[0], b=names[1])
    tests = [f"type({each}) is _Tensor" for each in names]
    tests += [f"{each}._device is {names[0]}._device" for each in names[1:]]
    parts = [f"_x{i} = {each}._data; _n{i} = {each}._node" for i, each in enumerate(names)]
    return f"""if {" and ".join(tests)}:
        _device = {names[0]}._device; {"; ".join(parts)}
    else:
        _device = None"""


def _save(record: Record, arrays: str, space: dict[str, Any]) -> str:
    """What enters plan, saved values and their storages in a node."""
    names = record.arguments
    full = 1 << len(names)
    if len(names) > 2:  # there are too many kinds of calls to write out what each of them saves
        key = " | ".join(f"(_n{i} is not None) << {i}" for i in range(len(names)))
        storages = ", ".join(f"{each}._storage" for each in names)
        return (
            f"_node.plan = _plan = _record.plan({full} | {key}); _node.saved, _node.storages = "
            f"_plan.save(_y, _r, ({arrays},), _own, ({storages},))"
        )

    def written(key: int) -> str:
        def here(match: re.Match[str]) -> str:
            """What a plan calls y, r, own, a[i] and t[i], as it is called here."""
            kind, i, other = match.groups()
            if kind != "t":
                return f"_x{i}" if kind else f"_{other}"
            name = names[int(i)]
            tracked = key >> int(i) & 1
            return f"{name}._storage" if tracked else f"_storage_of({name})"

        plan = space[f"_plan{key}"] = record.plan(full | key)
        saving = re.sub(r"\b(a|t)\[(\d)\]|\b(y|r|own)\b", here, plan.saving)
        return f"_node.plan = _plan{key}; _node.saved, _node.storages = {saving}"

    if len(names) == 1:
        return written(1)
    indent = "\n" + 16 * " "
    return (
        f"if _n1 is None: {written(1)}{indent}elif _n0 is None: {written(2)}{indent}"
        f"else: {written(3)}"
    )
