"""Python objects that are passed to a study directly: functions, flax modules, transformations.

A study is plain data. An object stands in it as a text such as "python:wave@1f0c2a9b-1": its name,
the session and a number. The text means something in this process only, since nothing else says
what the object does: runs of two sessions are never mixed. What random numbers derive from is a
fingerprint of the object's code instead, so that the same script draws the same numbers again.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
import secrets
import types
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxsim.errors import InputError

SESSION = secrets.token_hex(4)
_TEXT = re.compile(r"python:([\w.-]+)@([0-9a-f]{8})-([0-9]+)")
_DEEPEST = 40


class _Known(NamedTuple):
    """An object of this session, which is kept: its number must not become another's."""

    value: Any
    fingerprint: str


_OBJECTS: dict[str, _Known] = {}
_TEXTS: dict[int, str] = {}


def text_of(value: Any) -> str:
    """Return the text that stands for an object in the tables of a study, always the same one."""
    if id(value) not in _TEXTS:
        text = f"python:{_name(value)}@{SESSION}-{len(_OBJECTS) + 1}"
        _OBJECTS[text] = _Known(value, fingerprint(value))
        _TEXTS[id(value)] = text
    return _TEXTS[id(value)]


def is_text(value: Any) -> bool:
    """Return whether a value of a table stands for an object.

    Example:
        >>> is_text("python:wave@1f0c2a9b-1"), is_text("wave:python")
        (True, False)
    """
    return isinstance(value, str) and _TEXT.fullmatch(value) is not None


def object_of(text: str, key: str) -> Any:
    """Return the object that a text stands for.

    Args:
        text: of `text_of`.
        key: where it stands in the study, for error messages.

    Raises:
        InputError: if it is of another session.
    """
    if text not in _OBJECTS:
        raise InputError(
            f"{key} = {text!r} is a Python object that was passed to a study in another session, "
            "which nothing can identify now; accepted: the object itself, with a new directory, or "
            'a function of a file of yours as "module:function"'
        )
    return _OBJECTS[text].value


def texts_in(table: Any) -> Iterator[str]:
    """Yield the texts of objects in nested tables, each once."""
    seen: set[str] = set()
    yield from (t for t in _texts(table) if not (t in seen or seen.add(t)))


def names_in(table: Any) -> list[str]:
    """Return the names of the objects in nested tables."""
    return [named(text) for text in texts_in(table)]


def named(text: str) -> str:
    """Return a text with the names of objects in place of their texts.

    Example:
        >>> named("activation python:swish@1f0c2a9b-1")
        'activation swish'
    """
    return _TEXT.sub(lambda match: match[1], text)


def reproducible(text: str) -> str:
    """Return a text with fingerprints in place of what only this session knows."""

    def replaced(match: re.Match[str]) -> str:
        known = _OBJECTS.get(match[0])
        return f"python:{match[1]}:{known.fingerprint if known else ''}"

    return _TEXT.sub(replaced, text)


def fingerprint(value: Any) -> str:
    """Return a hash of what an object is made of, as far as that can be seen.

    Code with its constants and names, defaults, what functions close over, fields of modules, and
    numbers. Equal fingerprints do not prove that two objects do the same.
    """
    digest = hashlib.sha256()
    for part in _parts(value, [], 0):
        digest.update(part)
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def _name(value: Any) -> str:
    name = getattr(value, "__name__", None) or type(value).__name__
    if name.endswith("GradientTransformation") or name.endswith("GradientTransformationExtraArgs"):
        name = "transformation"
    return re.sub(r"[^\w.-]", "", str(name)) or "object"


def _texts(table: Any) -> Iterator[str]:
    if isinstance(table, Mapping):
        for inner in table.values():
            yield from _texts(inner)
    elif isinstance(table, list | tuple):
        for inner in table:
            yield from _texts(inner)
    elif is_text(table):
        yield table


def _parts(value: Any, above: list[int], depth: int) -> Iterator[bytes]:
    """Yield bytes that tell objects apart; of what holds itself only once."""
    if depth > _DEEPEST or id(value) in above:
        yield b"..."
        return
    yield type(value).__qualname__.encode()
    inner = [*above, id(value)]
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        yield repr(value).encode()
    elif isinstance(value, types.CodeType):
        yield value.co_code
        yield repr((value.co_names, value.co_varnames[: value.co_argcount])).encode()
        for constant in value.co_consts:
            yield from _parts(constant, inner, depth + 1)
    else:
        for part in _pieces(value):
            yield from _parts(part, inner, depth + 1)


def _pieces(value: Any) -> list[Any]:
    """Return what an object is made of."""
    if isinstance(value, Mapping):
        return [x for key in sorted(value, key=repr) for x in (str(key), value[key])]
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    if isinstance(value, types.FunctionType):
        cells = [_content(cell) for cell in value.__closure__ or ()]
        return [value.__code__, value.__defaults__, value.__kwdefaults__, *cells]
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if hasattr(value, "__array__") and not callable(value):
        array = np.asarray(value)
        return [array.tobytes(), str(array.dtype), array.shape]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [
            type(value).__module__,
            *(getattr(value, f.name, None) for f in dataclasses.fields(value)
              if f.name not in ("parent", "name")),
            *(m for m in vars(type(value)).values() if isinstance(m, types.FunctionType)),
        ]  # fmt: skip
    wrapped = getattr(value, "__wrapped__", None)
    return [getattr(value, "__module__", ""), getattr(value, "__qualname__", ""), wrapped]


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet filled
        return None
