"""A stand-in for CuPy over NumPy, as unforgiving as CuPy is: the engine is run on it without a GPU.

- Its arrays are no `numpy.ndarray`, and meet none: an operation of both raises TypeError, and
  `numpy.asarray` does. What a GPU would copy to the host is counted (`traffic`).
- Reductions and full indexing give 0-d arrays, never scalars.
- Indices out of bounds wrap around. Where indices repeat, the order of assignments and of atomic
  additions is not defined, and here it is shuffled.
- There are the functions, arguments and dtypes that the installed CuPy has (`cupy_names.json`,
  made by `scripts/cupy_signatures.py`), and no others.
"""

from .arrays import StrictArray, traffic
from .device import launching_device, strict_device
from .module import module

__all__ = ["StrictArray", "launching_device", "module", "strict_device", "traffic"]
