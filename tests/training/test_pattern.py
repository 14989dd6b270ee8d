"""Activation patterns: which neurons are on which linear piece at which points, and since when."""

import json

import jax
import numpy as np
import pandas as pd
import pytest

from jaxsim import InputError
from jaxsim.engines.block import run_block, start
from jaxsim.engines.engine import vmap_engine
from jaxsim.launch.simulate import simulate
from jaxsim.network.activations import clipped_relu
from jaxsim.questions.ask import analyse
from jaxsim.report.plot import plot
from jaxsim.study.study import Study
from jaxsim.training.pattern import make_pattern, pattern_changes
from tests.studies import command, table
from tests.training.test_constant import initial, net

POINTS = np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0])
VALUES = np.array([-1.0, 2.0, -1.0, 1.0, -2.0, 1.0])
RATE, STEPS, CHECKPOINTS = 0.02, 90, [2, 10, 20, 45]
SIX = {
    "problem": {
        "input": {"law": "points", "points": POINTS.tolist()},
        "target": "where(x < 0, 1, -1) * where(abs(x) == 2, 2, -1)",
    },
    "network": {"hidden": [6], "weights": "he_normal", "biases": "zero"},
    "optimizer": {"name": "sgd", "learning_rate": RATE},
    "training": {"batch_size": "population"},
    "execution": {"width": 40, "shard": 40, "engine": "vmap"},
    "precision": "float64",
    "steps": STEPS,
    "checkpoints": CHECKPOINTS,
    "replicates": 40,
    "events": {"risk_above": 1.0},
}
PATTERN = ["activation_pattern"]


def spec_of(**changes):
    spec = table(**{**SIX, **changes})
    del spec["epsilon"]
    return spec


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """40 networks of 6 neurons on six points, trained by the exact gradient."""
    study = Study.from_dict(spec_of(record=PATTERN))
    return study, simulate(study, tmp_path_factory.mktemp("six"))


def trained_by_hand(theta):
    """Return the patterns at step 0 and the checkpoints, bool [T, R, neurons, points]."""
    a, b, w, c = np.split(theta, [6, 12, 18], axis=1)
    patterns = []
    for step in range(STEPS + 1):
        on = a[:, :, None] * POINTS + b[:, :, None] > 0
        if step in (0, *CHECKPOINTS, STEPS):
            patterns.append(on)
        hidden = on * (a[:, :, None] * POINTS + b[:, :, None])
        slope = 2 * ((w[:, :, None] * hidden).sum(1) + c - VALUES) / 6
        pull = on * slope[:, None, :] * w[:, :, None]
        moves = (pull * POINTS).sum(2), pull.sum(2), (hidden * slope[:, None, :]).sum(2)
        a, b, w = (v - RATE * move for v, move in zip((a, b, w), moves, strict=True))
        c = c - RATE * slope.sum(1, keepdims=True)
    return np.stack(patterns)


def test_changes_are_those_of_networks_trained_by_hand(recorded):
    study, results = recorded
    (experiment,) = study.experiments
    engine = vmap_engine(experiment)
    theta = np.asarray(engine.theta(start(engine, experiment, 0, 40)))
    patterns = trained_by_hand(theta)
    changed = (patterns != patterns[0]).sum((2, 3)).T
    (records,) = results.chunks(experiment)
    assert np.array_equal(records.pattern_changes, changed)
    ever = changed.any(1)
    assert 3 < ever.sum() < 37
    # Some kinks come back: what counts is whether one was across at any checkpoint.
    assert (ever & (changed[:, -1] == 0)).any()
    rows = results.to_pandas()
    assert rows["pattern_changes"].to_numpy(int).tolist() == changed.ravel().tolist()


def test_the_event_is_a_change_at_any_checkpoint_until_then(recorded):
    study, results = recorded
    (records,) = results.chunks(study.experiments[0])
    changed = records.pattern_changes > 0

    def number(event, **more):
        return {"quantity": "crossed", "value": 0.5, "event": {event: True}, **more}

    numbers = [
        number("pattern_changed"),
        number("pattern_unchanged"),
        number("pattern_changed", step=2),
    ]
    asked = study.replaced(published=numbers)
    last, never, early = analyse(results, study.spec.asking, published=asked.published).published
    assert last.count == changed.any(1).sum() == 40 - never.count
    assert early.count == changed[:, :2].any(1).sum() < last.count
    assert last.event == "the activation pattern on the data points has changed since step 0"


