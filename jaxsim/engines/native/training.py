"""The C program of an experiment: training steps of a group of lanes in one call.

One step, for a vector of lanes at a time: forward products with the activation at their ends, loss
and its derivative sample by sample, backward products, and the optimizer's arithmetic parameter by
parameter. Everything a step needs stays in the scratch memory of the call, in cache: large
mini-batches go through the network in parts, whose sums go on in the same order, to the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim.engines.native.expressions import Statements
from jaxsim.engines.native.handler import handler
from jaxsim.engines.native.layers import Layers
from jaxsim.engines.native.optimizer import OptimizerStep
from jaxsim.engines.native.products import Operand
from jaxsim.engines.native.program import Source, Target, preamble
from jaxsim.engines.native.values import Untranslatable, inputs, vector
from jaxsim.network.network import Network
from jaxsim.training.batches import make_batches
from jaxsim.training.experiment import Experiment


def generate(experiment: Experiment, target: Target, lanes: int) -> Source:
    """Return the program of an experiment.

    Its arguments are theta and the optimizer's leaves, of parameters [P, lane] or scalars, and the
    first bad steps [lane] int32, all of which it overwrites; then the x and y of `lanes.Drawn`, its
    rows if mini-batches are rows of a table, or the weights of the points of a finite law, the
    number of the first step and how many there are (int32 [2]), the learning rate and the numbers
    of the optimizer. Its last result is scratch memory.

    Args:
        experiment: coordinatewise optimizer, fully-connected network.
        target: of the compiler.
        lanes: members of a group.

    Raises:
        Untranslatable: if activation, loss or optimizer cannot be written in C.
    """
    return _Generator(experiment, target, lanes).source()


class _Generator:
    def __init__(self, experiment: Experiment, target: Target, lanes: int) -> None:
        self.experiment, self.target, self.lanes = experiment, target, lanes
        finite = experiment.drawn_from.law.finite
        # Gradients of the true risk are those of one mini-batch of all points, with weights.
        points = () if finite is None else finite[0]
        self.weighted = experiment.samples_per_step == 0
        self.batch = len(points) if self.weighted else experiment.samples_per_step
        self.table = not self.weighted and make_batches(experiment).table is not None
        self.arguments = 2 + (self.table or self.weighted)
        self.network, self.real = experiment.network, experiment.dtype
        self.vector = math.gcd(target.vector_bytes // self.real.itemsize, lanes)
        self.rows = target.rows or rows_of(self.network, self.batch, target)
        self.layers = Layers(self.network, self.real, target, self.rows)

    def source(self) -> Source:
        steps = self._step()
        optimizer = OptimizerStep(self.experiment, self.gradient)
        text = "\n".join(
            [
                *preamble(self.real, self.vector, self.lanes),
                *_transposition(self.vector),
                *self.layers.activation(),
                *optimizer.constants(),
                *handler(self.layers, optimizer, steps, self._samples, self.arguments),
                "",
            ]
        )
        return Source(text, self.layers.scratch * self.vector, self.target.tuning)

    def _step(self) -> list[str]:
        """Return the statements that leave the gradient of a step in `gradient`."""
        layers, activation = self.layers, self.network.activation
        assert activation is not None
        specs = self.network.layer_specs
        sample = _sample_of_y(self.experiment)
        outputs = int(np.prod(sample.shape, dtype=int))
        x, whole_x, part_x = self._fetched("x", self.network.inputs)
        self.y, whole_y, part_y = self._fetched("y", outputs)
        parameters = layers.parameters("theta", "LANES")
        self.gradient = Operand(layers.reserve(self.network.size), 1, 1, "V")
        gradients = layers.parameters(self.gradient.base, "V")
        more = self.rows < self.batch
        values, kept, lines = [x], [], [*whole_x, *whole_y, "vec losses = splat(0);"]
        if more:
            lines.append(f"for (int p = 0; p < {self.network.size}; p++)")
            lines.append(f"store({self.gradient.at('p', '0')}, splat(0));")
        # Some rows at a time, which stay in the first-level cache; sums go on from part to part.
        lines.append(f"for (int begin = 0; begin < {self.batch}; begin += {self.rows}) {{")
        lines += [*part_x, *part_y]
        for number, (spec, layer_parameters) in enumerate(zip(specs, parameters, strict=True), 1):
            z = layers.buffer(spec.fan_out)
            hidden = number < len(specs)
            h = z if activation.slope_from_value or not hidden else layers.buffer(spec.fan_out)
            lines += layers.forward(spec, values[-1], layer_parameters, _keep(z, h, hidden))
            values.append(h)
            kept.append(z)
        prediction = kept[-1]
        dz = layers.buffer(self.network.outputs)
        lines += self._loss(prediction, dz)
        widest = max(self.network.hidden, default=1)
        spare = [layers.buffer(widest), layers.buffer(widest)]
        for place in reversed(range(len(specs))):
            spec = specs[place]
            lines += layers.backward_weights(spec, values[place], dz, gradients[place], more)
            if place:
                to = spare[place % 2]
                weights = parameters[place][0]
                lines += layers.backward_values(spec, dz, weights, kept[place - 1], to)
                dz = to
        return [*lines, "}"]

    def _fetched(self, name: str, columns: int) -> tuple[Operand, list[str], list[str]]:
        """Return the rows from `begin` on, and what brings a mini-batch and those rows there.

        A row of the table, or a sample, is `columns` numbers; small ones of a mini-batch that lies
        in one piece are fetched as one.
        """
        if self.weighted:
            return Operand(f"({name} + begin * {columns})", columns, 1, "1", one=True), [], []
        pointers = "const real *rows[V]; for (int l = 0; l < V; l++) rows[l] = "
        if not self.table and columns < self.vector:
            whole = self.layers.buffer(columns, columns, self.batch)
            size = self.batch * columns
            start = f"{name} + ((size_t)step * LANES + s + l) * {size}"
            part = replace(whole, base=f"({whole.base} + begin * {columns} * V)")
            return part, [f"{{ {pointers}{start};", f"fetch(rows, {size}, {whole.base}); }}"], []
        to = self.layers.buffer(columns)
        sample = f"((size_t)step * LANES + s + l) * {self.batch} + begin + m"
        start = f"{name} + ({sample}) * {columns}"
        if self.table:
            start = f"{name} + {name}_lane * (s + l) + (size_t)row[{sample}] * {columns}"
        return (
            to,
            [],
            [
                f"for (int m = 0; m < {self.rows}; m++) {{ {pointers}{start};",
                f"fetch(rows, {columns}, {to.at('m', '0')}); }}",
            ],
        )

    def _loss(self, prediction: Operand, dz: Operand) -> list[str]:
        loss, outputs = self.experiment.problem.loss, self.network.outputs
        sample = _sample_of_y(self.experiment)
        shape, kind = sample.shape, np.dtype(sample.dtype)
        labels = kind.kind != "f"

        def value_and_derivative(predicted: Any, y: Any, *share: Any) -> tuple[Any, Any]:
            value, back = jax.vjp(lambda p: loss.function(p, y), predicted)
            weight = share[0] if share else 1.0 / self.batch
            return value, back(jnp.full_like(value, weight))[0]

        body = Statements(self.real)
        given = [inputs("p", (outputs,), self.real, True), inputs("y", shape, kind, True)]
        example = [jnp.zeros(outputs, self.real), jnp.zeros(shape, kind)]
        if self.weighted:
            given.append(inputs("share", (), self.real, False))
            example.append(jnp.zeros((), self.real))
        value, derivative = body.trace(value_and_derivative, example, given)
        if value.shape != ():
            raise Untranslatable("its loss is no number per sample")
        size = int(np.prod(shape, dtype=int))
        y = self.y
        lines = [f"for (int m = 0; m < {self.rows}; m++) {{"]
        for k in range(outputs):
            lines.append(f"const vec p_{k} = load({prediction.at('m', str(k))});")
        for k in range(size):
            read = y.load("m", str(k))
            read = f"__builtin_convertvector({read}, mask)" if labels else read
            lines.append(f"const {'mask' if labels else 'vec'} y_{k} = {read};")
        if self.weighted:
            lines.append("const real share_0 = weight[begin + m];")
        lines += [*body.uniform, *body.varying]
        lines.append(f"losses += {vector(value[()])};")
        lines += [f"store({dz.at('m', str(k))}, {vector(derivative[k])});" for k in range(outputs)]
        return [*lines, "}"]

    def _samples(self, arguments: int) -> list[str]:
        """Return the definitions of the arguments that mini-batches come from."""
        return [
            f"const real *const x = argument(frame, {arguments});",
            f"const real *const y = argument(frame, {arguments + 1});",
            *([f"const real *const weight = argument(frame, {arguments + 2});"] * self.weighted),
            *self._tables(arguments),
        ]

    def _tables(self, arguments: int) -> list[str]:
        """Return the definitions that tables of samples need; a table may be every lane's own."""
        if not self.table:
            return []
        rank = len(_sample_of_y(self.experiment).shape)
        return [
            f"const int32_t *const row = argument(frame, {arguments + 2});",
            f"const size_t x_lane = size_of_own_table(frame, {arguments}, 2);",
            f"const size_t y_lane = size_of_own_table(frame, {arguments + 1}, {1 + rank});",
        ]


