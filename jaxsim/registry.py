"""From a name and its parameters, as a study file writes them, to the object they mean.

A registry is a dict from name to factory. The factory's signature is the documentation of the
parameters: names, types and defaults are read from it, so that the study format, the error
messages and the tables in the documentation cannot drift from the code.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from jaxsim.errors import InputError, unknown

Registry = Mapping[str, Callable[..., Any]]


def build(registry: Registry, spec: str | Mapping[str, Any], key: str, tag: str = "name") -> Any:
    """Build the object that a specification names.

    Args:
        registry: factories by name.
        spec: a name, or a table with the name under `tag` and the parameters beside it.
        key: where the specification stands in the study, for error messages.
        tag: the key of the name in a table: "name", "law", ...

    Raises:
        InputError: for an unknown name, a missing, unknown or ill-typed parameter, or a value that
            the factory refuses.
    """
    if isinstance(spec, str):
        spec = {tag: spec}
    if tag not in spec:
        raise InputError(
            f"{key} = {dict(spec)!r} lacks {tag!r}; accepted: {', '.join(sorted(registry))}"
        )
    name = spec[tag]
    if not isinstance(name, str) or name not in registry:
        raise unknown(f"{key}.{tag}" if len(spec) > 1 else key, name, registry)
    parameters = {k: v for k, v in spec.items() if k != tag}
    factory = registry[name]
    return call(factory, parameters, key, name)


def call(factory: Callable[..., Any], parameters: Mapping[str, Any], key: str, name: str) -> Any:
    """Call a factory with parameters checked against its signature.

    Raises:
        InputError: as `build`.
    """
    checked = check_parameters(factory, parameters, key, name)
    try:
        return factory(**checked)
    except InputError as error:
        raise error.at(key) from None


def check_parameters(
    factory: Callable[..., Any], parameters: Mapping[str, Any], key: str, name: str
) -> dict[str, Any]:
    """Return the parameters converted to the annotated types of a factory's signature.

    Raises:
        InputError: for a missing, unknown or ill-typed parameter.
    """
    signature = inspect.signature(factory)
    hints = typing.get_type_hints(factory, include_extras=True)
    accepted = list(signature.parameters)
    for given in parameters:
        if given not in accepted:
            takes = ", ".join(accepted) or "no parameters"
            raise InputError(f"{key}.{given} is not a parameter of {name!r}; accepted: {takes}")
    for wanted, parameter in signature.parameters.items():
        if parameter.default is inspect.Parameter.empty and wanted not in parameters:
            raise InputError(f"{key}.{wanted} is missing: {name!r} requires it")
    return {k: convert(v, hints.get(k, Any), f"{key}.{k}") for k, v in parameters.items()}


def convert(value: Any, annotation: Any, key: str) -> Any:
    """Check a value against a type, strictly (an int is a float, a bool is not a number).

    Raises:
        InputError: naming the key, the value and the accepted type.
    """
    if annotation is Any:
        return value
    try:
        adapter = TypeAdapter(annotation, config=ConfigDict(strict=True, allow_inf_nan=False))
        return adapter.validate_python(_tuples(value))
    except ValidationError as error:
        reason = reason_of(error.errors()[0])
        raise InputError(f"{key} = {value!r} is not accepted: {reason}") from None


def reason_of(problem: Mapping[str, Any]) -> str:
    """Return what pydantic finds wrong with a value, in words of TOML: its dictionaries are tables.

    Args:
        problem: one of a validation error's.
    """
    if problem["type"] in ("dict_type", "model_type"):
        return "input should be a table"
    text = str(problem["msg"])
    return text[0].lower() + text[1:]


def _tuples(value: Any) -> Any:
    """Return nested lists as tuples: what TOML writes as an array is immutable in jaxsim."""
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value
