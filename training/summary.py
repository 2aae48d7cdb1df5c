"""The table of a model's layers: output shapes, parameters, and their totals with bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from chainrule.engine.creation import ones
from chainrule.engine.tape import no_grad
from chainrule.engine.tensor import Tensor
from chainrule.layers.layer import Shape, shape_of

from .inputs import known, mapped_shapes
from .listening import listening
from .progress import display_width

NARROWEST = 65  # columns of the table, as in Keras; it grows where names are long
UNKNOWN = "?"


def format_bytes(count: int) -> str:
    """Text of an amount of memory, in units of 1024.

    >>> [format_bytes(n) for n in (0, 1000, 1_224_040, 5 * 1024**3)]
    ['0.00 B', '1000.00 B', '1.17 MB', '5.00 GB']
    """
    number = float(count)
    for unit in ("B", "KB", "MB"):
        if number < 1024:
            return f"{number:.2f} {unit}"
        number /= 1024
    return f"{number:.2f} GB"


def format_shape(shape: Sequence[int | None] | None) -> str:
    """Text of a shape; the batch is None, an unknown shape is a question mark.

    >>> format_shape((None, 10)), format_shape(None)
    ('(None, 10)', '?')
    """
    return UNKNOWN if shape is None else str(tuple(shape))


@dataclass
class Row:
    """One layer: its name and kind, its output shape and the number of its weights.

    `shape` and `count` are None as long as the layer is not built.
    """

    name: str
    kind: str
    shape: Sequence[int | None] | None
    count: int | None


def output_shapes(model: Any) -> dict[int, Shape]:
    """What each layer within a built model returns for a sample, by its id; {} if unknown."""
    if not known(model.built_for):
        return {}
    dtype = "int64" if model.keeps_integers else model.dtype
    shapes: dict[int, Shape] = {}

    def hear(layer: Any, result: Any) -> None:
        """Notes the shape of the result, or of the first of several."""
        first = result if isinstance(result, Tensor) else result[0]
        shapes.setdefault(id(layer), shape_of(first))

    x = mapped_shapes(
        lambda shape: ones((1, *shape[1:]), dtype, device=model.device), model.built_for
    )
    with listening(hear), no_grad():
        model(x, training=False)
    return shapes


def summary_text(
    title: str, rows: Iterable[Row], trainable: Sequence[Tensor], fixed: Sequence[Tensor]
) -> str:
    """The table, as lines.

    Arguments:
        title: name of the model.
        rows: its layers.
        trainable: the weights that are trained, each once.
        fixed: the others: frozen parameters and what is learnt without gradients.

    >>> print(summary_text("tiny", [Row("dense", "Dense", (None, 2), 6)], [Tensor([0.5] * 6)], []))
    Model: "tiny"
    _________________________________________________________________
     Layer (type)                  Output Shape             Param #
    =================================================================
     dense (Dense)                 (None, 2)                6
    =================================================================
    Total params: 6 (48.00 B)
    Trainable params: 6 (48.00 B)
    Non-trainable params: 0 (0.00 B)
    _________________________________________________________________
    """
    cells = [("Layer (type)", "Output Shape", "Param #")]
    unbuilt = False
    for row in rows:
        count = UNKNOWN if row.count is None else f"{row.count:,}"
        unbuilt |= row.count is None
        cells.append((f"{row.name} ({row.kind})", format_shape(row.shape), count))
    widths = [max(map(display_width, column)) + 2 for column in zip(*cells, strict=True)]
    widths = [max(width, least) for width, least in zip(widths, (30, 25, 9), strict=True)]
    length = max(NARROWEST, 1 + sum(widths))
    lines = [" " + "".join(map(_padded, line, widths)).rstrip() for line in cells]
    thin, thick = "_" * length, "=" * length
    totals = [
        ("Total params", (*trainable, *fixed)),
        ("Trainable params", trainable),
        ("Non-trainable params", fixed),
    ]
    ending = [f"{label}: {_total(weights)}" for label, weights in totals]
    if unbuilt:
        ending = ["Total params: ? (the model is not built: call it, fit it or build(input_shape))"]
    return "\n".join([f'Model: "{title}"', thin, lines[0], thick, *lines[1:], thick, *ending, thin])


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - display_width(cell))


def _total(weights: Sequence[Tensor]) -> str:
    size = sum(weight.size for weight in weights)
    return f"{size:,} ({format_bytes(sum(each.size * each.dtype.itemsize for each in weights))})"
