"""What the page's script looks up: texts and places of all probabilities, made beforehand.

The script computes no number. For every experiment, threshold and checkpoint there is a cell: the
texts of the probability and of the band that holds it, how many runs fail, and where all of that
is in a chart. At the study's own thresholds there is a second cell with the interval of the tables.
Equal cells, of which there are many, are there once.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from jaxsim.questions.answer import Answer, ExperimentAnswer
from jaxsim.questions.band import BandAnswer
from jaxsim.questions.events import (
    ABOVE_OPTIMUM,
    ERROR_RATE_ABOVE,
    FLAGS,
    INACTIVE,
    NOT_ALL_RIGHT,
    RISK_ABOVE,
    Event,
)
from jaxsim.report.clean import clean
from jaxsim.report.page import scale
from jaxsim.report.page.axes import chosen_axes
from jaxsim.report.parts import part_cells
from jaxsim.report.table import bound_text
from jaxsim.report.text import UNRESOLVED, counted, estimate_text, number, value_text

MOST_CELLS = 120_000
"""Of a page; beyond it there are only the study's own thresholds, then the first experiments."""
MOST_ROWS = 500
"""Experiments in the table that follows the sliders."""
RARE = 0.05
"""If no probability at a last step exceeds this, the axis is logarithmic."""

SYMBOLS = {
    ABOVE_OPTIMUM: "eps",
    RISK_ABOVE: "risk",
    ERROR_RATE_ABOVE: "error rate",
    INACTIVE: "inactive neurons",
}
"""What thresholds of a kind of events are called."""
CONDITIONS = {
    ABOVE_OPTIMUM: "eps = ",
    RISK_ABOVE: "risk > ",
    ERROR_RATE_ABOVE: "error rate > ",
    INACTIVE: "inactive neurons >= ",
}
"""What stands before a threshold."""
PROBABILITIES = {
    ABOVE_OPTIMUM: ("P( risk > optimal risk + ", "eps"),
    RISK_ABOVE: ("P( risk > ", "threshold"),
    ERROR_RATE_ABOVE: ("P( error rate > ", "threshold"),
    INACTIVE: ("P( inactive neurons of the first layer >= ", "number"),
}
"""What the probability is of, up to a threshold, and the word for it. An event without a threshold
has its name in the place of one, and nothing before it."""


