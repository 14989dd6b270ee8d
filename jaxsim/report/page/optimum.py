"""What a page says of the optimal risk: both ends, their evidence and how each is known."""

from __future__ import annotations

import itertools
from typing import Any

from jaxsim.questions.answer import Answer, ExperimentAnswer
from jaxsim.questions.data import BoundAnswer
from jaxsim.report.text import joined, optimum_text

MOST = 50
"""Brackets that are listed."""


def optima_rows(answer: Answer) -> list[dict[str, Any]]:
    """Return the brackets of the optimal risk, each once, with the experiments that have it.

    `spans` of a row is how many rows from it on have its lower end for the same reason, 0 of those
    that are not the first of them.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for e in answer.finished:
        groups.setdefault(_bracket(e), []).append(e.label)
    every = len(answer.finished)
    rows: list[dict[str, Any]] = []
    for texts, labels in list(groups.items())[:MOST]:
        whose = "all experiments" if len(labels) == every > 1 else _few(labels)
        names = ("bracket", "lower", "upper", "more")
        rows.append({"whose": whose, **dict(zip(names, texts, strict=True))})
    if len(groups) > MOST:
        rest = f"{len(groups) - MOST:,} others, in answer.json"
        rows.append({"whose": rest, "bracket": "", "lower": "", "upper": "", "more": ""})
    for first, row in enumerate(rows):
        reason = row["lower"], row["more"]
        if first and reason == (rows[first - 1]["lower"], rows[first - 1]["more"]):
            row["spans"] = 0
            continue
        alike = (reason == (other["lower"], other["more"]) for other in rows[first:])
        row["spans"] = sum(1 for _ in itertools.takewhile(bool, alike))
    return rows


def _bracket(e: ExperimentAnswer) -> tuple[str, ...]:
    one = e.optimum
    over = f"over {e.risk.rows}" if e.risk.over else ""
    more = "; ".join(text for text in (over, one.not_searched) if text)
    bracket = optimum_text(one.lower.value, one.upper.value)
    return bracket, _end(one.lower), _end(one.upper), more


def _end(bound: BoundAnswer) -> str:
    """Return how an end is known: its reason, and what keeps it from being proved."""
    evidence = bound.evidence
    said = f"{evidence.kind}{evidence.mark}"
    if evidence.clause and evidence.clause not in bound.reason:
        said += f" ({evidence.clause})"
    return f"{bound.reason}: {said}"


def _few(labels: list[str]) -> str:
    if len(labels) <= 4:
        return joined(labels)
    return f"{labels[0]} and {len(labels) - 1:,} others"
