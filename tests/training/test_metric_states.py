"""What loss and metrics have added up so far, as plain data; and their configurations."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

import chainrule as cr
from chainrule.layers import Dense
from chainrule.models import Sequential
from chainrule.training.losses import LOSSES, get_loss
from chainrule.training.metric_base import Mean, Metric, Portable
from chainrule.training.metrics import METRICS, get_metric
from chainrule.training.objective import Objective


def batches(count, classes=3, seed=0):
    generator = np.random.default_rng(seed)
    for _ in range(count):
        raw = generator.random((7, classes)).astype("float32")
        yield generator.random((7, classes)) < 0.4, raw / raw.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("device", ["cpu", "emulated"])
def test_a_metric_goes_on_to_the_bit_from_its_state(name, device):
    whole, first = get_metric(name), get_metric(name)
    for i, (y, raw) in enumerate(batches(9)):
        if i == 4:
            kept = json.loads(json.dumps(first.state()))
            second = get_metric(first.to_config())
            second.load_state(kept)
            first.reset()
            first = second
        y = y.argmax(axis=-1) if name.startswith("sparse") else y
        outputs = cr.tensor(raw).to(device)
        whole.update(y, outputs)
        first.update(y, outputs)
    assert first.state() == whole.state()
    assert first.result() == whole.result()


def test_asking_for_the_state_changes_nothing():
    asked, other = Mean(), Mean()
    for number in (0.1, 0.7, 1e-9, 0.3):
        for each in (asked, other):
            each.add(cr.tensor(number, dtype="float64").to("emulated"), 1)
            each.add(number, 1)
        asked.state()
    assert asked.result() == other.result()


class Largest(Metric):
    """Keeps something else than sums."""

    def __init__(self, name="largest"):
        super().__init__(name)
        self.best = 0.0

    def update(self, y_true, y_pred):
        self.best = max(self.best, float(np.max(y_pred)))

    def reset(self):
        self.best = 0.0

    def result(self):
        return self.best


class Kept(Largest):
    def state(self):
        return {"best": self.best}

    def load_state(self, state):
        self.best = state["best"]


def test_sums_of_ones_own_need_a_state_of_ones_own():
    for call in (Largest().state, lambda: Largest().load_state({})):
        with pytest.raises(TypeError, match=r"Largest defines update and reset.*define state\("):
            call()
    with pytest.raises(TypeError, match="Largest defines update"):
        type("Further", (Largest,), {})().state()
    metric, again = Kept(), Kept()
    metric.update(None, np.array([0.25]))
    again.load_state(metric.state())
    assert again.result() == 0.25

    class Both(Portable):
        """Its update adds to the sums, too, and its state knows of both."""

        count = 0

        def update(self, y_true, y_pred):
            self.count += 1
            super().update(y_true, y_pred)

        def compute(self, xp, y_true, y_pred):
            return y_true == y_pred

        def state(self):
            return {"sums": super().state(), "count": self.count}

    both = Both("both")
    both.update(np.ones(3), np.ones(3))
    assert both.state() == {"sums": {"total": 3.0, "count": 3, "waiting": None}, "count": 1}


GOOD = {"total": 1.0, "count": 2, "waiting": None}


@pytest.mark.parametrize(
    "wrong",
    [
        *(None, [], {}, {"total": 1.0}, {**GOOD, "more": 1}, {**GOOD, "total": 1}),
        *({**GOOD, "total": "1"}, {**GOOD, "count": -1}, {**GOOD, "count": 1.0}),
        *({**GOOD, "count": True}, {**GOOD, "waiting": "x"}),
    ],
)
def test_what_is_no_state_is_refused_and_nothing_is_changed(wrong):
    metric = get_metric("mae")
    metric.load_state(GOOD)
    with pytest.raises(ValueError, match=r"^mae: .*load_state: "):
        metric.load_state(wrong)
    assert metric.state() == GOOD
    objective = Objective("mse", ["mae", "mse"], None)
    objective.load_state({"loss": GOOD, "metrics": {"mse": GOOD, "mae": GOOD}})
    before = copy.deepcopy(objective.state())
    for state in (
        {"loss": wrong, "metrics": {"mae": GOOD, "mse": GOOD}},
        {"loss": {**GOOD, "total": 9.0}, "metrics": {"mae": GOOD, "mse": wrong}},
        {"loss": GOOD, "metrics": wrong},
        wrong,
    ):
        with pytest.raises(ValueError, match="load_state"):
            objective.load_state(state)
        assert objective.state() == before


def test_an_objective_goes_on_to_the_bit():
    cr.seed(0)
    model = Sequential([Dense(3, "softmax", kernel_regularizer="l2")])
    model.build((None, 3))
    loss = "categorical_crossentropy"
    whole = Objective(loss, ["accuracy", "mae"], "softmax")
    first = Objective(loss, ["accuracy", "mae"], "softmax")
    for i, (y, x) in enumerate(batches(6)):
        y = np.eye(3, dtype="float32")[y.argmax(axis=-1)]
        if i == 3:
            kept = json.loads(json.dumps(first.state(), sort_keys=True))
            first = Objective(loss, ["accuracy", "mae"], "softmax")
            first.load_state(kept)
        for each in (whole, first):
            outputs = each.outputs(model, x)
            each.evaluate(y, outputs, model.losses)
            each.update_metrics(y, outputs)
    assert first.logs() == whole.logs()
    with pytest.raises(ValueError, match=r"of the metrics \['accuracy', 'mae'\], but .*\['mse'\]"):
        Objective(loss, ["mse"], "softmax").load_state(first.state())


@pytest.mark.parametrize("name", LOSSES)
def test_losses_have_configurations(name):
    loss = LOSSES[name](reduction="sum", name="mine")
    again = get_loss(json.loads(json.dumps(loss.to_config())))
    assert type(again) is type(loss) and vars(again) == vars(loss)
    plain = get_loss(LOSSES[name]().to_config())
    assert vars(plain) == vars(LOSSES[name]())


@pytest.mark.parametrize("name", METRICS)
def test_metrics_have_configurations(name):
    metric = METRICS[name](name="mine")
    again = get_metric(json.loads(json.dumps(metric.to_config())))
    assert type(again) is type(metric) and again.get_config() == metric.get_config()


def test_functions_have_none():
    with pytest.raises(TypeError, match="argument 'function' is <function"):
        get_loss(lambda a, b: a - b).get_config()
    with pytest.raises(TypeError, match="argument 'function' is <function"):
        get_metric(lambda a, b: a == b).to_config()
    with pytest.raises(ValueError, match=r"class_name 'Nonsense' is unknown; known: .*Huber"):
        get_loss({"class_name": "Nonsense", "config": {}})
