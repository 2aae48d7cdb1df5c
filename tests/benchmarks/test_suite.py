"""The processes that take turns, on tiny sizes; nothing here depends on how fast anything is."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks.cpu.contenders import BY_NAME, CONTENDERS
from benchmarks.cpu.rounds import ContenderError, Process
from benchmarks.cpu.suite import Options, entrants
from benchmarks.cpu.worker import serve
from benchmarks.cpu.workload import workloads

SMALL = workloads(True)
PACKAGES = {each.builder: each.package for each in CONTENDERS if each.kind != "ours"}
#: All that have a program and are quick to build: JAX compiles, and PyTorch's least convolution
#: takes a tenth of a second.
TRAINED = [
    *(("chainrule", name) for name in ("p1-adam", "p2-text", "p3-cnn", "p4-encoder")),
    *(("torch", name) for name in ("p1-adam", "p2-text", "p4-encoder")),
    *((builder, "p1-adam") for builder in ("autograd", "mygrad", "jax")),
]


def answers(*questions):
    written = io.StringIO()
    serve(io.StringIO("\n".join(map(json.dumps, questions))), written)
    return [json.loads(line) for line in written.getvalue().splitlines()]


@pytest.mark.parametrize("name", list(SMALL))
def test_our_programs_run(name):
    program = SMALL[name].programs["chainrule"]()
    for seed in range(2):
        loss = program.step(program.convert(SMALL[name].draw(np.random.default_rng(seed))))
        assert loss is None or np.isfinite(loss)


@pytest.mark.parametrize(("builder", "name"), TRAINED)
def test_programs_learn(name, builder):
    """On one batch, the loss falls: each program updates what it computes with."""
    if builder != "chainrule":
        pytest.importorskip(PACKAGES[builder])
    program = SMALL[name].programs[builder]()
    batch = program.convert(SMALL[name].draw(np.random.default_rng(0)))
    losses = [program.step(batch) for _ in range(12)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", ["p2-text", "p4-encoder"])
def test_programs_over_the_same_weights_compute_the_same_loss(name):
    """Of the libraries that start from the same arrays; one has gelu by a tanh, within 1e-3."""
    losses = []
    for builder in ("autograd", "mygrad"):
        pytest.importorskip(builder)
        program = SMALL[name].programs[builder]()
        batch = program.convert(SMALL[name].draw(np.random.default_rng(0)))
        losses.append([program.step(batch) for _ in range(2)])
    np.testing.assert_allclose(*losses, rtol=1e-5 if name == "p2-text" else 1e-3)


def test_batches_are_drawn_anew():
    workload = SMALL["p1-adam"]
    (a, _), (b, _) = (workload.draw(np.random.default_rng((2, seed))) for seed in (1, 2))
    assert a.dtype == np.float32 and not np.array_equal(a, b)


def test_a_worker_answers_and_says_what_went_wrong():
    prepared, ran, wrong, early = answers(
        {"do": "prepare", "workload": "p5-10", "builder": "chainrule", "smoke": True},
        {"do": "run", "untimed": 1, "steps": 4, "seed": 0},
        {"do": "prepare", "workload": "p5-10", "builder": "nobody", "smoke": True},
        {"do": "run", "untimed": 1, "steps": 4, "seed": 0},
    )
    assert prepared["seconds"] > 0
    assert len(ran["times"]) == 4 and min(ran["times"]) > 0
    assert wrong == {"error": "KeyError: 'nobody'"}
    assert early == {"error": "RuntimeError: prepare a workload first"}
    assert answers({"do": "quit"}, {"do": "run", "untimed": 0, "steps": 1, "seed": 0}) == []


def test_a_slice_ends_when_it_takes_too_long():
    asked = {"do": "run", "untimed": 5, "steps": 10_000, "seed": 0, "patience": 0.0}
    _, ran = answers(
        {"do": "prepare", "workload": "p5-10", "builder": "chainrule", "smoke": True}, asked
    )
    assert len(ran["times"]) == 3


def test_a_process_that_dies_is_told_by_its_last_words():
    dying = Process({"PATH": "", "PYTHONHOME": "/nowhere"})
    with dying, pytest.raises(ContenderError, match="its process ended"):
        dying.ask("run", untimed=0, steps=1, seed=0)


def test_variables_are_set_for_the_contenders_alone(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    options = Options(changes={"OPENBLAS_CORETYPE": None, "OMP_WAIT_POLICY": "passive"})
    found = options.environment(BY_NAME["chainrule"])
    assert "OPENBLAS_CORETYPE" not in found and found["OMP_WAIT_POLICY"] == "passive"


def test_who_is_not_installed_is_left_out_with_the_reason(monkeypatch):
    monkeypatch.setattr("importlib.metadata.distributions", lambda name: iter(()))
    chosen, left_out = entrants(SMALL["p2-text"], Options())
    assert [each.name for each in chosen] == ["chainrule"]
    assert left_out["PyTorch"] == "torch is not installed"
    assert left_out["MyGrad"] == "mygrad is not installed"


def test_the_command_measures_and_writes(capsys, tmp_path):
    """Two of our contenders in processes of their own, from the shell's arguments to the files."""
    files = tmp_path / "rows.json", tmp_path / "ratios.png"
    only = ["--only", "chainrule", "--only", "chainrule, train_on_batch"]
    written = ["--json", str(files[0]), "--chart", str(files[1])]
    command.main(["p1-adam", "--smoke", *only, *written])
    printed = capsys.readouterr().out
    assert "p1-adam" in printed and "GEMM" in printed
    content = json.loads(files[0].read_text())
    (found,) = content["rows"]
    assert [each["name"] for each in found["timings"]] == only[1::2]
    assert all(len(each["slices"]) == 2 for each in found["timings"])
    assert content["versions"]["numpy"] == np.__version__ and content["limits"]["gemm_flops"] > 0
    assert files[1].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("wrong", [["nothing"], ["--only", "nobody"], ["--env", "A"]])
def test_what_is_unknown_is_refused(wrong, capsys):
    with pytest.raises(SystemExit):
        command.main(wrong)
    assert "error" in capsys.readouterr().err
