"""What is known of inf L: lower and upper bounds, each with its evidence, and contradictions.

Every bound is kept. The ends are the best bounds that contradict nothing: if a lower bound lies
above an upper one, the one with the weaker evidence is wrong and is left out; of equally strong
ones the lower bound goes, since an upper bound is a network that exists. A contradiction is never
silent: it says that a stated value, an error estimate or jaxsim itself is wrong, so that reports
name it first and call nothing proved.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from jaxsim.evidence import PROVED, Bound, Evidence, largest, smallest

MARGIN = 3.0
"""An upper end is a risk plus this many times its error where the error is an estimate."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Bracket:
    """An interval that holds the optimal risk as far as the evidence of its ends goes.

    Attributes:
        lowers: lower bounds, at least one.
        uppers: upper bounds; none if nothing is known.

    Example:
        >>> from jaxsim.evidence import stated
        >>> bracket = Bracket((Bound(0.0, reason="risks are not negative"),), ())
        >>> bracket.lower.value, bracket.upper.value
        (0.0, inf)
    """

    lowers: tuple[Bound, ...]
    uppers: tuple[Bound, ...] = ()

    @classmethod
    def of(cls, lower: float, upper: float, reason: str, evidence: Evidence = PROVED) -> Bracket:
        """Return the bracket of two ends that are known in the same way."""
        return cls((Bound(lower, evidence, reason),), (Bound(upper, evidence, reason),))

    @cached_property
    def _sound(self) -> tuple[tuple[Bound, ...], tuple[Bound, ...], tuple[str, ...]]:
        """Return the bounds that contradict nothing, and a sentence for each contradiction."""
        lowers, uppers, sentences = list(self.lowers), list(self.uppers), []
        while lowers and uppers:
            low, high = largest(lowers), smallest(uppers)
            if low.value <= high.value + _ROUNDING * abs(low.value):
                break
            lower_is_wrong = low.evidence.strength >= high.evidence.strength
            sentences.append(
                f"inf L is at least {low.value:.6g} ({low.reason}) and at most {high.value:.6g} "
                f"({high.reason}): both cannot be, and the "
                f"{'former' if lower_is_wrong else 'latter'} is left out"
            )
            if lower_is_wrong:
                lowers.remove(low)
            else:
                uppers.remove(high)
        return tuple(lowers), tuple(uppers), tuple(sentences)

    @property
    def lower(self) -> Bound:
        """The best lower bound."""
        sound = self._sound[0]
        return largest(sound) if sound else Bound(-math.inf, reason="nothing is known")

    @property
    def upper(self) -> Bound:
        """The best upper bound; not below the lower one, from which it may differ by rounding."""
        sound = self._sound[1]
        if not sound:
            return Bound(math.inf, reason="nothing is known")
        best = smallest(sound)
        return Bound(max(best.value, self.lower.value), best.evidence, best.reason)

    @property
    def contradictions(self) -> tuple[str, ...]:
        """A sentence for every lower bound above an upper one."""
        return self._sound[2]

    @property
    def width(self) -> float:
        """Length of the interval; zero if the value is known exactly."""
        return self.upper.value - self.lower.value if self.upper.value > self.lower.value else 0.0

    @property
    def evidence(self) -> Evidence:
        """What both ends rest on."""
        return self.lower.evidence & self.upper.evidence

    @property
    def reason(self) -> str:
        """How both ends are known."""
        lower, upper = self.lower, self.upper
        if lower.reason == upper.reason:
            return _said(lower)
        if upper.value == math.inf:
            return f"lower end: {_said(lower)}"
        return f"lower end: {_said(lower)}; upper end: {_said(upper)}"

    def with_lower(self, bound: Bound) -> Bracket:
        """Return the bracket with one more lower bound."""
        return Bracket((*self.lowers, bound), self.uppers)

    def with_upper(self, bound: Bound) -> Bracket:
        """Return the bracket with one more upper bound."""
        return Bracket(self.lowers, (*self.uppers, bound))

    def with_risk(self, risk: float, error: float, evidence: Evidence, reason: str) -> Bracket:
        """Return the bracket with the true risk of a network of the class as an upper bound.

        Args:
            risk: as computed.
            error: of its value.
            evidence: of the error; estimated errors count three times.
            reason: how it was found.
        """
        margin = 1.0 if evidence.proved else MARGIN
        return self.with_upper(Bound(risk + margin * error, evidence, reason))


def _said(bound: Bound) -> str:
    clause = bound.evidence.clause
    return f"{bound.reason} ({clause})" if clause else bound.reason
