"""Finding where numbers go wrong: the first NaN or infinity, and saved values that were changed.

Within `detect_anomaly()` an observer (see `devices.Mode`) runs every operation of the thread, looks
at its result, and leaves in its node where it was called from. `Checks` go along with each walk
back over the tape, and look at what each VJP reads and returns.
"""

from __future__ import annotations

import linecache
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ContextDecorator
from typing import Any, NamedTuple

import numpy as np

from .broadcasting import unbroadcast
from .devices import Kernels, Mode, Observer, state
from .errors import AnomalyError, GradientError, describe
from .record import Record, compute, tensor_functions
from .tape import Node, Storage
from .tensor import Tensor, is_array

# Where an operation was called -----------------------------------------------------------------


class Place(NamedTuple):
    """A line of the user's code, and what it called there."""

    file: str
    line: int
    operation: str
    layer: str

    def __str__(self) -> str:
        code = linecache.getline(self.file, self.line).strip()
        return f"{self.file}:{self.line}" + (f": {code}" if code else "")


class Origin(dict[str, Any]):
    """The static arguments of a node, which also remember where the operation was called.

    It lives as long as its node does, and holds no array: `sums` are check sums of those saved.
    """

    __slots__ = ("place", "sums")

    place: Place
    sums: tuple[int, ...]


def _is_ours(frame: Any) -> bool:
    """Does the frame run code of this package, rather than a doctest or a user's code?"""
    name, file = frame.f_globals.get("__name__") or "", frame.f_code.co_filename
    ours = name == "chainrule" or name.startswith("chainrule.")
    return ours and file in (frame.f_globals.get("__file__"), "<string>")  # ours are generated too


def _place(record: Record | None = None) -> Place:
    """The innermost line outside of this package that is being run, and the operation called."""
    frame: Any = sys._getframe(1)
    outer = record
    while frame.f_back is not None and _is_ours(frame):
        outer = frame.f_globals.get("_record", outer)
        frame = frame.f_back
    name = "" if record is None or outer is None else f"'{record.name}'"
    if record is not None and outer is not None and outer is not record:
        name += f" (a part of '{outer.name}')"
    layer = "/".join(name for name, _ in state.layers)
    return Place(frame.f_code.co_filename, frame.f_lineno, name, layer)


def _place_of(node: Node | None) -> Place | None:
    """Where a node was made, if that was within `detect_anomaly`."""
    return node.static.place if node is not None and isinstance(node.static, Origin) else None


# Check sums ------------------------------------------------------------------------------------


def _arrays(value: Any) -> Iterator[Any]:
    """The arrays in a saved value, which may be a tuple of them."""
    if isinstance(value, (tuple, list)):
        for each in value:
            yield from _arrays(each)
    elif hasattr(value, "flags"):
        yield value


def check_sum(value: Any) -> int:
    """A number that changes, all but surely, when an element of the arrays in `value` does.

    It is their CRC-32; arrays repeated by broadcasting are read once.

    >>> x = np.zeros((2, 3))
    >>> before = check_sum(x)
    >>> x[1, 2] = 1e-300
    >>> check_sum(x) == before
    False
    """
    total = 0
    for array in _arrays(value):
        host = array.get() if hasattr(array, "get") else array  # from a GPU
        if 0 in host.strides:
            host = host[tuple(slice(0, 1 if step == 0 else None) for step in host.strides)]
        if not host.flags.c_contiguous:
            host = host.T if host.flags.f_contiguous else np.ascontiguousarray(host)
        total = zlib.crc32(host, total)
    return total


def _names(node: Node) -> list[str]:
    """What each saved value of a node is, in words."""
    plan: Any = node.plan
    found = []
    for slot in plan.slots:
        position = re.search(r"\d+", slot)
        if position is not None:
            found.append(plan.record.argument_name(int(position[0])))
        else:
            found.append({"y": "result", "r": "residuals"}.get(slot, plan.record.arguments[0]))
    return found


# What is wrong with an array ----------------------------------------------------------------------


