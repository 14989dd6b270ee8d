"""A value that is known to lie between two ends, with the reason."""

from __future__ import annotations

from dataclasses import dataclass, replace

from jaxsim.errors import InputError


@dataclass(frozen=True)
class Bracket:
    """An interval that certainly holds a value.

    Attributes:
        lower: lower end.
        upper: upper end, infinity if nothing is known.
        reason: how the ends are known, one sentence.
    """

    lower: float
    upper: float
    reason: str

    def __post_init__(self) -> None:
        """Refuse an empty interval."""
        if not self.lower <= self.upper:
            raise InputError(
                f"the bracket [{self.lower}, {self.upper}] of the optimal risk ({self.reason}) "
                "is empty; accepted: lower <= upper"
            )

    @property
    def width(self) -> float:
        """Length of the interval; zero if the value is known exactly."""
        return self.upper - self.lower if self.upper > self.lower else 0.0

    def tighten_upper(
        self, best: float, error: float, reason: str, certain: bool = True
    ) -> Bracket:
        """Return the bracket with the upper end at most best + error.

        The true risk of any network of the family bounds the infimum from above.

        Args:
            best: a true risk found.
            error: bound on its numerical error.
            reason: how it was found.
            certain: whether the error is a bound, not an estimate.

        Raises:
            InputError: if even best + error is below the lower end, which therefore was wrong.
                Within ten times an error that is an estimate this is no contradiction.
        """
        upper = best + error
        if not upper < self.upper:
            return self
        if upper < self.lower:
            # Rounding of an exactly attained optimum is no contradiction.
            allowed = 1e-9 * abs(self.lower) + (0.0 if certain else 9 * error)
            if self.lower - upper > allowed:
                raise InputError(
                    f"the true risk {best:.6g} (+- {error:.2g}) is below {self.lower:.6g}, the "
                    f"lower end of the optimal risk ({self.reason}); correct problem.optimum"
                )
            upper = self.lower
        return replace(self, upper=upper, reason=f"{self.reason}; upper end: {reason}")
