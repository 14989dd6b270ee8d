"""The report as one self-contained HTML page: no scripts, no links, everything inside."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import jinja2

from jaxsim.questions.answer import Answer
from jaxsim.questions.events import ABOVE_OPTIMUM
from jaxsim.report.clean import clean
from jaxsim.report.levels import level_rows
from jaxsim.report.parts import PARTS, part_cells, shows_parts, stratum_row
from jaxsim.report.sentences import risk_over
from jaxsim.report.table import (
    bound_text,
    event_heading,
    event_text,
    permanent_text,
    shows_bounds,
    shows_liminf,
    shows_permanent,
)
from jaxsim.report.text import (
    estimate_text,
    interval_text,
    optimum_text,
)
from jaxsim.results.files import write_atomically
from jaxsim.results.provenance import jaxsim_version, versions

FIGURES = (
    (
        "exceedance_vs_eps",
        "How far from the optimum?",
        "The probability that the true risk exceeds the optimal risk by more than eps.",
    ),
    (
        "exceedance_vs_risk",
        "How large does the risk stay?",
        "The probability that the true risk exceeds a value.",
    ),
    (
        "exceedance_vs_error_rate",
        "How many are wrong?",
        "The probability that the error rate exceeds a value.",
    ),
    (
        "exceedance_vs_n",
        "Does it go to 0?",
        "The same probability against the number of steps. Convergence in probability would mean "
        "that every curve goes to 0.",
    ),
    (
        "exceedance_vs_grid",
        "What does it depend on?",
        "The same probability at the last step against a number that the study varies.",
    ),
    (
        "phase_diagram",
        "Two numbers at once",
        "The same probability at the last step over two numbers that the study varies.",
    ),
    (
        "strata",
        "Where does the probability come from?",
        "The strata of the initializations: how likely each is, how often its runs fail, and what "
        "it adds to the failure probability.",
    ),
    (
        "risk_distribution",
        "Where do runs end?",
        "Bars that stand alone are values at which many runs stop, as at local minima of the risk.",
    ),
    ("learning_curves", "Learning curves", "Quantiles of the true risk over the runs."),
)


def write_page(
    answer: Answer,
    directory: Path,
    sentences: Sequence[str],
    notes: Sequence[str] = (),
    files: Collection[str] = (),
) -> Path:
    """Write `directory`/report.html and return its path.

    Args:
        answer: of the study.
        directory: of the page.
        sentences: at its top, the answer's contradictions first.
        notes: below its table; the answer's warnings stand at its top.
        files: names of the figures in `directory`/plots that belong to the answer.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, finalize=_shown
    )
    figures = []
    for name, heading, text in FIGURES:
        path = Path(directory) / "plots" / f"{name}.svg"
        if path.name in files:
            drawn = path.read_bytes()
            data = base64.b64encode(drawn).decode()
            width, height = _size(drawn)
            figures.append(
                {
                    "heading": heading,
                    "text": text,
                    "data": data,
                    "width": width,
                    "tall": height > 0.8 * width,
                }
            )
    alarms = len(answer.contradictions)
    text = environment.get_template("page.html.jinja").render(
        name=answer.name,
        title=answer.title,
        version=jaxsim_version(),
        contradictions=sentences[:alarms],
        sentences=sentences[alarms:],
        warnings=answer.warnings,
        confidence=f"{100 * answer.confidence:.12g} %",
        experiments=_experiments(answer),
        levels=_levels(answer),
        comparisons=_comparisons(answer),
        heading=event_heading(answer),
        over=risk_over(answer.finished),
        events=[event.clause() for event in answer.asked if event.kind != ABOVE_OPTIMUM],
        parts=PARTS if shows_parts(answer.finished) else (),
        bounds=shows_bounds(answer.finished),
        permanent=shows_permanent(answer.finished),
        liminf=shows_liminf(answer.finished),
        notes=notes[len(answer.warnings) :],
        designs=_designs(answer),
        figures=figures,
        devices=[(kind, f"{count:,}") for kind, count in answer.device_kinds.items()],
        versions=", ".join(f"{name} {number}" for name, number in versions().items()),
    )
    path = Path(directory) / "report.html"
    write_atomically(path, text.encode())
    return path


def _shown(value: Any) -> Any:
    """Return what stands in the page for a value: text without control characters."""
    return clean(value) if type(value) is str else value


def _size(svg: bytes) -> tuple[int, int]:
    """Return width and height at which the text of a figure has its size, in CSS pixels."""
    match = re.search(rb'<svg[^>]*? width="([0-9.]+)pt" height="([0-9.]+)pt"', svg)
    width, height = (float(x) * 96 / 72 for x in match.groups()) if match else (900.0, 600.0)
    return round(width), round(height)


def _experiments(answer: Answer) -> list[dict[str, Any]]:
    """Return the groups of the table's rows."""
    groups = []
    for e in answer.finished:
        rows = []
        for g, course in enumerate(e.exceedance.estimates):
            last, bound = course[-1], e.exceedance.lower_bounds[g]
            estimate, *ends = estimate_text(last)
            rows.append(
                {
                    "event": event_text(answer, g),
                    "runs": f"{last.runs:,}",
                    "failures": f"{last.failures:,}",
                    "estimate": estimate,
                    "interval": " to ".join(ends) + e.exceedance.evidence_of(g).mark,
                    "parts": part_cells(last),
                    "bound": bound_text(bound.value, bound.evidence, e.design is not None),
                    "permanent": permanent_text(e, g),
                    "liminf": bound_text(
                        e.liminf.value[g], e.liminf.evidence[g], e.design is not None
                    ),
                    "diverged": f"{last.diverged:,}",
                    "undecided": f"{last.undecided:,}",
                }
            )
        groups.append(
            {
                "label": e.label,
                "n": f"{e.checkpoints[-1]:,}",
                "optimum": optimum_text(e.optimum.lower.value, e.optimum.upper.value),
                "rows": rows,
            }
        )
    return groups


def _designs(answer: Answer) -> list[dict[str, Any]]:
    """Return the groups of the table of strata, one for each experiment and event."""
    groups = []
    for e in answer.finished:
        for g in range(len(answer.asked)) if e.design is not None else ():
            assert e.design is not None
            rows = [stratum_row(stratum, g) for stratum in e.design.strata]
            groups.append({"label": e.label, "event": event_text(answer, g), "rows": rows})
    return groups


def _levels(answer: Answer) -> list[dict[str, Any]]:
    """Return the groups of the table of levels."""
    groups = [{"label": e.label, "rows": level_rows(e)} for e in answer.finished]
    return [group for group in groups if group["rows"]]


def _comparisons(answer: Answer) -> list[dict[str, str]]:
    rows = []
    for comparison in answer.pairs.comparisons:
        result = comparison.result
        difference, *ends = interval_text(result.difference, result.lower, result.upper)
        rows.append(
            {
                "first": comparison.first,
                "second": comparison.second,
                "event": event_text(answer, answer.asked.index(comparison.asked)),
                "b": f"{result.counts.only_first:,}",
                "c": f"{result.counts.only_second:,}",
                "difference": difference,
                "interval": " to ".join(ends),
                "p": f"{comparison.p_holm:.2g}",
            }
        )
    return rows
