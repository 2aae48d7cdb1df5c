"""The host side of the kernels: what each family's entries are, and who launches them.

A module here declares the entries of its family and defines functions that replace kernels of the
engine (`REPLACES` names them). They take the kernel set `k` in place of the reference's `xp`, and
serve every set and device: what is launched is CUDA C or Numba's, on a GPU or in the emulator, as
`k` says. What they do not cover goes to the reference, on the same device.
"""
