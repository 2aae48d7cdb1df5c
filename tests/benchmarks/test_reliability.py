"""What measures whether a run can be trusted would notice if it could not."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from benchmarks.reliability import __main__ as command
from benchmarks.reliability import corrupt, kill, memmap, soak
from benchmarks.reliability.figures import Figure, Found
from benchmarks.reliability.processes import Child, JobError, Peak, holdings, run
from benchmarks.reliability.trained import digest
from chainrule.training.saving.bundle import write_bundle
from tests.training.saving import corruption

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def write(folder, step):
    """A checkpoint as the killed runs leave them."""
    path = folder / f"step-{step:010d}"
    document = {"state": {"run": {"phase": "train", "batch": step}}}
    write_bundle(path, "checkpoint", document, {"weights": {"w": np.arange(100.0)}})
    return path


def inspected(folder, newest=0):
    tally = kill.Tally()
    return kill.inspect(folder, newest, "here", tally), tally


def test_whole_checkpoints_are_no_fault(tmp_path):
    write(tmp_path, 3)
    write(tmp_path, 6)
    step, tally = inspected(tmp_path, 3)
    assert step == 6 and not tally.faults and not kill.unfinished(tmp_path)
    assert tally.counts["read whole"] == 2
    assert tally.counts["resumed amid an epoch"] == 1


def test_an_unfinished_checkpoint_is_refused_and_no_fault(tmp_path):
    write(tmp_path, 3)
    path = write(tmp_path, 6)
    (path / "checkpoint.json").rename(path / ".checkpoint.json.0a1b2c3d.tmp")
    assert set(kill.unfinished(tmp_path)) == {path, path / ".checkpoint.json.0a1b2c3d.tmp"}
    step, tally = inspected(tmp_path, 3)
    assert step == 3 and not tally.faults
    assert tally.counts["left unfinished"] == tally.counts["unfinished refused"] == 1


@pytest.mark.parametrize("name", ["checkpoint.json", "weights-*.safetensors"])
def test_a_torn_checkpoint_is_a_fault(tmp_path, name):
    (file,) = write(tmp_path, 6).glob(name)
    file.write_bytes(file.read_bytes()[:-1])
    _, tally = inspected(tmp_path)
    assert len(tally.faults) == 1 and "step-0000000006" in tally.faults[0]


def test_a_checkpoint_that_is_gone_is_a_fault(tmp_path):
    write(tmp_path, 3)
    _, tally = inspected(tmp_path, 6)
    assert tally.faults == ["here: the checkpoint of step 6 is lost, step 3 left"]


def test_a_torn_model_is_a_fault(tmp_path):
    write_bundle(tmp_path / "epoch-0001", "model", {}, {"weights": {"w": np.arange(9.0)}})
    tally = kill.Tally()
    kill.inspect_models(tmp_path, "here", tally)
    assert not tally.faults and tally.counts["models read"] == 1
    (file,) = tmp_path.glob("epoch-0001/weights-*")
    file.unlink()
    kill.inspect_models(tmp_path, "here", tally)
    assert len(tally.faults) == 1 and "epoch-0001" in tally.faults[0]


def test_digests_tell_every_bit_apart():
    values = [
        *(np.zeros(2), -np.zeros(2), np.zeros((2, 1)), np.zeros(2, "float32"), [0.0, 0.0]),
        *({"a": 1.0}, {"b": 1.0}, {"a": 1}, {"a": 1.0 + 2**-52}, {"a": {"a": 1.0}}, "a", None),
    ]
    assert len({digest(each) for each in values}) == len(values)
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest(float("nan")) == digest(float("nan"))


@needs_proc
def test_the_peak_of_memory_sees_what_is_freed_again():
    with Peak(0.001) as peak:
        taken = np.ones(64_000_000, np.uint8)  # more than malloc ever keeps for later
        at_most = peak.samples
        while peak.samples < at_most + 3:
            taken[0] ^= 1
        del taken
        now = holdings()["anonymous"]
    assert peak.growth >= 50e6
    assert now < peak.most - 15e6


@needs_proc
def test_little_of_a_mapped_file_is_in_memory():
    found = memmap.measure(gigabytes=0.004)
    assert found.details["bytes"] == pytest.approx(4e6, rel=0.1)
    for way in memmap.WAYS:
        assert found.details[way]["growth"] > 0 and np.isfinite(found.details[way]["loss"])


@needs_proc
def test_a_long_run_leaves_no_file_and_no_thread_behind():
    found = soak.measure(steps=240)
    held = found.details["held"]
    assert [each["step"] for each in held] == [60, 120, 180, 240]
    assert held[-1]["descriptors"] == held[0]["descriptors"]
    # The main one, that which writes checkpoints, and that which prefetches.
    assert max(each["threads"] for each in held) <= 3


def test_a_damaged_file_that_loads_is_a_fault(monkeypatch):
    assert not corrupt.measure(cases=10).faults
    monkeypatch.setattr(corruption, "load", lambda folder, bare: None)
    found = corrupt.measure(cases=3)
    assert len(found.faults) == 3 and found.faults[0].startswith("loaded: ")
    assert {each.what: each.value for each in found.figures}["loaded all the same"] == 3


def test_a_job_that_fails_says_why():
    with pytest.raises(JobError, match="no such kind as 'other'"):
        run("train", kind="other", seed=0, best="")


def test_what_a_job_returns_is_its_last_line_however_many_were_waited_for(tmp_path):
    """A run that is over is resumed: nothing is trained, and the first line is the result."""
    arguments = {"kind": "arrays", "seed": 0, "epochs": 1, "every": 9}
    arguments |= {"folder": str(tmp_path / "run"), "best": str(tmp_path / "best")}
    first = run("train", **arguments)
    child = Child("train", **arguments)
    child.wait_for_line()
    child.wait_for_line()
    assert not child.kill()
    assert child.result() == first


def test_a_killed_job_has_no_result():
    child = Child("train", kind="arrays", seed=0, best="unused")
    assert child.is_running and child.kill() and not child.is_running


def test_a_missed_target_is_told_and_only_a_fault_fails(tmp_path, monkeypatch, capsys):
    figures = [Figure("memory", 1.5, "MB", most=1), Figure("files", 0, most=0), Figure("it", 2.0)]
    faults = []
    monkeypatch.setattr(soak, "measure", lambda steps, seed: Found("soak", figures, {}, faults))
    monkeypatch.setitem(sys.modules, "benchmarks.reliability.soak", soak)
    file = tmp_path / "found.json"
    assert command.main(["soak", "--steps", "7", "--json", str(file)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split() for line in printed if line.startswith("memory")] == [
        ["memory", "1.5", "MB", "at", "most", "1", "MB", "missed"]
    ]
    assert any(line.split() == ["files", "0", "at", "most", "0", "reached"] for line in printed)
    assert json.loads(file.read_text())["found"][0]["figures"][0]["value"] == 1.5
    faults.append("a run ended otherwise")
    assert command.main(["soak"]) == 1
    assert "FAULT: a run ended otherwise" in capsys.readouterr().out


@pytest.mark.parametrize(("given", "said"), [("kil", "known: kill"), ("--runs=0", "positive")])
def test_what_cannot_be_measured_is_refused(given, said, capsys):
    with pytest.raises(SystemExit):
        command.main([given])
    assert said in capsys.readouterr().err
