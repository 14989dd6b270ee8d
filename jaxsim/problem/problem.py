"""The learning problem: the law of (X, Y) and the loss l, hence the true risk E[l(N(X), Y)].

X ~ law,   Y = target(X) + noise   (regression),   Y = target(X)   (classification)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.errors import InputError
from jaxsim.problem.growth import infinite_risks
from jaxsim.problem.input_laws import InputLaw, finite_law
from jaxsim.problem.losses import Loss
from jaxsim.problem.noise import Noise
from jaxsim.problem.targets import LabelTarget, Target
from jaxsim.runtime import at_once

_PROBES = 512


@dataclass(frozen=True, eq=False)
class Problem:
    """The law of (X, Y) with a loss.

    Attributes:
        law: of the input X (see `input_laws`).
        target: x [batch, d] -> y [batch, outputs], or labels of finitely many points.
        loss: (prediction, y) -> [batch] (see `losses`).
        noise: added to the target's values, independently in every output (see `noise`).
        warnings: sentences that a reader of its risks should know, on the data first.
        over: which rows of a data set its risks are over, in words; empty for a law.
        training: what mini-batches are drawn from where that is another law, that of the training
            rows of a data set with held-out rows.

    Raises:
        InputError: if the parts do not fit together.
    """

    law: InputLaw
    target: Target
    loss: Loss
    noise: Noise
    warnings: tuple[str, ...] = ()
    over: str = ""
    training: Problem | None = None

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        labels = self.target.labels if isinstance(self.target, LabelTarget) else None
        finite = self.law.finite
        if self.loss.kind != "regression" and self.noise.kind != "none":
            raise InputError(
                f"problem.noise = {self.noise.kind!r} is not accepted with the loss "
                f"{self.loss.name!r}, which is one of classification: it should be 'none'"
            )
        if labels is not None and finite is None:
            raise InputError(
                "problem.target gives labels of points, which needs an input law with finitely "
                "many points"
            )
        if labels is not None and finite is not None and len(labels) != len(finite[0]):
            raise InputError(
                f"problem.target has {len(labels)} labels; accepted: "
                f"{len(finite[0])}, one for each point of the input law"
            )
        integers = labels is not None and np.issubdtype(labels.dtype, np.integer)
        if self.loss.kind == "classes" and not integers:
            raise InputError(
                f"problem.loss = {self.loss.name!r} is not accepted for this target: it needs "
                "labels that are classes 0, 1, ... (a data set of classification)"
            )
        if self.loss.kind == "regression" and integers:
            raise InputError(
                f"problem.loss = {self.loss.name!r} is not accepted for labels that are classes; "
                "accepted: a loss of classification"
            )
        if self.loss.kind == "binary" and not integers and self.target.outputs != 1:
            raise InputError(
                f"problem.loss = {self.loss.name!r} needs a target with one output, not "
                f"{self.target.outputs}"
            )
        if self.loss.kind == "binary" and labels is not None and integers and np.max(labels) > 1:
            raise InputError(
                f"problem.loss = {self.loss.name!r} is not accepted for "
                f"{self.target.outputs} classes; accepted: labels 0 and 1, or the loss "
                "'softmax_cross_entropy'"
            )
        if self.noise.variance > 0 and not self.loss.additive and self.outputs > 1:
            raise InputError(
                f"problem.noise = {self.noise.kind!r} is not accepted with the loss "
                f"{self.loss.name!r} of {self.outputs} outputs; accepted: 'none', or a loss that "
                "adds up over the outputs"
            )
        if self.law.finite is not None:
            self.targets_at_points()  # now, for a traced function could not keep the values
        self._require_sound_values()
        infinite, possibly = infinite_risks(self)
        if infinite:
            raise InputError(infinite)
        if possibly:
            object.__setattr__(self, "warnings", (*self.warnings, possibly))

    @cached_property
    def risks_could_be_infinite(self) -> bool:
        """Whether the target grows so fast somewhere that no finite risk is certain."""
        return bool(infinite_risks(self)[1])

    def _require_sound_values(self) -> None:
        """Refuse targets that are not finite, or no labels 0 and 1 where the loss needs them."""
        if self.law.finite is not None:
            x, y = self.law.finite[0], self.targets_at_points()
        else:
            unit = np.random.default_rng(0).random((_PROBES, self.law.unit_dimension))
            x = self.law.from_unit(unit)
            y = at_once(self.target, x)
        rows = y.reshape(len(x), -1)
        for wrong, what in (
            (~np.isfinite(rows).all(1), "finite"),
            ((self.loss.kind == "binary") & ~np.isin(rows, (0, 1)).all(1), "0 or 1"),
        ):
            if np.any(wrong):
                place = int(np.argmax(wrong))
                point = ", ".join(f"{v:.4g}" for v in np.atleast_1d(x[place])[:8])
                raise InputError(
                    f"problem.target = {rows[place][0]} at x = ({point}) is not accepted with the "
                    f"loss {self.loss.name!r}: it should be {what} for all inputs"
                )

    @property
    def trained_on(self) -> Problem:
        """The law that mini-batches are drawn from: this one unless rows are held out."""
        return self if self.training is None else self.training

    @property
    def outputs(self) -> int:
        """Outputs that a network for this problem has: one per class, or per target value."""
        return 1 if self.loss.kind == "binary" else int(self.target.outputs)

    def sample(self, key: Array, batch: int, dtype: Any) -> tuple[Array, Array]:
        """Return independent draws (x [batch, d], y [batch, ...]) of (X, Y) in a dtype."""
        # Hashing keys is a good part of a step of a small network: only noise needs a second one.
        noisy = self.noise.kind != "none"
        input_key, noise_key = jax.random.split(key) if noisy else (key, key)
        finite = finite_law(self.law)
        if finite is not None:
            index = finite.sample_index(input_key, batch)
            return self.sample_at(index, noise_key, dtype)
        x = self.law.sample(input_key, batch, dtype)
        return x, self._noisy(self.targets_at(x), noise_key)

    def sample_at(self, index: Array, key: Array, dtype: Any) -> tuple[Array, Array]:
        """Return (x, y) at the points of a finite input law with the given indices."""
        x = jnp.asarray(self._points, dtype)[index]
        y = self.targets_at_points()
        floating = np.issubdtype(y.dtype, np.floating)
        y = jnp.asarray(y, dtype if floating else jnp.int32)[index]
        return x, self._noisy(y, key)

    def targets_at(self, x: Array) -> Array:
        """Return the noise-free y for inputs x [batch, d] that are no labelled points."""
        return self.target(x)

    def targets_at_points(self) -> np.ndarray:
        """Return the noise-free y of all points of a finite input law."""
        return self._point_targets

    @property
    def _points(self) -> np.ndarray:
        assert self.law.finite is not None
        return self.law.finite[0]

    @cached_property
    def _point_targets(self) -> np.ndarray:
        if isinstance(self.target, LabelTarget):
            return np.asarray(self.target.labels)
        return np.asarray(self.target(jnp.asarray(self._points, jnp.float64)))

    def _noisy(self, y: Array, key: Array) -> Array:
        if self.noise.kind == "none":
            return y
        return y + self.noise.sample(key, y.shape, y.dtype)
