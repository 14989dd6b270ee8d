"""Tables of the documentation that are made from the code: keys, names, columns.

A topic marks where a table belongs:

    <!-- table: study keys -->
    ...
    <!-- end -->

What stands between is written by `python -m jaxsim.explain.tables` from the study format, the
registries' signatures and the docstrings' attributes, and a test compares it with them.
"""

from __future__ import annotations

import inspect
import json
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from jaxsim.estimation import Estimate, PairedComparison, PairedCounts
from jaxsim.network.activations import ACTIVATIONS
from jaxsim.network.initializers import INITIALIZERS
from jaxsim.optimizer import others
from jaxsim.optimizer.methods import METHODS
from jaxsim.optimizer.schedules import SCHEDULES
from jaxsim.problem.input_laws import INPUT_LAWS
from jaxsim.problem.losses import LOSSES
from jaxsim.problem.noise import NOISES
from jaxsim.questions.answer import Answer
from jaxsim.questions.design import StratumAnswer
from jaxsim.questions.pairs import ComparisonAnswer
from jaxsim.questions.published import PublishedComparison
from jaxsim.results.frame import COLUMNS
from jaxsim.results.schema import STORED
from jaxsim.study.spec import StudySpec
from jaxsim.training.records import Records

_MARKED = re.compile(r"(<!-- table: ([\w. ]+) -->\n).*?(<!-- end -->)", re.S)


def renewed(text: str) -> str:
    """Return the text of a topic with the marked tables as the code has them now."""
    return _MARKED.sub(lambda m: f"{m[1]}\n{TABLES[m[2]]()}\n{m[3]}", text)


def attributes(documented: Any) -> dict[str, str]:
    """Return the attributes that a Google docstring describes, each as one line.

    Example:
        >>> attributes(PairedCounts)["neither"]
        'both pass.'
    """
    _, _, block = (inspect.getdoc(documented) or "").partition("Attributes:\n")
    entries: dict[str, str] = {}
    last = ""
    for line in block.splitlines():
        if line and not line.startswith("    "):
            break
        entry = re.match(r"    (\w+): (.*)", line)
        if entry:
            last = entry[1]
            entries[last] = entry[2]
        elif line.strip() and last:
            entries[last] += f" {line.strip()}"
    return entries


def _rows(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *map(list, rows)]
    return "".join(f"| {' | '.join(c.replace('|', chr(92) + '|') for c in r)} |\n" for r in lines)


def _columns(described: Mapping[str, str]) -> str:
    return _rows(["column", "meaning"], ([f"`{k}`", v] for k, v in described.items()))


# --- columns of results ------------------------------------------------------------------------


AXES = {
    "problem.target, optimizer.name, ...": "one column for each key in which experiments differ."
}


def shard_columns() -> dict[str, str]:
    """Return the columns of the files in shards/: one row per replicate."""
    return {STORED.get(name, name): text for name, text in attributes(Records).items()}


def row_columns() -> dict[str, str]:
    """Return the columns of exports and `Results.to_pandas`: one row per replicate and step."""
    label = {"experiment": COLUMNS["experiment"]}
    return label | AXES | COLUMNS


def estimate_columns() -> dict[str, str]:
    """Return the columns of estimates.csv."""
    of = attributes(Estimate)
    return {
        "experiment": of.pop("experiment"),
        **AXES,
        **of,
        "risk_over": "rows of a data set that the risk is over, or the law of X.",
        "constant": "runs whose network is constant on the whole support at this step.",
        "permanent_failures": (
            "runs certified to fail in all further training; at the last step only."
        ),
        "permanent_evidence": "what these certificates rest on, in the same words.",
        "liminf": (
            "lower bound of liminf P(L(Theta_n) > inf L + eps), one-sided at the study's "
            "confidence; at the last step only."
        ),
        "liminf_evidence": "what it rests on, in the same words.",
        "liminf_reason": "how it is known.",
        "failing_permanent": "failing runs that fail for ever, certified; at the last step only.",
        "failing_minima": "failing runs at a local minimum after polishing, checked numerically.",
        "failing_falling": "failing runs whose risk fell at each of the last checkpoints.",
        "failing_descends": "failing runs that noise-free descent leads to or below inf L + eps.",
        "failing_undecided": "failing runs of which no more is known.",
    }


