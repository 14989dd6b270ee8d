"""Quadrature rules on [-1, 1]: Gauss-Legendre, and the Gauss-Kronrod pair (7, 15) with its error.

Constants of the pair: Piessens, de Doncker-Kapenga, Ueberhuber, Kahaner 1983, "QUADPACK", QK15.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_POSITIVE = np.array([
    0.991455371120812639206854697526329, 0.949107912342758524526189684047851,
    0.864864423359769072789712788640926, 0.741531185599394439863864773280788,
    0.586087235467691130294144691693312, 0.405845151377397166906606412076961,
    0.207784955007898467600689403773245,
])  # fmt: skip
_KRONROD = np.array([
    0.022935322010529224963732008058970, 0.063092092629978553290700663189204,
    0.104790010322250183839876322541518, 0.140653259715525918745189590510238,
    0.169004726639267902826583426598550, 0.190350578064785409913256402421014,
    0.204432940075298892414161999234649,
])  # fmt: skip
_KRONROD_CENTRE = 0.209482141084727828012999174891714
_GAUSS = np.array([
    0.129484966168869693270611432679082, 0.279705391489276667901467771423780,
    0.381830050505118944950369775488975,
])  # fmt: skip
_GAUSS_CENTRE = 0.417959183673469387755102040816327


class Quadrature(NamedTuple):
    """Nodes and weights on [-1, 1].

    Attributes:
        nodes: [n].
        weights: [n].
        coarse: weights [n] of an embedded coarser rule, whose distance estimates the error; None
            where the rule is exact.
    """

    nodes: np.ndarray
    weights: np.ndarray
    coarse: np.ndarray | None


def gauss_legendre(order: int) -> Quadrature:
    """Return the rule that is exact for polynomials of degree 2 order - 1."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    return Quadrature(nodes, weights, None)


def gauss_kronrod() -> Quadrature:
    """Return the 15-point rule, exact to degree 22, with the embedded 7-point Gauss rule.

    Example:
        >>> rule = gauss_kronrod()
        >>> float(round(rule.weights @ rule.nodes**22, 15)), round(2 / 23, 15)
        (0.086956521739130, 0.08695652173913)
    """
    gauss = np.zeros(7)
    gauss[1::2] = _GAUSS
    nodes = np.concatenate([-_POSITIVE, [0.0], _POSITIVE[::-1]])
    weights = np.concatenate([_KRONROD, [_KRONROD_CENTRE], _KRONROD[::-1]])
    coarse = np.concatenate([gauss, [_GAUSS_CENTRE], gauss[::-1]])
    return Quadrature(nodes, weights, coarse)
