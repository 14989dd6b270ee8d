"""The tables of a page: cells as the terminal has them."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from operator import itemgetter
from typing import Any

from jaxsim.digits import interval_text
from jaxsim.questions.answer import Answer, ExperimentAnswer
from jaxsim.report.levels import level_rows
from jaxsim.report.parts import part_cells, stratum_row
from jaxsim.report.published import published_rows
from jaxsim.report.table import bound_text, event_text, permanent_text
from jaxsim.report.text import (
    counted,
    estimate_text,
    joined,
    lower_text,
    optimum_text,
    up,
)

MOST_ROWS = 3_000
"""Of a table; the CSV files have all."""
MOST_REPEATED = 3
"""Experiments whose numbers have the same remark before it is said once for all."""
MOST_DESIGNS = 60
"""Tables of strata."""


def first_of(answer: Answer) -> list[ExperimentAnswer]:
    """Return the experiments that tables have room for."""
    return answer.finished[: max(1, MOST_ROWS // len(answer.asked))]


def published(answer: Answer) -> list[dict[str, Any]]:
    """Return the published numbers beside the measured ones, grouped by their sources.

    Those that were not measured stand apart.
    """
    groups: dict[str, dict[str, Any]] = {}
    for row, one in zip(published_rows(answer), answer.published, strict=True):
        group = groups.setdefault(
            one.source, {"source": one.source, "experiments": [], "missing": []}
        )
        row = row | {"mark": one.verdict}
        if one.verdict == "not measured":
            group["missing"].append(row)
            continue
        same = group["experiments"] and group["experiments"][-1]["label"] == one.experiment
        if not same:
            group["experiments"].append({"label": one.experiment, "rows": []})
        group["experiments"][-1]["rows"].append(row)
    for group in groups.values():
        places = {row["place"] for e in group["experiments"] for row in e["rows"]}
        group["place"] = places.pop() if len(places) == 1 else ""
        group["remark"] = _shared_remark(group["experiments"])
        for e in group["experiments"]:
            e["remarks"] = _remarks(e["rows"])
            for place, alike in itertools.groupby(e["rows"], key=itemgetter("place")):
                for row in list(alike)[1:] if place else ():
                    row["place"] = ""  # as in the row above
            e["lines"] = len(e["rows"]) + len(e["remarks"])
    return list(groups.values())


def _shared_remark(experiments: list[dict[str, Any]]) -> str:
    """Take the remark that most numbers of several experiments have from them, and return it."""
    rows = [row for e in experiments for row in e["rows"]]
    counts = Counter(row["discussion"] for row in rows if row["discussion"])
    text, count = counts.most_common(1)[0] if counts else ("", 0)
    of = sum(any(row["discussion"] == text for row in e["rows"]) for e in experiments)
    if of < MOST_REPEATED or 2 * count < len(rows):
        return ""
    for row in rows:
        if row["discussion"] == text:
            row["discussion"] = ""
    whose = "" if count == len(rows) else f"Of {count:,} of these {len(rows):,} numbers: "
    return whose + text


def _remarks(rows: list[dict[str, str]]) -> list[str]:
    """Return what should be known of the numbers of an experiment, each sentence once."""
    said: dict[str, list[str]] = {}
    for row in rows:
        if row["discussion"]:
            said.setdefault(row["discussion"], []).append(row["quantity"])
    alone = len(rows) == 1 or (len(said) == 1 and len(next(iter(said.values()))) == len(rows))
    return [text if alone else f"{joined(of)}: {text}" for text, of in said.items()]


def splits(answer: Answer, done: list[ExperimentAnswer]) -> list[dict[str, Any]]:
    """Return what is proved, what runs show and what is open, a cell per experiment and event.

    Bars are whole percents: up to where it is proved, up to the lower end of the interval, up to
    its upper end, and the estimate's mark. What is proved and open is said ("more") where any is.
    """
    rows = [
        {"label": e.label, "cells": [_split(e, g) for g in range(len(answer.asked))]} for e in done
    ]
    cells = [cell for row in rows for cell in row["cells"]]
    more = any(cell["bar"][0] or cell["proved"] != "0" or cell["open"] != "0" for cell in cells)
    for cell in cells:
        cell["more"] = more
    return rows


def _split(e: ExperimentAnswer, g: int) -> dict[str, Any]:
    one, bound = e.exceedance.estimates[g][-1], e.exceedance.lower_bounds[g]
    proved = one.provable if one.design != "plain" else 0.0
    text = lower_text(proved)
    if bound.evidence.proved and bound.value > proved:
        proved = bound.value
        text = bound_text(bound.value, bound.evidence, e.design is not None)
    middle, low, high = estimate_text(one)
    open_text = up(one.unresolved, 2) if one.unresolved else ""
    if one.undecided:
        open_text = "; ".join(filter(None, [open_text, counted(one.undecided, "undecided run")]))
    ends = [math.floor(100 * p) for p in (min(proved, one.lower), one.lower)]
    return {
        "proved": text,
        "runs": f"{middle} ({low} to {high})",
        "open": open_text or "0",
        "bar": (*ends, math.ceil(100 * one.upper)),
        "mark": None if one.open else round(100 * one.estimate),
    }


def experiments(answer: Answer, done: list[ExperimentAnswer]) -> list[dict[str, Any]]:
    """Return the groups of the table's rows, one for each experiment."""
    groups = []
    for e in done:
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


def designs(answer: Answer) -> list[dict[str, Any]]:
    """Return the groups of the table of strata, one for each experiment and event."""
    groups = []
    for e in answer.finished:
        for g in range(len(answer.asked)) if e.design is not None else ():
            if len(groups) == MOST_DESIGNS:
                return groups
            assert e.design is not None
            rows = [stratum_row(stratum, g) for stratum in e.design.strata]
            groups.append({"label": e.label, "event": event_text(answer, g), "rows": rows})
    return groups


def levels(answer: Answer) -> list[dict[str, Any]]:
    """Return the groups of the table of levels."""
    groups = [{"label": e.label, "rows": level_rows(e)} for e in answer.finished]
    return [group for group in groups if group["rows"]]


def comparisons(answer: Answer) -> list[dict[str, str]]:
    """Return the rows of the table of paired comparisons, the first ones."""
    rows = []
    for comparison in answer.pairs.comparisons[:MOST_ROWS]:
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
