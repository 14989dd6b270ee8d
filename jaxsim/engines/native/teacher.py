"""The teacher of a closed-form risk, as the native program reads it."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim.engines.native.values import Untranslatable
from jaxsim.risk.gaussian import moments_of, teacher_of
from jaxsim.risk.relu_moments import positive_mean
from jaxsim.training.experiment import Experiment

SPARSE = 4
"""A teacher's weights are a list if at most one in so many differs from zero."""


class Teacher(NamedTuple):
    """A teacher's neurons as the program reads them, in the training precision.

    Attributes:
        weights: [d, k], in units of the inputs' deviations.
        means: of its neurons [k].
        variances: of its neurons [k].
        outer: negative output weights [k, o].
        first: F_k [k].
        constant: negative constant [o].
    """

    weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    outer: np.ndarray
    first: np.ndarray
    constant: np.ndarray

    @property
    def sparse(self) -> bool:
        """Whether most of its weights are zero."""
        return bool(SPARSE * np.count_nonzero(self.weights) <= self.weights.size)

    @property
    def listed(self) -> np.ndarray:
        """The weights that are not zero, neuron by neuron, or all of them."""
        return self.weights.T[self.weights.T != 0] if self.sparse else self.weights.ravel()

    def numbers(self) -> np.ndarray:
        """Return everything in a row, as the program's argument."""
        return np.concatenate([self.listed, *(part.ravel() for part in self[1:])])

    def tables(self) -> list[str]:
        """Return the C definitions of where the weights of the list are, if it is one."""
        if not self.sparse or not len(self.means):
            return []
        neuron, place = np.nonzero(self.weights.T)
        ends = np.searchsorted(neuron, np.arange(len(self.means)), side="right")
        return [
            f"static const int {name}[] = {{{', '.join(map(str, numbers)) or '0'}}};"
            for name, numbers in (("input", place), ("end", ends))
        ]

    def definitions(self, argument: int) -> list[str]:
        """Return the C definitions of the parts of `numbers`, the program's argument."""
        lines = [f"const real *const taught = argument(frame, {argument});"]
        before, place = "taught", len(self.listed)
        for name, part in zip(self._fields[1:], self[1:], strict=True):
            lines.append(f"const real *const taught_{name} = {before} + {place};")
            lines.append(f"(void)taught_{name};")
            before, place = f"taught_{name}", part.size
        return lines


def taught(experiment: Experiment) -> Teacher:
    """Return the teacher of an experiment whose true risk has a closed form.

    Raises:
        Untranslatable: if its risk overflows the training precision.
    """
    problem, dtype = experiment.drawn_from, experiment.dtype
    moments, target = moments_of(problem, experiment.network), teacher_of(problem.target)
    assert moments is not None
    assert target is not None
    (w, b), (u, c) = jax.tree.map(np.asarray, target.layers(dtype))
    means = b + np.asarray(moments.mean, dtype) @ w
    scaled = w * np.asarray(moments.std, dtype)[:, None]
    variances = (scaled**2).sum(0)
    first = np.asarray(positive_mean(jnp.asarray(means), jnp.asarray(variances)))
    first = first * dtype.type(moments.degree_one)
    found = Teacher(scaled, means, variances, -u, first, -c)
    with np.errstate(over="ignore", invalid="ignore"):
        loss = found.variances.sum() * (found.outer**2).sum()
    if not np.isfinite(loss):
        raise Untranslatable(f"its teacher's risk overflows {dtype}")
    return found
