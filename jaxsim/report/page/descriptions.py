"""What figures show, in words, for readers who do not see them: the numbers, not the kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from jaxsim.questions.answer import Answer, ExperimentAnswer
from jaxsim.questions.events import ABOVE_OPTIMUM, ERROR_RATE_ABOVE, RISK_ABOVE
from jaxsim.report.page.optimum import optima_rows
from jaxsim.report.text import counted, estimate_text, joined, optimum_text
from jaxsim.report.write import OPTIMAL_RISK

MOST = 12
"""Experiments whose numbers are said."""


def described(name: str, answer: Answer) -> str:
    """Return what a figure shows of an answer, in sentences; nothing for one that is not known."""
    describe = _OF.get(name)
    return " ".join(describe(answer)) if describe is not None and answer.finished else ""


def _against(kind: str) -> Callable[[Answer], Iterator[str]]:
    """Return what describes P against the thresholds of a kind."""

    def describe(answer: Answer) -> Iterator[str]:
        yield f"{_panels(answer)}: a falling curve in its band."
        yield from _values(answer, kind)

    return describe


def _against_n(answer: Answer) -> Iterator[str]:
    counts = sorted({e.checkpoints[-1] for e in answer.finished})
    until = " to ".join(f"{n:,}" for n in ([counts[0], counts[-1]] if counts[1:] else counts))
    yield f"A line for {_named(answer)}, from n = 0 to {until}, in a panel for each event."
    for e in answer.finished[:MOST]:
        changes = []
        for event, row in zip(answer.asked, e.exceedance.estimates, strict=True):
            first, last = (estimate_text(row[t])[0] for t in (0, -1))
            changes.append(f"{event.short}: {first} at first, {last} at the end")
        yield f"{e.label}: {'; '.join(changes)}."
    yield from _rest(answer)


def _last(answer: Answer) -> Iterator[str]:
    yield from _values(answer)


def _values(answer: Answer, kind: str | None = None) -> Iterator[str]:
    """Yield the probabilities at the last step with their intervals, of one kind of events."""
    yield "At the last step:"
    for e in answer.finished[: 2 * MOST]:
        values = [
            "{}: {} ({} to {})".format(event.short, *estimate_text(row[-1]))
            for event, row in zip(answer.asked, e.exceedance.estimates, strict=True)
            if kind in (None, event.kind)
        ]
        if values:
            yield f"{e.label}, {'; '.join(values)}."
    yield from _rest(answer, 2 * MOST)


def _distribution(answer: Answer) -> Iterator[str]:
    yield f"{_panels(answer)}: a histogram of the risk above the optimal risk at the last step."
    for e in answer.finished[:MOST]:
        yield f"{e.label}: {_quantiles(e, -1)}."
    yield from _rest(answer)


def _curves(answer: Answer) -> Iterator[str]:
    yield f"{_panels(answer)}: the median of the risk against n, with quantiles around it."
    for e in answer.finished[:MOST]:
        yield f"{e.label}: at first {_quantiles(e, 0)}; at the end {_quantiles(e, -1)}."
    yield from _rest(answer)


def _optimum(answer: Answer) -> Iterator[str]:
    for row in optima_rows(answer)[:MOST]:
        if row["bracket"]:
            yield f"{row['whose']}: the optimal risk is {row['bracket']}."


def _quantiles(e: ExperimentAnswer, t: int) -> str:
    """Return median and range of the risk at a checkpoint."""
    levels, values = e.quantiles.levels, e.quantiles.value
    middle = values[len(levels) // 2][t]
    between = optimum_text(values[0][t], values[-1][t]).strip("[]").replace(", ", " to ")
    return f"median {middle:.3g}, {100 * levels[0]:.3g} to {100 * levels[-1]:.3g} % in {between}"


def _panels(answer: Answer) -> str:
    many = len(answer.finished) > 1
    return f"A panel for {_named(answer)}" if many else "One panel"


def _named(answer: Answer) -> str:
    labels = [e.label for e in answer.finished]
    if len(labels) == 1:
        return labels[0]
    if len(labels) > MOST:
        labels = [*labels[: MOST - 1], f"{len(labels) - MOST + 1:,} others"]
    return f"each of {counted(len(answer.finished), 'experiment')} ({joined(labels)})"


def _rest(answer: Answer, most: int = MOST) -> Iterator[str]:
    if len(answer.finished) > most:
        yield f"The tables have the other {len(answer.finished) - most:,}."


_OF: dict[str, Callable[[Answer], Iterator[str]]] = {
    "exceedance_vs_eps": _against(ABOVE_OPTIMUM),
    "exceedance_vs_risk": _against(RISK_ABOVE),
    "exceedance_vs_error_rate": _against(ERROR_RATE_ABOVE),
    "exceedance_vs_n": _against_n,
    "exceedance_vs_grid": _last,
    "phase_diagram": _last,
    "strata": _last,
    "risk_distribution": _distribution,
    "learning_curves": _curves,
    OPTIMAL_RISK: _optimum,
}
"""Name of a figure -> what describes it."""
