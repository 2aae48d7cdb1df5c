"""What random programs (`python -m chainrule.testing`) have found wrong, each with what it was."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.kernels import numba_special


@pytest.mark.parametrize("name", ["erf", "erfc"])
def test_compiled_error_functions_of_one_number_keep_its_shape(name, monkeypatch):
    """The loop over memory gave a 0-d array an axis; large arrays alone reached it, by its length.

    Found with the lengths from which kernels are compiled set to 0: einsum('->', erf(x)).
    """
    monkeypatch.setattr(numba_special, "FEW", 0)
    monkeypatch.setitem(numba_special.THRESHOLDS, name, 0)
    x = cr.tensor(0.5, requires_grad=True)
    with cr.kernels("numba"):
        y = getattr(cr, name)(x)
    assert y.shape == ()
    y.backward()
    slope = 2 / np.sqrt(np.pi) * np.exp(-0.25)
    assert x.grad.shape == ()
    assert abs(x.grad.item()) == pytest.approx(slope, rel=1e-15)
