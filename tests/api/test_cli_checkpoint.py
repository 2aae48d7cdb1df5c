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
    ):
        capsys.readouterr()
        assert main(["train", *QUICK, *kept, "--resume", *others]) == 2
        assert field in capsys.readouterr().err
    assert main(["train", *QUICK, *kept]) == 2
    assert "holds the checkpoints of an earlier run" in capsys.readouterr().err


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
