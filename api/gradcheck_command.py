"""`chainrule gradcheck`: gradients of the table's operations, or of your own functions, checked."""

from __future__ import annotations

import difflib
import importlib
import inspect
import json
import math
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext, redirect_stdout
from typing import Any

import numpy as np

from chainrule.engine.checking.gradcheck import gradcheck
from chainrule.engine.checking.report import Report
from chainrule.engine.record import RECORDS, Record

#: Inputs of a function of your own, unless shapes are given.
SHAPE = (2, 3)
COLUMNS = "{:<26} {:>5} {:>8} {:>6} {:>6}  {:<34} {}"


class UsageError(Exception):
    """A name that cannot be found, or a function that cannot be called."""


def run(
    names: Sequence[str],
    order: int = 2,
    seed: int = 0,
    shapes: Sequence[tuple[int, ...]] = (),
    as_json: bool = False,
    jobs: int | None = None,
) -> int:
    """Checks what is named, by default the whole table, and prints a row for each.

    Arguments: `names`, of operations; `module:function` for one of your own; `module` for all
    operations defined in it. `shapes` of the inputs of a function that is no operation; `jobs`,
    how many processes share the work.

    Returns the exit code: 1 if anything is wrong.

    With `as_json` the output is one JSON document: what the functions themselves print goes to
    the error stream, and numbers that are not finite are the strings "nan", "inf" and "-inf".

    Raises UsageError for a module or a name that does not exist.

    >>> run(["tanh"])  # doctest: +ELLIPSIS
    operation cases ...
    tanh ...
    1 checked, 0 wrong
    0
    """
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        targets = [each for name in names for each in expand(name)] if names else table()
        for each in targets:
            resolve(each)  # errors come before the work
        work = [(each, order, seed, tuple(shapes)) for each in targets]
        if not as_json:
            print(COLUMNS.format("operation", "cases", "worst", "kinks", "zeros", "oracle", ""))
        reports = []
        for target, report in zip(targets, _reports(work, jobs), strict=True):
            reports.append(report)
            if not as_json:
                _print_row(target, report)
    wrong = [each for each in reports if not each.ok]
    if as_json:
        told = zip(targets, reports, strict=True)
        whole = [{"target": name, **each.to_dict()} for name, each in told]
        print(json.dumps(_finite(whole), indent=2, allow_nan=False))
    else:
        print(f"{len(reports)} checked, {len(wrong)} wrong")
    return 1 if wrong else 0


def table() -> list[str]:
    """The names of the table's operations that have a gradient."""
    return [name for name, each in RECORDS.items() if each.builtin and each.differentiable]


def expand(name: str) -> list[str]:
    """One name as the targets that it stands for: a module, as the operations defined in it.

    Raises UsageError for a module that cannot be found, or has no operations.
    """
    if ":" in name or name in RECORDS:
        return [name]
    module = _module(name)
    found = [
        f"{name}:{key}"
        for key, each in vars(module).items()
        if isinstance(record := getattr(each, "record", None), Record)  # numpy has a `record` too
        and not record.builtin
        and record.differentiable
    ]
    if not found:
        raise UsageError(
            f"module {name!r} defines no operations (made by cr.operation, cr.elementwise or "
            f"cr.composition); for a function write {name}:function"
        )
    return found


def resolve(target: str) -> Any:
    """The operation or function that is meant.

    Raises UsageError if it does not exist, or has no gradient.
    """
    if ":" not in target:
        record = RECORDS[target]
        if not record.differentiable:
            raise UsageError(f"operation {target!r} has no gradient to check")
        return record.function
    module_name, _, name = target.partition(":")
    found: Any = _module(module_name)
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            known = [each for each in vars(found) if not each.startswith("_")]
            raise UsageError(
                f"module {module_name!r} has no {name!r}{_meant(part, known)}"
            ) from None
    if not callable(found):
        raise UsageError(f"{target} is no function, but of type {type(found).__name__}")
    return found


def _meant(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _module(name: str) -> Any:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if missing != name and not name.startswith(missing + "."):
            raise UsageError(f"module {name!r} needs {missing!r}, which is not installed") from None
        raise UsageError(
            f"there is no operation and no module {name!r}{_meant(name, table())}"
        ) from None
    except (ValueError, TypeError) as error:
        if name and not name.startswith(".") and "/" not in name:
            raise UsageError(_broken(name, error)) from error
        raise UsageError(f"{name!r} is no name of a module") from None
    except (Exception, SystemExit) as error:
        raise UsageError(_broken(name, error)) from error


def _broken(name: str, error: BaseException) -> str:
    return f"module {name!r} cannot be imported: {type(error).__name__}: {error}"


def check(work: tuple[str, int, int, tuple[tuple[int, ...], ...]]) -> Report:
    """The report on one target; an error of the function itself is a finding."""
    target, order, seed, shapes = work
    function = resolve(target)
    try:
        if hasattr(function, "record") and not shapes:
            return gradcheck(function, order=order, seed=seed)
        rng = np.random.default_rng(seed)
        inputs = [rng.uniform(-1.0, 1.0, shape) for shape in shapes or _shapes(function)]
        return gradcheck(function, *inputs, order=order, seed=seed)
    except (Exception, SystemExit) as error:
        report = Report(target, seed)
        report.fail("error", f"{type(error).__name__}: {error}")
        return report


def _shapes(function: Any) -> list[tuple[int, ...]]:
    """A shape for each argument that a function needs."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return [SHAPE]
    needed = [
        each
        for each in parameters
        if each.default is each.empty
        and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    return [SHAPE] * max(1, len(needed))


def _reports(work: Sequence[Any], jobs: int | None) -> Iterator[Report]:
    """The reports, in the order of the work, from as many processes as there are cores."""
    jobs = jobs or min(os.cpu_count() or 1, 8)
    if jobs == 1 or len(work) < 8:
        yield from map(check, work)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(check, work)


def _finite(value: Any) -> Any:
    """The same, with strings for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _print_row(target: str, report: Report) -> None:
    row = COLUMNS.format(
        target,
        report.cases,
        f"{report.worst:.2g}",
        report.kinks,
        report.zeros,
        report.oracle,
        "ok" if report.ok else "WRONG",
    )
    print(row.rstrip(), flush=True)
    for each in report.findings:
        print(f"    {each}")
