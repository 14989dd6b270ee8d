"""Published numbers beside measured ones, on results whose risks are known."""

import json

import numpy as np
import pytest

from jaxsim import InputError
from jaxsim.estimation import clopper_pearson
from jaxsim.estimation.agreement import binomial, fisher
from jaxsim.estimation.paired import holm
from jaxsim.launch.directory import bind, reopen
from jaxsim.questions.ask import analyse
from jaxsim.report.published import published_frame, published_sentences, published_tables
from jaxsim.study.study import Study
from tests.questions.two_experiments import answered, asked, risks
from tests.studies import made_up, with_records

EVENT = {"risk_above": 0.04}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """80 runs of each of two experiments, with risks from .01 to .1."""
    return made_up(asked(), tmp_path_factory.mktemp("made_up"), diverged=1)


def number(**fields):
    return {"quantity": "failures", "experiment": "one", "event": EVENT, **fields}


def test_counts_are_those_of_the_runs_and_tested_by_fisher(results):
    (one,) = answered(results, number(failures=30, runs=50, step=30))
    risk = risks(results, 0, 3)
    count = int((risk > 0.04).sum())
    assert (one.count, one.runs, one.step, one.undecided) == (count, 80, 30, 0)
    assert (one.lower, one.upper) == pytest.approx(clopper_pearson(count, 80, 0.95))
    ends = clopper_pearson(30, 50, 0.95)
    assert (one.published_lower, one.published_upper) == pytest.approx(ends)
    assert one.p == one.p_holm == fisher((count, count), 80, (30, 30), 50)
    assert (one.published, one.published_runs) == ("30 of 50", 50)


def test_a_diverged_run_counts_as_failed_and_is_at_no_level(results):
    last = risks(results, 0)
    gone = int((~np.isfinite(last)).sum())
    assert gone
    above, between, level = answered(
        results,
        number(value=0.5),
        number(value=0.5, event={"risk_between": [0.04, 1e9]}),
        {"quantity": "level", "experiment": "one", "level": True, "value": "1.000e9"},
    )
    assert above.count == between.count + gone == int((last > 0.04).sum()) + gone
    assert level.verdict == "not measured"


def test_a_printed_share_is_a_range_of_counts_or_of_probabilities(results):
    count = answered(results, number(experiment="two", value=0.5))[0].count
    with_runs, without, exact = answered(
        results,
        number(experiment="two", value="60 %", runs=200),
        number(experiment="two", value="60 %"),
        number(experiment="two", value=0.6),
    )
    assert with_runs.p == fisher((count, count), 80, (119, 121), 200)
    assert without.p == binomial((count, count), 80, 0.595, 0.605)
    assert exact.p == binomial((count, count), 80, 0.6, 0.6)
    assert (without.published_lower, without.published_upper) == pytest.approx((0.595, 0.605))
    assert without.p >= exact.p


def test_bounds_are_broken_only_beyond_them(results):
    share = answered(results, number(value=0.5))[0].estimate
    least, most, broken = answered(
        results,
        number(value=round(share - 0.05, 3), relation="at least"),
        number(value=round(share + 0.05, 3), relation="at most"),
        number(value=0.99, relation="at least"),
    )
    assert (least.p, most.p) == (1.0, 1.0)
    assert (broken.verdict, least.published[:8]) == ("differs", "at least")
    assert broken.p_holm < 1e-6


def test_all_tests_of_a_study_are_adjusted_together(results):
    entries = [number(failures=k, runs=50) for k in (10, 30, 33)]
    found = answered(results, *entries, number(failures=30, runs=50, experiment="absent"))
    p = [one.p for one in found[:3]]
    assert [one.p_holm for one in found[:3]] == holm(p).tolist()
    assert found[3].verdict == "not measured"
    assert (found[3].p, found[3].estimate, found[3].runs) == (None, None, 0)
    assert found[0].verdict == "differs"


