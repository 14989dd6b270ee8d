"""The bound on the limit, on a chain whose limit is known in closed form."""

import numpy as np
import pytest
from scipy import stats

from jaxsim import InputError
from jaxsim.estimation import liminf_bound

NEURONS, RUNS, REPETITIONS, CONFIDENCE = 4, 40, 2000, 0.9
STEPS = (1, 3, 8, 20)
DYING = 0.12 * 0.8 ** np.arange(400)
"""Probability that an alive neuron dies in a step: its sum is finite, so that some never do."""


def certified(dead_by: float) -> float:
    """Return P(at least two of the neurons are dead), each with a probability."""
    return float(stats.binom.sf(1, NEURONS, dead_by))


LIMIT = certified(1 - float(np.prod(1 - DYING)))
"""lim_n P(failure): a run with two dead neurons fails for ever, others fail now and then."""


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    """Certified runs, [step, repetition]; a neuron's death is drawn from its exact law."""
    rng = np.random.default_rng(5)
    alive = np.cumprod(1 - DYING)
    death = np.searchsorted(-alive, -rng.random((REPETITIONS, RUNS, NEURONS)), side="right")
    return np.stack([((death < t).sum(2) >= 2).sum(1) for t in STEPS])


def test_the_bound_covers_the_limit_after_any_number_of_steps(counts):
    """It may miss with probability 1 - confidence; more misses than here occur once in 1e6."""
    most = stats.binom.isf(1e-6, REPETITIONS, 1 - CONFIDENCE)
    for count in counts:
        assert (liminf_bound(count, RUNS, CONFIDENCE) > LIMIT).sum() <= most


def test_it_never_decreases_with_the_steps_and_comes_near_the_limit(counts):
    bounds = liminf_bound(counts, RUNS, CONFIDENCE)
    assert (np.diff(bounds, axis=0) >= 0).all()
    assert bounds[0].mean() < bounds[-1].mean() < LIMIT
    many = 10**6
    near = liminf_bound(int(many * certified(1 - float(np.prod(1 - DYING[:60])))), many, CONFIDENCE)
    assert LIMIT - 0.002 < near < LIMIT


def test_the_simulated_chain_has_the_limit_that_is_computed(counts):
    """The count of the last step is binomial with the closed form's probability."""
    total, runs = counts[-1].sum(), RUNS * REPETITIONS
    p = certified(1 - float(np.prod(1 - DYING[: STEPS[-1]])))
    assert stats.binomtest(int(total), runs, p).pvalue > 1e-6


def test_the_figures_of_the_four_neuron_parabola():
    """Adam, eps = .05: 2,589 of 20,000 runs certified, .248 of them above at step 1500."""
    assert liminf_bound(2589, 20_000, 0.975) == pytest.approx(0.1248, abs=1e-4)


def test_no_runs_bound_nothing_and_bad_input_is_refused():
    assert liminf_bound(0, 0, 0.95) == liminf_bound(0, 50, 0.95) == 0
    with pytest.raises(InputError):
        liminf_bound(3, 2, 0.95)
    with pytest.raises(InputError):
        liminf_bound(1, 2, 1.0)
