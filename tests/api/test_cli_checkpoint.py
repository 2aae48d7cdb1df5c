"""`chainrule train --checkpoint`: a run that was killed goes on, and what it writes is a model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import chainrule as cr
from chainrule.cli import main
from chainrule.training.saving.folders import checkpoints

QUICK = ["--epochs", "3", "--hidden", "16"]


def files(folder: Path) -> tuple[bytes, object]:
    result = json.loads((folder / "history.json").read_text())
    return (folder / "weights.safetensors").read_bytes(), result["history"]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals to kill by")
def test_a_run_that_was_killed_goes_on_and_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "chainrule", "train", "--hidden", "16", "--epochs", "200"]
    kept = ["--checkpoint", str(tmp_path / "kept"), "--every", "7"]
    process = subprocess.Popen([*command, *kept], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(checkpoints(tmp_path / "kept")) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    newest = checkpoints(tmp_path / "kept")[-1]
    step = int(newest.name.removeprefix("step-"))
    epochs = ["--epochs", str(step // 40 + 2)]
    assert main(["train", "--hidden", "16", *epochs, *kept, "--resume"]) == 0
    assert main(["train", "--hidden", "16", *epochs, "--output", str(tmp_path / "whole")]) == 0
    assert files(tmp_path / "kept") == files(tmp_path / "whole")


def test_what_it_writes_is_a_model_that_knows_its_classes(tmp_path: Path) -> None:
    assert main(["train", *QUICK, "--output", str(tmp_path)]) == 0
    model, data = cr.load_model(tmp_path / "model"), cr.datasets.digits()
    expected = json.loads((tmp_path / "history.json").read_text())
    assert model.evaluate(data.x_test, data.y_test, 256, verbose=0)[0] == expected["test_loss"]
    assert set(model.predict_classes(data.x_test)) <= set(data.classes)


def test_a_run_is_resumed_with_its_own_arguments_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = ["--checkpoint", str(tmp_path / "kept"), "--every", "20"]
    assert main(["train", *QUICK, *kept]) == 0
    for others, field in (
        (["--hidden", "17"], "model.layers[1].units: 16 in the checkpoint, 17 now"),
        (["--batch-size", "16"], "data.batch_size: 32 in the checkpoint, 16 now"),
        (["--optimizer", "sgd"], "compile.optimizer: Adam in the checkpoint, SGD now"),
        (["--seed", "1"], "was not started with --seed 1; give its own seed"),
    ):
        capsys.readouterr()
        assert main(["train", *QUICK, *kept, "--resume", *others]) == 2
        assert field in capsys.readouterr().err
    assert main(["train", *QUICK, *kept]) == 2
    told = capsys.readouterr()
    assert "holds the checkpoints of an earlier run, the newest step-0000000120" in told.err
    assert "; --resume goes on with that run" in told.err
    assert told.out == ""
    inner = ["--checkpoint", str(tmp_path / "kept" / "step-0000000120"), "--resume"]
    assert main(["train", *QUICK, *inner]) == 2
    assert f"give the folder around it, {tmp_path / 'kept'}" in capsys.readouterr().err


def test_a_run_with_a_seed_of_its_own_is_resumed_with_it(tmp_path: Path) -> None:
    kept = ["--checkpoint", str(tmp_path), "--seed", "5"]
    assert main(["train", *QUICK, *kept]) == 0
    assert main(["train", *QUICK, *kept, "--resume"]) == 0


@pytest.mark.parametrize(
    ("every", "message"),
    [("1", "The same command with --resume goes on from step-"), ("9999", "no checkpoint yet")],
)
def test_ctrl_c_tells_whether_there_is_something_to_go_on_from(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    every: str,
    message: str,
) -> None:
    from chainrule.training.run import Run

    finished = Run._train

    def interrupted(self: Run) -> None:
        finished(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "_train", interrupted)
    assert main(["train", *QUICK, "--checkpoint", str(tmp_path), "--every", every]) == 130
    assert message in capsys.readouterr().out
    assert (tmp_path / "weights.safetensors").exists()


def test_results_that_cannot_be_written_are_an_error_and_the_run_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from chainrule.training.sequential import Sequential

    def full(self: Sequential, path: Path) -> None:
        raise OSError(f"save_weights: cannot write {str(path)!r}: the disk is full")

    kept = [*QUICK, "--checkpoint", str(tmp_path / "kept")]
    with monkeypatch.context() as patched:
        patched.setattr(Sequential, "save_weights", full)
        assert main(["train", *kept]) == 2
        error = capsys.readouterr().err
        assert "the disk is full" in error
        assert f"(the run is kept: --checkpoint {tmp_path / 'kept'} --resume goes on)" in error
        assert main(["train", *QUICK, "--output", str(tmp_path / "other")]) == 2
        assert "is kept" not in capsys.readouterr().err
    assert main(["train", *kept, "--resume"]) == 0
    assert (tmp_path / "kept" / "weights.safetensors").exists()


def test_resume_is_followed_by_auto_or_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--checkpoint", "nowhere", "--resume", "always"])
    assert "must be followed by auto or by nothing, got 'always'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume"], "--resume needs a folder"),
        (["--every", "5"], "--every needs a folder"),
        (["--checkpoint", "missing", "--resume"], "has no checkpoint to go on from"),
    ],
)
def test_options_that_do_not_go_together(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_resume_auto_is_for_a_run_that_may_not_have_begun(tmp_path: Path) -> None:
    kept = ["--checkpoint", str(tmp_path), "--resume", "auto"]
    assert main(["train", *QUICK, *kept]) == 0
    before = files(tmp_path)
    assert main(["train", *QUICK, *kept]) == 0
    assert files(tmp_path) == before
