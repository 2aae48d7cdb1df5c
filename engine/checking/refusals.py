"""What the complex step refuses, rather than give a slope that is wrong."""

from __future__ import annotations

from typing import Any


class Unsupported(TypeError):  # noqa: N818 - the name says what is the matter
    """What the complex step cannot go through: the function is to be checked another way."""


def lost(what: str) -> Unsupported:
    """The error of what would keep the real part only."""
    return Unsupported(
        f"complex step: {what} would lose the imaginary part, which holds the slope; stay with "
        "arrays and np functions of them (np.zeros_like(x), not np.zeros(x.shape), to be filled)"
    )


def check_kept(value: Any, name: str) -> None:
    """Raises Unsupported for an ordinary complex array or number: it has lost its class."""
    if isinstance(value, complex) or value.dtype.kind == "c":
        raise Unsupported(
            f"complex step: {name} met an ordinary complex array, in which np.asarray or the like "
            "has lost what makes it branch on the real part; use np.asanyarray, or leave it out"
        )
