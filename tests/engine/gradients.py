"""What the tests of gradients use: the checks that users' own operations can be put to, too."""

from chainrule.engine.calls import Call, broadcasts_of, calls_of, draw_values
from chainrule.engine.checks import (
    LAYOUTS,
    assert_close,
    check_call,
    check_first,
    check_operation,
    check_second,
    directional,
    first_order,
    lay_out,
    numeric_gradient,
    upstream_for,
)

__all__ = [
    "LAYOUTS",
    "Call",
    "assert_close",
    "broadcasts_of",
    "calls_of",
    "check_call",
    "check_first",
    "check_operation",
    "check_second",
    "directional",
    "draw_values",
    "first_order",
    "lay_out",
    "numeric_gradient",
    "upstream_for",
]
