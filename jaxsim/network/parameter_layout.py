"""Where the weights and biases of every layer lie in theta.

Layer by layer, the weights [in, out] in row-major order, then the biases [out], if it has any.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jax.numpy as jnp
from jax import Array


class LayerShape(Protocol):
    """What a layer's place depends on."""

    @property
    def fan_in(self) -> int:
        """Inputs of the layer."""
        ...

    @property
    def fan_out(self) -> int:
        """Outputs of the layer."""
        ...

    @property
    def biases(self) -> Any:
        """None for a layer without biases."""
        ...


@dataclass(frozen=True)
class LayerPlace:
    """Where one layer lies in theta.

    Attributes:
        fan_in: inputs of the layer.
        fan_out: outputs of the layer.
        weights: indices of its weights, [in, out] in row-major order.
        biases: indices of its biases; None for a layer without them.
    """

    fan_in: int
    fan_out: int
    weights: slice
    biases: slice | None

    @property
    def stop(self) -> int:
        """One past its last index."""
        return (self.biases or self.weights).stop


@dataclass(frozen=True)
class ParameterLayout:
    """The places of a fully-connected network's layers in theta [P].

    Attributes:
        places: of the layers, hidden ones first.
    """

    places: tuple[LayerPlace, ...]

    @staticmethod
    def of(layers: Sequence[LayerShape]) -> ParameterLayout:
        """Return the layout of some layers."""
        return ParameterLayout(tuple(_places(layers)))

    @property
    def size(self) -> int:
        """The number of parameters P."""
        return self.places[-1].stop if self.places else 0

    def split(self, theta: Any, axis: int = 0) -> list[tuple[Any, Any]]:
        """Cut the axis of parameters into (weights [..., in, out, ...], biases [..., out, ...]).

        Args:
            theta: an array of NumPy or JAX.
            axis: of the parameters; those before and behind it stay, as members or lanes.

        Returns:
            A pair for each layer, with None for the biases of one without them.

        Example:
            >>> import numpy as np
            >>> from jaxsim.network.initializers import uniform
            >>> from jaxsim.network.network import Layer
            >>> layout = ParameterLayout.of([Layer(1, 2, uniform(), None)])
            >>> layout.split(np.array([3.0, 5.0]))
            [(array([[3., 5.]]), None)]
        """
        before: tuple[Any, ...] = (slice(None),) * axis
        pairs = []
        for place in self.places:
            weights = theta[(*before, place.weights)]
            shape = (*theta.shape[:axis], place.fan_in, place.fan_out, *theta.shape[axis + 1 :])
            biases = None if place.biases is None else theta[(*before, place.biases)]
            pairs.append((weights.reshape(shape), biases))
        return pairs

    def join(self, layers: Sequence[Sequence[Array]]) -> Array:
        """Return theta [member, P] of (weights [member, in, out], biases [member, out]) by layer.

        Layers without biases have one entry.
        """
        parts = [a.reshape(len(a), -1) for layer in layers for a in layer]
        return jnp.concatenate(parts, axis=1)


def _places(layers: Sequence[LayerShape]) -> Iterator[LayerPlace]:
    start = 0
    for layer in layers:
        stop = start + layer.fan_in * layer.fan_out
        weights, biases = slice(start, stop), None
        if layer.biases is not None:
            biases = slice(stop, stop + layer.fan_out)
        place = LayerPlace(layer.fan_in, layer.fan_out, weights, biases)
        yield place
        start = place.stop
