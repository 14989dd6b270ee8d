"""A study's tables with every default, also those of the laws, losses and methods they name."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from jaxsim.errors import InputError
from jaxsim.network.activations import ACTIVATIONS
from jaxsim.network.initializers import INITIALIZERS
from jaxsim.optimizer import optimizer
from jaxsim.optimizer.schedules import SCHEDULES
from jaxsim.problem import datasets
from jaxsim.problem.input_laws import INPUT_LAWS
from jaxsim.problem.losses import LOSSES
from jaxsim.problem.noise import NOISES
from jaxsim.registry import Registry
from jaxsim.study.build_problem import TEACHER_DEFAULTS
from jaxsim.study.experiment_spec import NetworkSpec


def resolved(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of an experiment or a study with all defaults written out.

    What a grid or explicit experiments hold stays as it is: it says what differs.

    Args:
        tables: dumped ones, with every key of the study format itself.

    Example:
        >>> resolved({"problem": {"noise": {"law": "normal", "std": 0.1}, "data": "iris"}})["problem"]
        {'noise': {'law': 'normal', 'std': 0.1}, 'data': {'name': 'iris', 'scale': 'standardize', 'task': 'auto', 'target_scale': 'none', 'test': None, 'risk_over': None}}
    """  # noqa: E501
    complete = copy.deepcopy(dict(tables))
    problem = complete.get("problem", {})
    for key, registry, tag in (
        ("input", INPUT_LAWS, "law"), ("noise", NOISES, "law"), ("loss", LOSSES, "name"),
    ):  # fmt: skip
        if problem.get(key) is not None:
            problem[key] = _named(registry, problem[key], tag)
    if problem.get("data") is not None:
        problem["data"] = _data(problem["data"])
    if isinstance(problem.get("target"), dict):
        problem["target"] = _target(problem["target"])
    if "network" in complete:
        complete["network"] = _network(complete["network"])
    if "optimizer" in complete:
        complete["optimizer"] = _optimizer(complete["optimizer"])
    return complete


def _named(registry: Registry, spec: Any, tag: str) -> Any:
    """Return a specification with the defaults of the factory's signature; a bare name if none."""
    table = {tag: spec} if isinstance(spec, str) else spec
    if not isinstance(table, dict) or table.get(tag) not in registry:
        return spec
    complete = _with_defaults(registry[table[tag]], table)
    return spec if complete == {tag: spec} else complete


def _with_defaults(factory: Callable[..., Any], table: dict[str, Any]) -> dict[str, Any]:
    defaults = {
        name: list(p.default) if isinstance(p.default, tuple) else p.default
        for name, p in inspect.signature(factory).parameters.items()
        if p.default is not inspect.Parameter.empty
    }
    return {**table, **{k: v for k, v in defaults.items() if k not in table}}


def _data(spec: Any) -> Any:
    table = {"name": spec} if isinstance(spec, str) else spec
    if not isinstance(table, dict):
        return spec
    test = table.get("test")
    if isinstance(test, dict):
        shares: dict[str, Any] = {} if "path" in test else {"seed": 0, "stratified": False}
        table = {**table, "test": {**shares, **test}, "risk_over": table.get("risk_over", "test")}
    return _with_defaults(datasets.factory_of(table), table)


def _target(table: dict[str, Any]) -> dict[str, Any]:
    complete = dict(table)
    if isinstance(complete.get("teacher"), dict):
        fields = NetworkSpec.model_fields
        defaults = {k: f.get_default(call_default_factory=True) for k, f in fields.items()}
        complete["teacher"] = _network({**defaults, **complete["teacher"]})
        return {**TEACHER_DEFAULTS, **complete}
    return {**complete, "outputs": complete.get("outputs", 1)}


def _network(table: dict[str, Any]) -> dict[str, Any]:
    complete = dict(table)
    if complete.get("module") is not None:
        return {"module": complete["module"]}
    if "activation" in complete:
        complete["activation"] = _named(ACTIVATIONS, complete["activation"], "name")
    complete["biases"] = _joint_biases(complete)
    for key in ("weights", "biases"):
        value = complete.get(key)
        if isinstance(value, list):
            complete[key] = [_named(INITIALIZERS, v, "law") for v in value]
        elif value is not None:
            complete[key] = _named(INITIALIZERS, value, "law")
    return complete


def _joint_biases(table: dict[str, Any]) -> Any:
    """Return the law of the biases; by default it is the weights' where that draws both."""
    weights, biases = table.get("weights"), table.get("biases")
    if biases != NetworkSpec.model_fields["biases"].default:
        return biases
    laws = weights if isinstance(weights, list) else [weights]
    joint = [(law.get("law") if isinstance(law, dict) else law) in _JOINT for law in laws]
    if not any(joint):
        return biases
    chosen = [law if both else biases for law, both in zip(laws, joint, strict=True)]
    return chosen if isinstance(weights, list) else chosen[0]


_JOINT = frozenset({"randomized_asymmetric"})
"""Laws that draw weights and biases together; they have no parameters."""


def _optimizer(table: dict[str, Any]) -> dict[str, Any]:
    complete = dict(table)
    if isinstance(complete.get("learning_rate"), dict):
        complete["learning_rate"] = _named(SCHEDULES, complete["learning_rate"], "schedule")
    try:
        built = optimizer(table)
    except InputError:  # of a study whose grid completes the table
        return complete
    return {**complete, "variant": built.variant, **dict(built.hyperparameters)}
