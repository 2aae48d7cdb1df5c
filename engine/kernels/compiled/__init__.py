"""What the kernels that Numba compiles are made of: vector instructions, threads, and a cache.

Numba turns loops of Python into machine code. Three things it does not offer, and they decide how
fast a processor computes: `tiles` keeps a block of a matrix product in the vector registers,
`threads` shares a kernel between the cores without the pools of other libraries, `building`
compiles a kernel once for all processes. `host` says what the processor has.

Nothing here is imported before a kernel is compiled: Numba is loaded with it.
"""
