"""The answer as a table on the terminal, and the notes below it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxsim.estimation import interval_of
from jaxsim.questions.answer import Answer, ExperimentAnswer
from jaxsim.questions.data import EvidenceAnswer
from jaxsim.questions.events import ABOVE_OPTIMUM, CONSTANT
from jaxsim.report.parts import PARTS, design_notes, part_cells, shows_parts
from jaxsim.report.sentences import (
    NOTEWORTHY,
    constant_share,
    noteworthy,
    risk_over,
    with_constants,
)
from jaxsim.report.text import (
    MOST_DRAWN,
    counted,
    estimate_text,
    joined,
    lower_text,
    number,
    optimum_text,
)


def bound_text(value: float, evidence: EvidenceAnswer, small: bool = False) -> str:
    """Return a lower bound for a cell, with its mark; of a tiny one only that it is positive.

    Args:
        value: the bound.
        evidence: of it.
        small: whether tiny ones are shown, too.
    """
    if 0 < value < NOTEWORTHY and not small:
        return f"> 0{evidence.mark}"
    return lower_text(value) + (evidence.mark if value > 0 else "")


def shows_bounds(done: list[ExperimentAnswer]) -> bool:
    """Return whether any lower bound that needs no run is worth a column."""
    return any(b.value >= noteworthy(e) for e in done for b in e.exceedance.lower_bounds)


def shows_permanent(done: list[ExperimentAnswer]) -> bool:
    """Return whether any run is certified to fail in all further training."""
    return any(count for e in done for count in e.permanent.count)


def shows_liminf(done: list[ExperimentAnswer]) -> bool:
    """Return whether certified runs bound any limit better than what holds for every n."""
    return any(
        value >= noteworthy(e) and value > bound.value
        for e in done
        for value, bound in zip(e.liminf.value, e.exceedance.lower_bounds, strict=True)
    )


def table(answer: Answer) -> Table:
    """Return the table: one row per experiment and event, at the last checkpoint.

    Step and runs are columns only if they differ between experiments, bounds and permanent failures
    only if there are any: the table fits 80 characters.
    """
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    done = answer.finished
    varying, shared = shared_columns(done)
    if shared:
        shown.title = Text(", ".join(shared))
        shown.title_justify = "left"
    bounds, permanent = shows_bounds(done), shows_permanent(done)
    limit = shows_liminf(done)
    shown.add_column("experiment", overflow="fold", min_width=10)
    heading = f"P ({100 * answer.confidence:.12g} % interval)"
    parts = shows_parts(done)
    optional = (
        [*PARTS] * parts + ["every n"] * bounds + ["permanent"] * permanent + ["liminf"] * limit
    )
    for name in [*varying, event_heading(answer), "failed", heading, *optional, "div.", "und."]:
        shown.add_column(name, justify="right", no_wrap=True)
    for e in done:
        for g, row in enumerate(e.exceedance.estimates):
            last, bound, small = row[-1], e.exceedance.lower_bounds[g], e.design is not None
            cells = [
                e.label if g == 0 else "",
                *[f"{COLUMNS[name](e):,}" if g == 0 else "" for name in varying],
                event_text(answer, g),
                f"{last.failures:,}",
                "{} [{}, {}]".format(*estimate_text(last)) + e.exceedance.evidence_of(g).mark,
                *part_cells(last) * parts,
                *[bound_text(bound.value, bound.evidence, small)] * bounds,
                *[permanent_text(e, g)] * permanent,
                *[bound_text(e.liminf.value[g], e.liminf.evidence[g], small)] * limit,
                f"{last.diverged:,}",
                f"{last.undecided:,}",
            ]
            shown.add_row(*(Text(cell) for cell in cells))
    return shown


COLUMNS: dict[str, Callable[[ExperimentAnswer], int]] = {
    "n": lambda e: e.steps,
    "runs": lambda e: e.runs,
}
"""Columns only if experiments differ in them, and how many of each an experiment has."""


def shared_columns(done: Sequence[ExperimentAnswer]) -> tuple[list[str], list[str]]:
    """Return which of `COLUMNS` differ between experiments, and what all of them share in words."""
    values = {name: {value(e) for e in done} for name, value in COLUMNS.items()}
    alike = {name: only.pop() for name, only in values.items() if len(only) == 1}
    titles = {"n": "n = {:,}", "runs": "{:,} runs of each experiment"}
    if alike.get("runs") == 1:
        titles["runs"] = "one run of each experiment"
    shared = [titles[name].format(value) for name, value in alike.items()]
    over = risk_over(done)
    return [name for name in COLUMNS if name not in alike], shared + ([over] if over else [])


def event_heading(answer: Answer) -> str:
    """Return the heading of the column of events."""
    return "event" if any(event.kind != ABOVE_OPTIMUM for event in answer.asked) else "eps"


def _probability(answer: Answer) -> str:
    """Return what limits are of."""
    alike = event_heading(answer) == "eps"
    return "P(L(Theta_n) > inf L + eps)" if alike else "P(a run fails)"


def event_text(answer: Answer, g: int) -> str:
    """Return what stands in the column of events."""
    event = answer.asked[g]
    return event.short if event_heading(answer) == "event" else number(event.threshold)


def permanent_text(e: ExperimentAnswer, g: int) -> str:
    """Return the number of permanent failures at an eps with its mark."""
    count = e.permanent.count[g]
    return f"{count:,}" + (e.permanent.evidence[g].mark if count else "")


def print_whole(shown: Table, console: Console) -> None:
    """Print a table without cutting columns off: a narrow terminal folds the lines instead."""
    options = console.options.update(max_width=1000)
    width, needed = console.width, shown.__rich_measure__(console, options).maximum
    console.width = max(width, needed)
    try:
        console.print(shown)
    finally:
        console.width = width


def notes(answer: Answer, on_page: bool = False) -> list[str]:
    """Return what a reader of the table must know: methods, evidence, optima, gaps, devices.

    Args:
        answer: of the study.
        on_page: whether they are those of the page, which explains its columns and the optimal
            risk in sections of their own.
    """
    done = answer.finished
    lines = [f"warning: {warning}" for warning in answer.warnings]
    div, und = ("", "") if on_page else (" (div.)", " (und.)")
    lines.append(
        f"intervals: {_method(answer)} ({_coverage(answer)}), each for itself, ends rounded "
        f"outward; diverged runs{div} count {diverged_count(answer)}, undecided ones{und} widen "
        "the interval"
    )
    lines += design_notes(done)
    if shows_bounds(done) and not on_page:
        lines.append("every n: lower bound for every number of steps, from inactive neurons")
    if shows_permanent(done) and not on_page:
        lines.append("permanent: runs certified to fail in all further training")
    if shows_liminf(done) and not on_page:
        level = f"{100 * answer.confidence:.12g} %"
        lines.append(
            f"liminf: lower bound of liminf {_probability(answer)} as n grows, from permanent "
            f"runs, one-sided, {level} each"
        )
    if len(done) > MOST_DRAWN:
        lines.append(f"figures show the first {MOST_DRAWN:,} of {len(done):,} experiments")
    lines += legend(done)
    if all(event.kind != CONSTANT for event in answer.asked):  # the table has them then
        lines += [f"constant: {text}" for text in constant_texts(done)]
    descriptions: list[Callable[[ExperimentAnswer], str]]
    descriptions = [_until, _risk] if on_page else [_until, _optimum, _risk]
    for text_of in descriptions:
        groups: dict[str, list[str]] = {}
        for e in done:
            if text_of(e):
                groups.setdefault(text_of(e), []).append(e.label)
        if len(groups) > MOST_NOTES:
            groups = with_ranges(groups)
        for text, labels in groups.items():
            lines.append(text if len(groups) == 1 else f"{_some(labels)}: {text}")
    missing = sum(e.planned - e.runs for e in answer.experiments)
    if missing:
        verb = "is" if missing == 1 else "are"
        lines.append(
            f"{counted(missing, 'planned run')} {verb} not finished: this is the answer so far"
        )
    diverged = sum(e.diverged for e in done)
    if diverged:
        lines.append(
            f"{counted(diverged, 'run')} diverged (infinite or undefined risk), counted "
            f"{diverged_count(answer).replace('as failed', 'as failures')}"
        )
    if len(answer.device_kinds) > 1:
        kinds = joined([f"{n:,} on {kind}" for kind, n in answer.device_kinds.items()])
        lines.append(f"mixed device kinds: {kinds}; bits agree only within one kind")
    return lines


def diverged_count(answer: Answer) -> str:
    """Return as what diverged runs count."""
    others = [event.short for event in answer.asked if not event.diverged_fail]
    if not others:
        return "as failed"
    if len(others) == len(answer.asked):
        return "by what their networks are"
    return f"as failed (for {joined(others)} by what their networks are)"


def _until(e: ExperimentAnswer) -> str:
    return f"until: {e.until}" if e.until else ""


def constant_texts(done: list[ExperimentAnswer]) -> list[str]:
    """Return how many runs of each experiment end as a constant network, if any ever are one.

    Example: "3,259 of 20,000 runs (adam)".
    """
    layered = with_constants(done)
    if not layered:
        return []
    groups: dict[str, list[str]] = {}
    for e in layered:
        text = f"{e.permanent.constant[-1]:,} of {counted(e.runs, 'run')}"
        if e.permanent.constant_probability:
            text += f" (estimated probability {e.permanent.constant_probability[-1]:.3g})"
        groups.setdefault(text, []).append(e.label)
    if len(done) == 1:
        return list(groups)
    if len(groups) > MOST_NOTES:
        ranked = sorted(layered, key=lambda e: (constant_share(e), e.label))
        ends = {text: labels for text, labels in groups.items() if ranked[0].label in labels}
        ends |= {text: labels for text, labels in groups.items() if ranked[-1].label in labels}
        return [" to ".join(f"{text} of {_some(labels)}" for text, labels in ends.items())]
    return [
        f"{text} of {'each experiment' if len(labels) == len(done) else _some(labels)}"
        for text, labels in groups.items()
    ]


MOST_NOTES = 4
"""Notes on groups of experiments that say the same but for some numbers."""
MOST_NAMED = 6
"""Experiments that a note names."""
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?")


def with_ranges(groups: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return texts with what they are of, those that differ in some numbers joined as ranges.

    Example:
        >>> with_ranges({"room for 9 pieces": ["a"], "room for 16 pieces": ["b"], "exact": ["c"]})
        {'room for 9 to 16 pieces': ['a', 'b'], 'exact': ['c']}
    """
    alike: dict[str, list[str]] = {}
    for text in groups:
        alike.setdefault(_NUMBER.sub("\0", text), []).append(text)
    joint = {}
    for skeleton, texts in alike.items():
        parts = skeleton.split("\0")
        whole = parts[0]
        for numbers, part in zip(
            zip(*map(_NUMBER.findall, texts), strict=True), parts[1:], strict=True
        ):
            ends = sorted(set(numbers), key=lambda n: float(n.replace(",", "")))
            whole += (ends[0] if len(ends) == 1 else f"{ends[0]} to {ends[-1]}") + part
        joint[whole] = [label for text in texts for label in groups[text]]
    return joint