def embedded(answer: Answer) -> dict[str, Any] | None:
    """Return the data of the script; None without finished runs."""
    done = answer.finished
    if not done:
        return None
    whole = sum(len(_places(band)) * len(e.checkpoints) for e in done for band in _bands(e))
    own = sum(len(answer.asked) * len(e.checkpoints) for e in done)
    only_asked = whole > MOST_CELLS
    shown = done[: max(1, MOST_CELLS * len(done) // own)] if own > MOST_CELLS else done
    return _Maker(answer, shown, only_asked).data()


def as_script(data: Any) -> str:
    r"""Return data as the content of a script element, whatever its texts hold.

    Example:
        >>> as_script("</script>&<!--")
        '"\\u003c/script\\u003e\\u0026\\u003c!--"'
    """
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


class _Maker:
    """Makes the data of a page.

    Args:
        answer: of the study.
        shown: its experiments that the page can show.
        only_asked: whether thresholds are the study's own only.
    """

    def __init__(self, answer: Answer, shown: Sequence[ExperimentAnswer], only_asked: bool) -> None:
        self.answer, self.shown, self.only_asked = answer, shown, only_asked
        self.axis = scale.Probabilities(_bottom(shown))
        self.cells: dict[tuple[Any, ...], int] = {}
        self.known: dict[tuple[float, ...], tuple[Any, ...]] = {}
        self.grids: dict[tuple[str, tuple[float, ...]], int] = {}
        self.steps: dict[tuple[int, ...], int] = {}

    def data(self) -> dict[str, Any]:
        """Return all that the script needs."""
        answer = self.answer
        kinds = list(dict.fromkeys(band.event for e in self.shown for band in _bands(e)))
        experiments = [self._experiment(e, kinds) for e in self.shown]
        axes, places = chosen_axes(self.shown)
        for experiment, place in zip(experiments, places, strict=True):
            experiment["at"] = place
        level = f"{100 * answer.confidence:.12g} %"
        families = any(row[-1].families for e in self.shown for row in e.exceedance.estimates)
        of_runs = ", of the runs that were not split" if families else ""
        return {
            "words": {
                "interval": f"{level} interval, for this number by itself",
                "band": f"{level} band, for all thresholds and steps together{of_runs}",
                "no_interval": "choose one of the study's own thresholds for its interval",
                "limit": self._limit(),
                "unresolved": UNRESOLVED,
            },
            "rows": min(len(experiments), MOST_ROWS) if len(experiments) > 1 else 0,
            "kinds": [
                {
                    "symbol": SYMBOLS.get(kind, "event"),
                    "condition": CONDITIONS.get(kind, ""),
                    "of": PROBABILITIES.get(kind, ("P( ",))[0],
                    "name": "".join(PROBABILITIES.get(kind, ("P( ", _named(kind)))) + " )",
                    "asked": self._asked(kind),
                }
                for kind in kinds
            ],
            "axes": axes,
            "grids": [self._grid(*grid) for grid in self.grids],
            "steps": [self._step(steps) for steps in self.steps],
            "y": self.axis.ticks,
            "cells": list(self.cells),
            "experiments": experiments,
        }

    def _limit(self) -> str:
        """Return what is left out, a sentence, or nothing."""
        sentences = []
        if self.only_asked:
            sentences.append(
                f"With {len(self.answer.finished):,} experiments the first slider has the study's "
                "own thresholds only; answer.json has them all."
            )
        if len(self.shown) < len(self.answer.finished):
            sentences.append(
                f"These are the first {len(self.shown):,} of {len(self.answer.finished):,} "
                "experiments; answer.json has them all."
            )
        if len(self.shown) > MOST_ROWS:
            sentences.append(f"The table below has the first {MOST_ROWS:,} of them.")
        return " ".join(sentences)

    def _asked(self, kind: str) -> list[str]:
        """Return the thresholds of the study's own events of a kind."""
        if kind in FLAGS:
            return [_named(kind)]
        return [number(e.threshold) for e in self.answer.asked if _kind(e) == kind]

    def _grid(self, kind: str, eps: tuple[float, ...]) -> dict[str, Any]:
        places, ticks = scale.eps_places(eps)
        if kind in FLAGS:
            return {"texts": [_named(kind)], "x": places, "ticks": []}
        own = {e.threshold for e in self.answer.asked}
        return {"texts": _thresholds(eps, own), "x": places, "ticks": ticks}

    def _step(self, steps: tuple[int, ...]) -> dict[str, Any]:
        places, ticks = scale.step_places(steps)
        return {"texts": [f"{n:,}" for n in steps], "x": places, "ticks": ticks}

    def _experiment(self, e: ExperimentAnswer, kinds: Sequence[str]) -> dict[str, Any]:
        bands = {band.event: self._band(e, band) for band in _bands(e)}
        return {
            "label": clean(e.label),
            "steps": self.steps.setdefault(tuple(e.checkpoints), len(self.steps)),
            "bands": [bands.get(kind) for kind in kinds],
        }

    def _band(self, e: ExperimentAnswer, band: BandAnswer) -> dict[str, Any]:
        own = {
            event.threshold: g for g, event in enumerate(self.answer.asked)
            if _kind(event) == band.event
        }  # fmt: skip
        rows = [m for m in _places(band) if band.eps[m] in own or not self.only_asked]
        # Events without a threshold have a grid of one place each, in which their name stands.
        grid = band.event if band.event in FLAGS else "", tuple(band.eps[m] for m in rows)
        times = range(len(e.checkpoints))
        asked = {
            str(place): {
                "cells": [self._estimate(e, own[band.eps[m]], t) for t in times],
                **self._bound(e, own[band.eps[m]]),
            }
            for place, m in enumerate(rows)
            if band.eps[m] in own
        }
        return {
            "grid": self.grids.setdefault(grid, len(self.grids)),
            "cells": [self._limits(e, band, m, t) for m in rows for t in times],
            "asked": asked,
        }

    def _bound(self, e: ExperimentAnswer, g: int) -> dict[str, Any]:
        """Return the bound for every n, if it is of any use."""
        bound = e.exceedance.lower_bounds[g]
        if bound.value <= 0:
            return {}
        text = bound_text(bound.value, bound.evidence, e.design is not None)
        return {"bound": text, "bound_y": self.axis.place(bound.value)}

    def _limits(self, e: ExperimentAnswer, band: BandAnswer, m: int, t: int) -> int:
        """Return the number of the cell of the band at a threshold and a checkpoint."""
        left = band.unresolved[m][t] if band.unresolved else 0.0
        values = band.estimate[m][t], band.estimate_upper[m][t], band.lower[m][t], band.upper[m][t]
        key = (*values, left, float(e.runs), float(e.design is None))
        if key not in self.known:
            texts = value_text(*values, e.design is not None, left > values[0])
            places = [self.axis.place(p) for p in (values[0], *values[2:], values[1])]
            self.known[key] = (*texts, _counts(e, values[0], values[1]), *places)
        return self._cell(self.known[key])

    def _estimate(self, e: ExperimentAnswer, g: int, t: int) -> int:
        """Return the number of the cell of an estimate with its own interval."""
        one = e.exceedance.estimates[g][t]
        middle, low, high = estimate_text(one)
        mark = e.exceedance.evidence_of(g).mark
        counts = f"{one.failures:,} of {counted(one.runs, 'run')} fail"
        if one.design != "plain":
            parts = zip(("proved", "resolved", "unresolved"), part_cells(one), strict=True)
            counts = "; ".join(f"{name} {text}" for name, text in parts) + f"; {counts}"
        if one.diverged:
            counts += f", {one.diverged:,} diverged"
        if one.undecided:
            counts += f", {one.undecided:,} undecided"
        ends = one.estimate, one.lower, one.upper, one.estimate_upper
        places = [self.axis.place(p) for p in ends]
        return self._cell((middle, low, high + mark, counts, *places))

    def _cell(self, cell: tuple[Any, ...]) -> int:
        return self.cells.setdefault(cell, len(self.cells))


def _bands(e: ExperimentAnswer) -> list[BandAnswer]:
    return [e.band, *e.bands]


def _kind(event: Event) -> str:
    """Return the kind of band that an event has a place in."""
    return ERROR_RATE_ABOVE if event.kind == NOT_ALL_RIGHT else event.kind


def _named(kind: str) -> str:
    """Return the name of an event without a threshold."""
    return Event(kind, 0.0).short


def _places(band: BandAnswer) -> range:
    return range(len(band.eps))


def _thresholds(eps: Sequence[float], own: Collection[float]) -> list[str]:
    """Return texts of thresholds, all different: the study's own in full, others with few digits.

    Example:
        >>> _thresholds([0.0005, 0.00050001, 0.000625], [0.0005])
        ['0.0005', '0.00050001', '0.000625']
    """
    texts: dict[float, str] = {e: number(e) for e in eps if e in own}
    for e in eps:
        digits = 3
        while e not in own and texts.get(e, "") in ("", *_others(texts, e)):
            texts[e] = f"{e:.{digits}g}"
            digits += 1
    return [texts[e] for e in eps]


def _others(texts: Mapping[float, str], e: float) -> Iterator[str]:
    return (text for other, text in texts.items() if other != e)


def _counts(e: ExperimentAnswer, least: float, most: float) -> str:
    """Return how many runs of the plain design fail, from their share."""
    if e.design is not None:
        return ""
    failures, possible = round(least * e.runs), round(most * e.runs)
    undecided = f", {possible - failures:,} undecided" if possible > failures else ""
    return f"{failures:,} of {counted(e.runs, 'run')} fail{undecided}"


def _bottom(done: Sequence[ExperimentAnswer]) -> float | None:
    """Return the lower end of a logarithmic axis; None if a linear one shows all there is."""
    last = [row[-1] for e in done for row in e.exceedance.estimates]
    if max(one.estimate_upper for one in last) >= RARE and all(
        one.design == "plain" for one in last
    ):
        return None
    values = [v for one in last for v in (one.provable, one.lower, one.estimate) if v > 0]
    return max(min(values, default=1e-3) / 10, scale.LEAST)
