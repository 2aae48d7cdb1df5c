"""Graphs as SVG: nothing overlaps, all is said, nothing changes, and every graph can be drawn."""

from __future__ import annotations

import re
import unicodedata
from itertools import combinations, pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.layout import arrange

SPACE = "{http://www.w3.org/2000/svg}"
seeds = st.integers(0, 2**32 - 1)


class Drawn:
    """An SVG, read: boxes with their texts, and the lines between them as points."""

    def __init__(self, svg: str) -> None:
        self.root = ElementTree.fromstring(svg)
        self.boxes: list[tuple[float, float, float, float]] = []
        self.texts: list[list[tuple[float, float, str]]] = []
        self.paths: list[np.ndarray] = []
        self.arrows = svg.count("l-3.5 -7")
        for each in self.root:
            if each.tag == SPACE + "rect":
                x, y, wide, high = (float(each.get(k)) for k in ("x", "y", "width", "height"))
                self.boxes.append((x, y, x + wide, y + high))
                self.texts.append([])
            elif each.tag == SPACE + "text":
                place = float(each.get("x")), float(each.get("y"))
                self.texts[-1].append((*place, each.text or ""))
            elif each.get("fill") == "none":
                self.paths.append(points(each.get("d")))

    @property
    def titles(self) -> list[str]:
        return [lines[0][2] for lines in self.texts]

    def all_text(self) -> str:
        return "\n".join(text for lines in self.texts for _, _, text in lines)


def points(path: str) -> np.ndarray:
    """Points along "M x y V y C x y x y x y"."""
    x, y, bottom, *curve = map(float, re.findall(r"-?\d+\.?\d*", path))
    first, second, third = np.reshape(curve, (3, 2))
    start = np.array([x, bottom])
    t = np.linspace(0, 1, 40)[:, None]
    bent = (
        (1 - t) ** 3 * start
        + 3 * t * (1 - t) ** 2 * first
        + 3 * t**2 * (1 - t) * second
        + t**3 * third
    )
    straight = [(x, y + (bottom - y) * s) for s in np.linspace(0, 1, 10)]
    return np.concatenate([straight, bent])


def assert_legible(svg: str) -> Drawn:
    drawn = Drawn(svg)
    width, height = (float(drawn.root.get(each)) for each in ("width", "height"))
    for left, top, right, bottom in drawn.boxes:
        assert left >= 0 and top >= 0 and right <= width and bottom <= height
    boxes = np.array(drawn.boxes)
    for i, (left, top, right, bottom) in enumerate(drawn.boxes):
        x0, y0, x1, y1 = boxes[i + 1 :].T
        apart = (right <= x0) | (x1 <= left) | (bottom <= y0) | (y1 <= top)
        assert apart.all(), "two boxes overlap"
    for (left, top, right, bottom), lines in zip(drawn.boxes, drawn.texts, strict=True):
        rows = []
        for x, y, text in lines:
            signs = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
            half = 7.23 * signs / 2  # a monospaced font of 12 pixels: 0.6 of them a sign
            assert left < x - half and x + half < right, f"{text!r} is wider than its box"
            assert top < y - 9 and y + 3 < bottom
            rows.append(y)
        assert all(lower - upper >= 14 for upper, lower in pairwise(rows))
    if drawn.paths:
        x, y = np.concatenate(drawn.paths).T
        for left, top, right, bottom in drawn.boxes:
            inside = (left + 0.2 < x) & (x < right - 0.2) & (top + 0.2 < y) & (y < bottom - 0.2)
            assert not inside.any(), "a line crosses a box"
    return drawn


def network(layers: int, width: int = 4) -> tuple[cr.Tensor, dict[str, cr.Tensor]]:
    rng = np.random.default_rng(layers)
    parameters, a = {}, cr.tensor(rng.normal(size=(3, width)))
    for i in range(1, layers + 1):
        W = cr.tensor(rng.normal(size=(width, width)), requires_grad=True)
        b = cr.tensor(rng.normal(size=width), requires_grad=True)
        parameters |= {f"W{i}": W, f"b{i}": b}
        a = cr.relu(a @ W + b) if i < layers else cr.sigmoid(a @ W + b)
    return 0.5 * cr.sum((a - rng.uniform(size=(3, width))) ** 2), parameters


