"""The command line: the main job end to end, its errors, Ctrl-C, and the doctor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.cli import main

QUICK = ["--epochs", "1", "--hidden", "16"]


@pytest.mark.slow
def test_the_main_job_reaches_its_accuracy_and_writes_its_results(tmp_path: Path) -> None:
    """As a user runs it: with all BLAS threads, whose number decides the last bits of the sums."""
    environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
    command = [sys.executable, "-m", "chainrule", "train", "--output", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = done.stdout
    assert "Epoch 20/20" in text
    assert "\r" not in text  # not a terminal
    result = json.loads((tmp_path / "history.json").read_text())
    assert result["test_accuracy"] >= 0.97
    assert len(result["history"]["loss"]) == 20
    assert np.sum(result["confusion"]) == 360
    assert (tmp_path / "weights.safetensors").stat().st_size > 288_010 * 4
    for name in ("weights.safetensors", "history.json"):
        assert str(tmp_path / name) in text


def test_the_weights_can_be_loaded_again(tmp_path: Path) -> None:
    from chainrule.main_job import build

    assert main(["train", "--output", str(tmp_path), *QUICK]) == 0
    data = cr.datasets.digits()
    model = build([16], 10, "relu", "adam", None)
    model.build((None, 8, 8))
    model.load_weights(tmp_path / "weights.safetensors")
    expected = json.loads((tmp_path / "history.json").read_text())["test_loss"]
    assert model.evaluate(data.x_test, data.y_test, verbose=0)[0] == pytest.approx(expected)


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert main(["train", "--output", str(tmp_path / name), *QUICK, "--seed", "3"]) == 0
    one, two = (tmp_path / name / "weights.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_the_job_computes_where_it_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ["train", "--epochs", "1", "--hidden", "4", "--batch-size", "256", "--seed", "3"]
    assert main([*quick, "--output", str(tmp_path / "cpu")]) == 0
    assert "Computing on" not in capsys.readouterr().out
    assert main([*quick, "--output", str(tmp_path / "here"), "--device", "emulated"]) == 0
    assert "Computing on emulated" in capsys.readouterr().out
    monkeypatch.setenv("CHAINRULE_DEVICE", "emulated")
    assert main([*quick, "--output", str(tmp_path / "there")]) == 0
    assert "Computing on emulated" in capsys.readouterr().out
    results = [json.loads((tmp_path / n / "history.json").read_text()) for n in ("cpu", "here")]
    assert results[1]["test_loss"] == pytest.approx(results[0]["test_loss"], rel=1e-4)
    assert results[1]["arguments"]["device"] == "emulated"
    here, there = (tmp_path / name / "weights.safetensors" for name in ("here", "there"))
    assert here.read_bytes() == there.read_bytes()


def test_runs_get_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(["train", *QUICK]) == 0
    assert sorted(each.name for each in Path("runs").iterdir()) == ["digits-1", "digits-2"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--epochs", "0"], "epochs"),
        (["--batch-size", "0"], "batch size"),
        (["--hidden", "-5"], "width"),
        (["--learning-rate", "-1"], "above 0"),
        (["--learning-rate", "nan"], "above 0"),
        (["--activation", "swish"], "relu"),
        (["--optimizer", "lion"], "adam"),
        (["--device", "tpu"], "cpu"),
        (["--data", "no-such-file.npz"], "no-such-file.npz"),
        (["--data", "no-such-name"], "digits"),
        (["--seed", "-1"], "seed"),
    ],
)
def test_bad_input_is_an_error_of_one_line_before_any_training(
    arguments: list[str], told: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "chainrule", "train", *arguments]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 2
    assert told in found.stderr
    assert "Traceback" not in found.stderr
    assert "Epoch" not in found.stdout
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_cannot_be_written_is_found_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["train", "--output", str(tmp_path / "file" / "run")]) == 2
    streams = capsys.readouterr()
    assert "--output" in streams.err
    assert "Epoch" not in streams.out


def test_nan_in_the_data_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = np.zeros((4, 3), "float32"), np.array([0, 1, 0, 1])
    x[1, 2] = np.nan
    np.savez(tmp_path / "bad.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    arguments = ["train", "--data", str(tmp_path / "bad.npz"), "--output", str(tmp_path / "run")]
    assert main(arguments) == 2
    assert "x_train" in (error := capsys.readouterr().err)
    assert "nan" in error


def test_ctrl_c_saves_the_weights_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from chainrule.training.history import History

    def stop(self: History, epoch: int, logs: object = None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(History, "on_epoch_begin", stop, raising=False)
    assert main(["train", "--output", str(tmp_path), *QUICK]) == 130
    text = capsys.readouterr().out
    assert "Ctrl-C" in text
    assert str(tmp_path / "weights.safetensors") in text
    assert (tmp_path / "weights.safetensors").exists()


def test_the_doctor_tells_versions_and_devices(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for told in ("chainrule", "numpy", "BLAS", "threads", "cpu", "cuda", "not usable"):
        assert told in text


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"chainrule {cr.__version__}\n"
    assert main([]) == 2


def test_public_names_are_there() -> None:
    for name in cr.__all__:
        assert getattr(cr, name) is not None, name
    assert set(cr.__all__) == set(dir(cr))
    with pytest.raises(AttributeError, match="tahn"):
        cr.tahn  # noqa: B018


def test_the_command_is_installed() -> None:
    folder = Path(sys.executable).parent
    assert any((folder / name).exists() for name in ("chainrule", "chainrule.exe"))


def test_without_a_compiler_training_on_the_emulator_is_an_error_of_one_line(
    tmp_path: Path,
) -> None:
    """In a process of its own: this one may have compiled the kernels before."""
    command = [sys.executable, "-m", "chainrule", "train", "--device", "emulated", *QUICK]
    environment = os.environ | {"CXX": "no-such-compiler", "CHAINRULE_CACHE": str(tmp_path)}
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "run")],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "no-such-compiler" in line
