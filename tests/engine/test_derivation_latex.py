"""The chain rule as LaTeX: what DERIVATIONS.md says, true in numbers, and well-formed."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.calls import broadcasts_of, calls_of
from chainrule.engine.graphs import Graph
from chainrule.engine.latex import SUM, Math, balanced, escape, formula, prose, symbol
from chainrule.engine.record import RECORDS
from chainrule.engine.tensor import wrap

from .latex_values import numbers

seeds = st.integers(0, 2**32 - 1)
BUILTIN = {name: record for name, record in RECORDS.items() if record.builtin}
PARTIAL = r"\frac{\partial J}{\partial %s}"


class Network:
    """The network of the worked example, narrow; `columns`: as the source writes it, W x."""

    def __init__(self, sizes=(4, 3, 3, 2), batch=5, columns=False) -> None:
        rng = np.random.default_rng(1)
        self.W = [rng.normal(size=pair) for pair in pairwise(sizes)]
        self.b = [rng.normal(size=size) for size in sizes[1:]]
        self.x, self.target = rng.normal(size=(batch, sizes[0])), rng.random((batch, sizes[-1]))
        if columns:
            self.W = [each.T for each in self.W]
            self.x, self.target = self.x[0], self.target[0]
        self.tensors: dict[str, cr.Tensor] = {}
        a = self._add("x", cr.tensor(self.x))
        for i, (W, b) in enumerate(zip(self.W, self.b, strict=True), 1):
            W = self._add(f"W_{i}", cr.tensor(W, requires_grad=True))
            b = self._add(f"b_{i}", cr.tensor(b, requires_grad=True))
            z = self._add(f"z_{i}", W @ a + b if columns else a @ W + b)
            last = i == len(sizes) - 1
            a = self._add("y" if last else f"a_{i}", cr.sigmoid(z) if last else cr.relu(z))
        self.y = a
        self.difference = self._add("v_1", a - self.target)
        squares = self._add("v_2", self.difference**2)
        total = self._add("v_3", cr.sum(squares))
        self.loss = self._add("J", 0.5 * total)

    def _add(self, name: str, tensor: cr.Tensor) -> cr.Tensor:
        self.tensors[name] = tensor
        return tensor


def values_of(tensors: dict[str, cr.Tensor], loss: cr.Tensor, gradient=None) -> dict[str, object]:
    """Values and gradients by their names in LaTeX."""
    for each in tensors.values():
        if each.requires_grad:
            each.retain_grad()
    loss.backward(gradient)
    found = {name: each.numpy() for name, each in tensors.items()}
    for name, each in tensors.items():
        if each.grad is not None:
            found[PARTIAL % name] = each.grad.numpy()
            if name.startswith("z_"):
                found[r"\delta" + name[1:]] = each.grad.numpy()
    return found


def assert_true(line: str, values: dict[str, object]) -> None:
    first, *rest = (np.asarray(each) for each in numbers(line, values))
    for each in rest:
        kept = each.ndim and np.squeeze(each).shape == np.squeeze(first).shape  # axes of length 1
        each = each.reshape(first.shape) if kept else np.broadcast_to(each, first.shape)
        np.testing.assert_allclose(each, first, rtol=1e-9, atol=1e-12, err_msg=line)


# ------------------------------------------------------------------------------- the worked example


def test_the_worked_example_reads_as_in_the_derivations():
    """4.3 writes vectors as columns; these are its lines, sign by sign."""
    assert cr.derivation(Network(columns=True).loss).backward == (
        r"\delta_l = \frac{\partial J}{\partial z_l}",
        r"\frac{\partial J}{\partial J} = 1",
        r"\frac{\partial J}{\partial v_3} = \tfrac12",
        r"\frac{\partial J}{\partial v_2} = \frac{\partial J}{\partial v_3} = \tfrac12",
        r"\frac{\partial J}{\partial v_1} = 2\, \frac{\partial J}{\partial v_2} \circ (y - \hat y)"
        r" = y - \hat y",
        r"\frac{\partial J}{\partial y} = \frac{\partial J}{\partial v_1} = y - \hat y",
        r"\delta_3 = \frac{\partial J}{\partial y} \circ \sigma'(z_3)"
        r" = (y - \hat y) \circ \sigma'(z_3)",
        r"\frac{\partial J}{\partial a_2} = W_3^{\mathsf T}\, \delta_3",
        r"\delta_2 = \frac{\partial J}{\partial a_2} \circ \mathrm{relu}'(z_2)"
        r" = (W_3^{\mathsf T}\, \delta_3) \circ \mathrm{relu}'(z_2)",
        r"\frac{\partial J}{\partial a_1} = W_2^{\mathsf T}\, \delta_2",
        r"\delta_1 = \frac{\partial J}{\partial a_1} \circ \mathrm{relu}'(z_1)"
        r" = (W_2^{\mathsf T}\, \delta_2) \circ \mathrm{relu}'(z_1)",
        r"\frac{\partial J}{\partial W_1} = \delta_1\, x^{\mathsf T}",
        r"\frac{\partial J}{\partial b_1} = \delta_1",
        r"\frac{\partial J}{\partial W_2} = \delta_2\, a_1^{\mathsf T}",
        r"\frac{\partial J}{\partial b_2} = \delta_2",
        r"\frac{\partial J}{\partial W_3} = \delta_3\, a_2^{\mathsf T}",
        r"\frac{\partial J}{\partial b_3} = \delta_3",
    )


def test_a_batch_in_rows_is_its_transpose():
    derived = cr.derivation(Network().loss)
    assert derived.forward == (
        r"z_1 = x\, W_1 + b_1",
        r"a_1 = \mathrm{relu}(z_1)",
        r"z_2 = a_1\, W_2 + b_2",
        r"a_2 = \mathrm{relu}(z_2)",
        r"z_3 = a_2\, W_3 + b_3",
        r"y = \sigma(z_3)",
        r"v_1 = y - \hat y",
        r"v_2 = v_1^{2}",
        r"v_3 = \sum v_2",
        r"J = \tfrac12\, v_3",
    )
    for line in (
        r"\delta_3 = \frac{\partial J}{\partial y} \circ \sigma'(z_3)"
        r" = (y - \hat y) \circ \sigma'(z_3)",
        r"\delta_2 = \frac{\partial J}{\partial a_2} \circ \mathrm{relu}'(z_2)"
        r" = (\delta_3\, W_3^{\mathsf T}) \circ \mathrm{relu}'(z_2)",
        r"\delta_1 = \frac{\partial J}{\partial a_1} \circ \mathrm{relu}'(z_1)"
        r" = (\delta_2\, W_2^{\mathsf T}) \circ \mathrm{relu}'(z_1)",
        r"\frac{\partial J}{\partial W_1} = x^{\mathsf T}\, \delta_1",
        r"\frac{\partial J}{\partial W_3} = a_2^{\mathsf T}\, \delta_3",
        r"\frac{\partial J}{\partial b_3} = \sum_n \delta_3[n]",
    ):
        assert line in derived.backward
    assert derived.where == (
        r"\mathrm{relu}(x) = \max(0, x)",
        r"\mathrm{relu}'(x) = [x > 0]",
        r"\sigma(x) = \frac{1}{1 + e^{-x}}",
        r"\sigma'(x) = \sigma(x)\, (1 - \sigma(x))",
    )


@pytest.mark.parametrize("sizes", [(4, 3, 3, 2), (2, 1), (1, 1, 1)])
def test_every_line_of_the_worked_example_is_true_in_numbers(sizes):
    network = Network(sizes)
    derived = cr.derivation(network.loss)
    values = values_of(network.tensors, network.loss) | {r"\hat y": network.target}
    text = "\n".join(derived.forward + derived.backward[1:])
    for line in text.replace(r"\hat y", "T").splitlines():
        assert_true(line, values | {"T": network.target})


def test_the_numbers_of_the_worked_example():
    """One example, two inputs, two hidden units, one output; computed by hand."""
    x, target = np.array([[1.0, -2.0]]), np.array([[0.0]])
    W = [np.array([[0.5, -1.0], [-0.25, 0.5]]), np.array([[2.0], [1.0]])]
    b = [np.array([0.5, 0.25]), np.array([-3.0])]
    W1, W2 = (cr.tensor(each, requires_grad=True) for each in W)
    b1, b2 = (cr.tensor(each, requires_grad=True) for each in b)
    y = cr.sigmoid(cr.relu(x @ W1 + b1) @ W2 + b2)  # z1 = (1.5, -1.75), a1 = (1.5, 0), z2 = 0
    J = 0.5 * cr.sum((y - target) ** 2)
    derived = cr.derivation(J, values=True, names={"W1": W1, "W2": W2, "b1": b1, "b2": b2})

    assert r"W_1 = \begin{bmatrix} 0.5 & -1 \\ -0.25 & 0.5 \end{bmatrix}" in derived.forward
    z1 = r"z_1 = x\, W_1 + b_1 = \begin{bmatrix} 1.5 & -1.75 \end{bmatrix}"
    assert z1 in derived.forward
    assert r"y = \sigma(z_2) = \begin{bmatrix} 0.5 \end{bmatrix}" in derived.forward
    assert r"J = \tfrac12\, v_3 = 0.125" in derived.forward
    lines = {line.partition(" = ")[0]: line.rpartition(" = ")[2] for line in derived.backward}
    matrix = r"\begin{bmatrix} %s \end{bmatrix}"
    assert lines[r"\delta_2"] == matrix % "0.125"  # 0.5 * 0.25
    assert lines[r"\delta_1"] == matrix % "0.25 & 0"  # 0.125 * (2, 1), where z1 > 0
    assert lines[PARTIAL % "W_2"] == matrix % r"0.1875 \\ 0"
    assert lines[PARTIAL % "W_1"] == matrix % r"0.25 & 0 \\ -0.5 & 0"
    assert lines[PARTIAL % "b_1"] == matrix % "0.25 & 0"


# ------------------------------------------------------------------------------ losses and networks


def classifier() -> tuple[np.ndarray, cr.Tensor, np.ndarray]:
    rng = np.random.default_rng(0)
    W = cr.tensor(rng.normal(size=(4, 3)), requires_grad=True)
    return rng.normal(size=(5, 4)), W, np.eye(3)[[0, 1, 2, 1, 0]]


@pytest.mark.parametrize(
    ("loss", "delta"),
    [
        (lambda z, t: cr.softmax_cross_entropy(z, t).sum(), r"\mathrm{softmax}(z_1) - \hat y"),
        (lambda z, t: -cr.sum(t * cr.log_softmax(z)), r"\mathrm{softmax}(z_1) - \hat y"),
        (lambda z, t: cr.cross_entropy(cr.softmax(z), t).sum(), r"y - \hat y"),
        (lambda z, t: cr.sigmoid_cross_entropy(z, t).sum(), r"\sigma(z_1) - \hat y"),
        (
            lambda z, t: cr.sparse_softmax_cross_entropy(z, t.argmax(1)).mean(),
            r"\tfrac15\, (\mathrm{softmax}(z_1) - \mathrm{onehot}(\hat y))",
        ),
    ],
)
def test_the_error_of_softmax_and_its_losses(loss, delta):
    x, W, target = classifier()
    lines = cr.derivation(loss(x @ W, target)).backward
    assert next(each for each in lines if each.startswith(r"\delta_1")).endswith(f" = {delta}")


def test_targets_that_do_not_add_up_to_one_keep_their_sum():
    x, W, target = classifier()
    fused = cr.derivation(cr.softmax_cross_entropy(x @ W, 2 * target).sum())
    assert r"\mathrm{softmax}(z_1) \sum \hat y - \hat y" in "".join(fused.backward)
    apart = cr.derivation(cr.cross_entropy(cr.softmax(x @ W), 2 * target).sum())
    assert r"= y - \hat y" not in "".join(apart.backward)


def test_a_model_of_layers():
    from chainrule.layers import Dense
    from chainrule.models import Sequential

    model = Sequential([Dense(3, activation="tanh", name="hidden"), Dense(2, name="out")])
    model.build((None, 4))
    loss = cr.losses.HalfSquaredError()(np.ones((5, 2), "float32"), model(np.ones((5, 4))))
    derived = cr.derivation(loss)
    assert r"z_1 = x\, W_1 + b_1" in derived.forward
    assert r"\delta_2 = 2\, \frac{\partial J}{\partial v_1} \circ (z_2 - \hat y)" in "".join(
        derived.backward
    )
    named = cr.derivation(loss, names=model)
    assert r"z_1 = x\, \mathrm{hidden.kernel} + \mathrm{hidden.bias}" in named.forward
    bias = r"\frac{\partial J}{\partial \mathrm{out.bias}} = \sum_n \delta_2[n]"
    assert bias in named.backward


def test_a_recurrent_network_adds_up_over_its_steps():
    rng = np.random.default_rng(0)
    W, U = (cr.tensor(rng.normal(size=(3, 3)), requires_grad=True) for _ in range(2))
    h = cr.tensor(np.zeros((2, 3)))
    for _ in range(2):
        h = cr.tanh(rng.normal(size=(2, 3)) @ W + h @ U)
    derived = cr.derivation(cr.sum(h * h))
    assert r"z_2 = x_3\, W_1 + a_1\, U_1" in derived.forward
    summed = (
        r"\frac{\partial J}{\partial U_1} = a_1^{\mathsf T}\, \delta_2 + x_2^{\mathsf T}\, \delta_1"
    )
    assert summed in derived.backward


# ------------------------------------------------------------------------------------ true at large


UNARY = [
    *(cr.sin, cr.cos, cr.exp, cr.tanh, cr.relu, cr.sigmoid, cr.negative, cr.square),
    lambda x: x.T if x.ndim == 2 and 1 not in x.shape else x * 3.0,
    lambda x: cr.sum(x, axis=-1) if x.ndim else x,
    lambda x: cr.sqrt(cr.exp(x)),
    lambda x: x**2.0,
    lambda x: 0.25 * x,
]
BINARY = [*(cr.add, cr.subtract, cr.multiply, cr.maximum, cr.matmul), lambda a, b: a / cr.exp(b)]


def program(seed: int, length: int) -> tuple[cr.Tensor, cr.Tensor]:
    """A number computed by random operations on values that are used again, and its weights."""
    rng = np.random.default_rng(seed)
    shapes = [(), (3,), (2, 1), (2, 3), (3, 3)]
    pool = [cr.tensor(rng.uniform(0.2, 1, shape), requires_grad=True) for shape in shapes]
    for _ in range(length):
        several = rng.integers(2)
        functions = BINARY if several else UNARY
        arguments = [pool[rng.integers(len(pool))] for _ in range(1 + several)]
        try:
            result = functions[rng.integers(len(functions))](*arguments)
        except cr.ShapeError:
            continue
        if np.abs(result.numpy()).max() < 30:
            pool.append(result)
    weights = cr.tensor(rng.normal(size=pool[-1].shape))
    return cr.sum(cr.sin(pool[-1]) * weights), weights


@settings(deadline=None, max_examples=80)
@given(seed=seeds, length=st.integers(1, 12))
def test_every_line_is_true_in_numbers(seed, length):
    """Of random programs, with broadcasting: both sides of each equation are computed."""
    J, w = program(seed, length)
    nodes = Graph(J, "test").nodes
    names = {node: "J" if node is J._node else f"t_{{{i}}}" for i, node in enumerate(nodes, 10)}
    tensors = {name: wrap(None, J._device, node) for node, name in names.items()}
    derived = cr.derivation(J, names=tensors | {"w": w})
    J_values = Graph(J, "test")
    known, gradients = J_values.values(compute=True), J_values.gradients()
    values: dict[str, object] = {"w": w.numpy()}
    for node, name in names.items():
        values[PARTIAL % name] = values[rf"\delta_{{{name}}}"] = gradients[node]
        if node in known:
            values[name] = known[node]
    unsure = [name for name in names.values() if name not in values]  # not kept, not computable
    for line in derived.backward:
        if r"\delta_l" not in line and not any(name in line for name in unsure):
            assert_true(line, values)


# ----------------------------------------------------------------------------------- well-formed


def assert_well_formed(text: str) -> None:
    """Braces and environments are closed in order; no base has two indices or two powers."""
    assert balanced(text), text
    stack = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert stack == []
    assert text.count(r"\left(") == text.count(r"\right)")
    assert not re.search(r"\^\{[^{}]*\}\^|_\{[^{}]*\}_|_\w_|\^\w\^", text), text


def assert_typeset(line: str) -> None:
    """Matplotlib can set it, apart from matrices and cases, which it does not have."""
    from matplotlib.mathtext import MathTextParser

    if r"\begin" not in line:
        line = line.replace(r"\mathsf T", r"\mathsf{T}").replace(r"\surd", r"\sqrt{x}")
        line = re.sub(r"\\tfrac(\d)(\d)", r"\\frac{\1}{\2}", line).replace(r"\tfrac", r"\frac")
        MathTextParser("path").parse(f"${line}$")


@pytest.mark.parametrize("columns", [False, True])
def test_the_worked_example_is_typeset(columns):
    derived = cr.derivation(Network(columns=columns).loss)
    assert_well_formed(str(derived))
    for line in derived.forward + derived.backward + derived.where:
        assert_typeset(line)


@pytest.mark.parametrize("name", ["std", "solve", "cholesky", "einsum", "norm", "cumulative_prod"])
def test_prose_is_typeset(name):
    for text in (BUILTIN[name].formula, *BUILTIN[name].derivative.values()):
        assert_typeset(prose(text))


TABLE = [name for name, each in BUILTIN.items() if each.differentiable and name != "where"]


@pytest.mark.parametrize("name", TABLE)
def test_every_operation_of_the_table_can_be_derived(name):
    call = (broadcasts_of if BUILTIN[name].elementwise else calls_of)(BUILTIN[name])[0]
    arrays = call.draw(0)
    result = call(*(cr.tensor(each, requires_grad=True) for each in arrays))
    if result.is_leaf:
        pytest.skip("its first case has no gradient")
    upstream = np.random.default_rng(0).normal(size=result.shape)
    derived = cr.derivation(result, values=True, gradient=upstream)
    assert_well_formed(str(derived))
    leaves = [node for node in Graph(result, "test").nodes if node.plan is None]
    gradients = [line for line in derived.backward if re.match(r"\\frac\{\\partial J\}", line)]
    assert len(gradients) >= len(leaves)


@pytest.mark.parametrize("name", list(BUILTIN))
def test_what_a_record_says_of_itself_is_typeset(name):
    record = BUILTIN[name]
    names = {each: Math(symbol(each)) for each in (*record.arguments, *record.statics)}
    for text in (record.formula, *record.derivative.values()):
        written = formula(text, names) if text else None
        assert written is not None or not record.elementwise
        assert_well_formed(prose(text) if written is None else written.text)


def test_parentheses_stand_where_they_are_needed():
    names = {"a": Math("x"), "b": Math("u - v", SUM), "c": Math("-2", SUM, True)}
    for text, expected in {
        "a - b": "x - (u - v)",
        "a + b": "x + u - v",
        "a * b": r"x \circ (u - v)",
        "a + c": "x + (-2)",
        "-b": "-(u - v)",
        "-a * b": r"-x \circ (u - v)",
        "b / a": r"\frac{u - v}{x}",
        "b**2": "(u - v)^{2}",
        "a**b": "x^{u - v}",
        "2 * a": r"2\, x",
        "2 * 3 * a": r"2 \cdot 3\, x",
    }.items():
        assert formula(text, names).text == expected


@given(text=st.text(alphabet="ab_^{}\\$%&#~ []()ΣᵀΠ≤½é重", max_size=20))
def test_no_prose_and_no_name_breaks_the_text(text):
    for made in (prose(text), symbol(text), escape(text)):
        assert balanced(made)
        assert "$" not in made.replace(r"\$", "") or made == text


# ----------------------------------------------------------------------------- how it behaves


def test_names_are_given_in_either_direction_and_as_latex():
    w, x = cr.tensor([1.0, 2.0], requires_grad=True), cr.tensor([3.0, 4.0])
    for names in ({w: "weights.0", x: r"\hat x"}, {"weights.0": w, r"\hat x": x}):
        derived = cr.derivation(cr.sum(w * x), names=names)
        assert derived.forward[0] == r"v = \mathrm{weights.0} \circ \hat x"
    target = cr.tensor([0.5, 0.5])  # a difference keeps none of its arguments: found by its result
    derived = cr.derivation(cr.sum((w * x - target) ** 2), names={w: "w", x: "x", target: "t"})
    assert r"v_2 = v_1 - c" in derived.forward  # v_1 was not kept either, so it may be any
    derived = cr.derivation(cr.sum((cr.exp(w) - target) ** 2), names={target: "t"})
    assert r"v_2 = v_1 - t" in derived.forward


def test_a_value_used_twice_and_one_that_is_repeated():
    w, b = (cr.tensor(each, requires_grad=True) for each in (2.0, [1.0, 2.0, 3.0]))
    backward = cr.derivation(cr.sum(cr.exp(w * w) * b), names={"w": w, "b": b}).backward
    assert backward[-2] == (
        r"\frac{\partial J}{\partial w} = \frac{\partial J}{\partial v_1}\, w"
        r" + \frac{\partial J}{\partial v_1}\, w = 2\, (\sum_n b[n])\, e^{v_1}\, w"
    )
    summed = r"= \sum_n (\frac{\partial J}{\partial v_3} \circ b)[n] = \sum_n b[n]"
    assert rf"\frac{{\partial J}}{{\partial v_2}} {summed}" in backward


def test_a_constant_gradient_is_counted_where_a_value_is_repeated():
    x, b = cr.tensor(np.ones((4, 3)), requires_grad=True), cr.tensor(np.ones(3), requires_grad=True)
    backward = cr.derivation(cr.mean(cr.exp(x) + b), names={"b": b, "x": x}).backward
    once, summed = r"\frac{\partial J}{\partial v_2}", r"\sum_n \frac{\partial J}{\partial v_2}[n]"
    assert rf"{once} = \frac{{1}}{{12}}" in backward
    assert rf"\frac{{\partial J}}{{\partial b}} = {summed} = \tfrac13" in backward


def test_choices():
    a, b = (cr.tensor(each, requires_grad=True) for each in ([1.0, 2.0], [3.0, 0.0]))
    derived = cr.derivation(cr.sum(cr.where([True, False], a, b) + cr.maximum(a, b)))
    assert_well_formed(str(derived))
    cases = r"\begin{cases} 1 & c \\ 0 & \text{otherwise} \end{cases}"
    assert any(cases in line for line in derived.backward)
    assert r"\mathrm{H}(x) = [x > 0] + \tfrac12\, [x = 0]" in derived.where


def test_an_operation_of_a_users_own():
    cube = cr.operation("cube_here", forward=lambda k, x: x**3, vjp=lambda k, g, x: 3 * g * x**2)
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    derived = cr.derivation(cr.sum(cube(x)))
    assert r"v = \mathrm{cube\_here}(x)" in derived.forward
    jacobian = r"\left(\frac{\partial v}{\partial x}\right)^{\mathsf T}\, "
    assert derived.backward[-1].endswith(jacobian + r"\mathbf{1}")


def test_checkpoints_are_derived_as_functions():
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    y = cr.sum(cr.checkpoint(lambda x: cr.exp(w * x), np.ones(2)))
    derived = cr.derivation(y, values=True, names={"w": w})
    assert derived.forward[1].startswith(r"v = \mathrm{checkpoint}(w)")
    assert_well_formed(str(derived))


def test_it_is_shown_in_a_notebook_and_printed():
    w = cr.tensor(1.5, requires_grad=True)
    derived = cr.derivation(w * w)
    assert str(derived) == derived.latex
    assert derived._repr_latex_() == f"$$\n{derived.latex}\n$$"
    assert derived.latex.startswith("\\begin{aligned}\n") and "J &= x\\, x" in derived.latex
    assert repr(derived) == "<derivation: 1 lines forward, 2 back>"


def test_nothing_changes():
    w = cr.tensor([1.0, -2.0], requires_grad=True)
    called = []
    w.register_hook(called.append)
    y = cr.sum(cr.exp(w) * w)
    w.grad = [5.0, 6.0]
    before = w.numpy().copy()
    assert str(cr.derivation(y, values=True)) == str(cr.derivation(y, values=True))
    assert w.grad.tolist() == [5.0, 6.0] and called == [] and (w.numpy() == before).all()
    y.backward()
    assert len(called) == 1


def test_large_arrays_are_abbreviated():
    w = cr.tensor(np.arange(100.0).reshape(10, 10), requires_grad=True)
    line = cr.derivation(cr.sum(w * w), values=True, names={"w": w}).forward[0]
    row = r"0 & 1 & \cdots & 9"
    assert line.startswith(rf"w = \begin{{bmatrix}} {row} \\ 10 & 11") and r"\ddots" in line
    assert line.endswith(r"_{10 \times 10}")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda w: np.ones(3), cr.DtypeError, "expected the Tensor that was computed, got shape"),
        (lambda w: w, cr.GradientError, "was made by hand, not computed"),
        (lambda w: w.detach() * 2, cr.GradientError, "the tensor requires no gradient"),
        (lambda w: sum([w] * 600), cr.GradientError, "more than 500 nobody reads"),
    ],
)
def test_bad_input(make, error, message):
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(error, match=f"^derivation: .*{message}"):
        cr.derivation(make(w))


def test_bad_states_and_arguments():
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    y = cr.exp(w) * w
    with pytest.raises(cr.ShapeError, match=r"derivation: .* has shape \(2,\), float64, not one"):
        cr.derivation(y, values=True)
    with pytest.raises(cr.DtypeError, match="derivation: names must map tensors to names"):
        cr.derivation(y, names=[w])
    part = cr.exp(y)
    cr.sum(part).backward()
    with pytest.raises(cr.GradientError, match=r"derivation: the graph behind 'exp'.*was freed"):
        cr.derivation(part)
    with pytest.raises(cr.GradientError, match="derivation: the graph behind 'multiply'"):
        cr.derivation(y)
    y = cr.exp(w) * w
    with cr.no_grad():
        w += 1.0
    with pytest.raises(cr.GradientError, match="changed in place"):
        cr.derivation(y, values=True, gradient=[1.0, 1.0])