def _some(labels: list[str]) -> str:
    """Return labels as in a sentence, of many the first ones."""
    if len(labels) <= MOST_NAMED:
        return joined(labels)
    return f"{joined(labels[:2])} and {len(labels) - 2:,} others"


def _method(answer: Answer) -> str:
    """Return the name of the intervals, and how limits of strata are joined."""
    guaranteed = interval_of(answer.interval).rigorous
    if not guaranteed or not shows_parts(answer.finished):
        return answer.interval
    if any(e.design is not None and e.design.one_sample for e in answer.finished):
        return f"{answer.interval} of all runs, and limits of strata joined"
    return f"{answer.interval}, limits of strata joined"


def _coverage(answer: Answer) -> str:
    method = interval_of(answer.interval)
    last = [row[-1] for e in answer.finished for row in e.exceedance.estimates]
    if not method.rigorous and (method.name != "mover" or shows_parts(answer.finished)):
        return "approximate"
    if any(estimate.families for estimate in last):
        return "lower ends guaranteed, upper ends approximate where families of clones are used"
    if method.name == "sequence" and all(estimate.rigorous for estimate in last):
        return "coverage guaranteed however often one looks, and whenever one stops"
    if all(estimate.rigorous for estimate in last):
        return "coverage guaranteed for a number of runs fixed beforehand"
    return "exact for a number of runs fixed beforehand, but for what the risks and inf L rest on"