def _counts(value: Any) -> str:
    """How many elements of an array or number are NaN or infinite, in words; empty if none is."""
    array = np.asarray(value.get() if hasattr(value, "get") else value)
    if array.dtype.kind != "f":
        return ""
    found = (("NaN", np.isnan(array)), ("+Inf", array == np.inf), ("-Inf", array == -np.inf))
    return " and ".join(f"{np.count_nonzero(hit)} {name}" for name, hit in found if hit.any())


def _about(value: Any) -> str:
    """Shape, dtype and range of an array, and how many elements are not finite."""
    if not is_array(value):
        return f"{value!r}, a number"
    array = np.asarray(value.get() if hasattr(value, "get") else value)
    if array.size == 0:
        return f"{describe(value)}, empty"
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    if finite.size == 0:
        text = "no finite element"
    elif array.dtype.kind == "f":
        text = f"from {float(finite.min()):.6g} to {float(finite.max()):.6g}"
    else:
        text = f"from {finite.min()} to {finite.max()}"
    bad = _counts(value)
    return f"{describe(value)}, {text}" + (f", {bad}" if bad else "")


def _first(value: Any) -> str:
    """Where in an array the first element is that is not finite, if it has axes."""
    array = np.asarray(value.get() if hasattr(value, "get") else value)
    if array.ndim == 0:
        return ""
    return f", the first at {tuple(np.argwhere(~np.isfinite(array))[0].tolist())}"


def _report(title: str, rows: Sequence[tuple[str, str]]) -> AnomalyError:
    width = max(len(name) for name, _ in rows) + 1
    return AnomalyError("\n".join([title, *(f"  {f'{n}:':<{width}} {text}" for n, text in rows)]))


def _where(place: Place | None) -> list[tuple[str, str]]:
    """The rows of a report on where an operation was called."""
    if place is None:
        return [("line", "unknown, since the forward pass ran outside of detect_anomaly")]
    layer = [("layer", place.layer)] if place.layer else []
    return [*layer, ("line", str(place))]


def _maker(node: Node | None, storage: Storage) -> str:
    """Where an argument came from, in words."""
    moment, place = getattr(storage, "place", (0, None))
    if place is not None and moment == storage.changed:
        return f"changed in place, {place}"
    if node is None:
        return "given, or computed where nothing is recorded"
    if node.record is None:
        return "a leaf, given by the user"
    place = _place_of(node)
    text = f"the result of '{node.record.name}'"
    return f"{text}, computed outside of detect_anomaly" if place is None else f"{text}, {place}"


# The observer ----------------------------------------------------------------------------------


