"""The answer of a study: sentences a person would say, a table, and where the files are."""

from __future__ import annotations

import math
from pathlib import Path

from rich.console import Console
from rich.table import Table

from jaxsim.report.analysis import Analysis, ExperimentAnalysis, analyse
from jaxsim.report.text import joined, probability
from jaxsim.results.results import Results
from jaxsim.study.study import Study


def write_report(
    results: Results, study: Study, directory: Path, console: Console, plots: bool = True
) -> Analysis:
    """Analyse results, print the answer, and write plots and the page into the directory."""
    spec = study.spec
    analysis = analyse(results, spec.epsilon, spec.confidence, spec.interval, spec.name, spec.title)
    said = sentences(analysis)
    if not any(e.runs for e in analysis.experiments):
        console.print("no finished runs yet", highlight=False)
        return analysis
    console.print(table(analysis))
    for note in notes(analysis):
        console.print(note, highlight=False, soft_wrap=True, style="dim")
    console.print()
    for sentence in said:
        console.print(sentence, highlight=False, soft_wrap=True)
    if plots:
        # Matplotlib takes a second to import: not before it is needed.
        from jaxsim.report.page import write_page
        from jaxsim.report.plots import draw_all

        draw_all(analysis, directory)
        page = write_page(analysis, directory, said)
        console.print(
            f"\nresults: {directory / 'shards'}   plots: {directory / 'plots'}   page: {page}",
            highlight=False,
            soft_wrap=True,
        )
    return analysis


def sentences(analysis: Analysis) -> list[str]:
    """Return the answer in sentences: per eps the least and the most likely to fail."""
    done = [e for e in analysis.experiments if e.runs]
    said = []
    for g, eps in enumerate(done[0].eps if done else []):
        ranked = sorted(done, key=lambda e: (e.estimates[g][-1].estimate, e.experiment.label))
        first = _clause(ranked[0], g)
        label = ranked[0].experiment.label
        opening = f"After {ranked[0].checkpoints[-1]:,} steps {label} misses the optimum by more "
        sentence = f"{opening}than {eps:g} with probability {first}"
        if len(ranked) > 1:
            last = ranked[-1]
            sentence += (
                f", the least of {len(ranked)}; {last.experiment.label} with probability "
                f"{_clause(last, g)}, the most"
            )
        said.append(sentence + ".")
    said += _provable(done)
    return said


def _clause(experiment: ExperimentAnalysis, g: int) -> str:
    one = experiment.estimates[g][-1]
    return probability(one.estimate, one.lower, one.upper)


def _provable(done: list[ExperimentAnalysis]) -> list[str]:
    """Return sentences on what is provable: floors for every n, and failures for ever."""
    said = []
    best = [
        (e.floors[g].value, float(eps), e) for e in done for g, eps in enumerate(e.eps)
        if e.floors[g].value > 0
    ]  # fmt: skip
    if best:
        value, eps, e = max(best, key=lambda b: (b[1], b[0]))
        said.append(
            f"Provable without sampling, for every number of steps: {e.experiment.label} misses by "
            f"more than {eps:g} with probability at least {_floor(value)} ({e.floors[0].reason})."
            if len(e.eps) == 1
            else f"Provable without sampling, for every number of steps: {e.experiment.label} "
            f"misses by more than {eps:g} with probability at least {_floor(value)}."
        )
    lasting = [e for e in done if e.permanent.any()]
    if lasting:
        parts = [f"{e.experiment.label} {int(e.permanent[0]):,}" for e in lasting[:4]]
        more = f" and {len(lasting) - 4} more" if len(lasting) > 4 else ""
        said.append(
            f"Certified to exceed the optimum by more than {lasting[0].eps[0]:g} for ever, whatever "
            f"the further mini-batches: {joined(parts)}{more} of {lasting[0].runs:,} runs each."
            if len({e.runs for e in lasting}) == 1
            else f"Certified to fail for ever: {joined(parts)}{more} runs."
        )
    return said


def _floor(value: float) -> str:
    """Return a lower bound with three digits, rounded down."""
    if value >= 1:
        return "1"
    scale = 10 ** (2 - math.floor(math.log10(value)))
    return f"{math.floor(value * scale) / scale:.3g}"


def table(analysis: Analysis) -> Table:
    """Return the table: one row per experiment and eps, at the last checkpoint."""
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    shown.add_column("experiment", overflow="fold")
    for heading in ("n", "eps", "runs", "failed"):
        shown.add_column(heading, justify="right", no_wrap=True)
    heading = f"probability ({analysis.confidence:.12g} interval)"
    shown.add_column(heading, justify="right", no_wrap=True)
    for heading in ("proved", "for ever", "div.", "und."):
        shown.add_column(heading, justify="right", no_wrap=True)
    for e in analysis.experiments:
        for g, row in enumerate(e.estimates):
            one = row[-1]
            if not one.runs:
                continue
            shown.add_row(
                e.experiment.label if g == 0 else "",
                f"{one.step:,}" if g == 0 else "",
                f"{one.eps:g}",
                f"{one.runs:,}",
                f"{one.failures:,}",
                probability(one.estimate, one.lower, one.upper),
                _floor(one.floor) if one.floor > 0 else "0",
                f"{int(e.permanent[g]):,}",
                f"{one.diverged:,}",
                f"{one.undecided:,}",
            )
    return shown


def notes(analysis: Analysis) -> list[str]:
    """Return what a reader of the table must know: methods, optima, gaps, mixed devices."""
    done = [e for e in analysis.experiments if e.runs]
    lines = [
        f"intervals: {analysis.interval}, each for itself; proved: lower bound that holds for "
        "every n, with no sampling; for ever: failed runs certified to stay so; div.: diverged runs, "
        "counted as failed; und.: undecided runs, which widen the interval"
    ]
    groups: dict[str, list[str]] = {}
    for e in done:
        o = e.optimum
        value = f"{o.lower:.6g}" if o.width == 0 else f"[{o.lower:.6g}, {o.upper:.6g}]"
        groups.setdefault(f"inf L = {value} ({o.reason})", []).append(e.experiment.label)
    for text, labels in groups.items():
        whose = "" if len(groups) == 1 else f"{joined(labels)}: "
        lines.append(f"{whose}{text}")
    missing = sum(e.planned - e.runs for e in analysis.experiments)
    if missing:
        lines.append(f"{missing:,} planned runs are not finished: this is the answer so far")
    diverged = sum(e.diverged for e in done)
    if diverged:
        lines.append(
            f"{diverged:,} runs diverged (infinite or undefined risk); they count as failures"
        )
    if len(analysis.device_kinds) > 1:
        kinds = joined([f"{n:,} on {kind}" for kind, n in analysis.device_kinds.items()])
        lines.append(f"mixed device kinds: {kinds}; bits agree only within one kind")
    return lines
