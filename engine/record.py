"""Operation records: formula, derivative, code and cases of one operation, in one place.

A record is written once, as functions of a namespace `k` that does the computing, and of array
arguments (before the `*` of its forward function) and static ones (after it):

    forward(k, x, *, axis=None) -> y                      or (y, residuals)
    vjp(k, g, ...)              -> gradient of x          g is the gradient of y

A VJP names, after `k` and `g`, what it reads: `y`, an argument by its name, the shape of an
argument (`x_shape`), a static argument, or `residuals`. Nothing else is kept until the backward
pass. Undoing broadcasts and casts is not its business: the backward pass does it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .cases import Case
from .devices import Device, are_large, cpu, state
from .errors import GradientError, ShapeError, apart, describe, explain, freed, undefined
from .foreign import pair, unshared, widened
from .functions import TensorFunctions
from .placing import sent, there
from .tape import FIXED, Node, Storage, noted
from .tensor import Tensor, as_operand, is_array, wrap

#: Every record, by the name of its function.
RECORDS: dict[str, Record] = {}

#: The namespace `k` that computes on Tensors.
tensor_functions = TensorFunctions(RECORDS)

FLOAT16 = np.dtype("float16")
MANY_PLANS = 256


@dataclass(eq=False)
class Record:
    """An operation: what it computes, what its derivative is, and what is known of both.

    `formula` and `derivative` are SymPy text for elementwise operations (proved by a test), and
    prose or index notation for the others. `domain` maps each argument to the interval on which
    the derivative is checked (and each static number to that on which it is proved); `kinks` are
    values where it does not exist, in ascending order: numbers, or names of static arguments;
    `cases` are the calls
    on which an array operation is proved and checked; `unproved` is the reason why one cannot run
    on symbols. `definition`, a differentiable composition of other operations, is what the
    gradient of the gradient goes through if a VJP reads residuals. `methods` are the names under
    which Tensor has the operation, operators included. `notes` go into the docstring: arguments,
    errors, source. A `composed` operation has no VJP: its forward function runs on Tensors.
    `freeze` names static arguments that a caller may change later (lists, index arrays), each
    with the function that makes of it, at the call, a value of the operation's own. `indices` names
    arguments that are integers, and are checked on the host if they come from there. `products`, of
    the shapes of the result and of each argument and the static ones, is how many multiplications
    and additions in products of matrices the result costs; each argument's gradient costs as many,
    or what a dict says by the argument's name (and by "y" of the result). `call`, where
    users do not give what `forward` takes, is a function of what they give that returns the array
    arguments and the static ones; the operation then has its signature.
    """

    name: str
    forward: Callable[..., Any]
    vjps: Mapping[str, Callable[..., Any]]
    joint: Callable[..., Any] | None = None
    summary: str = ""
    formula: str = ""
    derivative: Mapping[str, str] = field(default_factory=dict)
    example: str = ""
    domain: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    kinks: Sequence[float | str] = ()
    notes: str = ""
    cases: Sequence[Case] = ()
    unproved: str = ""
    methods: Sequence[str] = ()
    definition: Callable[..., Any] | None = None
    call: Callable[..., tuple[Sequence[Any], dict[str, Any]]] | None = None
    elementwise: bool = False
    view: bool = False
    composed: bool = False
    freeze: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    indices: Sequence[str] = ()
    products: Callable[..., int | dict[str, int]] | None = None
    function: Callable[..., Any] = field(init=False)
    large: Record | None = field(init=False, default=None)  # see operations/large.py

    def __post_init__(self) -> None:
        parameters = list(inspect.signature(self.forward).parameters.values())[1:]
        self.signature = parameters
        self.defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        self.arguments = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
        self.statics = tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self.differentiable = bool(self.vjps or self.joint or self.composed)
        self.builtin = (self.forward.__module__ or "").startswith("chainrule.")
        #: May gradients of arguments be large? Then they are computed where they are to be kept.
        self.offered = self.products is not None or bool(self.indices)
        self.plans: dict[int, Plan] = {}
        unknown = set(self.vjps) - set(self.arguments)
        if unknown:
            raise TypeError(f"operation '{self.name}': VJPs for unknown arguments {unknown}")
        reserved = {"y", "residuals"} & {*self.arguments, *self.statics}
        if reserved:
            raise TypeError(
                f"operation '{self.name}': {', '.join(map(repr, reserved))} means the result, or "
                "what forward keeps of it, in a VJP; give the argument another name"
            )

    def argument_name(self, position: int) -> str:
        """What errors call the argument at that position."""
        return f"{self.arguments[0]}[{position}]" if self.variadic else self.arguments[position]

    def argument_base(self, position: int) -> str:
        """The name of the argument at that position, without its number among `*arguments`."""
        return self.arguments[0 if self.variadic else position]

    def plan(self, key: int) -> Plan:
        """The plan for calls of one kind, made when first asked for.

        The binary digits of `key` are a 1, and then for each array argument, from the last to
        the first: is it tracked?
        """
        plan = self.plans.get(key)
        if plan is None:
            if len(self.plans) >= MANY_PLANS:
                self.plans.clear()  # of many tensors joined there are many kinds of calls
            plan = self.plans[key] = Plan(self, key)
        return plan


class Plan:
    """How a record is saved and pulled back when just these of its arguments are tracked.

    The little functions are compiled once per record, as dataclasses and namedtuples are.
    """

    def __init__(self, record: Record, key: int) -> None:
        count = key.bit_length() - 1
        self.record, self.joint = record, record.joint is not None
        #: Might a VJP return an array that is not its own? Ours do not.
        self.may_alias = self.joint or not record.builtin
        self.builtin = record.builtin
        #: Of each argument: is it tracked?
        self.needed = tuple([digit == "1" for digit in f"{key:b}"[:0:-1]])
        tracked = [i for i, needed in enumerate(self.needed) if needed]
        if record.joint is not None:
            self.positions = tuple(tracked)
            self.vjps: list[Callable[..., Any]] = [record.joint]
        else:
            self.positions = tuple(i for i in tracked if record.arguments[i] in record.vjps)
            self.vjps = [record.vjps[record.arguments[i]] for i in self.positions]
        self.slots: list[str] = []
        calls = [self._call(vjp) for vjp in self.vjps]
        self.saves_residuals = "r" in self.slots
        if record.definition is not None:
            self._slot(f"a[{i}]" for i in range(count))
        storages = [
            "own" if slot == "y" else slot.replace("a[", "t[")
            for slot in self.slots
            if slot == "y" or (slot.startswith("a[") and slot.endswith("]"))
        ] + (["*t"] if "a" in self.slots else [])
        values = "".join(each + "," for each in self.slots)
        watched = "".join(each + "," for each in storages)
        #: (result, residuals, arguments, storage of the result, storages of the arguments) ->
        #: (what the VJPs will read, the storages whose change would make that stale)
        self.saving = f"({values}), ({watched})"
        self.save = eval(f"lambda y, r, a, own, t: ({self.saving})")
        if record.joint is not None:
            body = f"pick(f0(k, g, n, {calls[0]}))"
        else:
            body = "".join(f"f{i}(k, g, {call})," for i, call in enumerate(calls))
            body = f"({body})"
        names: dict[str, Any] = {f"f{i}": vjp for i, vjp in enumerate(self.vjps)}
        names |= {"n": self.needed, "__name__": __name__}
        names["pick"] = self._pick
        #: (k, gradient of the result, saved, static) -> gradients, one per position
        self.pull = eval(f"lambda k, g, s, static: {body}", names)

    def _pick(self, results: Any) -> list[Any]:
        """Of the gradients that a joint VJP returned, those that were asked for."""
        if not isinstance(results, (list, tuple)) or len(results) != len(self.needed):
            raise GradientError(
                f"the joint VJP of '{self.record.name}' must return a gradient or None for each "
                f"of {len(self.needed)} arguments, got {describe(results)}"
            )
        return [each for each, needed in zip(results, self.needed, strict=True) if needed]

    def _slot(self, expressions: Any) -> None:
        self.slots += [each for each in expressions if each not in self.slots]

    def _call(self, vjp: Callable[..., Any]) -> str:
        """The arguments that a VJP reads, as text; enters what must be saved for them."""
        record, call = self.record, []
        skip = 3 if vjp is record.joint else 2
        for name in list(inspect.signature(vjp).parameters)[skip:]:
            if name in record.statics:
                call.append(f"static[{name!r}]")
                continue
            base = name.removesuffix("_shape")
            if name == "y":
                slot = "y"
            elif name == "residuals":
                slot = "r"
            elif base not in record.arguments:
                raise TypeError(f"operation '{record.name}': a VJP reads an unknown name {name!r}")
            elif record.variadic:
                slot = "a" if name == base else "tuple([x.shape for x in a])"
            else:
                slot = f"a[{record.arguments.index(base)}]" + ("" if name == base else ".shape")
            self._slot([slot])
            call.append(f"s[{self.slots.index(slot)}]")
        return ", ".join(call)

    def rebuild(self, node: Node) -> Sequence[Node | None]:
        """The parents of a node that has none: they were freed (a checkpoint makes them anew)."""
        raise freed(node)

    def pull_tensors(self, gradient: Tensor, node: Node) -> Sequence[Tensor | None]:
        """The same contributions, computed by recorded operations on Tensors."""
        parents, storages = node.parents or (), iter(node.storages)

        def lift(raw: Any, parent: Node | None) -> Any:
            """What was saved, as a Tensor that hangs in the graph where it did."""
            storage = next(storages)
            return there(raw, node, parent, storage) if is_array(raw) else raw

        lifted: dict[str, Any] = {}
        for slot, raw in zip(self.slots, node.saved, strict=True):
            if slot == "y":
                lifted[slot] = lift(raw, node)
            elif slot == "a":
                lifted[slot] = tuple(map(lift, raw, parents))
            elif slot.endswith("]"):
                lifted[slot] = lift(raw, parents[int(slot[2:-1])])
            else:
                lifted[slot] = raw
        if self.record.definition is None:
            if self.saves_residuals:
                raise undefined(self.record)
            return self.pull(tensor_functions, gradient, tuple(lifted.values()), node.static)

        from .backward import walk

        arguments = [lifted[f"a[{i}]"] for i in range(len(parents))]
        copies = {i: RECORDS["positive"].function(arguments[i]) for i in self.positions}
        result = self.record.definition(
            *(copies.get(i, argument) for i, argument in enumerate(arguments)), **node.static
        )
        aliases = [copies[i]._node for i in self.positions]
        seeds = [(result._node, gradient)]
        found = walk(seeds, on_tensors=True, targets=aliases, retain_graph=True)
        return [found.get(alias) for alias in aliases]


def apply(record: Record, inputs: Sequence[Any], static: dict[str, Any]) -> Tensor:
    """Runs a record on Tensors, arrays and numbers, and records it if a gradient may be asked."""
    if not inputs:
        raise ShapeError(f"{record.name}: give at least one tensor")
    values = [v if type(v) is Tensor else as_operand(v, record.name) for v in inputs]
    tensors = [value for value in values if type(value) is Tensor]
    if not tensors:  # numbers and arrays only
        return apply(record, [Tensor(value) for value in inputs], static)
    device = tensors[0]._device
    for each in tensors:
        if each._device is not device:
            raise apart(record.name, device.name, each.device)
    arrays = [value._data if type(value) is Tensor else value for value in values]
    parents = [value._node if type(value) is Tensor else None for value in values]
    storages = [value._storage if type(value) is Tensor else FIXED for value in values]
    key = sum([1 << i for i, node in enumerate(parents) if node is not None])
    if device is not cpu:
        arrays = sent(record, arrays, device)
    if record.variadic:
        kind = np.result_type(*arrays)  # numbers take it too
        arrays = [each if is_array(each) else device.xp.asarray(each, kind) for each in arrays]
    return compute(record, device, arrays, parents, storages, key | 1 << len(values), static)


def compute(
    record: Record,
    device: Device,
    arrays: Sequence[Any],
    parents: Sequence[Node | None],
    storages: Sequence[Storage],
    key: int,
    static: dict[str, Any],
) -> Tensor:
    """Computes a record on raw arrays; records it if one is tracked (`key`: see Record.plan)."""
    mode, k = state.mode, device.kernels
    if mode is not None:
        if mode.observer is not None:
            return mode.observer.compute(record, device, arrays, parents, storages, key, static)
        k = mode.kernels(device)
    record = record.large if record.large is not None and are_large(arrays) else record
    try:
        result = record.forward(k, *arrays, **static)
    except (ValueError, TypeError, IndexError, MemoryError) as error:
        raise explain(error, record, arrays, static, device) from error
    residuals = None
    if type(result) is tuple:
        result, residuals = pair(record.name, result)
    if type(result) is not np.ndarray:
        result = device.xp.asarray(result)
    dtype = result.dtype
    if dtype is FLOAT16:  # of booleans and bytes, from which NumPy goes to float16
        arrays = widened(record.name, arrays)
        return compute(record, device, arrays, parents, storages, key, static)
    if not record.builtin:
        result, residuals = unshared(result, residuals, arrays)
    view = record.view and device.xp.may_share_memory(result, arrays[0])
    own = storages[0] if view else Storage()
    tensor = wrap(result, device, None, own)
    tracked = state.recording and key & (key - 1)  # a bit beside the first
    if tracked and record.differentiable and dtype.kind == "f":
        plan = record.plan(key)
        saved = plan.save(result, residuals, arrays, own, storages)
        tensor._node = noted(plan, k, result, parents, saved, static)
    return tensor
