"""P8: how long `import chainrule` takes, and the main job until its first training step is done."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .contenders import CONTENDERS
from .results import Result, Timing, result, timing
from .suite import Options

#: Prints the seconds of an import.
IMPORT = "import time; a = time.perf_counter(); import {}; print(time.perf_counter() - a)"

#: `chainrule train`, which ends after the optimiser's first step and writes when that was.
FIRST_STEP = """
import os, sys, time
from pathlib import Path
from chainrule import cli, optim
step = optim.Adam.step
def first(self):
    step(self)
    Path(sys.argv[1]).write_text(repr(time.time()))
    os._exit(0)
optim.Adam.step = first
cli.main(["train", "--output", sys.argv[2]])
"""

#: The same network's first step, on random numbers, in PyTorch.
TORCH_FIRST_STEP = """
import os, sys, time
from pathlib import Path
import torch
from torch import nn
x, y = torch.randn(32, 64), torch.randint(0, 10, (32,))
relu = nn.ReLU()
model = nn.Sequential(nn.Linear(64, 500), relu, nn.Linear(500, 500), relu, nn.Linear(500, 10))
optimizer = torch.optim.Adam(model.parameters(), fused=True)
nn.functional.cross_entropy(model(x), y).backward()
optimizer.step()
Path(sys.argv[1]).write_text(repr(time.time()))
os._exit(0)
"""

#: Seconds until the first step is done, with the kernels compiled before, and without.
WARM_SECONDS, COLD_SECONDS = 1.0, 4.0


def run(options: Options) -> Iterator[Result]:
    """The rows of P8, each measured in fresh processes that take turns."""
    yield _imports(options)
    yield _first_step(options, "p8-warm", "kernels compiled before", WARM_SECONDS, cold=False)
    yield _first_step(options, "p8-cold", "no kernel compiled before", COLD_SECONDS, cold=True)


def _turns(
    tried: dict[str, tuple[str, Callable[[], float]]], rounds: int
) -> tuple[list[Timing], dict[str, str]]:
    """The timings of what is tried in turns, and what failed; the first turn does not count.

    But for a smoke run, which is of one round.
    """
    slices: dict[str, list[list[float]]] = {name: [] for name in tried}
    failed: dict[str, str] = {}
    for turn in range(min(1, rounds - 1) + rounds):
        for name, (_, function) in tried.items():
            if name in failed:
                continue
            try:
                seconds = function()
            except (subprocess.CalledProcessError, OSError) as error:
                failed[name] = _last_words(error)
                continue
            if turn or rounds == 1:
                slices[name].append([seconds])
    found = [timing(name, tried[name][0], each) for name, each in slices.items() if each]
    return found, failed


def _last_words(error: Exception) -> str:
    text = getattr(error, "stderr", None) or str(error)
    return text.strip().splitlines()[-1]


def _imports(options: Options) -> Result:
    modules = {
        "chainrule": ("ours", "chainrule"),
        "PyTorch": ("eager", "torch"),
        "JAX jit": ("beside", "jax"),
        "MyGrad": ("beside", "mygrad"),
        "HIPS autograd": ("beside", "autograd"),
    }
    tried: dict[str, tuple[str, Callable[[], float]]] = {}
    left_out = {}
    for each in CONTENDERS:
        if each.name not in modules or not options.wants(each):
            continue
        reason = each.missing()
        if reason:
            left_out[each.name] = reason
            continue
        kind, module = modules[each.name]
        environment = options.environment(each)
        tried[each.name] = (kind, lambda m=module, e=environment: _import_seconds(m, e))
    tried["NumPy alone"] = ("beside", lambda: _import_seconds("numpy", options.environment()))
    rounds = 1 if options.smoke else max(5, options.rounds // 2)
    timings, failed = _turns(tried, rounds)
    target = None if options.smoke else 0.15
    title = "the import of the library, in a fresh process"
    return result("p8-import", title, target, ("eager",), timings, {**left_out, **failed})


def _import_seconds(module: str, environment: dict[str, str]) -> float:
    command = [sys.executable, "-c", IMPORT.format(module)]
    environment = _as_installed(environment)
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(done.stdout)


def _as_installed(environment: dict[str, str]) -> dict[str, str]:
    """Where modules are compiled to bytecode once, as pip has it, also those of a checkout."""
    folder = str(Path(tempfile.gettempdir(), "chainrule-benchmarks-bytecode"))
    found = {**environment, "PYTHONPYCACHEPREFIX": folder}
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    return found


def _until_told(program: str, environment: dict[str, str], cold: bool) -> float:
    """From the start of a process to the time that its program writes."""
    with tempfile.TemporaryDirectory() as folder:
        if cold:
            environment = {**environment, "NUMBA_CACHE_DIR": str(Path(folder, "cache"))}
        told, output = Path(folder, "told"), Path(folder, "run")
        command = [sys.executable, "-c", program, str(told), str(output)]
        environment = _as_installed(environment)
        begin = time.time()
        subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        return float(told.read_text()) - begin


def _first_step(options: Options, name: str, what: str, limit: float, *, cold: bool) -> Result:
    tried: dict[str, tuple[str, Callable[[], float]]] = {}
    left_out = {}
    for each in CONTENDERS:
        if not (each.kind == "ours" or (each.builder == "torch" and not cold)):
            continue
        if not options.wants(each):
            continue
        reason = each.missing()
        if reason:
            left_out[each.name] = reason
            continue
        program = FIRST_STEP if each.kind == "ours" else TORCH_FIRST_STEP
        kind = "ours" if each.kind == "ours" else "beside"
        environment = options.environment(each)
        tried[each.name] = (kind, lambda p=program, e=environment: _until_told(p, e, cold))
    rounds = 1 if options.smoke else max(3, options.rounds // (6 if cold else 3))
    timings, failed = _turns(tried, rounds)
    bound = Timing(f"the limit of {limit:g} s", "eager", limit, limit, [limit] * rounds)
    return result(
        name,
        f"`chainrule train`: from the process's start to the end of its first step, {what}",
        None if options.smoke else 1.0,
        ("eager",),
        [*timings, bound],
        {**left_out, **failed},
    )
