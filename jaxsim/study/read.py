"""From a study file and its overrides to a checked `StudySpec`."""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from jaxsim.errors import InputError
from jaxsim.registry import reason_of
from jaxsim.study.plain import plain, table_of
from jaxsim.study.spec import StudySpec
from jaxsim.study.toml_text import toml_value

LARGEST_FILE = 64 * 2**20
"""Bytes of a study file."""


def read_table(path: Path, what: str = "study") -> dict[str, Any]:
    """Return the content of a TOML file, which sentences call by what it is.

    Raises:
        InputError: if it cannot be read or is not TOML, with the place.
    """
    subject = f"{what} = {str(path)!r}"
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise InputError(
                f"{subject} has {size:,} bytes; accepted: up to {LARGEST_FILE:,}, and data in a "
                "file of their own (problem.data)"
            )
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{subject} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # of TOML, of UTF-8, integers too long to convert
        if isinstance(error, InputError):
            raise
        raise InputError(f"{subject} is not valid TOML: {error}") from None


def parse_setting(text: str) -> tuple[str, Any]:
    """Return (key, value) of a `key=value` setting; the value is TOML, or else plain text.

    Example:
        >>> parse_setting("optimizer.learning_rate=0.1")
        ('optimizer.learning_rate', 0.1)
        >>> parse_setting("optimizer.name=adam")
        ('optimizer.name', 'adam')

    Raises:
        InputError: if there is no equals sign or no key.
    """
    key, equals, value = text.partition("=")
    key, value = key.strip(), value.strip()
    if not equals or not key:
        raise InputError(f"--set {text!r} is not a setting; accepted: key=value, e.g. steps=500")
    try:
        table = tomllib.loads(f"value = {value}")
        if len(table) > 1:
            raise InputError(
                f"--set {key} = {value!r} is more than one setting; accepted: one key=value each"
            )
        return key, table["value"]
    except InputError:
        raise
    except (ValueError, RecursionError):
        if re.fullmatch(r"[A-Za-z_][\w.:*+-]*", value):
            return key, value
        raise InputError(
            f"--set {key} = {value!r} is not a TOML value; quote text, e.g. {key}='\"x**2\"'"
        ) from None