CACHES = ((1 << 15, 0.0), (1 << 20, 1.0), (1 << 23, 1.5), (math.inf, 6.0))
"""Sizes of caches in bytes, and what a vector costs that has to come from there, in vectors."""


def rows_at_a_time(batch: int, numbers: int, parameters: int, vector_bytes: int) -> int:
    """Return how many rows of a mini-batch go through the network at a time: a divisor of it.

    Few rows stay in a near cache; many read and write the gradient less often.

    Args:
        batch: rows of the mini-batch.
        numbers: that are kept for a row, forward and backward.
        parameters: of the network.
        vector_bytes: of one number of all lanes of a vector.

    Example:
        >>> rows_at_a_time(32, 66, 321, 64), rows_at_a_time(1024, 302, 301, 64)
        (32, 32)
    """

    def traffic(rows: int) -> float:
        used = (rows * numbers + 2 * parameters) * vector_bytes
        cost = next(cost for size, cost in CACHES if used <= size)
        return 4 * numbers * cost + 2 * parameters / rows * (rows < batch)

    divisors = [rows for rows in range(1, batch + 1) if batch % rows == 0]
    return min(divisors, key=lambda rows: (traffic(rows), -rows))


def can_be_parted(network: Network) -> bool:
    """Return whether a mini-batch may go through the network in parts."""
    # A multiplier is that of whole sums.
    return all(spec.multiplier == 1.0 for spec in network.layer_specs)


