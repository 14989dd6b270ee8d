"""[[published]]: numbers that others published of a study's experiments, as data.

They are a question: no run depends on them, and they may change in a directory with results.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Annotated, Any, Literal, NamedTuple, NoReturn

from pydantic import Field, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from jaxsim.questions.published_number import EVENT_KINDS, RISK
from jaxsim.study.experiment_spec import ExperimentSpec
from jaxsim.study.section import Section, Table

MOST_RUNS = 10**9
"""Of a published count."""
Words = Annotated[str, Field(max_length=2000)]
Finite = Annotated[float, Field(ge=-1e300, le=1e300)]


class PublishedEventSpec(Section):
    """published.event: of what a published probability is; one of its keys."""

    above_optimum: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="the risk exceeds inf L by more"
    )
    risk_above: Finite | None = Field(default=None, description="the risk exceeds it")
    error_rate_above: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        default=None, description="the error rate exceeds it"
    )
    not_all_right: Literal[True] | None = Field(
        default=None, description="true: some point is classified wrongly"
    )
    risk_between: Annotated[list[Finite], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="the risk is above the first and at most the second"
    )
    constant: Literal[True] | None = Field(
        default=None, description="true: the network is constant on the support of the inputs"
    )
    inactive_at_least: Annotated[int, Field(ge=1, le=10**6)] | None = Field(
        default=None, description="so many neurons of the first layer are certified to be inactive"
    )

    pattern_changed: Literal[True] | None = Field(
        default=None,
        description="true: the activation pattern on the data points differs from that of step 0 "
        "at some checkpoint until then: a kink has crossed a point; needs `record`",
    )
    pattern_unchanged: Literal[True] | None = Field(
        default=None, description="true: at no checkpoint until then; needs `record`"
    )

    @model_validator(mode="after")
    def _one(self) -> PublishedEventSpec:
        """Refuse none, several, or an empty range."""
        if sum(getattr(self, kind) is not None for kind in EVENT_KINDS) != 1:
            raise PydanticCustomError(
                "one_event", "it should have one of the keys {kinds}", {"kinds": _listed()}
            )
        if self.risk_between is not None and not self.risk_between[0] < self.risk_between[1]:
            raise PydanticCustomError("empty_range", "risk_between should be increasing")
        return self

    @property
    def kind(self) -> str:
        """Which key it has."""
        return next(kind for kind in EVENT_KINDS if getattr(self, kind) is not None)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Its numbers."""
        value = getattr(self, self.kind)
        if value is True:
            return ()
        return tuple(float(c) for c in (value if isinstance(value, list) else [value]))

    @model_serializer(mode="wrap")
    def _stated(self, handler: Any) -> dict[str, Any]:
        """Leave out what is not asked."""
        return {key: value for key, value in handler(self).items() if value is not None}


Quantity = Literal["risk", "error_rate", "inactive", "inactive_share"]
"""What a published mean or quantile may be of."""


class PublishedQuantileSpec(Section):
    """published.quantile: of what, and which one."""

    of: Quantity = Field(default="risk", description="of what, as for `mean`")
    level: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.5, description="the probability of values up to it; 0.5 is the median"
    )


class Printed(NamedTuple):
    """A value as printed: the number, and half a unit of its last digit."""

    value: float
    rounding: float


