"""Learning-rate schedules: their formulas, what an optimiser does with them, what it keeps."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule.optim import SGD, Adam, schedules
from chainrule.optim.schedules import (
    CosineDecay,
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
)

MADE = {
    "CosineDecay": CosineDecay(0.01, 50, alpha=0.1, warmup_target=0.2, warmup_steps=7),
    "ExponentialDecay": ExponentialDecay(0.1, 30, 0.7, staircase=True),
    "InverseTimeDecay": InverseTimeDecay(0.1, 30, 0.7),
    "PiecewiseConstantDecay": PiecewiseConstantDecay([3, 40], [0.3, 0.2, 0.1]),
    "PolynomialDecay": PolynomialDecay(0.3, 20, 0.05, power=2.0, cycle=True),
}
steps = st.integers(0, 10_000)
rate = st.floats(0, 10)


def by_keras(schedule, step):
    """The formulas of Keras 3's documentation, written out once more from there."""
    c = schedule.get_config()
    if isinstance(schedule, PiecewiseConstantDecay):
        for boundary, value in zip(c["boundaries"], c["values"]):  # noqa: B905 - one value more
            if step <= boundary:
                return value
        return c["values"][-1]
    first, total = c["initial_learning_rate"], c["decay_steps"]
    if isinstance(schedule, (ExponentialDecay, InverseTimeDecay)):
        p = step / total
        p = math.floor(p) if c["staircase"] else p
        falls = isinstance(schedule, ExponentialDecay)
        return first * math.pow(c["decay_rate"], p) if falls else first / (1 + c["decay_rate"] * p)
    if isinstance(schedule, PolynomialDecay):
        if c["cycle"]:
            total *= 1 if step == 0 else math.ceil(step / total)
        else:
            step = min(step, total)
        p = step / total
        return (first - c["end_learning_rate"]) * (1 - p) ** c["power"] + c["end_learning_rate"]

    def wave(step, top):
        decayed = (1 - c["alpha"]) * 0.5 * (1 + math.cos(math.pi * step / total)) + c["alpha"]
        return top * decayed

    if c["warmup_target"] is None:
        return wave(min(step, total), first)
    if step < c["warmup_steps"]:
        return (c["warmup_target"] - first) * step / c["warmup_steps"] + first
    return wave(min(step - c["warmup_steps"], total), c["warmup_target"])


@pytest.mark.parametrize("name", MADE)
def test_each_is_kerass_formula_at_every_step_of_the_beginning(name):
    for step in range(150):
        assert MADE[name](step) == pytest.approx(by_keras(MADE[name], step), rel=1e-12)


@pytest.mark.parametrize("name", MADE)
@given(step=steps)
def test_each_is_kerass_formula(name, step):
    assert MADE[name](step) == pytest.approx(by_keras(MADE[name], step), rel=1e-12)


@given(step=steps, first=rate, total=st.integers(1, 100), flag=st.booleans())
def test_other_arguments_too(step, first, total, flag):
    for schedule in (
        ExponentialDecay(first, total, 0.9, not flag),
        InverseTimeDecay(first, total, 0.9, flag),
        PolynomialDecay(first, total, 0.5, 1.5, flag),
        CosineDecay(first, total, 0.25, *((0.7, 12) if flag else (None, 12))),
    ):
        assert schedule(step) == pytest.approx(by_keras(schedule, step), rel=1e-9, abs=1e-12)


