"""Runs that depend on earlier runs: the same ones whoever computes them, and whenever."""

import json
import shutil

import jax
import numpy as np
import pytest
from scipy import optimize, special

from jaxsim import InputError
from jaxsim.launch.deadline import Deadline
from jaxsim.launch.directory import bind, reopen
from jaxsim.launch.simulate import open_results, simulate
from jaxsim.launch.worker import work_through
from tests.studies import TWO, all_bits, study, table

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


def test_replicates_raised_after_a_look_are_named(tmp_path):
    simulate(study(grid={}), tmp_path / "out", devices=1)
    assert not open_results(reopen(tmp_path / "out")).remarks
    results = simulate(study(grid={}, replicates=128), tmp_path / "out", devices=1)
    (remark,) = results.remarks
    assert remark.startswith("replicates were raised from 80 to 128 when results could be seen")
    assert open_results(reopen(tmp_path / "out")).remarks == results.remarks
    # What nobody could see was no look.
    bind(study(grid={}), tmp_path / "unseen")
    assert not bind(study(grid={}, replicates=128), tmp_path / "unseen").remarks()


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
