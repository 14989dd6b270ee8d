"""Pictures of benchmarks, drawn from their JSON."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's colours, told apart by colour-blind readers, too."""


def plot_ratios(figures: dict[str, Any], path: Path) -> None:
    """Draw how many times faster jaxsim is than each peer, median and range, per workload."""
    workloads = [w for w in figures["workloads"] if w["peers"]]
    names = sorted({name for w in workloads for name in w["peers"]})
    if not names:
        raise SystemExit("nothing to plot: no peer was compared")
    figure = Figure(figsize=(8, 0.6 + 0.28 * len(workloads) * (len(names) + 1)), layout="tight")
    axes = figure.add_subplot()
    for number, name in enumerate(names):
        for place, workload in enumerate(workloads):
            if name not in workload["peers"]:
                continue
            ratios = workload["peers"][name]["ratios"]
            middle = statistics.median(ratios)
            spread = [[middle - min(ratios)], [max(ratios) - middle]]
            where = place + (number + 0.5) * 0.8 / len(names) - 0.4
            axes.barh(
                where,
                middle,
                0.75 / len(names),
                xerr=spread,
                color=COLOURS[number % len(COLOURS)],
                label=name if place == 0 else None,
            )
            axes.text(max(ratios) * 1.05, where, f"{middle:.1f}", va="center", fontsize=8)
    labels = [f"{w['name']}: {w['shape']}\n{w['optimizer']}, batch {w['batch']}" for w in workloads]
    axes.set_yticks(range(len(workloads)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    most = max(r for w in workloads for peer in w["peers"].values() for r in peer["ratios"])
    ticks = [tick for k in range(5) for tick in (10**k, 2 * 10**k, 5 * 10**k) if tick < 1.6 * most]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(0.8, 1.6 * most)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("jaxsim's member-steps per second / the peer's (median and range)")
    axes.legend(fontsize=8, loc="lower right")
    axes.set_title(
        f"{figures['cores']} cores of {figures['processor']}, {figures['date'][:10]}", fontsize=9
    )
    figure.savefig(path, dpi=150)


def plot_curves(figures: dict[str, Any], path: Path) -> None:
    """Draw the scaling curves, one panel each."""
    curves = figures["curves"]
    columns = min(2, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(4.5 * columns, 3.2 * rows), layout="tight")
    for number, curve in enumerate(curves):
        axes = figure.add_subplot(rows, columns, number + 1)
        for place, (name, values) in enumerate(sorted(curve["series"].items())):
            points = [(x, y) for x, y in zip(curve["x"], values, strict=True) if y is not None]
            axes.plot(*zip(*points, strict=True), "o-", color=COLOURS[place], label=name)
        _finish(axes, curve)
        if "memory" in curve:
            beside = axes.twinx()
            beside.plot(curve["x"], curve["memory"], "s--", color="gray", label="peak memory")
            beside.set_ylim(bottom=0)
            beside.set_ylabel("peak memory, MiB", fontsize=8)
    kind = figures["device_kind"]
    device = figures["processor"] if kind == "cpu" else kind
    figure.suptitle(f"{device}, {figures['date'][:10]}", fontsize=9)
    figure.savefig(path, dpi=150)


def _finish(axes: Axes, curve: dict[str, Any]) -> None:
    axes.set_xscale("log", base=10 if max(curve["x"]) > 1000 else 2)
    axes.set_xticks(curve["x"], [f"{x:g}" for x in curve["x"]], minor=False, fontsize=8)
    axes.minorticks_off()
    axes.set_ylim(0, 1.2 * axes.get_ylim()[1])  # room for the legend above the curves
    axes.set_xlabel(curve["axis"], fontsize=8)
    axes.set_ylabel(curve["unit"], fontsize=8)
    axes.set_title(curve["title"], fontsize=9)
    axes.legend(loc="upper center", ncols=4, frameon=False, fontsize=7)
