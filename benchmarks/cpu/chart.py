"""Pictures of the table: a bar for each install, a mark for each target; and of P10, curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .results import Result

#: What is drawn of growth: the field that was measured, the model's, the axis.
CURVES = (("seconds", "predicted", "seconds a step"), ("bytes", "memory", "bytes at the peak"))

#: Of Okabe and Ito's palette, which all kinds of colour vision tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73")


def draw(file: str | Path, rows: Sequence[Result], subtitle: str) -> None:
    """Writes a PNG of the ratios; rows without a peer are left out. Needs matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    shown = [row for row in rows if row.ratios]
    installs = list(dict.fromkeys(name for row in shown for name in row.ratios))
    figure = Figure(figsize=(9, 1.6 + 0.5 * max(1, len(shown))), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    height = 0.8 / max(1, len(installs))
    for i, name in enumerate(installs):
        for j, row in enumerate(shown):
            if name not in row.ratios:
                continue
            value, y = row.ratios[name], j + (i - (len(installs) - 1) / 2) * height
            label = name if j == next(k for k, r in enumerate(shown) if name in r.ratios) else None
            axes.barh(
                y,
                value - 0.05,
                height * 0.92,
                left=0.05,
                color=COLOURS[i % len(COLOURS)],
                label=label,
            )
            axes.annotate(
                f"{value:.2f}",
                (value, y),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
            )
    first = True
    for j, row in enumerate(shown):
        if row.target is not None:
            axes.plot(
                [row.target] * 2,
                [j - 0.46, j + 0.46],
                color="black",
                linewidth=2,
                label="target" if first else None,
            )
            first = False
    axes.axvline(1, color="0.5", linewidth=1, zorder=0)
    axes.set_xscale("log")
    ticks = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    most = max((value for row in shown for value in row.ratios.values()), default=1.0)
    axes.set_xlim(0.05, max(2.0, 1.5 * most))
    axes.set_yticks(range(len(shown)), [f"{row.workload}\nof {row.best}" for row in shown])
    axes.tick_params(axis="y", labelsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("our time over the best peer's (left of 1: we are faster)")
    axes.set_title(f"chainrule beside its peers\n{subtitle}", fontsize=9)
    if shown:
        figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    figure.savefig(file, dpi=150)


def draw_growth(file: str | Path, rows: Sequence[Result], subtitle: str) -> None:
    """Writes a PNG of time and memory beside the cost model, a column for each that grows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [row for row in rows if row.points and row.workload.endswith("-time")]
    figure = Figure(figsize=(4 * max(1, len(shown)), 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, max(1, len(shown)), squeeze=False)
    for j, row in enumerate(shown):
        for i, (field, model, label) in enumerate(CURVES):
            axes = panels[i][j]
            for k, (name, points) in enumerate(row.points.items()):
                sizes = [each["size"] for each in points]
                measured = [each[field] for each in points]
                marker = "os^"[k % 3]
                axes.loglog(sizes, measured, marker + "-", color=COLOURS[k % 3], label=name)
                if k == 0:
                    line = [each.get(model, 0.0) for each in points]
                    if "predicted" not in points[0]:  # a chain: a line through the last
                        line = [size / sizes[-1] * measured[-1] for size in sizes]
                    axes.loglog(sizes, line, "--", color="black", linewidth=1, label="model")
            axes.set_xlabel(row.workload.split("-")[1])
            axes.set_ylabel(label)
            axes.grid(alpha=0.3)
    if shown:
        panels[0][0].legend(fontsize=8)
    figure.suptitle(f"Growth of a training step beside the cost model\n{subtitle}", fontsize=9)
    figure.savefig(file, dpi=120)
