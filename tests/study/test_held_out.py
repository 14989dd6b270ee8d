"""What held-out rows have a part in: the risk, and nothing of the training."""

import jax
import numpy as np
import pytest

from jaxsim.engines.block import advance_to_end
from jaxsim.engines.registry import ExecutionConfig, make_engine
from jaxsim.risk import make_risk
from jaxsim.risk.constants import best_constant_risk
from jaxsim.study.study import Study
from jaxsim.training import keys
from jaxsim.training.batches import make_batches
from jaxsim.training.train import make_train

WIDTH = 4


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(40, 2))
    for name, values, labels in (
        ("train", x[:30], (x[:30].sum(1) > 0).astype(int)),
        ("first", x[30:], (x[30:].sum(1) > 0).astype(int)),
        ("second", 1e3 * x[30:], np.arange(10) % 2),
    ):
        table = np.column_stack([values, labels])
        np.savetxt(tmp_path / f"{name}.csv", table, delimiter=",", header="a,b,y", comments="")
    return tmp_path


def experiment(folder, settings=(), **data):
    table = {
        "name": "held",
        "steps": 3,
        "checkpoints": [3],
        "problem": {"data": {"path": "train.csv", **data}, "loss": "logistic"},
        "network": {"hidden": [3], "biases": {"law": "uniform", "bound": 1.0}},
        "optimizer": {"name": "adam", "learning_rate": 0.1},
        "training": {"batch_size": 5},
    }
    (one,) = Study.from_dict(table, settings, base=folder).experiments
    return one


def test_trained_parameters_do_not_depend_on_held_out_rows(folder):
    found = []
    for test in ("first.csv", "second.csv"):
        one = experiment(folder, test={"path": test})
        engine = make_engine(one, ExecutionConfig("vmap", WIDTH, 1))
        found.append(np.asarray(engine.theta(advance_to_end(engine, one, 0, WIDTH))))
    assert found[0].tobytes() == found[1].tobytes()
    assert len(np.unique(found[0], axis=0)) == WIDTH


@pytest.mark.parametrize("over", ["test", "train", "all"])
def test_nor_do_they_on_a_share_that_is_held_out_of_one_file(folder, tmp_path, over):
    """Rows that are held out are changed in place: the same bits, from other files of results."""
    test = {"fraction": 0.4, "seed": 3}
    one = experiment(folder, test=test, risk_over=over)
    data = np.loadtxt(folder / "train.csv", delimiter=",", skiprows=1)
    held = np.sort(np.argsort(np.random.PCG64(3).random_raw(30))[:12])
    other = tmp_path / "other"
    other.mkdir()
    data[held] = np.column_stack([1e3 * data[held, :2], 1 - data[held, 2]])
    header = {"delimiter": ",", "header": "a,b,y", "comments": ""}
    np.savetxt(other / "train.csv", data, **header)
    two = experiment(other, test=test, risk_over=over)
    assert one.key_words == two.key_words
    assert one.id != two.id
    assert one.drawn_from.law.finite[0].tobytes() == two.drawn_from.law.finite[0].tobytes()
    data[np.setdiff1d(np.arange(30), held)[0], 0] += 1e-3
    np.savetxt(other / "train.csv", data, **header)
    assert experiment(other, test=test, risk_over=over).key_words != one.key_words


def test_trained_parameters_do_not_depend_on_a_share_that_is_held_out(folder, tmp_path):
    found = []
    for scale in (1.0, 1e3):
        place = tmp_path / str(scale)
        place.mkdir()
        data = np.loadtxt(folder / "train.csv", delimiter=",", skiprows=1)
        data[np.argsort(np.random.PCG64(0).random_raw(30))[:15], :2] *= scale
        table = {"delimiter": ",", "header": "a,b,y", "comments": ""}
        np.savetxt(place / "train.csv", data, **table)
        one = experiment(place, test={"fraction": 0.5})
        engine = make_engine(one, ExecutionConfig("vmap", WIDTH, 1))
        found.append(np.asarray(engine.theta(advance_to_end(engine, one, 0, WIDTH))))
    assert found[0].tobytes() == found[1].tobytes()
    assert len(np.unique(found[0], axis=0)) == WIDTH


def test_runs_are_those_without_a_test(folder):
    plain = experiment(folder)
    held = [
        experiment(folder, test={"path": "first.csv"}, risk_over=over)
        for over in ("test", "train", "all")
    ]
    assert {one.key_words for one in held} == {plain.key_words}
    assert len({one.id for one in (plain, *held)}) == 4
    assert len({one.optimum_key for one in (plain, *held)}) == 4, "inf L is that of the rows"
    assert [one.problem.over for one in held] == [
        "the 10 held-out rows",
        "the 30 training rows",
        "all 40 rows, 10 of them held out",
    ]
    assert [len(one.problem.law.finite[0]) for one in held] == [10, 30, 40]
    for one in held:
        drawn = one.drawn_from.law.finite[0]
        assert drawn.tobytes() == plain.problem.law.finite[0].tobytes()
    # What is inactive is so on the rows that gradients see and on those of the risk.
    assert [len(one.problem.law.support.points) for one in held] == [40, 30, 40]


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param((), marks=pytest.mark.slow),
        ("training.batch_size='population'",),
        ("training.set={ size = 30, distinct = true }",),
        ("training.set={ size = 12 }", "training.batch_size='full'"),
    ],
)
def test_mini_batches_are_training_rows(folder, settings):
    test = {"fraction": 0.5, "seed": 1, "stratified": True}
    one = experiment(folder, [s.replace("30", "15") for s in settings], test=test)
    mine = {tuple(row) for row in np.float32(one.drawn_from.law.finite[0])}
    held = {tuple(row) for row in np.float32(one.problem.law.finite[0])}
    assert len(mine) == len(held) == 15
    assert not mine & held
    if one.batch_size == "population":
        assert one.drawn_from is not one.problem
        return
    batches, key = make_batches(one), keys.root_key(0)
    shared, carried = batches.shared(key), batches.init(key)
    drawn = [batches.draw(shared, carried, key, n)[1] for n in range(8)]
    assert {tuple(row) for row in np.concatenate(drawn)} <= mine


def test_the_gradient_of_the_population_is_that_of_the_training_rows(folder):
    settings = [
        "training.batch_size='population'",
        "optimizer.name=sgd",
        "steps=1",
        "checkpoints=[1]",
        "precision=float64",
    ]
    one = experiment(folder, settings, test={"path": "second.csv"})
    train = make_train(one)
    mine = keys.experiment_key(one.seed, one.key_words)
    (key,) = keys.replicate_keys(mine, np.arange(1, dtype=np.uint32))
    state = train.start(key, train.draw(key), np.float64(0.1))
    after = train.advance(state, train.shared(keys.root_key(one.seed)), 0, 1, np.float64(0.1))
    risk = make_risk(one.drawn_from, one.network)
    step = 0.1 * jax.grad(risk.population_loss)(state.theta)
    np.testing.assert_allclose(after.theta, state.theta - step, rtol=1e-12)


def test_what_is_known_of_the_optimum_is_of_the_rows_of_the_risk(folder):
    over = {
        name: experiment(folder, test={"path": "second.csv"}, risk_over=name).problem
        for name in ("test", "train")
    }
    assert best_constant_risk(over["test"]).value == pytest.approx(np.log(2))
    assert best_constant_risk(over["train"]).value < np.log(2) - 1e-6
