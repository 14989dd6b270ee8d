"""From the grid of a study to its experiments, each with a label and an identity."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from jaxsim.errors import InputError
from jaxsim.study.read import check, set_key
from jaxsim.study.spec import ExperimentSpec, StudySpec

LARGEST_GRID = 100_000


class Variation(NamedTuple):
    """One experiment of a study.

    Attributes:
        label: unique within the study.
        spec: the resolved tables.
    """

    label: str
    spec: ExperimentSpec


def variations(study: StudySpec) -> list[Variation]:
    """Return the experiments of a study in their order.

    Raises:
        InputError: for a grid key that is not part of an experiment, an empty list of values, or
            two experiments that are the same.
    """
    base = study.model_dump(include=set(ExperimentSpec.model_fields), exclude_unset=True)
    found: list[Variation] = []
    for name, changes in _changes(study):
        table = copy.deepcopy(base)
        for key, value in changes.items():
            if key.split(".")[0] not in ExperimentSpec.model_fields:
                accepted = ", ".join(sorted(ExperimentSpec.model_fields))
                raise InputError(
                    f"{key!r} cannot vary between experiments; accepted: keys of {accepted}"
                )
            set_key(table, key, value)
        spec = check(table, ExperimentSpec)
        found.append(Variation(name, spec))
    _require_distinct(found)
    return found


def _changes(study: StudySpec) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (label, changed keys) of every experiment."""
    for key, values in study.grid.items():
        if not values:
            raise InputError(f'grid."{key}" = [] is empty; accepted: at least one value')
    size = max(len(study.experiment), 1)
    for values in study.grid.values():
        size *= len(values)
    if size > LARGEST_GRID:
        raise InputError(f"grid has {size} experiments; accepted: up to {LARGEST_GRID}")
    for explicit in study.experiment or [{}]:
        explicit = dict(explicit)
        given = explicit.pop("label", None)
        if given is not None and not isinstance(given, str):
            raise InputError(f"experiment.label = {given!r} is not accepted: it should be text")
        for values in itertools.product(*study.grid.values()):
            grid = dict(zip(study.grid, values, strict=True))
            names = [given] if given else [_name(k, v) for k, v in explicit.items()]
            names += [_name(k, v) for k, v in grid.items()]
            yield ", ".join(names) or study.name, {**explicit, **grid}


def _name(key: str, value: Any) -> str:
    """Return how a changed key appears in a label."""
    if isinstance(value, dict):
        value = value.get("name", value.get("law", json.dumps(value, sort_keys=True)))
    if isinstance(value, list):
        # A deep stack of equal widths is easier to read as a product.
        alike = len(value) > 2 and all(v == value[0] for v in value)
        value = f"{len(value)}x{value[0]}" if alike else "-".join(str(v) for v in value)
    last = key.split(".")[-1]
    return str(value) if last in ("name", "optimizer", "activation", "data") else f"{last} {value}"


def _require_distinct(found: list[Variation]) -> None:
    labels: dict[str, int] = {}
    texts: dict[str, str] = {}
    for label, spec in found:
        text = canonical(spec.model_dump())
        if text in texts:
            raise InputError(
                f"grid: the experiments {texts[text]!r} and {label!r} are the same; change or "
                "remove one"
            )
        texts[text] = label
        labels[label] = labels.get(label, 0) + 1
    for label, count in labels.items():
        if count > 1:
            raise InputError(f"experiment.label = {label!r} is used {count} times; choose others")


def canonical(tree: Any) -> str:
    """Return one text per meaning: sorted keys, no white space."""
    return json.dumps(tree, sort_keys=True, separators=(",", ":"))