class PublishedSpec(Section):
    """[[published]]: one number."""

    quantity: Annotated[str, Field(min_length=1, max_length=300)] = Field(
        description="what it is, in words"
    )
    value: str | Finite | None = Field(
        default=None,
        description='as printed: "0.0187", "73.0 %"; the digits say how it is rounded; a number '
        "without quotes is exact",
    )
    rounding: Annotated[float, Field(ge=0, le=1e300)] | None = Field(
        default=None, description="in place of half a unit of the last printed digit"
    )
    failures: Annotated[int, Field(ge=0, le=MOST_RUNS)] | None = Field(
        default=None, description="of `runs`, where the count is known, in place of value"
    )
    runs: Annotated[int, Field(ge=1, le=MOST_RUNS)] | None = Field(
        default=None, description="that a published probability, mean or quantile is of"
    )
    event: PublishedEventSpec | None = Field(
        default=None,
        description="of which it is the probability: { risk_above = 0.1 }, "
        "{ above_optimum = 0.1 }, { error_rate_above = 0.1 }, { not_all_right = true }, "
        "{ risk_between = [0.1, 0.2] }, { constant = true }, { inactive_at_least = 2 }, "
        "{ pattern_changed = true } or { pattern_unchanged = true }",
    )
    level: Literal[True] | None = Field(
        default=None, description="true in place of event: a risk at which runs end"
    )
    mean: Quantity | None = Field(
        default=None,
        description="in place of event: the value is the mean of it over the runs; `inactive` is "
        "the number of neurons of the first layer that are certified to be inactive",
    )
    minus: Annotated[str, Field(min_length=1, max_length=300)] | None = Field(
        default=None,
        description="label of an experiment: the value is the difference of both means",
    )
    standard_deviation: Annotated[float, Field(ge=0, le=1e300)] | None = Field(
        default=None, description="of the published runs, beside a mean and `runs`"
    )
    standard_error: Annotated[float, Field(gt=0, le=1e300)] | None = Field(
        default=None, description="of a published mean, in place of the standard deviation"
    )
    quantile: PublishedQuantileSpec | None = Field(
        default=None,
        description='in place of event: the value is this quantile, { of = "risk", level = 0.5 }',
    )
    factor: Annotated[float, Field(gt=0, le=1e300)] = Field(
        default=1.0,
        description="what a printed level, mean or quantile is multiplied by to be a risk as "
        "computed",
    )
    relation: Literal["equal", "at least", "at most"] = Field(
        default="equal", description="whether it is the number itself or a bound of it"
    )
    step: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="at which; the last one by default"
    )
    experiment: Annotated[str, Field(max_length=300)] | None = Field(
        default=None, description="label of the experiment that it is of"
    )
    where: Table | None = Field(
        default=None,
        description='in place of the label, keys that fix it: { "network.hidden" = [13] }',
    )
    tolerance: Annotated[float, Field(gt=0, le=1e300)] | None = Field(
        default=None,
        description="difference that agreement has to exclude; by default 0.1, of means and "
        "quantiles a tenth of the value",
    )
    source: Words = Field(default="", description="paper, report or theorem")
    place: Words = Field(default="", description="page, table or file")
    discussion: Words = Field(
        default="", description="why a difference is to be expected, or what else to know"
    )

    @model_validator(mode="after")
    def _agree(self) -> PublishedSpec:
        """Refuse what does not go together."""
        kinds = (self.event, self.level, self.mean, self.quantile)
        if sum(kind is not None for kind in kinds) != 1:
            _refuse("it should have either event or level = true, or mean or quantile")
        if self.level is not None and (self.relation != "equal" or self.runs is not None):
            _refuse("a level has neither relation nor runs; its value is printed digits")
        if self.event is not None and self.factor != 1:
            _refuse("factor is for levels, means and quantiles; a probability has none")
        if (self.value is None) == (self.failures is None):
            _refuse("it should have either value or failures, and runs beside the latter")
        if self.event is not None and (self.tolerance or 0) > 1:
            _refuse("the tolerance of a probability is at most 1")
        self._statistic()
        if self.failures is not None:
            if self.runs is None or self.failures > self.runs or self.relation != "equal":
                _refuse("failures need runs, at least as many, and relation 'equal'")
            if self.rounding is not None:
                _refuse("a count has no rounding")
            return self
        value, rounding = self.printed
        if self.event is not None and not 0 <= value <= 1:
            _refuse('the value of a probability should be from 0 to 1, or such as "73.0 %"')
        if self.event is not None and self.relation == "equal" and self.runs is not None:
            low, high = counts_printed(value, rounding, self.runs)
            if low > high:
                _refuse(f"no count of {self.runs} runs is rounded to this value")
        for key in self.where or {}:
            if key.split(".")[0] not in ExperimentSpec.model_fields:
                _refuse(f"where has {key!r}, which is no key of an experiment")
        return self

    def _statistic(self) -> None:
        """Refuse what does not go together in a mean or a quantile."""
        spread = self.standard_deviation is not None or self.standard_error is not None
        if self.mean is None and (spread or self.minus is not None):
            _refuse("minus, standard_deviation and standard_error are for a mean")
        of = self.mean if self.quantile is None else self.quantile.of
        if of is None:
            return
        if self.failures is not None:
            _refuse("failures are of an event; a mean or a quantile has a value")
        if self.standard_deviation is not None and self.standard_error is not None:
            _refuse("it should have either standard_deviation or standard_error")
        if self.standard_deviation is not None and (self.runs or 0) < 2:
            _refuse("standard_deviation needs runs, at least 2; accepted without: standard_error")
        if self.minus is not None and (spread or self.runs is not None):
            _refuse("a difference has neither runs nor deviations; its value is printed digits")
        if self.relation != "equal" and (spread or self.runs is not None):
            _refuse("a bound of a mean or a quantile has neither runs nor deviations")
        if of != RISK and self.factor != 1:
            _refuse("factor is for risks")
        value = self.printed.value
        if of != RISK and self.minus is None and not 0 <= value:
            _refuse(f"a mean or a quantile of {of} should not be negative")
        if of in ("error_rate", "inactive_share") and not abs(value) <= 1:
            _refuse(f"a mean or a quantile of {of} should be at most 1")
        if self.tolerance is None and value == 0:
            _refuse("a tenth of 0 is no tolerance: it should have one")

    @property
    def excluded(self) -> float:
        """The difference that agreement has to exclude."""
        if self.tolerance is not None:
            return self.tolerance
        of_event = self.mean is None and self.quantile is None
        return 0.1 if of_event else 0.1 * abs(self.printed.value)

    @property
    def printed(self) -> Printed:
        """Value and rounding of what is no count.

        Raises:
            PydanticCustomError: for a text that is no number.
        """
        if not isinstance(self.value, str):
            assert self.value is not None
            return Printed(float(self.value), self.rounding or 0.0)
        text = self.value.strip().replace(",", "")
        match = re.fullmatch(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d{1,3}))?\s*(%)?", text)
        if match is None:
            _refuse(f'value {self.value!r} should be a number as printed, such as "73.0 %"')
        digits, exponent, percent = match.groups()
        decimals = len(digits.partition(".")[2])
        unit = Fraction(10) ** (int(exponent or 0) - 2 * bool(percent))
        value, half = Fraction(digits) * unit, Fraction(10) ** -decimals * unit / 2
        rounding = float(half) if self.rounding is None else self.rounding
        return Printed(float(value), rounding)

    @model_serializer(mode="wrap")
    def _stated(self, handler: Any) -> dict[str, Any]:
        """Leave out defaults: these tables are many."""
        fields = PublishedSpec.model_fields
        return {k: v for k, v in handler(self).items() if v != fields[k].default}


def _refuse(sentence: str) -> NoReturn:
    raise PydanticCustomError("published", "{sentence}", {"sentence": sentence})


def counts_printed(value: float, rounding: float, runs: int) -> tuple[int, int]:
    """Return the least and greatest count whose share is printed like this."""
    hair = 1e-9 * runs
    low = math.ceil(runs * (value - rounding) - hair)
    high = math.floor(runs * (value + rounding) + hair)
    return max(low, 0), min(high, runs)


def _listed() -> str:
    return ", ".join(EVENT_KINDS)
