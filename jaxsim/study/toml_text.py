"""A study's tables as the text of a TOML file, which means the same study."""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_WIDE = 88
"""Characters of a line beyond which a list has several: one for each value that is no number."""


def toml_text(
    table: Mapping[str, Any], at_end: Mapping[str, Sequence[Mapping[str, Any]]] | None = None
) -> str:
    """Return nested tables as TOML; keys that are None are left out, as if they were not set.

    Args:
        table: of texts, numbers, truth values, lists and tables.
        at_end: lists of tables that are long and follow all else, as blocks [[name]].

    Raises:
        ValueError: for anything else, and None in a list, which TOML cannot say.

    Example:
        >>> print(toml_text({"steps": 5, "grid": {"network.hidden": [[2], [4]]}}), end="")
        steps = 5
        <BLANKLINE>
        [grid]
        "network.hidden" = [[2], [4]]
        >>> print(toml_text({"checkpoints": list(range(1000, 1020))}), end="")
        checkpoints = [
            1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013,
            1014, 1015, 1016, 1017, 1018, 1019,
        ]
    """
    plain = {k: v for k, v in table.items() if not isinstance(v, Mapping)}
    sections = {k: v for k, v in table.items() if isinstance(v, Mapping)}
    blocks = ["\n".join(_lines(plain))] if plain else []
    blocks += [
        "\n".join([f"[{_key(name)}]", *_lines(section)]) for name, section in sections.items()
    ]
    for name, rows in (at_end or {}).items():
        blocks += ["\n".join([f"[[{_key(name)}]]", *_lines(row)]) for row in rows]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _lines(table: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, value in table.items():
        if value is None:
            continue
        line = f"{_key(name)} = {toml_value(value)}"
        if len(line) > _WIDE and isinstance(value, list | tuple) and len(value) > 1:
            parts = [f"{toml_value(v)}," for v in value]
            if all(isinstance(v, int | float) for v in value):
                parts = textwrap.wrap(" ".join(parts), _WIDE - 4)
            line = "\n    ".join([f"{_key(name)} = [", *parts]) + "\n]"
        lines.append(line)
    return lines


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_value(value: Any) -> str:
    """Return a value as TOML, on one line.

    Raises:
        ValueError: for what TOML cannot say.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else f"{value}"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_value(v) for v in value)}]"
    if isinstance(value, Mapping):
        inner = [f"{_key(k)} = {toml_value(v)}" for k, v in value.items() if v is not None]
        return f"{{ {', '.join(inner)} }}" if inner else "{}"
    raise ValueError(f"{value!r} cannot be said in TOML")
