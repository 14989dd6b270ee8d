"""Traces of functions with their calls written out, side by side for several constants.

Functions that differ in their hyperparameters only have traces that differ in constants only. One
`Program` stands for all of them; its constants have a value for each. What a program computes of
constants alone is computed here, as XLA does while it compiles.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim.traces import called

Number = np.ndarray

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


def _same(a: Number, b: Number) -> bool:
    return a.tobytes() == b.tobytes()


def text_of_parameters(parameters: dict[str, Any]) -> str:
    """Return a text for the parameters of a primitive."""
    return " ".join(f"{k}={v}" for k, v in sorted(parameters.items()))


def constants(program: Program) -> list[Constant]:
    """Return the constants of a program, in the order in which it uses them."""
    atoms = [a for o in program.operations for a in o.operands] + list(program.results)
    return [a for a in atoms if isinstance(a, Constant)]


def _kind(variable: Any) -> str:
    return f"{variable.aval.dtype}{list(variable.aval.shape)}"


def traced(function: Callable[..., Any], shapes: Any) -> Program:
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
            inner = called(equation)
            if inner is not None:
                results = walk(*inner, operands)
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


def aligned(programs: Sequence[Program]) -> Program | None:
    """Return one program with the constants of all, folded; None if they differ in more."""
    first = programs[0]
    if any(_outline(p) != _outline(first) for p in programs[1:]):
        return None

    def merged(atoms: Sequence[int | Constant]) -> int | Constant:
        constants = [a for a in atoms if isinstance(a, Constant)]
        return Constant(tuple(c.values[0] for c in constants)) if constants else atoms[0]

    operations = [
        same[0]._replace(operands=tuple(map(merged, zip(*(o.operands for o in same), strict=True))))
        for same in zip(*(p.operations for p in programs), strict=True)
    ]
    results = tuple(map(merged, zip(*(p.results for p in programs), strict=True)))
    return _folded(first._replace(operations=tuple(operations), results=results))


def _outline(program: Program) -> list[Any]:
    """Return what programs must have in common to differ in constants only."""

    def outline(atom: int | Constant) -> Any:
        return atom if isinstance(atom, int) else (atom.values[0].dtype, atom.values[0].shape)

    return [
        *((o.primitive, text_of_parameters(o.parameters), *map(outline, o.operands), o.kinds)
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
    return program._replace(operations=tuple(operations), results=tuple(map(read, program.results)))


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
            values = constants[0].values
            products = [jax.lax.cumprod(jnp.asarray(v), parameters["axis"]) for v in values]
        return Constant(tuple(map(np.asarray, products)))
    if name == "div" and constants[0].values[0].dtype.kind == "f":
        return each(np.divide, *constants)
    return each(_FOLDED[name], *constants) if name in _FOLDED else None


def _shaped(name: str, parameters: dict[str, Any], constants: list[Constant]) -> Constant | None:
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


def each(function: Callable[..., Any], *constants: Constant) -> Constant:
    """Return a function of constants, in their dtype, for each of their values."""
    columns = zip(*(c.values for c in constants), strict=True)
    with np.errstate(all="ignore"):
        return Constant(tuple(np.asarray(function(*v), v[0].dtype) for v in columns))
