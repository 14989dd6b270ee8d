"""Families of clones against chains whose rare probabilities are known exactly."""

import json

import numpy as np
import pytest
from scipy import stats

from jaxsim.design.resampling import history, resampled, run_family, uniform
from jaxsim.design.twist import FailureModel, Twist, death_probabilities, fit_model, make_twist
from tests.design.toys import BirthDeath, Dying, GaussianWalk

N, DEAD, Q = 20, 0.25, 0.088
"""Facts of A1: most of the probability 1e-10 comes from neurons that die in training."""


def estimates(process, twist, families, count, seed=1) -> np.ndarray:
    return np.array(
        [run_family(process, twist, (seed, r), count).estimates[-1] for r in range(families)]
    )


def exact_twist(process: Dying) -> Twist:
    steps = np.arange(process.checkpoints)[::-1]
    dead = np.maximum(1 - (1 - process.hazard) ** steps, 1e-4)
    return make_twist(np.log(dead)[:, None] * np.arange(process.active + 1))


def pilot_model(checkpoints: int, runs: int, seed: int) -> FailureModel:
    """Of a few plain runs in every stratum."""
    flat = make_twist(np.zeros((checkpoints, N + 1)), 0)
    pilots = [run_family(Dying(a, Q, checkpoints), flat, (seed, a), runs) for a in range(N + 1)]
    return fit_model(
        np.concatenate([p.scores for p in pilots]),
        np.concatenate([p.fails[:, -1] for p in pilots])[None],
        N,
    )


def tilted(process: BirthDeath) -> Twist:
    """By a poor power of what would be best."""
    return make_twist(0.8 * np.log(np.maximum(process.reaching(), 1e-30)))


