"""From the grid of a study to its experiments, each with a label and an identity."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from jaxsim import session
from jaxsim.errors import InputError, shown
from jaxsim.study.experiment_spec import ExperimentSpec
from jaxsim.study.read import check, set_key
from jaxsim.study.spec import StudySpec
from jaxsim.study.variables import filled_in, grid_size

LARGEST_GRID = 100_000
LONGEST_LABEL = 200


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
    variation_list: list[Variation] = []
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
        variation_list.append(Variation(name, spec))
    _require_distinct(variation_list)
    return variation_list


def _changes(study: StudySpec) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (label, changed keys) of every experiment."""
    for key, values in study.grid.items():
        if not values:
            raise InputError(f'grid."{key}" = [] is empty; accepted: at least one value')
    size = grid_size(study.experiment, study.variables, study.grid)
    if size > LARGEST_GRID:
        raise InputError(f"grid has {size} experiments; accepted: up to {LARGEST_GRID}")
    axes = {key: _axis(key, values) for key, values in study.grid.items()}
    stated = list(study.experiment)
    if study.variables:
        stated = list(filled_in(stated, study.variables))
    for name, explicit in _explicit(stated or [{}]):
        for choice in itertools.product(*axes.values()):
            names = [n for n in (name, *(n for n, _ in choice)) if n]
            grid = {key: value for key, (_, value) in zip(axes, choice, strict=True)}
            label = ", ".join(names) or study.name
            yield " ".join(label.split()), {**explicit, **grid}


def _explicit(experiments: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Return (name in labels, changed keys) of the explicit experiments."""
    labels = [_label(e.get("label"), "experiment.label") for e in experiments]
    tables = [{k: v for k, v in e.items() if k != "label"} for e in experiments]
    names = [", ".join(_name(k, v) for k, v in table.items()) for table in tables]
    return list(zip(_told_apart(names, labels, tables), tables, strict=True))


def _label(given: Any, key: str) -> str | None:
    if given is not None and (not isinstance(given, str) or not given.strip()):
        raise InputError(f"{key} = {given!r} is not accepted: it should be text")
    if given is not None and shown(given) != given:
        raise InputError(f"{key} = {given!r} is not accepted: it should be one line")
    if given is not None and len(given) > LONGEST_LABEL:
        raise InputError(
            f"{key} = {given!r} has {len(given)} characters; accepted: {LONGEST_LABEL}"
        )
    return given


def _axis(key: str, values: list[Any]) -> list[tuple[str, Any]]:
    """Return (name in labels, value) of the values of a grid's key.

    A table may have a `label` of its own. Names of tables that are equal, as two with the same
    `name`, are told apart by what differs between these tables.
    """
    labels, tables = [], []
    for value in values:
        table, label = value, None
        if isinstance(value, dict) and "label" in value and key.split(".")[-1] != "data":
            label = _label(value["label"], f'grid."{key}".label')
            table = {k: v for k, v in value.items() if k != "label"}
        labels.append(label)
        tables.append(table)
    names = [_name(key, table) for table in tables]
    return list(zip(_told_apart(names, labels, tables), tables, strict=True))


def _told_apart(names: list[str], labels: list[str | None], tables: list[Any]) -> list[str]:
    """Return the labels, or names with what differs between tables whose names are equal."""
    distinct = [label or name for label, name in zip(labels, names, strict=True)]
    for name in {n for n in names if names.count(n) > 1}:
        alike = [i for i, n in enumerate(names) if n == name and labels[i] is None]
        flat = {i: flattened(tables[i]) for i in alike}
        keys = dict.fromkeys(k for f in flat.values() for k in f)
        varying = [k for k in keys if len({canonical(f.get(k)) for f in flat.values()}) > 1]
        for number, i in enumerate(alike, start=1):
            if any(session.texts_in(tables[i])):  # functions of one name: nothing else is known
                distinct[i] = name if number == 1 else f"{name} ({number})"
                continue
            distinct[i] = ", ".join(
                [name, *(_name(k, flat[i][k]) for k in varying if k in flat[i])]
            )
    return distinct


def flattened(table: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested tables as one with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in table.items() if isinstance(table, dict) else ():
        name = f"{prefix}{key}"
        flat |= flattened(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


def _name(key: str, value: Any) -> str:
    """Return how a changed key appears in a label."""
    if isinstance(value, dict):
        passed = next(session.texts_in(value), None)
        value = passed or value.get("name", value.get("law", json.dumps(value, sort_keys=True)))
    if isinstance(value, list):
        # A deep stack of equal widths is easier to read as a product.
        alike = len(value) > 2 and all(v == value[0] for v in value)
        value = f"{len(value)}x{value[0]}" if alike else "-".join(str(v) for v in value)
    last, value = key.split(".")[-1], session.named(str(value))
    return value if last in ("name", "optimizer", "activation", "data") else f"{last} {value}"


def _require_distinct(found: list[Variation]) -> None:
    labels: dict[str, int] = {}
    texts: dict[str, str] = {}
    for label, spec in found:
        text = canonical(meaning(spec.model_dump()))
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


def meaning(tree: Any) -> Any:
    """Return tables in which 1 and 1.0, and a name and a table of it alone, are the same."""
    if isinstance(tree, dict):
        alone = next(iter(tree.items())) if len(tree) == 1 else ("", None)
        if alone[0] in ("name", "law") and isinstance(alone[1], str):
            return alone[1]
        return {k: meaning(v) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return [meaning(v) for v in tree]
    whole = isinstance(tree, int) and not isinstance(tree, bool)
    return float(tree) if whole and abs(tree) < 2**53 else tree


def canonical(tree: Any) -> str:
    """Return one text per meaning: sorted keys, no white space."""
    return json.dumps(tree, sort_keys=True, separators=(",", ":"))
