"""The layers of a network in C: products with what happens at their ends, forward and backward.

Rows are samples (of the training program) or vectors of points (of the passes over points), each
element a vector of lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim.engines.native.expressions import Statements
from jaxsim.engines.native.products import Operand, Product
from jaxsim.engines.native.program import Target
from jaxsim.engines.native.values import inputs, vector
from jaxsim.network.network import Layer, Network


class Layers:
    """Statements for the layers of a network, and the scratch memory that they use.

    Attributes:
        room: vectors of scratch memory reserved so far.
        panel: vectors of scratch memory for packed panels, behind the reserved ones.
    """

    def __init__(self, network: Network, real: np.dtype, target: Target, rows: int) -> None:
        self.network, self.real, self.target, self.rows = network, real, target, rows
        self.room = 0
        self.panel = 0

    @property
    def scratch(self) -> int:
        """Vectors of scratch memory."""
        return self.room + self.panel

    def reserve(self, vectors: int) -> str:
        """Return the C expression of scratch memory for some vectors."""
        place, self.room = self.room, self.room + vectors
        return f"(scratch + {place} * V)"

    def buffer(self, columns: int, distance: int = 0, rows: int = 0) -> Operand:
        """Return scratch memory [rows, columns]; odd rows keep its columns apart in the cache."""
        distance = distance or columns | 1
        return Operand(self.reserve((rows or self.rows) * distance), distance, 1, "V")

    def parameters(
        self, base: str, unit: str, one: bool = False
    ) -> list[tuple[Operand, Operand | None]]:
        """Return (weights [in, out], biases [1, out]) of each layer in a vector of parameters.

        Args:
            base: C expression of a pointer to it.
            unit: C expression of the distance of parameters.
            one: whether all lanes have the same parameters.
        """

        def at(part: slice, distance: int) -> Operand:
            return Operand(f"{base} + {part.start} * {unit}", distance, 1, unit, one)

        return [
            (at(place.weights, place.fan_out), place.biases and at(place.biases, 0))
            for place in self.network.layout.places
        ]

    def function(self, name: str, function: Callable, arguments: Sequence[str]) -> list[str]:
        """Return the C function of an elementwise one of vectors."""
        body = Statements(self.real)
        given = [inputs(argument, (), self.real, True) for argument in arguments]
        example = [jnp.zeros((), self.real)] * len(arguments)
        (result,) = body.trace(function, example, given)
        parameters = ", ".join(f"vec {argument}_0" for argument in arguments)
        return [
            f"INLINE vec {name}({parameters}) {{",
            *body.uniform,
            *body.varying,
            f"return {vector(result[()])};",
            "}",
        ]

    def forward(
        self,
        spec: Layer,
        h: Operand,
        parameters: tuple[Operand, Operand | None],
        finish: Callable[[str, str, str], str],
    ) -> list[str]:
        """Return z = h W + b; `finish` stores (row, column, expression of z)."""
        weights, biases = parameters
        early = biases is not None and spec.multiplier == 1.0

        def start(m: str, n: str) -> str:
            return biases.load("0", n) if early and biases else "splat(0)"

        def end(m: str, n: str, c: str) -> str:
            text = self._scaled(c, spec)
            if biases is not None and not early:
                text = f"{text} + {biases.load('0', n)}"
            return finish(m, n, text)

        return self.product(Product(self.rows, spec.fan_out, spec.fan_in, h, weights, start, end))

    def backward_weights(
        self,
        spec: Layer,
        h: Operand,
        dz: Operand,
        gradient: tuple[Operand, Operand | None],
        more: bool = False,
    ) -> list[str]:
        """Return h^T dz and the column sums of dz, stored in the gradient or added to it.

        Args:
            spec: the layer.
            h: its inputs.
            dz: derivatives by its pre-activations.
            gradient: of its weights and biases.
            more: whether the sums go on from what is there.
        """
        weights, biases = gradient

        def finish(m: str, n: str, c: str) -> str:
            return f"store({weights.at(m, n)}, {self._scaled(c, spec)});"

        def sums(n: str, s: str) -> str:
            assert biases is not None
            return f"store({biases.at('0', n)}, {s});"

        return self.product(
            Product(
                spec.fan_in,
                spec.fan_out,
                self.rows,
                h.transposed(),
                dz,
                (lambda m, n: weights.load(m, n)) if more else (lambda m, n: "splat(0)"),
                finish,
                sums if biases is not None else None,
                (lambda n: biases.load("0", n)) if more and biases else (lambda n: "splat(0)"),
            )
        )

    def backward_values(
        self, spec: Layer, dz: Operand, weights: Operand, kept: Operand, to: Operand
    ) -> list[str]:
        """Return (dz W^T) A'(kept), stored in `to`."""

        def finish(m: str, n: str, c: str) -> str:
            derivative = f"activation_back({kept.load(m, n)}, {self._scaled(c, spec)})"
            return f"store({to.at(m, n)}, {derivative});"

        return self.product(
            Product(
                self.rows,
                spec.fan_in,
                spec.fan_out,
                dz,
                weights.transposed(),
                lambda m, n: "splat(0)",
                finish,
            )
        )

    def activation(self) -> list[str]:
        """Return the C functions `activation` A(z) and `activation_back` dh A'(z)."""
        activation = self.network.activation
        assert activation is not None
        function = activation.function
        return [
            *self.function("activation", function, ["z"]),
            *self.function(
                "activation_back", lambda z, dh: jax.vjp(function, z)[1](dh)[0], ["z", "dh"]
            ),
        ]

    def product(self, product: Product) -> list[str]:
        """Return the statements of a product, and note the room that it needs."""
        self.panel = max(self.panel, product.panel(self.target.registers))
        return product.source(self.target.registers)

    def _scaled(self, text: str, spec: Layer) -> str:
        if spec.multiplier == 1.0:
            return text
        return f"{text} * splat((real){float(spec.multiplier).hex()})"
