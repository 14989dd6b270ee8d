"""Runs that depend on earlier runs: the same ones whoever computes them, and whenever."""

import json
import random
import shutil

import jax
import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import optimize, special, stats

from jaxsim import InputError, analyse, exceedance
from jaxsim.launch.deadline import Deadline
from jaxsim.launch.directory import bind, reopen
from jaxsim.launch.replay import replay
from jaxsim.launch.runs_made import remarks
from jaxsim.launch.simulate import open_results, simulate
from jaxsim.launch.worker import work_through
from tests.launch.test_chaos import killed_at_random
from tests.studies import TWO, all_bits, slow_but, study, table

UNTIL = {
    "until": {"half_width": 0.06},
    "replicates": 4000,
    "steps": 20,
    "checkpoints": [7],
    "epsilon": [0.02, 0.05],
    "grid": TWO,
    "execution": {"width": 32, "shard": 64},
}


def half_width(failures, runs, confidence):
    """Half the width of the beta-binomial confidence sequence, by root finding."""

    def excess(p):
        kept = special.betaln(0.5 + failures, 0.5 + runs - failures) - special.betaln(0.5, 0.5)
        return (
            kept
            - special.xlogy(failures, p)
            - special.xlog1py(runs - failures, -p)
            + np.log(1 - confidence)
        )

    middle, ends = failures / runs, [0.0, 1.0]
    if failures > 0:
        ends[0] = optimize.brentq(excess, 1e-12, middle)
    if failures < runs:
        ends[1] = optimize.brentq(excess, middle, 1 - 1e-12)
    return (ends[1] - ends[0]) / 2


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("until") / "out"
    simulate(study(**UNTIL), directory, devices=1)
    return directory


def left(directory):
    """Return all stages that were left, as text by file."""
    return {p.name: p.read_text() for p in sorted((directory / "design").iterdir())}


def test_runs_go_on_until_every_interval_is_narrow_and_no_longer(finished):
    opened = reopen(finished)
    results = open_results(opened)
    assert results.complete
    for experiment in results.experiments:
        risk = np.concatenate([r.risk for r in results.chunks(experiment)])
        stages = opened.stages[experiment.id].known()
        looks = [stage.stops[0] for stage in stages if not stage.final]
        assert len(risk) == looks[-1] < 4000
        for look in looks:
            best = min(np.nanmin(risk[:look]), experiment.optimum.upper.value)
            failures = [(risk[:look, -1] > best + eps).sum() for eps in (0.02, 0.05)]
            widest = max(half_width(f, look, 0.95) for f in failures)
            assert (widest <= 0.06) == (look == looks[-1])
        assert stages[-1].reason == "precise enough"


def test_workers_that_are_stopped_or_meet_find_the_same_stages(finished, tmp_path):
    bind(study(**UNTIL), tmp_path / "out")
    device = jax.local_devices()[:1]
    for _ in range(100):
        # A new process each time, as it were, that is stopped after its first shard.
        opened, deadline = reopen(tmp_path / "out"), Deadline()
        work_through(opened, device, lambda *_, d=deadline: d.stop("terminated"), deadline)
        if not opened.missing(settle=True):
            break
    assert all_bits(tmp_path / "out") == all_bits(finished)
    assert left(tmp_path / "out") == left(finished)
    # Another that goes on at the other end, beside one that has not seen what it did.
    shutil.rmtree(tmp_path / "out" / "design")
    work_through(reopen(tmp_path / "out"), device * 2, order=lambda tasks: tasks[::-1])
    assert left(tmp_path / "out") == left(finished)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"number": 1}', '{"stops": [1e99]}'])
def test_stages_that_cannot_be_used_are_computed_again(finished, tmp_path, text):
    shutil.copytree(finished, tmp_path / "out")
    before = [s.stops for plan in reopen(finished).stages.values() for s in plan.known()]
    for path in (tmp_path / "out" / "design").iterdir():
        path.write_text(text)
    after = [s.stops for plan in reopen(tmp_path / "out").stages.values() for s in plan.known()]
    assert before == after


def test_the_most_runs_end_what_is_not_precise(tmp_path):
    few = study(**{**UNTIL, "until": {"relative": 0.001}, "replicates": 300, "grid": {}})
    simulate(few, tmp_path / "out", devices=1)
    opened = reopen(tmp_path / "out")
    stages = opened.stages[opened.study.experiments[0].id].known()
    assert [s.stops for s in stages] == [(256,), (300,), (300,)]
    assert stages[-1].reason == "all replicates are used"
    (experiment,) = analyse(open_results(opened), [0.02], interval="sequence").experiments
    assert experiment.until == (
        "half widths of at most 0.001 of the estimate: all replicates are used"
    )


