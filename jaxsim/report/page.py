"""The report as one self-contained HTML page: no scripts, no links, everything inside."""

from __future__ import annotations

import base64
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import jinja2

from jaxsim.questions.answer import Answer
from jaxsim.report.table import bound_text, permanent_text, shows_bounds, shows_permanent
from jaxsim.report.text import (
    estimate_text,
    interval_text,
    number,
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
        "exceedance_vs_n",
        "Does it go to 0?",
        "The same probability against the number of steps. Convergence in probability would mean "
        "that every curve goes to 0.",
    ),
    (
        "risk_distribution",
        "Where do runs end?",
        "Bars that stand alone are levels at which many runs stop: local minima of the risk.",
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
        sentences: at its top.
        notes: below its table.
        files: names of the figures in `directory`/plots that belong to the answer.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True
    )
    figures = []
    for name, heading, text in FIGURES:
        path = Path(directory) / "plots" / f"{name}.svg"
        if path.name in files:
            data = base64.b64encode(path.read_bytes()).decode()
            figures.append({"heading": heading, "text": text, "data": data})
    text = environment.get_template("page.html.jinja").render(
        name=answer.name,
        title=answer.title,
        version=jaxsim_version(),
        sentences=sentences,
        confidence=f"{100 * answer.confidence:.12g} %",
        rows=_rows(answer),
        comparisons=_comparisons(answer),
        bounds=shows_bounds(answer.finished),
        permanent=shows_permanent(answer.finished),
        notes=notes,
        figures=figures,
        devices=[(kind, f"{count:,}") for kind, count in answer.device_kinds.items()],
        versions=", ".join(f"{name} {number}" for name, number in versions().items()),
    )
    path = Path(directory) / "report.html"
    write_atomically(path, text.encode())
    return path


def _rows(answer: Answer) -> list[dict[str, Any]]:
    rows = []
    for e in answer.finished:
        for g, course in enumerate(e.exceedance.estimates):
            one, bound = course[-1], e.exceedance.lower_bounds[g]
            estimate, *ends = estimate_text(one)
            rows.append(
                {
                    "first": g == 0,
                    "span": len(e.exceedance.estimates),
                    "label": e.label,
                    "n": f"{one.step:,}",
                    "eps": number(one.eps),
                    "runs": f"{one.runs:,}",
                    "failures": f"{one.failures:,}",
                    "estimate": estimate,
                    "interval": " to ".join(ends),
                    "bound": bound_text(bound.value, bound.evidence),
                    "permanent": permanent_text(e, g),
                    "diverged": f"{one.diverged:,}",
                    "undecided": f"{one.undecided:,}",
                    "optimum": optimum_text(e.optimum.lower.value, e.optimum.upper.value),
                }
            )
    return rows


def _comparisons(answer: Answer) -> list[dict[str, str]]:
    rows = []
    for one in answer.pairs.comparisons:
        result = one.result
        difference, *ends = interval_text(result.difference, result.lower, result.upper)
        rows.append(
            {
                "first": one.first,
                "second": one.second,
                "eps": number(one.eps),
                "b": f"{result.counts.only_first:,}",
                "c": f"{result.counts.only_second:,}",
                "difference": difference,
                "interval": " to ".join(ends),
                "p": f"{one.p_holm:.2g}",
            }
        )
    return rows
