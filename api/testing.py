"""Checks of operations: of the table's, and of your own, which pass the same ones."""

from chainrule.engine.cases import case
from chainrule.engine.checks import check_operation
from chainrule.engine.errors import CheckError, ProofError
from chainrule.engine.proof import prove

__all__ = ["CheckError", "ProofError", "case", "check_operation", "prove"]
