"""A sample of the campaign (`python -m tests.mutants` is the whole): every kind of wrong VJP."""

from __future__ import annotations

import pytest

import chainrule as cr
from chainrule.engine.record import RECORDS

from .campaign import Alarms, Campaign, campaign, missed_sites, rows, sites_for, survivors
from .checkers import CHECKERS, Checker
from .drawn import look_for_alarms
from .kinds import KINDS
from .layers import layer_campaign, wholes
from .plant import Mutant, mutants_of, records
from .report import marks, section, write
from .sites import Evidence

OURS = CHECKERS[0]
VISIBLE = [kind for kind in KINDS if kind.group != "hidden"]
#: Together they take every kind: broadcast, square, fused, joint, composed, tied, with an axis.
SAMPLE = ("divide", "softmax", "max", "solve", "matmul", "silu", "where", "sort", "roll")


def sample(kind, most=3):
    """Mutants of a kind, in the operations of the sample that it fits."""
    found = [mutants_of(RECORDS[name], [kind])[:1] for name in SAMPLE]
    return [mutant for mutants in found for mutant in mutants][:most]


@pytest.mark.parametrize("kind", VISIBLE, ids=lambda kind: kind.name)
def test_every_kind_is_found(kind):
    outcomes = []
    for mutant in sample(kind, len(SAMPLE)):
        outcomes.append(Campaign(mutant.record, [OURS], Alarms()).run(mutant))
        if outcomes[-1].live:
            break
    assert any(each.live for each in outcomes)
    assert survivors(outcomes, OURS) == []


@pytest.mark.parametrize(
    ("name", "every"),
    [("Dense tanh", 2), ("LSTM", 2), ("MLP mse", 9), ("loss mean_squared_error", 1)],
)
def test_they_are_found_through_layers_models_and_losses(name, every):
    (whole,) = (each for each in wholes() if each.name == name)
    kinds = ("sign", "missing argument", "unbroadcast dropped", "one entry")
    outcome = layer_campaign([whole], kinds, ("transposed", "part ignored"), every=every)
    assert outcome.found == outcome.planted > 3
    assert outcome.survivors == []


def test_nothing_is_found_in_the_table_as_it_is():
    found = look_for_alarms(OURS, 140, first_seed=77)
    assert (found.cases, found.alarms) == (140, [])
    assert len(found.by_record) > 100


# The campaign itself ------------------------------------------------------------------------


def test_planting_is_undone():
    for record in (RECORDS["tanh"], RECORDS["solve"], RECORDS["sort"], RECORDS["silu"]):
        before = dict(vars(record))
        for mutant in mutants_of(record):
            with pytest.raises(ZeroDivisionError), mutant.planted():
                raise ZeroDivisionError
        assert vars(record) == before


def test_a_planted_fault_is_the_one_it_says():
    x = cr.tensor([0.5, -1.0], requires_grad=True)
    right = (1 - cr.tanh(x.detach()) ** 2).numpy()
    for name, factor in (("sign", -1), ("factor 2", 2), ("zero", 0), ("error 1e-4", 1.0001)):
        (kind,) = (each for each in KINDS if each.name == name)
        with Mutant(kind, RECORDS["tanh"], 0).planted():
            (found,) = cr.grad([cr.tanh(x)], [x], [cr.ones(2)])
        assert found.numpy() == pytest.approx(factor * right, rel=1e-12)


def test_faults_that_no_case_can_show_count_as_equivalent():
    for record in records()[::20]:
        sites = sites_for(VISIBLE[0], record, 0)
        evidence = Evidence.of(sites, False)
        for mutant in mutants_of(record, [kind for kind in KINDS if kind.group == "hidden"]):
            assert not any(evidence.against(mutant, site) for site in sites), mutant


def test_a_checker_that_finds_nothing_has_survivors_and_one_that_always_does_finds_none():
    def refuse(site):
        raise AssertionError("wrong")

    blind = Checker("blind", lambda site: None, None, "")
    alarmed = Checker("alarmed", refuse, None, "")
    outcomes, alarms = campaign([RECORDS["tanh"]], [blind, alarmed], VISIBLE[:2])
    assert [row[0] for row in rows(outcomes, [blind])] == ["sign", "factor 2"]
    for checker in (blind, alarmed):  # an alarm at the right gradient proves nothing
        assert len(survivors(outcomes, checker)) == 2
        assert missed_sites(outcomes, checker)[:2] == (0, 4)
    assert alarms.raised["alarmed"] == alarms.shown["alarmed"] > 0 == alarms.raised["blind"]


def test_the_section_is_replaced_in_its_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Title\n\nBefore.\n")
    outcomes, alarms = campaign([RECORDS["tanh"]], [], VISIBLE[:1])
    for _ in range(2):
        write(section(outcomes, alarms, []), page=page)
        page.write_text(page.read_text() + "\nAfter.\n")
    text = page.read_text()
    assert [text.count(mark) for mark in marks("")] == [1, 1]
    assert text.startswith("# Title\n\nBefore.\n") and text.count("After.") == 2
    assert "| sign | the gradient with the wrong sign | 1 |" in text


@pytest.mark.parametrize("checker", CHECKERS[2:], ids=lambda checker: checker.name)
def test_other_checkers_see_what_they_can(checker):
    if not checker.installed:
        pytest.skip(f"{checker.package} is not installed")
    (kind,) = (each for each in KINDS if each.name == "factor 2")
    for name in ("tanh", "matmul"):
        record = RECORDS[name]
        outcome = Campaign(record, [checker], Alarms()).run(Mutant(kind, record, 0))
        assert outcome.killed(checker.name)
