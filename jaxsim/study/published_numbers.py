"""From [[published]] to published numbers, each with the experiment of the study that it is of."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from jaxsim.errors import InputError
from jaxsim.questions.events import KINDS, Event
from jaxsim.questions.published_number import (
    ERROR_RATE,
    LEVEL,
    MEAN,
    NEURON_SHARE,
    NEURONS,
    QUANTILE,
    Published,
)
from jaxsim.study.expand import canonical, flattened, meaning
from jaxsim.study.published_spec import PublishedSpec, counts_printed
from jaxsim.study.section import Table
from jaxsim.training.experiment import Experiment


def published_numbers(
    tables: Sequence[PublishedSpec], experiments: Sequence[Experiment]
) -> tuple[Published, ...]:
    """Return the published numbers of a study, each with the experiment that it is of.

    Raises:
        InputError: if several experiments are meant, what is not recorded, or what an experiment
            has not.
    """
    flat = [flattened(e.spec) for e in experiments] if any(t.where for t in tables) else []
    found = []
    for place, table in enumerate(tables):
        number = _number(table, _meant(table, place, experiments, flat))
        if table.mean is not None or table.quantile is not None:
            number = _statistic(table, number, place, experiments)
        found.append(number)
    return tuple(found)


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
    of = table.mean if table.quantile is None else table.quantile.of
    event = None
    if table.event is not None and table.event.kind in KINDS:
        event = Event(table.event.kind, *(table.event.thresholds or (0.0,)))
    of_rate = of == ERROR_RATE or (event is not None and event.of_error_rate)
    if meant and of_rate and not meant[0].error_rate:
        raise InputError(
            f"published.{place} ({table.quantity!r}) is of error rates, which are not recorded; "
            "accepted: events of error rates in the study, too"
        )
    if meant and event is not None and event.of_pattern and not meant[0].activation_pattern:
        raise InputError(
            f"published.{place} ({table.quantity!r}) is of activation patterns, which are not "
            'recorded; accepted: record = ["activation_pattern"] in the study, too'
        )
    return meant[0] if meant else None


def _fits(where: Table, keys: dict[str, Any]) -> bool:
    for key, value in flattened(where).items():
        found = next((keys[k] for k in (key, f"{key}.name", f"{key}.law") if k in keys), None)
        if canonical(meaning(found)) != canonical(meaning(value)):
            return False
    return True


def _statistic(
    table: PublishedSpec, number: Published, place: int, experiments: Sequence[Experiment]
) -> Published:
    """Return a mean or a quantile, with what its experiment says of it."""
    by_label = {e.label: e for e in experiments}
    by_id = {e.id: e for e in experiments}
    of = number.of
    mine = by_id.get(number.experiment or "")
    other = by_label.get(table.minus or "")
    most = None
    for experiment in (mine, other):
        if experiment is None:
            continue
        hidden = experiment.network.hidden
        if of in (NEURONS, NEURON_SHARE) and not hidden:
            raise InputError(
                f"published.{place} ({table.quantity!r}) is of inactive neurons of "
                f"{experiment.label!r}, a module of your own, of which none is known; accepted: "
                "the risk or the error rate"
            )
        if of == ERROR_RATE and not experiment.error_rate:
            raise InputError(
                f"published.{place} ({table.quantity!r}) is of error rates, which are not "
                "recorded; accepted: events of error rates in the study, too"
            )
    if mine is not None and of != "risk":
        most = float(mine.network.hidden[0]) if of == NEURONS else 1.0
        value = table.printed.value
        if abs(value) > most and (other is None or abs(value) > max(most, other.network.hidden[0])):
            raise InputError(
                f"published.{place} ({table.quantity!r}): value = {value:.12g} is not accepted; "
                f"accepted: up to {most:.12g}, the neurons of the first layer"
            )
    text, error, deviation = number.text, table.standard_error, table.standard_deviation
    told = []
    if deviation is not None:
        told.append(f"standard deviation {deviation:.6g}")
    if error is not None:
        told.append(f"standard error {error:.6g}")
        if table.runs is not None:
            error, deviation = None, error * math.sqrt(table.runs)
    if table.runs is not None:
        told.append(f"{table.runs:,} runs")
    return replace(
        number,
        most=most,
        deviation=deviation,
        standard_error=error,
        other=None if other is None else other.id,
        other_label=table.minus or "",
        text=f"{text} ({', '.join(told)})" if told else text,
    )


def _kind(table: PublishedSpec) -> str:
    if table.event is not None:
        return table.event.kind
    return LEVEL if table.level else MEAN if table.mean is not None else QUANTILE


def _number(table: PublishedSpec, experiment: Experiment | None) -> Published:
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
        share = table.event is not None
        if table.runs is not None and share:
            text += f" of {table.runs:,}"
            count = counts_printed(value, rounding, table.runs)
        if share:
            lower, upper = max(lower, 0.0), min(upper, 1.0)
        if table.relation == "at least":
            upper, text = 1.0 if share else math.inf, f"at least {text}"
            count = None if count is None else (count[0], table.runs or 0)
        elif table.relation == "at most":
            lower, text = 0.0 if share else -math.inf, f"at most {text}"
            count = None if count is None else (0, count[1])
    return Published(
        quantity=table.quantity,
        kind=_kind(table),
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
        tolerance=table.excluded,
        relation=table.relation,
        factor=table.factor,
        discussion=table.discussion,
        of=table.mean or ("" if table.quantile is None else table.quantile.of),
        level=None if table.quantile is None else table.quantile.level,
    )
