"""The parameters of a run: the same bits as its training, in the names of its flax module."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxsim
from jaxsim.errors import InputError
from jaxsim.launch.parameters import find_run
from jaxsim.launch.replay import replay
from jaxsim.risk import make_risk
from tests.studies import TWO, made_up, study


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return jaxsim.simulate(study(replicates=40), tmp_path_factory.mktemp("parameters"))


def recorded(results, replicate, n=60):
    frame = results.to_pandas()
    return frame[(frame.replicate == replicate) & (frame.n == n)].risk.item()


def test_a_module_with_the_parameters_has_the_recorded_risk(results):
    (experiment,) = results.experiments
    evaluate = jax.jit(make_risk(experiment.problem, experiment.network, experiment.risk).evaluate)
    for replicate, n in ((33, None), (5, 7), (5, 0)):
        tree = results.parameters("small", replicate, n)
        assert jax.tree.map(jnp.shape, tree) == {
            "params": {
                "layer1": {"kernel": (1, 3), "bias": (3,)},
                "layer2": {"kernel": (3, 1), "bias": (1,)},
            }
        }
        flat = jnp.concatenate(
            [tree["params"][f"layer{k}"][p].ravel() for k in (1, 2) for p in ("kernel", "bias")]
        ).astype(jnp.float64)
        risk = recorded(results, replicate, 60 if n is None else n)
        assert float(evaluate(flat)[0]) == pytest.approx(risk, rel=1e-12)
        # Against the integral of (N(x) - x^2)^2 / 2 over a fine grid.
        x = jnp.linspace(-1, 1, 20001)[:, None]
        outputs = experiment.network.module.apply(tree, x)
        loss = np.asarray((outputs - x**2) ** 2, np.float64)
        assert loss.mean() == pytest.approx(risk, rel=1e-3)


def test_steps_between_checkpoints_are_those_of_the_training(results):
    tree = results.parameters("small", 17, 40)
    again = replay(results.store.directory, "small", 17, every=20)
    x = jnp.linspace(-1, 1, 20001)[:, None]
    outputs = results.experiments[0].network.module.apply(tree, x)
    loss = np.asarray((outputs - x**2) ** 2, np.float64).mean()
    assert loss == pytest.approx(again.records.risk[0, again.steps.index(40)], rel=1e-3)


def test_best_median_worst_and_failing_runs_are_those_of_the_frame(tmp_path):
    made = made_up(study(grid=TWO), tmp_path, diverged=1)
    frame = made.to_pandas()
    risks = np.sort(np.asarray(frame.risk[(frame.experiment == "adam") & (frame.n == 60)]))
    best, median, worst = (find_run(made, "adam", w) for w in ("best", "median", "worst"))
    assert best.risk == risks[0]
    assert median.risk == risks[(len(risks) - 1) // 2]
    assert np.isinf(worst.risk)
    (estimate,) = [e for e in jaxsim.exceedance(made, 0.05) if e.experiment == "adam"]
    failing = made.find_run("adam", "failing", eps=0.05)
    assert failing.risk > estimate.optimum_upper + 0.05
    with pytest.raises(InputError, match="no run of 'sgd' is known to exceed"):
        find_run(made_up(study(grid=TWO), tmp_path / "b"), "sgd", "failing", eps=1e9)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("small", 40), r"replicate = 40 is not part of the study; accepted: 0 to 39"),
        (("small", 0, 61), r"n = 61 is not accepted.*at most 60"),
        (("other", 0), r"experiment = 'other' is not known.*small"),
        (("small", "first"), r"which = 'first' is not known.*best, failing, median, worst"),
        (("small", "failing"), r"eps = None is not accepted"),
        ((True, 0), r"experiment = True is of type bool"),
    ],
)
def test_runs_that_are_not_there_are_refused(results, arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        results.parameters(*arguments)
