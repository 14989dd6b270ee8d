"""Levels, grades and drift as text: a table, sentences, and rows for CSV files and the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table
from rich.text import Text

from jaxsim.questions.answer import Answer, ExperimentAnswer
from jaxsim.questions.drift import DriftAnswer
from jaxsim.questions.grades import KINDS, LOOKED_BACK
from jaxsim.questions.levels import LevelsAnswer
from jaxsim.report.text import counted, interval_text, joined

if TYPE_CHECKING:  # loaded when a table is written: runs need none
    import pandas as pd

MOST_PARAMETERS_SAID = 4
"""Parameters whose means a sentence names, first those that are apart from the minimizer."""


def shows_levels(done: list[ExperimentAnswer]) -> bool:
    """Return whether any runs were polished."""
    return any(e.levels is not None for e in done)


def level_rows(e: ExperimentAnswer) -> list[dict[str, str]]:
    """Return the levels of an experiment as text, then what is at none of them."""
    answer = e.levels
    if answer is None:
        return []
    rows = [
        {
            "risk": f"{level.risk:.9g}",
            "count": f"{level.count:,}",
            "P": "{} [{}, {}]".format(*interval_text(level.estimate, level.lower, level.upper)),
            "minima": f"{level.minima:,}",
            "name": level.name,
        }
        for level in answer.levels
    ]
    if answer.unsettled:
        share = answer.unsettled / answer.runs
        ends = interval_text(share, answer.unsettled_lower, answer.unsettled_upper)
        rows.append(
            {
                "risk": "-",
                "count": f"{answer.unsettled:,}",
                "P": "{} [{}, {}]".format(*ends),
                "minima": "0",
                "name": "at no level",
            }
        )
    limit = interval_text(0.0, 0.0, answer.unseen)[2]
    rows.append(
        {
            "risk": "-",
            "count": "0",
            "P": f"at most {limit}",
            "minima": "0",
            "name": "levels not seen",
        }
    )
    return rows


def levels_table(answer: Answer) -> Table:
    """Return the table of the levels of all experiments."""
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    shown.title = Text("levels at which runs end, after polishing")
    shown.title_justify = "left"
    shown.add_column("experiment", overflow="fold", min_width=10)
    heading = f"P (simultaneous {100 * answer.confidence:.12g} %)"
    for name in ("risk", "runs", heading, "minima"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("level", overflow="fold")
    for e in answer.finished:
        for k, row in enumerate(level_rows(e)):
            shown.add_row(*(Text(cell) for cell in (e.label if k == 0 else "", *row.values())))
    return shown


FEW_DRIFTING = 2
"""Experiments that move the same parameter and have a sentence each."""


def level_sentences(answer: Answer) -> list[str]:
    """Return sentences on grades, levels and drift."""
    done = answer.finished
    lines = _grades(done, answer.asked[0].clause())
    for e in done:
        if e.levels is not None and len(done) <= 3:
            lines.append(_levels(e, e.levels, len(done) > 1))
    lines += _drifts([(e, e.drift) for e in done if e.drift is not None and e.drift.optimum])
    convex = [e for e in done if e.drift is not None and e.drift.convex]
    if convex:
        whose = "" if len(convex) == len(done) else f" of {joined([e.label for e in convex])}"
        lines.append(
            f"The risk{whose} is a convex function of the parameters and no neuron is inactive: "
            "what stays above the optimal risk is the doing of the method and its steps, not of "
            "local minima (the second mechanism)."
        )
    return lines


def _grades(done: list[ExperimentAnswer], event: str) -> list[str]:
    """Return a sentence on why runs fail, at the first event, all experiments together."""
    if not all(e.grades.eps for e in done):
        return []  # no event is about the risk
    totals = {name: sum(getattr(e.grades, name)[0] for e in done) for name in KINDS}
    if not totals["failures"] or not totals["polished"]:
        return []
    kinds = {
        "permanent": "for ever, certified",
        "minima": "at a local minimum after polishing, checked numerically",
        "falling": f"still falling at each of the last {LOOKED_BACK} checkpoints",
        "descends": "held by no minimum, since noise-free descent leads on to success",
        "diverged": "diverged",
        "undecided": "of which no more is known",
    }
    parts = [f"{totals[kind]:,} {text}" for kind, text in kinds.items() if totals[kind]]
    return [
        f"Why {event}: of {counted(totals['failures'], 'such run')}, {joined(parts)} "
        f"({totals['polished']:,} {'was' if totals['polished'] == 1 else 'were'} polished)."
    ]


def _levels(e: ExperimentAnswer, answer: LevelsAnswer, named: bool) -> str:
    """Return a sentence on the levels of an experiment."""
    listed = []
    for level in answer.levels[:8]:
        share, low, high = interval_text(level.estimate, level.lower, level.upper)
        listed.append(f"{level.risk:.6g} ({level.name}) with probability {share} ({low} to {high})")
    unlisted = len(answer.levels) - len(listed)
    listed += [f"{unlisted:,} more"] * bool(unlisted)
    whose = f" of {e.label}" if named else ""
    limit = interval_text(0.0, 0.0, answer.unseen)[2]
    levels = f"{counted(len(answer.levels), 'level')}: {joined(listed)}" if listed else "no level"
    return (
        f"After polishing {counted(answer.runs, 'run')}{whose} end at {levels}; levels that none "
        f"of them reached have probability at most {limit} (all together with confidence "
        f"{100 * answer.confidence:.12g} %, {answer.evidence.clause})."
    )


def _drifts(drifting: list[tuple[ExperimentAnswer, DriftAnswer]]) -> list[str]:
    """Return sentences on where the parameters go, one for experiments that move one alike."""
    groups: dict[tuple[Any, ...], list[tuple[ExperimentAnswer, DriftAnswer]]] = {}
    for e, drift in drifting:
        moved, _ = _moved(drift)
        assert drift.optimum is not None
        alike: tuple[Any, ...] = (e.label,)
        if len(moved) == 1:
            place = moved[0]
            goal = f"{drift.optimum[place]:.6g}"
            alike = drift.names[place], goal, drift.runs, e.steps, drift.confidence
        groups.setdefault(alike, []).append((e, drift))
    lines = []
    for alike, members in groups.items():
        if len(alike) == 1 or len(members) <= FEW_DRIFTING:
            lines += [_drift(*member) for member in members]
        else:
            lines.append(_drift_of_many(members))
    return lines


def _drift_of_many(members: list[tuple[ExperimentAnswer, DriftAnswer]]) -> str:
    """Return a sentence on where the one parameter goes that all experiments move."""
    e, drift = members[0]
    (place,), _ = _moved(drift)
    assert drift.optimum is not None
    apart: dict[bool, list[str]] = {True: [], False: []}
    for one, of in members:
        (k,), outside = _moved(of)
        mean, low, high = interval_text(of.mean[k], of.lower[k], of.upper[k])
        apart[bool(outside.any())].append(f"{one.label}: {mean} ({low} to {high})")
    parts = [f"not there {'; '.join(apart[True])}"] * bool(apart[True])
    parts += [f"perhaps there {'; '.join(apart[False])}"] * bool(apart[False])
    return (
        f"The mean of {drift.names[place]} over {counted(drift.runs, 'run')} after "
        f"{counted(e.steps, 'step')}, where the minimizer has {drift.optimum[place]:.6g}, is, as "
        f"far as {100 * drift.confidence:.12g} % intervals tell, {'; and '.join(parts)}."
    )


def _moved(drift: DriftAnswer) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of parameters that move, and which intervals are off the minimizer."""
    assert drift.optimum is not None
    optimum, lower, upper = (np.array(a) for a in (drift.optimum, drift.lower, drift.upper))
    hair = 1e-9 * (1 + np.abs(optimum))  # what polishing leaves
    outside = (optimum < lower - hair) | (optimum > upper + hair)
    return np.flatnonzero((np.array(drift.deviation) > 0) | outside), outside


