"""Plain tables: what Python code gives for a study, as a TOML file would have said it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import optax

from jaxsim import session
from jaxsim.errors import InputError, is_control
from jaxsim.network.activations import ACTIVATIONS

LARGEST_LIST = 1_000_000
"""Entries of a list; more belong into a data file."""
_DEEPEST = 30
_LARGEST_INTEGER = 10**300


def plain(value: Any, key: str = "") -> Any:
    """Return a value made of dicts, lists, texts, numbers, truth values and None alone.

    Tuples, NumPy's and JAX's numbers and arrays become what they stand for.

    Args:
        value: of a study, or all of it.
        key: where it stands, for error messages.

    Raises:
        InputError: for anything else, a key that is no text, or a text that controls a terminal.

    Example:
        >>> import numpy as np
        >>> plain({"hidden": (np.int64(3), 4), "low": np.zeros(2)})
        {'hidden': [3, 4], 'low': [0.0, 0.0]}
    """
    if key.count(".") > _DEEPEST:
        raise InputError(f"{key[:40]}... is nested too deeply; accepted: {_DEEPEST} levels")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, optax.GradientTransformation) or _is_module(value) or _is_function(value):
        return _object(value, key)
    if isinstance(value, str):
        return _text(str(value), key)
    if isinstance(value, Mapping):
        return {_name(k, key): plain(v, _inner(key, k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        _require_length(len(value), key)
        return [plain(v, _inner(key, i)) for i, v in enumerate(value)]
    if isinstance(value, os.PathLike):
        return _text(os.fspath(value), key)
    if isinstance(value, float):  # np.float64 is one, too
        return float(value)
    if isinstance(value, int):
        if abs(value) >= _LARGEST_INTEGER:
            raise InputError(f"{key} is an integer of more than 300 digits; accepted: shorter ones")
        return int(value)
    if hasattr(value, "__array__") and not isinstance(value, type):
        return _array(value, key)
    raise InputError(
        f"{key or 'study'} = {value!r} is of type {type(value).__name__}; accepted: what a TOML "
        "file can say (tables, lists, texts, numbers, true and false)"
    )


_FUNCTIONS = {
    "target": lambda text: {"function": text},
    "loss": lambda text: {"name": "function", "function": text},
    "activation": lambda text: {"name": "function", "function": text},
    "function": lambda text: text,
    "module": lambda text: text,
}
"""Keys that take a function -> what stands for it in the table."""
_MODULES = {"network": lambda text: {"module": text}, "module": lambda text: text}
_TRANSFORMATIONS = {"optimizer": lambda text: {"name": text}, "name": lambda text: text}


def _is_module(value: Any) -> bool:
    """Return whether a value is a flax module; there is none if nobody has imported flax."""
    flax = sys.modules.get("flax.linen")
    return flax is not None and isinstance(value, flax.Module)


def _is_function(value: Any) -> bool:
    return callable(value) and not isinstance(value, type) and not hasattr(value, "__array__")


def _object(value: Any, key: str) -> Any:
    """Return what stands for a Python object that is passed in place of a table or a name.

    Raises:
        InputError: where such an object has no place.
    """
    last = next((part for part in reversed(key.split(".")) if not part.isdigit()), "")
    if isinstance(value, optax.GradientTransformation):
        kind, accepted = "an optax transformation", _TRANSFORMATIONS
    elif _is_module(value):
        kind, accepted = "a flax module", _MODULES
    else:
        kind, accepted = "a function", _FUNCTIONS
        if last == "activation":
            for name, factory in ACTIVATIONS.items():
                if name != "function" and factory().function is value:
                    return name  # of which more is known
    if last in ("optimizer", "name") and accepted is _FUNCTIONS:
        raise InputError(
            f"{key} = {value!r} is a function; accepted: an optax transformation, as a call such "
            "as optax.adam(0.01) returns it, or a table with a name"
        )
    if last not in accepted:
        raise InputError(
            f"{key or 'study'} = {value!r} is {kind}, which is not accepted here; accepted: "
            f"{kind} as {' or '.join(_PLACES[kind])}"
        )
    return accepted[last](session.text_of(value))


_PLACES = {
    "an optax transformation": ["optimizer"],
    "a flax module": ["network", "network.module"],
    "a function": ["problem.target", "problem.loss", "network.activation"],
}


def table_of(value: Any, what: str = "study") -> dict[str, Any]:
    """Return a mapping as a plain table.

    Raises:
        InputError: if it is no mapping, or as `plain`.
    """
    if not isinstance(value, Mapping):
        raise InputError(
            f"{what} = {value!r} is of type {type(value).__name__}; accepted: a table (a dict)"
        )
    return plain(value)


def _array(value: Any, key: str) -> Any:
    try:
        array = np.asarray(value)
    except Exception as error:
        raise InputError(f"{key} cannot be read as an array: {error}") from None
    _require_length(array.size, key)
    if array.dtype.kind not in "biufU":
        # JAX's bfloat16 has a kind of its own.
        if array.dtype.kind != "V" or array.dtype.names is not None or array.dtype == object:
            raise InputError(f"{key} is an array of {array.dtype}; accepted: numbers or texts")
        array = array.astype(np.float64)
    return plain(array.tolist(), key)


def _require_length(length: int, key: str) -> None:
    if length > LARGEST_LIST:
        raise InputError(
            f"{key} has {length:,} entries; accepted: up to {LARGEST_LIST:,}, and more in a data "
            "file (problem.data)"
        )


def _text(value: str, key: str) -> str:
    wrong = next((c for c in value if is_control(c) and c not in "\n\t\r"), None)
    if wrong is not None:
        raise InputError(
            f"{key} = {value!r} is not accepted: it holds the control character {wrong!a}"
        )
    return value


def _name(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise InputError(
            f"{where or 'study'} has the key {key!r} of type {type(key).__name__}; accepted: texts"
        )
    return _text(str(key), f"a key of {where or 'the study'}")


def _inner(key: str, part: Any) -> str:
    return f"{key}.{part}" if key else str(part)
