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
        coarse: weights [k, n] of embedded coarser rules, whose distances estimate the error; None
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
    """Return the 15-point rule, exact to degree 22, with three embedded coarser rules.

    They are the 7-point Gauss rule, to degree 13, and for rough integrands the interpolatory rule
    on the other 8 nodes and one on 5 nodes. A kink at an unlucky place makes one of them agree with
    the 15-point rule by chance, but hardly ever all three.

    Example:
        >>> rule = gauss_kronrod()
        >>> abs(float(rule.weights @ rule.nodes**22) - 2 / 23) < 1e-15
        True
    """
    gauss = np.zeros(7)
    gauss[1::2] = _GAUSS
    nodes = np.concatenate([-_POSITIVE, [0.0], _POSITIVE[::-1]])
    weights = np.concatenate([_KRONROD, [_KRONROD_CENTRE], _KRONROD[::-1]])
    seven = np.concatenate([gauss, [_GAUSS_CENTRE], gauss[::-1]])
    eight = _interpolatory(nodes, np.arange(0, 15, 2))
    five = _interpolatory(nodes, np.array([1, 4, 7, 10, 13]))
    return Quadrature(nodes, weights, np.stack([seven, eight, five]))


def _interpolatory(nodes: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return the weights on some of the nodes that integrate polynomials through them."""
    matrix = np.polynomial.legendre.legvander(nodes[chosen], len(chosen) - 1).T
    weights = np.zeros(len(nodes))
    weights[chosen] = np.linalg.solve(matrix, 2.0 * np.eye(len(chosen))[0])
    return weights
