"""The weights of PyTorch's layers, put into ours; and a comparison of all that both compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import chainrule as cr

Array = np.ndarray[Any, Any]

#: Of the largest entry: roundings of a few hundred terms, in another order.
TOLERANCES = {"float64": 1e-9, "float32": 1e-4}


def flat(theirs: Any, prefix: str = "") -> dict[str, Any]:
    """PyTorch's parameters under our names, as functions that pick out of them."""
    name = type(theirs).__name__
    if name == "MultiheadAttention":
        width = theirs.embed_dim
        names = [f"{prefix}{each}" for each in ("query", "key", "value")]
        found: dict[str, Any] = {}
        for i, each in enumerate(names):
            rows = slice(i * width, (i + 1) * width)
            if theirs.in_proj_weight is None:
                own = (theirs.q_proj_weight, theirs.k_proj_weight, theirs.v_proj_weight)[i]
                found[f"{each}_kernel"] = (own, lambda w: w.T)
            else:
                pick = lambda w, rows=rows: w[rows].T  # noqa: E731
                found[f"{each}_kernel"] = (theirs.in_proj_weight, pick)
            if theirs.in_proj_bias is not None:
                found[f"{each}_bias"] = (theirs.in_proj_bias, lambda b, rows=rows: b[rows])
        found[f"{prefix}output_kernel"] = (theirs.out_proj.weight, lambda w: w.T)
        if theirs.out_proj.bias is not None:
            found[f"{prefix}output_bias"] = (theirs.out_proj.bias, lambda b: b)
        return found
    if name == "Linear":
        return {
            f"{prefix}kernel": (theirs.weight, lambda w: w.T),
            f"{prefix}bias": (theirs.bias, lambda b: b),
        }
    return {
        f"{prefix}gamma": (theirs.weight, lambda w: w.reshape(-1) if w.ndim > 2 else w),
        f"{prefix}beta": (theirs.bias, lambda b: b.reshape(-1) if b.ndim > 2 else b),
    }


def values(theirs: Mapping[str, Any], gradients: bool = False) -> dict[str, Array]:
    """The numbers of parameters, or of their gradients."""
    return {
        name: np.asarray(pick((each.grad if gradients else each).detach().numpy()))
        for name, (each, pick) in theirs.items()
    }


def load(layer: Any, theirs: Mapping[str, Any]) -> None:
    """Puts parameters into a built layer, under the same names."""
    ours = dict(layer.named_parameters())
    assert set(ours) == set(theirs)
    for name, value in values(theirs).items():
        ours[name].assign(value)


def compare(
    call: Callable[..., Any],
    their_call: Callable[..., Any],
    layer: Any,
    theirs: Mapping[str, Any],
    arrays: Sequence[Array],
    dtype: str,
) -> None:
    """Outputs, gradients of the inputs, and of all parameters, for a random upstream gradient."""
    import torch

    inputs = [cr.tensor(each.astype(dtype), requires_grad=True) for each in arrays]
    call(*inputs)  # builds it
    load(layer, theirs)
    result = call(*inputs)
    their_inputs = [torch.tensor(each.astype(dtype), requires_grad=True) for each in arrays]
    expected = their_call(*their_inputs)
    upstream = np.random.default_rng(5).normal(size=result.shape).astype(dtype)
    result.backward(upstream)
    expected.backward(torch.tensor(upstream))

    def close(what: str, found: Array, right: Array) -> None:
        assert found.dtype == np.dtype(dtype), what
        scale = max(1.0, float(np.abs(right).max()))
        np.testing.assert_allclose(
            found, right, rtol=0, atol=TOLERANCES[dtype] * scale, err_msg=what
        )

    close("result", result.numpy(), expected.detach().numpy())
    for i, (one, other) in enumerate(zip(inputs, their_inputs, strict=True)):
        close(f"gradient of input {i}", one.grad.numpy(), other.grad.numpy())
    right = values(theirs, gradients=True)
    for name, weight in layer.named_parameters():
        close(f"gradient of {name}", weight.grad.numpy(), right[name])
