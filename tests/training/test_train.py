"""Training against plain NumPy and closed forms."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsim import simulate
from jaxsim.design.splitting import splitting_unsupported_reason
from jaxsim.engines.engine import vmap_engine
from jaxsim.errors import InputError
from jaxsim.launch.directory import bind
from jaxsim.launch.simulate import open_results
from jaxsim.questions.warnings import study_warnings
from jaxsim.risk import make_risk
from jaxsim.training import keys
from jaxsim.training.experiment import log_spaced
from jaxsim.training.train import make_train
from tests.studies import TWO, slow_but, study


def test_a_run_is_the_textbook_loop():
    (experiment,) = study(
        precision="float64", optimizer={"name": "momentum", "learning_rate": 0.05}
    ).experiments
    train = make_train(experiment)
    key = jax.random.fold_in(keys.experiment_key(experiment.seed, experiment.key_words), 5)
    rate = jnp.asarray(0.05)
    state = train.start(key, train.draw(key), rate)
    ended = jax.jit(train.advance)(state, (), 0, 40, rate)

    stream = jax.random.fold_in(key, keys.MINI_BATCHES)
    theta = textbook_momentum(np.asarray(train.draw(key)), experiment, stream, 40)
    np.testing.assert_allclose(ended.theta, theta, rtol=1e-12)


def textbook_momentum(theta, experiment, stream, steps):
    """Momentum .9 at rate .05 on mini-batches of 8 of x^2 for a 1-3-1 ReLU network, by NumPy."""
    trace = np.zeros_like(theta)
    sample = jax.jit(
        lambda n: experiment.problem.sample(jax.random.fold_in(stream, n), 8, jnp.float64)
    )
    for n in range(steps):
        x, y = map(np.asarray, sample(n))
        np.testing.assert_allclose(y, x**2, rtol=1e-15)
        w, b, v, c = theta[:3][None], theta[3:6], theta[6:9][:, None], theta[9:]
        z = x @ w + b
        residual = np.maximum(z, 0) @ v + c - y
        d_out = 2 * residual / 8
        d_z = (d_out @ v.T) * (z > 0)
        gradient = np.concatenate(
            [(x.T @ d_z).ravel(), d_z.sum(0), (np.maximum(z, 0).T @ d_out).ravel(), d_out.sum(0)]
        )
        trace = gradient + 0.9 * trace
        theta = theta - 0.05 * trace
    return theta


@pytest.mark.parametrize("engine", slow_but(["native"], ["vmap", "lanes", "native"]))
def test_shared_mini_batches_are_one_stream_for_all_replicates(engine):
    shared = study(
        precision="float64",
        optimizer={"name": "momentum", "learning_rate": 0.05},
        training={"batch_size": 8, "mini_batches": "shared"},
        execution={"width": 16, "shard": 32, "engine": engine},
        replicates=48,
        steps=40,
        checkpoints=[],
    )
    (experiment,) = shared.experiments
    results = simulate(shared)
    risks = np.concatenate([records.risk[:, -1] for records in results.chunks(experiment)])
    train = make_train(experiment)
    risk_of = jax.jit(make_risk(experiment.problem, experiment.network).evaluate)
    stream = jax.random.fold_in(keys.root_key(experiment.seed), keys.MINI_BATCHES)
    for r in (0, 17, 47):  # in three blocks
        key = jax.random.fold_in(keys.experiment_key(experiment.seed, experiment.key_words), r)
        theta = textbook_momentum(np.asarray(train.draw(key)), experiment, stream, 40)
        assert risks[r] == pytest.approx(float(risk_of(theta)[0]), rel=1e-9)
    assert any("conditional on this one stream" in w for w in study_warnings(shared.experiments))


def test_mini_batches_that_are_not_shared_leave_no_trace_in_identities():
    plain, shared = study(), study(training={"batch_size": 8, "mini_batches": "shared"})
    own = study(training={"batch_size": 8, "mini_batches": "own"})
    assert plain.experiments[0].id == own.experiments[0].id != shared.experiments[0].id
    assert "mini_batches" not in plain.experiments[0].spec["training"]


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"batch_size": "population"}, "has no effect with training.batch_size"),
        ({"batch_size": 4, "set": {"size": 8}}, 'accepted: scope = "study"'),
        ({"batch_size": "full", "set": {"size": 8, "scope": "study"}}, "whole training set"),
    ],
)
def test_sharing_no_mini_batches_is_refused(training, message):
    with pytest.raises(InputError, match=message):
        study(training={**training, "mini_batches": "shared"}).experiments  # noqa: B018


def test_clones_of_a_run_need_mini_batches_of_their_own():
    shared = study(training={"batch_size": 8, "mini_batches": "shared"})
    assert "clones of a run would all be the same" in splitting_unsupported_reason(
        shared.experiments[0]
    )


def test_segments_do_not_change_the_run():
    (experiment,) = study().experiments
    engine = vmap_engine(experiment)
    key, rate = keys.experiment_key(1, (2, 3)), jnp.asarray(0.02, jnp.float32)
    ends = []
    for cuts in ((0, 60), (0, 1, 2, 30, 59, 60)):
        state = engine.init(key, jnp.arange(16, dtype=jnp.uint32), rate)
        for a, b in pairwise(cuts):
            state = engine.advance(state, (), np.int32(a), np.int32(b), rate)
        ends.append(np.asarray(state.theta).tobytes())
    assert ends[0] == ends[1]


def test_a_sweep_over_learning_rates_seeds_and_steps_compiles_once():
    from jaxsim.engines import engine as module

    sweep = study(grid={"optimizer.learning_rate": [0.01, 0.02, 0.04], "steps": [30, 60]})
    assert len({e.training_key for e in sweep.experiments}) == 1
    engines = [vmap_engine(e) for e in (*sweep.experiments, *study(seed=9).experiments)]
    assert len({id(e.advance) for e in engines}) == 1
    assert len({id(e.observe) for e in engines}) <= 2  # the seed is part of quasi-Monte Carlo rules
    advance = engines[0].advance
    advance.clear_cache()
    for experiment, engine in zip(sweep.experiments, engines, strict=False):
        rate = jnp.asarray(experiment.optimizer.learning_rate, jnp.float32)
        state = engine.init(keys.root_key(0), jnp.arange(16, dtype=jnp.uint32), rate)
        advance(state, (), np.int32(0), np.int32(experiment.steps), rate)
    assert advance._cache_size() == 1
    assert module is not None


def test_optimizers_of_one_architecture_share_draws_and_evaluation():
    one, two = study(grid=TWO).experiments
    first, second = vmap_engine(one), vmap_engine(two)
    assert first.observe is second.observe
    assert first.gradient_norm is second.gradient_norm


def test_the_compiled_training_contains_no_collective():
    (experiment,) = study().experiments
    engine = vmap_engine(experiment)
    rate = jnp.asarray(0.02, jnp.float32)
    state = engine.init(keys.root_key(0), jnp.arange(16, dtype=jnp.uint32), rate)
    text = engine.advance.lower(state, (), np.int32(0), np.int32(9), rate).compile().as_text()
    for word in ("all-reduce", "all-gather", "collective", "all-to-all", "custom_call_target"):
        assert word not in text


def test_frozen_parameters_keep_their_initial_values(tmp_path):
    (experiment,) = study(
        network={
            "hidden": [3],
            "weights": ["normal", {"law": "constant", "value": 1.0}],
            "biases": ["normal", False],
            "freeze": ["output.weights", "layer1.biases"],
        }
    ).experiments
    train = make_train(experiment)
    key, rate = jax.random.key(0), jnp.asarray(0.02, jnp.float32)
    theta = np.asarray(train.draw(key))
    state = train.start(key, train.draw(key), rate)
    ended = np.asarray(jax.jit(train.advance)(state, (), 0, 50, rate).theta)
    assert (ended[:3] != theta[:3]).all()
    assert ended[3:].tobytes() == theta[3:].tobytes()
    assert (theta[6:] == 1).all()


@pytest.mark.parametrize("name", slow_but(["muon"], ["muon", "lamb", "adamw"]))
def test_structured_optimizers_see_the_layers(name):
    (experiment,) = study(
        network__hidden=[3, 3], optimizer={"name": name, "learning_rate": 0.01}
    ).experiments
    train = make_train(experiment)
    key, rate = jax.random.key(0), jnp.asarray(0.01, jnp.float32)
    theta = train.draw(key)
    state = jax.jit(train.advance)(train.start(key, theta, rate), (), 0, 3, rate)

    @jax.jit
    def by_layers(theta):
        tree = experiment.network.unravel(theta)
        transformation = experiment.optimizer.make(0.01)
        memory = transformation.init(tree)
        stream = jax.random.fold_in(key, keys.MINI_BATCHES)
        for n in range(3):
            x, y = experiment.problem.sample(jax.random.fold_in(stream, n), 8, jnp.float32)

            def loss(tree, x=x, y=y):
                h = x
                for layer in ("layer1", "layer2"):
                    p = tree["params"][layer]
                    h = jax.nn.relu(h @ p["kernel"] + p["bias"])
                p = tree["params"]["layer3"]
                return ((h @ p["kernel"] + p["bias"] - y) ** 2).mean()

            moved, memory = transformation.update(jax.grad(loss)(tree), memory, tree)
            tree = optax.apply_updates(tree, moved)
        return _flat(tree)

    np.testing.assert_allclose(state.theta, by_layers(theta), rtol=2e-4, atol=1e-6)


def _flat(tree):
    parts = []
    for layer in ("layer1", "layer2", "layer3"):
        p = tree["params"][layer]
        parts += [p["kernel"].ravel(), p["bias"]]
    return jnp.concatenate(parts)


def collect(state, train, experiment, steps, shared=()):
    """Return the mini-batch inputs of steps 0, ..., steps - 1."""
    from jaxsim.training.batches import make_batches

    batches = make_batches(experiment)
    data, seen = state.data, []
    for n in range(steps):
        data, x, _ = batches.draw(shared, data, state.key, jnp.asarray(n))
        seen.append(np.asarray(x).ravel())
    return seen


def test_epochs_use_every_sample_once():
    (experiment,) = study(training={"batch_size": 4, "set": {"size": 12}}).experiments
    train = make_train(experiment)
    rate = jnp.asarray(0.1, jnp.float32)
    key = jax.random.key(4)
    state = train.start(key, train.draw(key), rate)
    seen = collect(state, train, experiment, 9)
    epochs = [np.sort(np.concatenate(seen[i : i + 3])) for i in (0, 3, 6)]
    assert np.unique(epochs[0]).size == 12
    assert (epochs[0] == epochs[1]).all()
    assert (epochs[0] == epochs[2]).all()
    assert (np.concatenate(seen[:3]) != np.concatenate(seen[3:6])).any()
    other = train.start(jax.random.key(5), train.draw(key), rate)
    assert not np.isin(collect(other, train, experiment, 3), epochs[0]).any()


def test_a_study_wide_set_is_the_same_for_all_replicates():
    (experiment,) = study(
        training={"batch_size": 5, "set": {"size": 20, "scope": "study", "replacement": True}}
    ).experiments
    train = make_train(experiment)
    shared = train.shared(keys.root_key(experiment.seed))
    pool = np.asarray(shared[0]).ravel()
    rate = jnp.asarray(0.1, jnp.float32)
    draws = []
    for seed in (1, 2):
        key = jax.random.key(seed)
        state = train.start(key, train.draw(key), rate)
        draws.append(np.concatenate(collect(state, train, experiment, 40, shared)))
        assert np.isin(draws[-1], pool).all()
        # 200 draws from 20 values miss one of them with probability below 20 (19/20)^200 < 1e-3;
        # the seeds are fixed.
        assert np.unique(draws[-1]).size == 20
    assert (draws[0] != draws[1]).any()


def test_distinct_samples_of_a_data_set_do_not_repeat():
    (experiment,) = study(
        problem={"data": "iris", "loss": "softmax_cross_entropy"},
        training={"batch_size": "full", "set": {"size": 100, "distinct": True}},
    ).experiments
    train = make_train(experiment)
    (x, y), _ = train.start(
        jax.random.key(0), train.draw(jax.random.key(0)), jnp.asarray(0.1, jnp.float32)
    ).data
    points = experiment.problem.law.finite[0].astype(np.float32)
    places = [np.flatnonzero((points == row).all(1)) for row in np.asarray(x)]
    assert all(len(p) for p in places)
    assert np.unique(np.asarray(x), axis=0).shape[0] >= 98  # iris itself repeats a point
    labels = experiment.problem.targets_at_points()
    assert all(int(label) in labels[p] for p, label in zip(places, np.asarray(y), strict=True))


def test_population_gradient_descends_the_true_risk_monotonically(tmp_path):
    results = simulate(
        study(
            training={"batch_size": "population"},
            optimizer={"name": "sgd", "learning_rate": 0.02},
            precision="float64",
            checkpoints=list(range(0, 61, 5)),
        ),
        tmp_path / "population",
    )
    risk = next(results.chunks(results.experiments[0])).risk
    assert (np.diff(risk, axis=1) <= 1e-15).all()
    assert (risk[:, -1] < 0.9 * risk[:, 0]).mean() > 0.9


def test_diverged_steps_are_found_to_the_step(tmp_path):
    wild = study(optimizer={"name": "sgd", "learning_rate": 30.0}, steps=200, replicates=32)
    directory = bind(wild, tmp_path / "wild")
    simulate(wild, tmp_path / "wild")
    results = open_results(directory)
    (experiment,) = results.experiments
    records = next(results.chunks(experiment))
    broken = records.status == 1
    assert broken.any()
    train = make_train(experiment)
    key = keys.experiment_key(experiment.seed, experiment.key_words)
    advance = jax.jit(train.advance)
    for r in np.flatnonzero(broken)[:5]:
        member = jax.random.fold_in(key, int(r))
        rate = jnp.asarray(30.0, jnp.float32)
        state = train.start(member, train.draw(member), rate)
        first = int(records.diverged_step[r])
        state = advance(state, (), 0, first, rate)
        x, y = experiment.problem.sample(jax.random.fold_in(state.key, first), 8, jnp.float32)
        loss = ((experiment.network.apply(state.theta, x) - y) ** 2).mean()
        assert not np.isfinite(loss)


def test_checkpoints_are_log_spaced_with_both_ends():
    assert log_spaced(0) == (0,)
    assert log_spaced(1, 5) == (0, 1)
    assert log_spaced(1000, 7) == (0, 1, 4, 16, 63, 251, 1000)
    assert log_spaced(5, 100) == (0, 1, 2, 3, 4, 5)


@pytest.mark.parametrize("engine", slow_but(["lanes"], ["vmap", "lanes"]))
def test_the_seed_path_leads_to_the_replicate_in_every_block(engine, tmp_path):
    execution = {"engine": engine, "width": 16, "shard": 32}
    results = simulate(study(replicates=80, execution=execution), tmp_path / "path")
    (experiment,) = results.experiments
    frame = results.to_pandas()
    draw = jax.jit(make_train(experiment).draw)
    risk_of = jax.jit(make_risk(experiment.problem, experiment.network).evaluate)
    # No two replicates share a draw, whichever block or shard they are in.
    assert frame[frame.n == 0].risk.nunique() == 80
    for chosen in (0, 5, 17, 40, 79):
        rows = frame[frame.replicate == chosen]
        seed, *words, replicate = map(int, rows.seed_path.unique()[0].split("/"))
        assert replicate == chosen
        key = jax.random.key(seed, impl="threefry2x32")
        for word in (*words, replicate):
            key = jax.random.fold_in(key, word)
        risk, _ = risk_of(draw(key).astype(float))
        assert risk == pytest.approx(rows[rows.n == 0].risk.item(), rel=1e-12)
