"""The engine: tensors, the tape, the operation records and the kernels that compute them."""

from . import backward, interop, kernels, moving, operations

__all__ = ["backward", "interop", "kernels", "moving", "operations"]
