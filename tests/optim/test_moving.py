"""Optimisers go on after their parameters were moved to another device."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.devices import get_device
from chainrule.layers import Dense
from chainrule.models import Sequential
from chainrule.optim import SGD, Adam
from tests.gpu.strict import strict_device

assert strict_device.name == "strict"  # importing it has made it known

RULES = {
    "momentum": lambda parameters: SGD(parameters, 0.1, momentum=0.9, weight_decay=0.01),
    "adam": lambda parameters: Adam(parameters, 0.05),
}
each_rule = pytest.mark.parametrize("rule", RULES)
X = np.random.default_rng(0).normal(size=(6, 3))


def model():
    cr.seed(5)
    made = Sequential([Dense(4, "tanh", dtype="float64"), Dense(2, dtype="float64")])
    made.build((None, 3))
    return made


def step(net, optimizer, times=1):
    for _ in range(times):
        optimizer.zero_grad()
        (net(X) ** 2).sum().backward()
        optimizer.step()


def values(net):
    return [each.cpu().numpy().copy() for _, each in net.named_weights()]


def same(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-14)


@each_rule
@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("far", ["emulated", "strict"])
def test_a_step_after_a_move_is_the_one_that_would_have_been(rule, copied, far):
    here, there = model(), model()
    first, second = RULES[rule](here.parameters()), RULES[rule](there.parameters())
    for device in (far, "cpu", far):
        step(here, first, 2)
        step(there, second, 2)
        there.to(device)
        if copied:  # a copy is not laid out yet, and its memory is where it was
            there, second = copy.deepcopy((there, second))
        same(values(there), values(here))
    step(here, first)
    step(there, second)
    same(values(there), values(here))
    blocks = {id(place.block): place.block for place in second._places}.values()
    assert {block.device.name for block in blocks} == {far}
    assert {each.device for each in there.parameters()} == {far}


@each_rule
@pytest.mark.parametrize("far", ["emulated", "strict"])
def test_the_state_is_numpy_wherever_the_parameters_are_and_loads_anywhere(rule, far):
    net = model()
    optimizer = RULES[rule](net.parameters())
    step(net, optimizer, 3)
    before = copy.deepcopy(optimizer.state())
    net.to(far)
    for stepped in (False, True):
        if stepped:
            step(net, optimizer)
            optimizer.load_state(before)
        state = optimizer.state()
        assert state.keys() == before.keys()
        for key, each in state.items():
            assert isinstance(each, (float, int, np.ndarray))
            np.testing.assert_array_equal(each, before[key])
    fresh = model().to(far)
    for (_, ours), (_, theirs) in zip(fresh.named_weights(), net.named_weights(), strict=True):
        ours.assign(theirs)
    other = RULES[rule](fresh.parameters())
    other.load_state(before)
    step(net, optimizer)
    step(fresh, other)
    same(values(fresh), values(net))


def test_a_gradient_moves_along_and_one_given_from_elsewhere_is_fetched():
    net = model()
    sgd = SGD(net.parameters(), 0.5)
    (net(X) ** 2).sum().backward()
    before, gradients = values(net), [each.grad.numpy().copy() for each in net.parameters()]
    net.to("emulated")
    sgd.step()
    same(values(net), [w - 0.5 * g for w, g in zip(before, gradients, strict=True)])


def test_two_optimisers_of_one_moved_model_keep_to_their_halves():
    nets = model(), model()
    pairs = []
    for net in nets:
        halves = [net.sublayers()[i][1].parameters() for i in (0, 1)]
        pairs.append((Adam(halves[0], 0.05), SGD(halves[1], 0.1, momentum=0.9)))
    for turn in range(4):
        if turn == 2:
            nets[1].to("emulated")
        for net, pair in zip(nets, pairs, strict=True):
            step(net, pair[turn % 2])
            for each in net.parameters():
                each.grad = None
    same(values(nets[1]), values(nets[0]))


def test_a_frozen_layer_that_moved_is_left_alone():
    net = model().to("emulated")
    adam = Adam(net.parameters())
    step(net, adam)
    net.sublayers()[0][1].trainable = False
    before = values(net)
    net.cpu().to("emulated")
    step(net, adam)
    after = values(net)
    same(after[:2], before[:2])
    assert not np.array_equal(after[2], before[2])


def test_a_step_reads_nothing_from_the_device():
    net, device = model().to("emulated"), get_device("emulated")
    for clip in ({}, {"clipnorm": 0.1}, {"global_clipnorm": 0.1}, {"clipvalue": 0.01}):
        adam = Adam(net.parameters(), **clip)
        step(net, adam)
        before = device.copies_back
        step(net, adam, 3)
        assert device.copies_back == before
