"""The report as one self-contained HTML page: the template is filled and written."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from jaxsim.questions.answer import Answer
from jaxsim.questions.events import ABOVE_OPTIMUM
from jaxsim.report.clean import clean
from jaxsim.report.page import scale, tables
from jaxsim.report.page.explorer import as_script, embedded
from jaxsim.report.page.figures import figures_of
from jaxsim.report.page.optimum import optima_rows
from jaxsim.report.page.origin import Origin
from jaxsim.report.parts import PARTS, shows_parts
from jaxsim.report.published import published_sentences
from jaxsim.report.sentences import risk_over
from jaxsim.report.table import (
    diverged_count,
    event_heading,
    shared_columns,
    shows_bounds,
    shows_liminf,
    shows_permanent,
)
from jaxsim.report.text import MOST_DRAWN, counted, joined
from jaxsim.report.write import OPTIMAL_RISK
from jaxsim.results.files import write_atomically
from jaxsim.results.provenance import jaxsim_version, versions

FOLDER = Path(__file__).parent


def write_page(
    answer: Answer,
    directory: Path,
    sentences: Sequence[str],
    notes: Sequence[str] = (),
    files: Collection[str] = (),
    origin: Origin | None = None,
) -> Path:
    """Write `directory`/report.html and return its path.

    Args:
        answer: of the study.
        directory: of the page.
        sentences: at its top, the answer's contradictions first.
        notes: below its table; the answer's warnings stand at its top.
        files: names of the figures in `directory`/plots that belong to the answer.
        origin: where the numbers come from; None if that is not known.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    figures, of_figures = figures_of(answer, directory, files)
    data = embedded(answer)
    script = (FOLDER / "page.js").read_text(encoding="utf-8")
    style = (FOLDER / "page.css").read_text(encoding="utf-8") + of_figures
    alarms = len(answer.contradictions)
    # The table of published numbers has what else is said of them.
    compared = published_sentences(answer)
    said = compared[:1] + [line for line in sentences[alarms:] if line not in compared]
    done = tables.first_of(answer)
    varying, shared = shared_columns(answer.finished)
    text = environment.get_template("page.html.jinja").render(
        style=Markup(style),
        style_hash=_hash(style),
        script=Markup(script),
        script_hash=_hash(script),
        data=None if data is None else Markup(as_script(data | {"frame": FRAME})),
        view=f"0 0 {scale.WIDTH} {scale.HEIGHT}",
        name=answer.name,
        title=answer.title,
        version=jaxsim_version(),
        contradictions=sentences[:alarms],
        sentences=said,
        warnings=answer.warnings,
        confidence=f"{100 * answer.confidence:.12g} %",
        size=_size(answer),
        left_out=_left_out(answer, len(done)),
        experiments=tables.experiments(answer, done),
        varying=varying,
        shared=shared,
        splits=tables.splits(answer, done[:MOST_DRAWN]),
        splits_left_out=_left_out(answer, min(len(done), MOST_DRAWN)),
        events=[event.short for event in answer.asked],
        published=tables.published(answer),
        levels=tables.levels(answer),
        comparisons=tables.comparisons(answer),
        comparisons_all=len(answer.pairs.comparisons),
        heading=event_heading(answer),
        over=risk_over(answer.finished),
        clauses=[event.clause() for event in answer.asked],
        other_events=any(event.kind != ABOVE_OPTIMUM for event in answer.asked),
        trained=any(e.steps for e in answer.finished) or not answer.finished,
        above_optimum=any(event.kind == ABOVE_OPTIMUM for event in answer.asked),
        parts=PARTS if shows_parts(answer.finished) else (),
        bounds=shows_bounds(answer.finished),
        permanent=shows_permanent(answer.finished),
        liminf=shows_liminf(answer.finished),
        lost=diverged_count(answer),
        notes=notes[len(answer.warnings) :],
        designs=tables.designs(answer),
        optima=optima_rows(answer),
        picture=figures.pop(OPTIMAL_RISK, None),
        figures=list(figures.values()),
        devices=[(kind, f"{count:,}") for kind, count in answer.device_kinds.items()],
        versions=", ".join(f"{name} {number}" for name, number in versions().items()),
        origin=origin,
    )
    path = Path(directory) / "report.html"
    write_atomically(path, text.encode())
    return path


FRAME = [scale.LEFT, scale.RIGHT, scale.TOP, scale.BOTTOM]
"""Ends of the part of a chart where curves are."""


def _hash(text: str) -> str:
    """Return what a security policy calls the content of an inline script or style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _shown(value: Any) -> Any:
    """Return what stands in the page for a value: text without control characters."""
    return clean(value) if type(value) is str else value


def _size(answer: Answer) -> str:
    """Return how much was run, in words."""
    done = answer.finished
    runs, steps = sorted({e.runs for e in done}), sorted({e.checkpoints[-1] for e in done})
    if not done:
        return "no finished runs"
    whose = "" if len(done) == 1 else f"{counted(len(done), 'experiment')}, "
    many = counted(runs[0], "run") if len(runs) == 1 else f"{runs[0]:,} to {runs[-1]:,} runs"
    long = f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"
    each = f"{whose}{many}{' each' if len(done) > 1 else ''}"
    return f"{each}, of {long} steps each" if steps[-1] else f"{each}, not trained"


def _left_out(answer: Answer, shown: int) -> str:
    """Return a sentence on experiments that the tables of the page have no room for."""
    every = len(answer.finished)
    if shown == every:
        return ""
    names = joined(["answer.json", "estimates.csv"])
    return f"Shown are the first {shown:,} of {every:,} experiments; {names} have all."
