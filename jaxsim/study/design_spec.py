"""The keys `design` and `until`: which initializations are trained, and until when."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from jaxsim.study.section import Section

DESIGNS = ("plain", "strata", "splitting")


class DesignSpec(Section):
    """design: which initializations are trained, and with which weights."""

    name: Literal["plain", "strata", "splitting"] = Field(
        default="plain",
        description="plain: the law of the initialization itself; strata: by the number of "
        "inactive neurons, whose law is known, each with as many runs as it is worth; splitting: "
        "strata, and in those whose failures are too rare to see families of runs that are cloned "
        "on the way",
    )
    pilot: Annotated[int, Field(ge=16, le=2**20)] | None = Field(
        default=None,
        description="runs of every stratum that only decide how the others are allocated; by "
        "default 256, all together at most an eighth and at least a twentieth of the replicates",
    )
    share: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="of the replicates after the pilot that are particles of families (splitting); "
        "by default what the pilot suggests, at most nine tenths",
    )

    @field_validator("name", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        if isinstance(value, str) and value in DESIGNS:
            return value
        raise PydanticCustomError(
            "design", "Input should be 'plain', 'strata' or 'splitting'", {"given": value}
        )

    @model_validator(mode="after")
    def _used(self) -> DesignSpec:
        """Refuse what would have no effect."""
        for key, needs in (("pilot", ("strata", "splitting")), ("share", ("splitting",))):
            if getattr(self, key) is not None and self.name not in needs:
                raise PydanticCustomError(
                    "no_effect",
                    "{key} has no effect with the design '{name}'; accepted: with {needs}",
                    {"key": key, "name": self.name, "needs": " or ".join(needs)},
                )
        return self


def _table(value: Any) -> Any:
    """Return the table that a bare name stands for."""
    if isinstance(value, str):
        return {"name": value}
    if not isinstance(value, dict | DesignSpec):
        raise PydanticCustomError(
            "design",
            "Input should be 'plain', 'strata' or 'splitting', or a table with such a name",
        )
    return value


Design = Annotated[
    DesignSpec,
    BeforeValidator(
        _table, json_schema_input_type=Literal["plain", "strata", "splitting"] | DesignSpec
    ),
]


class UntilSpec(Section):
    """until: a precision at which an experiment has enough runs; `replicates` is the most."""

    half_width: Annotated[float, Field(gt=0, lt=0.5)] | None = Field(
        default=None,
        description="half the width of the interval of every probability at the last step",
    )
    relative: Annotated[float, Field(gt=0, lt=10)] | None = Field(
        default=None, description="half the width as a multiple of the estimate"
    )

    @model_validator(mode="after")
    def _one(self) -> UntilSpec:
        if (self.half_width is None) == (self.relative is None):
            raise PydanticCustomError(
                "until", "Input should have half_width or relative, one of the two"
            )
        return self
