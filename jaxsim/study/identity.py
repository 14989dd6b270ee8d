"""What an experiment is known by: the texts that its keys, files and compiled programs derive from.

Each text holds what the thing depends on and nothing else, so that equal things are shared: one
draw for all optimizers of a network, one program for a sweep over learning rates. What a study
only refers to, data files and the user's own modules, enters with the hash of its content.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from jaxsim import session
from jaxsim.network.network import Network
from jaxsim.problem.problem import Problem
from jaxsim.problem.user_code import identity_of, is_reference
from jaxsim.study.expand import canonical
from jaxsim.training.keys import identity_words


class Identity(NamedTuple):
    """The fields of the same names of an `Experiment`."""

    key_words: tuple[int, int]
    id: str
    initialization_key: str
    training_key: str
    evaluation_key: str
    hypothesis_class: str
    optimum_key: str
    training_structure: str


def identify(
    dump: dict[str, Any],
    problem: Problem,
    network: Network,
    seed: int,
    paired: tuple[str, ...],
    base: Path | None,
    error_rate: bool = False,
    activation_pattern: bool = False,
) -> Identity:
    """Return the identity of the experiment with the given resolved tables.

    Args:
        dump: the experiment's tables with every default, after all they refer to was loaded.
        problem: what [problem] means.
        network: what [network] means.
        seed: of the study.
        paired: tables left out of what the random numbers derive from.
        base: directory that relative paths refer to.
        error_rate: whether error rates are recorded beside the risks: files and compiled
            evaluations of their own, the same runs.
        activation_pattern: the same of changes of activation patterns.
    """
    tables = copy.deepcopy(dump)
    for section in ("problem", "network"):
        content = list(_content(tables[section], base))
        if content:
            tables[section]["content"] = content
    shape = (network.inputs, network.outputs)
    recorded = ["error rate"] if error_rate else []
    recorded += ["activation pattern"] if activation_pattern else []
    # The first directories of such studies have runs whose random numbers came from all rows.
    own_rows = ["random numbers of the training rows"] if _has_share(tables["problem"]) else []
    named = canonical([seed, tables, *recorded, *own_rows])
    return Identity(
        key_words=identity_words(_random(tables, problem, paired, base)),
        id="".join(f"{word:08x}" for word in identity_words(named)),
        initialization_key=canonical([tables["network"], *shape, tables["precision"]]),
        training_key=_program(tables, problem, seed),
        evaluation_key=_evaluation(tables, problem, network, [seed], recorded),
        hypothesis_class=_family(tables, network),
        optimum_key=_optimum(tables, network),
        training_structure=_structure(tables, problem, network, seed),
    )


def _content(table: Any, base: Path | None) -> Iterator[str]:
    """Yield the SHA-256 of every file and of all own modules that a table refers to."""
    if isinstance(table, list):
        for inner in table:
            yield from _content(inner, base)
    if not isinstance(table, dict):
        return
    for key, value in table.items():
        if key == "path" and isinstance(value, str):
            yield hashlib.sha256(((base or Path()) / value).read_bytes()).hexdigest()
        elif key in ("function", "module") and is_reference(value):
            yield from identity_of(value, key)
        else:
            yield from _content(value, base)


def _has_share(problem: dict[str, Any]) -> bool:
    """Return whether a share of the rows of a user's file is held out."""
    data = problem["data"]
    test = data.get("test") if isinstance(data, dict) and "path" in data else None
    return isinstance(test, dict) and "path" not in test


def _rows(law: Problem) -> str:
    """Return the SHA-256 of the points of a data set and their labels."""
    assert law.law.finite is not None
    parts = law.law.finite[0], law.targets_at_points()
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def _random(
    tables: dict[str, Any], means: Problem, paired: tuple[str, ...], base: Path | None
) -> str:
    """How long it runs, where it is observed and how its risk is computed do not change a run.

    Nor do rows that are held out.
    """
    problem = {k: v for k, v in tables["problem"].items() if k not in ("risk", "optimum")}
    if isinstance(problem["data"], dict):
        data = {k: v for k, v in problem["data"].items() if k != "risk_over"}
        problem["data"] = data
        if isinstance(data.get("test"), dict) and "path" in data["test"]:
            del data["test"]
            problem["content"] = list(_content({**problem, "content": None}, base))
        if _has_share(problem):
            others = _content({**problem, "content": None, "data": None}, base)
            problem["content"] = [_rows(means.trained_on), *others]
    kept = {k: tables[k] for k in ("network", "optimizer", "training", "precision")}
    kept["problem"] = problem
    # Of objects passed from Python the code: the same script draws the same numbers again.
    return session.reproducible(canonical({k: v for k, v in kept.items() if k not in paired}))


