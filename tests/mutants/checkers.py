"""The checkers that the mutants are shown to: ours, and others of which each has its settings.

Each is a function of a `Site` that raises where it finds a gradient wrong. None is told what is
planted. The others see the same function and the same VJP, wrapped as their users would wrap it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

import chainrule as cr

from .sites import Array, Site, quiet


class WrongError(AssertionError):
    """A checker says that a gradient is wrong."""


@dataclass(frozen=True)
class Checker:
    """A checker.

    Attributes: `name`, the head of its column; `first` checks first derivatives, `second` both,
    where it has a way to (None: it has none); `package`, what must be installed; `settings`, said
    below the table; `ours`.
    """

    name: str
    first: Callable[[Site], None]
    second: Callable[[Site], None] | None
    settings: str
    package: str = ""
    ours: bool = False

    @property
    def installed(self) -> bool:
        """Can it be run here?"""
        return not self.package or importlib.util.find_spec(self.package) is not None

    @property
    def version(self) -> str:
        """The version of its package, with its name."""
        return f"{self.package} {importlib.metadata.version(self.package)}" if self.package else ""

    def finds(self, site: Site, order: int) -> bool:
        """Does it find something wrong? It is asked for derivatives up to an order."""
        check = self.second if order == 2 and self.second is not None else self.first
        try:
            with quiet():
                check(site)
        except Exception:
            return True
        return False


# Ours ---------------------------------------------------------------------------------------


def ours(order: int) -> Callable[[Site], None]:
    """`cr.gradcheck` on the function of Tensors."""

    def check(site: Site) -> None:
        report = cr.gradcheck(site.function, *site.copies(), order=order)
        if not report.ok:
            raise WrongError(str(report))

    return check


def ours_plain(site: Site) -> None:
    """`cr.gradcheck` on the pair of plain functions, as the others see it."""
    report = cr.gradcheck(site.value, *site.copies(), vjp=site.vjp)
    if not report.ok:
        raise WrongError(str(report))


# PyTorch ------------------------------------------------------------------------------------


def as_torch(site: Site) -> tuple[Callable[..., Any], list[Any]]:
    """The site as a function of PyTorch's tensors, twice differentiable, and its inputs."""
    import torch

    def tensor(array: Any) -> Any:
        array = np.asarray(array)
        if not array.size:  # NumPy may give it strides of 0, which PyTorch refuses
            return torch.zeros(array.shape, dtype=torch.float64)
        return torch.from_numpy(array if array.flags.writeable else array.copy())

    def arrays(tensors: Any) -> list[Array]:
        return [each.detach().numpy() for each in tensors]

    class Backward(torch.autograd.Function):  # type: ignore[misc, unused-ignore]
        @staticmethod
        def forward(ctx: Any, g: Any, *x: Any) -> Any:
            ctx.save_for_backward(g, *x)
            return tuple(map(tensor, site.vjp(*arrays([g, *x]))))

        @staticmethod
        def backward(ctx: Any, *u: Any) -> Any:
            g, *x = arrays(ctx.saved_tensors)
            return tuple(map(tensor, site.second(arrays(u), g, *x)))

    class Forward(torch.autograd.Function):  # type: ignore[misc, unused-ignore]
        @staticmethod
        def forward(ctx: Any, *x: Any) -> Any:
            ctx.save_for_backward(*x)
            return tensor(np.array(site.value(*arrays(x))))

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return Backward.apply(g, *ctx.saved_tensors)

    inputs = [tensor(each).requires_grad_() for each in site.copies()]
    return Forward.apply, inputs


def torch_check(fast: bool, second: bool) -> Callable[[Site], None]:
    """`torch.autograd.gradcheck`, and `gradgradcheck` too."""

    def check(site: Site) -> None:
        import torch

        torch.manual_seed(0)
        function, inputs = as_torch(site)
        torch.autograd.gradcheck(function, inputs, fast_mode=fast)
        if second:
            torch.autograd.gradgradcheck(function, inputs, fast_mode=fast)

    return check


# autograd -----------------------------------------------------------------------------------


