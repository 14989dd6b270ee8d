"""Numbers of an optimizer as data: one program for all decays, rates and schedules of a structure.

A gradient transformation is a Python object with its hyperparameters built in: traced, they are
constants of the program, and a sweep over them compiles once for each value. Here they are lifted
out of the trace. Which constants come from hyperparameters is seen by tracing once more with all of
them changed a little: whatever differs is lifted, whatever does not belongs to the formula. Numbers
are computed on the host as they always were (1 - b2 in double precision, then rounded), so that a
program with its numbers as data computes the same bits as one that has them built in.

XLA rewrites arithmetic with constants: x / c becomes x (1/c), and (x c) d becomes x (c d). It cannot
do so with data, so that the same is done here, on the host, in the same precision. What it computes
exactly for special constants (x^2, sqrt(x) for x^0.5) stays built in and is a structure of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

Make = Callable[[Any], optax.GradientTransformation]
Number = np.ndarray

_CALLS = ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint")
_SPECIAL_POWERS = (-1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0)
"""Exponents for which XLA has an operation of its own."""
_SPECIAL_BASES = (1.0, 2.0)
_FOLDED: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "add_any": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "neg": np.negative,
    "max": np.maximum,
    "min": np.minimum,
    "copy": np.copy,
}
"""What XLA computes of constants while it compiles, correctly rounded."""


class Constant(NamedTuple):
    """A constant of a program, for every one of some values of the hyperparameters.

    Attributes:
        values: the first is the optimizer's own.
        fixed: it stays built in even where the values differ.
    """

    values: tuple[Number, ...]
    fixed: bool = False

    @property
    def lifted(self) -> bool:
        """Whether it depends on hyperparameters, and may be data."""
        return not self.fixed and any(not _same(v, self.values[0]) for v in self.values[1:])

    @property
    def key(self) -> tuple[str, ...]:
        """What tells lifted constants apart."""
        return tuple(f"{v.dtype}{v.shape}{v.tobytes().hex()}" for v in self.values)


class Operation(NamedTuple):
    """One primitive; operands and results are numbered variables or constants."""

    primitive: Any
    parameters: dict[str, Any]
    operands: tuple[int | Constant, ...]
    results: tuple[int, ...]
    kinds: tuple[str, ...]


class Program(NamedTuple):
    """A traced function without calls: inputs are variables 0, 1, ...

    Attributes:
        operations: in order.
        results: of the function.
        inputs: dtypes and shapes of the first variables.
        structure: of the results.
        dtypes: of the results.
    """

    operations: tuple[Operation, ...]
    results: tuple[int | Constant, ...]
    inputs: tuple[str, ...]
    structure: Any
    dtypes: tuple[Any, ...]


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
            for form in (program, _as_xla_does(program)):
                lifted += [c for c in _constants(form) if c.lifted]
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

        def run(update: bool, *arguments: Any) -> Any:
            given = (self._rate if self._rate is None else rate, *arguments)
            shapes = jax.tree.map(_shape, given)
            key = update, xla, str(jax.tree.flatten(shapes))
            if key not in self._programs:
                program = self._traced(self._makes, update, shapes)
                assert program is not None
                self._programs[key] = _as_xla_does(program) if xla else program
            return self._run(self._programs[key], jax.tree.leaves(given), numbers)

        def init(parameters: Any) -> Any:
            return run(False, parameters)

        def update(updates: Any, state: Any, parameters: Any = None) -> Any:
            return run(True, updates, state, parameters)

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
                programs.append(_traced(function, shapes))
            except Exception:
                if len(makes) == 1:
                    raise
                return None
        return _aligned(programs)

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
            f"{o.results}: {o.kinds} = {o.primitive.name} {_parameters(o.parameters)} "
            + " ".join(map(operand, o.operands))
            for o in program.operations
        ]
        return "\n".join([*lines, *map(operand, program.results), str(program.structure)])


def _shape(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf))


def _same(a: Number, b: Number) -> bool:
    return a.tobytes() == b.tobytes()


def _parameters(parameters: dict[str, Any]) -> str:
    return " ".join(f"{k}={v}" for k, v in sorted(parameters.items()))


def _constants(program: Program) -> list[Constant]:
    atoms = [a for o in program.operations for a in o.operands] + list(program.results)
    return [a for a in atoms if isinstance(a, Constant)]


def _kind(variable: Any) -> str:
    return f"{variable.aval.dtype}{list(variable.aval.shape)}"


def _traced(function: Callable[..., Any], shapes: Any) -> Program:
    """Return the trace of a function with all its calls written out."""
    closed, result = jax.make_jaxpr(function, return_shape=True)(*shapes)
    operations: list[Operation] = []
    count = len(closed.jaxpr.invars)

    def constant(value: Any) -> Constant:
        return Constant((np.asarray(value),))

    def walk(jaxpr: Any, consts: Sequence[Any], inputs: Sequence[int | Constant]) -> list[Any]:
        nonlocal count
        known: dict[Any, int | Constant] = {}
        known.update(zip(jaxpr.constvars, map(constant, consts), strict=True))
        known.update(zip(jaxpr.invars, inputs, strict=True))

        def read(atom: Any) -> int | Constant:
            if hasattr(atom, "val"):
                return Constant((np.asarray(atom.val, atom.aval.dtype),))
            return known[atom]

        for equation in jaxpr.eqns:
            operands = tuple(map(read, equation.invars))
            inner = equation.params.get("jaxpr") or equation.params.get("call_jaxpr")
            if equation.primitive.name in _CALLS and inner is not None:
                body = getattr(inner, "jaxpr", inner)
                results = walk(body, getattr(inner, "consts", ()), operands)
                known.update(zip(equation.outvars, results, strict=True))
                continue
            places = tuple(range(count, count + len(equation.outvars)))
            count += len(places)
            known.update(zip(equation.outvars, places, strict=True))
            kinds = tuple(map(_kind, equation.outvars))
            operations.append(
                Operation(equation.primitive, equation.params, operands, places, kinds)
            )
        return [read(atom) for atom in jaxpr.outvars]

    results = walk(closed.jaxpr, closed.consts, range(count))
    return Program(
        tuple(operations),
        tuple(results),
        tuple(map(_kind, closed.jaxpr.invars)),
        jax.tree.structure(result),
        tuple(v.aval.dtype for v in closed.jaxpr.outvars),
    )


def _aligned(programs: Sequence[Program]) -> Program | None:
    """Return one program with the constants of all, folded; None if they differ in more."""
    first = programs[0]
    if any(_outline(p) != _outline(first) for p in programs[1:]):
        return None

    def merged(atoms: Sequence[int | Constant]) -> int | Constant:
        constants = [a for a in atoms if isinstance(a, Constant)]
        return Constant(tuple(c.values[0] for c in constants)) if constants else atoms[0]

    operations = [
        same[0]._replace(
            operands=tuple(map(merged, zip(*(o.operands for o in same), strict=True)))
        )
        for same in zip(*(p.operations for p in programs), strict=True)
    ]
    results = tuple(map(merged, zip(*(p.results for p in programs), strict=True)))
    return _folded(first._replace(operations=tuple(operations), results=results))


def _outline(program: Program) -> list[Any]:
    """Return what programs must have in common to differ in constants only."""

    def outline(atom: int | Constant) -> Any:
        return atom if isinstance(atom, int) else (atom.values[0].dtype, atom.values[0].shape)

    return [
        *((o.primitive, _parameters(o.parameters), *map(outline, o.operands), o.kinds)
          for o in program.operations),
        *map(outline, program.results),
        program.structure,
    ]  # fmt: skip


def _folded(program: Program) -> Program:
    """Compute what consists of constants only, and mark those that are not to be lifted."""
    known: dict[int, Constant] = {}
    operations = []

    def read(atom: int | Constant) -> int | Constant:
        return known.get(atom, atom) if isinstance(atom, int) else atom

    for operation in program.operations:
        name = operation.primitive.name
        operands = tuple(map(read, operation.operands))
        constants = [a for a in operands if isinstance(a, Constant)]
        if operands and len(constants) == len(operands):
            folded = _fold(name, operation.parameters, constants)
            if folded is not None:
                known[operation.results[0]] = folded
                continue
            # XLA computes it while it compiles, perhaps otherwise than the program would.
            if any(c.lifted for c in constants) and name not in ("broadcast_in_dim", "select_n"):
                operands = tuple(c._replace(fixed=True) for c in constants)
        elif name == "pow":
            base, exponent = operands
            if _is_special(base, _SPECIAL_BASES) or _is_special(exponent, _SPECIAL_POWERS):
                operands = tuple(
                    a._replace(fixed=True) if isinstance(a, Constant) else a for a in operands
                )
        operations.append(operation._replace(operands=operands))
    return program._replace(
        operations=tuple(operations), results=tuple(map(read, program.results))
    )


def _is_special(atom: int | Constant, numbers: Sequence[float]) -> bool:
    return isinstance(atom, Constant) and bool(np.isin(atom.values[0], numbers).all())


def _fold(name: str, parameters: dict[str, Any], constants: list[Constant]) -> Constant | None:
    if any(c.fixed for c in constants):
        return None
    arranged = _shaped(name, parameters, constants)
    if arranged is not None:
        return arranged
    if name == "cumprod":
        # In the order in which the program would multiply.
        with jax.ensure_compile_time_eval():
            return Constant(
                tuple(np.asarray(jax.lax.cumprod_p.bind(v, **parameters)) for v in constants[0].values)
            )
    if name == "div" and constants[0].values[0].dtype.kind == "f":
        return _each(np.divide, *constants)
    return _each(_FOLDED[name], *constants) if name in _FOLDED else None


def _shaped(
    name: str, parameters: dict[str, Any], constants: list[Constant]
) -> Constant | None:
    """Return what operations that only arrange numbers make of constants; None for others."""
    columns = list(zip(*(c.values for c in constants), strict=True))
    arrange: Callable[..., Any] | None = None
    if name == "broadcast_in_dim" and constants[0].values[0].shape:
        arrange = functools.partial(_broadcast, parameters=parameters)
    elif name == "convert_element_type":
        dtype = parameters["new_dtype"]
        arrange = lambda v: v.astype(dtype)  # noqa: E731
    elif name == "stack":
        axis = parameters["axis"]
        arrange = lambda *v: np.stack(v, axis)  # noqa: E731
    elif name == "concatenate":
        axis = parameters["dimension"]
        arrange = lambda *v: np.concatenate(v, axis)  # noqa: E731
    elif name == "slice":
        strides = parameters["strides"] or (None,) * constants[0].values[0].ndim
        bounds = zip(parameters["start_indices"], parameters["limit_indices"], strides, strict=True)
        cut = tuple(slice(*b) for b in bounds)
        arrange = lambda v: v[cut]  # noqa: E731
    elif name == "squeeze":
        axes = parameters["dimensions"]
        arrange = lambda v: v.squeeze(axes)  # noqa: E731
    return None if arrange is None else Constant(tuple(np.asarray(arrange(*c)) for c in columns))


def _broadcast(value: Number, parameters: dict[str, Any]) -> Number:
    shape, places = parameters["shape"], parameters["broadcast_dimensions"]
    expanded = [1] * len(shape)
    for axis, place in enumerate(places):
        expanded[place] = value.shape[axis]
    return np.broadcast_to(value.reshape(expanded), shape)


def _each(function: Callable[..., Any], *constants: Constant) -> Constant:
    """Return a function of constants, in their dtype, for each of their values."""
    columns = zip(*(c.values for c in constants), strict=True)
    with np.errstate(all="ignore"):
        return Constant(tuple(np.asarray(function(*v), v[0].dtype) for v in columns))


def _as_xla_does(program: Program) -> Program:
    """Rewrite arithmetic with lifted constants as XLA rewrites that with constants."""
    kinds = dict(enumerate(program.inputs))
    kinds |= {r: k for o in program.operations for r, k in zip(o.results, o.kinds, strict=True)}
    made: dict[int, Operation] = {}

    def add(operation: Operation) -> None:
        operation = _merged(operation, made)
        made.update(dict.fromkeys(operation.results, operation))

    for operation in program.operations:
        *before, operation = _with_factor_moved(_with_inverse(operation), made, kinds)
        for number in before:
            kinds[number.results[0]] = number.kinds[0]
            add(number)
        add(operation)
    # In the order in which they were made, each once.
    return program._replace(operations=tuple({o.results: o for o in made.values()}.values()))


def _with_inverse(operation: Operation) -> Operation:
    """Return x / c as x (1/c)."""
    if operation.primitive.name != "div":
        return operation
    x, c = operation.operands
    if not isinstance(c, Constant) or not c.lifted or c.values[0].dtype.kind != "f":
        return operation
    inverse = _each(lambda v: np.divide(v.dtype.type(1), v), c)
    return _product(x, inverse, operation.results[0], operation.kinds[0])


def _with_factor_moved(
    operation: Operation, made: dict[int, Operation], kinds: dict[int, str]
) -> list[Operation]:
    """Return x (c s) for (x c) s, and x (c (1/s)) for (x c) / s: x an array, s and c numbers."""
    name, operands = operation.primitive.name, operation.operands
    pairs = {"mul": (operands, operands[::-1]), "div": (operands,)}.get(name, ())
    for array, number in pairs:
        if isinstance(array, Constant) or isinstance(number, Constant):
            break
        inner = made.get(array)
        split = _split(inner) if inner is not None and inner.primitive.name == "mul" else None
        if split is None or not split[1].lifted or not kinds[number].endswith("[]"):
            continue
        x, c = split
        if kinds[x].endswith("[]"):
            continue
        place, before, kind = max(kinds) + 1, [], kinds[number]
        if name == "div":
            ones = Constant(tuple(v.dtype.type(1) for v in c.values))
            alone = operation._replace(operands=(ones, number), results=(place,), kinds=(kind,))
            before, number, place = [alone], place, place + 1
        factor = _product(number, c, place, kind)
        return [*before, factor, _product(x, place, operation.results[0], operation.kinds[0])]
    return [operation]


def _product(a: Any, b: Any, result: int, kind: str) -> Operation:
    primitive, parameters = _multiplication()
    return Operation(primitive, parameters, (a, b), (result,), (kind,))


@functools.lru_cache(maxsize=1)
def _multiplication() -> tuple[Any, dict[str, Any]]:
    (equation,) = jax.make_jaxpr(jax.lax.mul)(1.0, 1.0).jaxpr.eqns
    return equation.primitive, equation.params


def _merged(operation: Operation, made: dict[int, Operation]) -> Operation:
    """Return (x c) d as x (c d), and (x + c) + d as x + (c + d)."""
    name = operation.primitive.name
    split = _split(operation)
    if name not in ("mul", "add") or split is None or isinstance(split[0], Constant):
        return operation
    x, outer = split
    inner = made.get(x)
    again = None if inner is None or inner.primitive.name != name else _split(inner)
    if again is None:
        return operation
    y, c = again
    if not (c.lifted or outer.lifted):
        return operation
    combined = _each(np.multiply if name == "mul" else np.add, c, outer)
    return operation._replace(operands=(y, combined))


def _split(operation: Operation) -> tuple[Any, Constant] | None:
    """Return (variable, constant number) of a commutative operation of floats."""
    if len(operation.operands) != 2:
        return None
    a, b = operation.operands
    if isinstance(a, Constant):
        a, b = b, a
    if isinstance(a, Constant) or not isinstance(b, Constant):
        return None
    number = b.values[0].dtype.kind == "f" and not b.values[0].shape and not b.fixed
    return (a, b) if number else None
