"""Strata by the number of inactive neurons: weights, trainings, texts, refusals."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxsim.design.strata import grouped, stratified_design, trained_width
from jaxsim.engines import engine as engines
from jaxsim.engines.block import run_block
from jaxsim.engines.engine import vmap_engine
from jaxsim.errors import InputError
from jaxsim.training.experiment import Experiment
from jaxsim.training.train import make_train
from tests.studies import TWO, study


def experiment(**changes) -> Experiment:
    return study(**changes).experiments[0]


def test_weights_are_the_binomial_law():
    design = stratified_design(experiment(network__hidden=[20]))
    assert [(s.least, s.most) for s in design.strata] == [(k, k) for k in range(21)]
    exact = stats.binom.pmf(np.arange(21), 20, 0.25)
    # The margins of float32 take less than 1e-6 off the probability of a neuron.
    assert design.weights == pytest.approx(exact, rel=2e-5)
    assert abs(design.weights.sum() - 1) < 1e-14
    assert (design.errors < 1e-12).all()
    rng = np.random.default_rng(2)
    w, b = rng.uniform(-1, 1, (2, 100_000, 20))
    seen = np.bincount((b + np.abs(w) <= 0).sum(1), minlength=21)
    spread = np.sqrt(100_000 * exact * (1 - exact)) + 1e-3
    assert (np.abs(seen - 100_000 * design.weights) < 6 * spread + 3).all()


def test_few_strata_for_many_neurons():
    for n in (31, 32, 300, 3000):
        pmf = stats.binom.pmf(np.arange(n + 1), n, 0.25)
        ranges = grouped(pmf)
        assert 8 < len(ranges) <= 32
        assert [k for least, most in ranges for k in range(least, most + 1)] == list(range(n + 1))
        # Beyond the last stratum's beginning nothing matters, before it all is seen.
        at_least = pmf[ranges[-1][0] :].sum()
        assert at_least < 1e-15
        weights = [pmf[a : b + 1].sum() for a, b in ranges]
        assert max(weights) < 0.35
    assert grouped(stats.binom.pmf(np.arange(21), 20, 1e-4))[-1] == (11, 20)
    assert grouped(stats.binom.pmf(np.arange(21), 20, 1 - 1e-4))[0] == (0, 9)


def test_the_note_says_what_is_trained():
    design = stratified_design(experiment(network__hidden=[8]))
    assert "8, 4, 2 first-layer neurons" in design.note
    assert "stand for them" in stratified_design(experiment()).note


def test_few_widths_are_trained():
    for n in (3, 8, 20, 21, 64, 300):
        widths = {trained_width(n, m) for m in range(n + 1)}
        assert len(widths) <= 4
        assert all(trained_width(n, m) >= m for m in range(n + 1))
        assert n in widths


def test_programs_are_shared_as_far_as_they_are_equal():
    two = study(network__hidden=[20], grid=TWO)
    first, second = (stratified_design(e) for e in two.experiments)
    programs = {s.experiment.training_key for s in first.strata}
    assert len(programs) == len({s.experiment.network.size for s in first.strata}) == 3
    assert len({s.experiment.initialization_key for s in first.strata}) == 3
    assert len({s.experiment.evaluation_key for s in first.strata}) == 3
    # Strata that train the whole width share the plain experiment's programs but for the draw.
    base, whole = two.experiments[0], first.strata[0].experiment
    assert whole.training_key == base.training_key
    assert whole.evaluation_key == base.evaluation_key
    assert whole.initialization_key != base.initialization_key
    for a, b in zip(first.strata, second.strata, strict=True):
        # Paired optimizers stay paired, stratum by stratum.
        assert a.experiment.initialization_key == b.experiment.initialization_key
        assert a.experiment.evaluation_key == b.experiment.evaluation_key
        same_words = two.experiments[0].key_words == two.experiments[1].key_words
        assert (a.experiment.key_words == b.experiment.key_words) == same_words
    names = [s.experiment.id for d in (first, second) for s in d.strata]
    assert len(set(names)) == 42
    assert all(len(name) == 16 and int(name, 16) >= 0 for name in names)
    assert len({s.experiment.key_words for s in first.strata}) == 21
    again = stratified_design(two.experiments[0])
    assert [s.experiment.id for s in again.strata] == [s.experiment.id for s in first.strata]
    other = stratified_design(experiment(network__hidden=[20], problem__input__high=0.5))
    assert other.strata[0].experiment.initialization_key != whole.initialization_key


def test_strata_of_one_width_compile_one_draw_and_one_training():
    engines.drawing.cache_clear()
    engines.training.cache_clear()
    design = stratified_design(experiment(steps=1, checkpoints=[], network__hidden=[3]))
    rates, replicates = jnp.asarray(0.01, jnp.float32), jnp.arange(16, dtype=jnp.uint32)
    with jax.log_compiles(False):
        for stratum in design.strata:
            vmap_engine(stratum.experiment).init(jax.random.key(1), replicates, rates)
    assert engines.drawing.cache_info().misses == 1
    assert engines.training.cache_info().misses == 1


@pytest.mark.parametrize("name", ["adam", pytest.param("momentum", marks=pytest.mark.slow)])
def test_a_narrow_network_trains_as_the_whole_one(name):
    base = experiment(
        precision="float64",
        network__hidden=[8],
        optimizer={"name": name, "learning_rate": 0.05},
        training={"batch_size": 4},
    )
    stratum = next(s for s in stratified_design(base).strata if s.least == 5)
    narrow, whole = stratum.experiment, base
    m, n = narrow.network.hidden[0], 8
    assert (m, stratum.removed) == (4, 4)
    key, rate = jax.random.key(3), jnp.asarray(0.05)
    small, large = make_train(narrow), make_train(whole)
    theta = np.asarray(small.draw(key, data=narrow.draw_data))
    # All that the stratum leaves out, drawn by NumPy as any inactive neuron.
    places = np.r_[0:m, n : n + m, 2 * n : 2 * n + m, 3 * n]
    rng = np.random.default_rng(1)
    full = rng.uniform(-1, 1, whole.network.size)
    full[n + m : 2 * n] = -np.abs(full[m:n]) - 0.1
    full[places] = theta
    batches = jax.random.key(5)
    steps = jnp.asarray(0), jnp.asarray(40)
    ends = [
        train.advance(
            train.start(batches, jnp.asarray(t), rate), train.shared(batches), *steps, rate
        ).theta
        for train, t in ((small, theta), (large, full))
    ]
    moved = np.asarray(ends[0])
    assert np.abs(moved - theta).max() > 0.05
    assert np.abs(np.asarray(ends[1])[places] - moved).max() < 1e-10
    rest = np.setdiff1d(np.arange(len(full)), places)
    assert np.array_equal(np.asarray(ends[1])[rest], full[rest])


@pytest.mark.parametrize("width", [3, pytest.param(8, marks=pytest.mark.slow)])
def test_runs_of_a_stratum_have_its_inactive_neurons(width):
    design = stratified_design(experiment(network__hidden=[width]))
    for stratum in (design.strata[1], design.strata[width]):
        records = run_block(vmap_engine(stratum.experiment), stratum.experiment, 0, 16)
        whole = stratum.whole(records)
        assert (whole.inactive[:, 0, 0] == stratum.least).all()
        assert (whole.dead_neurons >= stratum.least).all()
        assert (whole.inactive[:, :, 0] >= stratum.least).all()
    # All neurons of the last one stand for inactive ones.
    assert (records.dead_layer == 1).all()
    assert (records.constant == 1).all()


def test_neurons_that_stand_for_inactive_ones_stay_bitwise():
    stratum = stratified_design(experiment()).strata[1]
    engine, key = vmap_engine(stratum.experiment), jax.random.key(2)
    rate, replicates = jnp.asarray(0.02, jnp.float32), jnp.arange(16, dtype=jnp.uint32)
    state = engine.init(key, replicates, rate)
    start = np.asarray(engine.theta(state))
    end = np.asarray(engine.theta(engine.advance(state, engine.shared(key), 0, 60, rate)))
    w, b, v = 2, 5, 8
    assert (start[:, [w, b]] == [0.0, -1.0]).all()
    assert np.array_equal(start[:, [w, b, v]], end[:, [w, b, v]])
    assert (np.ptp(start[:, v]) > 0) & (start[:, -1] != end[:, -1]).all()


def test_whole_networks_are_trained_where_that_is_not_the_same():
    lars = stratified_design(experiment(optimizer={"name": "lars", "learning_rate": 0.01}))
    assert "'lars' looks at whole layers" in lars.note
    assert lars.strata[0].experiment.initialization_key != lars.strata[0].experiment.training_key
    design = stratified_design(
        experiment(
            network__activation="hard_tanh",
            network__hidden=[4],
            network__biases={"law": "uniform", "bound": 3.0},
        )
    )
    assert {s.removed for s in design.strata} == {0}
    assert "the whole network is trained" in design.note
    assert "a value other than 0" in design.note
    # P(b + |w| <= -1 or b - |w| >= 1) = 2 E(2 - |w|) / 6 = 1/2.
    assert design.weights == pytest.approx(stats.binom.pmf(np.arange(5), 4, 0.5), rel=1e-4)
    draw = engines.drawing_of(design.strata[3].experiment)
    _, theta = draw(jax.random.key(1), jnp.arange(64, dtype=jnp.uint32))
    w, b = np.asarray(theta)[:, :4], np.asarray(theta)[:, 4:8]
    inactive = (b + np.abs(w) <= -1) | (b - np.abs(w) >= 1)
    assert (inactive.sum(1) == 3).all()


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1, 2])
def test_runs_of_a_stratum_fail_as_often_as_plain_ones_with_as_many_inactive(number):
    base = experiment(steps=200, checkpoints=[], network__hidden=[3])
    stratum = stratified_design(base).strata[number]
    plain, given = (run_block(vmap_engine(e), e, 0, 1 << 14) for e in (base, stratum.experiment))
    chosen = plain.risk[plain.inactive[:, 0, 0] == number, -1]
    test: Any = stats.ks_2samp(chosen, given.risk[:, -1])
    assert len(chosen) > 1000
    assert test.pvalue > 1e-7


LAW = {"law": "uniform", "dimension": 2}
REFUSED = {
    "no flat piece": ({"network__activation": "tanh"}, "tanh has no flat piece", "relu"),
    "no hidden layer": ({"network__hidden": []}, "no hidden layer", "network.hidden"),
    "unbounded": ({"problem__input": {"law": "normal"}}, "inputs are unbounded", "bounded support"),
    "weight decay": (
        {"optimizer": {"name": "adamw", "learning_rate": 0.01}},
        "'adamw' moves parameters whose gradients are all zero",
        "adam",
    ),
    "yogi": ({"optimizer": {"name": "yogi", "learning_rate": 0.01}}, "'yogi' moves", "adam"),
    "no biases": ({"network__biases": {"law": "zero"}}, "no first-layer", "random biases"),
    "orthogonal": (
        {"network__weights": {"law": "orthogonal"}, "problem__input": LAW,
         "problem__target": "x1"},
        "'orthogonal' make first-layer neurons depend on each other",
        "independent",
    ),
    "randomized": (
        {"network__weights": {"law": "randomized_asymmetric"}, "network__biases": False},
        "has no formula here",
        "independent",
    ),
    "ball": (
        {"problem__input": {"law": "ball", "radius": 1.0, "dimension": 2}, "problem__target": "x1"},
        "has no formula here",
        "independent",
    ),
    "all inactive": (
        {"network__biases": {"law": "constant", "value": -2.0}},
        "with probability 1,",
        "at least 0.001 of them are active",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_permit_strata_is_refused_in_a_sentence(name):
    changes, why, accepted = REFUSED[name]
    refused = experiment(**changes)
    with pytest.raises(InputError) as error:
        stratified_design(refused)
    said = str(error.value)
    assert said.startswith(f'design = "strata" is not accepted for {refused.label!r}: ')
    assert why in said.split("; accepted: ")[0]
    assert accepted in said.split("; accepted: ")[1]
    assert said.endswith('or design = "plain"')
    assert "\n" not in said


def test_a_module_of_ones_own_is_refused():
    base = experiment()
    own = replace(base, network=replace(base.network, layer_specs=(), activation=None, hidden=()))
    with pytest.raises(InputError, match=r"network\.module"):
        stratified_design(own)
