"""Where mutants are looked for: calls of records at drawn points, as plain functions of arrays.

A `Site` is a function with arrays to call it with. It gives what every checker asks for: the value,
and the gradients for an upstream gradient (`vjp`), and the gradients of these (`second`), computed
by the engine with whatever is planted in it. Memory is shared with the caller, so that a VJP that
changes what it is given is seen to do so.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.engine.calls import Call, ElementwiseCall, broadcasts_of, calls_of, kinks_of
from chainrule.engine.record import Record
from chainrule.engine.tensor import Tensor
from chainrule.engine.transforms import grad

from .plant import CHOOSING, PAIRED, Mutant, has_ties

Array = np.ndarray[Any, Any]

#: Two gradients are the same if they differ by rounding only: relative to the larger of the
#: largest entry and 1. (The smallest fault planted is a relative error of 3e-8.)
ROUNDING = 1e-11


def sharing(array: Array, requires_grad: bool = False) -> Tensor:
    """A Tensor of that very memory."""
    tensor = Tensor(0.0)
    tensor._data = array
    tensor.requires_grad = requires_grad
    return tensor


@dataclass(frozen=True)
class Site:
    """A function of Tensors and the point at which its gradient is looked at."""

    name: str
    function: Callable[..., Any]
    arrays: tuple[Array, ...]

    def __repr__(self) -> str:
        return self.name

    def copies(self) -> list[Array]:
        """The point, to be changed at will."""
        return [np.array(each) for each in self.arrays]

    def value(self, *arrays: Array) -> Array:
        """The value of the function."""
        return np.asarray(self.function(*map(sharing, arrays)).numpy())

    def vjp(self, g: Array, *arrays: Array) -> list[Array]:
        """The gradients of <g, value>, one per array."""
        tensors = [sharing(each, True) for each in arrays]
        result = self.function(*tensors)
        if not result.requires_grad:
            return [np.zeros_like(each) for each in arrays]
        result.backward(sharing(np.asarray(g)))
        return [
            np.zeros_like(a) if t.grad is None else t.grad._data
            for t, a in zip(tensors, arrays, strict=True)
        ]

    def second(self, u: Sequence[Array], g: Array, *arrays: Array) -> list[Array]:
        """The gradients of Σ <u_i, vjp_i(g, arrays)> with respect to g and to the arrays."""
        tensors = [sharing(np.asarray(each), True) for each in (g, *arrays)]
        result = self.function(*tensors[1:])
        if not result.requires_grad:
            return [np.zeros(each.shape) for each in tensors]
        first = grad([result], tensors[1:], [tensors[0]], create_graph=True, allow_unused=True)
        outputs = [(each, w) for each, w in zip(first, u, strict=True) if each.requires_grad]
        if not outputs:
            return [np.zeros(each.shape) for each in tensors]
        found = grad(
            [each for each, _ in outputs],
            tensors,
            [sharing(np.asarray(w)) for _, w in outputs],
            allow_unused=True,
        )
        return [each.numpy() for each in found]


# Points -------------------------------------------------------------------------------------


def sites_of(record: Record, seed: int = 0) -> list[Site]:
    """The record's own cases, at drawn points; empty results and constants are left out."""
    found = []
    for call in (*calls_of(record), *broadcasts_of(record)):
        arrays = tuple(call.draw(seed))
        if arrays and any(each.size for each in arrays):
            found.append(Site(f"{call!r}, seed {seed}", call, arrays))
    return found