def autograd_check(order: int) -> Callable[[Site], None]:
    """`autograd.test_util.check_grads`, reverse mode."""

    def check(site: Site) -> None:
        from autograd.extend import defvjp, primitive
        from autograd.test_util import check_grads

        count = len(site.arrays)
        function = primitive(lambda *x: np.array(site.value(*map(np.asarray, x))))

        def pullback(i: int) -> Any:
            back = primitive(lambda g, *x: np.array(site.vjp(*map(np.asarray, (g, *x)))[i]))

            def second(j: int) -> Any:
                def maker(ans: Any, g: Any, *x: Any) -> Any:
                    def of(u: Any) -> Any:
                        weights = [np.zeros(np.shape(each)) for each in x]
                        weights[i] = np.asarray(u)
                        return site.second(weights, *map(np.asarray, (g, *x)))[j]

                    return of

                return maker

            defvjp(back, *[second(j) for j in range(count + 1)])
            return lambda ans, *x: lambda g: back(g, *x)

        defvjp(function, *[pullback(i) for i in range(count)])
        state = np.random.get_state()
        np.random.seed(0)
        try:
            check_grads(function, tuple(range(count)), modes=["rev"], order=order)(*site.copies())
        finally:
            np.random.set_state(state)

    return check


# Checkers of a kind, a few lines each -------------------------------------------------------


def differences(site: Site, g: Array, step: float) -> Iterator[Array]:
    """The gradients of <g, value> by central differences, entry by entry."""
    for i, array in enumerate(site.arrays):
        slopes = np.zeros(array.shape)
        for index in np.ndindex(array.shape):
            ends = []
            for signed in (step, -step):
                moved = site.copies()
                moved[i][index] += signed
                ends.append(float(np.sum(site.value(*moved) * g)))
            slopes[index] = (ends[0] - ends[1]) / (2 * step)
        yield slopes


def mygrad_kind(site: Site) -> None:
    """As MyGrad's own tests do it: a random upstream gradient, each entry, nothing changed."""
    arrays = site.copies()
    g = np.random.default_rng(0).uniform(-10, 10, np.shape(site.value(*arrays)))
    upstream = g.copy()
    found = site.vjp(upstream, *arrays)
    for ours, numeric in zip(found, differences(site, g, 1e-5), strict=True):
        assert_allclose(ours, numeric, rtol=1e-6, atol=1e-6)
    for i, each in enumerate(found):
        others = [*found[:i], upstream]
        assert not any(np.shares_memory(each, other) for other in others)
    assert_array_equal(upstream, g)
    for now, then in zip(arrays, site.arrays, strict=True):
        assert_array_equal(now, then)


def ones_kind(bound: float) -> Callable[[Site], None]:
    """As in Stanford's CS231n: the gradient of the sum, step 1e-5, relative error below a bound."""

    def check(site: Site) -> None:
        arrays = site.copies()
        g = np.ones(np.shape(site.value(*arrays)))
        for ours, numeric in zip(site.vjp(g, *arrays), differences(site, g, 1e-5), strict=True):
            assert np.shape(ours) == np.shape(numeric)
            error = np.abs(ours - numeric) / np.maximum(1e-8, np.abs(ours) + np.abs(numeric))
            assert np.all(error < bound), f"relative error {np.max(error)}"

    return check


CHECKERS = [
    Checker("cr.gradcheck", ours(1), ours(2), "as it comes; order=2 for faults of second order",
            ours=True),
    Checker("cr.gradcheck, vjp=", ours_plain, None,
            "as it comes, on the same pair of plain functions as the others; these compute with "
            "Tensors inside, so that neither the complex step nor the watching of ties and "
            "branches reaches them", ours=True),
    Checker("PyTorch", torch_check(False, False), torch_check(False, True),
            "gradcheck as it comes (eps=1e-6, atol=1e-5, rtol=1e-3), float64; for faults of second "
            "order gradgradcheck too", "torch"),
    Checker("PyTorch, fast", torch_check(True, False), torch_check(True, True),
            "the same with fast_mode=True", "torch"),
    Checker("autograd", autograd_check(2), autograd_check(2),
            'check_grads(modes=["rev"]) as it comes (order=2: second derivatives always), NumPy\'s '
            "generator seeded with 0", "autograd"),
    Checker("MyGrad's kind", mygrad_kind, None,
            "a checker of that kind, written here after tests/wrappers/uber.py of MyGrad, which "
            "publishes none: one random upstream gradient from (-10, 10), every entry, inputs and "
            "upstream gradient unchanged and unshared; central differences with step 1e-5 (MyGrad: "
            "the complex step, which the functions here do not take) and rtol=atol=1e-6 (MyGrad: "
            "1e-8)"),
    Checker("ones, 1e-2", ones_kind(1e-2), None,
            "a checker of CS231n's kind, written here: the gradient of the sum of the result, "
            "central differences with step 1e-5, every entry's relative error below 1e-2"),
    Checker("ones, 1e-7", ones_kind(1e-7), None, "the same, below 1e-7"),
]  # fmt: skip


def installed() -> list[Checker]:
    """The checkers that can be run here."""
    return [each for each in CHECKERS if each.installed and (not each.ours or _ours_is_there())]


def _ours_is_there() -> bool:
    return hasattr(cr, "gradcheck")
