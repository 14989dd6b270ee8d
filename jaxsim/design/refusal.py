"""What a design by inactive neurons needs of an experiment, and the refusal where it lacks."""

from __future__ import annotations

from jaxsim.errors import InputError
from jaxsim.problem.support import Everything
from jaxsim.theory.inactive import event_probability
from jaxsim.theory.simulated import independent_neurons
from jaxsim.training.experiment import Experiment

LEAST_ACCEPTANCE = 1e-3
"""Rejection with fewer draws that fit would take thousands of attempts."""
_WITH_FORMULA = (
    "independent normal, truncated normal or uniform weights and biases with inputs from a box "
    "(normal ones also from a ball or points)"
)

Pieces = tuple[tuple[float, float], ...]


def refusal(experiment: Experiment, why: str, accepted: str, design: str = "strata") -> InputError:
    """Return the refusal of a design for an experiment."""
    return InputError(
        f'design = "{design}" is not accepted for {experiment.label!r}: {why}; accepted: '
        f'{accepted}, or design = "plain"'
    )


def require_inactive_neurons(experiment: Experiment, design: str = "strata") -> None:
    """Check that neurons can be inactive at initialization and stay so.

    Raises:
        InputError: naming what the design does not permit, and what would work.
    """
    network, activation = experiment.network, experiment.network.activation
    if not network.fully_connected or activation is None:
        raise refusal(
            experiment,
            "the neurons of a module of your own (network.module), or of one whose slopes are "
            "trained (prelu), are not known",
            "network.hidden",
            design,
        )
    if not network.hidden:
        raise refusal(
            experiment,
            "the network has no hidden layer",
            "network.hidden with a layer or more",
            design,
        )
    if not activation.flat:
        raise refusal(
            experiment,
            f"{activation.name} has no flat piece, so that no neuron is inactive",
            "an activation with one, as relu",
            design,
        )
    if isinstance(experiment.problem.law.support, Everything):
        raise refusal(
            experiment,
            "the inputs are unbounded, so that no neuron is inactive on all of them",
            "an input law of bounded support, as uniform",
            design,
        )
    if not experiment.optimizer.keeps_inactive:
        raise refusal(
            experiment,
            f"the optimizer {experiment.optimizer.name!r} moves parameters whose gradients are all "
            "zero, so that inactive neurons do not stay as they are",
            "one without weight decay that leaves them alone, as adam or sgd",
            design,
        )


def probability_of(
    experiment: Experiment, pieces: Pieces, design: str = "strata"
) -> tuple[float, float]:
    """Return (p, bound on its error) that a first-layer neuron is inactive, strictly in (0, 1).

    Raises:
        InputError: if it is not known, or certain.
    """
    layer, support = experiment.network.layer_specs[0], experiment.problem.law.support
    for name, law in (("weights", layer.weights), ("biases", layer.biases)):
        if law is not None and not independent_neurons(law):
            raise refusal(
                experiment,
                f"the {name} of the law {law.name!r} make first-layer neurons depend on each other",
                _WITH_FORMULA,
                design,
            )
    found = event_probability(layer, support, pieces, experiment.precision)
    if found is None:
        raise refusal(
            experiment,
            "the probability that a first-layer neuron is inactive has no formula here",
            _WITH_FORMULA,
            design,
        )
    p, error = found
    if p <= 2 * error:
        without = layer.biases is None or layer.biases.constant == 0
        raise refusal(
            experiment,
            "no first-layer neuron is inactive at initialization"
            + (", as none has a bias and inputs have both signs" if without else ""),
            "random biases (network.biases)"
            if without
            else "laws of initialization under which some are",
            design,
        )
    if p >= 1 - 2 * error or 1 - p < LEAST_ACCEPTANCE:
        raise refusal(
            experiment,
            f"a first-layer neuron is inactive at initialization with probability {p:.6g}, and "
            "active ones are too rare to be drawn",
            f"laws of initialization under which at least {LEAST_ACCEPTANCE} of them are active",
            design,
        )
    return p, error
