"""Columns of the size of 1, without those of zeros: what searches for linear models work on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class ScaledColumns(NamedTuple):
    """Inputs whose columns have the largest modulus 1.

    Attributes:
        x: scaled inputs [n, q], without columns of zeros.
        used: indices of the columns that are not zero [q].
        scale: their largest moduli [q].
        columns: p, the number of columns before.
    """

    x: np.ndarray
    used: np.ndarray
    scale: np.ndarray
    columns: int

    def scaled(self, coefficients: np.ndarray) -> np.ndarray:
        """Return coefficients [p, ...] of the inputs as those of the scaled ones [q, ...]."""
        return (coefficients[self.used].T * self.scale).T

    def unscaled(self, coefficients: np.ndarray) -> np.ndarray:
        """Return coefficients [q, ...] of the scaled inputs as those of the inputs [p, ...]."""
        full = np.zeros((self.columns, *coefficients.shape[1:]))
        full[self.used] = (coefficients.T / self.scale).T
        return full


def scaled_columns(x: np.ndarray) -> ScaledColumns:
    """Return inputs [n, p] with every column divided by its largest modulus.

    Example:
        >>> columns = scaled_columns(np.array([[0.0, 4.0], [0.0, -2.0]]))
        >>> columns.x.tolist(), columns.unscaled(np.array([8.0])).tolist()
        ([[1.0], [-0.5]], [0.0, 2.0])
    """
    scale = np.abs(x).max(0)
    used = np.flatnonzero(scale > 0)
    return ScaledColumns(x[:, used] / scale[used], used, scale[used], x.shape[1])
