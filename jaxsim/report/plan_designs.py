"""What each design would take for a precision, by a model or by earlier runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table
from rich.text import Text

from jaxsim.design.allocation import IN_SIGHT, PROBING, planned_frequencies
from jaxsim.design.cost import (
    ASSUMED,
    Cost,
    assumed_frequencies,
    coefficient,
    family_deviations,
    run_deviations,
    sampling_cost,
)
from jaxsim.design.make import make_design
from jaxsim.design.splitting import splitting_unsupported_reason
from jaxsim.design.stratum import Design
from jaxsim.errors import InputError
from jaxsim.launch.budget import usual_pilot
from jaxsim.launch.directory import reopen
from jaxsim.launch.look import Look, decided_at_once
from jaxsim.report.text import counted, duration, number
from jaxsim.study.spec import StudySpec
from jaxsim.study.study import Study
from jaxsim.training.experiment import Experiment

DESIGNS = ("plain", "strata", "splitting")
RELATIVE = 0.1
"""Half an interval's width as a share of the probability, where a study does not say."""
MOST = 8
"""Experiments that are looked at; the others of a large study are much like them."""


@dataclass(frozen=True)
class Strata:
    """The strata of an experiment, or why it has none.

    Attributes:
        design: the strata; None where they are not permitted.
        missing: inactive neurons that a stratum lacks to fail by proof, [S].
        why_not: of strata, a sentence or nothing.
        why_not_split: of splitting, the same.
    """

    design: Design | None
    missing: np.ndarray
    why_not: str = ""
    why_not_split: str = ""


def strata_of(spec: StudySpec, experiment: Experiment) -> Strata:
    """Return the strata of an experiment, with what proofs decide of them without any run."""
    try:
        design = make_design("strata", experiment)
    except InputError as refused:
        # One sentence for all experiments with the same reason.
        said = str(refused).replace(f" for {experiment.label!r}", "", 1)
        return Strata(None, np.zeros(1, int), said, said)
    least = np.array([stratum.least for stratum in design.strata])
    # For every event: the rarest of them has the fewest strata that fail by proof.
    fails = decided_at_once(spec, experiment, design).all(axis=1)
    enough = int(least[fails].min()) if fails.any() else int(least.max())
    reason = splitting_unsupported_reason(experiment)
    return Strata(design, np.maximum(enough - least, 0), "", reason)


def assumed(strata: Strata) -> list[float]:
    """Return the probabilities that a plan is given for: more than what is proved.

    Example:
        >>> assumed(Strata(None, np.zeros(1, int)))
        [0.01, 0.0001, 1e-06, 1e-10]
    """
    least = 0.0
    if strata.design is not None:
        least = float(strata.design.weights[strata.missing == 0].sum())
    return [p for p in ASSUMED if p > least] or [float(f"{least**0.5:.1g}")]


def costs(
    experiment: Experiment, strata: Strata, p: float, variation: float, seen: np.ndarray | None
) -> dict[str, Cost]:
    """Return what the designs that are permitted cost, by name.

    Args:
        experiment: whose trainings they are.
        strata: of it.
        p: the probability.
        variation: coefficient of variation that is asked for.
        seen: the failure probabilities of the strata, if runs tell, [S].
    """
    one = np.ones(1)
    found = {"plain": sampling_cost(one, run_deviations(p * one), p, one, variation)}
    if strata.design is None:
        return found
    parts = strata.design.strata
    weights, size = strata.design.weights, experiment.network.size
    cost = np.array([part.experiment.network.size / size for part in parts])
    f = assumed_frequencies(weights, strata.missing, p) if seen is None else seen
    total = float(weights @ f)
    open_ = f < 1
    ways = {"strata": run_deviations(f)}
    if not strata.why_not_split:
        model = f if seen is None else assumed_frequencies(weights, strata.missing, p)
        families = family_deviations(model, strata.missing, len(experiment.checkpoints))
        relative = families / np.maximum(model, 1e-300)
        ways["splitting"] = np.minimum(run_deviations(f), relative * f)
    for name, deviations in ways.items():
        main = sampling_cost(weights, deviations, total, cost, variation)
        pilot = usual_pilot(int(min(main.trainings, 1e15)), int(open_.sum()))
        # What probes strata for events out of sight adds nothing to the precision.
        more = 1 / (1 - PROBING) if total < IN_SIGHT else 1.0
        found[name] = Cost(
            more * main.trainings + pilot * float(open_.sum()),
            more * main.work + pilot * float(cost[open_].sum()),
        )
    return found


def relative_precision(spec: StudySpec, p: float) -> float:
    """Return half the width of an interval as a share of the probability, as the study asks."""
    if spec.until is None:
        return RELATIVE
    if spec.until.relative is not None:
        return spec.until.relative
    assert spec.until.half_width is not None
    return spec.until.half_width / p


def precision_text(spec: StudySpec) -> str:
    """Return the precision in words."""
    level = f"{100 * spec.confidence:.12g} % interval"
    if spec.until is None:
        part = f"{100 * RELATIVE:.12g} %"
        return f"half of a {level} = {part} of the probability (the study has no until)"
    if spec.until.relative is not None:
        return f"half of a {level} = {100 * spec.until.relative:.12g} % of the probability (until)"
    return f"half of a {level} = {number(spec.until.half_width or 0.0)} (until)"


