"""Notes on exceptions: what is said in addition, below the message."""

from __future__ import annotations


def add_note(error: Exception, note: str) -> None:
    """What `error.add_note` does; before Python 3.11, which has it, the message is lengthened.

    >>> error = ValueError("too large")
    >>> add_note(error, "in the last batch")
    >>> error.__notes__
    ['in the last batch']
    """
    add = getattr(error, "add_note", None)
    if add is not None:
        add(note)
        return
    vars(error)["__notes__"] = [*getattr(error, "__notes__", []), note]
    # A KeyError shows the repr of its argument, which is a key rather than a message.
    if len(error.args) == 1 and isinstance(error.args[0], str) and not isinstance(error, KeyError):
        error.args = (f"{error.args[0]}\n{note}",)
