"""Checks of operations, strategies for hypothesis, and random programs.

The checks are those of the table's operations, which users' own pass too. The strategies draw what
a property-based test of code on Tensors needs; they are loaded when they are first used, and need
hypothesis: `pip install 'chainrule[test]'`. `python -m chainrule.testing --examples 10000` checks
as many random programs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from chainrule.engine.cases import case
from chainrule.engine.checking.gradcheck import assert_gradients, gradcheck
from chainrule.engine.checking.operations import check_operation
from chainrule.engine.checking.report import Finding, Report
from chainrule.engine.errors import CheckError, ProofError
from chainrule.engine.proof import prove

if TYPE_CHECKING:
    from .program import Line, Program
    from .program_checks import check_program
    from .random_programs import programs
    from .strategies import (
        DrawnCall,
        broadcastable_shapes,
        calls,
        dtypes,
        operands,
        shapes,
        tensors,
    )

#: The module of each name that is loaded when it is first used.
_LATER = {
    "DrawnCall": "strategies",
    "Line": "program",
    "Program": "program",
    "broadcastable_shapes": "strategies",
    "calls": "strategies",
    "check_program": "program_checks",
    "dtypes": "strategies",
    "operands": "strategies",
    "programs": "random_programs",
    "shapes": "strategies",
    "tensors": "strategies",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        value = getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [
    "CheckError",
    "DrawnCall",
    "Finding",
    "Line",
    "Program",
    "ProofError",
    "Report",
    "assert_gradients",
    "broadcastable_shapes",
    "calls",
    "case",
    "check_operation",
    "check_program",
    "dtypes",
    "gradcheck",
    "operands",
    "programs",
    "prove",
    "shapes",
    "tensors",
]
