"""Events beside P(L > inf L + eps), against counts from the trained parameters by plain NumPy.

The risk is over rows that are held out of trainings and scales.
"""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from jaxsim import analyse, exceedance, simulate
from jaxsim.cli import app
from jaxsim.engines.block import advance_to_end
from jaxsim.engines.registry import ExecutionConfig, make_engine
from jaxsim.errors import InputError
from jaxsim.estimation import clopper_pearson
from jaxsim.estimation.restarts import restarts
from jaxsim.launch.directory import reopen
from jaxsim.launch.polishing import final_parameters
from jaxsim.questions.events import Event, events_of
from jaxsim.questions.provable import lower_bounds_of, remaining_risk
from jaxsim.questions.quantities import quantities
from jaxsim.questions.question import Subject
from jaxsim.risk import make_risk
from jaxsim.study.study import Study

RUNS = 64
EVENTS = {
    "above_optimum": 0.05,
    "risk_above": [0.4, 0.2],
    "error_rate_above": [0.1, 0.2],
    "not_all_right": True,
}


def rows(seed=0, count=60):
    """Return three overlapping classes in the plane."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 3
    return np.column_stack([rng.normal(size=(count, 2)) * 0.6 + np.eye(3)[y, :2] * 2, y])


def table(path, **more):
    np.savetxt(path, rows(), delimiter=",", header="a,b,label", comments="", fmt="%.6f")
    return {
        "name": "own",
        "replicates": RUNS,
        "steps": 40,
        "checkpoints": [10],
        "events": EVENTS,
        "paired": ["optimizer"],
        "problem": {
            "data": {"path": path.name, "test": {"fraction": 0.5, "seed": 1}},
            "loss": "softmax_cross_entropy",
        },
        "network": {"hidden": [3]},
        "optimizer": {"name": "adam", "learning_rate": 0.1},
        "grid": {"optimizer.learning_rate": [0.1, 0.02]},
        "training": {"batch_size": 8},
        "execution": {"engine": "vmap", "width": RUNS},
        **more,
    }


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("events")
    return Study.from_dict(table(folder / "own.csv"), base=folder)


@pytest.fixture(scope="module")
def results(study, tmp_path_factory):
    return simulate(study, tmp_path_factory.mktemp("out") / "own")


@pytest.fixture(scope="module")
def answer(results):
    return analyse(results, EVENTS)


def exported(experiment):
    """Return the parameters of all runs after the last step, by layers."""
    engine = make_engine(experiment, ExecutionConfig("vmap", RUNS, 1))
    thetas = np.asarray(engine.theta(advance_to_end(engine, experiment, 0, RUNS)), np.float64)
    return [
        [(np.asarray(w), np.asarray(b)) for w, b in experiment.network.layers(t)] for t in thetas
    ]


def outputs(layers, x):
    for w, b in layers[:-1]:
        x = np.maximum(x @ w + b, 0)
    return x @ layers[-1][0] + layers[-1][1]


def by_hand(experiment, x, y):
    """Return (risk, error rate) of every run from its parameters, [R] each."""
    found = []
    for layers in exported(experiment):
        p = outputs(layers, x)
        log_shares = p - np.log(np.exp(p).sum(1, keepdims=True))
        wrong = int((p.argmax(1) != y).sum())
        found.append((-log_shares[np.arange(len(y)), y].mean(), wrong / len(y)))
    return np.array(found).T


@pytest.fixture(scope="module")
def counted(study):
    data = rows()
    x, y = np.round(data[:, :2], 6), data[:, 2].astype(int)
    order = np.argsort(np.random.PCG64(1).random_raw(60))
    held, mine = np.sort(order[:30]), np.sort(order[30:])
    x = ((x - x[mine].mean(0)) / x[mine].std(0))[held]
    return [by_hand(experiment, x, y[held]) for experiment in study.experiments]


def test_failures_are_those_counted_from_exported_parameters(answer, counted):
    for one, (risk, rate) in zip(answer.experiments, counted, strict=True):
        last = [row[-1] for row in one.exceedance.estimates]
        known = [int((risk > c).sum()) for c in (0.2, 0.4)]
        known += [int((rate > c).sum()) for c in (0.1, 0.2)]
        known.append(int((rate > 0).sum()))
        assert [e.failures for e in last[1:]] == known
        assert {e.undecided for e in last[1:]} == {0}
        assert [(e.event, e.eps) for e in last] == [
            ("above_optimum", 0.05),
            ("risk_above", 0.2),
            ("risk_above", 0.4),
            ("error_rate_above", 0.1),
            ("error_rate_above", 0.2),
            ("not_all_right", 0.0),
        ]
        for estimate in last[1:]:
            low, high = clopper_pearson(estimate.failures, RUNS, 0.95)
            assert (estimate.lower, estimate.upper) == (low, high)
            assert estimate.rigorous, "what is known of inf L has no part in it"
    assert 0 < sum(known[2:4]) < 2 * RUNS, "the thresholds tell runs apart"


def test_a_share_that_equals_the_threshold_does_not_exceed_it(results, counted):
    # 3 wrong rows of 30 are an accuracy of .9, whatever 1 / 30 is in binary.
    rates = np.concatenate([rate for _, rate in counted])
    assert (rates == 3 / 30).any()
    frame = results.to_pandas()
    last = frame[frame.n == 40]
    assert last.error_rate.tolist() == rates.tolist()
    assert (last.error_rate_error == 0).all()


def test_pairs_count_the_same_events(answer, counted):
    (first, second) = (rate > 0.1 for _, rate in counted)
    (one,) = [c for c in answer.pairs.comparisons if c.asked == Event("error_rate_above", 0.1)]
    assert one.result.counts.only_first == int((first & ~second).sum())
    assert one.result.counts.only_second == int((second & ~first).sum())


def test_bands_of_every_kind_hold_the_estimates(answer):
    for e in answer.experiments:
        kinds = [b.event for b in (e.band, *e.bands)]
        assert kinds == ["above_optimum", "risk_above", "error_rate_above"]
        for band in e.bands:
            for row in e.exceedance.estimates:
                if row[0].event == band.event:
                    place = band.eps.index(row[0].eps)
                    assert band.estimate[place] == [one.estimate for one in row]
                    assert band.lower[place][-1] <= row[-1].estimate <= band.upper[place][-1]


def test_error_rates_are_recorded_only_where_an_event_needs_them(study, tmp_path):
    plain = study.with_settings(["epsilon=[0.1]"])
    assert plain.spec.events is None
    for mine, theirs in zip(study.experiments, plain.experiments, strict=True):
        assert mine.key_words == theirs.key_words, "the runs are the same"
        assert mine.id != theirs.id
        assert mine.error_rate
        assert not theirs.error_rate
    risks_only = study.with_settings(["events={ risk_above = 0.2 }"])
    assert [e.id for e in risks_only.experiments] == [e.id for e in plain.experiments]


def test_what_needs_only_the_risk_can_be_asked_later(study, results, tmp_path):
    later = study.with_settings(["epsilon=[0.1]"])
    found = simulate(later, tmp_path / "later")
    (risk, *_) = exceedance(found, {"risk_above": 0.3})
    assert risk.failures == int((found.to_pandas().query("n == 40").risk[:RUNS] > 0.3).sum())
    with pytest.raises(InputError, match="were not recorded; accepted: events of the risk"):
        analyse(found, {"error_rate_above": 0.1})
    with pytest.raises(InputError, match="error rates, which these events need, are not recorded"):
        simulate(later.with_settings(["events.not_all_right=true"]), tmp_path / "later")
    assert (
        json.loads((tmp_path / "later" / "study.json").read_text())["study"].get("events") is None
    )


def test_the_command_line_asks_finished_runs_and_names_the_events(results, answer, counted):
    directory = results.store.directory
    asked = "events={ error_rate_above = 0.1, not_all_right = true, risk_above = 0.2 }"
    done = CliRunner().invoke(app, ["report", str(directory), "--set", asked, "--no-plots"])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "risk over the 30 held-out rows" in said
    assert (
        "After 40 steps the error rate over the 30 held-out rows exceeds 0.1 (accuracy below 0.9)"
        in said
    )
    assert "not all of the 30 held-out rows are classified rightly with probability" in said
    assert "the risk over the 30 held-out rows exceeds 0.2 with probability" in said
    assert "inf L over the 30 held-out rows" in said
    (folder,) = (directory / "reports").iterdir()
    table = pd.read_csv(folder / "estimates.csv").query("step == 40")
    assert set(table.risk_over) == {"the 30 held-out rows"}
    assert set(pd.read_csv(folder / "comparisons.csv").risk_over) == {"the 30 held-out rows"}
    rates = table[table.event == "error_rate_above"]
    assert rates.failures.tolist() == [int((rate > 0.1).sum()) for _, rate in counted]
    for row in rates.itertuples():
        assert row.restarts == restarts(row.failures / RUNS)
        assert row.restarts_lower == restarts(row.lower)
    page = (folder / "report.html").read_text()
    assert "error rate &gt; 0.1" in page
    assert "risk over the 30 held-out rows" in page
    found = json.loads((folder / "answer.json").read_text())
    assert [e["kind"] for e in found["events"]] == [
        "risk_above",
        "error_rate_above",
        "not_all_right",
    ]
    wrong = CliRunner().invoke(app, ["report", str(directory), "--set", "events.wrong=1"])
    assert isinstance(wrong.exception, InputError)


def test_constant_networks_bound_error_rates_for_every_n_and_for_ever():
    # One neuron without bias on positive inputs: inactive where its weight is negative.
    data = {"law": "points", "points": [[1.0], [2.0], [3.0], [4.0], [5.0]]}
    spec = table_of({"input": data, "target": "x > 3.5", "loss": "logistic"})
    spec["network"] = {"hidden": [1]}
    (experiment,) = Study.from_dict({**spec, "events": EVENTS}).experiments
    subject = Subject(
        experiment=experiment,
        optimum=experiment.optimum,
        risk=make_risk(experiment.problem, experiment.network),
        eps=np.array([0.05]),
        confidence=0.95,
        interval="clopper-pearson",
        events=events_of({"error_rate_above": [0.1, 0.5], "not_all_right": True}),
    )
    rates, right = quantities(subject)
    bounds = lower_bounds_of(experiment, rates), lower_bounds_of(experiment, right)
    assert [b.value for b in bounds[0]] == [pytest.approx(0.5), 0.0], "2 of 5 are wrong at least"
    assert bounds[1][0].value == pytest.approx(0.5)
    assert bounds[0][0].evidence.proved
    remaining = remaining_risk(experiment, None, rates)
    assert remaining.values[-1] == 0.4
    assert (remaining.values[:-1] == -np.inf).all()


@pytest.mark.parametrize(
    ("events", "sentence"),
    [
        ({"accuracy_below": 0.9}, "events = 'accuracy_below' is not known"),
        ({}, "events = {} asks for nothing"),
        ({"not_all_right": False}, "asks for nothing"),
        (
            {"error_rate_above": 1.0},
            "events.error_rate_above = 1.0 is not accepted: it should be num",
        ),
        ({"above_optimum": -1.0}, "events.above_optimum = -1.0 is not accepted"),
        ({"risk_above": "much"}, "events.risk_above = 'much' is not accepted"),
    ],
)
def test_bad_events_get_one_sentence(events, sentence):
    with pytest.raises(InputError) as error:
        events_of(events)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["events={ wrong_above = 1 }"], "events.wrong_above = 1 is not a key; accepted: above_op"),
        (["events.risk_above='x'"], "events.risk_above = 'x' is not accepted"),
        (["events={}"], "events = {} asks for nothing"),
        (["events=0.1"], "events = 0.1 is not accepted: input should be a table"),
        (["problem.data.test=0.2"], "data.test = 0.2 is not accepted: input should be a table"),
        (["events.error_rate_above=2"], "events.error_rate_above = 2"),
        (["epsilon=[1]", "events.risk_above=1"], "is not accepted beside epsilon = [1]"),
    ],
)
def test_bad_settings_get_one_sentence(study, settings, sentence):
    with pytest.raises(InputError) as error:
        study.with_settings(settings)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_error_rates_of_regressions_and_all_points_of_a_density_are_refused():
    one = {"input": {"law": "uniform"}, "target": "x**2"}
    spec = table_of(one)
    with pytest.raises(InputError, match="error_rate_above is not accepted with the loss"):
        Study.from_dict({**spec, "events": {"error_rate_above": 0.1}})
    spec["problem"] = {"input": {"law": "uniform"}, "target": "x > 0", "loss": "logistic"}
    with pytest.raises(InputError, match="infinitely many points"):
        Study.from_dict({**spec, "events": [{"not_all_right": True}]})
    listed = Study.from_dict({**spec, "events": [{"risk_above": 1}, {"risk_above": [0.5]}]})
    assert listed.spec.asked == (Event("risk_above", 0.5), Event("risk_above", 1.0))


def table_of(problem):
    return {
        "name": "one",
        "problem": problem,
        "network": {"hidden": [2]},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
    }


@pytest.mark.slow
def test_digits_from_the_command_line_are_counted_from_exported_predictions(tmp_path):
    """A fifth of each digit is held out; scales and trainings see the other rows alone."""
    from sklearn.datasets import load_digits

    out = tmp_path / "digits"
    changes = {
        "problem.data.test": "{ fraction = 0.2, seed = 2, stratified = true }",
        "events": "{ error_rate_above = [0.05, 0.1], not_all_right = true, risk_above = 0.3 }",
        "grid": '{ "optimizer.learning_rate" = [0.003, 0.01] }',
        "replicates": "32",
        "steps": "150",
        "execution": '{ engine = "vmap", width = 32 }',
    }
    settings = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
    call = ["run", "digits", "--output", str(out), "--no-plots", *settings]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    assert "risk over the 359 held-out rows" in " ".join(done.output.split())
    x, y = load_digits(return_X_y=True)
    order = np.argsort(np.random.PCG64(2).random_raw(len(y)))
    size = 359 * np.bincount(y) / len(y)
    count = np.floor(size).astype(int)
    count[np.argsort(count - size, kind="stable")[: 359 - count.sum()]] += 1
    held = np.sort(np.concatenate([order[y[order] == k][: count[k]] for k in range(10)]))
    mine = np.setdiff1d(np.arange(len(y)), held)
    low, span = x[mine].min(0), np.ptp(x[mine], 0)
    x = np.where(span > 0, (x - low) / np.where(span > 0, span, 1), 0.0)
    table = pd.read_csv(out / "estimates.csv").query("step == 150")
    opened, some = reopen(out), 0
    for experiment in opened.study.experiments:
        risk, wrong = [], []
        for theta in final_parameters(opened, experiment, 0):
            p = outputs(experiment.network.layers(theta), x[held])
            own = p[np.arange(359), y[held]]
            risk.append((np.log(np.exp(p).sum(1)) - own).mean())
            wrong.append(int((p.argmax(1) != y[held]).sum()))
        rate = np.array(wrong) / 359
        rows = table[table.experiment == experiment.label]
        known = [(np.array(risk) > 0.3).sum(), *((rate > c).sum() for c in (0.05, 0.1, 0.0))]
        assert rows.failures.tolist() == known
        some += known[1] + known[2]
    assert 0 < some < 4 * 32, "the thresholds tell runs apart"
