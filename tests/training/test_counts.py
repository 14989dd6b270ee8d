"""Training sets of which only counts are held: as if all samples were, in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxsim.design.splitting import splitting_unsupported_reason
from jaxsim.engines.registry import unsupported_reason
from jaxsim.errors import InputError
from jaxsim.training import keys
from jaxsim.training.batches import make_batches
from jaxsim.training.train import make_train
from tests.studies import study

RATE, STEPS, SIZE = 0.05, 5, 50
X = np.array([-1.0, 0.5, 2.0])
POINTS = {"law": "points", "points": X.tolist(), "weights": [0.2, 0.3, 0.5]}


def experiment(batch_size="full", problem=None, **chosen):
    return study(
        problem=problem or {"input": POINTS, "target": "x**2"},
        network={"hidden": [], "weights": "normal", "biases": "normal"},
        optimizer={"name": "sgd", "learning_rate": RATE},
        training={"batch_size": batch_size, "set": {"size": SIZE, "counts": True} | chosen},
        precision="float64",
        steps=STEPS,
        checkpoints=[1],
    ).experiments[0]


def member(chosen, replicate):
    return jax.random.fold_in(keys.experiment_key(chosen.seed, chosen.key_words), replicate)


@pytest.mark.parametrize("scope", ["replicate", "study"])
def test_training_is_descent_over_all_samples(scope):
    chosen = experiment(scope=scope)
    train, batches = make_train(chosen), make_batches(chosen)
    shared = train.shared(keys.root_key(chosen.seed))
    theta, rate = train.draw(member(chosen, 0)), jnp.asarray(RATE)
    state = train.start(member(chosen, 0), theta, rate)
    state = jax.jit(train.advance)(state, shared, jnp.int32(0), jnp.int32(STEPS), rate)
    shares = np.asarray(batches.shares(shared, batches.init(member(chosen, 0))))
    x = np.repeat(X, np.rint(SIZE * shares).astype(int))
    assert len(x) == SIZE
    w, b = np.asarray(theta)
    for _ in range(STEPS):
        residual = w * x + b - x**2
        w, b = w - RATE * (2 * residual * x).mean(), b - RATE * 2 * residual.mean()
    np.testing.assert_allclose(state.theta, [w, b], rtol=1e-12)


def test_counts_are_multinomial_and_each_replicate_has_its_own():
    batches = make_batches(chosen := experiment(size=20))
    members = jax.jit(jax.vmap(lambda r: member(chosen, r)))(jnp.arange(2000))
    counts = np.rint(20 * np.asarray(jax.jit(jax.vmap(batches.init))(members))).astype(int)
    assert (counts.sum(1) == 20).all()
    for column, p in zip(counts.T, POINTS["weights"], strict=True):
        law = scipy.stats.binom(20, p).pmf(np.arange(21))
        seen = np.bincount(column, minlength=21)
        common = law * 2000 > 5
        table = [[*seen[common], seen[~common].sum()], [*law[common], law[~common].sum()]]
        # Chi-squared at a false-alarm rate of 1e-6.
        assert scipy.stats.chisquare(table[0], 2000 * np.array(table[1])).pvalue > 1e-6


def test_of_many_samples_only_the_points_are_held():
    chosen = experiment(size=10**7)
    assert (chosen.rows, chosen.samples_per_step) == (3, 3)
    assert "all be the same" in splitting_unsupported_reason(study(
        problem={"input": POINTS, "target": "x**2"},
        training={"batch_size": "full", "set": {"size": 10**7, "counts": True}},
    ).experiments[0])  # fmt: skip
    assert "counted" in unsupported_reason("lanes", chosen)
    assert unsupported_reason("native", chosen)
    assert unsupported_reason("pallas", chosen)


def test_only_studies_that_ask_for_it_are_other_ones():
    training = {"batch_size": "full", "set": {"size": 9}}
    plain = study(training=training).experiments[0]
    without = study(training={**training, "set": {"size": 9, "counts": False}}).experiments[0]
    assert (plain.id, plain.key_words) == (without.id, without.key_words)
    assert "counts" not in plain.spec["training"]["set"]
    assert experiment().id != experiment(counts=False).id


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"batch_size": 2}, 'but with training.batch_size = "full"'),
        ({"distinct": True, "size": 2}, "without training.set.distinct"),
        ({"problem": {"input": {"law": "uniform"}, "target": "x"}}, "finitely many points"),
        (
            {"problem": {"input": POINTS, "target": "x", "noise": {"law": "normal", "std": 1.0}}},
            "without noise",
        ),
    ],
)
def test_samples_that_have_to_be_told_apart_are_not_counted(changes, sentence):
    with pytest.raises(InputError, match=f"counts = true is not accepted.*{sentence}"):
        experiment(**changes)