def test_replicates_raised_after_a_look_are_named(tmp_path):
    simulate(study(grid={}), tmp_path / "out", devices=1)
    assert not open_results(reopen(tmp_path / "out")).remarks
    results = simulate(study(grid={}, replicates=128), tmp_path / "out", devices=1)
    (remark,) = results.remarks
    assert remark.startswith("replicates were raised from 80 to 128 when results could be seen")
    assert open_results(reopen(tmp_path / "out")).remarks == results.remarks
    # What nobody could see was no look.
    bind(study(grid={}), tmp_path / "unseen")
    assert not remarks(bind(study(grid={}, replicates=128), tmp_path / "unseen"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"until": {"half_width": 0.1, "relative": 0.1}}, "half_width or relative, one of the two"),
        ({"until": {}}, "half_width or relative, one of the two"),
        ({"until": {"half_width": 0.5}}, "until.half_width = 0.5 is not accepted"),
        ({"until": {"relative": 0.0}}, "until.relative = 0.0 is not accepted"),
        ({"until": {"seconds": 5}}, "until.seconds = 5 is not a key"),
        ({"until": {"half_width": 0.1}, "interval": "wilson"}, "has no effect with until"),
        ({"design": "random"}, "'plain', 'strata' or 'splitting'"),
        ({"design": {"name": "plain", "pilot": 64}}, "pilot has no effect with the design 'plain'"),
        ({"design": {"name": "strata", "share": 0.5}}, "accepted: with splitting"),
        ({"design": {"name": "strata", "runs": 5}}, "design.runs = 5 is not a key"),
        ({"design": "strata", "levels": {"runs": 5}}, "levels.runs = 5 has no effect"),
        ({"design": "strata", "replicates": 40}, "replicates = 40 is too small for the design"),
        (
            {"design": "splitting", "until": {"relative": 0.1}},
            "no guaranteed upper end that could become narrow; accepted: the design 'plain' or "
            "'strata', or replicates without until",
        ),
        ({"design": "splitting", "training": {"batch_size": "population"}}, "are not random"),
        ({"design": "strata", "network__activation": "tanh"}, "has no flat piece"),
        (
            {"design": "splitting", "network__activation": "tanh"},
            "design = \"splitting\" is not accepted for 'small': tanh has no flat piece",
        ),
        ({"design": "strata", "post_stratify": True}, "not accepted with the design 'strata'"),
        ({"until": {"relative": 0.1}, "post_stratify": True}, "not accepted with until"),
        ({"post_stratify": True, "network__activation": "tanh"}, "tanh has no flat interval"),
        ({"grid": {"design": ["plain", "strata"]}}, "cannot vary between experiments"),
    ],
)
def test_what_is_not_accepted_is_said_in_one_sentence(changes, said, tmp_path):
    with pytest.raises(InputError) as error:
        simulate(table(**changes), tmp_path / "out")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_stage_left_by_another_is_used_as_it_is(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "out")
    path = sorted((tmp_path / "out" / "design").iterdir())[0]
    stage = json.loads(path.read_text())
    path.write_text(json.dumps(stage | {"stops": [512], "final": True}))
    opened = reopen(tmp_path / "out")
    plan = next(p for p in opened.stages.values() if path.name.startswith(p.experiment.id))
    assert plan.known()[1].stops == (512,)


STRATA = {
    "design": {"name": "strata", "pilot": 32},
    "replicates": 800,
    "steps": 20,
    "checkpoints": [7],
    "epsilon": [0.05],
    "network__hidden": [4],
    "execution": {"width": 32, "shard": 64},
}
SPLITTING = {
    **STRATA,
    "design": {"name": "splitting", "pilot": 32, "share": 0.9},
    "replicates": 4000,
    "epsilon": [0.3],  # which no stratum exceeds by proof, and few runs do
}


@pytest.fixture(scope="module", params=slow_but(["splitting"], ["strata", "splitting"]))
def designed(request, tmp_path_factory):
    asked = {"strata": STRATA, "splitting": SPLITTING}[request.param]
    directory = tmp_path_factory.mktemp(request.param) / "out"
    simulate(study(**asked), directory, devices=1)
    return directory, asked


def shards_of(directory):
    """Return the columns of all shards by their names, pilots and families too."""
    return {
        str(path.relative_to(directory)): pq.read_table(path)
        for path in sorted((directory / "shards").rglob("*.parquet"))
    }


def test_a_design_has_the_same_bits_whoever_computes_it(designed, tmp_path):
    directory, asked = designed
    bind(study(**asked), tmp_path / "out")
    device, chance = jax.local_devices()[:1], random.Random(5)
    for _ in range(400):
        # Stopped after a shard, whose order is another each time.
        opened, deadline = reopen(tmp_path / "out"), Deadline()
        work_through(
            opened,
            device,
            lambda *_, d=deadline: d.stop("terminated"),
            deadline,
            lambda tasks: chance.sample(tasks, len(tasks)),
        )
        if not opened.missing(settle=True):
            break
    there, wanted = shards_of(tmp_path / "out"), shards_of(directory)
    assert there.keys() == wanted.keys()
    assert all(there[name].equals(wanted[name]) for name in wanted)
    assert left(tmp_path / "out") == left(directory)
    assert {s.name for _, s in reopen(directory).planned()} == set(there)