def legend(done: list[ExperimentAnswer]) -> list[str]:
    """Return what the marks of bounds and permanent failures mean, a line for each mark."""
    marked: dict[str, dict[str, None]] = {}
    shown = [
        b.evidence for e in done for b in e.exceedance.lower_bounds if b.value > 0
    ] * shows_bounds(done)
    limits = shows_liminf(done)
    for e in done:
        shown += e.exceedance.by_event or [e.exceedance.evidence]
        shown += [
            evidence_of
            for evidence_of, value in zip(e.liminf.evidence, e.liminf.value, strict=True)
            if value > 0
        ] * limits
        shown += [x for x, n in zip(e.permanent.evidence, e.permanent.count, strict=True) if n]
    for evidence in shown:
        if evidence.mark:
            marked.setdefault(evidence.mark, {}).update(dict.fromkeys(evidence.clause.split("; ")))
    return [f"{mark}: no proof ({'; '.join(clauses)})" for mark, clauses in sorted(marked.items())]


def _optimum(e: ExperimentAnswer) -> str:
    bracket = optimum_text(e.optimum.lower.value, e.optimum.upper.value)
    over = f" over {e.risk.rows}" if e.risk.over else ""
    text = f"inf L{over} {'in' if bracket[0] == '[' else '='} {bracket} ({e.optimum.reason})"
    return f"{text}; {e.optimum.not_searched}" if e.optimum.not_searched else text


def _risk(e: ExperimentAnswer) -> str:
    kind = "the error is a bound on rounding"
    if not e.risk.evidence.proved:
        kind = f"the error is an estimate, not a bound ({e.risk.evidence.clause})"
    return f"true risk: {e.risk.description}; {kind}"
