"""The C programs of a network's passes over points, for risks and inactive neurons, in float64.

Lanes are points here, all with the parameters of one member. A few vectors of points go through all
layers before the next ones do, so that nothing leaves the cache.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim.engines.native.layers import Layers
from jaxsim.engines.native.products import Operand
from jaxsim.engines.native.program import BEGIN, END, Source, Target, preamble
from jaxsim.engines.native.values import Untranslatable
from jaxsim.network.network import Network

REAL = np.dtype(np.float64)
ROWS = 4
"""Vectors of points that go through the layers together."""


def lanes_of(target: Target) -> int:
    """Return the points of a vector."""
    return target.vector_bytes // REAL.itemsize


def values_source(network: Network, target: Target) -> Source:
    """Return the program for the values of a network and how large everything became.

    Its arguments are theta [member, P] and the points [vector, inputs, lane], which members may
    have each for themselves; its results are the values [member, vector, outputs, lane], the
    largest |activation| [member, hidden neurons], for smooth activations the largest |slope| alike,
    and scratch memory. The number of vectors is a multiple of `ROWS`.

    Args:
        network: fully connected.
        target: of the compiler.

    Raises:
        Untranslatable: if the activation cannot be written in C.
    """
    activation = network.activation
    assert activation is not None
    tracked = ["sizes"] if activation.piecewise_linear else ["sizes", "slopes"]
    follow = ["raise(sizes + k * V, absolute(a));"]
    if not activation.piecewise_linear:
        follow.append("raise(slopes + k * V, absolute(slope(t)));")
    return _source(network, target, tracked, follow, True)


def preactivation_range_source(network: Network, target: Target) -> Source:
    """Return the program for the extremes of a network's pre-activations.

    As that of `values_source`, with the results -min z and max z [member, hidden neurons].
    """
    follow = ["raise(lowest + k * V, -t);", "raise(highest + k * V, t);"]
    return _source(network, target, ["lowest", "highest"], follow, False)


def _source(
    network: Network, target: Target, tracked: Sequence[str], follow: Sequence[str], values: bool
) -> Source:
    """Return a program that keeps maxima of what `follow` says of each neuron k.

    Its pre-activation is t there, and its activation a.
    """
    activation = network.activation
    if activation is None or not network.fully_connected:
        raise Untranslatable("the network is a module of the user's own")
    vector, neurons = lanes_of(target), sum(network.hidden)
    layers = Layers(network, REAL, target, ROWS)
    accumulators = {name: layers.reserve(neurons) for name in tracked}
    first = 1 if values else 0
    body, h, place = [], Operand("x", network.inputs, 1, "V"), 0
    parameters = layers.parameters("theta", "1", one=True)
    last = len(network.hidden)
    for number, (spec, layer_parameters) in enumerate(
        zip(network.layer_specs, parameters, strict=True)
    ):
        if number == last:
            if values:
                to = Operand("out", network.outputs, 1, "V")
                body += layers.forward(spec, h, layer_parameters, _store(to))
            break
        needed = values or number + 1 < last
        to = layers.buffer(spec.fan_out)
        body += layers.forward(spec, h, layer_parameters, _follow(to, place, needed, follow))
        h, place = to, place + spec.fan_out

    function = activation.function
    lines = [*preamble(REAL, vector, vector), *layers.function("activation", function, ["z"])]
    if "slopes" in tracked:
        lines += layers.function(
            "slope", lambda z: jax.jvp(function, (z,), (jnp.ones_like(z),))[1], ["z"]
        )
    lines += [
        *BEGIN,
        "const XLA_FFI_Buffer *const points = frame->args.args[1];",
        f"const size_t members = count(frame->args.args[0]) / {max(1, network.size)};",
        "const size_t vectors = points->dims[points->rank - 3];",
        f"const size_t all = vectors * {network.inputs} * V;",
        "const size_t own = count(points) > all ? all : 0;",
        "for (size_t member = 0; member < members; member++) {",
        f"const real *const theta = (const real *)argument(frame, 0) + member * {network.size};",
        "const real *x = (const real *)argument(frame, 1) + member * own;",
        f"real *const scratch = (real *)result(frame, {first + len(tracked)})"
        f" + member * {layers.scratch} * V;",
        f"real *const pack = scratch + {layers.room} * V; (void)pack;",
    ]
    if values:
        out = f"(real *)result(frame, 0) + member * vectors * {network.outputs} * V"
        lines.append(f"real *out = {out};")
    for name in tracked:
        start = "0" if values else "(real)-INFINITY"
        lines.append(f"real *const {name} = {accumulators[name]};")
        lines.append(f"for (int k = 0; k < {neurons}; k++) store({name} + k * V, splat({start}));")
    lines.append(f"for (size_t v = 0; v < vectors; v += {ROWS}) {{")
    lines += body
    lines.append(f"x += {ROWS * network.inputs} * V;")
    if values:
        lines.append(f"out += {ROWS * network.outputs} * V;")
    lines.append("}")
    for number, name in enumerate(tracked, first):
        to = f"(real *)result(frame, {number}) + member * {neurons}"
        lines.append(f"{{ real *const to = {to};")
        lines.append(f"for (int k = 0; k < {neurons}; k++) to[k] = largest({name} + k * V); }}")
    return Source("\n".join([*lines, "}", *END, ""]), layers.scratch * vector)


def _store(to: Operand):
    return lambda m, n, text: f"store({to.at(m, n)}, {text});"


def _follow(to: Operand, first: int, needed: bool, statements: Sequence[str]):
    """Return what follows a hidden neuron's pre-activation, and stores its activation if needed."""

    def finish(m: str, n: str, text: str) -> str:
        keep = f"store({to.at(m, n)}, a);" if needed else ""
        return (
            f"{{ const vec t = {text}, a = activation(t); const int k = {first} + {n}; (void)a;"
            f" {keep} {' '.join(statements)} }}"
        )

    return finish
