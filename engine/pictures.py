"""The graph of a tensor as a picture, in SVG, made without another program: `draw_graph`."""

from __future__ import annotations

import html
import math
import os
import re
import secrets
import unicodedata
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from .folding import Box, fold
from .graphs import Graph, arguments, freed, to_numpy
from .layout import Layout, Place, arrange
from .tape import Node
from .tensor import Tensor

#: No more nodes than this are looked at; what is older is one box.
NODES = 3000
#: A notebook shows gradients by itself only of graphs with at most so many elements.
ELEMENTS = 4_000_000
#: Of a monospaced font of 12 pixels, the widest in use are 7.3 pixels a sign.
SIGN, BOLD, LINE, PADDING = 7.3, 7.8, 16.0, 9.0
LONGEST = 44

FILLS = {
    "operation": ("#d9e6f2", "#7d9bb8"),
    "leaf": ("#f9dcdc", "#c98a8a"),
    "layer": ("#e4e0f2", "#8f86b3"),
    "earlier": ("#eeeeee", "#999999"),
}
COLOURS = {"title": "#111111", "text": "#333333", "gradient": "#a61c00"}


class Picture:
    """A drawn graph: a notebook shows it, `.svg` is its text, `.save(path)` writes a file."""

    def __init__(self, svg: str) -> None:
        self.svg = svg

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<picture of a graph: {len(self.svg)} characters of SVG>"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the picture to a file, which appears only once all of it is on the disk.

        Raises OSError if it cannot be written.
        """
        target = Path(os.path.realpath(path))
        temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.tmp")
        try:
            with open(temporary, "x", encoding="utf-8") as file:
                file.write(self.svg)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except OSError as error:
            told = f"save: cannot write {str(path)!r} ({error.strerror}): choose another path"
            explained = type(error)(told)
            explained.errno = error.errno
            raise explained from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def draw_graph(
    tensor: Tensor, values: bool = True, names: Any = None, gradient: Any = None
) -> Picture:
    """The graph from which a tensor was computed, drawn from its inputs down to the tensor.

    Operations are blue, tensors made with `requires_grad=True` red. Each box says shape and dtype
    and, with `values`, its value (of a larger array from the least to the greatest element) and,
    in red, its gradient. Values that no operation kept are missing; so are gradients if the tensor
    has not one element and `gradient` is not given. Of more than 40 nodes, those of a layer are one
    box, alike layers in a row one box too; what is left out at the far end is counted.

    Arguments: `tensor`, the result; `values`: with the numbers? `names`, a mapping from tensors to
    names (or from names to tensors), or a layer or model; `gradient`, the upstream gradient.

    Nothing changes: the graph is kept, no `.grad` is written, no hook is called. A notebook draws
    a computed tensor by itself.

    Raises DtypeError for what is no Tensor, and for names that are none; GradientError for a tensor
    that was not computed while recording, for a graph that was freed, and with values for one of
    which something was changed in place; ShapeError for a `gradient` that does not fit.

    >>> import chainrule as cr
    >>> w = cr.tensor([1.0, -2.0], requires_grad=True)
    >>> picture = cr.draw_graph((w * w).sum(), names={"w": w})
    >>> picture.svg.count("<rect"), "gradient [2, -4]" in picture.svg
    (3, True)
    """
    graph = Graph(tensor, "draw_graph", names, limit=NODES)
    gradients: dict[Node, Any] = {}
    if values and (gradient is not None or math.prod(graph.root.shape) == 1):
        gradients = _gradients(graph, gradient)
    return Picture(_svg(graph, graph.values() if values else {}, gradients))


def _gradients(graph: Graph, gradient: Any) -> dict[Node, Any]:
    """The gradients of a graph; none of one of which a part was freed."""
    return {} if any(map(freed, graph.nodes)) else graph.gradients(gradient)


def shown(tensor: Tensor) -> str | None:
    """The picture that a notebook shows of a computed tensor; None if there is no graph.

    >>> import chainrule as cr
    >>> cr.tensor(1.0)._repr_svg_() is None
    True
    """
    node = tensor._node
    if node is None or node.plan is None or freed(node):
        return None
    graph = Graph(tensor, "draw_graph", limit=NODES)
    gradients: dict[Node, Any] = {}
    size = sum(math.prod(each.shape) for each in graph.nodes)
    if math.prod(node.shape) == 1 and size <= ELEMENTS:
        with suppress(Exception):  # whatever a user's VJP raises, the tensor can be shown
            gradients = _gradients(graph, None)
    return _svg(graph, graph.values() if size <= ELEMENTS else {node: tensor._data}, gradients)


# What a box says --------------------------------------------------------------------------------


def _svg(graph: Graph, values: dict[Node, Any], gradients: dict[Node, Any]) -> str:
    boxes = fold(graph)
    texts = [_texts(graph, box, values, gradients) for box in boxes]
    sizes = [
        (max(_width(text, kind) for text, kind in each) + 2 * PADDING, LINE * len(each) + PADDING)
        for each in texts
    ]
    index = {id(box): i for i, box in enumerate(boxes)}
    inputs = [[index[id(each)] for each in box.inputs] for box in boxes]
    return _drawn(boxes, texts, inputs, arrange(sizes, inputs), graph.root)


def _texts(
    graph: Graph, box: Box, values: dict[Node, Any], gradients: dict[Node, Any]
) -> list[tuple[str, str]]:
    """The lines of a box, each with its kind."""
    if box.kind == "earlier":
        return [("…", "title"), (f"{box.count:,} earlier nodes", "text")]
    node = box.nodes[-1]
    given = {tensor._node: name for name, tensor in graph.names}
    lines = [(_title(graph, box, given), "title")]
    if box.kind == "layer":
        count = f"{len(box.nodes):,} operation{'s' * (len(box.nodes) > 1)}"
        weights = sum(math.prod(each.shape) for each in box.leaves)
        lines.append((count + (f", {weights:,} parameters" if weights else ""), "text"))
    lines.append((f"{node.shape} {node.dtype}", "text"))
    if freed(node):
        lines.append(("what is behind it was freed", "text"))
    if node in values:
        lines.append((f"value {_summary(values[node])}", "text"))
    if node in gradients:
        lines.append((f"gradient {_summary(gradients[node])}", "gradient"))
    return [(_shown(text), kind) for text, kind in lines]


def _title(graph: Graph, box: Box, given: dict[Node | None, str]) -> str:
    """The first line of a box: its name and what it computes."""
    node = box.nodes[-1]
    if box.kind == "leaf":
        return given.get(node, "leaf")
    if box.kind == "operation":
        assert node.record is not None
        name = f"{given[node]} = " if node in given else ""
        return name + " · ".join([node.record.name, *_details(graph, node)])
    named = [each.record.name for each in box.nodes if each.record]
    named = named[: len(named) // box.times]
    if len(named) > 5:
        named = [*named[:2], "…", *named[-2:]]
    chain = " → ".join(named)
    if box.times > 1:
        return f"{box.times} × ({chain})"
    return f"{box.owner}: {chain}" if box.owner else chain


def _details(graph: Graph, node: Node) -> list[str]:
    """Untracked arguments that are numbers or named, and static ones that are not the usual."""
    record: Any = node.record
    constants = {id(tensor._data): name for name, tensor in graph.names}
    found = []
    for position, parent in arguments(node):
        if parent is None and record.name != "checkpoint":
            value = graph.constant(node, position)
            if id(value) in constants:
                found.append(constants[id(value)])
            elif value is not None and not np.shape(value):
                found.append(f"{float(to_numpy(value)):.4g}")
    for key, value in node.static.items():
        plain = isinstance(value, (int, float, str)) and value is not False
        if plain and value != record.defaults.get(key):
            found.append(f"{key}={value}")
    return found


def _summary(value: Any) -> str:
    """A number; the numbers of a short vector; the least and the greatest of a larger array.

    >>> _summary(np.array(2.5)), _summary(np.array([1.0, -2.0])), _summary(np.arange(9.0))
    ('2.5', '[1, -2]', '0 … 8')
    """
    array = to_numpy(value) + 0.0  # no -0
    if array.size == 0:
        return "(empty)"
    if array.ndim == 0:
        return f"{array:.4g}"
    if array.ndim == 1 and array.size <= 4:
        return f"[{', '.join(f'{each:.4g}' for each in array)}]"
    bad = np.isnan(array)
    if bad.all():
        return f"{array.size:,} NaN"
    least, most = np.nanmin(array), np.nanmax(array)
    text = f"{least:.4g} … {most:.4g}" if least != most else f"all {least:.4g}"
    return text + (f", {np.count_nonzero(bad):,} NaN" if bad.any() else "")


def _shown(text: str) -> str:
    """A line of text that is not too long, and has no signs that XML cannot have."""
    text = re.sub(r"[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _width(text: str, kind: str) -> float:
    """How wide the text is at most, in pixels."""
    sign_width = BOLD if kind == "title" else SIGN
    return sign_width * sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


# Drawing ----------------------------------------------------------------------------------------


def _drawn(
    boxes: list[Box],
    texts: list[list[tuple[str, str]]],
    inputs: list[list[int]],
    layout: Layout,
    root: Node,
) -> str:
    """The SVG, with a background of its own: notebooks may be dark."""
    width, height = math.ceil(layout.width), math.ceil(layout.height)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-size="12" '
        'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace">',
        f"<title>The graph of a tensor, {len(boxes)} boxes</title>",
        f'<path fill="#ffffff" d="M0 0H{width}V{height}H0Z"/>',
    ]
    parts += _lines(inputs, layout)
    for box, lines, place in zip(boxes, texts, layout.boxes, strict=True):
        fill, stroke = FILLS[box.kind]
        result = root in box.nodes
        style = f'fill="{fill}" stroke="{"#111111" if result else stroke}"'
        style += ' stroke-width="2"' if result else ""
        style += ' stroke-dasharray="4 3"' if box.kind == "earlier" else ""
        left = place.x - place.width / 2
        parts.append(
            f'<rect x="{left:.1f}" y="{place.y:.1f}" width="{place.width:.1f}" '
            f'height="{place.height:.1f}" rx="5" {style}/>'
        )
        for row, (text, kind) in enumerate(lines):
            text = html.escape(text, quote=False)
            weight = ' font-weight="bold"' if kind == "title" else ""
            parts.append(
                f'<text x="{place.x:.1f}" y="{place.y + LINE * (row + 1):.1f}" '
                f'text-anchor="middle" fill="{COLOURS[kind]}"{weight}>{text}</text>'
            )
    return "\n".join([*parts, "</svg>"])


def _lines(inputs: list[list[int]], layout: Layout) -> list[str]:
    """The lines between the boxes, with a head at their lower end; repeats are drawn apart."""
    arriving: dict[int, list[tuple[Place, int]]] = {}
    for upper, lower in layout.lines:
        repeats = 1
        if lower.box is not None:
            repeats = min(3, _count(upper, inputs[lower.box]))
        arriving.setdefault(id(lower), []).append((upper, repeats))
    parts, heads = [], []
    for lower in dict.fromkeys(lower for _, lower in layout.lines):
        given = sorted(arriving[id(lower)], key=lambda each: each[0].x)
        ends = [upper for upper, repeats in given for _ in range(repeats)]
        room = lower.width - 2 * PADDING
        step = 0.0 if lower.box is None else min(16.0, room / max(1, len(ends)))
        for number, upper in enumerate(ends):
            x = lower.x + step * (number - (len(ends) - 1) / 2)
            twins = [i for i, each in enumerate(ends) if each is upper]
            start = upper.x + (6.0 if len(twins) > 1 else 0.0) * (
                twins.index(number) - (len(twins) - 1) / 2
            )
            parts.append(_path(start, upper, x, lower, layout))
            if lower.box is not None:
                heads.append(f"M{x:.1f} {lower.y:.1f}l-3.5 -7h7Z")
    if heads:
        parts.append(f'<path fill="#666666" d="{"".join(heads)}"/>')
    return parts


def _count(upper: Place, given: list[int]) -> int:
    """How often a box reads the one from which a line comes."""
    while upper.box is None:
        upper = upper.above[0]
    return given.count(upper.box)


def _path(start: float, upper: Place, end: float, lower: Place, layout: Layout) -> str:
    """A line from the foot of one place to the head of another, curved between the ranks only."""
    foot = upper.y if upper.box is None else upper.y + upper.height
    bottom, top = layout.bottoms[upper.rank], layout.tops[lower.rank]
    middle = (bottom + top) / 2
    tip = top - (6.0 if lower.box is not None else 0.0)
    return (
        f'<path fill="none" stroke="#666666" d="M{start:.1f} {foot:.1f}V{bottom:.1f}'
        f'C{start:.1f} {middle:.1f} {end:.1f} {middle:.1f} {end:.1f} {tip:.1f}"/>'
    )
