"""From [[published]] to published numbers, each with the experiment of the study that it is of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from jaxsim.errors import InputError
from jaxsim.questions.events import ERROR_RATE_ABOVE, NOT_ALL_RIGHT
from jaxsim.questions.published_number import LEVEL, Published
from jaxsim.study.expand import canonical, flattened, meaning
from jaxsim.study.published_spec import PublishedSpec, counts_printed
from jaxsim.study.section import Table
from jaxsim.training.experiment import Experiment


def published_numbers(
    tables: Sequence[PublishedSpec], experiments: Sequence[Experiment]
) -> tuple[Published, ...]:
    """Return the published numbers of a study, each with the experiment that it is of.

    Raises:
        InputError: if several experiments are meant, or error rates that are not recorded.
    """
    flat = [flattened(e.spec) for e in experiments] if any(t.where for t in tables) else []
    return tuple(
        _number(table, _meant(table, place, experiments, flat), place)
        for place, table in enumerate(tables)
    )


def _meant(
    table: PublishedSpec,
    place: int,
    experiments: Sequence[Experiment],
    flat: Sequence[dict[str, Any]],
) -> Experiment | None:
    """Return the experiment that a number is of, None if the study has none such."""
    meant = list(experiments)
    if table.experiment is not None:
        meant = [e for e in meant if e.label == table.experiment]
    if table.where:
        kept = {e.id for e, keys in zip(experiments, flat, strict=True) if _fits(table.where, keys)}
        meant = [e for e in meant if e.id in kept]
    if len(meant) > 1:
        raise InputError(
            f"published.{place} ({table.quantity!r}) is of {len(meant)} experiments, among them "
            f"{meant[0].label!r} and {meant[1].label!r}; accepted: an experiment's label, or more "
            "keys in where"
        )
    of_rate = table.event is not None and table.event.kind in (ERROR_RATE_ABOVE, NOT_ALL_RIGHT)
    if meant and of_rate and not meant[0].error_rate:
        raise InputError(
            f"published.{place} ({table.quantity!r}) is of error rates, which are not recorded; "
            "accepted: events of error rates in the study, too"
        )
    return meant[0] if meant else None


def _fits(where: Table, keys: dict[str, Any]) -> bool:
    for key, value in flattened(where).items():
        found = next((keys[k] for k in (key, f"{key}.name", f"{key}.law") if k in keys), None)
        if canonical(meaning(found)) != canonical(meaning(value)):
            return False
    return True


def _number(table: PublishedSpec, experiment: Experiment | None, place: int) -> Published:
    label = experiment.label if experiment is not None else table.experiment
    if label is None:
        label = ", ".join(
            f"{key.split('.')[-1]} {json.dumps(v)}" for key, v in (table.where or {}).items()
        )
    count = None
    if table.failures is not None:
        assert table.runs is not None
        count = table.failures, table.failures
        lower = upper = table.failures / table.runs
        text = f"{table.failures:,} of {table.runs:,}"
    else:
        value, rounding = table.printed
        lower, upper = value - rounding, value + rounding
        text = str(table.value)
        if table.runs is not None:
            text += f" of {table.runs:,}"
            count = counts_printed(value, rounding, table.runs)
        if table.event is not None:
            lower, upper = max(lower, 0.0), min(upper, 1.0)
        if table.relation == "at least":
            upper, text = 1.0, f"at least {text}"
            count = None if count is None else (count[0], table.runs or 0)
        elif table.relation == "at most":
            lower, text = 0.0, f"at most {text}"
            count = None if count is None else (0, count[1])
    return Published(
        quantity=table.quantity,
        kind=LEVEL if table.event is None else table.event.kind,
        thresholds=() if table.event is None else table.event.thresholds,
        lower=lower,
        upper=upper,
        text=text,
        source=table.source,
        place=table.place,
        experiment=None if experiment is None else experiment.id,
        label=label,
        step=table.step,
        count=count,
        runs=table.runs,
        tolerance=table.tolerance,
        relation=table.relation,
        factor=table.factor,
        discussion=table.discussion,
    )
