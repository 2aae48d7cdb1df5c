"""Which waiting threads of an emulated block can go on, and with what answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .numba_blocks import WARP

if TYPE_CHECKING:
    from .numba_blocks import Thread
    from .numba_threads import Run


def go_on(run: Run) -> list[Thread]:
    """The threads that can go on, each with its answer; none when all are done."""
    live = [thread for thread in run.block.threads if not thread.done]
    if not live:
        return []
    if all(thread.request.kind.startswith("syncthreads") for thread in live):  # type: ignore[union-attr]
        return pass_barrier(run, live)
    ready: list[Thread] = []
    for warp in run.block.warps():
        waiting = [
            thread
            for thread in warp
            if thread.request is not None and not thread.request.kind.startswith("syncthreads")
        ]
        masks: dict[int, list[Thread]] = {}
        for thread in waiting:
            masks.setdefault(thread.request.mask, []).append(thread)  # type: ignore[union-attr]
        for mask, members in masks.items():
            ready += pass_warp(run, warp, mask, members)
    if not ready:
        stuck(run, live)
    return sorted(ready, key=lambda thread: thread.number)


def pass_barrier(run: Run, live: list[Thread]) -> list[Thread]:
    """Lets all threads pass the barrier at which they wait."""
    first = live[0]
    wanted = first.request
    assert wanted is not None
    for thread in live:
        request = thread.request
        assert request is not None
        if request.kind != wanted.kind or (run.checked and request.place != wanted.place):
            other = f"thread {tuple(first.index)} waits at line {wanted.line}"
            run.fault("divergent barrier", thread, other, fatal=request.kind != wanted.kind)
    if run.checked and len(live) < len(run.block.threads):
        ended = next(thread for thread in run.block.threads if thread.done)
        other = f"thread {tuple(ended.index)} has ended without it"
        run.fault("divergent barrier", first, other)
    values = [thread.request.value for thread in live]  # type: ignore[union-attr]
    answer = {
        "syncthreads": lambda: None,
        "syncthreads_count": lambda: sum(value != 0 for value in values),
        "syncthreads_and": lambda: int(all(value != 0 for value in values)),
        "syncthreads_or": lambda: int(any(value != 0 for value in values)),
    }[wanted.kind]()
    run.block.epoch += 1
    for thread in live:
        thread.answer, thread.request = answer, None
    return live


def pass_warp(run: Run, warp: list[Thread], mask: int, members: list[Thread]) -> list[Thread]:
    """Lets the lanes of a mask pass the instruction at which they wait, if all are there."""
    first = members[0]
    wanted = first.request
    assert wanted is not None
    for thread in members:
        if not mask >> thread.lane & 1:
            other = f"mask {mask:#010x} does not name the lane {thread.lane} itself"
            run.fault("shuffle mask", thread, other, fatal=True)
    named = [thread for thread in warp if mask >> thread.lane & 1]
    if any(not thread.done and thread not in members for thread in named):
        return []
    for thread in members:
        request = thread.request
        assert request is not None
        if request.kind != wanted.kind or (run.checked and request.place != wanted.place):
            other = f"thread {tuple(first.index)} is at cuda.{wanted.kind} at line {wanted.line}"
            run.fault("shuffle mask", thread, other, fatal=request.kind != wanted.kind)
    if run.checked:
        for ended in (thread for thread in named if thread.done):
            other = f"mask {mask:#010x} names thread {tuple(ended.index)}, which has ended"
            run.fault("shuffle mask", first, other)
        if wanted.kind == "syncwarp":
            meet(members)
    answer_warp(run, wanted.kind, members)
    for thread in members:
        thread.request = None
    return members


def answer_warp(run: Run, kind: str, members: list[Thread]) -> None:
    """Computes what an instruction of a warp gives to each lane."""
    values = {thread.lane: thread.request.value for thread in members}  # type: ignore[union-attr]
    if kind.startswith("shfl"):
        for thread in members:
            request = thread.request
            assert request is not None
            if request.lane in values:
                thread.answer = values[request.lane]
                continue
            if run.checked:
                other = f"lane {request.lane}, from which it reads, is not there"
                run.fault("shuffle mask", thread, other)
            value = request.value
            thread.answer = 0x5BD1E995 if isinstance(value, int) else type(value)(np.nan)
        return
    bits = {lane: bool(value) for lane, value in values.items()}
    alike = {
        lane: sum(1 << each for each, other in values.items() if _same(other, value))
        for lane, value in values.items()
    }
    everyone = sum(1 << lane for lane in values)
    for thread in members:
        own = alike[thread.lane]
        thread.answer = {
            "syncwarp": None,
            "all_sync": all(bits.values()),
            "any_sync": any(bits.values()),
            "eq_sync": len(set(bits.values())) == 1,
            "ballot_sync": _int32(sum(1 << lane for lane, bit in bits.items() if bit)),
            "match_any_sync": _int32(own),
            "match_all_sync": (_int32(own), True) if own == everyone else (0, False),
        }[kind]


def stuck(run: Run, live: list[Thread]) -> None:
    """Raises the error of threads that wait for each other, and for nothing that can happen."""
    for thread in live:
        request = thread.request
        assert request is not None
        if request.kind.startswith("syncthreads"):
            continue
        start = thread.number - thread.lane
        for other in run.block.threads[start : start + WARP]:
            if not request.mask >> other.lane & 1 or other.done or other.request is None:
                continue
            if (other.request.kind, other.request.mask) != (request.kind, request.mask):
                text = (
                    f"mask {request.mask:#010x} names thread {tuple(other.index)}, which "
                    f"waits at line {other.request.line}"
                )
                run.fault("shuffle mask", thread, text, fatal=True)
    run.fault("deadlock", live[0], "", fatal=True)


def meet(members: list[Thread]) -> None:
    """Tells lanes that meet at `syncwarp` of what each has done before."""
    for thread in members:
        thread.clock[thread.lane] += 1
    known = [max(each) for each in zip(*(thread.clock for thread in members), strict=True)]
    for thread in members:
        thread.clock = list(known)


def _same(a: Any, b: Any) -> bool:
    return bool(a == b)


def _int32(bits: int) -> int:
    return bits - (1 << 32) if bits >> 31 else bits
