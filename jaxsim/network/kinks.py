"""Kinks of a network with one input: where on [low, high] it is not smooth.

A fully-connected network with a piecewise linear activation is itself piecewise linear in a scalar
input. Its kinks are found layer by layer: between two known points every pre-activation of the next
layer is affine, so that it passes a breakpoint of the activation at most once, at a point that
linear interpolation gives. For other activations only the kinks of the first layer are found.

Shapes are fixed, as JAX wants them: a grid has room for a stated number of pieces; absent kinks are
moved to the right end, where they make pieces of length zero. Time grows with the room, and most
networks need a third of it: a few members of a batch are tried in a small room first, and the large
one is taken for those that do not fit. A grid's kinks have the same bits in both.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.custom_batching
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.network.network import Network
from jaxsim.network.sorting import increasing, put, ranks

LEAST_CAPACITY = 64
SMALL_SHARE = 0.4
"""Part of the capacity that is tried first: nearly all networks as usually drawn fit."""
TRIED_TOGETHER = 16
"""Members of a batch that are tried together: one that does not fit costs all of them."""
_NARROW = 8
_LONG = 512


def capacity(network: Network, pieces: int | None = None) -> int:
    """Return the number of pieces for which the grid of a network has room.

    The worst case of a network with n_l breakpoints in layer l (neurons times breakpoints of the
    activation) is prod_l (n_l + 1); random and trained networks have about sum_l n_l (Hanin and
    Rolnick 2019, "Complexity of linear regions in deep networks").
    """
    counts = _counts(network)
    worst = int(np.prod([count + 1 for count in counts], dtype=object))
    room = max(LEAST_CAPACITY, 2 * sum(counts)) if pieces is None else pieces
    return min(worst, room)


def network_kinks(
    network: Network,
    theta: Array,
    low: float,
    high: float,
    pieces: int | None = None,
    extra: tuple[float, ...] = (),
) -> tuple[Array, Array]:
    """Return the sorted grid [capacity + 1 + len(extra)] of kinks, and whether it is complete.

    Args:
        network: fully connected, with one input.
        theta: parameters [P]; the grid has their dtype and is constant to derivatives.
        low: left end, the first point of the grid.
        high: right end, the last point of the grid.
        pieces: capacity; None for the default.
        extra: points of [low, high] that the grid shall hold besides.
    """
    room = capacity(network, pieces)
    searched = network.activation is not None and network.activation.piecewise_linear

    def kinks(theta: Array, room: int) -> tuple[Array, Array]:
        return _kinks(network, theta, (low, high), room, extra)

    small = int(SMALL_SHARE * room)
    theta = jax.lax.stop_gradient(theta)
    if len(network.hidden) < 3 or not searched or small < LEAST_CAPACITY // 2:
        return kinks(theta, room)
    length = room + len(extra) + 1

    def tried(theta: Array) -> tuple[Array, Array]:
        grid, complete = kinks(theta, small)
        return jnp.concatenate([grid, jnp.full(length - grid.size, high, grid.dtype)]), complete

    def group(thetas: Array) -> tuple[Array, Array]:
        grids, fit = jax.vmap(tried)(thetas)

        def again() -> tuple[Array, Array]:
            others, complete = jax.vmap(lambda theta: kinks(theta, room))(thetas)
            # Whoever else is in the group, a member has the bits of the room that it fits.
            return jnp.where(fit[:, None], grids, others), complete

        return jax.lax.cond(fit.all(), lambda: (grids, fit), again)

    @jax.custom_batching.custom_vmap
    def adaptive(theta: Array) -> tuple[Array, Array]:
        grids, complete = group(theta[None])
        return grids[0], complete[0]

    @adaptive.def_vmap
    def _(members: int, batched: list[bool], thetas: Array) -> tuple[Any, Any]:
        # On a GPU all members run at once, and one of thousands does not fit.
        if members <= TRIED_TOGETHER:
            kinks_of_all = group(thetas)
        elif jax.default_backend() != "cpu" or members % TRIED_TOGETHER:
            kinks_of_all = jax.vmap(lambda theta: kinks(theta, room))(thetas)
        else:
            groups = jax.lax.map(group, thetas.reshape(-1, TRIED_TOGETHER, thetas.shape[1]))
            kinks_of_all = jax.tree.map(lambda a: a.reshape(members, *a.shape[2:]), groups)
        return kinks_of_all, (True, True)

    return adaptive(theta)


def _kinks(
    network: Network,
    theta: Array,
    interval: tuple[float, float],
    room: int,
    extra: tuple[float, ...],
) -> tuple[Array, Array]:
    """Return the grid with room for a number of pieces, and whether it is complete."""
    low, high = interval
    activation = network.activation
    assert activation is not None
    breakpoints = jnp.asarray(activation.breakpoints, theta.dtype)
    layers = network.layers(theta)[:-1]
    ends = jnp.clip(jnp.asarray([low, high, *extra], theta.dtype), low, high)
    if not layers or not breakpoints.size:
        return increasing(ends)[0], jnp.asarray(True)

    weights, biases = layers[0]
    first = _interior((breakpoints[:, None] - biases) / weights[0], low, high).ravel()
    size = min(room, first.size + 1)
    (grid,) = increasing(jnp.concatenate([ends, first]))
    complete = (first < high).sum() < size
    grid = _truncate(grid, size + len(extra), high)
    if len(layers) == 1 or not activation.piecewise_linear:
        return grid, complete

    h = activation.function(grid[:, None] * weights + biases)
    deeper = layers[1:]
    if len(deeper) > 2 and all(w.shape == deeper[0][0].shape for w, _ in deeper):
        # Equal shapes from layer to layer: one program for all of them compiles in no time.
        missing = room - size
        grid = jnp.concatenate([grid, jnp.full(missing, high, grid.dtype)])
        h = jnp.concatenate([h, jnp.broadcast_to(h[-1], (missing, h.shape[1]))])
        stacked = tuple(jnp.stack(arrays) for arrays in zip(*deeper, strict=True))

        def step(carry: tuple, layer: tuple) -> tuple[tuple, None]:
            grid, h, complete = carry
            grid, z, fits = _refine(grid, h @ layer[0] + layer[1], breakpoints, grid.size - 1, high)
            return (grid, activation.function(z), complete & fits), None

        grid, _, complete = jax.lax.scan(step, (grid, h, complete), stacked)[0]
        return grid, complete
    for number, (weights, biases) in enumerate(deeper, start=1):
        size = min(room, size * (_counts(network)[number] + 1))
        z = h @ weights + biases
        grid, z, fits = _refine(grid, z, breakpoints, size + len(extra), high)
        complete &= fits
        h = activation.function(z)
    return grid, complete


def _counts(network: Network) -> list[int]:
    """Return the number of breakpoints per layer in which kinks are looked for."""
    activation = network.activation
    if activation is None or not network.hidden:
        return [0]
    searched = network.hidden if activation.piecewise_linear else network.hidden[:1]
    return [width * len(activation.breakpoints) for width in searched]


def _interior(x: Array, low: float, high: float) -> Array:
    """Return x where it lies inside (low, high), else high; not-a-number counts as outside."""
    return jnp.where((x > low) & (x < high), x, jnp.asarray(high, x.dtype))


def _truncate(grid: Array, pieces: int, high: float) -> Array:
    """Keep a grid's first `pieces` pieces and end it at `high`."""
    return jnp.concatenate([grid[:pieces], jnp.full(1, high, grid.dtype)])


