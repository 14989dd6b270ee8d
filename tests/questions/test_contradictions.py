"""What cannot be true together is named first, and nothing is called proved beside it."""

import io

import pandas as pd
import pytest
from rich.console import Console

from jaxsim import analyse, exceedance, simulate
from jaxsim.evidence import Bound, stated
from jaxsim.questions import provable
from jaxsim.report.sentences import sentences
from jaxsim.report.write import write_report
from jaxsim.theory.lower_bound import LowerBound
from tests.studies import study

EPS = [0.001, 0.05]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    one = study(replicates=64)
    return one, simulate(one, tmp_path_factory.mktemp("contradicted"))


def proved_words(answer):
    e = answer.experiments[0]
    return [b.evidence.kind for b in e.exceedance.lower_bounds] + [
        x.kind for x in e.permanent.evidence
    ]


def test_an_answer_that_agrees_with_itself_has_none(finished):
    answer = analyse(finished[1], EPS)
    assert answer.contradictions == []
    assert set(proved_words(answer)) == {"proved"}


def test_a_bound_above_what_runs_show_is_named(finished, monkeypatch, tmp_path):
    wrong = tuple(LowerBound(eps, 1.0, 1, "a wrong proof") for eps in EPS)
    monkeypatch.setattr("jaxsim.questions.exceedance.lower_bounds_of", lambda *_: wrong)
    answer = analyse(finished[1], EPS)
    (sentence,) = answer.contradictions[-1:]
    assert "at least 1 for every n (a wrong proof)" in sentence
    assert "proved" not in proved_words(answer)
    stream = io.StringIO()
    write_report(finished[1], finished[0], tmp_path, Console(file=stream, width=300))
    first = stream.getvalue().splitlines()[0]
    assert first.startswith("Contradiction: ")
    said = stream.getvalue()
    assert "Proved" not in said
    assert "(a wrong proof)" in (tmp_path / "report.html").read_text()


def test_more_certified_runs_than_failures_are_named(finished, monkeypatch):
    real = provable.remaining_risk

    def too_high(*arguments):
        found = real(*arguments)
        bounds = tuple(Bound(9.0, reason="wrong") for _ in found.bounds)
        return provable.RemainingRisk(bounds, 0 * found.values + 9.0)

    monkeypatch.setattr("jaxsim.questions.permanent.remaining_risk", too_high)
    answer = analyse(finished[1], EPS)
    assert any("certified to fail in all further training" in s for s in answer.contradictions)
    assert "proved" not in proved_words(answer)


def test_a_stated_optimum_that_runs_refute_is_named_and_left_out(tmp_path):
    # Nothing is known of the sine but that risks are not negative; runs get below 0.2.
    wrong = study(problem__target="sin(3*x)", problem__optimum=0.3, replicates=32, steps=60)
    answer = analyse(simulate(wrong, tmp_path / "wrong"), EPS)
    (e,) = answer.experiments
    (sentence,) = answer.contradictions
    assert "stated in the study" in sentence
    assert "best risk found" in sentence
    assert e.optimum.lower.value == 0
    assert e.optimum.upper.value < 0.3
    assert sentences(answer)[0].startswith("Contradiction: ")
    assert "proved" not in proved_words(answer)


def test_nothing_is_called_proved_or_guaranteed_beside_a_contradiction(tmp_path):
    # The risk of a cubic is exact, and runs get below 0.1: all would be proved but for the lie.
    wrong = study(problem__target="x**3", problem__optimum=0.13, replicates=32, steps=60)
    results = simulate(wrong, tmp_path / "wrong")
    stream = io.StringIO()
    answer = write_report(results, wrong, tmp_path, Console(file=stream, width=300), plots=False)
    assert answer.contradictions
    assert '"proved"' not in (tmp_path / "answer.json").read_text()
    rows = pd.read_csv(tmp_path / "estimates.csv")
    assert not rows.rigorous.any()
    for column in ("evidence", "lower_bound_evidence", "permanent_evidence"):
        assert "proved" not in set(rows[column].dropna())
    assert "guaranteed" not in stream.getvalue()
    assert "bound on rounding" not in stream.getvalue()
    assert not any(one.rigorous for one in exceedance(results, EPS))


def test_a_probability_that_rests_on_a_stated_optimum_says_so_everywhere(tmp_path):
    said = study(problem__target="x**3", problem__optimum=0.0, replicates=32)
    stream = io.StringIO()
    results = simulate(said, tmp_path / "said")
    write_report(results, said, tmp_path, Console(file=stream, width=300))
    shown = stream.getvalue()
    condition = "the study states the optimal risk, 0"
    assert f"Given that {condition}: after 60 steps" in shown
    assert "]†" in shown
    assert "†" in (tmp_path / "report.html").read_text()
    assert condition in (tmp_path / "plots" / "exceedance_vs_n.svg").read_text().replace("\n", " ")


def test_a_bound_that_rests_on_the_best_run_is_not_called_one_without_runs(tmp_path):
    # x^3 has no known upper end but the best run.
    answer = analyse(simulate(study(problem__target="x**3"), tmp_path / "cubic"), 1e-6)
    assert answer.experiments[0].exceedance.lower_bounds[0].rests_on_runs
    text = " ".join(sentences(answer))
    assert "since the best run's risk is no less than inf L" in text
    assert "without any run" not in text


def test_what_rests_on_a_stated_optimum_says_so(tmp_path):
    said = study(problem__target="sin(3*x)", problem__optimum=0.0, replicates=32)
    answer = analyse(simulate(said, tmp_path / "said"), EPS)
    (e,) = answer.experiments
    assert {b.evidence.kind for b in e.exceedance.lower_bounds if b.value > 0} == {"stated"}
    text = " ".join(sentences(answer))
    assert "Proved" not in text
    assert "given that the study states the optimal risk, 0" in text.replace("Given", "given")


def test_stated_evidence_is_weaker_than_any_other():
    assert stated("a").strength > Bound(0.0).evidence.strength
