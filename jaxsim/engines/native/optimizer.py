"""The optimizer's step in C, written from the gradient transformation's jaxpr."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from jaxsim.engines.native.expressions import Statements
from jaxsim.engines.native.products import Operand
from jaxsim.engines.native.values import Untranslatable, ctype, inputs, vector
from jaxsim.engines.update_trace import trace_update
from jaxsim.training.experiment import Experiment


@dataclass(frozen=True)
class Leaf:
    """A leaf of the optimizer's state: one number, or one for every parameter."""

    uniform: bool
    ctype: str


class OptimizerStep:
    """The optimizer's step in C: uniform statements once, varying ones for every parameter."""

    def __init__(self, experiment: Experiment, gradient: Operand) -> None:
        self.network, self.gradient, self.real = experiment.network, gradient, experiment.dtype
        update = trace_update(experiment, jnp.zeros(1, self.real), xla=False)
        rate, *others = (np.asarray(number) for number in update.examples[0])
        self.numbers = {"rate": rate} | {f"number{k}": n for k, n in enumerate(others)}
        numbers = [inputs(name, n.shape, n.dtype, False) for name, n in self.numbers.items()]
        given = []
        self.leaves: list[Leaf] = []
        for number, (leaf, uniform) in enumerate(zip(update.leaves, update.is_number, strict=True)):
            if not uniform and (leaf.shape != (1,) or leaf.dtype != self.real):
                raise Untranslatable(f"its optimizer keeps {leaf.dtype}{list(leaf.shape)}")
            self.leaves.append(Leaf(uniform, ctype(leaf.dtype) if uniform else "real"))
            given.append(inputs(f"w{number}", leaf.shape, leaf.dtype, not uniform))

        self.body = Statements(self.real)
        self.movement, *self.after = self.body.trace(
            update.step,
            update.examples,
            [
                *numbers,
                *given,
                inputs("g", (1,), self.real, True),
                inputs("t", (1,), self.real, True),
            ],
        )
        if len(self.after) != len(self.leaves):
            raise Untranslatable("its optimizer changes the form of its state")

    def statements(self) -> list[str]:
        """Return the statements of one step, for the parameters and moments of lanes s, ..."""
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
        moved = f"store(theta + p * LANES, t_0 + {vector(self.movement[0])});"
        lines.append(f"if (!still) {moved}" if still else moved)
        for number, (leaf, after) in enumerate(zip(self.leaves, self.after, strict=True)):
            if not leaf.uniform:
                lines.append(f"store(leaf{number} + p * LANES + s, {vector(after[0])});")
        lines.append("}")
        for number, (leaf, after) in enumerate(zip(self.leaves, self.after, strict=True)):
            if leaf.uniform:
                lines.append(f"uniform{number} = {after[()].text};")
        return [*lines, "}"]

    def arguments(self, first: int) -> list[str]:
        """Return the definitions of the learning rate and the optimizer's numbers.

        Args:
            first: number of the argument of the handler that is the learning rate.
        """
        lines = []
        for argument, (name, number) in enumerate(self.numbers.items(), first):
            kind = ctype(number.dtype)
            for place in range(number.size):
                value = f"((const {kind} *)argument(frame, {argument}))[{place}]"
                lines.append(f"const {kind} {name}_{place} = {value}; (void){name}_{place};")
        return lines

    def constants(self) -> list[str]:
        """Return the C definition of the parameters that are not trained, if there are any."""
        if self.network.trainable.all():
            return []
        marks = ", ".join(str(int(not t)) for t in np.asarray(self.network.trainable))
        return [f"static const unsigned char fixed[] = {{{marks}}};"]
