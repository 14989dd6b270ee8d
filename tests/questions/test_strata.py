"""Answers under a design, against plain NumPy over made-up runs of every stratum."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy import stats

from jaxsim import analyse, exceedance
from jaxsim.design.stratum import Design, Stratum
from jaxsim.engines.registry import ExecutionConfig
from jaxsim.results.provenance import provenance
from jaxsim.results.results import Results
from jaxsim.results.store import Shard, Store
from jaxsim.training.records import Records, Status
from tests.studies import study

EPS = [0.001, 0.05]
RUNS = (400, 300, 200, 0)
WEIGHTS = stats.binom.pmf(np.arange(4), 3, 0.25)
TWO = {"optimizer": [{"name": "sgd"}, {"name": "adam"}]}


def strata_of(experiment, weights=WEIGHTS, name="strata"):
    """Return one stratum for each number of inactive neurons of three."""
    parts = [
        Stratum(
            number=k,
            text=f"{k} of 3 neurons inactive",
            probability=float(weight),
            error=0.0,
            experiment=replace(experiment, id=f"{experiment.id[:15]}{k}"),
            least=k,
            most=k,
        )
        for k, weight in enumerate(weights)
    ]
    return Design(name, tuple(parts))


def made_up_records(runs, k, seed, checkpoints=5, first=0):
    """Return runs with k certified inactive neurons, some of them diverged at the end."""
    rng = np.random.default_rng([seed, k])
    seen = (runs, checkpoints)
    lost = np.arange(runs) < k
    # R*(m) of the parabola, and above it something with a scale like eps.
    risk = 4 / 45 / (4 - k) ** 4 + rng.exponential(0.01, seen)
    risk[lost, -1] = np.inf
    return Records(
        replicate=np.arange(first, first + runs),
        status=np.where(lost, Status.DIVERGED, Status.OK).astype(np.int8),
        diverged_step=np.where(lost, 60, -1),
        risk=risk,
        error=np.where(np.isfinite(risk), 1e-15, np.nan),
        inactive=np.full((*seen, 1), k, np.int32),
        gradient_norm=rng.uniform(size=runs),
        dead_layer=np.zeros(runs, np.int16),
        dead_neurons=np.full(runs, k, np.int32),
        constant=np.full(seen, int(k == 3), np.int8),
    )


def stratified_results(directory, made=study(), runs=RUNS, records=made_up_records, **kwargs):
    """Return results of a design, of runs that were made up."""
    store, designs, planned, kept = Store(directory), {}, {}, {}
    facts = provenance(jax.local_devices()[0], ExecutionConfig("vmap", 16, 0)) | {"diverged": "0"}
    for place, experiment in enumerate(made.experiments):
        designs[experiment.id] = design = strata_of(experiment, **kwargs)
        for stratum, count in zip(design.strata, runs, strict=True):
            shard = Shard(stratum.experiment.id, 0, count, len(experiment.checkpoints), 1)
            planned[shard.experiment] = [shard] if count else []
            if count:
                kept[experiment.label, stratum.number] = rows = records(
                    count, stratum.number, place
                )
                store.write(shard, rows, facts | {"seed_path": "made up"})
    return Results(store, made.experiments, planned, designs), kept


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return stratified_results(tmp_path_factory.mktemp("strata"))


@pytest.fixture(scope="module")
def answer(made):
    return analyse(made[0], EPS, interval="mover").experiments[0]


def counted(kept, e, eps):
    """Return how many runs of every stratum fail, and may fail, at every checkpoint, [2, 4, T]."""
    rows = np.zeros((2, 4, len(e.checkpoints)))
    for k in range(4):
        for end, bound in enumerate((e.optimum.upper.value, e.optimum.lower.value)):
            if RUNS[k]:
                rows[end, k] = (~(kept[e.label, k].risk <= bound + eps)).sum(0)
    return rows


def test_parts_are_sums_over_strata(made, answer):
    """The stratum without runs fails by proof at eps = 0.05, and every one that R*(m) says."""
    upper = answer.optimum.upper.value
    for g, eps in enumerate(EPS):
        levels = 4 / 45 / (4 - np.arange(4)) ** 4.0
        decided = levels > upper + eps
        assert decided[3]
        n = np.maximum(RUNS, 1)
        x, possible = counted(made[1], answer, eps)
        share, most = x / n[:, None], possible / n[:, None]
        for t, one in enumerate(answer.exceedance.estimates[g]):
            assert one.provable == pytest.approx(WEIGHTS[decided].sum(), rel=1e-12)
            resolved = (WEIGHTS * share[:, t])[~decided].sum()
            assert one.resolved == pytest.approx(resolved, rel=1e-12)
            assert one.estimate == pytest.approx(one.provable + resolved, rel=1e-12)
            assert (one.design, one.runs) == ("strata", sum(RUNS))
            assert one.failures == x[:, t].sum()
            assert one.undecided == (possible - x)[:, t].sum()
            least = stats.beta.ppf(0.025, x[:, t], n - x[:, t] + 1)
            greatest = stats.beta.isf(0.025, possible[:, t] + 1, n - possible[:, t])
            down = (WEIGHTS * (share[:, t] - np.nan_to_num(least)))[~decided]
            up = (WEIGHTS * (np.nan_to_num(greatest, nan=1.0) - most[:, t]))[~decided]
            assert one.lower == pytest.approx(one.estimate - np.hypot.reduce(down), rel=1e-8)
            assert one.upper == pytest.approx(one.estimate_upper + np.hypot.reduce(up), rel=1e-8)
            assert (one.method, one.rigorous) == ("mover", False)
            assert one.upper <= one.upper_guaranteed
