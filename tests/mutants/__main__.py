"""Plants wrong VJPs and says who finds them: `python -m tests.mutants [operation ...]`.

    --ours      without the other libraries' checkers; ours at every case, also after a find
    --layers    the mutants in layers, models and losses instead
    --true N    no mutants: the table as it is on N drawn cases, where nothing must be found
    --write     puts what was found into docs/gradient-checking.md

Exit code 1 if a mutant survives `cr.gradcheck`, or if it raises a false alarm.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings

from .campaign import campaign, survivors
from .checkers import installed
from .drawn import look_for_alarms
from .layers import layer_campaign, wholes
from .plant import records
from .report import alarm_table, details, section, table, write


def main(arguments: list[str]) -> int:
    """Runs what is asked for, and prints what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("operations", nargs="*")
    parser.add_argument("--ours", action="store_true")
    parser.add_argument("--layers", action="store_true")
    parser.add_argument("--true", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    start = time.process_time()

    def say(text: str) -> None:
        print(f"{time.process_time() - start:6.1f} s  {text}", file=sys.stderr, flush=True)

    known = {each.name: each for each in records()}
    unknown = [name for name in options.operations if name not in known]
    if unknown:
        print(f"no operation with a gradient is called {', '.join(unknown)}")
        return 2
    checkers = [each for each in installed() if each.ours or not options.ours]
    ours = [each for each in checkers if each.ours]
    if options.true:
        found = look_for_alarms(ours[0], options.true, options.seed, say)
        told = (
            f"{found.cases:,} drawn cases of {len(found.by_record)} operations of the table as it "
            f"is, {found.second:,} of them to second order, {found.tied:,} with ties or on kinks: "
            f"{len(found.alarms)} false alarms"
        )
        print("\n".join([told, *found.alarms]))
        if options.write:
            command = f"--true {options.true}" + f" --seed {options.seed}" * bool(options.seed)
            write(f"`python -m tests.mutants {command}`: {told}.", "--true")
        return int(bool(found.alarms))
    if options.layers:
        outcome = layer_campaign([*wholes()], progress=say)
        told = (
            f"{outcome.found:,} of {outcome.planted:,} found in {outcome.wholes} layers, models "
            f"and losses ({outcome.equivalent:,} more give the right gradients there); "
            f"{outcome.alarms} false alarms"
        )
        print("\n".join([told, *outcome.survivors]))
        if options.write:
            whole = "The same faults, and faults put on the input or the result of a layer, seen "
            whole += "through `cr.gradcheck` of layers, compiled models and losses"
            write(f"{whole} (`python -m tests.mutants --layers`): {told}.", "--layers")
        return int(bool(outcome.survivors))
    chosen = [known[name] for name in options.operations or known]
    outcomes, alarms = campaign(chosen, checkers, progress=say, thorough=options.ours)
    print("\n".join(table(outcomes, checkers)))
    print("\n".join(alarm_table(alarms, checkers)))
    print("\n".join(details(outcomes, checkers)))
    for each in ours:
        print("\n".join(f"FALSE ALARM {text}" for text in alarms.where.get(each.name, [])))
    if options.write:
        write(section(outcomes, alarms, checkers))
    say(f"{len(outcomes)} mutants")
    visible = [each for each in outcomes if each.mutant.kind.group != "hidden"]
    wrong = [survivors(visible, each) or alarms.raised[each.name] for each in ours[:1]]
    return int(any(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