def test_agreement_has_to_exclude_the_tolerance(results):
    share = answered(results, number(value=0.5))[0].estimate
    near = round(share, 2)
    loose, tight = answered(
        results, number(value=near, tolerance=0.2), number(value=near, tolerance=0.02)
    )
    assert (loose.verdict, tight.verdict) == ("agrees", "undecided")
    assert loose.difference == tight.difference > 0.02


def test_what_is_not_known_of_runs_makes_no_difference(results, monkeypatch):
    """Runs whose numerical error hides on which side they are are counted on either."""

    def vague(records, shard):
        return records._replace(error=np.full_like(records.error, 0.02))

    with_records(monkeypatch, vague)
    (one,) = answered(results, number(value=0.5))
    risk = risks(results, 0)
    assert one.undecided == int((np.abs(risk - 0.04) < 0.02).sum())
    assert one.upper == pytest.approx(clopper_pearson(one.count + one.undecided, 80, 0.95)[1])
    assert one.p == binomial((one.count, one.count + one.undecided), 80, 0.5, 0.5)


def test_a_level_agrees_if_all_of_its_printed_digits_do(results, monkeypatch):
    levels = np.array([0.0374066, 0.0380, 0.0706])

    def at_levels(records, shard):
        risk = np.broadcast_to(levels[records.replicate % 3][:, None], records.risk.shape)
        return records._replace(risk=risk + 1e-9 * records.replicate[:, None])

    with_records(monkeypatch, at_levels)
    level = {"quantity": "level", "experiment": "one", "level": True, "factor": 2.0}
    right, wrong, second, nowhere = answered(
        results,
        level | {"value": "0.01870"},
        level | {"value": "0.01872"},
        level | {"value": "0.0190"},
        level | {"value": "0.0300"},
    )
    assert right.verdict == "agrees"
    assert right.estimate == pytest.approx(0.0187033, abs=1e-7)
    assert right.count == 27
    assert wrong.verdict == "differs"
    assert (second.verdict, second.estimate) == ("agrees", pytest.approx(0.0190, abs=1e-7))
    assert nowhere.verdict == "not measured"


def test_runs_on_their_way_are_no_level(results, monkeypatch):

    def passing_by(records, shard):
        risk = np.where(records.replicate == 7, 0.0374, 0.0375 + 1e-9 * records.replicate)
        return records._replace(risk=np.broadcast_to(risk[:, None], records.risk.shape))

    with_records(monkeypatch, passing_by)
    entry = {"quantity": "level", "experiment": "one", "level": True, "value": "0.0374"}
    (one,) = answered(results, entry)
    assert (one.count, one.verdict) == (79, "differs")
    assert one.estimate == pytest.approx(0.0375, abs=1e-6)


def test_constant_networks_are_an_event(results, monkeypatch):

    def constant(records, shard):
        column = np.where(records.replicate < 20, 1, 0)[:, None]
        return records._replace(constant=np.broadcast_to(column, records.constant.shape))

    with_records(monkeypatch, constant)
    (one,) = answered(results, number(value="25 %", event={"constant": True}, step=0))
    assert (one.count, one.verdict, one.step) == (20, "undecided", 0)
    assert one.event == "the network is constant"


def test_inactive_neurons_are_counted_at_the_step(results, monkeypatch):

    def inactive(records, shard):
        made_up = np.zeros_like(records.inactive)
        made_up[:, 0, 0], made_up[:, -1, 0] = records.replicate % 4, records.replicate % 2
        return records._replace(inactive=made_up)

    with_records(monkeypatch, inactive)
    kinds = [(k, step) for step in (0, 60) for k in (1, 2)]
    entries = [number(value=0.5, event={"inactive_at_least": k}, step=n) for k, n in kinds]
    found = answered(results, *entries)
    assert [one.count for one in found] == [60, 40, 40, 0]
    assert found[1].event == "at least 2 neurons of the first layer are inactive"


def test_steps_that_were_not_recorded_are_not_measured(results):
    (one,) = answered(results, number(value=0.5, step=8))
    assert (one.verdict, one.step, one.runs) == ("not measured", None, 0)