WALK, FAR_WALK = GaussianWalk(19.2, 17), GaussianWalk(24.0, 17)
CHAIN, FAR_CHAIN = BirthDeath(12, 0.25, 41), BirthDeath(14, 0.2, 61)
CASES = {
    "neurons die, 6e-5": (Dying(4, Q, 13), exact_twist(Dying(4, Q, 13)), 600, 120),
    "neurons die, 5e-7": (Dying(6, Q, 25), exact_twist(Dying(6, Q, 25)), 800, 100),
    "births and deaths, 1e-5": (CHAIN, tilted(CHAIN), 300, 60),
    "births and deaths, 6e-8": (FAR_CHAIN, tilted(FAR_CHAIN), 300, 60),
    "Gaussian walk, 8e-7": (WALK, make_twist(WALK.log_g()), 600, 100),
    "Gaussian walk, 1e-9": (FAR_WALK, make_twist(FAR_WALK.log_g()), 1000, 100),
    "functions that lead nowhere": (
        BirthDeath(3, 0.4, 9), make_twist(np.cos(np.arange(36.0)).reshape(9, 4)), 200, 200,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_families_are_unbiased(case):
    process, twist, count, families = CASES[case]
    seen, exact = estimates(process, twist, families, count), process.exact()
    error = seen.std(ddof=1) / np.sqrt(families)
    assert error < 0.15 * exact
    assert abs(seen.mean() - exact) < 5 * error


def test_families_are_unbiased_at_every_checkpoint_on_the_way():
    process = Dying(3, 0.3, 7)
    twist = exact_twist(process)
    seen = np.array([run_family(process, twist, (3, r), 200).estimates for r in range(300)])
    exact = np.array([process.exact(n) for n in range(7)])
    error = seen.std(0, ddof=1) / np.sqrt(300) + 1e-15
    assert (np.abs(seen.mean(0) - exact) < 5 * error).all()


def stratified(seed: int, checkpoints: int, pilot: int, count: int) -> tuple[float, int]:
    """Return (estimate, trainings) of A1 in strata by the neurons inactive at initialization."""
    twist = pilot_model(checkpoints, pilot, seed).twist
    weights = stats.binom.pmf(np.arange(N + 1), N, DEAD)
    sampled = range(7, N)
    estimate = weights[N] + sum(
        weights[k] * run_family(Dying(N - k, Q, checkpoints), twist, (seed, k), count).estimates[-1]
        for k in sampled
    )
    return estimate, pilot * (N + 1) + count * len(sampled)


@pytest.mark.parametrize("repetitions", [16, pytest.param(300, marks=pytest.mark.slow)])
def test_strata_with_splitting_reach_a_probability_of_1e_10(repetitions):
    exact = (DEAD + (1 - DEAD) * Q) ** N
    assert exact == pytest.approx(1e-10, rel=0.02)
    pairs = [stratified(seed, 25, 64, 800) for seed in range(repetitions)]
    values, cost = np.array([p[0] for p in pairs]), pairs[0][1]
    error = values.std(ddof=1) / np.sqrt(repetitions)
    assert abs(values.mean() - exact) < 4 * error
    # Plain sampling needs 1e12 trainings for 10 %; independent families are averaged.
    assert values.std(ddof=1) / exact * np.sqrt(cost / 1.3e5) <= 0.1


def test_splitting_without_strata_looks_like_much_less():
    """The rare initializations that matter are in hardly any family: unbiased and useless."""
    seen = estimates(Dying(N, Q, 13, start=1 - DEAD), pilot_model(13, 64, 1).twist, 40, 500)
    assert np.median(seen) < 0.2 * Dying(N, Q, 13, start=1 - DEAD).exact()


def test_a_score_that_leads_away_is_contradicted_by_the_reverse_families():
    """Breitung's onion: a rare event where the score is high, a much likelier one where low."""
    onion = GaussianWalk(20.0, 17, below=-13.5)
    twist = make_twist(onion.log_g())
    forward = estimates(onion, twist, 20, 300)
    reverse = estimates(onion, twist.reverse, 20, 300)
    assert onion.exact() > 3e-4
    assert np.median(forward) < 0.01 * onion.exact()
    error = reverse.std(ddof=1) / np.sqrt(20)
    assert reverse.mean() > 10 * np.median(forward)
    assert abs(reverse.mean() - onion.exact()) < 5 * error


def test_equal_functions_resample_nothing():
    flat = make_twist(np.full((5, 9), -3.0))
    family = run_family(BirthDeath(8, 0.4, 5), flat, (0,), 50)
    assert (family.weights == 1).all()
    assert (family.roots == np.arange(50)).all()
    past = history(family.scores, flat, (0,))
    assert past.ancestors == (None,) * 5


def test_weights_are_a_pure_function_of_the_scores():
    process, twist, count, _ = CASES["neurons die, 6e-5"]
    family = run_family(process, twist, (7, 3), count)
    for known in (1, 4, 13):
        past = history(family.scores[:, :known], twist, (7, 3))
        assert np.array_equal(past.weights, family.weights[:, :known])
    assert np.array_equal(past.roots, family.roots)
    assert past.ancestors[-1] is None
    assert any(parents is not None for parents in past.ancestors)
    assert not np.array_equal(past.weights, history(family.scores, twist, (7, 4)).weights)


def test_no_weight_exceeds_the_mean_by_more_than_the_defensive_share_permits():
    rng = np.random.default_rng(0)
    twist = make_twist(rng.normal(0, 30, (3, 6)), 0.25)
    weights, scores = rng.exponential(1, 200), rng.integers(0, 6, 200)
    ancestors, after = resampled(weights, scores, twist, 1, 0.4)
    assert ancestors is not None
    assert after.max() <= weights.mean() / 0.25 * (1 + 1e-12)


def test_mean_numbers_of_children_undo_the_weights():
    """Over all offsets: sum over children of their weights is the parent's weight on average."""
    rng = np.random.default_rng(1)
    twist = make_twist(rng.normal(0, 0.5, (2, 4)))
    weights, scores = rng.exponential(1, 12), rng.integers(0, 4, 12)
    total, offsets = np.zeros(12), (np.arange(4000) + 0.5) / 4000
    for offset in offsets:
        ancestors, after = resampled(weights, scores, twist, 0, offset)
        assert ancestors is not None
        np.add.at(total, ancestors, after)
    assert total / len(offsets) == pytest.approx(weights, abs=1.5e-3)


def test_random_numbers_of_a_family_derive_from_its_words():
    assert uniform((1, 2, 3)) == uniform([1, 2, 3]) == 0.5406933615759046
    values = [uniform((s, j)) for s in range(100) for j in range(100)]
    assert len(set(values)) == 10_000
    assert stats.kstest(values, "uniform").pvalue > 1e-6


@pytest.mark.parametrize("seed", range(2))
def test_pilots_find_how_probably_neurons_die(seed):
    model = pilot_model(13, 64, seed)
    assert model.deaths == pytest.approx(Dying(N, Q, 13).hazard, rel=0.4)
    # Failures beyond the pilot's reach: every further active neuron costs a factor of about q.
    logs = model.log_probability[0]
    assert logs[0] == pytest.approx(0, abs=0.02)
    assert np.diff(logs[:9]) == pytest.approx(np.log(Q), abs=0.7)
    assert np.isfinite(model.log_g).all()


def test_neurons_that_live_longer_where_there_are_few_are_seen_to():
    """Deaths with probability q_j psi(a), found from runs alone."""
    rng, psi = np.random.default_rng(5), np.array([0, 0.2, 0.4, 1, 1, 1.5, 1.5])
    chance = np.array([0.2, 0.1, 0.05])[:, None] * psi
    runs = [rng.integers(1, 7, 20_000)]
    for j in range(3):
        runs.append(runs[-1] - rng.binomial(runs[-1], chance[j, runs[-1]]))
    found = death_probabilities(np.stack(runs, axis=1), np.ones(20_000), 6)
    assert found[:, 1:] == pytest.approx(chance[:, 1:], rel=0.1)


def test_a_model_foretells_the_variance_of_families():
    model = pilot_model(13, 64, 1)
    for active in (2, 4):
        seen = estimates(Dying(active, Q, 13), model.twist, 100, 2000)
        variance = 2000 * seen.var(ddof=1) / seen.mean() ** 2
        assert 0.3 < variance / model.variance()[0, active] < 3


def test_twists_are_written_to_the_bit_and_named_by_their_tables():
    twist = pilot_model(5, 16, 1).twist
    again = Twist.from_table(json.loads(json.dumps(twist.as_table())))
    assert again.text == twist.text
    assert again.log_g.tobytes() == twist.log_g.tobytes()
    assert (twist.log_g[0] == 0).all()
    assert twist.text != twist.reverse.text
    assert twist.text != pilot_model(5, 16, 2).twist.text
