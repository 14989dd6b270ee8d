"""What a reader of a study's numbers should know: sentences of warning, none of them an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jaxsim import session
from jaxsim.problem.user_code import is_reference
from jaxsim.problem.user_reads import uncovered
from jaxsim.risk import RiskOptions, make_risk
from jaxsim.training.experiment import Experiment

MOST_NAMED = 3


def study_warnings(experiments: Sequence[Experiment]) -> tuple[str, ...]:
    """Return the sentences, each once, with the experiments they are about unless these are all."""
    about: dict[str, list[str]] = {}
    for experiment in experiments:
        for sentence in dict.fromkeys(_sentences(experiment)):
            about.setdefault(sentence, []).append(experiment.label)
    idle = _idle_risk_options(experiments)
    return (*(_with_labels(s, labels, len(experiments)) for s, labels in about.items()), *idle)


def _with_labels(sentence: str, labels: list[str], of: int) -> str:
    if len(labels) == of:
        return sentence
    named = "; ".join(labels[:MOST_NAMED]) + ("; ..." if len(labels) > MOST_NAMED else "")
    return f"{sentence} ({len(labels)} of {of} experiments: {named})"


def _sentences(experiment: Experiment) -> Iterator[str]:
    yield from _training_set(experiment)
    yield from _schedule(experiment)
    yield from experiment.problem.warnings
    yield from _network(experiment)
    yield from _own_code(experiment.spec)
    yield from _passed(experiment.spec)


def _passed(spec: Mapping[str, Any]) -> Iterator[str]:
    names = session.names_in(spec)
    if names:
        was = "were" if len(names) > 1 else "was"
        yield (
            f"{', '.join(names)} {was} passed from Python: the study is not reproducible from a "
            "file, and its directory can be resumed and reported in this session only"
        )


def _training_set(experiment: Experiment) -> Iterator[str]:
    chosen, batch = experiment.training_set, experiment.samples_per_step
    if experiment.shared_batches:
        yield (
            'all replicates train on the same mini-batches (training.mini_batches = "shared"): '
            "every probability here is conditional on this one stream, and random in the "
            "initialization alone"
        )
    if chosen is None:
        return
    if chosen.scope == "study":
        yield (
            'one training set, drawn once, serves all replicates (training.set.scope = "study"): '
            "every probability here is conditional on this set"
        )
    left = chosen.size % batch
    if (
        left
        and not chosen.counts
        and not chosen.replacement
        and batch < chosen.size
        and chosen.partial == "drop"
    ):
        yield (
            f"{left} of the {chosen.size} rows of the training set are not used in each epoch, "
            f"which is cut into whole mini-batches of {batch}; training.set.partial = "
            '"keep" ends every epoch with a smaller one'
        )


def _schedule(experiment: Experiment) -> Iterator[str]:
    table = experiment.spec.get("optimizer", {}).get("learning_rate")
    if not isinstance(table, Mapping):
        return
    end = schedule_end(table)
    if end is not None and end > experiment.steps:
        yield (
            f"the schedule {table['schedule']!r} of the learning rate ends at step {end:,}, after "
            f"the last step of the training, {experiment.steps:,}"
        )


_ENDS: dict[str, Callable[[Mapping[str, Any]], int]] = {
    "cosine_decay": lambda t: t["decay_steps"],
    "polynomial": lambda t: t.get("transition_begin", 0) + t["transition_steps"],
    "linear": lambda t: t.get("transition_begin", 0) + t["transition_steps"],
    "piecewise_constant": lambda t: max(t["boundaries"], default=0),
    "piecewise_interpolate": lambda t: max(t["boundaries"], default=0),
    "warmup_cosine_decay": lambda t: t["decay_steps"],
    "warmup_exponential_decay": lambda t: t["warmup_steps"],
    "warmup_constant": lambda t: t["warmup_steps"],
    "cosine_onecycle": lambda t: t["transition_steps"],
    "linear_onecycle": lambda t: t["transition_steps"],
    "sgdr": lambda t: sum(t["decay_steps"]),
}
"""The step from which on a schedule is constant, by name; the others never are."""


def schedule_end(table: Mapping[str, Any]) -> int | None:
    """Return the step from which on a schedule is constant; None if there is none.

    Example:
        >>> schedule_end({"schedule": "linear", "transition_begin": 5, "transition_steps": 10})
        15
    """
    end = _ENDS.get(table.get("schedule", ""))
    return None if end is None else end(table)


def _network(experiment: Experiment) -> Iterator[str]:
    tables, network = experiment.spec.get("network", {}), experiment.network
    if not network.fully_connected:
        return
    if not network.hidden and tables.get("activation", "relu") != "relu":
        yield (
            f"network.activation = {tables['activation']!r} has no effect: there is no hidden layer"
        )
    for name in tables.get("freeze", ()):
        layer, _, part = name.partition(".")
        number = len(network.layer_specs) if layer == "output" else int(layer[5:])
        if part == "biases" and network.layer_specs[number - 1].biases is None:
            yield f"network.freeze = {name!r} has no effect: that layer has no biases"


def _own_code(tables: Any) -> Iterator[str]:
    """Yield a sentence for every module of the user's own that reads more than its source."""
    for value in tables if isinstance(tables, list) else ():
        yield from _own_code(value)
    for key, value in tables.items() if isinstance(tables, Mapping) else ():
        if key not in ("function", "module") or not is_reference(value):
            yield from _own_code(value)
            continue
        for place in uncovered(value.partition(":")[0]):
            yield (
                f"{key} = {value!r}: the module {place} reads what its identity does not cover; "
                "after a change of that, start in another directory"
            )


class _Noting:
    """Options of a risk that note which of them are read."""

    def __init__(self, options: RiskOptions, read: set[str]) -> None:
        self._options, self._read = options, read

    def __getattr__(self, name: str) -> Any:
        self._read.add(name)
        return getattr(self._options, name)


def _idle_risk_options(experiments: Sequence[Experiment]) -> Iterator[str]:
    """Yield a sentence for every option of the risk that no experiment's rule reads."""
    default = RiskOptions()
    keys = ("pieces", "nodes", "points", "replicates")
    stated = {
        key: getattr(e.risk, key)
        for e in experiments
        for key in keys
        if getattr(e.risk, key) != getattr(default, key)
    }
    if not stated:
        return
    read: set[str] = set()
    rules = {}
    for e in {e.evaluation_key: e for e in experiments}.values():
        noting: Any = _Noting(e.risk, read)
        rules[e.evaluation_key] = make_risk(e.problem, e.network, noting)
        # Exact counts of inactive neurons of deeper layers look for kinks, too.
        if e.problem.law.density_1d is not None and len(e.network.hidden) > 1:
            read.add("pieces")
    for key in stated.keys() - read:
        how = "; ".join(dict.fromkeys(rule.description for rule in rules.values()))
        yield f"problem.risk.{key} = {stated[key]} has no effect: the risk is computed by {how}"
