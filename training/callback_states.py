"""What the callbacks of a run remember, for a checkpoint: taken together, and given back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chainrule.training.callbacks import Callback


def callback_states(callbacks: Iterable[Callback], *, where: str = "fit") -> list[dict[str, Any]]:
    """The state of each callback: `{"name": class name, "state": what state() returned}`.

    Arguments:
        callbacks: in the order in which they are called.
        where: name of the public function, for messages.

    Raises:
        TypeError: a callback has an attribute in the place of its method `state`, or that did
            not return a dict.

    >>> from chainrule.training.history import History
    >>> callback_states([History(), Callback()])[1]
    {'name': 'Callback', 'state': {}}
    """
    states = []
    for index, callback in enumerate(callbacks):
        label = _label(callback, index, where)
        state = _method(callback, "state", label)()
        if not isinstance(state, dict):
            raise TypeError(
                f"{label}: state() must return a dict, got {type(state).__name__}; return {{}} if "
                "there is nothing to keep"
            )
        states.append({"name": type(callback).__name__, "state": state})
    return states


def load_callback_states(
    callbacks: Iterable[Callback], saved: Sequence[Mapping[str, Any]], *, where: str = "fit"
) -> None:
    """Give each callback what `callback_states` returned for its counterpart of another run.

    That is the first of the same class for the first, the second for the second, and so on. A
    callback without a counterpart starts afresh, and so does one whose counterpart had no state.

    Arguments:
        callbacks: those of this run, in order; `on_train_begin` has been called.
        saved: what `callback_states` returned.
        where: name of the public function, for messages.

    Raises:
        ValueError: a state that was saved has no counterpart here (no callback is changed then),
            or does not fit it; the message names the callback.
        TypeError: a callback has an attribute in the place of its method `load_state`.

    >>> from chainrule.training.history import History
    >>> first, second = History(), History()
    >>> first.on_epoch_end(0, {"loss": 2.0})
    >>> load_callback_states([Callback(), second], callback_states([first]))
    >>> second.history
    {'loss': [2.0]}
    """
    waiting: dict[tuple[str, int], Mapping[str, Any]] = {}
    seen: Counter[str] = Counter()
    for entry in saved:
        name = entry["name"]
        if entry["state"]:
            waiting[name, seen[name]] = entry["state"]
        seen[name] += 1
    pairs, present = [], Counter[str]()
    for index, callback in enumerate(callbacks):
        name = type(callback).__name__
        state = waiting.pop((name, present[name]), None)
        present[name] += 1
        if state is not None:
            pairs.append((callback, index, state))
    if waiting:
        missing = Counter(name for name, _ in waiting)
        listed = ", ".join(
            f"{count} {name}s" if count > 1 else name for name, count in missing.items()
        )
        others = {name: count for name, count in present.items() if name != "History"}  # fit's own
        given = ", ".join(f"{count} {name}" for name, count in others.items()) or "none"
        raise ValueError(
            f"{where}: the saved run had callbacks that this one lacks: {listed} (given: {given}); "
            "give the callbacks that it had, so that what they remember is not lost"
        )
    for callback, index, state in pairs:
        label = _label(callback, index, where)
        load = _method(callback, "load_state", label)
        try:
            load(state)
        except Exception as error:
            raise ValueError(
                f"{label}: the state that was saved does not fit it: {str(error) or repr(error)}"
            ) from error


def _label(callback: Callback, index: int, where: str) -> str:
    return f"{where}: the callback {type(callback).__name__} (callbacks[{index}])"


def _method(callback: Callback, name: str, label: str) -> Any:
    method = getattr(callback, name)
    if not callable(method):
        raise TypeError(
            f"{label}: its attribute {name!r} ({type(method).__name__}) hides the method of that "
            "name, which checkpoints need; give the attribute another name"
        )
    return method
