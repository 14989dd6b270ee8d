"""The study format: an experiment, the grid that varies it, the questions, and how they are run.

Unknown keys are errors.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from jaxsim.engines.registry import ENGINES, current_name
from jaxsim.questions.events import Asked, Event, events_of
from jaxsim.study.design_spec import Design, DesignSpec, UntilSpec
from jaxsim.study.experiment_spec import ExperimentSpec
from jaxsim.study.published_spec import PublishedSpec
from jaxsim.study.section import Section, Table
from jaxsim.study.slurm_spec import SlurmSpec

MOST_SECONDS = 1e9
"""Of a budget."""


def _known_engine(name: Any) -> Any:
    """Return the name of today of an engine.

    Raises:
        PydanticCustomError: for what is none.
    """
    name = current_name(name)
    if isinstance(name, str) and name != "auto" and name not in ENGINES:
        *names, last = (f"'{n}'" for n in ("auto", *ENGINES))
        expected = f"{', '.join(names)} or {last}"
        raise PydanticCustomError(
            "literal_error", "Input should be {expected}", {"expected": expected}
        )
    return name


class ExecutionSpec(Section):
    """[execution]: how blocks are executed. Engine, width and lanes are part of the bits."""

    engine: Annotated[str, BeforeValidator(_known_engine)] = Field(
        default="auto",
        json_schema_extra=lambda schema: schema.update(enum=["auto", *ENGINES]),
        description="auto takes the fastest by a short measurement, and vmap where the width "
        "is given",
    )
    lanes: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] = Field(
        default="auto", description="members per group of the lanes and native engines"
    )
    width: Annotated[int, Field(ge=1, le=2**22)] | Literal["auto"] = Field(
        default="auto",
        description="replicates per compiled call; auto chooses by a short measurement",
    )
    shard: Annotated[int, Field(ge=1, le=2**32)] | Literal["auto"] = Field(
        default="auto", description="replicates per file, a multiple of the width"
    )
    matmul_precision: Literal["highest", "high", "default", "tensorfloat32", "bfloat16"] = Field(
        default="highest", description="of float32 matrix products on accelerators"
    )


class OptimumSpec(Section):
    """[optimum]: how long inf L is searched for; no run depends on it."""

    budget: Annotated[float, Field(ge=0, le=MOST_SECONDS)] | None = Field(
        default=None,
        description="seconds of a `run` for searches of bounds, beside the runs; 0 for none; by "
        "default a twentieth of the estimated time of the study, at least 10 while runs go on",
    )


class LevelsSpec(Section):
    """[levels]: runs whose parameters are led on to a local minimum of the exact risk."""

    runs: Annotated[int, Field(ge=0, le=10**6)] = Field(
        default=0,
        description="of each experiment, polished at the end of `run`; some hundreds show at which "
        "levels runs end. 0: only by `jaxsim levels`",
    )
    budget: Annotated[float, Field(ge=0, le=MOST_SECONDS)] | None = Field(
        default=None,
        description="seconds of a `run` for that, after the runs; by default a tenth of the "
        "estimated time of the study, at least 60",
    )


ACTIVATION_PATTERN = "activation_pattern"
"""What `record` may have."""
_Levels = (
    Annotated[float, Field()] | Annotated[list[float], Field(min_length=1, max_length=1000)] | None
)


class EventsSpec(Section):
    """[events]: what it means that a run fails, in place of `epsilon`; no run depends on it."""

    above_optimum: _Levels = Field(
        default=None, description="eps: the risk exceeds inf L by more; what `epsilon` says"
    )
    risk_above: _Levels = Field(default=None, description="c: the risk exceeds it")
    error_rate_above: _Levels = Field(
        default=None,
        description="c: the error rate (0-1 risk) of a classification exceeds it; 0.1 is an "
        "accuracy below 0.9",
    )
    not_all_right: bool | None = Field(
        default=None, description="true: some point is classified wrongly"
    )
    constant: bool | None = Field(
        default=None, description="true: the network is constant on the support of the inputs"
    )
    inactive_at_least: _Levels = Field(
        default=None,
        description="k: so many neurons of the first layer are certified to be inactive",
    )
    pattern_changed: bool | None = Field(
        default=None,
        description="true: the activation pattern on the data points differs from that of step 0 "
        "at some checkpoint until then: a kink has crossed a point; needs `record`",
    )
    pattern_unchanged: bool | None = Field(
        default=None, description="true: at no checkpoint until then; needs `record`"
    )

    @model_serializer(mode="wrap")
    def _stated(self, handler: Any) -> dict[str, Any]:
        """Leave out what is not asked."""
        return {key: value for key, value in handler(self).items() if value is not None}


class StudySpec(ExperimentSpec):
    """A study file: one base experiment, the grid that varies it, and the questions asked."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)] = Field(
        description="of the study; its results go to runs/NAME"
    )
    title: str = Field(default="", description="one line for reports")
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = Field(
        default=0, description="all random numbers derive from it"
    )
    replicates: Annotated[int, Field(ge=1, le=2**32)] = Field(
        default=1024,
        description="independent training runs of each experiment; under a design over all strata, "
        "with `until` at most",
    )
    design: Design = Field(
        default_factory=DesignSpec,
        description='"plain", "strata" or "splitting", or a table of name and options: which '
        "initializations are trained, and with which weights",
    )
    until: UntilSpec | None = Field(
        default=None,
        description="{ half_width = 0.01 } or { relative = 0.1 }: runs go on until the intervals "
        "of all events at the last step are so narrow; they are confidence sequences then, which "
        "hold however often one looks",
    )
    epsilon: list[Annotated[float, Field(ge=0)]] = Field(
        default_factory=lambda: [0.001, 0.01, 0.1],
        min_length=1,
        max_length=1000,
        description="thresholds: P(L(Theta_n) > inf L + epsilon) is estimated for each",
    )
    events: EventsSpec | None = Field(
        default=None,
        description="other events whose probabilities are estimated, in place of epsilon: "
        "{ above_optimum = 0.1 }, { risk_above = 0.1 }, { error_rate_above = 0.1 }, "
        "{ not_all_right = true }, { constant = true }, { inactive_at_least = 1 }, "
        "{ pattern_changed = true }, { pattern_unchanged = true }, one table or a list of them",
    )
    record: Annotated[list[Literal["activation_pattern"]], Field(max_length=1)] = Field(
        default_factory=list,
        description='what is recorded of each run besides: ["activation_pattern"], at the '
        "checkpoints, the pairs of a hidden neuron and a data point that have left their linear "
        "piece of step 0, for finitely many points and a piecewise linear activation",
    )
    confidence: Annotated[float, Field(ge=1e-3, le=1 - 1e-9)] = Field(
        default=0.95, description="level of every interval"
    )
    interval: Literal[
        "clopper-pearson", "wilson", "mid-p", "mover", "profile-likelihood", "sequence"
    ] = Field(
        default="clopper-pearson",
        description="of each probability for itself; wilson, mid-p, profile-likelihood and, over "
        "several strata, mover are approximate; sequence holds however often one looks",
    )
    post_stratify: bool = Field(
        default=False,
        description="true: runs of the plain design count by strata of their initializations, by "
        "the number of inactive neurons, whose law is known",
    )
    paired: list[Literal["optimizer", "network", "training", "problem"]] = Field(
        default_factory=list,
        description='tables whose choice does not change the random numbers: ["optimizer"] gives '
        "all optimizers the same initializations and mini-batches",
    )
    execution: ExecutionSpec = Field(default_factory=ExecutionSpec)
    optimum: OptimumSpec = Field(default_factory=OptimumSpec)
    levels: LevelsSpec = Field(default_factory=LevelsSpec)
    slurm: SlurmSpec = Field(default_factory=SlurmSpec)
    grid: dict[str, list[Any]] = Field(
        default_factory=dict, description='"optimizer.name" = [...]: all combinations are run'
    )
    experiment: list[Table] = Field(
        default_factory=list, description="[[experiment]]: explicit variations; `label` names them"
    )
    variables: Annotated[dict[str, list[Any]], Field(max_length=20)] = Field(
        default_factory=dict,
        description='`k = [6, 7, 8]`: explicit experiments that have it in braces, such as "{k}", '
        '"{5 / k}" or "k = {k}", are made for all of its values',
    )
    published: Annotated[list[PublishedSpec], Field(max_length=10_000)] = Field(
        default_factory=list,
        description="[[published]]: numbers that others published, to be compared with",
    )
    quick: Table = Field(
        default_factory=dict,
        description='keys with smaller values, for `--quick`: `replicates = 100`, `"network.hidden"'
        " = [4]`",
    )

    @field_validator("events", mode="before")
    @classmethod
    def _one_table(cls, value: Any) -> Any:
        """Return a list of events as one table."""
        if not isinstance(value, list):
            return value
        joined: dict[str, Any] = {}
        for table in value:
            if not isinstance(table, dict):
                raise PydanticCustomError("no_event", "a list of events should hold tables")
            for kind, levels in table.items():
                before = joined.get(kind)
                both = isinstance(levels, bool) or before is None
                joined[kind] = levels if both else [*_listed(before), *_listed(levels)]
        return joined

    @model_validator(mode="after")
    def _agree(self) -> StudySpec:
        """Refuse what would have no effect beside something else."""
        if self.until is not None and self.interval not in ("clopper-pearson", "sequence"):
            raise PydanticCustomError(
                "no_effect",
                "interval = '{interval}' has no effect with until, whose intervals hold at every "
                "look; accepted: 'sequence', or no key",
                {"interval": self.interval},
            )
        if self.until is not None and self.design.name == "splitting":
            raise PydanticCustomError(
                "no_until",
                "until is not accepted with the design 'splitting', whose estimates from families "
                "have no guaranteed upper end that could become narrow; accepted: the design "
                "'plain' or 'strata', or replicates without until",
            )
        if self.levels.runs and self.design.name != "plain":
            raise PydanticCustomError(
                "no_effect",
                "levels.runs = {runs} has no effect with the design '{name}', whose runs are no "
                "sample of one law; accepted: 0, or the design 'plain'",
                {"runs": self.levels.runs, "name": self.design.name},
            )
        if self.record and self.design.name == "splitting":
            raise PydanticCustomError(
                "no_record",
                "record = ['activation_pattern'] is not accepted with the design "
                "'splitting', whose clones have no step 0 of their own; accepted: the design "
                "'plain' or 'strata'",
            )
        if self.published and self.design.name == "splitting":
            raise PydanticCustomError(
                "no_test",
                "published numbers are not accepted with the design 'splitting', whose estimates "
                "from families have no guaranteed upper end to compare; accepted: the design "
                "'plain' or 'strata'",
            )
        for number, one in enumerate(self.published):
            if self.staged and one.mean == "risk":
                beside = "until" if self.until is not None else "the design 'strata'"
                raise PydanticCustomError(
                    "no_test",
                    "published.{number} is the mean of a risk, whose approximate interval is for a "
                    "fixed number of runs of one law, and not for {beside}; accepted: a quantile, "
                    "or the mean of a bounded number",
                    {"number": number, "beside": beside},
                )
        if self.post_stratify and (self.until is not None or self.design.name != "plain"):
            beside = "until" if self.until is not None else f"the design '{self.design.name}'"
            raise PydanticCustomError(
                "no_post_strata",
                "post_stratify = true is not accepted with {beside}; accepted: false, or a number "
                "of runs of the plain design that is fixed beforehand",
                {"beside": beside},
            )
        return self

    @model_serializer(mode="wrap")
    def _as_asked(self, handler: Any) -> dict[str, Any]:
        """Leave out `events` where they are not stated, and the `epsilon` that they replace."""
        dumped = handler(self)
        dumped.pop("events" if dumped.get("events") is None else "epsilon", None)
        # Of keys that older versions do not know: left out where they say nothing.
        for key in ("post_stratify", "variables", "published", "quick", "record"):
            if not dumped.get(key):
                dumped.pop(key, None)
        return dumped

    @property
    def staged(self) -> bool:
        """Whether later runs depend on what earlier ones showed."""
        return self.until is not None or self.design.name != "plain"

    @property
    def method(self) -> str:
        """Name of the method of intervals: runs that stop by a look at them need a sequence."""
        return "sequence" if self.until is not None else self.interval

    @property
    def asking(self) -> Asked:
        """What `jaxsim.analyse` is asked: thresholds above the optimal risk or a table."""
        return self.epsilon if self.events is None else self.events.model_dump()

    @property
    def asked(self) -> tuple[Event, ...]:
        """The events whose probabilities are asked for.

        Raises:
            InputError: for thresholds that are not accepted.
        """
        return events_of(self.asking)


def _listed(levels: Any) -> list[Any]:
    return list(levels) if isinstance(levels, list) else [levels]


QUESTIONS = (
    "title",
    "epsilon",
    "events",
    "confidence",
    "interval",
    "post_stratify",
    "published",
)
"""Keys that a report may ask otherwise than its study does."""

ANALYSIS_KEYS = (*QUESTIONS, "replicates", "until", "quick", "optimum", "levels", "slurm")
"""Keys that may change in a directory with results: they do not touch any run."""
