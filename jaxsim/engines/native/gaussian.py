"""The C program of gradient descent on a true risk in closed form (see `risk.gaussian`).

With neurons A_k = w_k.X + b_k of student and teacher, output weights u_k (the teacher's negative),
constant c, moments M_kl = E[A_k+ A_l+] and F_k = E[A_k+], which depend on means m_k, variances v_k
and covariances v_kl only,

    L = sum_kl (u_k.u_l) M_kl + 2 sum_k (c.u_k) F_k + |c|^2 + noise.

One step, for a vector of lanes at a time: the covariances as two matrix products, the moments and
their derivatives pair by pair, and with them two products again,

    dL/dw_i = (dL/dm_i) E[X] + sum_l C_il w_l,    C_il = 2 (u_i.u_l) dM_il/dv_il for l != i,
    C_ii = |u_i|^2 (M_ii's 2 dM/dv) + sum_l 4 (u_i.u_l) dM_il/dv_i + 4 (c.u_i) dF_i/dv,

for w in units of X's deviations. Pairs of teacher neurons have no part in the gradient. Moments and
their derivatives are traced from the functions that the reference engine differentiates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from jaxsim.engines.native.handler import handler
from jaxsim.engines.native.layers import Layers
from jaxsim.engines.native.moments import moment_functions
from jaxsim.engines.native.optimizer import OptimizerStep
from jaxsim.engines.native.products import Operand, Product
from jaxsim.engines.native.program import Source, Target, preamble
from jaxsim.engines.native.teacher import taught
from jaxsim.risk.gaussian import is_centred, moments_of, teacher_of
from jaxsim.training.experiment import Experiment


def has_closed_form(experiment: Experiment) -> bool:
    """Return whether the true risk that trainings see is a closed form."""
    problem = experiment.drawn_from
    return problem.law.finite is None and moments_of(problem, experiment.network) is not None


def generate(experiment: Experiment, target: Target, lanes: int) -> Source:
    """Return the program of an experiment; its data are the numbers of its teacher.

    Args:
        experiment: coordinatewise optimizer, gradients of a true risk with a closed form.
        target: of the compiler.
        lanes: members of a group.

    Raises:
        Untranslatable: if the optimizer cannot be written in C, or the teacher's risk overflows.
    """
    return _Generator(experiment, target, lanes).source()


class _Generator:
    def __init__(self, experiment: Experiment, target: Target, lanes: int) -> None:
        self.experiment, self.target, self.lanes = experiment, target, lanes
        network, self.real = experiment.network, experiment.dtype
        self.network, self.teacher = network, taught(experiment)
        self.vector = math.gcd(target.vector_bytes // self.real.itemsize, lanes)
        self.layers = Layers(network, self.real, target, network.inputs)
        moments = moments_of(experiment.drawn_from, network)
        known = teacher_of(experiment.drawn_from.target)
        assert moments is not None
        assert known is not None
        self.moments, self.centred = moments, is_centred(moments, known, network)
        self.inputs, self.outputs = network.inputs, network.outputs
        (self.neurons,) = network.hidden
        self.terms = len(self.teacher.means)
        hidden, output = network.layer_specs
        self.hidden, self.output = network.layout.places
        self.factors = np.asarray(moments.std, self.real) * self.real.type(hidden.multiplier)
        self.scaled = bool((self.factors != 1).any())
        self.multiplier, self.output_multiplier = hidden.multiplier, output.multiplier
        self.linear = self.output.biases is not None or bool(self.teacher.constant.any())
        self.trains_output = bool(network.trainable[self.output.weights].any())

    def source(self) -> Source:
        reserve, n = self.layers.reserve, self.neurons
        self.gradient = Operand(reserve(self.network.size), 1, 1, "V")
        self.w = Operand(f"theta + {self.hidden.weights.start} * LANES", n, 1, "LANES")
        if self.scaled:
            self.w = Operand(reserve(self.inputs * n), n, 1, "V")
        self.covariances = Operand(reserve(n * (n | 1)), n | 1, 1, "V")
        self.crossed = Operand(reserve(self.terms * n), n, 1, "V")
        self.u = Operand(reserve(n * self.outputs), self.outputs, 1, "V")
        self.du = Operand(reserve(n * self.outputs), self.outputs, 1, "V")
        self.c = Operand(reserve(self.outputs), 0, 1, "V")
        self.v, self.dv, self.m, self.dm = (Operand(reserve(n), 0, 1, "V") for _ in range(4))
        # Of all pairs, the derivatives by v, or with means zero v times them, so that one division
        # serves all pairs of a neuron.
        self.of_pairs = Operand(reserve(n), 0, 1, "V") if self.centred else self.dv
        steps = [
            *self._read(),
            *self._covariances(),
            *self._single_neurons(),
            *self._pairs(),
            *(self._constant() if self.linear else []),
            *self._gradient(),
        ]
        optimizer = OptimizerStep(self.experiment, self.gradient)
        text = "\n".join(
            [
                *preamble(self.real, self.vector, self.lanes),
                *moment_functions(self.centred, self.moments.degree_one, self.real),
                *self._tables(),
                *self.teacher.tables(),
                *optimizer.constants(),
                *handler(self.layers, optimizer, steps, self.teacher.definitions, 1),
                "",
            ]
        )
        return Source(text, self.layers.scratch * self.vector, self.target.tuning)

    def _tables(self) -> list[str]:
        """Return the C definitions of numbers by input."""
        lines = []
        for name, numbers, needed in (
            ("factor", self.factors, self.scaled),
            ("mean", np.asarray(self.moments.mean, self.real), not self.centred),
        ):
            listed = ", ".join(f"(real){float(number).hex()}" for number in numbers)
            lines += [f"static const real {name}[] = {{{listed}}};"] if needed else []
        return lines

    def _read(self) -> list[str]:
        """Return what brings weights, output weights and constants into the form that is needed."""
        lines = []
        if self.scaled:
            start = f"theta + ({self.hidden.weights.start} + d * {self.neurons} + i) * LANES"
            lines += [
                f"for (int d = 0; d < {self.inputs}; d++)",
                f"for (int i = 0; i < {self.neurons}; i++)",
                f"store({self.w.at('d', 'i')}, load({start}) * splat(factor[d]));",
            ]
        start = f"theta + ({self.output.weights.start} + i) * LANES"
        factor = self._times(self.output_multiplier)
        lines += [
            f"for (int i = 0; i < {self.neurons * self.outputs}; i++)",
            f"store({self.u.at('0', 'i')}, load({start}){factor});",
        ]
        if self.linear:
            constant = "splat(taught_constant[o])"
            if self.output.biases is not None:
                constant += f" + load(theta + ({self.output.biases.start} + o) * LANES)"
            lines += [self._each_output(f"store({self.c.at('0', 'o')}, {constant});")]
        return lines

    def _covariances(self) -> list[str]:
        """Return the covariances of students with one another and with the teacher."""
        n = self.neurons

        def start(m: str, n: str) -> str:
            return "splat(0)"

        lines = self.layers.product(
            Product(
                n,
                n,
                self.inputs,
                self.w.transposed(),
                self.w,
                start,
                lambda m, n, sum_: f"store({self.covariances.at(m, n)}, {sum_});",
                lower=True,
            )
        )
        if not self.terms:
            return lines
        if not self.teacher.sparse:
            return lines + self.layers.product(
                Product(
                    self.terms,
                    n,
                    self.inputs,
                    self._dense.transposed(),
                    self.w,
                    start,
                    lambda m, n, sum_: f"store({self.crossed.at(m, n)}, {sum_});",
                )
            )
        return [
            *lines,
            *self._listed(
                f"for (int i = 0; i < {n}; i++) store({self.crossed.at('j', 'i')}, splat(0));",
                self.crossed.add("j", "i", f"weight * {self.w.load('input[z]', 'i')}"),
            ),
        ]

    def _single_neurons(self) -> list[str]:
        """Return the means and variances, and what every neuron contributes by itself."""
        lines = ["vec losses = splat(0);", f"for (int i = 0; i < {self.neurons}; i++) {{"]
        lines.append(f"const vec v = {self.covariances.load('i', 'i')};")
        lines.append(f"store({self.v.at('0', 'i')}, v);")
        arguments, results = "v", {"dv": 1}
        if not self.centred:
            start = f"({self.hidden.weights.start} + d * {self.neurons} + i) * LANES"
            lines.append("vec m = splat(0);")
            lines.append(f"for (int d = 0; d < {self.inputs}; d++)")
            lines.append(f"if (mean[d]) m += splat(mean[d]) * load(theta + {start});")
            if self.multiplier != 1:
                lines.append(f"m = m{self._times(self.multiplier)};")
            if self.hidden.biases is not None:
                lines.append(f"m += load(theta + ({self.hidden.biases.start} + i) * LANES);")
            lines.append(f"store({self.m.at('0', 'i')}, m);")
            arguments, results = "m, v", {"dm": 1, "dv": 2}
        lines += [
            f"vec r[{1 + len(results)}], square = splat(0);",
            f"alone({arguments}, r);",
            self._each_output(f"{{ const vec t = {self.u.load('i', 'o')}; square += t * t; }}"),
            "losses += square * r[0];",
        ]
        if not self.centred:
            lines.append(f"store({self.dm.at('0', 'i')}, square * r[{results['dm']}]);")
        # v has a part in all three arguments of M_ii: its derivative is that of M_ii as a whole.
        lines.append(f"store({self.dv.at('0', 'i')}, splat(2) * square * r[{results['dv']}]);")
        if self.centred:
            lines.append(f"store({self.of_pairs.at('0', 'i')}, splat(0));")
        if self.trains_output:
            text = f"store({self.du.at('i', 'o')}, splat(2) * {self.u.load('i', 'o')} * r[0]);"
            lines.append(self._each_output(text))
        return [*lines, "}"]

    def _pairs(self) -> list[str]:
        """Return moments and derivatives of all pairs; coefficients replace the covariances."""
        n, both = self.neurons, ["i", "l"]
        students = [
            f"for (int i = 0; i < {n}; i++) for (int l = 0; l < i; l++) {{",
            *self._pair(
                [a.load("0", place) for place in both for a in self._own()],
                self.covariances.load("i", "l"),
                self.u.load("l", "o"),
            ),
            *(self._derivative(place, number) for number, place in enumerate(both)),
        ]
        if self.trains_output:
            change = [
                self.du.add(one, "o", f"twice * {self.u.load(other, 'o')}")
                for one, other in (both, both[::-1])
            ]
            students.append(self._each_output(f"{{ {' '.join(change)} }}"))
        students += [
            f"store({self.covariances.at('i', 'l')}, coefficient);",
            f"store({self.covariances.at('l', 'i')}, coefficient); }}",
        ]
        if not self.terms:
            return students
        own = (
            ["taught_variances[j]"] if self.centred else ["taught_means[j]", "taught_variances[j]"]
        )
        outer = f"splat(taught_outer[j * {self.outputs} + o])"
        taught = [
            f"for (int j = 0; j < {self.terms}; j++) for (int i = 0; i < {n}; i++) {{",
            *self._pair(
                [*(a.load("0", "i") for a in self._own()), *(f"splat({a})" for a in own)],
                self.crossed.load("j", "i"),
                outer,
            ),
            self._derivative("i", 0),
        ]
        if self.trains_output:
            taught.append(self._each_output(self.du.add("i", "o", f"twice * {outer}")))
        return [*students, *taught, f"store({self.crossed.at('j', 'i')}, coefficient); }}"]

    def _own(self) -> list[Operand]:
        return [self.v] if self.centred else [self.m, self.v]

    def _pair(self, own: Sequence[str], covariance: str, other_outer: str) -> list[str]:
        """Return the moment of a pair and all derivatives in r, and twice u_i.u_l in `weight`."""
        last = 2 if self.centred else 5
        return [
            f"vec r[{1 + last}], weight = splat(0);",
            f"pair({', '.join([*own, covariance])}, r);",
            self._each_output(f"weight += {self.u.load('i', 'o')} * {other_outer};"),
            "weight += weight;",
            "losses += weight * r[0];",
            "const vec twice = r[0] + r[0]; (void)twice;",
            f"const vec coefficient = weight * r[{last}];",
        ]

    def _derivative(self, place: str, number: int) -> str:
        """Return what a pair adds to the derivatives by a neuron's own mean and variance."""
        by_mean, by_variance = ("", 1) if self.centred else (1 + 2 * number, 2 + 2 * number)
        change = self.of_pairs.add("0", place, f"(weight + weight) * r[{by_variance}]")
        if self.centred:
            return change
        return f"{change} {self.dm.add('0', place, f'weight * r[{by_mean}]')}"

    def _constant(self) -> list[str]:
        """Return what the difference of the constants adds."""
        own = self._own()
        lines = [
            f"for (int i = 0; i < {self.neurons}; i++) {{",
            f"vec r[{1 + len(own)}], weight = splat(0);",
            f"first_moment({', '.join(a.load('0', 'i') for a in own)}, r);",
            self._each_output(f"weight += {self.c.load('0', 'o')} * {self.u.load('i', 'o')};"),
            "weight += weight;",
            "losses += weight * r[0];",
        ]
        if not self.centred:
            lines.append(self.dm.add("0", "i", "weight * r[1]"))
        lines.append(self.dv.add("0", "i", f"(weight + weight) * r[{len(own)}]"))
        c = self.c.load("0", "o")
        if self.trains_output:
            change = self.du.add("i", "o", f"splat(2) * {c} * r[0]")
            lines.append(self._each_output(change))
        lines.append("}")
        total = [
            f"vec total = {c};",
            f"for (int i = 0; i < {self.neurons}; i++) {{",
            f"vec r[{1 + len(own)}];",
            f"first_moment({', '.join(a.load('0', 'i') for a in own)}, r);",
            f"total += {self.u.load('i', 'o')} * r[0]; }}",
            f"for (int j = 0; j < {self.terms}; j++)",
            f"total += splat(taught_outer[j * {self.outputs} + o] * taught_first[j]);",
            f"losses += {c} * {c};",
        ]
        if self.output.biases is not None:
            place = f"{self.gradient.base} + ({self.output.biases.start} + o) * V"
            total.append(f"store({place}, total + total);")
        return [*lines, self._each_output(f"{{ {' '.join(total)} }}")]

    def _gradient(self) -> list[str]:
        """Return the gradient from the coefficients and the derivatives by means."""
        n, base = self.neurons, self.gradient.base
        to = Operand(f"{base} + {self.hidden.weights.start} * V", n, 1, "V")
        v, own = self.v.load("0", "i"), self.dv.load("0", "i")
        if self.centred:
            pairs = f"{self.of_pairs.load('0', 'i')} / {v}"
            own = f"{own} + select((mask)({v} == splat(0)), splat(0), {pairs})"
        lines = [
            f"for (int i = 0; i < {n}; i++)",
            f"store({self.covariances.at('i', 'i')}, {own});",
        ]
        start: Callable[[str, str], str] = to.load
        if not self.terms:
            start = lambda m, n: "splat(0)"  # noqa: E731
        elif self.teacher.sparse:
            lines.append(f"for (int p = 0; p < {self.inputs * n}; p++)")
            lines.append(f"store({to.base} + p * V, splat(0));")
            change = to.add("input[z]", "i", f"weight * {self.crossed.load('j', 'i')}")
            lines += self._listed("", change)
        else:
            lines += self.layers.product(
                Product(
                    self.inputs,
                    n,
                    self.terms,
                    self._dense,
                    self.crossed,
                    lambda m, n: "splat(0)",
                    lambda m, n, sum_: f"store({to.at(m, n)}, {sum_});",
                )
            )

        def finish(m: str, n: str, sum_: str) -> str:
            text = f"{sum_} * splat(factor[{m}])" if self.scaled else sum_
            if not self.centred:
                along = f"splat(mean[{m}]) * {self.dm.load('0', n)}"
                text = f"{text} + {along}{self._times(self.multiplier)}"
            return f"store({to.at(m, n)}, {text});"

        lines += self.layers.product(
            Product(self.inputs, n, n, self.w, self.covariances, start, finish)
        )
        if self.hidden.biases is not None:
            place = f"{base} + ({self.hidden.biases.start} + i) * V"
            lines.append(f"for (int i = 0; i < {n}; i++)")
            lines.append(f"store({place}, {self.dm.load('0', 'i')});")
        if self.trains_output:
            place = f"{base} + ({self.output.weights.start} + i) * V"
            lines.append(f"for (int i = 0; i < {n * self.outputs}; i++)")
            text = f"{self.du.load('0', 'i')}{self._times(self.output_multiplier)}"
            lines.append(f"store({place}, {text});")
        return lines

    @property
    def _dense(self) -> Operand:
        """The teacher's weights [d, k], the same for all lanes."""
        return Operand("taught", self.terms, 1, "1", one=True)

    def _listed(self, before: str, change: str) -> list[str]:
        """Return a loop over the teacher's weights: neuron j, weight z, student i."""
        return [
            f"for (int j = 0, z = 0; j < {self.terms}; j++) {{",
            before,
            "for (; z < end[j]; z++) {",
            "const vec weight = splat(taught[z]);",
            f"for (int i = 0; i < {self.neurons}; i++) {change}",
            "} }",
        ]

    def _each_output(self, statement: str) -> str:
        return f"for (int o = 0; o < {self.outputs}; o++) {statement}"

    def _times(self, number: float) -> str:
        return "" if number == 1 else f" * splat((real){float(number).hex()})"