def set_key(table: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key in nested tables, creating the tables on the way.

    Raises:
        InputError: if a part of the key names something that is not a table.
    """
    *parents, last = key.split(".")
    for place, parent in enumerate(parents):
        inner = table.setdefault(parent, {})
        if isinstance(inner, str):
            # A bare name stands for a table that holds only the name.
            tag = "law" if parent in ("input", "noise", "weights", "biases") else "name"
            inner = table[parent] = {tag: inner}
        if not isinstance(inner, dict):
            raise InputError(
                f"{key} cannot be set: {'.'.join(parents[: place + 1])} = {inner!r} is not a table"
            )
        table = inner
    table[last] = copy.deepcopy(value)


def check(table: Mapping[str, Any], model: type[BaseModel] = StudySpec, where: str = "") -> Any:
    """Return the validated model of a table.

    Raises:
        InputError: one sentence for the first thing that is wrong.
    """
    try:
        return model.model_validate(dict(table))
    except ValidationError as error:
        raise _sentence(error, where) from None


def study_spec(table: Mapping[str, Any], settings: Sequence[str] = ()) -> StudySpec:
    """Return the checked study of a table with `key=value` settings applied."""
    return check(changed(table, map(parse_setting, checked_settings(settings))))


def quick_table(table: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a study's table with its own smaller settings, under a name of its own.

    Args:
        table: of the study.
        name: that it was asked for by.

    Raises:
        InputError: if the study has none.

    Example:
        >>> quick_table({"name": "a", "steps": 9, "quick": {"steps": 3}}, "a")
        {'name': 'a-quick', 'steps': 3}
    """
    settings = table.get("quick")
    if not settings or not isinstance(settings, Mapping):
        raise InputError(
            f"study = {name!r} has no table [quick] of smaller settings; accepted: a study with "
            "one, or --set, such as --set replicates=100"
        )
    smaller = {key: value for key, value in table.items() if key != "quick"}
    title = smaller.pop("title", None)
    smaller = changed(smaller, settings.items())
    own = f"{smaller.get('name')}-quick"
    return smaller | {"name": own} | ({"title": f"{title} (quick)"} if title else {})


ASKING = ("epsilon", "events")
"""Keys of which a study has one: the events that its runs are asked for."""

_TITLED = ("problem", "network", "optimizer", "training", "grid", "steps")
"""Tables and keys that a title may tell of."""
_LONGEST_TITLE = 160


def _written(value: Any) -> str:
    """Return a value as a study file has it, a text without quotes.

    Example:
        >>> _written({"network.hidden": [[10], [100]]}), _written("sin(x)"), _written(True)
        ('{ "network.hidden" = [[10], [100]] }', 'sin(x)', 'true')
    """
    try:
        return value if isinstance(value, str) else toml_value(value)
    except ValueError:  # an object of the user's own
        return str(value)


def changed(table: Mapping[str, Any], settings: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return a study's table with keys set; `events` replace its `epsilon`, and the reverse.

    Raises:
        InputError: if both are set, or as `set_key`.
    """
    updated, asking = table_of(table), set()
    settings = list(settings)
    if any(key == "title" for key, _ in settings):
        stated = []
    else:
        stated = [
            f"{key} = {_written(value)}" for key, value in settings if key.split(".")[0] in _TITLED
        ]
    if stated and updated.get("title"):
        # Its own title tells of the study as it stands in the file.
        updated["title"] = f"{updated.get('name')} with {', '.join(stated)}"[:_LONGEST_TITLE]
    for key, value in settings:
        top = key.split(".")[0]
        if top in ASKING and top not in asking:
            asking.add(top)
            if updated.get(top) is None and len(asking) == 1:
                updated.pop(next(other for other in ASKING if other != top), None)
        set_key(updated, key, plain(value, key))
    updated = plain(updated)
    if all(updated.get(key) is not None for key in ASKING):
        raise InputError(
            f"events = {updated['events']!r} is not accepted beside epsilon = "
            f"{updated['epsilon']!r}: give the latter as events.above_optimum"
        )
    return updated


def checked_settings(settings: Any) -> Sequence[str]:
    """Return settings.

    Raises:
        InputError: if they are not a list of texts.
    """
    if isinstance(settings, str) or not isinstance(settings, Sequence):
        raise InputError(
            f"settings = {settings!r} is not accepted: it should be a list of texts such as "
            '["steps=500"]'
        )
    for text in settings:
        if not isinstance(text, str):
            raise InputError(f"settings holds {text!r}; accepted: texts such as 'steps=500'")
    return settings


def _sentence(error: ValidationError, where: str) -> InputError:
    problems = error.errors()
    # Of a union's failures the deepest place is the one the user meant.
    first = max(problems, key=lambda e: (e["type"] == "extra_forbidden", -problems.index(e)))
    place = [str(p) for p in first["loc"] if not _is_union_tag(p)]
    key = ".".join([*([where] if where else []), *place])
    if first["type"] == "extra_forbidden":
        accepted = ", ".join(sorted(_fields_at(place[:-1])))
        return InputError(f"{key} = {first['input']!r} is not a key; accepted: {accepted}")
    if first["type"] == "missing":
        return InputError(f"{key} is missing; it is required")
    reasons = [
        reason_of(e)
        for e in problems
        if [str(p) for p in e["loc"] if not _is_union_tag(p)] == place
    ]
    if not key:  # two keys that do not go together, which the reason names
        return InputError("; or ".join(reasons))
    return InputError(f"{key} = {first['input']!r} is not accepted: {'; or '.join(reasons)}")


def _is_union_tag(part: Any) -> bool:
    """Pydantic names the branches of a union in the location; a user's key never looks so."""
    return isinstance(part, str) and bool(
        re.search(r"[\[(]|^(str|int|float|bool|dict|list|constrained-int|constrained-float)$", part)
    )


def _fields_at(place: list[str]) -> list[str]:
    model: Any = StudySpec
    for part in place:
        if part.isdigit():
            continue
        field = model.model_fields.get(part)
        inner = None
        if field is not None:
            candidates = [field.annotation, *getattr(field.annotation, "__args__", ())]
            inner = next(
                (c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None
            )
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)
