"""What is trained, in a table: the facts of a study that a reader needs before its numbers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxsim.report.text import counted, joined
from jaxsim.study.catalogue import ready_table, sources
from jaxsim.study.read import study_spec
from jaxsim.study.spec import StudySpec
from jaxsim.training.experiment import Experiment

MOST = 8
"""Values of a fact that differs between experiments."""
FEW_NUMBERS = 5
"""Numbers that differ and are written out: of more it is said from where to where they go."""
_PLAIN = re.compile(r"-?\d+(,\d{3})*(\.\d+)?(e[+-]?\d+)?")
LONGEST = 400
"""Letters of a value,"""
LONGEST_OF_SEVERAL = 60
"""and of one of several."""
MOST_NUMBERS = 12
"""Numbers of a list that are written out."""
MOST_EQUAL = 5
"""Layers of one width in a row that are not counted instead."""
TAGS = ("law", "name", "kind", "schedule")
"""Keys that say which of several things a table is."""


def setup(experiments: Sequence[Experiment]) -> list[tuple[str, str]]:
    """Return names and values of facts; those that differ between experiments say so.

    Args:
        experiments: of a study.
    """
    rows = []
    for name, value_of in _FACTS.items():
        values = list(dict.fromkeys(filter(None, map(value_of, experiments))))
        if not values:
            continue
        rows.append((name, values[0] if len(values) == 1 else _different(values)))
    return [(name, _cut(value, LONGEST)) for name, value in rows]


def source_of(spec: StudySpec) -> str:
    """Return the source that a study of the catalogue reproduces; nothing for other studies.

    Args:
        spec: of the study, known by its name and its problem.
    """
    for source in sources():
        for name in source.studies:
            if name.replace("/", "-") != spec.name.removesuffix("-quick"):
                continue
            ready = study_spec(ready_table(name))
            same = ready.problem.model_dump() == spec.problem.model_dump()
            return source.citation if same else ""
    return ""


def _different(values: Sequence[str]) -> str:
    """Return values that differ, with the words that they share said once.

    Example:
        >>> _different(["1-4-1 relu, 13 parameters", "1-4-1 tanh, 13 parameters"])
        '1-4-1 [differs: relu or tanh], 13 parameters'
        >>> _different(["sgd (rate = 1)", "adam (rate = 2)"])
        '[differs: sgd (rate = 1) or adam (rate = 2)]'
        >>> _different(["a (b = 1)", "a (b = 2)"])
        'a (b = [differs: 1 or 2])'
        >>> _different([f"{n} neurons" for n in (16, 32, 64, 128, 256, 1024)])
        '[differs: 6 numbers from 16 to 1024] neurons'
    """
    words = [value.split(" ") for value in values]
    least = min(map(len, words))
    first = next((k for k in range(least) if len({w[k] for w in words}) > 1), least)
    room = least - first
    last = next((k for k in range(room) if len({w[-1 - k] for w in words}) > 1), room)
    shared = words[0]
    parts = [" ".join(w[first : len(w) - last]) for w in words]
    end = ""
    while all(parts) and len(ends := {part[-1] for part in parts}) == 1 and _loose(parts):
        end = ends.pop() + end
        parts = [part[:-1] for part in parts]
    parts = [part or "nothing" for part in parts]
    shown = " or ".join(parts[:MOST])
    numbers = [float(p.replace(",", "")) for p in parts if _PLAIN.fullmatch(p)]
    if len(parts) > FEW_NUMBERS and len(numbers) == len(parts):
        low, high = (parts[numbers.index(end)] for end in (min(numbers), max(numbers)))
        shown = f"{len(parts):,} numbers from {low} to {high}"
    elif len(parts) > MOST:
        shown += f" or {len(parts) - MOST:,} others"
    if max(map(len, parts)) > LONGEST_OF_SEVERAL:
        shown = f"{len(parts):,} kinds, see the study"
    return " ".join([*shared[:first], f"[differs: {shown}]{end}", *shared[len(shared) - last :]])


def _loose(parts: Sequence[str]) -> bool:
    """Return whether the last letter of all parts belongs to what surrounds them."""
    if parts[0][-1] == ")":
        return all(part.count(")") > part.count("(") for part in parts)
    return parts[0][-1] in ",;"


def said(value: Any) -> str:
    """Return a value of a study file in words: what it is called, and its options.

    Example:
        >>> said({"law": "uniform", "low": -1.0, "high": 1.0})
        'uniform (low = -1, high = 1)'
        >>> said({"law": "points", "points": [[0.0, 1.0], [1.0, 1.0]]})
        'points [[0, 1], [1, 1]]'
    """
    if isinstance(value, Mapping):
        name = next((str(value[tag]) for tag in TAGS if tag in value), "")
        options = [
            f"{key} = {said(one)}"
            for key, one in value.items()
            if one is not None and not (key in TAGS and str(one) == name)
        ]
        if not name:
            return ", ".join(options)
        if list(value)[1:] == [name]:  # points = [..] of the law "points"
            return f"{name} {said(value[name])}"
        return f"{name} ({', '.join(options)})" if options else name
    if isinstance(value, list | tuple):
        if len(value) > MOST_NUMBERS:
            return f"{len(value):,} values"
        return f"[{', '.join(map(said, value))}]"
    if isinstance(value, bool):
        return "yes" if value else "none"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _inputs(e: Experiment) -> str:
    problem = e.spec.get("problem", {})
    if problem.get("data") is not None:
        return f"data set {said(problem['data'])}"
    return said(problem.get("input"))


def _target(e: Experiment) -> str:
    problem = e.spec.get("problem", {})
    target = problem.get("target")
    if target is None:
        return ""
    noise = problem.get("noise")
    return said(target) + ("" if noise in (None, "none") else f" + noise, {said(noise)}")


def _sizes(widths: Sequence[int]) -> str:
    """Return widths of layers with dashes; of many equal ones in a row how many there are.

    Example:
        >>> _sizes([1, 4, 4, 1]), _sizes([1] + [2] * 9 + [1])
        ('1-4-4-1', '1-2-...-2-1 (9 layers of 2)')
    """
    parts, told = [], []
    for width, run in itertools.groupby(widths):
        count = len(list(run))
        long = count >= MOST_EQUAL
        parts.append(f"{width}-...-{width}" if long else "-".join([str(width)] * count))
        told += [f"{count} layers of {width}"] if long else []
    return "-".join(parts) + (f" ({', '.join(told)})" if told else "")


def _network(e: Experiment) -> str:
    module = e.spec.get("network", {}).get("module")
    if module is not None:
        return said(module)
    sizes = _sizes((e.network.inputs, *e.network.hidden, e.network.outputs))
    return sizes if e.network.hidden else f"{sizes}, without a hidden layer"


def _activation(e: Experiment) -> str:
    network = e.spec.get("network", {})
    hidden = e.network.hidden and network.get("module") is None
    return said(network.get("activation")) if hidden else ""


def _initial(key: str) -> Callable[[Experiment], str]:
    """Return what says the law of initial weights or biases."""

    def value_of(e: Experiment) -> str:
        network = e.spec.get("network", {})
        value = network.get(key)
        if value is None or network.get("module") is not None:
            return ""
        if isinstance(value, list):
            return f"layer by layer: {', '.join(map(said, value))}"
        return said(value)

    return value_of


def _fixed(e: Experiment) -> str:
    return joined([str(part) for part in e.spec.get("network", {}).get("freeze") or []])


def _training(e: Experiment) -> str:
    if e.steps == 0:
        return "none: networks as they are initialized"
    return f"{counted(e.steps, 'step')} in {e.precision}"


def _batches(e: Experiment) -> str:
    one = e.training_set
    if e.steps == 0:
        return ""
    if e.batch_size == "population":
        return "none: the exact gradient of the true risk"
    if one is None:
        of = "rows of the data set" if e.spec.get("problem", {}).get("data") else "fresh samples"
        text = f"{e.batch_size} {of} in each step"
    else:
        drawn = "drawn anew for each run" if one.scope == "replicate" else "the same for all runs"
        many = "all" if e.batch_size == "full" else str(e.batch_size)
        text = f"{many} of a training set of {one.size:,} samples, {drawn}"
    return f"{text}; one sequence of mini-batches for all runs" if e.shared_batches else text


_FACTS: dict[str, Callable[[Experiment], str]] = {
    "input X": _inputs,
    "target Y": _target,
    "loss": lambda e: said(e.spec.get("problem", {}).get("loss")),
    "network": _network,
    "activation": _activation,
    "parameters": lambda e: f"{e.network.size:,}",
    "initial weights": _initial("weights"),
    "initial biases": _initial("biases"),
    "not trained": _fixed,
    "optimizer": lambda e: said(e.spec.get("optimizer")) if e.steps else "",
    "mini-batches": _batches,
    "training": _training,
}
"""Name of a fact -> its value for an experiment."""
