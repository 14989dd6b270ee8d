"""From a jaxpr to statements of C: how activations, losses and optimizers reach the native engine.

The functions that the other engines run are traced, and their elementwise operations written as C
on vectors of lanes, so that there is one definition of each. An array of a jaxpr becomes a NumPy
array of values, one C expression each: reshaping and broadcasting cost nothing, reductions are
unrolled. A value is *varying* if it differs from lane to lane, else *uniform*: step counts, bias
corrections and learning rates are computed once per step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np

from jaxsim.engines.native import operations
from jaxsim.engines.native.values import (
    Untranslatable,
    Value,
    Values,
    constant,
    ctype,
    vector,
)
from jaxsim.traces import called

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
            variable = f"u{len(self.uniform)}"
            self.uniform.append(f"const {ctype(dtype)} {variable} = {text};")
        return Value(variable, dtype, varying)

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
        inner = called(equation)
        if inner is not None:
            return self._run(*inner, inputs)
        shape, dtype = equation.outvars[0].aval.shape, equation.outvars[0].aval.dtype
        if name in _SAME:
            return inputs
        if name in _SHAPES:
            return [_SHAPES[name](shape, parameters, *inputs)]
        if name in _REDUCTIONS:
            combine = functools.partial(self._elementwise, _REDUCTIONS[name], dtype, {})
            return [_reduced(combine, inputs[0], parameters["axes"])]
        if name == "dot_general":
            return [self._product(parameters, dtype, *inputs)]
        if name == "gather":
            return [self._gather(parameters, *inputs)]
        if name == "scatter-add":
            return [self._scatter_add(parameters, *inputs)]
        elementwise = functools.partial(self._elementwise, name, dtype, parameters)
        broadcast: list[Values] = list(np.broadcast_arrays(*inputs))
        values = np.empty(broadcast[0].shape, object)
        for place in np.ndindex(values.shape):
            values[place] = elementwise(*(array[place] for array in broadcast))
        return [values]

    def _elementwise(self, name: str, dtype: Any, parameters: Any, *values: Value) -> Value:
        varying = any(value.varying for value in values)
        if varying and name == "div" and not values[1].varying and self.real == dtype:
            # One division for all lanes and parameters, for half a unit of the last place.
            inverse = self.name(f"1 / {values[1].text}", dtype, False)
            return self.name(f"{values[0].text} * {vector(inverse)}", dtype, True)
        if varying:
            text = operations.varying(name, self.real, parameters, values)
        else:
            text = operations.uniform(name, np.dtype(dtype), parameters, values)
        if text is None:
            raise Untranslatable(f"the native engine does not know the operation {name!r}")
        return self.name(text, dtype, varying)

    def _product(self, parameters: Any, dtype: Any, a: Values, b: Values) -> Values:
        (of_a, of_b), batch = parameters["dimension_numbers"]
        if any(batch):
            raise Untranslatable("the native engine knows no products of batches of matrices")
        rows, columns = (
            np.moveaxis(array, axes, range(len(axes))).reshape(-1, *_without(array.shape, axes))
            for array, axes in ((a, of_a), (b, of_b))
        )
        multiply = functools.partial(self._elementwise, "mul", dtype, {})
        add = functools.partial(self._elementwise, "add", dtype, {})
        product = np.empty(rows.shape[1:] + columns.shape[1:], object)
        for place in np.ndindex(product.shape):
            row, column = place[: rows.ndim - 1], place[rows.ndim - 1 :]
            pairs = zip(rows[(slice(None), *row)], columns[(slice(None), *column)], strict=True)
            product[place] = functools.reduce(add, [multiply(*pair) for pair in pairs])
        return product

    def _gather(self, parameters: Any, operand: Values, indices: Values) -> Values:
        numbers = parameters["dimension_numbers"]
        plain = numbers.collapsed_slice_dims == (0,) and numbers.offset_dims == ()
        if operand.ndim != 1 or not plain or indices.shape[-1] != 1:
            raise Untranslatable("the native engine gathers numbers from vectors only")
        fill = constant(np.asarray(np.nan, operand[0].dtype))[()]
        gathered = np.empty(indices.shape[:-1], object)
        for place in np.ndindex(gathered.shape):
            text = vector(fill)
            for k, value in enumerate(operand):
                here = f"(mask)({vector(indices[place][0])} == {k})"
                text = f"select({here}, {vector(value)}, {text})"
            gathered[place] = self.name(text, operand[0].dtype, True)
        return gathered

    def _scatter_add(
        self, parameters: Any, operand: Values, indices: Values, updates: Values
    ) -> Values:
        numbers = parameters["dimension_numbers"]
        plain = numbers.inserted_window_dims == (0,) and numbers.update_window_dims == ()
        if operand.ndim != 1 or not plain or indices.shape[-1] != 1:
            raise Untranslatable("the native engine scatters numbers into vectors only")
        scattered = operand.copy()
        for place in np.ndindex(updates.shape):
            for k in range(len(scattered)):
                here = f"(mask)({vector(indices[place][0])} == {k})"
                text = f"select({here}, {vector(updates[place])}, splat(0))"
                text = f"{vector(scattered[k])} + {text}"
                scattered[k] = self.name(text, operand[0].dtype, True)
        return scattered


def _reduced(combine: Callable, array: Values, axes: tuple[int, ...]) -> Values:
    kept = [axis for axis in range(array.ndim) if axis not in axes]
    rows = array.transpose(*kept, *axes).reshape(*(array.shape[axis] for axis in kept), -1)
    reduced = np.empty(rows.shape[:-1], object)
    for place in np.ndindex(reduced.shape):
        reduced[place] = functools.reduce(combine, rows[place])
    return reduced


def _without(shape: tuple[int, ...], axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


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
