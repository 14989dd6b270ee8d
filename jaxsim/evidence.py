"""Evidence: how strong the reasons are behind a number, and the words and marks that say so.

    proved  >  confidence (1 - delta)  >  estimated  >  stated

proved      arithmetic whose rounding is bounded
confidence  holds but for a probability delta of random draws
estimated   an error estimate stands behind it, which is no bound
stated      the user says so: everything that rests on it is "given that"

Whatever is computed from several numbers is as strong as the weakest of them; probabilities of
error add up (union bound). Reports take their words from here, so that no label is stronger than
what it rests on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple


class Strength(IntEnum):
    """The kinds of evidence, the strongest first."""

    PROVED = 0
    CONFIDENCE = 1
    ESTIMATED = 2
    STATED = 3


class Reservation(NamedTuple):
    """One thing that keeps a number from being proved.

    Attributes:
        strength: its kind.
        source: what it is, a clause of a few words.
        delta: probability that the random draws behind it mislead; 0 where none are.
    """

    strength: Strength
    source: str
    delta: float = 0.0

    @property
    def clause(self) -> str:
        """The kind and the source as part of a sentence."""
        match self.strength:
            case Strength.CONFIDENCE:
                return f"confidence 1 - {self.delta:.2g}: {self.source}"
            case Strength.ESTIMATED:
                return f"estimated: {self.source}"
            case _:
                return f"given that {self.source}"


@dataclass(frozen=True)
class Evidence:
    """What a number rests on: a proof but for some reservations.

    Attributes:
        reservations: all that is not proved in it, each once.

    Example:
        >>> both = estimated("quadrature") & stated("the optimum is 0")
        >>> both.word, both.mark, both.clause
        ('stated', '†', 'given that the optimum is 0; estimated: quadrature')
    """

    reservations: tuple[Reservation, ...] = ()

    def __and__(self, other: Evidence) -> Evidence:
        """Return the evidence of what rests on both."""
        return Evidence(tuple(dict.fromkeys((*self.reservations, *other.reservations))))

    @property
    def strength(self) -> Strength:
        """The weakest kind among all that it rests on."""
        return max((r.strength for r in self.reservations), default=Strength.PROVED)

    @property
    def delta(self) -> float:
        """Probability that any of the random draws behind it mislead, by the union bound."""
        return min(1.0, sum(r.delta for r in self.reservations))

    @property
    def proved(self) -> bool:
        """Whether it is a proof."""
        return not self.reservations

    @property
    def mark(self) -> str:
        """What stands behind a number in a table: nothing for a proof.

        Example:
            >>> PROVED.mark, estimated("quadrature").mark, stated("the optimum is 0").mark
            ('', '*', '†')
        """
        return _MARKS[self.strength]

    @property
    def word(self) -> str:
        """The kind in one word, as data files have it.

        Example:
            >>> PROVED.word, confidence(1e-6, "simulated").word
            ('proved', 'confidence')
        """
        return self.strength.name.lower()

    @property
    def adverb(self) -> str:
        """The opening of a sentence that states what it supports.

        Example:
            >>> PROVED.adverb
            'Proved'
            >>> confidence(1e-6, "initializations were simulated").adverb
            'Not proved (confidence 1 - 1e-06: initializations were simulated)'
            >>> stated("the study states the optimum").adverb
            'Given that the study states the optimum'
        """
        if self.proved:
            return "Proved"
        if all(r.strength == Strength.STATED for r in self.reservations):
            return f"Given that {' and '.join(r.source for r in self.reservations)}"
        return f"Not proved ({self.clause})"

    @property
    def clause(self) -> str:
        """All reservations, the weakest first; empty for a proof."""
        ordered = sorted(self.reservations, key=lambda r: -r.strength)
        return "; ".join(r.clause for r in ordered)


PROVED = Evidence()
_MARKS = {
    Strength.PROVED: "",
    Strength.CONFIDENCE: "*",
    Strength.ESTIMATED: "*",
    Strength.STATED: "†",
}


def confidence(delta: float, source: str) -> Evidence:
    """Return the evidence of a statement that holds with probability at least 1 - delta.

    Args:
        delta: in (0, 1).
        source: what is random, e.g. "initializations were simulated".
    """
    return Evidence((Reservation(Strength.CONFIDENCE, source, delta),))


def estimated(source: str) -> Evidence:
    """Return the evidence of a number with an error estimate that is no bound."""
    return Evidence((Reservation(Strength.ESTIMATED, source),))


def stated(source: str) -> Evidence:
    """Return the evidence of a number that the user gives; the source reads after "given that"."""
    return Evidence((Reservation(Strength.STATED, source),))


def weakest(parts: Iterable[Evidence]) -> Evidence:
    """Return the evidence of what rests on all parts; a proof if there are none.

    Example:
        >>> weakest([PROVED, confidence(1e-6, "a"), estimated("b")]).word
        'estimated'
    """
    least = PROVED
    for part in parts:
        least = least & part
    return least


@dataclass(frozen=True)
class Bound:
    """A bound of a number with its evidence; sums and differences keep all reservations.

    Attributes:
        value: of the bound; infinite where nothing is known.
        evidence: what it rests on.
        reason: how it is known, one clause.

    Raises:
        ValueError: for a value that is not a number.

    Example:
        >>> gap = Bound(0.5) - Bound(0.2, stated("the study states the optimum"))
        >>> round(gap.value, 12), gap.evidence.word
        (0.3, 'stated')
    """

    value: float
    evidence: Evidence = PROVED
    reason: str = ""

    def __post_init__(self) -> None:
        """Refuse what is not a number."""
        if math.isnan(self.value):
            raise ValueError(f"a bound must be a number ({self.reason})")

    def __add__(self, other: Bound | float) -> Bound:
        """Return a bound of the sum."""
        if isinstance(other, Bound):
            return Bound(self.value + other.value, self.evidence & other.evidence)
        return replace(self, value=self.value + other)

    def __sub__(self, other: Bound | float) -> Bound:
        """Return a bound of the difference; `other` bounds from the opposite side."""
        if isinstance(other, Bound):
            return Bound(self.value - other.value, self.evidence & other.evidence)
        return replace(self, value=self.value - other)


@dataclass(frozen=True)
class Enclosure:
    """A number that is known up to an error.

    Attributes:
        value: of the number.
        error: how far it can be from the value.
        evidence: what the error rests on.
        reason: how it is known, one clause.

    Example:
        >>> Enclosure(1.0, 0.25).lower.value, Enclosure(1.0, 0.25).upper.value
        (0.75, 1.25)
    """

    value: float
    error: float
    evidence: Evidence = PROVED
    reason: str = ""

    @property
    def lower(self) -> Bound:
        """The lower end."""
        end = -math.inf if math.isinf(self.error) else self.value - self.error
        return Bound(end, self.evidence, self.reason)

    @property
    def upper(self) -> Bound:
        """The upper end."""
        end = math.inf if math.isinf(self.error) else self.value + self.error
        return Bound(end, self.evidence, self.reason)


def largest(bounds: Iterable[Bound]) -> Bound:
    """Return the best of several lower bounds: the largest, of equal ones the strongest."""
    return max(bounds, key=lambda bound: (bound.value, -bound.evidence.strength))


def smallest(bounds: Iterable[Bound]) -> Bound:
    """Return the best of several upper bounds: the smallest, of equal ones the strongest."""
    return min(bounds, key=lambda bound: (bound.value, bound.evidence.strength))
