"""Polished samples in a directory: the runs' own parameters, kept, continued, and answered."""

import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim import analyse, cli, simulate
from jaxsim.launch import polishing
from jaxsim.launch.directory import reopen
from jaxsim.launch.polishing import polish_runs
from jaxsim.launch.simulate import open_results
from jaxsim.optimum.line import FreeKnots
from jaxsim.optimum.strategy import Budget
from jaxsim.report.levels import drift_frame, level_sentences, levels_frame
from jaxsim.report.plots.distribution import risk_distribution
from jaxsim.report.tables import estimates_frame
from jaxsim.results.polished import PolishedFiles, no_sample
from jaxsim.training.evaluate import make_evaluate
from jaxsim.training.polish import Basin
from tests.studies import study

RUNS, EPS = 40, [0.0005, 0.05]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("polished") / "study"
    simulate(study(replicates=48), path)
    return reopen(path)


@pytest.fixture(scope="module")
def said(directory):
    sentences: list[str] = []
    assert polish_runs(directory, RUNS, Budget(600.0), sentences.append)
    return sentences


@pytest.fixture(scope="module")
def sample(directory, said):
    return PolishedFiles(directory.store.directory).load(directory.study.experiments[0])


@pytest.fixture(scope="module")
def frame(directory, said):
    return open_results(directory).to_pandas()


@pytest.fixture(scope="module")
def answer(directory, said):
    return analyse(open_results(directory), EPS)


def test_what_is_polished_are_the_runs_of_the_shards(directory, sample, frame):
    """Their parameters have the recorded risk, bit for bit, and descent led to less."""
    experiment = directory.study.experiments[0]
    assert sample.theta.shape == (RUNS, 10)
    observe = jax.jit(jax.vmap(make_evaluate(experiment).observe))
    recorded = frame[frame.n == 60].risk.to_numpy()[:RUNS]
    assert np.allclose(observe(jnp.asarray(sample.theta)).risk, recorded, rtol=1e-14, atol=0)
    assert (sample.polished.risk <= recorded * (1 + 1e-12)).all()
    assert (sample.polished.basin == Basin.MINIMUM).mean() > 0.9


def test_it_says_how_long_it_may_take_and_what_is_left(directory, said):
    assert said == ["polishing 40 runs of 1 experiment on the exact risk, for up to 600 s"]
    again: list[str] = []
    assert polish_runs(directory, RUNS, Budget(600.0), again.append)
    assert again == [], "what is done is not done again"
    assert not polish_runs(directory, 48, Budget(0.0), again.append)


def test_what_is_cut_short_goes_on_to_the_same_bits(directory, sample, monkeypatch):
    path = PolishedFiles(directory.store.directory).path(directory.study.experiments[0])
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    experiment = directory.study.experiments[0]
    files = PolishedFiles(directory.store.directory)
    assert len(files.load(experiment).theta) == 0, "a damaged file is as good as none"
    trained = []
    original = polishing.final_parameters

    def once(*arguments):
        trained.append(arguments[2])
        return original(*arguments)

    monkeypatch.setattr(polishing, "final_parameters", once)
    budget = Budget(600.0)
    monkeypatch.setattr(polishing, "batch_of", lambda experiment: 8)
    make = polishing.make_polish

    def interrupted(experiment):
        polish, calls = make(experiment), []

        def one(theta, stopped):
            calls.append(len(theta))
            return None if len(calls) == 2 else polish(theta, stopped)

        return one

    said: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(polishing, "make_polish", interrupted)
        assert not polish_runs(directory, RUNS, budget, said.append)
    assert "32 runs are not polished" in said[-1]
    assert polish_runs(directory, RUNS, Budget(600.0))
    assert trained == [0, 16, 32], "each block is trained once"
    found = files.load(experiment)
    assert np.array_equal(found.theta, sample.theta)
    assert np.allclose(found.polished.risk, sample.polished.risk, rtol=1e-9, atol=0)
    files.save(experiment, sample)
    assert path.read_bytes() == whole


def test_files_that_hold_something_else_are_not_used(directory, sample):
    experiment = directory.study.experiments[0]
    files = PolishedFiles(directory.store.directory)
    whole = files.path(experiment).read_bytes()
    other = replace(experiment, id="0" * 16)
    files.path(other).write_bytes(whole)
    wrong = sample._replace(polished=sample.polished._replace(risk=sample.polished.risk[:3]))
    assert len(files.load(other).theta) == 0
    try:
        files.save(experiment, wrong)
        assert len(files.load(experiment).theta) == 0
    finally:
        files.save(experiment, sample)
        files.path(other).unlink()
    assert len(no_sample(experiment).polished.risk) == 0


def test_grades_split_the_failing_runs(answer, sample, frame):
    (e,) = answer.experiments
    last = frame[frame.n == 60]
    upper = e.optimum.upper.value
    for g, eps in enumerate(EPS):
        fails = (last.risk - last.error > upper + eps).to_numpy()
        grades = e.grades
        total = [grades.permanent, grades.minima, grades.falling, grades.descends, grades.undecided]
        assert sum(row[g] for row in total) == grades.failures[g] == fails.sum()
        assert grades.permanent[g] == e.permanent.count[g]
        assert grades.polished[g] == fails[:RUNS].sum()
        held = (sample.polished.basin == Basin.MINIMUM) & (sample.polished.risk > upper + eps)
        assert 0 < grades.minima[g] <= (held & fails[:RUNS]).sum()
        assert grades.descends[g] <= (fails[:RUNS] & ~held).sum()
    row = estimates_frame(answer).iloc[-1]
    assert (row.failing_permanent, row.failing_minima) == (
        e.grades.permanent[1],
        e.grades.minima[1],
    )