def test_a_pilot_counts_in_no_estimate_and_proof_costs_nothing(designed):
    directory, asked = designed
    opened = reopen(directory)
    (experiment,) = opened.study.experiments
    plan, design = opened.stages[experiment.id], opened.study.designs[experiment.id]
    stages = plan.known()
    # R*(1) = .0563 > .05 + R*(4): with one active neuron, or none, every run fails.
    open_ = 3 if asked is STRATA else 5
    assert stages[-1].pilot == (32,) * open_ + (0,) * (5 - open_)
    assert not any(stages[-1].stops[open_:])
    particles = 32 * (sum(stages[-1].families) + sum(stages[-1].guards))
    used = sum(stages[-1].stops) + particles + sum(stages[-1].pilot)
    assert 0.85 * asked["replicates"] < used <= asked["replicates"]
    results = open_results(opened)
    runs = dict.fromkeys(range(5), 0)
    for stratum, records in results.parts(experiment):
        assert records.replicate.max() < 2**31
        assert (records.inactive[:, 0, 0] == stratum.least).all()
        runs[stratum.number] += len(records.replicate)
    assert tuple(runs.values()) == stages[-1].stops
    assert abs(design.weights - stats.binom.pmf(range(5), 4, 0.25)).max() < 1e-6


def test_families_are_whole_blocks_with_weights(designed):
    directory, asked = designed
    results = open_results(reopen(directory))
    (experiment,) = results.experiments
    families = list(results.families(experiment))
    assert bool(families) == (asked is SPLITTING)
    for split, records in families:
        assert (split.size, len(records.replicate) % 32) == (32, 0)
        weight = records.weight.reshape(-1, 32, 3)
        assert (weight[:, :, 0] == 1).all()
        # The mean of the weights is that of a martingale.
        assert abs(weight.mean((0, 1)) - 1).max() < 0.5
        assert split.stratum.least == records.inactive[:, 0, 0].min()
    assert {split.reverse for split, _ in families} == ({False, True} if families else set())


def test_a_run_of_a_stratum_is_run_again(designed):
    directory, asked = designed
    opened = reopen(directory)
    label = opened.study.experiments[0].label
    again = replay(directory, label, 2**31 + 3, every=5, stratum=2)
    assert again.agrees
    assert again.records.inactive[0, 0, 0] == 2
    assert replay(directory, label, 1, stratum=2).agrees
    for stratum, replicate, said in [
        (None, 0, "stratum is missing; accepted: 0 to 4"),
        (5, 0, "stratum = 5 is not accepted; accepted: 0 to 4"),
        (4, 0, "replicate = 0 is not part of stratum 4; accepted: none so far"),
    ][: 3 if asked is STRATA else 2]:
        with pytest.raises(InputError, match=said):
            replay(directory, label, replicate, stratum=stratum)


def test_rows_carry_the_share_that_they_stand_for(designed):
    directory, asked = designed
    results = open_results(reopen(directory))
    rows, open_ = results.to_pandas(), 3 if asked is STRATA else 5
    last = rows[rows.n == 20]
    assert last.groupby("stratum").probability.sum().to_numpy() == pytest.approx(
        [s.probability for s in results.design(results.experiments[0]).strata[:open_]]
    )
    # By hand: failures of the sampled strata, and those that fail by proof.
    fails = last[last.risk - last.error > results.experiments[0].optimum.upper.value + 0.05]
    by_hand = fails.probability.sum() + stats.binom.sf(2, 4, 0.25)
    if asked is STRATA:
        (estimate,) = exceedance(results, [0.05])
        assert estimate.estimate == pytest.approx(by_hand, rel=1e-6)
        assert estimate.lower < by_hand < estimate.upper


@pytest.mark.slow
def test_a_hundred_kills_over_strata_lose_nothing(tmp_path):
    long = {**STRATA, "steps": 20_000, "checkpoints": [1, 5000], "replicates": 3000}
    simulate(study(**long), tmp_path / "quiet")
    bind(study(**long), tmp_path / "out")
    assert killed_at_random(tmp_path / "out", kills=110, workers=4, seed=2) >= 100
    there, wanted = shards_of(tmp_path / "out"), shards_of(tmp_path / "quiet")
    assert there.keys() == wanted.keys()
    assert all(there[name].equals(wanted[name]) for name in wanted)
    assert left(tmp_path / "out") == left(tmp_path / "quiet")


def test_pairs_in_strata_with_looks_count_pilots_and_later_runs(tmp_path):
    paired = {**STRATA, "until": {"half_width": 0.2}, "grid": TWO, "paired": ["optimizer"]}
    results = simulate(study(**paired), tmp_path / "out", devices=1)
    answer = analyse(results, [0.05], interval="sequence")
    (pair,) = answer.pairs.comparisons
    runs = [e.runs for e in answer.experiments]
    # Both have the pilots; of later runs, those that the shorter of the two has in each stratum.
    assert 96 <= pair.pairs <= min(runs)
