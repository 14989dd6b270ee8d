"""Layers filled up with zeros to what a program takes: sides that are powers of two."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import jax.numpy as jnp
from jax import Array

from jaxsim.training.experiment import Experiment

SMALLEST_PRODUCT = 16
"""Sides of the matrices that a GPU's matrix product takes at least."""
LARGEST_SUM = 4096
"""Terms up to which a product with a short side is a sum of broadcast products."""


class Shape:
    """Layers filled up with zeros to what a program takes.

    Attributes:
        batch: samples per step, filled up.
        layers: (rows, columns) of the weights of each layer, filled up.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.specs = experiment.network.layer_specs
        self.batch = max(SMALLEST_PRODUCT, _power_of_two(experiment.samples_per_step))
        inputs, hidden = experiment.network.inputs, experiment.network.hidden
        wide = [max(SMALLEST_PRODUCT, _power_of_two(n)) for n in hidden]
        first = _power_of_two(inputs)
        if not self.is_sum(first, wide[0] if wide else 1):
            first = max(SMALLEST_PRODUCT, first)
        sides = [first, *wide, experiment.network.outputs]
        self.layers = list(pairwise(sides))

    def is_sum(self, rows: int, columns: int) -> bool:
        """Return whether a product is a sum of broadcast products."""
        short = min(rows, columns) < SMALLEST_PRODUCT
        return short and self.batch * rows * columns <= LARGEST_SUM

    def samples(self, array: Array) -> Array:
        """Fill up [member, step, batch, features]."""
        missing = self.batch - array.shape[2]
        features = array.shape[3]
        if features == self.experiment.network.inputs and features != self.layers[0][0]:
            features = self.layers[0][0]
        room = [(0, 0), (0, 0), (0, missing), (0, features - array.shape[3])]
        return jnp.pad(array, room)

    def split(self, theta: Array) -> tuple[tuple[Array, ...], ...]:
        """Cut [member, P] into (weights [member, rows, columns], biases [member, 1, columns])."""
        layers = []
        pairs = self.experiment.network.layout.split(theta, axis=1)
        for (weights, biases), (rows, columns) in zip(pairs, self.layers, strict=True):
            _, fan_in, fan_out = weights.shape
            wider = columns - fan_out
            parts = [jnp.pad(weights, [(0, 0), (0, rows - fan_in), (0, wider)])]
            if biases is not None:
                parts.append(jnp.pad(biases[:, None], [(0, 0), (0, 0), (0, wider)]))
            layers.append(tuple(parts))
        return tuple(layers)

    def split_leaf(self, leaf: Array) -> Any:
        """Cut a leaf of the optimizer's state like theta, unless it is one number per member."""
        return leaf if leaf.ndim == 1 else self.split(leaf)

    def join(self, layers: Any) -> Array:
        """Return [member, P] of what `split` returns."""
        cut = [
            [layer[0][:, : spec.fan_in, : spec.fan_out]]
            + [biases[:, 0, : spec.fan_out] for biases in layer[1:]]
            for spec, layer in zip(self.specs, layers, strict=True)
        ]
        return self.experiment.network.layout.join(cut)


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()
