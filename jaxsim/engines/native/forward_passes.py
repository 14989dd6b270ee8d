"""A network's passes over points by compiled programs."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.engines.native import library
from jaxsim.engines.native.points import (
    REAL,
    ROWS,
    lanes_of,
    preactivation_range_source,
    values_source,
)
from jaxsim.engines.native.program import Source
from jaxsim.network.forward_passes import ForwardPasses, PreactivationRange, Values
from jaxsim.network.network import Network


def native_forward_passes(network: Network) -> ForwardPasses:
    """Return the passes of a fully-connected network, for theta and points in float64.

    They are compiled when they are first used, which raises InputError where that fails.

    Raises:
        Untranslatable: if the activation cannot be written in C.
    """
    activation = network.activation
    assert activation is not None
    target = library.target()
    neurons, width = sum(network.hidden), network.outputs
    of_values, of_range = (
        values_source(network, target),
        preactivation_range_source(network, target),
    )
    tracked = 1 if activation.piecewise_linear else 2

    def outputs(theta: Array, x: Array) -> Values:
        points = _in_vectors(x, lanes_of(target))
        shape = (points.shape[0], width, points.shape[2])
        shapes = [shape, *[(neurons,)] * tracked]
        out, *maxima = _call(of_values, shapes, theta, points)
        out = jnp.swapaxes(out, 1, 2).reshape(-1, width)[: x.shape[0]]
        sizes, *slopes = (_by_layer(network, layer_maxima) for layer_maxima in maxima)
        steep = slopes[0] if slopes else ()
        return Values(out, (jnp.abs(x).max(0), *sizes), steep)

    def preactivation_range(theta: Array, x: Array) -> PreactivationRange:
        points = _in_vectors(x, lanes_of(target))
        lowest, highest = _call(of_range, [(neurons,), (neurons,)], theta, points)
        return tuple(zip(_by_layer(network, -lowest), _by_layer(network, highest), strict=True))

    return ForwardPasses(outputs, preactivation_range)


def _call(
    source: Source, shapes: Sequence[tuple[int, ...]], theta: Array, points: Array
) -> list[Array]:
    results = [jax.ShapeDtypeStruct(shape, REAL) for shape in (*shapes, (source.scratch,))]
    name = library.load(source)
    results_and_scratch = jax.ffi.ffi_call(name, results, vmap_method="expand_dims")(theta, points)
    return list(results_and_scratch[:-1])


def _in_vectors(x: Array, lanes: int) -> Array:
    """Return points [n, inputs] as [vector, inputs, lane], the last one repeated to fill up."""
    block = lanes * ROWS
    fill = -x.shape[0] % block
    if fill:
        x = jnp.concatenate([x, jnp.repeat(x[-1:], fill, axis=0)])
    return jnp.swapaxes(x.reshape(-1, lanes, x.shape[1]), 1, 2)


def _by_layer(network: Network, neurons: Array) -> tuple[Array, ...]:
    widths = network.hidden
    ends = np.cumsum(widths, dtype=int)
    return tuple(neurons[end - width : end] for width, end in zip(widths, ends, strict=True))