def program(seed: int, length: int, reach: int) -> cr.Tensor:
    """A random graph of `length` operations, each on values at most `reach` back."""
    rng = np.random.default_rng(seed)
    values = [cr.tensor(rng.normal(size=(3, 3)), requires_grad=True) for _ in range(3)]
    for _ in range(length):
        a, b = (values[-1 - int(rng.integers(min(reach, len(values))))] for _ in range(2))
        kind = rng.integers(6)
        if kind == 0:
            values.append(cr.tanh(a))
        elif kind == 1:
            values.append(a @ cr.tensor(rng.uniform(-0.5, 0.5, (3, 3)), requires_grad=True))
        elif kind == 2:
            values.append(a + cr.tensor(rng.normal(size=3), requires_grad=True))
        else:
            values.append([cr.minimum, cr.subtract, cr.maximum][kind - 3](a, b))
    return values[-1]


# ------------------------------------------------------------------------------------ how it looks


@settings(deadline=None, max_examples=20)
@given(seed=seeds, length=st.integers(1, 300), reach=st.integers(1, 40))
def test_boxes_texts_and_lines_keep_apart(seed, length, reach):
    assert_legible(program(seed, length, reach)._repr_svg_())


@settings(deadline=None, max_examples=40)
@given(seed=seeds, count=st.integers(1, 40), reach=st.integers(1, 40))
def test_any_boxes_are_arranged_without_overlaps(seed, count, reach):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(5, 200, (count, 2)).tolist()
    inputs = [
        rng.integers(max(0, box - reach), box, rng.integers(4)).tolist() if box else []
        for box in range(count)
    ]
    layout = arrange(sizes, inputs)
    for box, given_ in enumerate(inputs):
        assert all(layout.boxes[each].rank < layout.boxes[box].rank for each in given_)
    for upper, lower in layout.lines:
        assert lower.rank == upper.rank + 1
    for a, b in combinations(layout.boxes, 2):
        if a.rank == b.rank:
            assert abs(a.x - b.x) >= (a.width + b.width) / 2
        else:
            upper, lower = sorted((a, b), key=lambda place: place.rank)
            assert upper.y + upper.height < lower.y


def test_values_gradients_and_shapes_are_shown():
    w = cr.tensor(1.5, requires_grad=True)
    x = cr.tensor([[1.0, -2.0, 0.5]], requires_grad=True)
    y = cr.sum(w * x * x)
    drawn = assert_legible(cr.draw_graph(y, names={"w": w, "input": x}).svg)
    boxes = {lines[0][2]: [text for _, _, text in lines] for lines in drawn.texts}
    assert boxes["w"] == ["w", "() float64", "value 1.5", "gradient 5.25"]
    assert boxes["input"] == ["input", "(1, 3) float64", "value -2 … 1", "gradient -6 … 3"]
    assert boxes["sum"] == ["sum", "() float64", "value 7.875", "gradient 1"]
    assert drawn.arrows == 5  # w and x into one product, that and x into another, its sum
    plain = Drawn(cr.draw_graph(y, values=False).svg).all_text()
    assert "value" not in plain and "gradient" not in plain


def test_a_value_read_twice_has_two_arrows():
    w = cr.tensor(2.0, requires_grad=True)
    assert assert_legible((w * w)._repr_svg_()).arrows == 2


def test_numbers_and_named_constants_are_part_of_an_operation():
    x, w = cr.tensor([1.0, 2.0]), cr.tensor([3.0, 4.0], requires_grad=True)
    text = Drawn(cr.draw_graph(cr.sum(x * w, axis=0) ** 2.0, names={x: "x", w: "w"}).svg).all_text()
    assert "multiply · x" in text and "sum · axis=0" in text and "power · 2" in text


def test_names_cannot_break_the_picture():
    w = cr.tensor(2.0, requires_grad=True)
    name = '<b>&"x\x00\x1b\ud800' + "重み" * 40
    drawn = assert_legible(cr.draw_graph(w * 3.0, names={w: name}).svg)
    assert drawn.titles[0].startswith('<b>&"x???重み') and drawn.titles[0].endswith("…")


