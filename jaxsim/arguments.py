"""Checks of what Python code passes to the functions of the interface: a sentence, no traceback."""

from __future__ import annotations

import numbers
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jaxsim.errors import InputError


def whole(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """Return a whole number, NumPy's or Python's.

    Raises:
        InputError: for anything else, or one outside [least, most].

    Example:
        >>> whole("workers", 3)
        3
    """
    upper = "" if most is None else f" and at most {most:,}"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise InputError(
            f"{name} = {value!r} is of type {type(value).__name__}; accepted: a whole number of at "
            f"least {least}{upper}"
        )
    number = int(value)
    if number < least or (most is not None and number > most):
        raise InputError(f"{name} = {number} is not accepted: it should be at least {least}{upper}")
    return number


def flag(name: str, value: Any) -> bool:
    """Return a truth value.

    Raises:
        InputError: for anything else.
    """
    if not isinstance(value, bool):
        raise InputError(
            f"{name} = {value!r} is of type {type(value).__name__}; accepted: True or False"
        )
    return value


def path(name: str, value: Any, accepted: str = "the path of a directory") -> Path:
    """Return a path.

    Args:
        name: of the argument.
        value: of the argument.
        accepted: what it should be.

    Raises:
        InputError: for what is neither text nor a path.
    """
    if not isinstance(value, str | os.PathLike) or isinstance(value, bytes) or value == "":
        raise InputError(
            f"{name} = {value!r} is of type {type(value).__name__}; accepted: {accepted}"
        )
    path_text = os.fspath(value)
    if "\0" in str(path_text):
        raise InputError(f"{name} = {value!r} holds a null character; accepted: a path")
    return Path(str(path_text))


def text(name: str, value: Any) -> str:
    """Return a text.

    Raises:
        InputError: for anything else.
    """
    if not isinstance(value, str):
        raise InputError(f"{name} = {value!r} is of type {type(value).__name__}; accepted: a text")
    return value


def texts(name: str, value: Any) -> list[str]:
    """Return several texts as a list.

    Raises:
        InputError: for one text alone, which is made of letters, and for anything else.
    """
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise InputError(
            f"{name} = {value!r} is of type {type(value).__name__}; accepted: a list of texts"
        )
    return [text(f"an entry of {name}", entry) for entry in value]
