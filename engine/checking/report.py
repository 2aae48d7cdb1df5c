"""What a gradient check did and found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..errors import CheckError


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes: `kind` ("gradient", "linearity", "mutation", ...); `text`, what is wrong, in words;
    where it is a gradient's entry: `input`, the name of the input, `index` into it, `expected`,
    `got`, `tolerance`, and `meaning`, what kind of fault it looks like.
    """

    kind: str
    text: str
    input: str | None = None
    index: tuple[int, ...] | None = None
    expected: float | None = None
    got: float | None = None
    tolerance: float | None = None
    meaning: str | None = None

    @property
    def ratio(self) -> float | None:
        """got / expected, where there is such a thing."""
        if self.got is None or not self.expected:
            return None
        return self.got / self.expected

    def __str__(self) -> str:
        if self.got is None or self.expected is None:
            return f"{self.kind}: {self.text}"
        ratio = "" if self.ratio is None else f", ratio {self.ratio:.6g}"
        index = "" if self.index in ((), None) else f"[{', '.join(map(str, self.index or ()))}]"
        return (
            f"{self.kind}: {self.text}; {self.input}{index}: expected {self.expected:.10g}, got "
            f"{self.got:.10g}{ratio}, tolerance {self.tolerance:.1g}"
            + (f"; {self.meaning}" if self.meaning else "")
        )


@dataclass
class Report:
    """The outcome of `gradcheck`; true if nothing is wrong.

    Attributes: `name` of what was checked; `seed` of all that was drawn; `order`; `findings`, a
    list of what is wrong; `notes`, what should be known of how it was checked; `oracle`, that
    which the gradients were compared with; `entries`, how many entries of gradients were compared
    one by one; `directions`, how many random directions; `zeros`, how many entries are zero, as
    they must be since the result does not move at all; `indistinct`, how many are too small to
    tell right from wrong; `vacuous`, the inputs of which all are; `kinks`, how many points lay on a
    kink; `flips`, how many branches were seen to change within a step of finite differences;
    `worst`, the largest error in units of its tolerance; `cases`, how many calls were checked;
    `taylor`, the order at which the remainder of Taylor's formula falls (2 for a right gradient),
    where it can be told.
    """

    name: str
    seed: int = 0
    order: int = 1
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    oracle: str = "none"
    entries: int = 0
    directions: int = 0
    zeros: int = 0
    indistinct: int = 0
    vacuous: list[str] = field(default_factory=list)
    kinks: int = 0
    flips: int = 0
    worst: float = 0.0
    cases: int = 1
    taylor: float | None = None

    @property
    def ok(self) -> bool:
        """Is nothing wrong?"""
        return not self.findings

    def __bool__(self) -> bool:
        return self.ok

    def fail(self, kind: str, text: str, **about: Any) -> None:
        """Enters something that is wrong."""
        self.findings.append(Finding(kind, text, **about))

    def note(self, text: str) -> None:
        """Enters something that should be known, once."""
        if text not in self.notes:
            self.notes.append(text)

    def include(self, other: Report) -> None:
        """Adds what another check, of a part or of a higher order, did and found."""
        self.findings += other.findings
        for each in other.notes:
            self.note(each)
        for name in ("entries", "directions", "zeros", "indistinct", "kinks", "flips"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.vacuous += other.vacuous
        self.worst = max(self.worst, other.worst)
        self.order = max(self.order, other.order)
        oracles = [each for each in (self.oracle, other.oracle) if each != "none"]
        self.oracle = ", ".join(dict.fromkeys(", ".join(oracles).split(", "))) or "none"

    def lines(self) -> list[str]:
        """The report, line by line."""
        verdict = "passed" if self.ok else "FAILED"
        lines = [
            f"{self.name}: {verdict}, order {self.order}: {self.entries} entries and "
            f"{self.directions} directions against {self.oracle}, worst error {self.worst:.2g} of "
            "its tolerance"
        ]
        lines += [f"  {each}" for each in self.findings]
        counts = {
            "zero confirmed": self.zeros,
            "too small to tell": self.indistinct,
            "on a kink": self.kinks,
            "branches flipped within a step": self.flips,
        }
        told = [f"{count} {what}" for what, count in counts.items() if count]
        if self.taylor is not None:
            told.append(f"remainder of order {self.taylor:.1f}")
        lines += [f"  {', '.join(told)}"] if told else []
        lines += [f"  vacuous: {each}" for each in self.vacuous]
        lines += [f"  note: {each}" for each in self.notes]
        if not self.ok:
            lines.append(f"  seed={self.seed} repeats this check")
        return lines

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def to_dict(self) -> dict[str, Any]:
        """The report as numbers, strings, lists and dictionaries, for JSON."""
        told = {key: value for key, value in vars(self).items() if key != "findings"}
        findings = [
            vars(each) | {"index": None if each.index is None else list(each.index)}
            for each in self.findings
        ]
        return {**told, "ok": self.ok, "findings": findings}

    def require(self) -> Report:
        """Itself, if nothing is wrong.

        Raises CheckError, with the text of the report, otherwise.
        """
        if not self.ok:
            raise CheckError(str(self))
        return self
