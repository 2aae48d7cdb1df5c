"""How many warps of a kernel a multiprocessor holds at a time, from what a block uses.

A multiprocessor hides the time that memory takes by switching between warps; how many it holds is
bounded by its registers, its shared memory, and its places for warps and blocks. The share of
places for warps that are taken is the *occupancy*. The numbers are from NVIDIA's CUDA C++
Programming Guide, "Technical Specifications per Compute Capability"; how registers and shared
memory are dealt out, from NVIDIA's occupancy calculator (`cuda_occupancy.h`).
"""

from __future__ import annotations

from typing import NamedTuple

WARP = 32
REGISTERS = 64 * 1024  # of a multiprocessor, of any compute capability below
_PARTITIONS = 4  # of a multiprocessor, each with a quarter of its registers
_REGISTER_UNIT = 256  # registers are dealt out to a warp in multiples of this


class Limits(NamedTuple):
    """What a multiprocessor has: places for warps and blocks, and bytes of shared memory.

    `unit`: shared memory is dealt out to a block in multiples of this many bytes; `reserved`: what
    the system takes of it for every block.
    """

    warps: int
    blocks: int
    shared: int
    unit: int
    reserved: int


#: By compute capability, 80 for 8.0.
LIMITS = {
    75: Limits(warps=32, blocks=16, shared=64 * 1024, unit=256, reserved=0),
    80: Limits(warps=64, blocks=32, shared=164 * 1024, unit=128, reserved=1024),
    86: Limits(warps=48, blocks=16, shared=100 * 1024, unit=128, reserved=1024),
    89: Limits(warps=48, blocks=24, shared=100 * 1024, unit=128, reserved=1024),
    90: Limits(warps=64, blocks=32, shared=228 * 1024, unit=128, reserved=1024),
    100: Limits(warps=64, blocks=32, shared=228 * 1024, unit=128, reserved=1024),
    120: Limits(warps=48, blocks=24, shared=100 * 1024, unit=128, reserved=1024),
}


class Occupancy(NamedTuple):
    """`blocks` and `warps` at a time on a multiprocessor, the `share` of its places for warps, and
    what bounds them (`limit`).
    """

    blocks: int
    warps: int
    share: float
    limit: str


def occupancy(architecture: int, block: int, registers: int, shared: int) -> Occupancy:
    """How many blocks of a kernel run at a time on one multiprocessor.

    Arguments: `architecture`, the compute capability, 80 for 8.0; `block`, threads of a block;
    `registers` of a thread; `shared`, bytes of shared memory of a block.

    Raises ValueError for an architecture whose numbers are not known here.

    >>> occupancy(80, block=256, registers=32, shared=4096)
    Occupancy(blocks=8, warps=64, share=1.0, limit='warps')
    >>> occupancy(80, block=256, registers=40, shared=4096)
    Occupancy(blocks=6, warps=48, share=0.75, limit='registers')
    """
    if architecture not in LIMITS:
        known = ", ".join(map(str, LIMITS))
        raise ValueError(f"occupancy: sm_{architecture} is unknown; known: {known}")
    limits = LIMITS[architecture]
    warps = -(-block // WARP)
    bounds = {"warps": limits.warps // warps, "blocks": limits.blocks}
    if registers:
        of_a_warp = -(-registers * WARP // _REGISTER_UNIT) * _REGISTER_UNIT
        held = REGISTERS // _PARTITIONS // of_a_warp * _PARTITIONS
        bounds["registers"] = held // warps
    if shared + limits.reserved:
        of_a_block = -(-(shared + limits.reserved) // limits.unit) * limits.unit
        bounds["shared memory"] = limits.shared // of_a_block
    limit = min(bounds, key=lambda each: bounds[each])
    blocks = bounds[limit]
    return Occupancy(blocks, blocks * warps, blocks * warps / limits.warps, limit)