def strata_columns() -> dict[str, str]:
    """Return the columns of strata.csv."""
    of = attributes(StratumAnswer)
    return {
        "experiment": "label.",
        **AXES,
        "design": '"strata", "splitting" or "post-stratified".',
        "stratum": "its place in the design, from 0.",
        "text": of["text"],
        "event": "kind of the event.",
        "eps": "threshold of the event.",
        "step": "the last checkpoint.",
        "inactive_least": of["least"],
        "inactive_most": of["most"],
        "width": of["width"],
        "probability": "of the stratum.",
        "probability_error": of["error"],
        "runs": of["runs"],
        "families": of["families"],
        "decided": "whether all of its runs fail by proof.",
        "failures": "runs that certainly fail.",
        "undecided": "runs of which it is not known.",
        "estimate": (
            "of the failure probability in the stratum: 1 by proof, or from its runs, or from "
            "families if it has any; empty where there are none, or where they leave it open."
        ),
        "lower": "lower end of the exact interval of that from its runs, for itself.",
        "upper": "upper end.",
        "product": "probability times estimate: what the stratum adds.",
        "doubts": "why the estimate of families is not one; empty where it is.",
    }


def quantile_columns() -> dict[str, str]:
    """Return the columns of quantiles.csv."""
    return {
        "experiment": "label.",
        **AXES,
        "step": "number n of training steps.",
        "level": "of the quantile, in (0, 1).",
        "quantile": "of the true risk over the runs; infinite if it is a diverged run.",
        "lower": "lower end of its interval; infinite if there are too few runs.",
        "upper": "upper end.",
        "confidence": "of the interval.",
        "method": "how the interval is made.",
        "risk_over": "rows of a data set that the risk is over, or the law of X.",
    }


def comparison_columns() -> dict[str, str]:
    """Return the columns of comparisons.csv."""
    named, result = attributes(ComparisonAnswer), attributes(PairedComparison)
    counts = attributes(PairedCounts)
    del result["counts"]
    at = list(named).index("result")
    items = list(named.items())
    over = {"risk_over": "rows of a data set that the risks are over, or the law of X."}
    return dict([*items[:at], *counts.items(), *result.items(), *items[at + 1 :]]) | over


def answer_keys() -> str:
    """Return tables of the keys of answer.json, one per kind of object."""
    parts = []
    for model in _models(Answer):
        described = attributes(model)
        rows = [(f"`{key}`", described.get(key, "")) for key in _fields(model)]
        name = model.__name__.removesuffix("Answer") or "Answer"
        parts.append(f"**{name}**\n\n{_rows(['key', 'meaning'], rows)}")
    return "\n".join(parts)


def _fields(model: Any) -> list[str]:
    if issubclass(model, BaseModel):
        return list(model.model_fields)
    return list(typing.get_type_hints(model))


def _models(root: Any) -> list[Any]:
    """Return a model and those of its fields, each once, from the outside to the inside."""
    models = [root]
    for model in models:
        for annotation in typing.get_type_hints(model).values():
            models += [m for m in _classes(annotation) if m not in models]
    return models


def _classes(annotation: Any) -> Iterator[Any]:
    if isinstance(annotation, type) and attributes(annotation) and annotation is not dict:
        yield annotation
    for part in typing.get_args(annotation):
        yield from _classes(part)


# --- keys of study files ------------------------------------------------------------------------


def study_keys() -> str:
    """Return tables of all keys of a study file, one per TOML table."""
    defs = StudySpec.model_json_schema()["$defs"]
    parts = []
    for name, model in _sections(StudySpec, ""):
        fields = model.model_json_schema()["properties"]
        rows = [
            (f"`{key}`", _type(fields[key], defs), _default(field), field.description or "")
            for key, field in model.model_fields.items()
            if not _section(field)
        ]
        title = f"`[{name}]`" if name else "top level"
        parts.append(f"**{title}**\n\n{_rows(['key', 'accepts', 'default', 'meaning'], rows)}")
    return "\n".join(parts)