class Detector:
    """The observer of one `detect_anomaly` block."""

    def __init__(self, nan: bool, inf: bool, outer: Observer | None) -> None:
        self.nan, self.inf, self.outer = nan, inf, outer
        #: The nodes whose VJPs run on Tensors now; their operations are judged by what comes out.
        self.pulling: list[Node] = []
        self._warnings: dict[str, Any] = {"invalid": "ignore"} if nan else {}
        if inf:
            self._warnings |= {"divide": "ignore", "over": "ignore"}

    def quiet(self) -> Any:
        """NumPy's warnings of what this detector will raise are off for a `with` block."""
        return np.errstate(**self._warnings)

    def bad(self, value: Any, xp: Any) -> bool:
        """Does an array, or a number, have an element that is looked for?"""
        if is_array(value):
            if value.dtype.kind != "f":
                return False
        elif not isinstance(value, float):
            return False
        if self.nan and self.inf:
            return not xp.isfinite(value).all()
        return bool((self.nan and xp.isnan(value).any()) or (self.inf and xp.isinf(value).any()))

    def hint(self, value: Any) -> list[tuple[str, str]]:
        """The row of a report on infinities that are meant."""
        if not self.inf or "NaN" in _counts(value):
            return []
        return [("note", "if infinities are meant, as in masks of attention: inf=False")]

    def compute(self, *call: Any) -> Tensor:
        """Runs `record.compute(*call)`, and raises if its result is not finite."""
        record, device, arrays, _, _, _, _ = call
        before = state.mode
        assert before is not None
        below = Mode(before.kernel_set, self.outer)
        written = None if record.builtin else [check_sum(each) for each in arrays]
        state.mode = None if below == Mode() else below
        try:
            with self.quiet():
                tensor = compute(*call)
        finally:
            state.mode = before
        if written is not None:
            for i, each in enumerate(arrays):
                if check_sum(each) != written[i]:
                    raise GradientError(
                        f"{record.name}: forward wrote into its argument "
                        f"'{record.argument_name(i)}', which belongs to the caller; let it "
                        f"compute on a copy\n  line: {_place(record)}"
                    )
        if not self.pulling and self.bad(tensor._data, device.xp):
            raise self._anomaly(call, tensor._data)
        node = tensor._node
        if node is not None:
            origin = Origin(call[-1])
            place = _place_of(self.pulling[-1]) if self.pulling else None
            if place is None:
                origin.place = _place(record)
            else:
                operation = f"'{record.name}' (in the gradient of {place.operation})"
                origin.place = place._replace(operation=operation)
            origin.sums = tuple(check_sum(each) for each in node.saved)
            node.static = origin
        return tensor

    def _anomaly(self, call: tuple[Any, ...], result: Any) -> AnomalyError:
        """The error of an operation whose result is not finite."""
        record, device, arrays, parents, storages, _, static = call
        names = [record.argument_name(i) for i in range(len(arrays))]
        met = [i for i, each in enumerate(arrays) if self.bad(each, device.xp)]
        place, bad = _place(record), _counts(result)
        title = f"forward: {place.operation}"
        if met:
            told = " and ".join(f"{names[i]} ({_counts(arrays[i])})" for i in met)
            title += f" is the first to meet input that is not finite: {told}"
        elif any(_counts(each) for each in arrays):
            title += f" made {bad}, of infinite inputs"
        else:
            title += f" made {bad}, of finite inputs"
        rows = _where(place)
        for i, (name, each) in enumerate(zip(names, arrays, strict=True)):
            rows.append(
                (name, _about(each) + (f"; {_maker(parents[i], storages[i])}" if i in met else ""))
            )
        rows += [(name, describe(value)) for name, value in static.items() if value is not None]
        rows.append(("result", _about(result) + _first(result)))
        return _report(title, rows + self.hint(result))

    def changed(self, storage: Storage) -> None:
        """Notes in a storage which line changed it."""
        storage.place = (storage.changed, _place())  # type: ignore[attr-defined]

    def checks(self) -> Checks:
        """What goes along with one walk back over the tape."""
        return Checks(self)


class Checks:
    """What goes along with one walk back over the tape, and looks at every gradient."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        #: A node's moment -> the record, argument and place that contributed to its gradient last.
        self.givers: dict[int, tuple[Record, int, Place | None]] = {}
        #: The moment of the oldest node whose gradient is wanted.
        self.oldest = 0

    def plan(self, node: Node) -> CheckedPlan:
        """The node's plan, which also looks at what it pulls back."""
        return CheckedPlan(self, node)

    def finish(self, gradients: Mapping[Node, Any]) -> None:
        """Raises if a gradient that will be kept or returned is not finite."""
        for node, gradient in gradients.items():
            raw = gradient._data if type(gradient) is Tensor else gradient
            if not self.detector.pulling and self.detector.bad(raw, node.kernels.xp):
                raise self.arrived(node, raw)

    def arrived(self, node: Node, gradient: Any) -> AnomalyError:
        """The error of a gradient that is not finite, though every contribution to it was."""
        bad, giver = _counts(gradient), self.givers.get(node.moment)
        record = node.record
        whose = "a leaf" if record is None else f"the result of '{record.name}'"
        rows = [("gradient", _about(gradient) + _first(gradient)), ("of", describe(node))]
        if giver is None:
            title = f"backward: the upstream gradient given for {whose} has {bad}"
        else:
            title = (
                f"backward: the gradient of {whose} has {bad}, though every contribution was "
                "finite: their sum (over uses, or over repeated axes) or their conversion to "
                f"{node.dtype} overflowed, or what .grad had before, or a hook returned it"
            )
            giving, position, place = giver
            line = "" if place is None else f", {place}"
            argument = giving.argument_name(position)
            rows.append(("last from", f"'{giving.name}', argument '{argument}'{line}"))
        if record is not None:
            rows += _where(_place_of(node))
        return _report(title, rows + self.detector.hint(gradient))