def test_an_experiment_is_found_by_its_keys(results):
    keys = {"network.hidden": [3], "steps": 60, "optimizer": {"name": "adam"}}
    entries = [
        {"quantity": "failures", "value": 0.5, "event": EVENT, "where": where}
        for where in ({"steps": 90}, keys, {"steps": 91})
    ]
    study = asked(*entries)
    assert [n.label for n in study.published] == ["two", "one", "steps 91"]
    assert study.published[2].experiment is None


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"value": "seventy"}, r"published\.0 .*number as printed"),
        ({"value": "173 %"}, "from 0 to 1"),
        ({"failures": 3}, "failures need runs"),
        ({"failures": 3, "runs": 2}, "failures need runs"),
        ({"value": "73.4 %", "runs": 10}, "no count of 10 runs"),
        ({}, "either value or failures"),
        ({"value": 0.5, "event": {}}, "one of the keys"),
        ({"value": 0.5, "event": {"risk_between": [2.0, 1.0]}}, "increasing"),
        ({"value": 0.5, "event": {"risk_abov": 1.0}}, "is not a key"),
        ({"value": 0.5, "level": True}, "either event or level"),
        ({"value": 0.5, "experiment": None, "where": {"widht": 3}}, "no key of an experiment"),
        ({"value": 0.5, "experiment": None, "where": {"optimizer.name": "adam"}}, "2 experiments"),
        ({"value": 0.5, "event": {"error_rate_above": 0.1}}, "error rates"),
    ],
    ids=str,
)
def test_bad_numbers_are_one_sentence(fields, sentence):
    entry = {k: v for k, v in number(**fields).items() if v is not None}
    with pytest.raises(InputError, match=sentence) as refused:
        asked(entry)
    assert "\n" not in str(refused.value)


def test_numbers_are_a_question_and_no_part_of_what_a_study_is():
    bare, with_number = asked(), asked(number(value=0.5))
    assert [e.id for e in bare.experiments] == [e.id for e in with_number.experiments]
    assert "published" not in bare.spec.model_dump()
    dumped = json.loads(json.dumps(with_number.spec.model_dump(mode="json")))
    assert Study.from_dict(dumped).published == with_number.published
    other = bare.with_questions(
        ['published=[{quantity="q", value=0.5, level=true, experiment="one"}]']
    )
    assert other.published[0].kind == "level"


def test_numbers_may_change_in_a_directory_and_are_asked_of_the_runs_that_are_there(tmp_path):
    bind(asked(number(value=0.5)), tmp_path / "out")
    bind(asked(number(value=0.7), number(value=0.1), quick={"steps": 9}), tmp_path / "out")
    again = reopen(tmp_path / "out").study
    assert [n.lower for n in again.published] == [0.7, 0.1]


def test_the_views_show_published_and_measured_side_by_side(results):
    entries = [
        number(failures=10, runs=50, source="Somebody (1999)", place="table 2"),
        number(failures=30, runs=50, discussion="Only a test."),
        number(failures=30, runs=50, experiment="absent"),
    ]
    study = asked(*entries)
    answer = analyse(results, [0.001], published=study.published)
    tables = published_tables(answer)
    assert [str(t.title) for t in tables] == ["published, Somebody (1999)", "published numbers"]
    assert all(t.row_count == 1 for t in tables)
    said = " ".join(published_sentences(answer))
    assert "Of 2 published numbers that were measured here" in said
    assert "1 more is of experiments" in said
    assert "10 of 50: 0.20 [0.10, 0.34] published" in said
    frame = published_frame(answer)
    assert list(frame["verdict"])[::2] == ["differs", "not measured"]
    assert answer.model_validate_json(answer.model_dump_json()).published == answer.published


def test_other_answers_do_not_change(results):
    with_number = analyse(results, [0.001], published=asked(number(value=0.5)).published)
    bare = analyse(results, [0.001])
    assert bare.published == ()
    assert with_number.model_copy(update={"published": ()}) == bare
