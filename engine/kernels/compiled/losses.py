"""Cross-entropies of softmax: loss and slopes of a row while it is in the cache, rows shared.

Maxima are taken in lanes, since LLVM makes vector instructions of a maximum only where there is no
NaN. One that is passed over comes back in the sum of the exponentials.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numba
import numpy as np

from .building import CONTRACTED, array, build, scalar
from .elementary import exp
from .intrinsics import address, address_of, field, pack, vector
from .products import share
from .threads import fork_join, parts, pool

#: Numbers that are compared side by side.
LANES = 16
#: What an element costs, for deciding about threads: an exponential above all.
WORK = 16

body = numba.njit(error_model="numpy", fastmath=set(CONTRACTED))
summing = numba.njit(error_model="numpy", fastmath={*CONTRACTED, "reassoc"})


@body
def _largest(row: Any, best: Any) -> Any:
    """The largest number of a row; `best` is memory for LANES numbers."""
    best[:] = -np.inf
    whole = row.size - row.size % LANES
    for start in range(0, whole, LANES):
        for lane in range(LANES):
            x = row[start + lane]
            best[lane] = x if x > best[lane] else best[lane]
    result = best[0]
    for lane in range(1, LANES):
        result = best[lane] if best[lane] > result else result
    for i in range(whole, row.size):
        result = row[i] if row[i] > result else result
    return result


@summing
def _total(zero: Any, row: Any) -> Any:
    total = zero
    for i in range(row.size):
        total += row[i]
    return total


@body
def _sparse_rows(kind: Any, task: int, chunk: int) -> None:
    rows, classes, step = field(task, 0), field(task, 1), field(task, 2)
    top, bottom = share(rows, field(task, 3), chunk, 1)
    labels, losses = vector(0, field(task, 5), rows), vector(kind, field(task, 6), rows)
    best = np.full(LANES, kind)
    for row in range(top, bottom):
        logits = vector(kind, field(task, 4) + row * step, classes)
        slopes = vector(kind, field(task, 7) + row * step, classes)
        largest = _largest(logits, best)
        for i in range(classes):
            slopes[i] = exp(logits[i] - largest)
        total, label = _total(kind, slopes), labels[row]
        for i in range(classes):
            slopes[i] /= total
        slopes[label] -= type(kind)(1)
        losses[row] = type(kind)(math.log(total)) - (logits[label] - largest)


@body
def _dense_rows(kind: Any, task: int, chunk: int) -> None:
    rows, classes, step = field(task, 0), field(task, 1), field(task, 2)
    top, bottom = share(rows, field(task, 3), chunk, 1)
    losses, best = vector(kind, field(task, 6), rows), np.full(LANES, kind)
    for row in range(top, bottom):
        logits = vector(kind, field(task, 4) + row * step, classes)
        targets = vector(kind, field(task, 5) + row * step, classes)
        logs = vector(kind, field(task, 7) + row * step, classes)
        largest = _largest(logits, best)
        for i in range(classes):
            logs[i] = exp(logits[i] - largest)
        log = type(kind)(math.log(_total(kind, logs)))
        for i in range(classes):
            logs[i] = targets[i] * (kind if targets[i] == kind else logits[i] - largest - log)
        losses[row] = -_total(kind, logs)
        for i in range(classes):
            logs[i] = logits[i] - largest - log


@body
def _pulled_rows(kind: Any, task: int, chunk: int) -> None:
    rows, classes, step = field(task, 0), field(task, 1), field(task, 2)
    top, bottom = share(rows, field(task, 3), chunk, 1)
    g = vector(kind, field(task, 4), rows)
    for row in range(top, bottom):
        logs = vector(kind, field(task, 5) + row * step, classes)
        targets = vector(kind, field(task, 6) + row * step, classes)
        result = vector(kind, field(task, 7) + row * step, classes)
        mass, upstream = _total(kind, targets), g[row]
        for i in range(classes):
            result[i] = upstream * (exp(logs[i]) * mass - targets[i])


def _sparse(pool: int, kind: Any, logits: Any, labels: Any, losses: Any, slopes: Any) -> None:
    chunks = parts(pool, WORK * logits.size)
    head = (logits.shape[0], logits.shape[1], logits.strides[0], chunks)
    task = pack((*head, address(logits), address(labels), address(losses), address(slopes)))
    fork_join(pool, address_of(_sparse_rows, kind), task, chunks)


def _dense(pool: int, kind: Any, logits: Any, targets: Any, losses: Any, logs: Any) -> None:
    chunks = parts(pool, WORK * logits.size)
    head = (logits.shape[0], logits.shape[1], logits.strides[0], chunks)
    task = pack((*head, address(logits), address(targets), address(losses), address(logs)))
    fork_join(pool, address_of(_dense_rows, kind), task, chunks)


def _pulled(pool: int, kind: Any, g: Any, logs: Any, targets: Any, result: Any) -> None:
    chunks = parts(pool, WORK * logs.size)
    head = (logs.shape[0], logs.shape[1], logs.strides[0], chunks)
    task = pack((*head, address(g), address(logs), address(targets), address(result)))
    fork_join(pool, address_of(_pulled_rows, kind), task, chunks)


@functools.cache
def compiled(name: str, dtype: Any) -> Any:
    """A kernel for contiguous arrays of a dtype, (rows, classes) or (rows,).

    `name` is "sparse", of (logits, labels, losses, slopes), "dense", of (logits, targets, losses,
    log_probabilities), or "pulled", of (g, log_probabilities, targets, result). They write to the
    arrays from the third on, "pulled" to the last; labels are int64 and within the classes.
    """
    read, written = array(dtype, 2), array(dtype, 2, written=True)
    row, losses = array(dtype), array(dtype, written=True)
    kinds = {
        "sparse": (_sparse, (read, array("int64"), losses, written)),
        "dense": (_dense, (read, read, losses, written)),
        "pulled": (_pulled, (row, read, read, written)),
    }
    function, arrays = kinds[name]
    machine, kind = build(function, (numba.intp, scalar(dtype), *arrays)), dtype.type(0)

    def run(*arguments: Any) -> None:
        machine(pool(), kind, *arguments)

    return run
