"""Checks many random programs: `python -m chainrule.testing --examples 10000 --seed 1`."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence

from chainrule.engine.record import RECORDS

from .composite import part_of_hypothesis
from .program import Program
from .program_checks import check_program
from .random_programs import programs
from .recipes_elementwise import SYMBOLS

#: Programs for which hypothesis is asked at once: in larger batches more of them are variations
#: of earlier ones (of 500 programs, 640 different lines in one batch, 1,240 in batches of 20).
BATCH, TOLD = 20, 500

#: What stands for an operation in a program's text, where it is not its name.
SIGNS = {
    **{name: f" {symbol} " for name, symbol in SYMBOLS.items()},
    **{"matmul": " @ ", "negative": "-v", "positive": "+v", "matrix_transpose": ".mT"},
    **{"greater": " > ", "greater_equal": " >= ", "less": " < ", "less_equal": " <= "},
    **{"equal": " == ", "not_equal": " != ", "bitwise_invert": "(~", "getitem": "["},
    **{"bitwise_and": " & ", "bitwise_or": " | ", "bitwise_xor": " ^ "},
    **{"index_set": "].set(", "index_add": "].add("},
}


def operations_of(program: Program) -> set[str]:
    """The names of the table's operations that stand in a program's text.

    >>> from .program import Line
    >>> import numpy as np
    >>> lines = [Line(("v0",), "cr.exp(x0)"), Line(("v1",), "v0 * x0.mean()")]
    >>> sorted(operations_of(Program({"x0": np.ones(2)}, lines, ["v1"])))
    ['exp', 'mean', 'multiply']
    """
    text = "\n".join(line.expression for line in program.lines)
    found = {name for name in re.findall(r"[.\b](\w+)\(", text) if name in RECORDS}
    found |= {"abs"} if re.search(r"\babs\(", text) else set()
    return found | {name for name, sign in SIGNS.items() if sign in text}


def use_code_for_large_arrays() -> None:
    """Lets arrays of any size take the ways of large ones: compiled loops, blocks, and BLAS."""
    from chainrule.engine.kernels import contractions, numba_gelu, numba_special, special

    contractions._FEW = numba_special.FEW = 0
    contractions.contraction.cache_clear()
    for module in (numba_special, numba_gelu):
        module.THRESHOLDS.update(dict.fromkeys(module.THRESHOLDS, 0))
    special.BLOCK = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the checks, and says what was compared and what was never drawn; 1 on a failure."""
    parser = argparse.ArgumentParser(prog="python -m chainrule.testing", description=__doc__)
    parser.add_argument("--examples", type=int, default=1000, help="how many programs (1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (0)")
    parser.add_argument("--operations", type=int, default=12, help="at most, in a program (12)")
    parser.add_argument(
        "--large", action="store_true", help="put small arrays through the code for large ones"
    )
    parser.add_argument(
        "--device", action="append", default=[], help="beside the CPU, as in --device emulated"
    )
    given = parser.parse_args(arguments)
    if given.large:
        use_code_for_large_arrays()
    hypothesis = part_of_hypothesis("", "programs")
    drawn, compared, vacuous = Counter[str](), Counter[str](), Counter[str]()

    def check(program: Program) -> None:
        report = check_program(program, given.device)
        drawn.update(operations_of(program))
        compared.update({"programs": 1, "lines": len(program.lines)})
        compared.update(report.compared)
        vacuous.update(report.vacuous)

    strategy = programs(max_operations=given.operations)
    begin, failure = time.perf_counter(), None
    for first in range(0, given.examples, BATCH):
        settings = hypothesis.settings(
            max_examples=min(BATCH, given.examples - first),
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        try:
            # A function of its own each time: hypothesis writes its settings on it.
            run = hypothesis.given(strategy)(lambda program: check(program))
            settings(hypothesis.seed(given.seed + first)(run))()
        except AssertionError as error:
            failure = error
            break
        except KeyboardInterrupt:
            break  # and say what has been done
        if (first + BATCH) % TOLD == 0:
            told = f"{compared['programs']} programs, {time.perf_counter() - begin:.0f} s"
            print(told, file=sys.stderr, flush=True)
    for title, counts in (("compared", compared), ("vacuous", vacuous)):
        for name, count in counts.most_common():
            print(f"{title} {count:>8}  {name}")
    never = [n for n, r in RECORDS.items() if r.builtin and not drawn[n]]
    print(f"operations drawn: {len(drawn)} of the table; never: {', '.join(never) or 'none'}")
    print(f"{time.perf_counter() - begin:.0f} s")
    if failure is not None:
        print(f"\nFAILED\n{failure}")
    return int(failure is not None)


if __name__ == "__main__":
    raise SystemExit(main())
