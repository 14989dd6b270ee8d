"""What is recorded of each replicate: the NamedTuple that crosses from simulation to results."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np


class Status(IntEnum):
    """How a replicate ended."""

    OK = 0
    DIVERGED = 1

    @property
    def message(self) -> str:
        """A sentence for the reader of a report."""
        return _MESSAGES[self]


_MESSAGES = {
    Status.OK: "trained to the last step",
    Status.DIVERGED: "a parameter, the mini-batch loss or the risk became infinite or not a number",
}


class Records(NamedTuple):
    """Results of R replicates of one experiment at K+1 checkpoints, L hidden layers.

    Attributes:
        replicate: index of each replicate, part of its identity, int64 [R].
        status: `Status` values, int8 [R].
        diverged_step: first step found to be non-finite, -1 if none, int64 [R].
        risk: true risk at the checkpoints, float64 [R, K+1]; not a number once diverged.
        error: bound on the numerical error of the risk, float64 [R, K+1].
        inactive: certified inactive neurons per hidden layer at the checkpoints, int32 [R, K+1, L].
        gradient_norm: Euclidean norm of the gradient of the true risk at the last step, [R].
        dead_layer: first hidden layer (1-based) that is certified to stay wholly inactive in all
            further training, whatever the mini-batches; 0 if there is none. int16 [R].
        dead_neurons: first-layer neurons certified to stay inactive in all further training, [R].
        constant: whether the network is constant on the support at the checkpoints: 1, 0 if it is
            not known to be, -1 if that was not looked at, int8 [R, K+1].
        error_rate: probability of a wrong class at the checkpoints and a bound on its error,
            float64 [R, K+1, 2], not a number once diverged; [R, 0, 2] if it was not recorded.
        weight: of the particles of a family of clones, before the resampling at each checkpoint,
            float64 [R, K+1]; [R, 0] for independent runs, which count alike.
        pattern_changes: pairs of a hidden neuron and a data point of which the activation pattern
            at the checkpoints differs from that at step 0, int32 [R, K+1], -1 once diverged;
            [R, 0] if it was not recorded.
    """

    replicate: np.ndarray
    status: np.ndarray
    diverged_step: np.ndarray
    risk: np.ndarray
    error: np.ndarray
    inactive: np.ndarray
    gradient_norm: np.ndarray
    dead_layer: np.ndarray
    dead_neurons: np.ndarray
    constant: np.ndarray
    error_rate: np.ndarray = np.zeros((0, 0, 2))
    weight: np.ndarray = np.zeros((0, 0))
    pattern_changes: np.ndarray = np.zeros((0, 0), np.int32)