def test_all_of_them_are_here_and_survive_json():
    assert set(MADE) == set(schedules.SCHEDULES)
    for schedule in MADE.values():
        again = schedules.from_config(json.loads(json.dumps(schedule.to_config())))
        assert type(again) is type(schedule)
        assert repr(again) == repr(schedule)
        assert [again(step) for step in range(99)] == [schedule(step) for step in range(99)]


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: ExponentialDecay("0.1", 10, 0.5), TypeError, "initial_learning_rate must be"),
        (lambda: ExponentialDecay(0.1, 0, 0.5), ValueError, "decay_steps must be a whole number"),
        (lambda: ExponentialDecay(0.1, 1.5, 0.5), ValueError, "decay_steps must be a whole"),
        (lambda: ExponentialDecay(0.1, math.inf, 0.5), ValueError, "decay_steps must be a whole"),
        (lambda: InverseTimeDecay(0.1, 10, -0.5), ValueError, "decay_rate must be"),
        (lambda: PolynomialDecay(0.1, 10, power=0), ValueError, "power must be positive"),
        (lambda: CosineDecay(0.1, 10, alpha=1.5), ValueError, r"alpha must be in \[0, 1\]"),
        (lambda: CosineDecay(0.1, 10, warmup_target=math.nan), ValueError, "warmup_target must"),
        (lambda: PiecewiseConstantDecay([2, 1], [1, 2, 3]), ValueError, "boundaries must incr"),
        (lambda: PiecewiseConstantDecay([1], [1]), ValueError, "1 values for 1 boundaries"),
        (lambda: PiecewiseConstantDecay(3, [1]), TypeError, "boundaries must be a list"),
        (lambda: CosineDecay(0.1), TypeError, "decay_steps"),
        (lambda: SGD(learning_rate=CosineDecay), TypeError, r"write CosineDecay\(\.\.\.\)"),
        (lambda: SGD(learning_rate=lambda step: -1.0), ValueError, "at step 0, must be a finite"),
        (lambda: SGD(learning_rate=0), ValueError, "learning_rate must be positive"),
    ],
)
def test_arguments_out_of_range_are_refused(make, error, text):
    with pytest.raises(error, match=text):
        make()


# In an optimiser --------------------------------------------------------------------------------


def weight():
    return cr.tensor([1.0, -2.0, 3.0], requires_grad=True)


def step(optimizer):
    [w] = optimizer.parameters
    w.grad = None
    (w * w).sum().backward()
    optimizer.step()


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_each_step_has_the_schedules_rate(kind):
    schedule = PolynomialDecay(0.3, 6, 0.05)
    followed, by_hand = kind([weight()], schedule), kind([weight()], 1.0)
    for i in range(9):
        assert followed.iterations == i
        assert followed.learning_rate == schedule(i)
        by_hand.learning_rate = schedule(i)
        step(followed)
        step(by_hand)
        np.testing.assert_array_equal(followed.parameters[0].numpy(), by_hand.parameters[0].numpy())
    assert followed.iterations == by_hand.iterations == 9
    assert repr(followed).startswith(f"{kind.__name__}(learning_rate=PolynomialDecay(")


def test_a_number_takes_the_place_of_a_schedule_and_back():
    sgd = SGD([weight()], MADE["ExponentialDecay"])
    step(sgd)
    sgd.learning_rate = 0.5
    assert (sgd.learning_rate, sgd.schedule) == (0.5, None)
    step(sgd)
    assert sgd.learning_rate == 0.5
    sgd.learning_rate = MADE["CosineDecay"]
    assert sgd.learning_rate == MADE["CosineDecay"](2)
    with pytest.raises(ValueError, match="learning_rate"):
        sgd.learning_rate = -1
    assert sgd.schedule is MADE["CosineDecay"]


def test_a_schedule_that_fails_changes_nothing():
    def fails_later(step):
        return 0.1 if step < 2 else math.nan

    sgd = SGD([weight()], fails_later, momentum=0.9)
    step(sgd)
    step(sgd)
    before = sgd.state(), sgd.parameters[0].numpy().copy()
    with pytest.raises(ValueError, match="at step 2, must be a finite number"):
        sgd.step()
    np.testing.assert_equal((sgd.state(), sgd.parameters[0].numpy()), before)


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_the_state_goes_on_where_the_schedule_was(kind):
    schedule = MADE["CosineDecay"]
    one = kind([weight()], schedule)
    for _ in range(5):
        step(one)
    other = kind([cr.tensor(one.parameters[0].numpy(), requires_grad=True)], schedule)
    other.load_state(copy.deepcopy(one.state()))
    for _ in range(5):
        assert other.learning_rate == one.learning_rate
        step(one)
        step(other)
    np.testing.assert_array_equal(one.parameters[0].numpy(), other.parameters[0].numpy())