_BEHIND = (
    "was changed since, and not by an operator, assign() or an optimiser: something wrote into the "
    "memory of the array itself"
)


class CheckedPlan:
    """A node's plan (see `record.Plan`) that looks at what its VJPs read, write and return."""

    def __init__(self, checks: Checks, node: Node) -> None:
        self._checks, self._node, self._plan = checks, node, node.plan

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plan, name)

    def pull(self, k: Kernels, gradient: Any, saved: Any, static: dict[str, Any]) -> Any:
        """The contributions of the VJPs, on arrays."""
        plan: Any = self._plan
        return self._checked(gradient, lambda: self._reduced(plan.pull(k, gradient, saved, static)))

    def pull_tensors(self, gradient: Tensor, node: Node) -> Any:
        """The contributions of the VJPs, on Tensors."""
        plan: Any = self._plan
        pulling = self._checks.detector.pulling

        def run() -> Any:
            pulling.append(node)
            try:
                return self._reduced(plan.pull_tensors(gradient, node))
            finally:
                pulling.pop()

        return self._checked(getattr(gradient, "_data", gradient), run)

    def _checked(self, upstream: Any, run: Callable[[], Any]) -> Any:
        node, checks = self._node, self._checks
        detector, plan, xp = checks.detector, self._plan, node.kernels.xp
        judged = not detector.pulling
        assert plan is not None
        saved, place = node.saved, _place_of(node)
        sums = None if place is None else node.static.sums  # type: ignore[attr-defined]
        if sums is not None:
            self._compare(sums, _BEHIND)
        if judged and detector.bad(upstream, xp):
            raise checks.arrived(node, upstream)
        checks.givers.pop(node.moment, None)
        before = 0
        if not plan.builtin:
            sums, before = tuple(check_sum(each) for each in saved), check_sum(upstream)
        with detector.quiet():
            contributions = run()
        if not plan.builtin:
            assert sums is not None
            self._compare(sums, "was written into by the VJP, which must return a new array")
            if check_sum(upstream) != before:
                raise GradientError(
                    f"backward: the VJP of '{plan.record.name}' wrote into the upstream gradient, "
                    "which belongs to others too; it must return a new array"
                    + "".join(f"\n  {name}: {text}" for name, text in _where(place))
                )
        for position, each in zip(plan.positions, contributions, strict=False):
            raw = each._data if type(each) is Tensor else each
            parent = node.parents[position] if node.parents else None
            if not is_array(raw) or (parent is not None and parent.moment < checks.oldest):
                continue  # nobody wants it
            if judged and detector.bad(raw, xp):
                raise self._anomaly(position, upstream, raw)
            if parent is not None:
                checks.givers[parent.moment] = (plan.record, position, place)
        return contributions

    def _reduced(self, contributions: Sequence[Any]) -> list[Any]:
        """The contributions in the shapes of their arguments, as `walk` makes them."""
        plan: Any = self._plan
        found = list(contributions)
        for i, (position, each) in enumerate(zip(plan.positions, found, strict=False)):
            parent = self._node.parents[position] if self._node.parents else None
            if parent is not None and is_array(each) and each.shape != parent.shape:
                k = tensor_functions if type(each) is Tensor else self._node.kernels
                found[i] = unbroadcast(k, each, parent.shape, plan.record, position)
        return found

    def _compare(self, sums: Sequence[int], what: str) -> None:
        """Raises if a saved value has another check sum."""
        node = self._node
        for name, value, known in zip(_names(node), node.saved, sums, strict=True):
            if check_sum(value) != known:
                assert node.record is not None
                raise GradientError(
                    f"backward: a value that '{node.record.name}' (result shape {node.shape}, "
                    f"{node.dtype}) saved for its gradient, its {name}, {what}"
                    + "".join(f"\n  {row}: {text}" for row, text in _where(_place_of(node)))
                )

    def _anomaly(self, position: int, upstream: Any, gradient: Any) -> AnomalyError:
        """The error of a VJP that returned something not finite."""
        node, plan, detector = self._node, self._plan, self._checks.detector
        assert plan is not None
        record, place, xp = plan.record, _place_of(node), node.kernels.xp
        argument, bad = record.argument_name(position), _counts(gradient)
        read = {
            name: value
            for name, slot, value in zip(_names(node), plan.slots, node.saved, strict=True)
            if ".shape" not in slot
        }
        operation = f"'{record.name}'" if place is None else place.operation
        title = f"backward: the gradient of {operation} for its argument '{argument}' has {bad}"
        met = [n for n, each in read.items() if any(detector.bad(a, xp) for a in _arrays(each))]
        if met:
            title += f", from a saved value that was not finite already: {' and '.join(met)}"
        else:
            title += ", of a finite upstream gradient"
        rows = [*_where(place), ("upstream", _about(upstream))]
        for i, parent in enumerate(node.parents or ()):
            name = record.argument_name(i)
            if name not in read and parent is not None:
                rows.append((name, f"{describe(parent)}; its VJPs do not read it"))
        for name, value in read.items():
            if isinstance(value, (tuple, list)):
                rows += [(f"{name}[{i}]", _about(each)) for i, each in enumerate(value)]
            else:
                rows.append((name, _about(value)))
        if "result" not in read:
            rows.append(("result", describe(node)))
        rows.append(("gradient", _about(gradient) + _first(gradient)))
        return _report(title, rows + detector.hint(gradient))


