"""A table of the study format, and which of its keys were stated."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Table = dict[str, Any]
NameOrTable = str | Table
Positive = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A table of the study file: unknown keys are errors, types are strict."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def without_defaults(section: type[Section], dumped: Table, *keys: str) -> Table:
    """Return a dumped table without those of the keys that have their default.

    For keys that older versions did not know: identities derive from these tables.
    """
    fields = section.model_fields
    return {k: v for k, v in dumped.items() if k not in keys or v != fields[k].default}


def written(section: Section) -> set[str]:
    """Return the keys of a table that its writer stated.

    Resolved tables, such as those of a result directory, state every key; they show by a key that
    is null, which TOML cannot say. Of them, what differs from its default was stated.
    """
    fields = type(section).model_fields
    stated = section.model_fields_set
    if not any(getattr(section, key) is None for key in stated):
        return set(stated)
    return {
        key
        for key in stated
        if getattr(section, key) != fields[key].get_default(call_default_factory=True)
    }