def _sections(model: type[BaseModel], name: str) -> Iterator[tuple[str, type[BaseModel]]]:
    yield name, model
    for key, field in model.model_fields.items():
        inner = _section(field)
        if inner:
            yield from _sections(inner, f"{name}.{key}" if name else key)


def _section(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model of the TOML table that a key holds; None if it holds none of its own."""
    candidates = [field.annotation, *typing.get_args(field.annotation)]
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)


def _type(field: dict, defs: dict) -> str:
    """Return a JSON schema's type in a few words."""
    if "$ref" in field:
        return _type(defs[field["$ref"].rsplit("/", 1)[1]], defs)
    if "anyOf" in field:
        parts = [_type(one, defs) for one in field["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(parts))
    if "const" in field:
        return _literal(field["const"])
    if "enum" in field:
        return ", ".join(map(_literal, field["enum"]))
    kind = field.get("type", "any value")
    if kind == "array":
        return f"list of {_type(field.get('items', {}), defs)}"
    words = {"string": "text", "object": "table", "boolean": "true or false"}
    text = words.get(kind, kind)
    signs = {
        "minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<",
    }  # fmt: skip
    bounds = [f"{sign} {field[key]:,}" for key, sign in signs.items() if key in field]
    return f"{text} {' and '.join(bounds)}".strip()


def _literal(value: Any) -> str:
    return f'`"{value}"`' if isinstance(value, str) else f"`{str(value).lower()}`"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value == "" or value == {}:
        return ""
    return f"`{json.dumps(value)}`"


# --- registered names ---------------------------------------------------------------------------


def names_of(registry: Mapping[str, Callable[..., Any]]) -> str:
    """Return a table of the names of a registry with their parameters and first sentences."""
    return _rows(
        ["name", "parameters", "meaning"],
        (
            (f"`{name}`", _parameters(inspect.signature(factory).parameters), _meaning(factory))
            for name, factory in registry.items()
        ),
    )


def other_optimizers() -> str:
    """Return a table of the further optimizers with their hyperparameters."""
    return _rows(
        ["name", "parameters"],
        ((f"`{n}`", _parameters(others.hyperparameters(n))) for n in sorted(others.others())),
    )


def _parameters(parameters: Mapping[str, inspect.Parameter]) -> str:
    def one(name: str, parameter: inspect.Parameter) -> str:
        if parameter.default is inspect.Parameter.empty:
            return f"`{name}`"
        default = parameter.default
        if default is None:
            return f"`{name}` (optional)"
        text = {True: "true", False: "false"}.get(default) if isinstance(default, bool) else None
        shown = text or (f'"{default}"' if isinstance(default, str) else f"{default}")
        return f"`{name} = {shown}`"

    return ", ".join(one(*item) for item in parameters.items())


def _meaning(factory: Callable[..., Any]) -> str:
    first = (inspect.getdoc(factory) or "").split("\n\n")[0].replace("\n", " ")
    return first.removeprefix("Return ")


TABLES: dict[str, Callable[[], str]] = {
    "study keys": study_keys,
    "input laws": lambda: names_of(INPUT_LAWS),
    "noises": lambda: names_of(NOISES),
    "losses": lambda: names_of(LOSSES),
    "activations": lambda: names_of(ACTIVATIONS),
    "initializers": lambda: names_of(INITIALIZERS),
    "methods": lambda: names_of(METHODS),
    "other optimizers": other_optimizers,
    "schedules": lambda: names_of(SCHEDULES),
    "shards": lambda: _columns(shard_columns()),
    "rows": lambda: _columns(row_columns()),
    "estimates": lambda: _columns(estimate_columns()),
    "strata": lambda: _columns(strata_columns()),
    "quantiles": lambda: _columns(quantile_columns()),
    "comparisons": lambda: _columns(comparison_columns()),
    "published": lambda: _columns(attributes(PublishedComparison)),
    "answer": answer_keys,
}
"""Tables by the names that the topics call them."""


def main() -> None:
    """Renew the tables of all topics."""
    for path in sorted(Path(__file__).parent.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        path.write_text(renewed(text), encoding="utf-8")


if __name__ == "__main__":
    main()
