"""Which waiting threads of an emulated block can go on, and with what answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .numba_blocks import Thread
    from .numba_threads import Run

_BARRIERS = frozenset(("syncthreads", "syncthreads_count", "syncthreads_and", "syncthreads_or"))


def go_on(run: Run) -> list[Thread]:
    """The threads that can go on, each with its answer; none when all are done."""
    live = [thread for thread in run.block.threads if not thread.done]
    groups: dict[tuple[int, int], list[Thread]] = {}
    for thread in live:
        if thread.kind not in _BARRIERS:
            groups.setdefault((thread.number - thread.lane, thread.mask), []).append(thread)
    if live and not groups:
        return pass_barrier(run, live)
    ready: list[Thread] = []
    for (start, mask), members in groups.items():
        ready += pass_warp(run, run.block.threads[start : start + 32], mask, members)
    if live and not ready:
        stuck(run, live)
    ready.sort(key=lambda thread: thread.number)
    return ready


def pass_barrier(run: Run, live: list[Thread]) -> list[Thread]:
    """Lets all threads pass the barrier at which they wait."""
    first = live[0]
    for thread in live:
        if thread.kind != first.kind or (run.checked and thread.place != first.place):
            other = f"thread {tuple(first.index)} waits at line {first.line}"
            run.fault("divergent barrier", thread, other, fatal=thread.kind != first.kind)
    if run.checked and len(live) < len(run.block.threads):
        ended = next(thread for thread in run.block.threads if thread.done)
        other = f"thread {tuple(ended.index)} has ended without it"
        run.fault("divergent barrier", first, other)
    answer: int | None = None
    if first.kind != "syncthreads":
        count = sum(thread.value != 0 for thread in live)
        answer = {
            "syncthreads_count": count,
            "syncthreads_and": int(count == len(live)),
            "syncthreads_or": int(count > 0),
        }[first.kind]
    run.block.epoch += 1
    for thread in live:
        thread.answer, thread.kind = answer, ""
    return live


def pass_warp(run: Run, warp: list[Thread], mask: int, members: list[Thread]) -> list[Thread]:
    """Lets the lanes of a mask pass the instruction at which they wait, if all are there."""
    first = members[0]
    if len(members) < len(warp) or mask != (1 << len(warp)) - 1:
        for thread in members:
            if not mask >> thread.lane & 1:
                other = f"mask {mask:#010x} does not name the lane {thread.lane} itself"
                run.fault("shuffle mask", thread, other, fatal=True)
        named = [thread for thread in warp if mask >> thread.lane & 1]
        if len(members) < sum(not thread.done for thread in named):
            return []
        for ended in (thread for thread in named if thread.done and run.checked):
            other = f"mask {mask:#010x} names thread {tuple(ended.index)}, which has ended"
            run.fault("shuffle mask", first, other)
    for thread in members:
        if thread.kind != first.kind or (run.checked and thread.place != first.place):
            other = f"thread {tuple(first.index)} is at line {first.line}, cuda.{first.kind}"
            run.fault("shuffle mask", thread, other, fatal=thread.kind != first.kind)
    if run.checked and first.kind == "syncwarp":
        meet(members)
    if first.kind.startswith("shfl"):
        shuffle(run, members)
    else:
        vote(first.kind, members)
    for thread in members:
        thread.kind = ""
    return members


def shuffle(run: Run, members: list[Thread]) -> None:
    """Gives each lane the value of the lane it asks."""
    values = {thread.lane: thread.value for thread in members}
    for thread in members:
        if thread.source in values:
            thread.answer = values[thread.source]
            continue
        if run.checked:
            other = f"lane {thread.source}, from which it reads, is not there"
            run.fault("shuffle mask", thread, other)
        own = thread.value
        thread.answer = 0x5BD1E995 if isinstance(own, int) else type(own)(np.nan)


def vote(kind: str, members: list[Thread]) -> None:
    """Gives each lane what `kind` tells of the values of all."""
    values = {thread.lane: thread.value for thread in members}
    yes = [lane for lane, value in values.items() if value]
    everyone = sum(1 << lane for lane in values)
    alike: dict[int, int] = {}
    if kind.startswith("match"):
        for lane, value in values.items():
            alike[lane] = sum(1 << each for each, other in values.items() if other == value)
    for thread in members:
        own = alike.get(thread.lane, 0)
        thread.answer = {
            "syncwarp": None,
            "all_sync": len(yes) == len(values),
            "any_sync": len(yes) > 0,
            "eq_sync": len(yes) in (0, len(values)),
            "ballot_sync": _int32(sum(1 << lane for lane in yes)),
            "match_any_sync": _int32(own),
            "match_all_sync": (_int32(own), True) if own == everyone else (0, False),
        }[kind]


def stuck(run: Run, live: list[Thread]) -> None:
    """Raises the error of threads that wait for each other, and for nothing that can happen."""
    for thread in live:
        if thread.kind in _BARRIERS:
            continue
        start = thread.number - thread.lane
        for other in run.block.threads[start : start + 32]:
            if not thread.mask >> other.lane & 1 or other.done:
                continue
            if (other.kind, other.mask) != (thread.kind, thread.mask):
                text = (
                    f"mask {thread.mask:#010x} names thread {tuple(other.index)}, which waits at "
                    f"line {other.line}"
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


def _int32(bits: int) -> int:
    return bits - (1 << 32) if bits >> 31 else bits