def tied_sites_of(record: Record, seed: int = 0) -> list[Site]:
    """The record's own cases, at points with ties or on kinks."""
    if not has_ties(record):
        return []
    rng = np.random.default_rng(seed)
    found = []
    for call in (*calls_of(record), *broadcasts_of(record)):
        arrays = [np.array(each) for each in call.draw(seed)]
        if not arrays or not any(each.size for each in arrays):
            continue
        if record.name in PAIRED:
            if len(arrays) != 2:
                continue
            arrays = [rng.choice([-1.0, 1.0], each.shape) for each in arrays]
            kinks = [PAIRED[record.name](*arrays)]
        elif record.name in CHOOSING:
            arrays = [rng.integers(0, 2, each.shape).astype(float) for each in arrays]
            kinks = []
        else:
            static = call.case.static if isinstance(call, Call) else {}
            at = rng.choice(kinks_of(record, static), arrays[0].shape)
            arrays = [np.where(rng.uniform(size=at.shape) < 0.7, at, arrays[0])]
            kinks = []
        if not kinks or np.any(kinks[0] == 0):
            name = f"{call!r}, tied, seed {seed}"
            found.append(Site(name, call, tuple(np.asarray(each) for each in arrays)))
    return found


# Equivalence --------------------------------------------------------------------------------


def upstreams(shape: tuple[int, ...], seed: int) -> Iterator[Array]:
    """Upstream gradients: random and signed; of one sign; broadcast; transposed in memory."""
    rng = np.random.default_rng(seed)
    g = rng.normal(size=shape)
    yield g
    yield -abs(g)
    yield np.broadcast_to(np.array(1.7), shape)
    yield np.array(g.T, order="C").T


def observe(site: Site, second: bool) -> Iterator[Array]:
    """All that can be seen of the gradients at a site, one array after the other."""
    shape = site.value(*site.copies()).shape
    if second:
        rng = np.random.default_rng(2)
        u = [rng.normal(size=each.shape) for each in site.arrays]
        yield from site.second(u, rng.normal(size=shape), *site.copies())
        return
    for g in upstreams(shape, 1):
        arrays, upstream = site.copies(), g if not g.flags.writeable else g.copy(order="K")
        first = site.vjp(upstream, *arrays)
        yield from [np.array(each) for each in first]
        yield from site.vjp(upstream, *arrays)
        site.vjp(np.full(shape, 0.3), *arrays)
        # What was returned first, and what was given, as it is now.
        yield from (*first, np.array(upstream), *arrays)


def same(a: Array, b: Array) -> bool:
    """Is one what the other is, to rounding?"""
    scale = max(1.0, float(np.max(np.abs(b), initial=0.0)))
    return a.shape == b.shape and bool(np.all(np.abs(a - b) <= ROUNDING * scale))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without warnings: wrong gradients overflow, and that is no error of ours."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


@dataclass
class Evidence:
    """Of each site: what is seen there when nothing is planted."""

    second: bool
    seen: dict[int, list[Array]]

    @classmethod
    def of(cls, sites: Sequence[Site], second: bool) -> Evidence:
        """Looks at the sites; nothing must be planted."""
        return cls(second, {id(site): [*map(np.array, observe(site, second))] for site in sites})

    def against(self, mutant: Mutant, site: Site, warm: Sequence[Array] | None = None) -> bool:
        """Is the mutant to be seen at the site? An error that it raises counts."""
        with mutant.planted(), quiet():
            warm_up(site, warm)
            try:
                pairs = zip(observe(site, self.second), self.seen[id(site)], strict=True)
                return not all(same(a, b) for a, b in pairs)
            except Exception:
                return True


def warm_up(site: Site, arrays: Sequence[Array] | None) -> None:
    """An earlier call at another point, of which a VJP may have kept something."""
    if arrays is None:
        return
    try:
        shape = site.value(*arrays).shape
        site.vjp(np.ones(shape), *[np.array(each) for each in arrays])
    except Exception:
        return


def other_points(record: Record, sites: Sequence[Site], seed: int) -> dict[int, list[Array]]:
    """Of each site, another point of the same call."""
    others: dict[int, list[Array]] = {}
    for site in sites:
        if isinstance(site.function, (Call, ElementwiseCall)):
            others[id(site)] = site.function.draw(seed)
    return others
