"""The target that a teacher network realizes: Y = N_theta(X) + noise.

It stands here because it is both, a problem's target and a network, of which risks and optimal
risks know more than of other functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.errors import InputError
from jaxsim.network.kinks import capacity, network_kinks
from jaxsim.network.network import Network
from jaxsim.problem.piecewise import Pieces
from jaxsim.problem.targets import UNKNOWN

_MOST_PIECES = 2**16


@dataclass(frozen=True, eq=False)
class TeacherTarget:
    """The target that a network realizes: y = N_theta(x).

    Attributes:
        network: the teacher's family.
        theta: its parameters [P], float64.
    """

    network: Network
    theta: Array

    def __post_init__(self) -> None:
        """Check the number of parameters."""
        if np.shape(self.theta) != (self.network.size,):
            raise InputError(
                f"the teacher's theta has the shape {np.shape(self.theta)}; accepted: "
                f"({self.network.size},)"
            )

    @property
    def outputs(self) -> int:
        """Outputs of y."""
        return self.network.outputs

    def __call__(self, x: Array) -> Array:
        """Return y [batch, outputs] at x [batch, d], in the dtype of x."""
        return self.network.apply(jnp.asarray(self.theta, x.dtype), x)

    def pieces(self, low: float, high: float) -> Pieces:
        """Return where on [low, high] a teacher with one input is smooth.

        All kinks of a piecewise linear teacher; those of the first layer for other activations.
        """
        return _kinks_of(self, low, high)


@lru_cache(maxsize=64)
def _kinks_of(teacher: TeacherTarget, low: float, high: float) -> Pieces:
    network = teacher.network
    activation = network.activation
    if not network.fully_connected or activation is None:
        return UNKNOWN
    room = capacity(network)
    with jax.ensure_compile_time_eval():
        theta = jnp.asarray(teacher.theta, jnp.float64)
        while True:
            find = jax.jit(lambda theta, room=room: network_kinks(network, theta, low, high, room))
            grid, complete = find(theta)
            if bool(complete) or room >= _MOST_PIECES:
                break
            room *= 4
        inner = {float(t) for t in np.asarray(grid) if low < t < high}
    linear = activation.piecewise_linear or not network.hidden
    known = bool(complete) and linear
    return Pieces(tuple(sorted(inner)), 1 if known else None, known, None)