def test_what_is_not_finite_or_empty_is_said():
    x = cr.tensor([np.nan, 1.0, -2.0, 3.0, 0.0], requires_grad=True)
    assert "value -2 … 3, 1 NaN" in Drawn(cr.draw_graph(x * x).svg).all_text()
    empty = cr.tensor(np.zeros((0, 3)), requires_grad=True)
    drawn = assert_legible(cr.draw_graph(cr.sum(empty * empty)).svg)
    assert "(empty)" in drawn.all_text()


# ------------------------------------------------------------------------------------ large graphs


def test_up_to_forty_nodes_each_has_a_box():
    loss, parameters = network(3)
    drawn = assert_legible(cr.draw_graph(loss, names=parameters).svg)
    assert len(drawn.boxes) == 3 * 5 + 4
    assert set(parameters) <= set(drawn.titles)


def test_a_larger_network_is_folded_by_layer():
    drawn = assert_legible(network(12)[0]._repr_svg_())
    first, last = ["matmul → add → relu"] * 11, ["matmul → add → sigmoid"]
    assert drawn.titles == [*first, *last, "subtract → power → sum → multiply"]
    assert drawn.texts[0][1][2] == "3 operations, 20 parameters"
    assert drawn.arrows == 12


def test_layers_that_are_alike_become_one_box():
    drawn = assert_legible(network(100)[0]._repr_svg_())
    assert drawn.titles[0] == "99 × (matmul → add → relu)"
    assert drawn.texts[0][1][2] == f"297 operations, {99 * 20:,} parameters"
    assert len(drawn.boxes) == 3


def test_a_model_gives_its_layers_names():
    from chainrule.layers import Dense
    from chainrule.models import Sequential

    layers = [Dense(5, activation="tanh", name=f"hidden{i}") for i in range(10)]
    model = Sequential([*layers, Dense(2, activation="softmax", name="out")])
    model.build((None, 3))
    x, target = np.ones((2, 3), "float32"), np.eye(2, dtype="float32")
    loss = cr.losses.CategoricalCrossentropy()(target, model(x))
    titles = assert_legible(cr.draw_graph(loss, names=model).svg).titles
    assert titles[:2] == [f"hidden{i}: matmul → add → tanh" for i in range(2)]
    assert titles[10] == "out: matmul → add → softmax"


def test_an_unrolled_recurrent_network_and_a_residual_one_are_folded():
    rng = np.random.default_rng(0)
    U, V = (cr.tensor(rng.normal(size=(3, 3)), requires_grad=True) for _ in range(2))
    h = cr.tensor(np.zeros((2, 3)))
    for _ in range(60):
        h = cr.tanh(rng.normal(size=(2, 3)) @ V + h @ U)
    titles = assert_legible(cr.sum(h * h)._repr_svg_()).titles
    assert titles[-2:] == ["60 × (matmul → matmul → add → tanh)", "multiply → sum"]
    a = cr.tensor(rng.normal(size=(2, 3)), requires_grad=True)
    for _ in range(80):
        a = a + cr.tanh(a @ cr.tensor(rng.normal(size=(3, 3)), requires_grad=True))
    assert any("78 × (matmul → tanh → add)" in t for t in assert_legible(a._repr_svg_()).titles)


@settings(deadline=None, max_examples=15)
@given(seed=seeds, length=st.integers(50, 300))
def test_every_operation_is_in_a_box_or_counted(seed, length):
    result = program(seed, length, 5)
    found, waiting = set(), [result._node]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += [each for each in node.parents if each is not None]
    text = Drawn(result._repr_svg_()).all_text()
    counted = [int(each) for each in re.findall(r"^(\d+) operation", text, re.MULTILINE)]
    earlier = [int(each) for each in re.findall(r"^(\d+) earlier nodes", text, re.MULTILINE)]
    operations = sum(node.plan is not None for node in found)
    if counted or earlier:
        assert sum(counted) <= operations <= sum(counted) + sum(earlier)
        assert earlier or sum(counted) == operations


def test_a_very_long_chain_is_cut_off_and_counted():
    y = cr.tensor(1.0, requires_grad=True)
    for _ in range(20_000):
        y = y + 1.0
    drawn = assert_legible(y._repr_svg_())
    assert drawn.texts[0][1][2] == "17,001 earlier nodes"
    assert drawn.texts[1][1][2] == "3,000 operations"