def _drift(e: ExperimentAnswer, drift: DriftAnswer) -> str:
    """Return a sentence on where the parameters go."""
    assert drift.optimum is not None
    optimum = np.array(drift.optimum)
    moved, outside = _moved(drift)
    shown = sorted(moved, key=lambda i: not outside[i])[:MOST_PARAMETERS_SAID]
    parts = []
    for i in shown:
        mean, low, high = interval_text(drift.mean[i], drift.lower[i], drift.upper[i])
        name = drift.names[i]
        parts.append(
            f"{name} is {mean} ({low} to {high}), where the minimizer has {optimum[i]:.6g}"
        )
    unlisted = len(moved) - len(shown)
    parts += [f"{unlisted} parameters more"] * bool(unlisted)
    verdict = "the mean is not" if outside.any() else "the mean may be"
    return (
        f"{e.label}, mean over {counted(drift.runs, 'run')} after {counted(e.steps, 'step')}: "
        f"{joined(parts) if parts else 'nothing moved'}; as far as {100 * drift.confidence:.12g} % "
        f"intervals tell, {verdict} at the minimizer."
    )


def levels_frame(answer: Answer) -> pd.DataFrame:
    """Return one row per experiment and level, and rows for runs at none and levels not seen."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for e in answer.finished:
        levels = e.levels
        if levels is None:
            continue
        common = {"experiment": e.label, "step": e.steps, "runs": levels.runs}
        common["risk_over"] = e.risk.named
        for level in levels.levels:
            rows.append(common | level.model_dump() | {"confidence": levels.confidence})
        for name, count, low, high in (
            ("at no level", levels.unsettled, levels.unsettled_lower, levels.unsettled_upper),
            ("levels not seen", 0, 0.0, levels.unseen),
        ):
            row = {"name": name, "count": count, "estimate": count / levels.runs}
            rows.append(
                common | row | {"lower": low, "upper": high, "confidence": levels.confidence}
            )
    return pd.DataFrame(rows)


def drift_frame(answer: Answer) -> pd.DataFrame:
    """Return one row per experiment and parameter: mean at the last step and minimizer."""
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "experiment": e.label,
                "step": e.steps,
                "parameter": e.drift.names[i],
                "runs": e.drift.runs,
                "risk_over": e.risk.named,
                "mean": mean,
                "lower": e.drift.lower[i],
                "upper": e.drift.upper[i],
                "deviation": e.drift.deviation[i],
                "minimizer": e.drift.optimum[i] if e.drift.optimum else None,
                "confidence": e.drift.confidence,
            }
            for e in answer.finished
            if e.drift is not None
            for i, mean in enumerate(e.drift.mean)
        ]
    )
