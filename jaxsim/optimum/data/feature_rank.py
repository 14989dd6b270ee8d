"""Last hidden features of full row rank: the output layer alone has any values at the points.

With Phi [n, H] the features of a network at n different inputs, a column of ones appended where
the output's biases are trained, and R an approximate right inverse,

    |I - Phi R| < 1  in the maximum norm    =>    Phi has full row rank,

the rounding of Phi and of the product included. Then weights of the output layer exist for
whatever values, and inf L is the Bayes risk.
"""

from __future__ import annotations

import numpy as np

from jaxsim.network.network import Network
from jaxsim.optimum.data.outputs import features_of
from jaxsim.optimum.data.rounding import SAFE, gamma


def has_full_rank(network: Network, theta: np.ndarray, x: np.ndarray) -> bool:
    """Return whether the features at different inputs x [n, d] are shown to have rank n."""
    assert network.activation is not None
    last = network.layer_specs[-1]
    if not np.isfinite(network.activation.lipschitz):
        return False
    phi, error = features_of(network, theta, x)
    if last.biases is not None and last.train_biases:
        phi = np.column_stack([phi, np.ones(len(x))])
        error = np.column_stack([error, np.zeros(len(x))])
    if phi.shape[1] < len(x) or not np.isfinite(phi).all() or not np.isfinite(error).all():
        return False
    inverse = np.linalg.pinv(phi)
    size = gamma(phi.shape[1] + 1) * (np.abs(phi) @ np.abs(inverse)) + SAFE * (
        error @ np.abs(inverse)
    )
    gap = np.abs(np.eye(len(x)) - phi @ inverse) + size
    return bool(SAFE * gap.sum(1).max() < 0.5)