def test_patterns_are_events_of_a_study_in_every_view(recorded, monkeypatch, capsys):
    study, results = recorded
    (records,) = results.chunks(study.experiments[0])
    ever = np.logical_or.accumulate(records.pattern_changes > 0, axis=1)
    events = {"pattern_changed": True, "pattern_unchanged": True}
    (one,) = analyse(results, events).experiments
    changed, unchanged = ([e.failures for e in row] for row in one.exceedance.estimates)
    assert changed == ever.sum(0).tolist()
    assert unchanged == (40 - ever.sum(0)).tolist()
    directory = results.store.directory
    asked = "events={ pattern_changed = true, pattern_unchanged = true }"
    out, _ = command(monkeypatch, capsys, "report", directory, "--set", asked, "--no-plots")
    assert (
        "After 90 steps the activation pattern on the data points has changed since step 0 with "
        "probability" in " ".join(out.split())
    )
    (folder,) = (directory / "reports").iterdir()
    rows = pd.read_csv(folder / "estimates.csv")
    assert rows[rows.event == "pattern_changed"].failures.tolist() == changed
    page = (folder / "report.html").read_text()
    assert "<li>the activation pattern on the data points has not changed since step 0</li>" in page
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert [kind["name"] for kind in data["kinds"]] == [
        "P( pattern changed )",
        "P( pattern unchanged )",
    ]
    cell = data["cells"][data["experiments"][0]["bands"][0]["asked"]["0"]["cells"][-1]]
    assert cell[3] == f"{changed[-1]} of 40 runs fail"
    figure = plot(results, "exceedance_vs_n")
    assert figure is not None


def test_recording_changes_no_other_bit_and_is_a_study_of_its_own(recorded):
    study, results = recorded
    plain = Study.from_dict(spec_of())
    mine, theirs = study.experiments[0], plain.experiments[0]
    assert mine.key_words == theirs.key_words
    assert mine.training_key == theirs.training_key
    assert mine.id != theirs.id
    assert "record" not in plain.spec.model_dump(mode="json")
    (records,) = results.chunks(mine)
    bare = run_block(vmap_engine(theirs), theirs, 0, 40)
    assert bare.pattern_changes.shape == (40, 0)
    for name in ("risk", "error", "inactive", "constant", "gradient_norm"):
        assert getattr(records, name).tobytes() == getattr(bare, name).tobytes(), name


def test_patterns_of_deep_networks_with_two_kinks_over_many_points():
    network = net(2, 5, 4, 3, activation=clipped_relu(0.0, 0.5), biases="normal")
    points = np.random.default_rng(0).normal(size=(1100, 2))
    thetas = np.asarray(initial(network, 3), np.float64)
    pattern = jax.jit(make_pattern(network, points))
    patterns = [np.asarray(pattern(theta))[None] for theta in thetas]

    def pieces(theta):
        h, found = points, []
        for weights, biases in network.layers(theta)[:-1]:
            z = h @ np.asarray(weights) + np.asarray(biases)
            found.append((z > 0).astype(int) + (z > 0.5))
            h = np.clip(z, 0, 0.5)
        return np.concatenate(found, 1)

    counts = pattern_changes(patterns, np.array([[True, True, False]]))
    differing = (pieces(thetas[0]) != pieces(thetas[1])).sum()
    assert counts.tolist() == [[0, differing, -1]]
    assert differing > 1000


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"network__activation": "tanh"},
            "record = ['activation_pattern'] has no meaning for the activation 'tanh'",
        ),
        (
            {"problem": {"input": {"law": "uniform"}, "target": "x**2"}},
            "record = ['activation_pattern'] has no meaning for an input law with infinitely many",
        ),
        (
            {"network__hidden": [100_000], "checkpoints": list(range(1, 60))},
            "gives 36,600,000 bits of a run, of 100,000 neurons, 6 points and 61 checkpoints",
        ),
        ({"network__hidden": []}, "needs the hidden layers of a fully-connected network"),
        ({"design": "splitting"}, "is not accepted with the design 'splitting'"),
        ({"record": ["patterns"]}, "record"),
        (
            {"record": [], "events": {"pattern_changed": True}},
            "events.pattern_changed is of activation patterns, which are not recorded; accepted: r",
        ),
        (
            {
                "record": [],
                "published": [{"quantity": "q", "value": 0.5, "event": {"pattern_changed": True}}],
            },
            "is of activation patterns, which are not recorded; accepted: record = [",
        ),
    ],
)
def test_what_has_no_patterns_is_refused_in_one_sentence(changes, sentence):
    with pytest.raises(InputError) as error:
        Study.from_dict(spec_of(**{"record": PATTERN, **changes}))
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)
