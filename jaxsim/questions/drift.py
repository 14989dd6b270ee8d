"""Where the parameters go: the mean of Theta_n at the last step, beside the point of least risk.

For studies with few parameters. On a convex risk nothing is inactive and there are no bad minima,
yet a method may settle around another point than the minimizer: Adam and RMSprop do unless the data
are symmetrically distributed (Dereich, Do, Jentzen and von Wurstemberger, arXiv:2511.06675).
"""

from __future__ import annotations

import numpy as np
import scipy  # its parts are imported when they are used

from jaxsim.network.parameter_layout import ParameterLayout
from jaxsim.questions.data import Data
from jaxsim.results.polished import Sample
from jaxsim.training.experiment import Experiment
from jaxsim.training.polish import Basin

MOST_PARAMETERS = 16


class DriftAnswer(Data):
    """The mean of the parameters at the last step, [P].

    Attributes:
        runs: replicates 0, 1, ... that it is the mean of.
        names: of the parameters, as `network.freeze` has them.
        mean: of Theta_n over these runs.
        lower: lower ends of the intervals of its expectation, Student's, approximate, that hold
            for all parameters together.
        upper: upper ends.
        deviation: standard deviation of Theta_n over the runs.
        optimum: the point that polishing leads all of these runs to; None if there is no single
            one.
        confidence: of the intervals.
        convex: whether the risk is a convex function of the parameters.
    """

    runs: int
    names: list[str]
    mean: list[float]
    lower: list[float]
    upper: list[float]
    deviation: list[float]
    optimum: list[float] | None
    confidence: float
    convex: bool


def drift_answer(experiment: Experiment, sample: Sample, confidence: float) -> DriftAnswer | None:
    """Return the mean of Theta_n, None where there is no sample or too many parameters.

    Args:
        experiment: of the runs.
        sample: of its runs.
        confidence: of the intervals, of all parameters together.
    """
    done = sample.polished
    theta = sample.theta[: len(done.risk)]
    trainable = np.asarray(experiment.network.trainable, bool)
    runs = len(theta)
    if runs < 2 or not np.isfinite(theta).all() or theta.shape[1] > MOST_PARAMETERS:
        return None
    mean, deviation = theta.mean(0), theta.std(0, ddof=1)
    tail = (1 - confidence) / 2 / max(int(trainable.sum()), 1)
    reach = float(scipy.stats.t.isf(tail, runs - 1)) * deviation / np.sqrt(runs)
    ended = done.theta
    single = (done.basin == Basin.MINIMUM).all() and bool((np.ptp(ended, 0) < 1e-6).all())
    convex = not experiment.network.hidden and experiment.problem.loss.convex
    optimum = np.median(ended, 0).tolist() if single else None
    return DriftAnswer(
        runs=runs,
        names=parameter_names(experiment),
        mean=mean.tolist(),
        lower=(mean - reach).tolist(),
        upper=(mean + reach).tolist(),
        deviation=deviation.tolist(),
        optimum=optimum,
        confidence=confidence,
        convex=convex,
    )


def parameter_names(experiment: Experiment) -> list[str]:
    """Return a name for each parameter: "output.biases", with an index if there are more."""
    network = experiment.network
    if not network.fully_connected:
        return [f"theta {i + 1}" for i in range(network.size)]
    names = []
    for number, place in enumerate(ParameterLayout.of(network.layer_specs).places, start=1):
        layer = "output" if number > len(network.hidden) else f"layer{number}"
        for kind, part in (("weights", place.weights), ("biases", place.biases)):
            count = 0 if part is None else part.stop - part.start
            whole = f"{layer}.{kind}"
            names += [whole] if count == 1 else [f"{whole} {k + 1}" for k in range(count)]
    return names