# --------------------------------------------------------------------------- what it does not do


def test_nothing_changes():
    w = cr.tensor([1.0, -2.0], requires_grad=True)
    called = []
    w.register_hook(called.append)
    y = cr.sum(cr.exp(w) * w)
    y.retain_grad()
    w.grad = [5.0, 6.0]
    once = y._repr_svg_()
    assert once == y._repr_svg_()
    assert w.grad.tolist() == [5.0, 6.0] and y.grad is None and called == []
    y.backward()
    assert len(called) == 1


def test_tensors_without_a_graph_are_shown_as_text():
    w = cr.tensor([1.0], requires_grad=True)
    assert cr.tensor(1.0)._repr_svg_() is None
    assert w._repr_svg_() is None
    y = cr.sum(w * w)
    y.backward()
    assert y._repr_svg_() is None


def test_a_tensor_of_several_elements_has_gradients_only_if_one_is_given():
    w = cr.tensor([[1.0], [2.0]], requires_grad=True)
    assert "gradient" not in (w * 3.0)._repr_svg_()
    assert "gradient -3 … 6" in cr.draw_graph(w * 3.0, gradient=[[2.0], [-1.0]]).svg
    with pytest.raises(cr.ShapeError, match="draw_graph: the upstream gradient has shape"):
        cr.draw_graph(w * 3.0, gradient=[1.0])


def test_a_tensor_can_be_shown_even_if_its_gradient_cannot_be_had():
    def fail(k, g, x):
        raise ZeroDivisionError

    broken = cr.operation("broken_for_pictures", forward=lambda k, x: x * 2, vjp=fail)
    y = broken(cr.tensor(1.0, requires_grad=True))
    assert "value 2" in y._repr_svg_() and "gradient" not in y._repr_svg_()
    w = cr.tensor(1.0, requires_grad=True)
    y = w * w
    with cr.no_grad():
        w += 1.0
    assert "gradient" not in y._repr_svg_()
    with pytest.raises(cr.GradientError, match="changed in place"):
        cr.draw_graph(y)


def test_checkpoints_and_partly_freed_graphs_are_drawn():
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    y = cr.sum(cr.checkpoint(lambda x: cr.exp(w * x), np.ones(2)))
    drawn = assert_legible(y._repr_svg_())
    assert drawn.titles == ["leaf", "checkpoint", "sum"]
    assert f"gradient [{np.e:.4g}, {2.718281828**2:.4g}]" in drawn.all_text()
    part = cr.exp(w)
    cr.sum(part).backward()
    assert "was freed" in cr.draw_graph(cr.sum(part * w)).svg


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda w: np.ones(3), cr.DtypeError, "expected the Tensor that was computed, got shape"),
        (lambda w: w, cr.GradientError, "was made by hand, not computed"),
        (lambda w: w.detach() * 2, cr.GradientError, "the tensor requires no gradient"),
    ],
)
def test_bad_input(make, error, message):
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(error, match=f"^draw_graph: .*{message}"):
        cr.draw_graph(make(w))


def test_a_freed_graph_and_bad_names_are_errors():
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    y = cr.sum(w * w)
    for names in (["w"], {"w": 1.0}, {w: 3}):
        with pytest.raises(cr.DtypeError, match="draw_graph: names must map"):
            cr.draw_graph(y, names=names)
    y.backward()
    with pytest.raises(cr.GradientError, match=r"draw_graph: the graph behind 'sum'.*was freed"):
        cr.draw_graph(y)


def test_saving_writes_all_or_nothing(tmp_path):
    w = cr.tensor(2.0, requires_grad=True)
    picture = cr.draw_graph(w * w)
    path = tmp_path / "graph.svg"
    path.write_text("old")
    picture.save(path)
    assert path.read_text(encoding="utf-8") == picture.svg == picture._repr_svg_()
    with pytest.raises(FileNotFoundError, match=r"save: cannot write .*nowhere"):
        picture.save(tmp_path / "nowhere" / "graph.svg")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="save: cannot write"):
        picture.save(tmp_path / "folder")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["folder", "graph.svg"]
