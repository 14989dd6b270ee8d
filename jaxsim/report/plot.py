"""One figure of a study: from Python as a Matplotlib figure, from `jaxsim plot` as a file."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxsim.arguments import texts
from jaxsim.errors import InputError, unknown
from jaxsim.questions.answer import Answer
from jaxsim.questions.ask import analyse
from jaxsim.questions.events import ABOVE_OPTIMUM, thresholds
from jaxsim.results.results import Results
from jaxsim.study.published_numbers import published_numbers
from jaxsim.study.read import study_spec

if TYPE_CHECKING:  # a second of imports
    from matplotlib.figure import Figure

STYLES = ("report", "paper")
KINDS = {
    "exceedance_vs_eps": "P against eps at the last step",
    "exceedance_vs_n": "P against the number of steps",
    "exceedance_vs_grid": "P against a number that the grid varies",
    "phase_diagram": "P over two numbers that the grid varies",
    "exceedance_vs_risk": "P(L > c) against c, for events risk_above",
    "exceedance_vs_error_rate": "P(error rate > c) against c, for events error_rate_above",
    "risk_distribution": "the risk at the last step",
    "learning_curves": "quantiles of the risk against the number of steps",
    "strata": "where P comes from, for a study with a design",
}
"""Kinds of figures and what they show."""


def plot(
    source: Results | Answer,
    kind: str,
    *,
    eps: float | Sequence[float] | None = None,
    axes: str | Sequence[str] = (),
    style: str = "report",
) -> Figure:
    """Return a figure of a study.

    Args:
        source: results, which are asked what their study asks, or an answer.
        kind: of the figure, one of `jaxsim.report.plot.KINDS`.
        eps: thresholds above the optimal risk; None for those of the study or the answer.
        axes: keys of the grid for the axes of "exceedance_vs_grid" (one) and "phase_diagram"
            (two); by default the most telling ones.
        style: "report", or "paper": small, without title and footnote, which are the figure's
            label (`figure.get_label()`).

    Raises:
        InputError: for an unknown kind or style, an eps that the answer does not have, or a kind
            that has nothing to show of this study.
    """
    from jaxsim.report import plots
    from jaxsim.report.plots.sheet import for_paper

    if not isinstance(kind, str) or kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    if style not in STYLES:
        raise unknown("style", style, STYLES)
    axes = texts("axes", [axes] if isinstance(axes, str) else axes)
    answer = _answer(source, eps)
    draw: Any = {**plots.FIGURES, **plots.FURTHER, **plots.OF_GRIDS}[kind]
    if kind not in plots.OF_GRIDS and axes:
        raise InputError(
            f"axes = {list(axes)!r} is not accepted for {kind!r}; accepted: none, or the kind "
            f"{' or '.join(plots.OF_GRIDS)}"
        )
    with for_paper() if style == "paper" else contextlib.nullcontext():
        figure = draw(answer, axes) if kind in plots.OF_GRIDS else draw(answer)
    if figure is None:
        others = [k for k in KINDS if k != kind]
        raise InputError(
            f"kind = {kind!r} shows nothing of this study ({_lacking(kind, answer)}); other kinds: "
            f"{', '.join(others)}"
        )
    return figure


def write_plot(
    source: Results | Answer,
    kind: str,
    directory: Path,
    file_format: str = "pdf",
    output: Path | None = None,
    **options: Any,
) -> tuple[Path, str]:
    """Draw a figure into a file and return its path and its caption.

    Args:
        source: results or an answer.
        kind: of the figure.
        directory: of the study; the file is in its folder `figures` unless `output` says otherwise.
        file_format: "pdf", "svg" or "png".
        output: the file.
        options: of `plot`.

    Raises:
        InputError: as `plot`, for an unknown format, or a file that cannot be written.
    """
    from jaxsim.report.plots.style import FORMATS, save_as

    if file_format not in FORMATS:
        raise unknown("format", file_format, FORMATS)
    figure = plot(source, kind, **options)
    path = Path(output) if output else Path(directory) / "figures" / f"{kind}.{file_format}"
    save_as(figure, path, file_format)
    return path, str(figure.get_label())


def answer_of(results: Results) -> Answer:
    """Return the answer to what the study of some results asks.

    Raises:
        InputError: if their directory does not hold their study, or as `jaxsim.analyse`.
    """
    manifest = results.store.manifest()
    if not isinstance(manifest, dict) or not isinstance(manifest.get("study"), dict):
        raise InputError(
            f"results of {str(results.store.directory)!r} do not say what their study asks; "
            "accepted: what `jaxsim.simulate` returns, or an answer of `jaxsim.analyse`"
        )
    spec = study_spec(manifest["study"])
    return analyse(
        results, spec.asking, spec.confidence, spec.method, spec.name, spec.title,
        post_stratify=spec.post_stratify,
        published=published_numbers(spec.published, results.experiments),
    )  # fmt: skip


def _answer(source: Any, eps: Any) -> Answer:
    """Return the answer that is drawn."""
    if isinstance(source, Results):
        answer = answer_of(source)
        if eps is None:
            return answer
        asked = answer.confidence, answer.interval, answer.name, answer.title
        return analyse(source, thresholds(eps).tolist(), *asked)
    if not isinstance(source, Answer):
        raise InputError(
            f"source = {type(source).__name__} is not accepted: it should be results of "
            "`jaxsim.simulate` or an answer of `jaxsim.analyse`"
        )
    return source if eps is None else _only(source, thresholds(eps).tolist())


def _only(answer: Answer, eps: Sequence[float]) -> Answer:
    """Return an answer at some of its thresholds above the optimal risk."""
    known = [e.threshold if e.kind == ABOVE_OPTIMUM else None for e in answer.asked]
    missing = [e for e in eps if e not in known]
    if missing:
        has = ", ".join(f"{e:.12g}" for e in known if e is not None) or "none"
        raise InputError(
            f"eps = {missing[0]:.12g} is not in the answer; accepted: {has}, or results in place "
            "of the answer"
        )
    kept = [g for g, e in enumerate(known) if e in eps]

    def chosen(model: Any, *names: str) -> Any:
        there = {name: getattr(model, name) for name in names}
        return model.model_copy(
            update={k: [v[g] for g in kept] for k, v in there.items() if len(v) == len(known)}
        )

    experiments = []
    for e in answer.experiments:
        parts = {
            "exceedance": chosen(e.exceedance, "estimates", "lower_bounds", "by_event"),
            "permanent": chosen(e.permanent, "eps", "count", "evidence", "probability"),
            "liminf": chosen(
                e.liminf, "eps", "value", "simultaneous", "evidence", "reason", "certified"
            ),
        }
        if e.design is not None:
            by_event = "decided", "failures", "undecided", "estimate", "lower", "upper", "doubts"
            strata = [chosen(stratum, *by_event) for stratum in e.design.strata]
            parts["design"] = e.design.model_copy(update={"strata": strata})
        experiments.append(e.model_copy(update=parts))
    events = [answer.events[g] for g in kept] if answer.events else []
    return answer.model_copy(
        update={"eps": list(eps), "events": events, "experiments": experiments}
    )


def _lacking(kind: str, answer: Answer) -> str:
    """Return why a kind has nothing to show."""
    if not answer.finished:
        return "no run is finished"
    return {
        "exceedance_vs_grid": "its grid varies no number freely",
        "phase_diagram": "its grid varies fewer than two numbers freely",
        "exceedance_vs_eps": "it asks for no event above_optimum",
        "exceedance_vs_risk": "it asks for no event risk_above",
        "exceedance_vs_error_rate": "it asks for no event error_rate_above",
        "strata": "its design is plain",
        "exceedance_vs_n": "its networks were not trained",
        "learning_curves": "its networks were not trained",
    }.get(kind, "nothing is known of it")
