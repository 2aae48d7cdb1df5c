"""The kernels as Numba compiles them: of each family a function `kernels(cuda, real)`.

`cuda` is Numba's module or the emulator's, `real` the type of the numbers, np.float32 or
np.float64; the result is a dict of the kernels by the names of their entries.
"""
