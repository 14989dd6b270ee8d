"""By what the page's reader chooses an experiment: the axes of the study's grid."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from jaxsim.questions.answer import ExperimentAnswer
from jaxsim.report.clean import clean
from jaxsim.report.text import number
from jaxsim.results.frame import Axis

SPARSE = 2
"""Places on the axes for each experiment, beyond which they are no grid."""


def chosen_axes(done: Sequence[ExperimentAnswer]) -> tuple[list[dict[str, Any]], list[list[int]]]:
    """Return the axes with the texts of their values, and each experiment's place on them.

    An axis whose value follows from the axes before it is none to choose: each method may have a
    learning rate of its own. Where no axes tell all experiments apart, or most places on them are
    empty, as with experiments that are listed one by one, their labels are the only axis.

    Returns:
        One table {"name", "values"} per axis, none for a single experiment, and the numbers of the
        values for each experiment.
    """
    if len(done) < 2:
        return [], [[] for _ in done]
    names = [name for name in done[0].axes if all(name in e.axes for e in done)]
    kept: list[str] = []
    for name in names:
        before = len({_key(e, kept) for e in done})
        if len({_key(e, [*kept, name]) for e in done}) > before:
            kept.append(name)
    # One axis alone is said in full by the labels.
    places = math.prod(len({_key(e, [name]) for e in done}) for name in kept)
    distinct = len({_key(e, kept) for e in done})
    if len(kept) < 2 or distinct < len(done) or places > SPARSE * len(done):
        labels = [clean(e.label) for e in done]
        return [{"name": _title(kept if distinct == len(done) else []), "values": labels}], [
            [k] for k in range(len(done))
        ]
    axes, columns = [], []
    for name in kept:
        values = list(dict.fromkeys(_value(e.axes[name]) for e in done))
        axes.append({"name": _short(name, kept), "values": values})
        columns.append([values.index(_value(e.axes[name])) for e in done])
    return axes, [list(place) for place in zip(*columns, strict=True)]


def _key(e: ExperimentAnswer, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(_value(e.axes[name]) for name in names)


def _title(kept: Sequence[str]) -> str:
    return _short(kept[0], kept) if len(kept) == 1 else "experiment"


def _short(name: str, names: Sequence[str]) -> str:
    """Return a key as words: "optimizer.name" is the optimizer, "network.hidden" is hidden.

    Example:
        >>> _short("optimizer.name", []), _short("optimizer.learning_rate", [])
        ('optimizer', 'learning rate')
    """
    *parents, last = name.split(".")
    if last in ("name", "law") and parents:
        last = parents[-1]
    alike = [n for n in names if n.split(".")[-1] == name.split(".")[-1]]
    words = name if len(alike) > 1 and last != parents[-1:] else last
    return clean(words.replace("_", " "))


def _value(value: Axis) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and re.fullmatch(r"\[[-+.eE0-9, ]+\]", value):
        return value[1:-1]  # a list of numbers: widths
    return clean(number(value) if isinstance(value, int | float) else value)