def looks(study: Study, directory: Path | None) -> dict[str, Look]:
    """Return what finished runs of a directory show, by the ids of the study's experiments."""
    if directory is None or not (Path(directory) / "study.json").is_file():
        return {}
    try:
        bound = reopen(directory)
        return {
            e.id: bound.stages[e.id].seen()
            for e in study.experiments
            if e.id in bound.stages and _same(study, bound.study, e)
        }
    except InputError:
        return {}


def _same(study: Study, other: Study, e: Experiment) -> bool:
    """Return whether runs of a directory are of the same strata and events."""
    mine, theirs = (s.designs[e.id].strata for s in (study, other))
    alike = [s.experiment.id for s in mine] == [s.experiment.id for s in theirs]
    return alike and list(study.spec.asked) == list(other.spec.asked)


def design_costs(
    study: Study, directory: Path | None, seconds: Callable[[Experiment], float]
) -> tuple[Table, list[str]]:
    """Return the table of what each design would take, and the sentences below it.

    Args:
        study: what is planned.
        directory: whose runs say how often runs fail, if it holds some of the study.
        seconds: of one training of an experiment, on all devices together.
    """
    spec, seen = study.spec, looks(study, directory)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("experiment")
    table.add_column("if P is about", justify="right")
    for name in DESIGNS:
        table.add_column(name, justify="right")
    refused: dict[str, list[str]] = {}
    rows: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    every: dict[tuple[object, ...], Strata] = {}
    by_runs = False
    for experiment in study.experiments[:MOST]:
        alike = (
            experiment.evaluation_key, experiment.initialization_key, experiment.optimizer.name,
            str(experiment.batch_size), len(experiment.checkpoints),
        )  # fmt: skip
        if alike not in every:
            every[alike] = strata_of(spec, experiment)
        strata = every[alike]
        why_nots = (strata.why_not,) if strata.why_not else (_splitting(strata.why_not_split),)
        for why_not in filter(None, why_nots):
            refused.setdefault(why_not, []).append(experiment.label)
        known = _known(spec, seen.get(experiment.id), strata)
        by_runs |= bool(known)
        cells = []
        for name, p, f in known or [(number(p), p, None) for p in assumed(strata)]:
            variation = coefficient(relative_precision(spec, p), spec.confidence)
            found = costs(experiment, strata, p, variation, f)
            each = seconds(experiment)
            cells.append((name, *(_cell(found.get(d), each) for d in DESIGNS)))
        rows.setdefault(tuple(cells), []).append(experiment.label)
    for cells, labels in rows.items():
        label = labels[0] if len(labels) == 1 else f"{labels[0]} and {len(labels) - 1:,} more"
        for place, row in enumerate(cells):
            table.add_row(*(Text(cell) for cell in ("" if place else label, *row)))
    return table, _remarks(study, directory if by_runs else None, refused)


def _known(
    spec: StudySpec, look: Look | None, strata: Strata
) -> list[tuple[str, float, np.ndarray | None]]:
    """Return (name, P, failure probabilities of the strata) of the events that runs show."""
    if look is None or not look.runs.sum():
        return []
    f = planned_frequencies(look.failures[..., -1], look.runs, look.decided)
    rows = []
    for g, event in enumerate(spec.asked):
        p = float(look.design.weights @ f[:, g])
        if 0 < p:
            use = not look.design.plain and strata.design is not None
            rows.append((f"{p:.2g} ({event.short})", p, f[:, g] if use else None))
    return rows


def _splitting(reason: str) -> str:
    return f'design = "splitting" is not accepted: {reason}' if reason else ""


def _cell(cost: Cost | None, seconds: float) -> str:
    if cost is None:
        return "-"
    return f"{_about(max(cost.trainings, 1.0))}, {_time(cost.work * seconds)}"


def _time(seconds: float) -> str:
    """Return a time span, also one that nobody can wait for.

    Example:
        >>> _time(600), _time(1e6), _time(1e12)
        ('10 min', '12 days', '32,000 years')
    """
    days = seconds / 86_400
    if days < 3:
        return duration(seconds)
    return f"{days:,.0f} days" if days < 1000 else f"{_about(days / 365.25)} years"


def _about(count: float) -> str:
    """Return a number of trainings, to two digits.

    Example:
        >>> _about(384.1), _about(38414.6), _about(3.84e8)
        ('380', '38,000', '3.8e+08')
    """
    digits = float(f"{count:.2g}")
    return f"{digits:,.0f}" if digits < 1e7 else f"{digits:.2g}"


def _remarks(
    study: Study, directory: Path | None, refused: Mapping[str, Sequence[str]]
) -> list[str]:
    said = [f"precision: {precision_text(study.spec)}; trainings and time, about"]
    if directory is not None:
        said.append(f"how often runs of each stratum fail: from the runs in {directory}")
    else:
        said.append(
            "P is not known before there are runs: a model, in which each neuron that would have "
            "to become inactive costs the same factor"
        )
    said.append(
        "for the estimate and what is resolved; a guaranteed upper end cannot fall below about 4 / "
        "(trainings), and the confidence sequences that until stops by take several times as many"
    )
    if len(study.experiments) > MOST:
        said.append(f"the first {MOST} of {counted(len(study.experiments), 'experiment')}")
    said += [
        why_not if len(labels) == 1 else f"{why_not} (and {len(labels) - 1:,} more)"
        for why_not, labels in refused.items()
    ]
    return said
