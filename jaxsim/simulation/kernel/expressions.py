"""From a jaxpr to statements of C: how activations, losses and optimizers reach the kernel.

The functions that the other engines run are traced, and their elementwise operations written as C
on vectors of lanes, so that there is one definition of each. An array of a jaxpr becomes a NumPy
array of values, one C expression each: reshaping and broadcasting cost nothing, reductions are
unrolled. A value is *varying* if it differs from lane to lane, else *uniform*: step counts, bias
corrections and learning rates are computed once per step.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

LARGEST_CONSTANT = 256


class Untranslatable(Exception):
    """A function does something that the kernel cannot; the message says what."""


class Value(NamedTuple):
    """A C expression.

    Attributes:
        text: a variable or a literal.
        dtype: as in the jaxpr.
        varying: a vector of lanes instead of one number.
        literal: the number, if it is one.
    """

    text: str
    dtype: np.dtype
    varying: bool = False
    literal: Any = None


Values = Any
"""A NumPy array of `Value`s, which type checkers cannot express."""

_CTYPES = {
    "float32": "float",
    "float64": "double",
    "int32": "int32_t",
    "int64": "int64_t",
    "uint32": "uint32_t",
    "uint64": "uint64_t",
    "bool": "int",
}
_ARITHMETIC = {"add": "+", "add_any": "+", "sub": "-", "mul": "*"}
_COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_LOGIC = {"and": "&", "or": "|", "xor": "^"}
_FUNCTIONS = (
    *("exp", "expm1", "log", "log1p", "tanh", "sinh", "cosh", "sin", "cos", "erf", "erfc"),
    *("atan", "asinh", "exp2", "cbrt"),
)
_INNER = ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint")
_SAME = ("copy", "copy_p", "stop_gradient", "optimization_barrier", "reduce_precision")


class Statements:
    """C statements in two parts, of which the uniform ones come first.

    Attributes:
        real: the dtype of all varying floating-point values.
        uniform: statements computed once.
        varying: statements computed for every vector of lanes.
    """

    def __init__(self, real: np.dtype) -> None:
        self.real = np.dtype(real)
        self.uniform: list[str] = []
        self.varying: list[str] = []

    def trace(
        self, function: Callable, examples: Sequence[Any], inputs: Iterable[Values]
    ) -> list[Values]:
        """Add the statements of a function; return its outputs, flattened.

        Args:
            function: pure JAX function of arrays or pytrees.
            examples: arguments of the right shapes and dtypes.
            inputs: an array of values for each of the arguments' leaves.

        Raises:
            Untranslatable: if one of its operations cannot be written so.
        """
        closed = jax.make_jaxpr(function)(*examples)
        return self._run(closed.jaxpr, closed.consts, list(inputs))

    def name(self, text: str, dtype: Any, varying: bool) -> Value:
        """Return a new variable with the value of an expression."""
        dtype = np.dtype(dtype)
        if varying:
            if dtype.kind == "f" and dtype != self.real:
                raise Untranslatable(f"it computes in {dtype} while training in {self.real}")
            variable = f"v{len(self.varying)}"
            kind = "vec" if dtype.kind == "f" else "mask"
            self.varying.append(f"const {kind} {variable} = {text};")
        else:
            if dtype.name not in _CTYPES:
                raise Untranslatable(f"it computes in {dtype}")
            variable = f"u{len(self.uniform)}"
            self.uniform.append(f"const {_CTYPES[dtype.name]} {variable} = {text};")
        return Value(variable, dtype, varying)

    def vector(self, value: Value) -> str:
        """Return the text of a value as a vector of lanes."""
        if value.varying:
            return value.text
        if value.dtype.kind == "f":
            return f"splat({value.text})"
        if value.dtype.kind == "b":
            return f"splat_integer(-(integer)({value.text}))"
        return f"splat_integer({value.text})"

    def _run(self, jaxpr: Any, consts: Sequence[Any], inputs: list[Values]) -> list[Values]:
        known: dict[Any, Values] = {}

        def read(atom: Any) -> Values:
            return constant(atom.val) if hasattr(atom, "val") else known[atom]

        for variable, value in zip(jaxpr.constvars, consts, strict=True):
            known[variable] = constant(value)
        known.update(zip(jaxpr.invars, inputs, strict=True))
        for equation in jaxpr.eqns:
            outputs = self._apply(equation, [read(atom) for atom in equation.invars])
            known.update(zip(equation.outvars, outputs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _apply(self, equation: Any, inputs: list[Values]) -> list[Values]:
        name, parameters = equation.primitive.name, equation.params
        if name in _INNER:
            inner = parameters.get("jaxpr") or parameters.get("call_jaxpr")
            if hasattr(inner, "jaxpr"):
                return self._run(inner.jaxpr, inner.consts, inputs)
            return self._run(inner, (), inputs)
        shape, dtype = equation.outvars[0].aval.shape, equation.outvars[0].aval.dtype
        if name in _SAME:
            return inputs
        if name in _SHAPES:
            return [_SHAPES[name](shape, parameters, *inputs)]
        if name in _REDUCTIONS:
            combine = functools.partial(self._elementwise, _REDUCTIONS[name], dtype, {})
            return [_reduced(combine, inputs[0], parameters["axes"])]
        if name == "gather":
            return [self._gather(parameters, *inputs)]
        if name == "scatter-add":
            return [self._scatter_add(parameters, *inputs)]
        one = functools.partial(self._elementwise, name, dtype, parameters)
        broadcast: list[Values] = list(np.broadcast_arrays(*inputs))
        found = np.empty(broadcast[0].shape, object)
        for place in np.ndindex(found.shape):
            found[place] = one(*(array[place] for array in broadcast))
        return [found]

    def _elementwise(self, name: str, dtype: Any, parameters: Any, *values: Value) -> Value:
        varying = any(value.varying for value in values)
        text = self._varying(name, parameters, values) if varying else None
        if not varying:
            text = _uniform(name, np.dtype(dtype), parameters, values)
        if text is None:
            raise Untranslatable(f"the kernel does not know the operation {name!r}")
        return self.name(text, dtype, varying)

    def _varying(self, name: str, parameters: Any, values: Sequence[Value]) -> str | None:
        first, *rest = values
        if name == "div" and not rest[0].varying and first.dtype.kind == "f":
            # One division for all lanes and parameters, for half a unit of the last place.
            inverse = self.name(f"1 / {rest[0].text}", first.dtype, False)
            return f"{first.text} * {self.vector(inverse)}"
        a, *others = (self.vector(value) for value in values)
        floating = first.dtype.kind == "f"
        plain = _plain(name, a, others, floating)
        if plain is not None:
            return plain
        if name in _COMPARISONS:
            return f"(mask)({a} {_COMPARISONS[name]} {others[0]})"
        if name in ("max", "min"):
            return self._extreme("<" if name == "max" else ">", a, others[0], values)
        if name == "select_n" and first.dtype.kind == "b":
            kind = "select" if values[1].dtype.kind == "f" else "select_integer"
            return f"{kind}({a}, {others[1]}, {others[0]})"
        if name == "convert_element_type":
            return _converted(a, first.dtype, np.dtype(parameters["new_dtype"]))
        if name == "not" and first.dtype.kind == "b":
            return f"~{a}"
        if name == "abs" and floating:
            return f"absolute({a})"
        if name == "sign" and floating:
            return f"signum({a})"
        if name == "is_finite":
            return f"is_finite({a})"
        if name == "integer_pow":
            return _power(a, parameters["y"], "splat(1)")
        if name == "sqrt":
            return f"square_root({a})"
        if name == "rsqrt":
            return f"splat(1) / square_root({a})"
        if name == "logistic":
            return f"splat(1) / (splat(1) + exp_(-{a}))"
        if name == "pow":
            return f"pow_({a}, {others[0]})"
        if name == "bitcast_convert_type":
            new = np.dtype(parameters["new_dtype"])
            same = new.itemsize == first.dtype.itemsize == self.real.itemsize
            return f"({'vec' if new.kind == 'f' else 'mask'}){a}" if same else None
        if name == "one_minus_square":
            return f"(splat(1) - {a}) * (splat(1) + {a})"
        if name == "polynomial":
            return _horner(a, others)
        if name in _FUNCTIONS:
            return f"{name}_({a})"
        return None

    def _extreme(self, sign: str, a: str, b: str, values: Sequence[Value]) -> str:
        """Return the larger (or smaller) of two, not-a-number if one of them is."""
        select = "select" if values[0].dtype.kind == "f" else "select_integer"
        if values[1].literal is not None:
            return f"{select}((mask)({a} {sign} {b}), {b}, {a})"
        if values[0].literal is not None:
            return f"{select}((mask)({b} {sign} {a}), {a}, {b})"
        return f"{select}((mask)({a} {sign} {b}) | (mask)({b} != {b}), {b}, {a})"

    def _gather(self, parameters: Any, operand: Values, indices: Values) -> Values:
        numbers = parameters["dimension_numbers"]
        plain = numbers.collapsed_slice_dims == (0,) and numbers.offset_dims == ()
        if operand.ndim != 1 or not plain or indices.shape[-1] != 1:
            raise Untranslatable("the kernel knows no gather but that of numbers from a vector")
        fill = constant(np.asarray(np.nan, operand[0].dtype))[()]
        found = np.empty(indices.shape[:-1], object)
        for place in np.ndindex(found.shape):
            text = self.vector(fill)
            for k, value in enumerate(operand):
                here = f"(mask)({self.vector(indices[place][0])} == {k})"
                text = f"select({here}, {self.vector(value)}, {text})"
            found[place] = self.name(text, operand[0].dtype, True)
        return found

    def _scatter_add(
        self, parameters: Any, operand: Values, indices: Values, updates: Values
    ) -> Values:
        numbers = parameters["dimension_numbers"]
        plain = numbers.inserted_window_dims == (0,) and numbers.update_window_dims == ()
        if operand.ndim != 1 or not plain or indices.shape[-1] != 1:
            raise Untranslatable("the kernel knows no scatter but that of numbers into a vector")
        found = operand.copy()
        for place in np.ndindex(updates.shape):
            for k in range(len(found)):
                here = f"(mask)({self.vector(indices[place][0])} == {k})"
                text = f"select({here}, {self.vector(updates[place])}, splat(0))"
                text = f"{self.vector(found[k])} + {text}"
                found[k] = self.name(text, operand[0].dtype, True)
        return found


def constant(array: Any) -> Values:
    """Return the literals of an array.

    Raises:
        Untranslatable: if it is large.
    """
    array = np.asarray(array)
    if array.size > LARGEST_CONSTANT or array.dtype.name not in _CTYPES:
        raise Untranslatable(f"it contains a constant {array.dtype}{list(array.shape)}")
    found = np.empty(array.shape, object)
    for place in np.ndindex(array.shape):
        number = array[place]
        found[place] = Value(_literal(number), array.dtype, False, number)
    return found


def inputs(prefix: str, shape: tuple[int, ...], dtype: Any, varying: bool) -> Values:
    """Return an array of variables prefix_0, prefix_1, ..."""
    found = np.empty(shape, object)
    for number, place in enumerate(np.ndindex(shape)):
        found[place] = Value(f"{prefix}_{number}", np.dtype(dtype), varying)
    return found


def ctype(dtype: Any) -> str:
    """Return the C type of a uniform value."""
    return _CTYPES[np.dtype(dtype).name]


def _literal(number: Any) -> str:
    if number.dtype.kind != "f":
        return str(int(number))
    value, suffix = float(number), "f" if number.dtype == np.float32 else ""
    if math.isnan(value):
        return f"(({_CTYPES[number.dtype.name]})NAN)"
    if math.isinf(value):
        return f"(({_CTYPES[number.dtype.name]}){'-' if value < 0 else ''}INFINITY)"
    return f"({value.hex()}{suffix})"


def _plain(name: str, a: str, rest: Sequence[str], floating: bool) -> str | None:
    """Return what C writes alike for numbers and for vectors, None for other operations."""
    if name in _ARITHMETIC:
        return f"{a} {_ARITHMETIC[name]} {rest[0]}"
    if name in _LOGIC:
        return f"{a} {_LOGIC[name]} {rest[0]}"
    if name == "div" and floating:
        return f"{a} / {rest[0]}"
    if name == "neg":
        return f"-{a}"
    if name == "square":
        return f"{a} * {a}"
    return None


def _uniform(name: str, dtype: np.dtype, parameters: Any, values: Sequence[Value]) -> str | None:
    a, *rest = (value.text for value in values)
    plain = _plain(name, a, rest, dtype.kind == "f")
    if plain is not None:
        return plain
    if name in _COMPARISONS:
        return f"{a} {_COMPARISONS[name]} {rest[0]}"
    if name in ("max", "min"):
        sign = "<" if name == "max" else ">"
        return f"({a} {sign} {rest[0]} || {rest[0]} != {rest[0]}) ? {rest[0]} : {a}"
    if name == "select_n" and values[0].dtype.kind == "b":
        return f"{a} ? {rest[1]} : {rest[0]}"
    if name == "convert_element_type":
        return f"{a} != 0" if dtype.kind == "b" else f"({ctype(dtype)})({a})"
    if name == "not" and dtype.kind == "b":
        return f"!{a}"
    if name == "is_finite":
        return f"isfinite({a})"
    if name == "integer_pow":
        return _power(a, parameters["y"], "1")
    if dtype.kind != "f":
        return None
    suffix = "f" if dtype == np.float32 else ""
    if name == "abs":
        return f"fabs{suffix}({a})"
    if name == "rsqrt":
        return f"1 / sqrt{suffix}({a})"
    if name == "pow":
        return f"pow{suffix}({a}, {rest[0]})"
    if name in ("sqrt", "floor", "ceil", *_FUNCTIONS):
        return f"{name}{suffix}({a})"
    return None


def _converted(a: str, old: np.dtype, new: np.dtype) -> str | None:
    if old.kind == "f" and new.kind == "f":
        return a
    if old.kind == "b":
        return f"select({a}, splat(1), splat(0))" if new.kind == "f" else f"-{a}"
    if old.kind in "iu" and new.kind == "f":
        return f"__builtin_convertvector({a}, vec)"
    if old.kind == "f" and new.kind in "iu":
        return f"__builtin_convertvector({a}, mask)"
    if old.kind in "iu" and new.kind in "iu":
        return a
    return None


def _power(a: str, exponent: int, one: str) -> str:
    if exponent < 0:
        return f"{one} / ({_power(a, -exponent, one)})"
    if exponent == 0:
        return one
    half = f"({_power(a, exponent // 2, one)})" if exponent > 1 else ""
    square = f"{half} * {half}" if exponent > 1 else ""
    if exponent % 2 == 0:
        return square
    return f"{square} * {a}" if square else a


def _horner(x: str, coefficients: Sequence[str]) -> str:
    """Return c_0 + c_1 x + c_2 x^2 + ..."""
    *lower, text = coefficients
    for coefficient in reversed(lower):
        text = f"({coefficient} + {x} * {text})"
    return text


def _reduced(combine: Callable, array: Values, axes: tuple[int, ...]) -> Values:
    kept = [axis for axis in range(array.ndim) if axis not in axes]
    rows = array.transpose(*kept, *axes).reshape(*(array.shape[axis] for axis in kept), -1)
    found = np.empty(rows.shape[:-1], object)
    for place in np.ndindex(found.shape):
        found[place] = functools.reduce(combine, rows[place])
    return found


def _broadcast(shape: Any, parameters: Any, array: Values, *_: Values) -> Values:
    places = parameters["broadcast_dimensions"]
    expanded = [1] * len(shape)
    for axis, place in enumerate(places):
        expanded[place] = array.shape[axis]
    return np.broadcast_to(array.reshape(expanded), shape)


def _sliced(shape: Any, parameters: Any, array: Values) -> Values:
    strides = parameters["strides"] or (1,) * array.ndim
    bounds = zip(parameters["start_indices"], parameters["limit_indices"], strides, strict=True)
    return array[tuple(slice(*bound) for bound in bounds)]


def _iota(shape: Any, parameters: Any) -> Values:
    axis = parameters["dimension"]
    line = np.arange(shape[axis], dtype=parameters["dtype"])
    along = [1] * len(shape)
    along[axis] = shape[axis]
    return constant(np.broadcast_to(line.reshape(along), shape))


_REDUCTIONS = {
    "reduce_sum": "add",
    "reduce_max": "max",
    "reduce_min": "min",
    "reduce_prod": "mul",
    "reduce_and": "and",
    "reduce_or": "or",
}
_SHAPES: dict[str, Callable[..., Values]] = {
    "broadcast_in_dim": _broadcast,
    "reshape": lambda shape, _, array: array.reshape(shape),
    "squeeze": lambda shape, _, array: array.reshape(shape),
    "expand_dims": lambda shape, _, array: array.reshape(shape),
    "transpose": lambda _, parameters, array: array.transpose(parameters["permutation"]),
    "concatenate": lambda _, parameters, *arrays: np.concatenate(arrays, parameters["dimension"]),
    "slice": _sliced,
    "iota": _iota,
}
