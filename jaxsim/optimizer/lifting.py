"""Numbers of an optimizer as data: one program for all decays, rates and schedules of a structure.

A gradient transformation is a Python object with its hyperparameters built in: traced, they are
constants of the program, and a sweep over them compiles once for each value. Here they are lifted
out of the trace. Which constants come from hyperparameters is seen by tracing once more with all of
them changed a little: whatever differs is lifted, whatever does not belongs to the formula. Numbers
are computed on the host as they always were (1 - b2 in double precision, then rounded), and what
XLA does with constants is done to them (`xla_rewriting`), so that a program with its numbers as
data computes the same bits as one that has them built in. What XLA has an operation of its own for
(x^2, or sqrt(x) for x^0.5) stays built in: it is a structure of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxsim.optimizer.programs import (
    Constant,
    Number,
    Program,
    aligned,
    constants,
    text_of_parameters,
    traced,
)
from jaxsim.optimizer.xla_rewriting import as_xla_does

Make = Callable[[Any], optax.GradientTransformation]


class Lifted:
    """An optimizer whose hyperparameters are data.

    Args:
        makes: (learning rate or None) -> transformation: the optimizer's own first, then with
            hyperparameters changed. Changed ones whose traces have another structure are left out.
        rate: example of the learning rate; None if it is built in, as schedules are.
        parameters: example of the parameters, as arrays or their shapes and dtypes.

    Attributes:
        text: the structure: optimizers of equal text can share a program.
        numbers: what the program receives besides the learning rate.
        neighbours: how many changed optimizers were of use.
    """

    def __init__(self, makes: Sequence[Make], rate: Any, parameters: Any) -> None:
        self._makes, self._rate = list(makes), rate
        self._programs: dict[Any, Program] = {}
        self._slots: dict[tuple[str, ...], int] = {}
        self.text = ""
        init, update = self._agreeing(parameters)
        lifted: list[Constant] = []
        for program in (init, update):
            for form in (program, as_xla_does(program)):
                lifted += [c for c in constants(form) if c.lifted]
        for constant in lifted:
            self._slots.setdefault(constant.key, len(self._slots))
        firsts = {c.key: c.values[0] for c in lifted}
        self.numbers: tuple[Number, ...] = tuple(firsts[key] for key in self._slots)
        self.text = "\n".join(self._text(p) for p in (init, update))

    def transformation(
        self, rate: Any, numbers: Sequence[Any], *, xla: bool = True
    ) -> optax.GradientTransformation:
        """Return the transformation with a learning rate and numbers that may be traced.

        Args:
            rate: learning rate; without effect where it is built in.
            numbers: as many as `numbers`.
            xla: whether XLA compiles it, which would rewrite arithmetic with constants.
        """
        if not self.numbers:
            return self._makes[0](self._rate if self._rate is None else rate)

        def run(update: bool, *arguments: Any) -> Any:
            given = (self._rate if self._rate is None else rate, *arguments)
            shapes = jax.tree.map(_shape, given)
            key = update, xla, str(jax.tree.flatten(shapes))
            if key not in self._programs:
                program = self._traced(self._makes, update, shapes)
                assert program is not None
                self._programs[key] = as_xla_does(program) if xla else program
            return self._run(self._programs[key], jax.tree.leaves(given), numbers)

        def init(params: Any) -> Any:
            return run(False, params)

        def update(updates: Any, state: Any, params: Any = None) -> Any:
            return run(True, updates, state, params)

        return optax.GradientTransformation(init, update)

    def _agreeing(self, parameters: Any) -> tuple[Program, Program]:
        """Keep the changed optimizers whose traces have the structure of the first one."""
        shapes = jax.tree.map(_shape, parameters)
        own, *changed = self._makes
        both = self._both(shapes, self._makes)
        if both is None:
            changed = [m for m in changed if self._both(shapes, [own, m]) is not None]
            both = self._both(shapes, [own, *changed])
        assert both is not None
        self._makes, self.neighbours = [own, *changed], len(changed)
        return both

    def _both(self, parameters: Any, makes: Sequence[Make]) -> tuple[Program, Program] | None:
        """Return (init, update), None if optimizers differ in more than constants."""
        init = self._traced(makes, False, (self._rate, parameters))
        if init is None:
            return None
        state = jax.eval_shape(lambda p: makes[0](self._rate).init(p), parameters)
        state = jax.tree.map(_shape, state)
        update = self._traced(makes, True, (self._rate, parameters, state, parameters))
        return None if update is None else (init, update)

    def _traced(self, makes: Sequence[Make], update: bool, shapes: Any) -> Program | None:
        programs = []
        for make in makes:

            def function(rate: Any, *arguments: Any, make: Make = make) -> Any:
                transformation = make(rate)
                return (transformation.update if update else transformation.init)(*arguments)

            try:
                programs.append(traced(function, shapes))
            except Exception:
                if len(makes) == 1:
                    raise
                return None
        return aligned(programs)

    def _run(self, program: Program, inputs: Sequence[Any], numbers: Sequence[Any]) -> Any:
        known = dict(enumerate(inputs))

        def read(operand: int | Constant) -> Any:
            if isinstance(operand, int):
                return known[operand]
            return numbers[self._slots[operand.key]] if operand.lifted else operand.values[0]

        for operation in program.operations:
            parameters = operation.primitive.get_bind_params(operation.parameters)
            results = operation.primitive.bind(*map(read, operation.operands), **parameters)
            results = results if operation.primitive.multiple_results else [results]
            known.update(zip(operation.results, results, strict=True))
        leaves = [
            jnp.asarray(read(result), dtype)
            for result, dtype in zip(program.results, program.dtypes, strict=True)
        ]
        return jax.tree.unflatten(program.structure, leaves)

    def _text(self, program: Program) -> str:
        def operand(atom: int | Constant) -> str:
            if isinstance(atom, int):
                return f"v{atom}"
            return f"n{self._slots[atom.key]}" if atom.lifted else atom.key[0]

        lines = [
            f"{o.results}: {o.kinds} = {o.primitive.name} {text_of_parameters(o.parameters)} "
            + " ".join(map(operand, o.operands))
            for o in program.operations
        ]
        return "\n".join([*lines, *map(operand, program.results), str(program.structure)])


def _shape(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf))
