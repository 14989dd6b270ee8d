"""Splitting of trainings: families of clones, resampled by their active first-layer neurons.

A family is one block. Its replicates begin as independent runs of a stratum; at every checkpoint
but the last those with few active neurons are cloned, with parameters, optimizer memory and
training set, and go on with fresh mini-batches. A neuron that is inactive stays so, and thus a
family climbs down in its active neurons step by step where a plain run hardly ever gets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim.design.resampling import History, history
from jaxsim.design.twist import Twist
from jaxsim.engines.block import Resampling
from jaxsim.errors import InputError
from jaxsim.training.evaluate import Observation
from jaxsim.training.experiment import Experiment
from jaxsim.training.keys import identity_words
from jaxsim.training.records import Records


def splitting_unsupported_reason(experiment: Experiment) -> str:
    """Return why an experiment's trainings cannot be split, and what can; empty if they can."""
    network, optimizer = experiment.network, experiment.optimizer
    if not network.fully_connected or network.activation is None:
        return "the network is a module of the user's own, whose neurons are not known"
    if not network.hidden:
        return "the network has no hidden layer, whose active neurons could be counted"
    if not network.activation.flat:
        return (
            f"the activation {network.activation.name!r} has no flat piece, so that its neurons "
            "never become inactive"
        )
    if not optimizer.keeps_inactive:
        return (
            f"the optimizer {optimizer.name!r} moves inactive neurons, so that runs with few "
            "active ones do not stay so"
        )
    if not experiment.problem.law.support.bounded:
        return "the inputs are unbounded, so that no neuron becomes inactive on all of them"
    if not network.layers(jnp.asarray(network.trainable))[0][0].any():
        return "the first layer is not trained, so that none of its neurons becomes inactive"
    if _deterministic(experiment):
        return (
            f"its gradients are not random (batch_size = {experiment.batch_size!r}), so that "
            "clones of a run would all be the same"
        )
    if experiment.shared_batches:
        return (
            'its mini-batches are shared (training.mini_batches = "shared"), so that clones of a '
            "run would all be the same"
        )
    if len(experiment.checkpoints) < 3:
        return "it resamples at checkpoints between 0 and the last step, and there is none"
    return ""


def _deterministic(experiment: Experiment) -> bool:
    if experiment.samples_per_step == 0:
        return True
    chosen = experiment.training_set
    return (
        chosen is not None
        and not chosen.replacement
        and experiment.samples_per_step >= experiment.rows
    )


def require_splitting(experiment: Experiment) -> None:
    """Check that an experiment's trainings can be split.

    Raises:
        InputError: if they cannot, with the reason.
    """
    reason = splitting_unsupported_reason(experiment)
    if reason:
        raise InputError(
            f'design = "splitting" is not accepted for {experiment.label!r}: {reason}; accepted: '
            'design = "plain", or "strata" where the first layer\'s inactive neurons have a known '
            "law"
        )


def family_experiment(experiment: Experiment, twist: Twist, reverse: bool = False) -> Experiment:
    """Return the experiment whose blocks are families of clones, with files and keys of its own.

    Args:
        experiment: of a stratum.
        twist: what its families are resampled by.
        reverse: whether they are led the other way.
    """
    families = f"/families/{twist.text}" + ("/reverse" if reverse else "")
    id_words = identity_words(experiment.id + families)
    random = "{}/{}".format(*experiment.key_words) + families
    return replace(
        experiment,
        id="".join(f"{word:08x}" for word in id_words),
        key_words=identity_words(random),
    )


def resampling_of(experiment: Experiment, twist: Twist, reverse: bool = False) -> Resampling:
    """Return what happens to the blocks of a `family_experiment` at its checkpoints."""
    functions = twist.reverse if reverse else twist

    def past(family: int, observed: Sequence[Observation]) -> History:
        seen = jax.device_get([(o.inactive, o.risk) for o in observed])
        inactive = np.stack([inactive[:, 0] for inactive, _ in seen], axis=1)
        risk = np.stack([risk for _, risk in seen], axis=1)
        scores = active_neurons(experiment, inactive, risk)
        return history(scores, functions, (experiment.seed, *experiment.key_words, family))

    return Resampling(
        ancestors=lambda family, observed: past(family, observed).ancestors[-1],
        weights=lambda family, observed: past(family, observed).weights,
    )


def active_neurons(experiment: Experiment, inactive: np.ndarray, risk: np.ndarray) -> np.ndarray:
    """Return the score of runs: first-layer neurons that are not known to be inactive.

    A diverged run has failed for good, as one without any has; it scores the same.

    Args:
        experiment: what is trained.
        inactive: in the first layer at the checkpoints, int [R, T].
        risk: at the checkpoints, [R, T].
    """
    return np.where(np.isfinite(risk), experiment.network.hidden[0] - inactive, 0)


def scores_of(experiment: Experiment, records: Records) -> np.ndarray:
    """Return the scores of recorded runs of the trained network, int [R, T]."""
    return active_neurons(experiment, records.inactive[:, :, 0], records.risk)