def rows_of(network: Network, batch: int, target: Target) -> int:
    """Return how many rows of a mini-batch go through a network at a time, by an estimate."""
    if not can_be_parted(network):
        return batch
    assert network.activation is not None
    kept = sum(network.hidden) * (1 if network.activation.slope_from_value else 2)
    numbers = kept + 2 * network.outputs + 2 * max(network.hidden, default=1)
    return rows_at_a_time(batch, numbers, network.size, target.vector_bytes)


def _keep(z: Operand, h: Operand, hidden: bool) -> Callable[[str, str, str], str]:
    """Return what stores a pre-activation in z and its activation in h, which may be the same."""

    def finish(m: str, n: str, text: str) -> str:
        if not hidden:
            return f"store({z.at(m, n)}, {text});"
        if h is z:
            return f"store({h.at(m, n)}, activation({text}));"
        return (
            f"{{ const vec t = {text}; store({z.at(m, n)}, t); "
            f"store({h.at(m, n)}, activation(t)); }}"
        )

    return finish


def _transposition(vector: int) -> list[str]:
    """Return fetch(rows, count, to): to[j] = (rows[0][j], rows[1][j], ...), through registers."""
    lines = ["INLINE void transpose(const real *const rows[V], int j, real *to) {"]
    lines += [f"vec r{i} = load(rows[{i}] + j), t{i};" for i in range(vector)]
    half = vector // 2
    while half:
        low = [vector + n - half if n & half else n for n in range(vector)]
        high = [vector + n if n & half else n + half for n in range(vector)]
        for i in range(vector):
            if not i & half:
                for name, places in ((f"t{i}", low), (f"t{i + half}", high)):
                    order = ", ".join(map(str, places))
                    lines.append(f"{name} = SHUFFLE(r{i}, r{i + half}, {order});")
        lines += [f"r{i} = t{i};" for i in range(vector)]
        half //= 2
    lines += [f"store(to + {i} * V, r{i});" for i in range(vector)]
    return [
        *lines,
        "}",
        "INLINE void fetch(const real *const rows[V], int count, real *to) {",
        "int j = 0;",
        "for (; j + V <= count; j += V) transpose(rows, j, to + j * V);",
        "for (; j < count; j++) for (int l = 0; l < V; l++) to[j * V + l] = rows[l][j];",
        "}",
    ]


def _sample_of_y(experiment: Experiment) -> jax.ShapeDtypeStruct:
    """Return shape and dtype of one y."""
    key = jax.random.key(0)
    _, y = jax.eval_shape(lambda k: experiment.drawn_from.sample(k, 1, experiment.dtype), key)
    return jax.ShapeDtypeStruct(y.shape[1:], y.dtype)