def test_levels_are_named_by_the_neurons_that_are_left(answer, sample):
    (e,) = answer.experiments
    assert e.levels is not None
    assert sum(one.count for one in e.levels.levels) + e.levels.unsettled == RUNS
    named = {one.name: one.risk for one in e.levels.levels}
    assert named["2 of 3 neurons left"] == pytest.approx(4 / 45 / 81, rel=1e-9)
    assert named["a constant"] == pytest.approx(4 / 45, rel=1e-9)
    for one in e.levels.levels:
        near = np.abs(sample.polished.risk / one.risk - 1) < 1e-8
        assert one.count == near.sum()
        assert one.lower <= one.estimate <= one.upper
    rows = levels_frame(answer)
    assert rows.name.tolist()[-2:] == ["at no level", "levels not seen"]
    assert set(rows.risk_over) == set(drift_frame(answer).risk_over) == {"the law of X"}
    assert int(rows["count"].to_numpy(int).sum()) == RUNS
    said = level_sentences(answer)
    assert any("2 of 3 neurons left" in s and "confidence 95 %" in s for s in said)
    assert any("for ever, certified" in s for s in said)


def test_parameters_are_averaged_where_there_are_few(answer, sample):
    drift = answer.experiments[0].drift
    assert drift is not None
    assert np.allclose(drift.mean, sample.theta.mean(0))
    assert drift.names[0] == "layer1.weights 1"
    assert drift.names[-1] == "output.biases"
    assert drift.optimum is None, "these runs have several minima"
    assert not drift.convex
    assert len(drift_frame(answer)) == 10


def test_levels_are_drawn_and_named(answer):
    figure = risk_distribution(answer)
    assert figure is not None
    names = {text.get_text() for text in figure.axes[0].texts}
    assert {"1 of 3 neurons left", "a constant"} <= names
    assert any("lines: levels at which polished runs end" in t.get_text() for t in figure.texts)


def run_command(monkeypatch, capsys, *arguments: object) -> tuple[object, str, str]:
    """Return how a command ends, and what it prints as answer and as message."""
    monkeypatch.setattr(sys, "argv", ["jaxsim", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    shown = capsys.readouterr()
    return ended.value.code, shown.out, shown.err


def test_the_command_polishes_and_answers_again(directory, sample, monkeypatch, capsys):
    place = directory.store.directory
    call = monkeypatch, capsys, "levels", place
    code, shown, said = run_command(*call, "--runs", RUNS, "--no-plots")
    assert not code, said
    assert "levels at which runs end, after polishing" in shown
    assert "2 of 3 neurons left" in (place / "levels.csv").read_text()
    assert "At which levels do runs end?" in (place / "report.html").read_text()
    code, _, said = run_command(*call, "--budget", "-1")
    assert code == 2
    assert "--budget -1.0 is not accepted" in said


def test_a_polished_run_closes_the_bracket_from_above(directory, answer, sample):
    """It is an explicit network: here none is below R*(2), so that one is put there."""
    experiment, files = directory.study.experiments[0], PolishedFiles(directory.store.directory)
    before = answer.experiments[0].optimum.upper
    assert sample.polished.risk.min() >= before.value * (1 - 1e-12)
    found = FreeKnots().search(experiment.problem, experiment.network, Budget(10.0))
    assert found is not None
    risk, theta = sample.polished.risk.copy(), sample.polished.theta.copy()
    risk[5] = 0.0005  # less than R*(3): what is recorded is not believed
    uppers = []
    try:
        for row in (theta[5], found.arrays["theta"]):
            theta[5] = row
            forged = sample.polished._replace(risk=risk, theta=theta)
            files.save(experiment, sample._replace(polished=forged))
            (e,) = analyse(open_results(directory), EPS).experiments
            uppers.append(e.optimum.upper)
    finally:
        files.save(experiment, sample)
    assert uppers[0].value == before.value
    # R*(3) by variable projection, outside of jaxsim.
    assert uppers[1].value == pytest.approx(6.4661799e-4, rel=1e-6)
    assert uppers[1].reason == "best risk found, 0.0006466, by small after polishing"
    assert uppers[1].evidence.proved


def test_events_of_the_risk_are_graded_and_error_rates_are_not(directory, sample, frame):
    other = analyse(open_results(directory), {"risk_above": 0.01})
    (e,) = other.experiments
    fails = frame[frame.n == 60].risk.to_numpy() > 0.01
    held = (sample.polished.basin == Basin.MINIMUM) & (sample.polished.risk > 0.01)
    assert e.grades.failures == [int(fails.sum())]
    assert e.grades.permanent == e.permanent.count
    assert e.grades.permanent[0] + e.grades.minima[0] >= int((held & fails[:RUNS]).sum())
    assert any(s.startswith("Why the risk exceeds 0.01: of ") for s in level_sentences(other))
