"""What CuPy offers, from the file; and calls bound to its signatures."""

from __future__ import annotations

import functools
import inspect
import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent.parent / "cupy_names.json"
NAMES: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))


@functools.cache
def signature(kind: str, name: str) -> inspect.Signature:
    """The signature of a function or method (`kind` is "functions" or "methods")."""
    text = NAMES[kind][name]
    return inspect.signature(eval(f"lambda {text}: None"))  # text of our own file


def bound(kind: str, name: str, args: Any, kwargs: Any) -> inspect.BoundArguments:
    """The arguments of a call, under their names.

    Raises TypeError for what CuPy does not take.
    """
    try:
        found = signature(kind, name).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"cupy.{name}({NAMES[kind][name]}): {error}") from None
    return found