# For users -------------------------------------------------------------------------------------


class _Detection(ContextDecorator):
    """A context, or decorator, in which this thread detects anomalies; may be entered again."""

    def __init__(self, nan: bool, inf: bool) -> None:
        self.nan, self.inf = nan, inf
        self.before: list[Mode | None] = []

    def __enter__(self) -> None:
        before = state.mode or Mode()
        outer = before.observer
        if isinstance(outer, Detector):  # this one stands in its place
            outer = outer.outer
        self.before.append(state.mode)
        state.mode = Mode(before.kernel_set, Detector(self.nan, self.inf, outer))

    def __exit__(self, *error: object) -> None:
        state.mode = self.before.pop()

    def _recreate_cm(self) -> _Detection:
        return _Detection(self.nan, self.inf)  # each call of a decorated function has its own


def detect_anomaly(*, nan: bool = True, inf: bool = True) -> _Detection:
    """Within this `with` block (or decorated function), the first NaN or infinity raises.

    The error names the layer, the operation, its arguments with their ranges, and the line that
    called it; in a backward pass also the argument whose gradient it is, and the upstream gradient.
    It says whether the operation made the NaN, or is the first to meet one that was given to it.
    An operation that is given a NaN and does not pass it on (`where`, a comparison) is none.

    Saved values are guarded as well: backward refuses one that something wrote into behind the
    engine's back, in the array itself; and of one changed in place it names both lines.

    Arguments: `nan`, `inf`: look for NaN, for infinities? Where infinities are meant, as in a mask
    of attention (`softmax(where(mask, x, -inf))`), `inf=False` leaves them alone; an inner block
    takes the place of an outer one, with both False only values are guarded.

    Small operations take some eight times as long in it, large ones twice; outside of it nothing is
    slower. It holds for this thread. If only the backward pass runs in it, gradients are checked,
    but lines are unknown.

    Raises AnomalyError, a FloatingPointError; and GradientError for values that were changed.

    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, -1.0], requires_grad=True)
    >>> with cr.detect_anomaly():
    ...     (x * cr.log(x)).sum().backward()  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    chainrule.engine.errors.AnomalyError: forward: 'log' made 1 NaN, of finite inputs
      line:   <doctest ...>:2: (x * cr.log(x)).sum().backward()  # doctest: ...
      x:      shape (2,), float64, from -1 to 1
      result: shape (2,), float64, from 0 to 0, 1 NaN, the first at (1,)
    """
    return _Detection(bool(nan), bool(inf))
