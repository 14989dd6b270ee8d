"""The answer of a study: sentences a person would say, a table, and where the files are."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from jaxsim.estimation import interval_of
from jaxsim.evidence import legend
from jaxsim.report.analysis import Analysis, ExperimentAnalysis, analyse
from jaxsim.report.tables import write_tables
from jaxsim.report.text import (
    estimate_text,
    joined,
    lower_text,
    number,
    optimum_text,
    probability,
)
from jaxsim.results.results import Results
from jaxsim.study.study import Study


def write_report(
    results: Results, study: Study, directory: Path, console: Console, plots: bool = True
) -> Analysis:
    """Analyse results, print the answer, and write tables, plots and the page."""
    spec = study.spec
    analysis = analyse(results, spec.epsilon, spec.confidence, spec.interval, spec.name, spec.title)
    said = sentences(analysis)
    if not any(e.runs for e in analysis.experiments):
        console.print("no finished runs yet", highlight=False)
        return analysis
    remarks = notes(analysis)
    print_whole(table(analysis), console)
    for note in remarks:
        console.print(note, highlight=False, soft_wrap=True, style="dim")
    console.print()
    for sentence in said:
        console.print(sentence, highlight=False, soft_wrap=True)
    write_tables(analysis, directory)
    places = f"\nresults: {directory / 'shards'}   tables: {directory / 'estimates.csv'}, ..."
    if plots:
        # Matplotlib takes a second to import: not before it is needed.
        from jaxsim.report.page import write_page
        from jaxsim.report.plots import draw_all

        draw_all(analysis, directory)
        page = write_page(analysis, directory, said, remarks)
        places += f"   plots: {directory / 'plots'}   page: {page}"
    console.print(places, highlight=False, soft_wrap=True)
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
        sentence = f"{opening}than {number(eps)} with probability {first}"
        if len(ranked) > 1:
            last = ranked[-1]
            sentence += (
                f", the least of {len(ranked)}; {last.experiment.label} with probability "
                f"{_clause(last, g)}, the most"
            )
        said.append(sentence + ".")
    return said + _compared(analysis) + _provable(done)


def _clause(experiment: ExperimentAnalysis, g: int) -> str:
    return "{} ({} to {})".format(*estimate_text(experiment.estimates[g][-1]))


def _compared(analysis: Analysis) -> list[str]:
    """Return a sentence on the paired comparisons: how many differ, and which most."""
    found = analysis.comparisons
    if not found:
        return []
    alpha = 1 - analysis.confidence
    clauses = []
    for eps in sorted({one.eps for one in found}):
        alike = [one for one in found if one.eps == eps]
        differ = sum(one.p_holm <= alpha for one in alike)
        clause = f"{differ} of {len(alike)} pairs differ at eps = {number(eps)}"
        most = max(alike, key=lambda one: abs(one.result.difference))
        r, names = most.result, (most.first, most.second)
        apart = (r.difference, r.lower, r.upper)
        if r.difference < 0:
            names, apart = names[::-1], (-r.difference, -r.upper, -r.lower)
        if differ:
            clause += f", most {names[0]}, which misses more often than {names[1]} by "
            clause += probability(*apart)
        clauses.append(clause)
    return [
        f"On the same initializations and mini-batches {'; '.join(clauses)} (McNemar's test, "
        f"Holm's level {alpha:.3g} for all {len(found)} comparisons)."
    ]


def _provable(done: list[ExperimentAnalysis]) -> list[str]:
    """Return sentences on what is provable: the largest floor, and failures for ever."""
    said = []
    floors = [(floor.value, floor, e) for e in done for floor in e.floors if floor.value > 0]
    if floors:
        value, floor, e = max(floors, key=lambda f: f[0])
        alike = sum(one.floors == e.floors for one in done)
        whose = "every experiment" if alike == len(done) > 1 else e.experiment.label
        how = f"{floor.evidence.adverb}, without training"
        said.append(
            f"{how}, for every number of steps: {whose} misses by more than {number(floor.eps)} "
            f"with probability at least {lower_text(value)} ({floor.reason})."
        )
    lasting = sorted((int(e.permanent[0]), e.runs, e.experiment.label) for e in done)
    if lasting and lasting[-1][0]:
        count, runs, label = lasting[-1]
        least = f"{lasting[0][0]:,} ({lasting[0][2]}) to " if len(lasting) > 1 else ""
        said.append(
            f"{least}{count:,} ({label}) of {runs:,} runs are certified to exceed the optimum by "
            f"more than {number(done[0].eps[0])} for ever, whatever mini-batches would follow."
        )
    return said


def table(analysis: Analysis) -> Table:
    """Return the table: one row per experiment and eps, at the last checkpoint.

    Step and runs are columns only if they differ between experiments: the table fits 80 characters.
    """
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    done = [e for e in analysis.experiments if e.runs]
    columns = {"n": lambda e: int(e.checkpoints[-1]), "runs": lambda e: e.runs}
    common = {name: {value(e) for e in done} for name, value in columns.items()}
    alike = {name: values.pop() for name, values in common.items() if len(values) == 1}
    words = {"n": "n = {:,}", "runs": "{:,} runs of each experiment"}
    if alike:
        shown.title = ", ".join(words[name].format(value) for name, value in alike.items())
        shown.title_justify = "left"
    varying = [name for name in columns if name not in alike]
    shown.add_column("experiment", overflow="fold", min_width=10)
    heading = f"P ({100 * analysis.confidence:.12g} % interval)"
    for name in [*varying, "eps", "failed", heading, "proved", "for ever", "div.", "und."]:
        shown.add_column(name, justify="right", no_wrap=True)
    for e in done:
        for g, row in enumerate(e.estimates):
            one = row[-1]
            shown.add_row(
                e.experiment.label if g == 0 else "",
                *[f"{columns[name](e):,}" if g == 0 else "" for name in varying],
                number(one.eps),
                f"{one.failures:,}",
                "{} [{}, {}]".format(*estimate_text(one)),
                lower_text(one.floor) + e.floors[g].evidence.mark,
                f"{int(e.permanent[g]):,}",
                f"{one.diverged:,}",
                f"{one.undecided:,}",
            )
    return shown


def print_whole(shown: Table, console: Console) -> None:
    """Print a table without cutting columns off: a narrow terminal folds the lines instead."""
    options = console.options.update(max_width=1000)
    width, needed = console.width, shown.__rich_measure__(console, options).maximum
    console.width = max(width, needed)
    try:
        console.print(shown)
    finally:
        console.width = width


def _optimum(e: ExperimentAnalysis) -> str:
    return (
        f"inf L = {optimum_text(e.optimum.lower.value, e.optimum.upper.value)} ({e.optimum.reason})"
    )


def notes(analysis: Analysis) -> list[str]:
    """Return what a reader of the table must know: methods, optima, gaps, mixed devices."""
    done = [e for e in analysis.experiments if e.runs]
    rigorous = [row[-1].rigorous for e in done for row in e.estimates]
    sure = "coverage guaranteed for a number of runs fixed beforehand"
    if not all(rigorous):
        sure = "approximate"
        if interval_of(analysis.interval).rigorous:
            sure = "exact but for the risks' errors, which are estimates"
    lines = [
        f"intervals: {analysis.interval} ({sure}), each for itself, ends rounded outward; "
        "proved: lower bound that holds for every n, with no sampling; for ever: failed runs "
        "certified to stay so; div.: diverged runs, counted as failed; und.: undecided runs, which "
        "widen the interval"
    ]
    lines += legend(floor.evidence for e in done for floor in e.floors if floor.value > 0)
    for said in (_optimum, lambda e: f"true risk: {e.risk_rule}"):
        groups: dict[str, list[str]] = {}
        for e in done:
            groups.setdefault(said(e), []).append(e.experiment.label)
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
