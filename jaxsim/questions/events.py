"""The events whose probabilities are asked for: what it means that a run fails.

    above_optimum = eps      L(Theta_n) > inf L + eps
    risk_above = c           L(Theta_n) > c
    error_rate_above = c     R(Theta_n) > c,  R the 0-1 risk: the probability of a wrong class
    not_all_right = true     R(Theta_n) > 0
    constant = true          the network is certified to be constant on the support of X
    inactive_at_least = k    k neurons of the first layer are certified to be inactive
    pattern_changed = true   at some checkpoint up to n the activation pattern on the data points
                             differs from that of step 0
    pattern_unchanged = true at none

Each is a threshold above a reference value: inf L, or 0. Kinds of events come in the order above,
thresholds of a kind increase; so do all lists of answers that have an entry for each event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxsim.errors import InputError, unknown

ABOVE_OPTIMUM = "above_optimum"
RISK_ABOVE = "risk_above"
ERROR_RATE_ABOVE = "error_rate_above"
NOT_ALL_RIGHT = "not_all_right"
CONSTANT = "constant"
INACTIVE = "inactive_at_least"
PATTERN_CHANGED, PATTERN_UNCHANGED = "pattern_changed", "pattern_unchanged"
KINDS = (
    ABOVE_OPTIMUM,
    RISK_ABOVE,
    ERROR_RATE_ABOVE,
    NOT_ALL_RIGHT,
    CONSTANT,
    INACTIVE,
    PATTERN_CHANGED,
    PATTERN_UNCHANGED,
)
FLAGS = (NOT_ALL_RIGHT, CONSTANT, PATTERN_CHANGED, PATTERN_UNCHANGED)
"""Kinds that are asked for by `true` and have no threshold of their own."""


@dataclass(frozen=True)
class Event:
    """What is asked of a run at a checkpoint.

    Attributes:
        kind: one of `KINDS`.
        threshold: above the optimal risk, of risk or error rate, or a number of neurons; 0 for
            those of `FLAGS`.
    """

    kind: str
    threshold: float

    @property
    def of_error_rate(self) -> bool:
        """Whether the error rate decides it, and not the risk."""
        return self.kind in (ERROR_RATE_ABOVE, NOT_ALL_RIGHT)

    @property
    def of_risk(self) -> bool:
        """Whether the risk decides it."""
        return self.kind in (ABOVE_OPTIMUM, RISK_ABOVE)

    @property
    def of_pattern(self) -> bool:
        """Whether the activation pattern on the data points decides it."""
        return self.kind in (PATTERN_CHANGED, PATTERN_UNCHANGED)

    @property
    def diverged_fail(self) -> bool:
        """Whether all diverged runs fail: a pattern has changed then, other things are seen."""
        return self.kind not in (CONSTANT, INACTIVE, PATTERN_UNCHANGED)

    @property
    def short(self) -> str:
        """How tables and figures call it.

        Example:
            >>> Event("above_optimum", 0.1).short, Event("error_rate_above", 0.1).short
            ('eps = 0.1', 'error rate > 0.1')
        """
        number = f"{self.threshold:.12g}"
        return {
            ABOVE_OPTIMUM: f"eps = {number}",
            RISK_ABOVE: f"risk > {number}",
            ERROR_RATE_ABOVE: f"error rate > {number}",
            NOT_ALL_RIGHT: "not all right",
            CONSTANT: "constant network",
            INACTIVE: f"inactive >= {number}",
            PATTERN_CHANGED: "pattern changed",
            PATTERN_UNCHANGED: "pattern unchanged",
        }[self.kind]

    def clause(self, whose: str = "", rows: str = "") -> str:
        """Return it as a clause.

        Args:
            whose: stands after its subject: " of adam".
            rows: of a data set that it is about: "the 30 held-out rows".

        Example:
            >>> Event("above_optimum", 0.1).clause(" of adam")
            'the risk of adam exceeds the optimal risk by more than 0.1'
            >>> Event("risk_above", 0.1).clause(" of adam", "the 30 held-out rows")
            'the risk of adam over the 30 held-out rows exceeds 0.1'
            >>> Event("not_all_right", 0.0).clause(" of adam", "the 30 held-out rows")
            'not all of the 30 held-out rows are classified rightly by the networks of adam'
            >>> Event("inactive_at_least", 2.0).clause(" of adam")
            'at least 2 neurons of the first layer of adam are inactive'
        """
        if not self.of_risk and not self.of_error_rate:
            return self._of_network(whose)
        by = f" by the networks{whose}" if whose else ""
        whose += f" over {rows}" if rows else ""
        number, accuracy = f"{self.threshold:.12g}", 1 - self.threshold
        if self.kind == ABOVE_OPTIMUM:
            return f"the risk{whose} exceeds the optimal risk by more than {number}"
        if self.kind == RISK_ABOVE:
            return f"the risk{whose} exceeds {number}"
        if self.kind == ERROR_RATE_ABOVE:
            return f"the error rate{whose} exceeds {number} (accuracy below {accuracy:.12g})"
        which = f"all of {rows}".replace("all of all", "all") if rows else "all points"
        return f"not {which} are classified rightly{by}"

    def _of_network(self, whose: str) -> str:
        """Return what is not about a risk as a clause."""
        if self.kind == CONSTANT:
            return f"the network{whose} is constant"
        if self.kind == INACTIVE:
            neurons, verb = ("neuron", "is") if self.threshold == 1 else ("neurons", "are")
            return (
                f"at least {self.threshold:.12g} {neurons} of the first layer{whose} {verb} "
                "inactive"
            )
        has = "has" if self.kind == PATTERN_CHANGED else "has not"
        return f"the activation pattern{whose} on the data points {has} changed since step 0"

    def goal(self) -> str:
        """Return what a run that does not fail reaches, after "a run with"."""
        number = f"{self.threshold:.12g}"
        return {
            ABOVE_OPTIMUM: f"a risk within {number} of the optimal risk",
            RISK_ABOVE: f"a risk of at most {number}",
            ERROR_RATE_ABOVE: f"an error rate of at most {number}",
            NOT_ALL_RIGHT: "all points right",
            CONSTANT: "a network that is not known to be constant",
            INACTIVE: f"fewer than {number} inactive neurons in the first layer",
            PATTERN_CHANGED: "the activation pattern of step 0 throughout",
            PATTERN_UNCHANGED: "a change of its activation pattern",
        }[self.kind]


Asked = float | Sequence[float] | Mapping[str, Any]
"""Thresholds above the optimal risk, or a table of events as in a study."""


def events_of(asked: Asked) -> tuple[Event, ...]:
    """Return the events that are asked for, each once and in order.

    Raises:
        InputError: for thresholds that are no numbers, an unknown event, or none.

    Example:
        >>> [event.short for event in events_of({"not_all_right": True, "risk_above": [0.2, 0.1]})]
        ['risk > 0.1', 'risk > 0.2', 'not all right']
    """
    if not isinstance(asked, Mapping):
        return tuple(Event(ABOVE_OPTIMUM, float(e)) for e in thresholds(asked))
    for kind in asked:
        if kind not in KINDS:
            raise unknown("events", kind, KINDS)
    events: list[Event] = []
    for kind in KINDS:
        value = asked.get(kind)
        if value is None or (kind in FLAGS and value is False):
            continue
        if kind in FLAGS:
            if value is not True:
                raise InputError(f"events.{kind} = {value!r} is not accepted: it should be true")
            events.append(Event(kind, 0.0))
        else:
            events += [Event(kind, float(c)) for c in _levels(kind, value)]
    if not events:
        raise InputError(
            f"events = {dict(asked)!r} asks for nothing; accepted: at least one of "
            f"{', '.join(KINDS)}"
        )
    return tuple(events)


def thresholds(eps: Any) -> np.ndarray:
    """Return checked thresholds above the optimal risk, increasing, [G].

    Raises:
        InputError: if they are not numbers >= 0.
    """
    return _levels(ABOVE_OPTIMUM, eps, "epsilon")


_ACCEPTED = {
    ABOVE_OPTIMUM: ("numbers >= 0", lambda c: c >= 0),
    RISK_ABOVE: ("finite numbers", lambda c: c == c),
    ERROR_RATE_ABOVE: ("numbers from 0 to below 1", lambda c: (c >= 0) & (c < 1)),
    INACTIVE: ("whole numbers from 1 to 1,000,000", lambda c: (c >= 1) & (c <= 1e6) & (c % 1 == 0)),
}


def _levels(kind: str, value: Any, key: str | None = None) -> np.ndarray:
    accepted, inside = _ACCEPTED[kind]
    given = np.atleast_1d(np.asarray(value)) if _numbers(value) else np.empty(0)
    if given.ndim != 1 or not given.size or not (np.isfinite(given) & inside(given)).all():
        key = key or f"events.{kind}"
        raise InputError(f"{key} = {value!r} is not accepted: it should be {accepted}")
    return np.unique(given.astype(np.float64))


def _numbers(value: object) -> bool:
    """Return whether a value is made of real numbers."""
    try:
        return np.asarray(value).dtype.kind in "iuf"
    except ValueError:
        return False
