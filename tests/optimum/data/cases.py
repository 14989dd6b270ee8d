"""Problems on data sets and finitely many points, and networks for them."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from jaxsim.network.activations import ACTIVATIONS
from jaxsim.network.initializers import INITIALIZERS, normal
from jaxsim.network.network import Layer, Network, fully_connected
from jaxsim.optimum.strategy import Bounds, Budget
from jaxsim.problem.datasets import DataSet, load_dataset
from jaxsim.problem.input_laws import points
from jaxsim.problem.losses import LOSSES
from jaxsim.problem.noise import NOISES
from jaxsim.problem.problem import Problem
from jaxsim.problem.targets import LabelTarget


def problem_of(
    x: Any,
    y: Any,
    loss: Any = "squared",
    weights: Any = None,
    classes: int | None = None,
    noise: Any = "none",
) -> Problem:
    """A problem on points with labels or values."""

    def part(registry: Any, spec: Any) -> Any:
        name, options = (spec, {}) if isinstance(spec, str) else spec
        return registry[name](**options)

    law = points(tuple(map(tuple, np.asarray(x, float).tolist())), weights)
    return Problem(
        law, LabelTarget(np.asarray(y), classes), part(LOSSES, loss), part(NOISES, noise)
    )


@cache
def loaded(name: str, scale: str) -> DataSet:
    return load_dataset({"name": name, "scale": scale}, "problem.data", None)


def data_problem(name: str, loss: Any, scale: str = "standardize") -> Problem:
    """A problem on a data set of scikit-learn."""
    data = loaded(name, scale)
    return problem_of(data.x, data.y, loss, classes=data.classes)


def net(
    *widths: int,
    activation: str = "relu",
    biases: bool | tuple[bool, ...] = True,
    freeze: tuple[str, ...] = (),
    frozen_biases: str = "zero",
    **parameters: Any,
) -> Network:
    """A network; freeze names parts such as "weights 1" or "biases 2", layers counted from 1."""
    last = len(widths) - 1
    has = (biases,) * last if isinstance(biases, bool) else biases
    layers = []
    for number, (a, b) in enumerate(pairwise(widths), start=1):
        trained = f"biases {number}" not in freeze
        law = normal(0.5) if trained else INITIALIZERS[frozen_biases]()
        layers.append(
            Layer(
                a,
                b,
                normal((2 / a) ** 0.5),
                law if has[number - 1] else None,
                train_weights=f"weights {number}" not in freeze,
                train_biases=trained,
            )
        )
    return fully_connected(tuple(layers), ACTIVATIONS[activation](**parameters))


def bounds_of(strategy: Any, problem: Problem, network: Network, runs: Any = ()) -> Bounds | None:
    """What a strategy shows; None if it says nothing."""
    if strategy.unsupported_reason(problem, network):
        return None
    found = strategy.search(problem, network, Budget(600.0), runs=runs)
    return None if found is None else strategy.verify(problem, network, found)


def bracket(strategy: Any, problem: Problem, network: Network) -> tuple[float, float]:
    """The ends that a strategy shows, all of them proved."""
    found = bounds_of(strategy, problem, network)
    assert found is not None
    assert all(b.evidence.proved for b in (*found.lowers, *found.uppers))
    lower = max((b.value for b in found.lowers), default=-np.inf)
    return lower, min((b.value for b in found.uppers), default=np.inf)