def _program(tables: dict[str, Any], problem: Problem, seed: int) -> str:
    """Learning rate (unless a schedule), steps and checkpoints are data to a compiled training.

    The seed is, too, but for gradients of true risks that are averages over random points.
    """
    kept = {k: tables[k] for k in ("network", "training", "precision")}
    kept["problem"] = {k: v for k, v in tables["problem"].items() if k != "optimum"}
    traced = not isinstance(tables["optimizer"].get("learning_rate"), dict)
    kept["optimizer"] = {
        k: v for k, v in tables["optimizer"].items() if not (traced and k == "learning_rate")
    }
    closes_over_points = tables["training"]["batch_size"] == "population" and _drawn(problem)
    return canonical([kept, seed] if closes_over_points else kept)


def _structure(tables: dict[str, Any], problem: Problem, network: Network, seed: int) -> str:
    """What a compiled training depends on besides its optimizer's structure, which is traced.

    Numbers of the optimizer are data to it. Laws of the initialization have no part in a training.
    """
    kept = {k: tables[k] for k in ("training", "precision")}
    kept["problem"] = {k: v for k, v in tables["problem"].items() if k != "optimum"}
    kept["network"] = dict(tables["network"])
    if network.fully_connected:
        shapes = [[s.fan_in, s.fan_out, s.biases is not None] for s in network.layer_specs]
        kept["network"] |= {"weights": None, "biases": None, "hidden": shapes}
    kept["optimizer"] = {k: tables["optimizer"].get(k) for k in ("name", "variant")}
    closes_over_points = tables["training"]["batch_size"] == "population" and _drawn(problem)
    return canonical([kept, seed] if closes_over_points else kept)


def _drawn(problem: Problem) -> bool:
    """Return whether true risks may be averages over points drawn from the study's seed."""
    return problem.law.density_1d is None and problem.law.finite is None


def _evaluation(
    tables: dict[str, Any], problem: Problem, network: Network, seed: list[int], more: list[str]
) -> str:
    """A compiled evaluation depends neither on laws of initialization nor on optimizers.

    On the seed it depends where risks may be averages over random points.
    """
    kept = {k: v for k, v in tables["problem"].items() if k != "optimum"}
    parts = [kept, _architecture(tables, network), tables["precision"]]
    return canonical([*parts, *(seed if _drawn(problem) else []), *more])


def _family(tables: dict[str, Any], network: Network) -> str:
    """What the optimal risk depends on; frozen parameters restrict the infimum."""
    problem = {k: v for k, v in tables["problem"].items() if k != "risk"}
    frozen = tables["network"] if tables["network"]["freeze"] else None
    return canonical([problem, _architecture(tables, network), frozen])


def _optimum(tables: dict[str, Any], means: Network) -> str:
    """What the infimum of the risk depends on besides the layers' shapes.

    Laws of the initialization have a part in it only where parameters are frozen.
    """
    problem = {k: v for k, v in tables["problem"].items() if k not in ("risk", "optimum")}
    network = tables["network"]
    user_parts = [network["activation"], network["module"], network.get("content")]
    frozen = {k: v for k, v in network.items() if k != "hidden"} if network["freeze"] else None
    if _learns_slopes(tables, means):
        frozen = network  # its layers have no shapes of their own that would tell it apart
    return canonical([problem, user_parts, frozen])


def _learns_slopes(tables: dict[str, Any], network: Network) -> bool:
    """Return whether the layers are in the tables, but not known as those of a plain network."""
    return not network.layer_specs and bool(tables["network"].get("hidden"))


def _architecture(tables: dict[str, Any], network: Network) -> list[Any]:
    shapes = [
        [s.fan_in, s.fan_out, s.biases is not None, s.multiplier] for s in network.layer_specs
    ]
    if _learns_slopes(tables, network):
        shapes = [tables["network"]]
    user_parts = [tables["network"]["module"], tables["network"].get("content")]
    return [shapes, tables["network"]["activation"], *user_parts]
