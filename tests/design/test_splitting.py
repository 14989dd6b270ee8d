"""Families of trainings: in law plain runs, with weights; and what cannot be split."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.design.resampling import history
from jaxsim.design.splitting import (
    active_neurons,
    family_experiment,
    require_splitting,
    resampling_of,
    scores_of,
    splitting_unsupported_reason,
)
from jaxsim.design.twist import fit_model, make_twist
from jaxsim.engines.block import SegmentSizer, Stopped, run_block, start
from jaxsim.engines.registry import ExecutionConfig, make_engine, unsupported_reason
from jaxsim.errors import InputError
from jaxsim.results.frame import COLUMNS, frame
from jaxsim.results.schema import concatenate
from jaxsim.results.store import Shard, Store
from jaxsim.training import keys
from tests.studies import study

DYING = {
    "network.hidden": [4],
    "optimizer": {"name": "adam", "learning_rate": 0.05},
    "steps": 60,
    "checkpoints": [15, 30, 45],
}
WIDTH = 128


def experiment_of(**changes):
    (one,) = study(**{k.replace(".", "__"): v for k, v in DYING.items()} | changes).experiments
    return one


@pytest.fixture(scope="module")
def dying():
    """An experiment whose neurons die in training, plain runs of it, and a twist from some."""
    experiment = experiment_of()
    engine = make_engine(experiment, ExecutionConfig("vmap", WIDTH))
    plain = [run_block(engine, experiment, WIDTH * i, WIDTH) for i in range(16)]
    scores = scores_of(experiment, plain[0])
    return experiment, engine, plain, fit_model(scores, scores[None, :, -1] == 0, 4).twist


@pytest.fixture(scope="module")
def families(dying):
    experiment, engine, _, twist = dying
    chosen = family_experiment(experiment, twist)
    hook = resampling_of(chosen, twist)
    blocks = [run_block(engine, chosen, WIDTH * i, WIDTH, resampling=hook) for i in range(16)]
    return chosen, twist, blocks


def compared(experiment, plain, families) -> np.ndarray:
    """Return standard deviations between plain runs and families, for events at checkpoints."""
    events = [
        lambda r: scores_of(experiment, r) == 0,
        lambda r: scores_of(experiment, r) == 1,
        lambda r: r.risk > 0.05,
        lambda r: r.risk > 0.08,
        lambda r: np.ones(r.risk.shape),
    ]
    apart = []
    for event in events:
        one = np.array([event(r).mean(0) for r in plain])
        other = np.array([(r.weight * event(r)).mean(0) for r in families])
        variance = one.var(0, ddof=1) / len(one) + other.var(0, ddof=1) / len(other)
        apart.append((one.mean(0) - other.mean(0)) / np.sqrt(variance + 1e-20))
    return np.array(apart)


def test_families_agree_with_plain_runs_in_law(dying, families):
    experiment, _, plain, _ = dying
    apart = compared(experiment, plain, families[2])
    assert np.abs(apart).max() < 4
    # Whole networks die: rare to begin with, and what the families look for.
    dead = np.mean([(scores_of(experiment, r)[:, -1] == 0).mean() for r in plain])
    seen = np.mean([(scores_of(experiment, r)[:, -1] == 0).mean() for r in families[2]])
    assert 0.005 < dead < 0.1
    assert seen > 3 * dead


def test_records_are_of_before_each_resampling_and_weights_follow_from_them(families):
    chosen, twist, blocks = families
    for number, records in enumerate(blocks[:3]):
        assert (records.weight[:, 0] == 1).all()
        assert (records.weight > 0).all()
        words = (chosen.seed, *chosen.key_words, number)
        past = history(scores_of(chosen, records), twist, words)
        assert np.array_equal(past.weights, records.weight)
    assert concatenate(blocks).weight.shape == (16 * WIDTH, 5)


def test_clones_part_and_their_inactive_neurons_stay(families):
    chosen, twist, blocks = families
    records = blocks[0]
    inactive = records.inactive[:, :, 0]
    parents = history(
        scores_of(chosen, records), twist, (chosen.seed, *chosen.key_words, 0)
    ).ancestors
    cloned, roots = 0, np.arange(len(inactive))
    for j, ancestors in enumerate(parents[:-1]):
        assert ancestors is not None
        roots = roots[ancestors]
        # Those that die on the way may still be moved by the optimizer's memory.
        assert (inactive[:, j + 1] >= inactive[roots, 0]).all()
        alive = inactive[:, j + 1] < 4
        for parent in np.unique(ancestors):
            children = np.flatnonzero((ancestors == parent) & alive)
            cloned += len(children) > 1
            assert len(np.unique(records.risk[children, j + 1])) == len(children)
    assert cloned > 20


def test_equal_functions_leave_the_bits_of_plain_runs(dying):
    experiment, engine, plain, _ = dying
    flat = make_twist(np.zeros((5, 5)))
    records = run_block(engine, experiment, 0, WIDTH, resampling=resampling_of(experiment, flat))
    assert (records.weight == 1).all()
    unweighted = records._replace(weight=plain[0].weight)
    for one, other in zip(unweighted, plain[0], strict=True):
        assert one.tobytes() == other.tobytes()
    assert plain[0].weight.shape == (WIDTH, 0)


def test_families_of_another_twist_or_direction_are_other_experiments(dying):
    experiment, _, _, twist = dying
    others = [
        experiment,
        family_experiment(experiment, twist),
        family_experiment(experiment, twist, reverse=True),
        family_experiment(experiment, make_twist(np.zeros((5, 5)))),
    ]
    assert len({e.id for e in others}) == len({e.key_words for e in others}) == 4
    assert len({e.training_key for e in others}) == 1
    assert family_experiment(experiment, twist) == others[1]


def test_reverse_families_look_the_other_way(dying):
    experiment, engine, plain, twist = dying
    chosen = family_experiment(experiment, twist, reverse=True)
    hook = resampling_of(chosen, twist, reverse=True)
    records = run_block(engine, chosen, 0, WIDTH, resampling=hook)
    assert scores_of(chosen, records)[:, -1].mean() > scores_of(chosen, plain[0])[:, -1].mean()


class Stops:
    """Says stop at a given question."""

    def __init__(self, question):
        self.left = question

    def __call__(self):
        self.left -= 1
        return self.left < 0


def left_at_any_segment(engine, experiment, width, twist):
    """Whether a family left at any of its segments, and gone on with, has the bits of one not."""
    hook, first = resampling_of(experiment, twist), 2 * width
    quiet = run_block(engine, experiment, first, width, resampling=hook)
    assert (quiet.weight[:, 1:] != 1).any(0).all()
    for question in range(8):
        sizer = SegmentSizer(steps=8)
        sizer.learn = lambda steps, elapsed: None
        options = {"sizer": sizer, "resampling": hook}
        with pytest.raises(Stopped) as stopped:
            run_block(engine, experiment, first, width, stop=Stops(question), **options)
        begin = stopped.value.snapshot
        found = run_block(engine, experiment, first, width, begin=begin, **options)
        for one, other in zip(found, quiet, strict=True):
            assert one.tobytes() == other.tobytes()


def test_a_family_left_at_any_segment_goes_on_to_the_same_bits(dying):
    experiment, engine, _, twist = dying
    left_at_any_segment(engine, experiment, WIDTH, twist)


IN_LANES = [
    ExecutionConfig("native", 32, 16),
    pytest.param(ExecutionConfig("vmap", 32), marks=pytest.mark.slow),
    pytest.param(ExecutionConfig("lanes", 32, 8), marks=pytest.mark.slow),
]


@pytest.mark.parametrize("config", IN_LANES, ids=lambda config: config.engine)
def test_engines_copy_whole_members(config):
    """A member and its copy with the same stream go on alike, at whatever place."""
    experiment = experiment_of(
        optimizer={"name": "adam", "learning_rate": 0.01},
        training={"batch_size": 4, "set": {"size": 10, "replacement": True}},
    )
    if unsupported_reason(config.engine, experiment):
        pytest.skip(unsupported_reason(config.engine, experiment))
    engine = make_engine(experiment, config)
    rate, shared = jnp.float32(0.01), engine.shared(keys.root_key(experiment.seed))
    state = engine.advance(start(engine, experiment, 0, 32), shared, 0, 7, rate)
    places, streams = np.arange(32, dtype=np.int32), state.key.reshape(-1)
    ancestors = np.roll(places, 5)
    moved = engine.resample(state, ancestors, streams[ancestors])
    same = engine.resample(state, places, streams)
    for one, other in zip(jax.tree.leaves(same), jax.tree.leaves(state), strict=True):
        assert (one == other).all()
    before = np.asarray(engine.theta(engine.advance(state, shared, 7, 13, rate)))
    after = np.asarray(engine.theta(engine.advance(moved, shared, 7, 13, rate)))
    assert np.array_equal(after, before[ancestors])


@pytest.mark.slow
@pytest.mark.parametrize(
    "config", [ExecutionConfig("native", 32, 16), ExecutionConfig("lanes", 32, 8)]
)
def test_a_family_in_lanes_goes_on_to_the_same_bits(config):
    experiment = experiment_of(training={"batch_size": 4, "set": {"size": 10}})
    if unsupported_reason(config.engine, experiment):
        pytest.skip(unsupported_reason(config.engine, experiment))
    twist = make_twist(-0.7 * np.arange(5) * np.ones((5, 1)))
    left_at_any_segment(make_engine(experiment, config), experiment, 32, twist)


def test_a_diverged_run_scores_as_one_without_active_neurons():
    risk = np.array([[0.1, np.nan], [0.1, 0.2]])
    scores = active_neurons(experiment_of(), np.array([[1, 0], [0, 3]]), risk)
    assert scores.tolist() == [[3, 0], [4, 1]]


def test_weights_are_stored_bit_for_bit_and_exported(tmp_path, families):
    chosen, _, blocks = families
    store, shard = Store(tmp_path), Shard(chosen.id, 0, WIDTH, 5, 1)
    store.write(shard, blocks[0], {})
    back = store.read(shard)
    for one, other in zip(back, blocks[0], strict=True):
        assert one.tobytes() == other.tobytes()
    table = frame(chosen, back)
    assert np.array_equal(table["weight"].to_numpy(), back.weight.ravel())
    assert "weight" in COLUMNS
    assert "weight" not in frame(chosen, back._replace(weight=np.zeros((WIDTH, 0))))


REFUSED = {
    "no flat piece": ({"network__activation": "gelu"}, "has no flat piece"),
    "weight decay": (
        {"optimizer": {"name": "adamw", "learning_rate": 0.01}}, "moves inactive neurons",
    ),
    "gradients of the true risk": ({"training": {"batch_size": "population"}}, "not random"),
    "all samples": (
        {"training": {"batch_size": "full", "set": {"size": 6}}}, "clones of a run would all be",
    ),
    "all samples, as a number": (
        {"training": {"batch_size": 6, "set": {"size": 6}}}, "not random",
    ),
    "no hidden layer": ({"network__hidden": []}, "no hidden layer"),
    "unbounded inputs": ({"problem__input": {"law": "normal"}}, "unbounded"),
    "frozen": ({"network__freeze": ["layer1"]}, "not trained"),
    "no checkpoint": ({"checkpoints": []}, "there is none"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_split_is_refused_with_the_reason(case):
    changes, words = REFUSED[case]
    with pytest.raises(InputError, match=words) as refusal:
        require_splitting(experiment_of(**changes))
    assert 'design = "splitting" is not accepted' in str(refusal.value)
    assert 'accepted: design = "plain"' in str(refusal.value)
    assert str(refusal.value).count("\n") == 0


def test_random_mini_batches_of_all_samples_can_be_split():
    sets = {"size": 6, "replacement": True}
    assert not splitting_unsupported_reason(experiment_of(training={"batch_size": 6, "set": sets}))
    assert not splitting_unsupported_reason(experiment_of())
