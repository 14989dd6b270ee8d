"""Events of what networks are like, not of their risks, against counts in plain NumPy."""

import numpy as np
import pytest
from scipy import stats

from jaxsim import analyse
from jaxsim.errors import InputError
from jaxsim.estimation import clopper_pearson
from jaxsim.launch.simulate import simulate
from jaxsim.questions.events import Event
from jaxsim.questions.quantities import require_neurons, values_of_event
from jaxsim.report.table import notes
from jaxsim.study.study import Study
from tests.questions.test_strata import made_up_records
from tests.studies import TWO, made_up, table, with_records
from tests.training.test_constant import net

EVENTS = {"constant": True, "inactive_at_least": [2, 1], "risk_above": 0.05}


def asking(**changes):
    """Return the small study with events in place of its epsilon."""
    spec = table(**changes)
    del spec["epsilon"]
    return Study.from_dict(spec)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    asked = asking(events=EVENTS, paired=["optimizer"], grid=TWO)
    return made_up(asked, tmp_path_factory.mktemp("networks"), diverged=2)


def drawn(label, replicate, shape):
    """Return made-up inactive neurons and constants of runs, [R, T]."""
    rows = [np.random.default_rng([len(label), r]).integers(0, 4, shape[1:]) for r in replicate]
    inactive = np.array(rows)
    return inactive, np.where(inactive == 3, 1, np.where(inactive == 0, -1, 0)).astype(np.int8)


@pytest.fixture
def networks(results, monkeypatch):
    """Give the runs of the store inactive neurons, and return these by label."""
    labels, seen = {e.id: e.label for e in results.experiments}, {}

    def with_networks(records, shard):
        label = labels[shard.experiment]
        inactive, constant = drawn(label, records.replicate, records.risk.shape)
        return records._replace(inactive=inactive[:, :, None].astype(np.int32), constant=constant)

    with_records(monkeypatch, with_networks)
    for e in results.experiments:
        parts = list(results.chunks(e))
        lost = np.concatenate([~np.isfinite(records.risk) for records in parts])
        replicate = np.concatenate([records.replicate for records in parts])
        seen[e.label] = *drawn(e.label, replicate, lost.shape), lost
    return seen


def test_networks_are_counted_at_every_checkpoint_and_diverged_ones_are_not_constant(
    results, networks
):
    answer = analyse(results, EVENTS)
    assert [e.short for e in answer.asked] == [
        "risk > 0.05",
        "constant network",
        "inactive >= 1",
        "inactive >= 2",
    ]
    for one in answer.experiments:
        inactive, constant, lost = networks[one.label]
        assert lost.any()
        _, *rows = one.exceedance.estimates
        for row, having, maybe in zip(
            rows,
            ((constant == 1) & ~lost, inactive >= 1, inactive >= 2),
            ((constant == -1) & ~lost, lost & False, lost & False),
            strict=True,
        ):
            assert [e.failures for e in row] == having.sum(0).tolist()
            assert [e.undecided for e in row] == maybe.sum(0).tolist()
            assert [e.diverged for e in row] == lost.sum(0).tolist()
            low = clopper_pearson(having[:, -1].sum(), len(lost), 0.95)[0]
            assert row[-1].lower == low
            assert not any(e.lower_bound for e in row)
        # One band for each kind, over the numbers of neurons that there are.
        grids = {band.event: band.eps for band in one.bands}
        assert grids == {"constant": [0.0], "inactive_at_least": [1.0, 2.0, 3.0]}
        assert len(one.grades.eps) == 1
        assert one.permanent.count[1:] == [0, 0, 0]
    told = " ".join(notes(answer))
    assert (
        "count as failed (for constant network, inactive >= 1 and inactive >= 2 by what their "
        "networks are)" in told
    )


def test_pairs_of_networks_are_those_enumerated(results, networks):
    answer = analyse(results, {"inactive_at_least": 2})
    (one,) = answer.pairs.comparisons
    first, second = (
        inactive[:, -1] >= 2 for inactive, *_ in (networks[one.first], networks[one.second])
    )
    counts = one.result.counts
    assert counts.only_first == (first & ~second).sum() > 0
    assert counts.only_second == (second & ~first).sum() > 0
    assert "count by what their networks are" in " ".join(notes(answer))


def test_strata_of_initializations_give_the_law_of_inactive_neurons(tmp_path):
    events = {"inactive_at_least": [1, 2, 3]}
    asked = asking(events=events, design="strata", replicates=128, steps=2, checkpoints=[])
    answer = analyse(simulate(asked, tmp_path / "strata"), events)
    (one,) = answer.experiments
    # Uniform weights and biases: b < -|w| has probability 1/4, but for what float32 rounds.
    known = stats.binom.sf([0, 1, 2], 3, 0.25)
    at_start = [row[0] for row in one.exceedance.estimates]
    np.testing.assert_allclose([e.estimate for e in at_start], known, rtol=1e-5)
    assert all(e.lower < e.estimate < e.upper for e in at_start)
    assert not answer.contradictions


def test_values_say_what_is_known_of_made_up_networks():
    records = made_up_records(4, 2, seed=0, checkpoints=3)
    changes = np.array([[0, 0, 0], [0, 2, 0], [0, 0, 1], [0, 0, -1]], np.int32)
    risk = np.where(changes == -1, np.nan, 0.1)
    constant = np.array([[0, 1, -1], [-1, 0, 1], [0, 0, 0], [1, 1, -1]], np.int8)
    records = records._replace(risk=risk, pattern_changes=changes, constant=constant)
    changed, error = values_of_event(Event("pattern_changed", 0.0), records)
    assert changed.tolist() == [[0, 0, 0], [0, 1, 1], [0, 0, 1], [0, 0, 1]]
    assert not error.any()
    unchanged, _ = values_of_event(Event("pattern_unchanged", 0.0), records)
    assert np.array_equal(unchanged, 1 - changed)
    value, error = values_of_event(Event("constant", 0.0), records)
    assert ((value - error > 0) == (constant == 1) & np.isfinite(risk)).all()
    assert ((value + error > 0) == (constant != 0) & np.isfinite(risk)).all()


@pytest.mark.parametrize(
    ("events", "sentence"),
    [
        ({"inactive_at_least": 0}, "events.inactive_at_least = 0"),
        ({"inactive_at_least": 1.5}, "it should be whole numbers from 1 to 1,000,000"),
        ({"constant": 1}, "events.constant = 1 is not accepted: it should be true"),
        ({"pattern_changed": False}, "asks for nothing"),
        ({"pattern_changed": True}, 'record = ["activation_pattern"], run in another directory'),
    ],
)
def test_what_cannot_be_asked_of_networks_is_refused_in_one_sentence(results, events, sentence):
    with pytest.raises(InputError) as error:
        analyse(results, events)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_network_without_hidden_layers_has_no_neurons_to_count():
    with pytest.raises(InputError, match="no hidden layer is known"):
        require_neurons(Event("inactive_at_least", 1.0), net(2, 1))