def _refine(
    grid: Array, z: Array, breakpoints: Array, pieces: int, high: float
) -> tuple[Array, Array, Array]:
    """Add the points where a column of z, affine in between, passes a breakpoint.

    Sorting is what costs most: only the new points are sorted, in narrow layers by counting inside
    each piece, and all positions in the new grid follow from counts.

    Returns:
        (grid [pieces + 1], z there [pieces + 1, units], whether there was room for all).
    """
    below = z[:, :, None] - breakpoints
    left, right = below[:-1], below[1:]
    crosses = ((left < 0) & (right > 0)) | ((left > 0) & (right < 0))
    crosses &= jnp.isfinite(left - right)  # infinities cross nowhere that could be said
    shares = jnp.where(crosses, left / jnp.where(crosses, left - right, 1), 0)
    old = grid.size - 1
    crosses, shares = crosses.reshape(old, -1), shares.reshape(old, -1)
    per_piece = crosses.shape[1]
    counts = crosses.sum(1, dtype=jnp.int32)
    after = _running_sum(counts)
    total = after[-1]
    room = min(pieces, crosses.size)

    narrow = per_piece <= _NARROW
    if narrow:
        inside = ranks(jnp.where(crosses, shares, jnp.inf))
    else:
        inside = _running_sum(crosses) - 1
    every = jnp.arange(crosses.size, dtype=jnp.int32)
    place = ((after - counts)[:, None] + inside).ravel()
    place = jnp.where(crosses.ravel() & (place < room), place, room + every)
    source = put(jnp.zeros(room, jnp.int32), place, every)
    shares = shares.ravel()
    piece, share = source // per_piece, shares[source]
    x = jnp.minimum(grid[piece] + share * (grid[piece + 1] - grid[piece]), grid[piece + 1])
    if not narrow:
        x = jnp.where(jnp.arange(room) < total, x, jnp.asarray(jnp.inf, x.dtype))
        x, source = increasing(x, source)
        piece, share = source // per_piece, shares[source]

    new = z[piece] + share[:, None] * (z[piece + 1] - z[piece])
    order = jnp.arange(room, dtype=jnp.int32)
    to = jnp.where(order < total, piece + 1 + order, pieces + order)
    kept = jnp.arange(old, dtype=jnp.int32) + after - counts
    # The right end fills what stays empty, so that it also ends a grid without room for all.
    points = jnp.full(pieces, high, grid.dtype)
    points = put(put(points, kept, grid[:-1]), to, x)
    values = jnp.broadcast_to(z[-1], (pieces, z.shape[1]))
    values = put(put(values, kept, z[:-1]), to, new)
    fits = ((grid < high).sum() + total <= pieces) & jnp.isfinite(z).all()
    return (
        jnp.concatenate([points, jnp.full(1, high, grid.dtype)]),
        jnp.concatenate([values, z[-1:]]),
        fits,
    )


def _running_sum(counts: Array) -> Array:
    """Return the running sum along the last axis of small whole numbers.

    As a product with a triangular matrix, which compiles and runs faster than `jnp.cumsum`; exact,
    for float32 holds whole numbers up to 2^24.
    """
    length = counts.shape[-1]
    if length > _LONG:
        return jnp.cumsum(counts, axis=-1, dtype=jnp.int32)
    ones = jnp.triu(jnp.ones((length, length), jnp.float32))
    sums = jnp.matmul(counts.astype(jnp.float32), ones, precision=jax.lax.Precision.HIGHEST)
    return sums.astype(jnp.int32)
