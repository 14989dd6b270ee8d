"""The C program of an experiment: training steps of a group of lanes in one call.

One step, for a vector of lanes at a time: forward products with the activation at their ends, loss
and its derivative sample by sample, backward products, and the optimizer's arithmetic parameter by
parameter. Everything a step needs stays in the scratch memory of the call, in cache.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim.network.network import Layer
from jaxsim.simulation.batches import make_batches
from jaxsim.simulation.experiment import Experiment
from jaxsim.simulation.kernel.expressions import Statements, Untranslatable, ctype, inputs
from jaxsim.simulation.kernel.products import Operand, Product
from jaxsim.simulation.train import make_transformation


@dataclass(frozen=True)
class Target:
    """What the compiler compiles for.

    Attributes:
        vector_bytes: of a SIMD register.
        registers: how many there are.
    """

    vector_bytes: int
    registers: int


@dataclass(frozen=True)
class Source:
    """A generated program.

    Attributes:
        text: C, to be compiled with kernel.h.
        scratch: numbers of scratch memory that a call needs.
    """

    text: str
    scratch: int


def generate(experiment: Experiment, target: Target, lanes: int) -> Source:
    """Return the program of an experiment.

    Its arguments are theta and the optimizer's leaves, of parameters [P, lane] or scalars, and the
    first bad steps [lane] int32, all of which it overwrites; then the x and y of `lanes.Drawn`, its
    rows if mini-batches are rows of a table, the number of the first step and how many there are
    (int32 [2]) and the learning rate. Its last result is scratch memory.

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
        self.batch = experiment.samples_per_step
        self.table = make_batches(experiment).table is not None
        self.network, self.real = experiment.network, experiment.dtype
        self.vector = math.gcd(target.vector_bytes // self.real.itemsize, lanes)
        self.specs = self.network.layer_specs
        self.room = 0
        self.panel = 0

    def source(self) -> Source:
        steps = self._step()
        optimizer = self._optimizer()
        scratch = self.room + self.panel
        text = "\n".join(
            [
                f"#define REAL_BITS {8 * self.real.itemsize}",
                f"#define VECTOR_BYTES {self.vector * self.real.itemsize}",
                f"#define LANES {self.lanes}",
                '#include "kernel.h"',
                *_transposition(self.vector),
                *self._activation(),
                *optimizer.constants(),
                *self._handler(steps, optimizer),
                "",
            ]
        )
        return Source(text, scratch * self.vector)

    def _reserve(self, vectors: int) -> str:
        """Return the C expression of scratch memory for some vectors."""
        place, self.room = self.room, self.room + vectors
        return f"(scratch + {place} * V)"

    def _buffer(self, columns: int, rows: int = 0) -> Operand:
        """Return scratch memory [batch, columns]; odd rows keep its columns apart in the cache."""
        rows = rows or columns | 1
        return Operand(self._reserve(self.batch * rows), rows, 1, "V")

    def _activation(self) -> list[str]:
        activation = self.network.activation
        assert activation is not None
        number = jnp.zeros((), self.real)
        lines = []
        for name, function, arguments in (
            ("activation", activation.function, ("z",)),
            (
                "activation_back",
                lambda z, dh: jax.vjp(activation.function, z)[1](dh)[0],
                ("z", "dh"),
            ),
        ):
            body = Statements(self.real)
            given = [inputs(argument, (), self.real, True) for argument in arguments]
            (found,) = body.trace(function, [number] * len(arguments), given)
            parameters = ", ".join(f"vec {argument}_0" for argument in arguments)
            lines += [f"INLINE vec {name}({parameters}) {{", *body.uniform, *body.varying]
            lines += [f"return {body.vector(found[()])};", "}"]
        return lines

    def _step(self) -> list[str]:
        """Return the statements that leave the gradient of a step in `gradient`."""
        activation = self.network.activation
        assert activation is not None
        sample = _sample_of_y(self.experiment)
        outputs = int(np.prod(sample.shape, dtype=int))
        x, fetch_x = self._fetched("x", self.network.inputs)
        self.y, fetch_y = self._fetched("y", outputs)
        parameters = self._parameters("theta", "LANES")
        self.gradient = Operand(self._reserve(self.network.size), 1, 1, "V")
        gradients = self._parameters(self.gradient.base, "V")
        values, kept, lines = [x], [], [*fetch_x, *fetch_y]
        for number, (spec, (weights, biases)) in enumerate(
            zip(self.specs, parameters, strict=True), 1
        ):
            z = self._buffer(spec.fan_out)
            hidden = number < len(self.specs)
            h = z if activation.slope_from_value or not hidden else self._buffer(spec.fan_out)
            lines += self._forward(spec, values[-1], weights, biases, z, h, hidden)
            values.append(h)
            kept.append(z)
        prediction = kept[-1]
        dz = self._buffer(self.network.outputs)
        lines += self._loss(prediction, dz)
        widest = max(self.network.hidden, default=1)
        spare = [self._buffer(widest), self._buffer(widest)]
        for place in reversed(range(len(self.specs))):
            spec = self.specs[place]
            lines += self._backward_weights(spec, values[place], dz, gradients[place])
            if place:
                to = spare[place % 2]
                weights = parameters[place][0]
                lines += self._backward_values(spec, dz, weights, kept[place - 1], to)
                dz = to
        return lines

    def _fetched(self, name: str, columns: int) -> tuple[Operand, list[str]]:
        """Return scratch memory for a mini-batch, and what brings it there from memory by member.

        A row of the table, or a sample, is `columns` numbers; small ones of a mini-batch that lies
        in one piece are fetched as one.
        """
        pointers = "const real *rows[V]; for (int l = 0; l < V; l++) rows[l] = "
        if not self.table and columns < self.vector:
            to = self._buffer(columns, columns)
            size = self.batch * columns
            start = f"{name} + ((size_t)step * LANES + s + l) * {size}"
            return to, [f"{{ {pointers}{start};", f"fetch(rows, {size}, {to.base}); }}"]
        to = self._buffer(columns)
        start = f"{name} + (((size_t)step * LANES + s + l) * {self.batch} + m) * {columns}"
        if self.table:
            row = f"row[((size_t)step * LANES + s + l) * {self.batch} + m]"
            start = f"{name} + {name}_lane * (s + l) + (size_t){row} * {columns}"
        return to, [
            f"for (int m = 0; m < {self.batch}; m++) {{ {pointers}{start};",
            f"fetch(rows, {columns}, {to.at('m', '0')}); }}",
        ]

    def _parameters(self, base: str, unit: str) -> list[tuple[Operand, Operand | None]]:
        """Return (weights [in, out], biases [1, out]) of each layer in a vector of parameters."""
        pairs, start = [], 0
        for spec in self.specs:
            weights = Operand(f"{base} + {start} * {unit}", spec.fan_out, 1, unit)
            start += spec.fan_in * spec.fan_out
            biases = None
            if spec.biases is not None:
                biases = Operand(f"{base} + {start} * {unit}", 0, 1, unit)
                start += spec.fan_out
            pairs.append((weights, biases))
        return pairs

    def _product(self, product: Product) -> list[str]:
        self.panel = max(self.panel, product.panel(self.target.registers))
        return product.source(self.target.registers)

    def _scaled(self, text: str, spec: Layer) -> str:
        if spec.multiplier == 1.0:
            return text
        return f"{text} * splat((real){float(spec.multiplier).hex()})"

    def _forward(
        self,
        spec: Layer,
        h: Operand,
        weights: Operand,
        biases: Operand | None,
        z: Operand,
        to: Operand,
        hidden: bool,
    ) -> list[str]:
        early = biases is not None and spec.multiplier == 1.0

        def start(m: str, n: str) -> str:
            return f"load({biases.at('0', n)})" if early and biases else "splat(0)"

        def finish(m: str, n: str, c: str) -> str:
            text = self._scaled(c, spec)
            if biases is not None and not early:
                text = f"{text} + load({biases.at('0', n)})"
            if not hidden:
                return f"store({z.at(m, n)}, {text});"
            if to is z:
                return f"store({to.at(m, n)}, activation({text}));"
            return (
                f"{{ const vec t = {text}; store({z.at(m, n)}, t); "
                f"store({to.at(m, n)}, activation(t)); }}"
            )

        return self._product(
            Product(self.batch, spec.fan_out, spec.fan_in, h, weights, start, finish)
        )

    def _backward_weights(
        self,
        spec: Layer,
        h: Operand,
        dz: Operand,
        gradient: tuple[Operand, Operand | None],
    ) -> list[str]:
        weights, biases = gradient
        transposed = Operand(h.base, h.columns, h.rows, h.unit)

        def finish(m: str, n: str, c: str) -> str:
            return f"store({weights.at(m, n)}, {self._scaled(c, spec)});"

        def sums(n: str, s: str) -> str:
            assert biases is not None
            return f"store({biases.at('0', n)}, {s});"

        return self._product(
            Product(
                spec.fan_in,
                spec.fan_out,
                self.batch,
                transposed,
                dz,
                lambda m, n: "splat(0)",
                finish,
                sums if biases is not None else None,
            )
        )

    def _backward_values(
        self, spec: Layer, dz: Operand, weights: Operand, kept: Operand, to: Operand
    ) -> list[str]:
        transposed = Operand(weights.base, weights.columns, weights.rows, weights.unit)

        def finish(m: str, n: str, c: str) -> str:
            derivative = f"activation_back(load({kept.at(m, n)}), {self._scaled(c, spec)})"
            return f"store({to.at(m, n)}, {derivative});"

        return self._product(
            Product(
                self.batch,
                spec.fan_in,
                spec.fan_out,
                dz,
                transposed,
                lambda m, n: "splat(0)",
                finish,
            )
        )

    def _loss(self, prediction: Operand, dz: Operand) -> list[str]:
        loss, outputs = self.experiment.problem.loss, self.network.outputs
        sample = _sample_of_y(self.experiment)
        shape, kind = sample.shape, np.dtype(sample.dtype)
        labels = kind.kind != "f"
        share = 1.0 / self.batch

        def value_and_derivative(predicted: Any, y: Any) -> tuple[Any, Any]:
            value, back = jax.vjp(lambda p: loss.function(p, y), predicted)
            return value, back(jnp.full_like(value, share))[0]

        body = Statements(self.real)
        given = [inputs("p", (outputs,), self.real, True), inputs("y", shape, kind, True)]
        example = jnp.zeros(outputs, self.real), jnp.zeros(shape, kind)
        value, derivative = body.trace(value_and_derivative, example, given)
        if value.shape != ():
            raise Untranslatable("its loss is no number per sample")
        size = int(np.prod(shape, dtype=int))
        y = self.y
        lines = ["vec losses = splat(0);", f"for (int m = 0; m < {self.batch}; m++) {{"]
        for k in range(outputs):
            lines.append(f"const vec p_{k} = load({prediction.at('m', str(k))});")
        for k in range(size):
            read = f"load({y.at('m', str(k))})"
            read = f"__builtin_convertvector({read}, mask)" if labels else read
            lines.append(f"const {'mask' if labels else 'vec'} y_{k} = {read};")
        lines += [*body.uniform, *body.varying]
        lines.append(f"losses += {body.vector(value[()])};")
        lines += [
            f"store({dz.at('m', str(k))}, {body.vector(derivative[k])});" for k in range(outputs)
        ]
        return [*lines, "}"]

    def _optimizer(self) -> _Optimizer:
        return _Optimizer(self.experiment, self.gradient)

    def _handler(self, steps: Sequence[str], optimizer: _Optimizer) -> list[str]:
        leaves = optimizer.leaves
        arguments = len(leaves) + 2
        after = arguments + 2 + self.table
        lines = [
            "XLA_FFI_Error *train(XLA_FFI_CallFrame *frame) {",
            "if (answer_metadata(frame)) return NULL;",
            "if (frame->stage != XLA_FFI_ExecutionStage_EXECUTE) return NULL;",
            "real *const parameters = result(frame, 0);",
            *(
                f"{leaf.ctype} *const leaf{number} = result(frame, {number + 1});"
                for number, leaf in enumerate(leaves)
            ),
            f"int32_t *const diverged = result(frame, {len(leaves) + 1});",
            f"real *const scratch = result(frame, {len(leaves) + 2});",
            f"real *const pack = scratch + {self.room} * V;",
            f"const real *const x = argument(frame, {arguments});",
            f"const real *const y = argument(frame, {arguments + 1});",
            *self._tables(arguments),
            f"const int32_t *const range = argument(frame, {after});",
            f"const real rate_0 = *(const real *)argument(frame, {after + 1});",
            "const int32_t first = range[0], count = range[1];",
            "(void)rate_0; (void)pack; (void)scratch;",
            *(
                f"const {leaf.ctype} start{number} = *leaf{number};"
                for number, leaf in enumerate(leaves)
                if leaf.uniform
            ),
            "for (int s = 0; s < LANES; s += V) {",
            "real *const theta = parameters + s;",
            *(
                f"{leaf.ctype} uniform{number} = start{number};"
                for number, leaf in enumerate(leaves)
                if leaf.uniform
            ),
            "for (int32_t step = 0; step < count; step++) {",
            *steps,
            *optimizer.statements(),
            "const mask good = is_finite(losses);",
            "for (int l = 0; l < V; l++)",
            "if (!good[l] && diverged[s + l] < 0) diverged[s + l] = first + step;",
            "}",
            *(
                f"if (s + V == LANES) *leaf{number} = uniform{number};"
                for number, leaf in enumerate(leaves)
                if leaf.uniform
            ),
            "}",
            "return NULL;",
            "}",
        ]
        return lines

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


@dataclass(frozen=True)
class Leaf:
    """A leaf of the optimizer's state: one number, or one for every parameter."""

    uniform: bool
    ctype: str


class _Optimizer:
    """The optimizer's step in C: uniform statements once, varying ones for every parameter."""

    def __init__(self, experiment: Experiment, gradient: Operand) -> None:
        self.network, self.gradient, self.real = experiment.network, gradient, experiment.dtype
        transformation = make_transformation(experiment)
        rate, theta = jnp.zeros((), self.real), jnp.zeros(1, self.real)
        state = transformation(rate).init(theta)
        examples = jax.tree.leaves(state)
        given = []
        self.leaves: list[Leaf] = []
        for number, leaf in enumerate(examples):
            uniform = leaf.shape == ()
            if not uniform and (leaf.shape != (1,) or leaf.dtype != self.real):
                raise Untranslatable(f"its optimizer keeps {leaf.dtype}{list(leaf.shape)}")
            self.leaves.append(Leaf(uniform, ctype(leaf.dtype) if uniform else "real"))
            given.append(inputs(f"w{number}", leaf.shape, leaf.dtype, not uniform))

        def update(rate: Any, gradient: Any, state: Any, theta: Any) -> tuple[Any, Any]:
            movement, state = transformation(rate).update(gradient, state, theta)
            return jnp.asarray(movement, self.real), state

        self.body = Statements(self.real)
        self.movement, *self.after = self.body.trace(
            update,
            (rate, theta, state, theta),
            [
                inputs("rate", (), self.real, False),
                inputs("g", (1,), self.real, True),
                *given,
                inputs("t", (1,), self.real, True),
            ],
        )
        if len(self.after) != len(self.leaves):
            raise Untranslatable("its optimizer changes the form of its state")

    def statements(self) -> list[str]:
        body, network = self.body, self.network
        # In uniform statements the old values have the names of the inputs.
        lines = ["{"]
        for number, leaf in enumerate(self.leaves):
            if leaf.uniform:
                lines.append(f"const {leaf.ctype} w{number}_0 = uniform{number};")
        lines += body.uniform
        lines.append(f"for (int p = 0; p < {network.size}; p++) {{")
        lines.append(f"vec g_0 = load({self.gradient.at('p', '0')});")
        lines.append("const vec t_0 = load(theta + p * LANES);")
        still = not network.trainable.all()
        if still:
            lines.append("const int still = fixed[p]; if (still) g_0 = splat(0);")
        for number, leaf in enumerate(self.leaves):
            if not leaf.uniform:
                lines.append(f"const vec w{number}_0 = load(leaf{number} + p * LANES + s);")
        lines += body.varying
        moved = f"store(theta + p * LANES, t_0 + {body.vector(self.movement[0])});"
        lines.append(f"if (!still) {moved}" if still else moved)
        for number, (leaf, after) in enumerate(zip(self.leaves, self.after, strict=True)):
            if not leaf.uniform:
                lines.append(f"store(leaf{number} + p * LANES + s, {body.vector(after[0])});")
        lines.append("}")
        for number, (leaf, after) in enumerate(zip(self.leaves, self.after, strict=True)):
            if leaf.uniform:
                lines.append(f"uniform{number} = {after[()].text};")
        return [*lines, "}"]

    def constants(self) -> list[str]:
        """Return the C definition of the parameters that are not trained, if there are any."""
        if self.network.trainable.all():
            return []
        marks = ", ".join(str(int(not t)) for t in np.asarray(self.network.trainable))
        return [f"static const unsigned char fixed[] = {{{marks}}};"]


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
    _, y = jax.eval_shape(lambda k: experiment.problem.sample(k, 1, experiment.dtype), key)
    return jax.ShapeDtypeStruct(y.shape[1:], y.dtype)
