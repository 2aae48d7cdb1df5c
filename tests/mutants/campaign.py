"""The campaign: every mutant of every record, shown to every checker, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from chainrule.engine.calls import ElementwiseCall, broadcasts_of
from chainrule.engine.record import Record

from .checkers import Checker
from .kinds import KINDS, Kind
from .plant import Mutant, mutants_of
from .sites import Evidence, Site, other_points, sites_of, tied_sites_of, warm_up

#: The most sites at which a mutant is shown to a checker, of those at which it differs.
MOST_SITES = 2
#: Points are drawn with these seeds, one after the other until a mutant differs somewhere.
SEEDS = (0, 1, 2)


@dataclass
class Outcome:
    """What became of a mutant.

    Attributes: `sites`, where it differs from the right gradient (none: it is equivalent to it
    on every case, for all seeds); `verdicts`, of each checker by name: at which of these sites it
    found something wrong. Sites at which the checker finds fault with the right gradient too do
    not count.
    """

    mutant: Mutant
    sites: list[Site] = field(default_factory=list)
    verdicts: dict[str, list[bool]] = field(default_factory=dict)

    @property
    def live(self) -> bool:
        """Does it differ from the right gradient anywhere?"""
        return bool(self.sites)

    def killed(self, checker: str) -> bool:
        """Has that checker found it?"""
        return any(self.verdicts.get(checker, []))


@dataclass
class Alarms:
    """How often each checker was shown a right gradient, and found fault with it."""

    shown: Counter[str] = field(default_factory=Counter)
    raised: Counter[str] = field(default_factory=Counter)
    where: dict[str, list[str]] = field(default_factory=dict)

    def add(self, checker: str, site: Site, order: int, alarm: bool) -> None:
        """Enters one."""
        self.shown[checker] += 1
        self.raised[checker] += alarm
        if alarm:
            self.where.setdefault(checker, []).append(f"{site!r}, order {order}")


def order_of(kind: Kind) -> int:
    """The order of derivatives that a checker is asked for."""
    return 2 if kind.group == "second" else 1


def sites_for(kind: Kind, record: Record, seed: int) -> list[Site]:
    """The points at which a kind can be seen, if it can."""
    if kind.group == "ties":
        return tied_sites_of(record, seed)
    if kind.group != "hidden":
        return sites_of(record, seed)
    found = []
    for call in broadcasts_of(record)[-2:-1]:
        shape = (6, 7) if kind.name == "large only" else (3, 2)
        wide = ElementwiseCall(record, (shape,) * len(call.shapes))
        dtype = np.float32 if kind.name == "float32 only" else np.float64
        arrays = tuple(each.astype(dtype) for each in wide.draw(seed))
        found.append(Site(f"{wide!r}, {np.dtype(dtype)}, seed {seed}", wide, arrays))
    return found


class Campaign:
    """The campaign on one record: its sites, and what the checkers say of the right gradients."""

    def __init__(
        self,
        record: Record,
        checkers: Sequence[Checker],
        alarms: Alarms,
        thorough: bool = False,
    ) -> None:
        self.record, self.checkers, self.alarms = record, checkers, alarms
        self.thorough = thorough  # our checkers at every site, also after they found the mutant
        self._sites: dict[tuple[str, int], list[Site]] = {}
        self._common: list[Site] = []
        self._evidence: dict[tuple[str, int], Evidence] = {}
        self._alarmed: dict[tuple[str, int, int], bool] = {}

    def evidence(self, kind: Kind, seed: int) -> tuple[list[Site], Evidence]:
        """The sites for a kind and a seed, and what the right gradients are there."""
        hidden = kind.name if kind.group == "hidden" else kind.group
        key = hidden, seed
        if key not in self._sites:
            self._sites[key] = sites_for(kind, self.record, seed)
            self._evidence[key] = Evidence.of(self._sites[key], kind.group == "second")
            if kind.group != "hidden":  # float32 is not what the others are made for
                self._common += self._sites[key]
        return self._sites[key], self._evidence[key]

    def alarmed(self, checker: Checker, site: Site, order: int) -> bool:
        """Does the checker find fault with the right gradient at a site?"""
        key = checker.name, id(site), order
        if key not in self._alarmed:
            self._alarmed[key] = checker.finds(site, order)
            if any(site is each for each in self._common):
                self.alarms.add(checker.name, site, order, self._alarmed[key])
        return self._alarmed[key]

    def run(self, mutant: Mutant) -> Outcome:
        """Plants a mutant, finds where it differs, and shows it to the checkers there."""
        outcome, order = Outcome(mutant), order_of(mutant.kind)
        for seed in SEEDS:
            sites, evidence = self.evidence(mutant.kind, seed)
            warm = other_points(self.record, sites, seed + 100)
            differing = []
            for site in sites:
                if len(differing) < MOST_SITES and evidence.against(
                    mutant, site, warm.get(id(site))
                ):
                    differing.append(site)
            if differing:
                outcome.sites = differing
                break
        for checker in self.checkers:
            verdicts = outcome.verdicts[checker.name] = []
            for site in outcome.sites if asked(checker, mutant.kind) else ():
                if self.alarmed(checker, site, order):
                    verdicts.append(False)
                    continue
                with mutant.planted():
                    warm_up(site, warm.get(id(site)))
                    verdicts.append(checker.finds(site, order))
                if verdicts[-1] and not (checker.ours and self.thorough):
                    break
        return outcome

    def look_at_all_right_gradients(self) -> None:
        """Shows every checker the right gradients at every site of the first seed."""
        for kind in KINDS:
            if kind.group == "hidden":
                continue
            for checker in self.checkers:
                for site in self.evidence(kind, SEEDS[0])[0] if asked(checker, kind) else ():
                    self.alarmed(checker, site, order_of(kind))


def campaign(
    records: Sequence[Record],
    checkers: Sequence[Checker],
    kinds: Sequence[Kind] = tuple(KINDS),
    progress: Callable[[str], None] = lambda text: None,
    thorough: bool = False,
) -> tuple[list[Outcome], Alarms]:
    """Every mutant of these kinds in these records, shown to these checkers."""
    outcomes: list[Outcome] = []
    alarms = Alarms()
    for record in records:
        progress(record.name)
        one = Campaign(record, checkers, alarms, thorough)
        outcomes += [one.run(mutant) for mutant in mutants_of(record, list(kinds))]
        one.look_at_all_right_gradients()
    return outcomes, alarms


# The report ---------------------------------------------------------------------------------


def asked(checker: Checker, kind: Kind) -> bool:
    """Can a checker be asked about that kind at all?"""
    return kind.group != "second" or checker.second is not None


def rows(outcomes: Sequence[Outcome], checkers: Sequence[Checker]) -> list[list[str]]:
    """Of each kind: planted (those that differ somewhere), and found by each checker."""
    table = []
    for kind in KINDS:
        live = [each for each in outcomes if each.mutant.kind == kind and each.live]
        if live:
            found = [
                str(sum(each.killed(c.name) for each in live)) if asked(c, kind) else "–"
                for c in checkers
            ]
            table.append([kind.name, kind.about, str(len(live)), *found])
    return table


def totals(outcomes: Sequence[Outcome], checkers: Sequence[Checker]) -> list[str]:
    """All kinds that can be seen on the table's cases: planted, and found of those asked about."""
    live = [each for each in outcomes if each.live and each.mutant.kind.group != "hidden"]
    shares = []
    for checker in checkers:
        shown = [each for each in live if asked(checker, each.mutant.kind)]
        shares.append(f"{sum(each.killed(checker.name) for each in shown)} of {len(shown)}")
    return [str(len(live)), *shares]


def survivors(outcomes: Sequence[Outcome], checker: Checker) -> list[str]:
    """The mutants that a checker did not find, with the sites at which they differ."""
    return [
        f"{each.mutant!r}: at {'; '.join(map(repr, each.sites))}"
        for each in outcomes
        if each.live and asked(checker, each.mutant.kind) and not each.killed(checker.name)
    ]


def missed_sites(outcomes: Sequence[Outcome], checker: Checker) -> tuple[int, int, list[str]]:
    """Of all pairs of a mutant and a site at which it differs: found, all, and those missed."""
    pairs = [
        (each.mutant, site, verdict)
        for each in outcomes
        if asked(checker, each.mutant.kind)
        for site, verdict in zip(each.sites, each.verdicts.get(checker.name, []), strict=False)
    ]
    missed = [f"{mutant!r}: at {site!r}" for mutant, site, verdict in pairs if not verdict]
    return len(pairs) - len(missed), len(pairs), missed