def test_a_rate_set_by_hand_survives_and_replaces_the_schedule():
    one, other = SGD([weight()], MADE["CosineDecay"]), SGD([weight()], MADE["CosineDecay"])
    one.learning_rate = 0.125
    other.load_state(one.state())
    assert (other.learning_rate, other.schedule) == (0.125, None)


def test_states_from_before_there_were_schedules():
    adam = Adam([weight(), weight()])
    old = {key: value for key, value in adam.state().items() if key != "iterations"}
    old |= {"steps.0": 3, "steps.1": 5}
    adam.load_state(old)
    assert adam.iterations == 5
    scheduled = Adam([weight(), weight()], MADE["CosineDecay"])
    with pytest.raises(ValueError, match=r"missing \['iterations'\]"):
        scheduled.load_state(old)
    with pytest.raises(ValueError, match="followed a schedule, and this optimiser has none"):
        Adam([weight(), weight()]).load_state(scheduled.state())
    for wrong in (-1, 1.5, "3"):
        with pytest.raises((ValueError, TypeError), match="iterations must be a whole number"):
            adam.load_state(adam.state() | {"iterations": wrong})
    assert adam.iterations == 5


# Configurations ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(learning_rate=0.3, momentum=0.9, nesterov=True, weight_decay=1e-3, clipnorm=2.0),
        SGD(),
        Adam(0.0 or None, 0.2, 0.8, 0.99, 1e-6, 1e-4, global_clipnorm=0.5),
        Adam(as_printed=True, clipvalue=1.0),
        *[SGD(learning_rate=each) for each in MADE.values()],
    ],
)
def test_an_optimisers_configuration_makes_an_equal_one(optimizer):
    config = json.loads(json.dumps(optimizer.to_config()))
    again = cr.optim.get(config)
    assert type(again) is type(optimizer)
    assert repr(again) == repr(optimizer)
    assert again.to_config() == config == again.made_with()


def test_a_configuration_has_the_rate_of_now_and_remembers_that_of_the_beginning():
    sgd = SGD(learning_rate=0.5)
    sgd.learning_rate = 0
    assert sgd.get_config()["learning_rate"] == 0
    assert sgd.made_with()["config"]["learning_rate"] == 0.5
    assert cr.optim.get(sgd.to_config()).learning_rate == 0
    with pytest.raises(TypeError, match=r"SGD.get_config: argument 'learning_rate' is <function"):
        SGD(learning_rate=lambda step: 0.1).get_config()


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"learning_rate": "fast"}, "config.learning_rate: SGD: learning_rate must be"),
        ({"rate": 0.1}, "SGD: there is no argument 'rate'"),
        (
            {"learning_rate": {"class_name": "os.system", "config": {}}},
            r"learning_rate: class_name 'os.system' is unknown; known: CosineDecay, .*custom_obj",
        ),
        (
            {"learning_rate": {"class_name": "CosineDecay", "config": {"decay_steps": []}}},
            "learning_rate.config",
        ),
    ],
)
def test_configurations_that_do_not_fit_name_the_place(config, text):
    with pytest.raises(ValueError, match=text):
        cr.optim.get({"class_name": "SGD", "config": config})


def test_a_rate_that_grows_beyond_all_numbers_says_why():
    growing = schedules.ExponentialDecay(0.1, decay_steps=1, decay_rate=2.0)
    assert growing(3) == 0.8
    with pytest.raises(ValueError, match=r"decay_rate=2.0 .* after 2,000 steps; give one below 1"):
        growing(2000)
