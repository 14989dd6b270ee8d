"""Searches for bounds of inf L as tasks of a study: beside its runs, resumed, verified, shared."""

import signal
import time

import jax
import numpy as np
import pytest

from jaxsim import analyse
from jaxsim.errors import InputError
from jaxsim.launch import process, searches
from jaxsim.launch.deadline import Deadline
from jaxsim.launch.directory import bind
from jaxsim.launch.optimum import find_optima
from jaxsim.launch.polishing import unpolished
from jaxsim.launch.searches import Stoppable, planned_searches, search_seconds, searching
from jaxsim.launch.simulate import simulate
from jaxsim.launch.status import status
from jaxsim.optimum import levels, optimal_risk, solve
from jaxsim.optimum.parabola import Parabola
from jaxsim.optimum.solve import InMemory
from jaxsim.report.status import sentences
from jaxsim.results.certificates import CertificateFiles
from jaxsim.results.results import Results
from jaxsim.risk import make_risk
from tests.optimum.toy import GOAL, Toy
from tests.studies import study

TINY = {"replicates": 16, "steps": 4, "checkpoints": [2], "epsilon": [0.0002, 0.05]}
LOWER, UPPER = Parabola().lower(3), Parabola().lower(2)


@pytest.fixture
def toy(monkeypatch):
    made = Toy()
    monkeypatch.setattr(solve, "STRATEGIES", {"toy": made})
    solve._VERIFIED.clear()
    yield made
    solve._VERIFIED.clear()


def run(directory, budget=20.0, **changes) -> Results:
    return simulate(study(**TINY, optimum={"budget": budget}, **changes), directory, devices=1)


def answer(results):
    return analyse(results, TINY["epsilon"])


def optimum(results):
    return answer(results).experiments[0].optimum


def test_a_run_leaves_certificates_from_which_the_answer_has_its_bracket(toy, tmp_path):
    results = run(tmp_path)
    found = optimum(results)
    assert (found.lower.value, found.upper.value) == (LOWER, UPPER)
    assert "free-knot" in found.lower.reason  # of equal bounds the one known at once
    # The class of the study, then its narrower ones that are not known exactly.
    assert toy.calls[0] == (3, 0, 0)
    assert {m for m, _, _ in toy.calls} == {3}
    seen = len(toy.calls)
    run(tmp_path)
    assert len(toy.calls) == seen


def test_a_search_cut_short_says_so_and_goes_on_with_the_next_run(toy, tmp_path):
    toy.at_most = 1
    first = run(tmp_path)
    of = first.experiments[0].hypothesis
    # Once beside the runs, once from the best of them.
    assert [(steps, runs > 0) for _, steps, runs in toy.calls] == [(0, False), (1, True)]
    assert any("cut short by its budget" in text for text in answer(first).warnings)
    again = run(tmp_path)
    assert [steps for _, steps, _ in toy.calls] == [0, 1, 2]
    run(tmp_path)
    assert CertificateFiles(tmp_path).load(of.key, "toy").finished
    assert not answer(again).warnings


def test_a_damaged_certificate_is_named_in_the_answer_and_made_anew_by_the_next_run(toy, tmp_path):
    results = run(tmp_path)
    path = CertificateFiles(tmp_path).path(results.experiments[0].hypothesis.key, "toy")
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    found = answer(results)
    (warning,) = found.warnings
    assert str(path) in warning
    assert "is damaged" in warning
    assert found.experiments[0].optimum.lower.value == LOWER  # of what is known at once
    again = run(tmp_path)
    assert path.read_bytes() == content
    assert not answer(again).warnings


def test_without_a_budget_nothing_is_searched_and_the_answer_is_as_ever(toy, tmp_path):
    results = run(tmp_path, budget=0)
    assert not toy.calls
    assert not (tmp_path / "optimum").exists()
    assert optimum(results).lower.value == LOWER
    assert not answer(results).warnings
    # A later run with a budget is of the same study: no run depends on it.
    again = run(tmp_path, budget=20)
    assert [e.id for e in again.experiments] == [e.id for e in results.experiments]
    assert toy.calls


def test_optimizers_share_one_search_and_widths_their_narrower_classes(toy):
    optimizers = [{"name": "sgd", "learning_rate": 0.1}, {"name": "adam", "learning_rate": 0.1}]
    shared = planned_searches(study(**TINY, grid={"optimizer": optimizers}))
    assert [(s.of.network.hidden[0], s.own) for s in shared] == [(3, True), (1, False), (2, False)]
    several = planned_searches(study(**TINY, grid={"network.hidden": [[2], [4], [2, 2]]}))
    assert [(s.of.network.hidden, s.own) for s in several] == [
        ((2,), True),
        ((4,), True),
        ((1,), False),
        ((3,), False),
    ]
    # Laws of the initialization and batch sizes have no part in inf L.
    other = planned_searches(study(**TINY, network__weights="he_normal", training__batch_size=3))
    assert [s.of.key for s in other] == [s.of.key for s in shared]


def test_the_parameters_of_the_best_run_are_offered_to_strategies(toy, tmp_path, monkeypatch):
    given = []

    def note(problem, network, budget, begin=None, runs=()):
        given.extend(runs)
        return Toy.search(toy, problem, network, budget, begin, runs)

    monkeypatch.setattr(toy, "search", note)
    results = run(tmp_path)
    (experiment,) = results.experiments
    recorded = np.concatenate([r.risk[:, -1] for r in results.chunks(experiment)])
    rule = make_risk(experiment.problem, experiment.network, experiment.risk)
    risk = jax.jit(lambda theta: rule.evaluate(theta)[0])
    risks = [float(risk(theta)) for theta in given]
    assert risks == sorted(risks)
    assert risks == pytest.approx(np.sort(recorded)[: len(risks)], rel=1e-12)
    run(tmp_path)
    assert len(given) == len(risks)  # once


def test_the_hierarchy_of_certificates_gives_the_bounds_of_the_closed_form(
    toy, tmp_path, monkeypatch
):
    closed = answer(run(tmp_path / "closed", budget=0)).experiments[0]
    assert any(b.value > 0.01 for b in closed.exceedance.lower_bounds)
    for module in (levels, optimal_risk):
        monkeypatch.setattr(module, "parabola_of", lambda *_: None)
    nothing = answer(run(tmp_path / "nothing", budget=0)).experiments[0]
    assert nothing.optimum.lower.value == 0
    found = answer(run(tmp_path / "found")).experiments[0]
    assert found.optimum.lower.reason == f"counted to {GOAL}"
    assert "upper end: counted to 4, too" in found.optimum.reason
    for bound, same in zip(
        found.exceedance.lower_bounds, closed.exceedance.lower_bounds, strict=True
    ):
        assert (bound.value, bound.inactive) == pytest.approx((same.value, same.inactive))
        assert not bound.rests_on_runs
    assert found.permanent.count == closed.permanent.count
    # What the closed form knew at once, three searches have found.
    assert {m for m, _, _ in toy.calls} == {1, 2, 3}


def test_a_run_below_a_lower_end_is_a_contradiction(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(Parabola, "lower", lambda self, m: 0.5)
    for module in (levels, optimal_risk):
        monkeypatch.setattr(module, "parabola_of", lambda *_: None)
    found = answer(run(tmp_path))
    assert any("counted to 4" in sentence for sentence in found.contradictions)


def test_the_default_budget_is_a_part_of_the_study_and_at_least_seconds(monkeypatch):
    monkeypatch.setattr(searches, "LEAST_SECONDS", 10.0)
    monkeypatch.setattr(searches, "PART", 20.0)
    small = study(**TINY, optimum={})
    large = study(replicates=10**8, steps=1000, optimum={})
    assert search_seconds(small) == 10.0
    assert search_seconds(large) == pytest.approx(10**8 * 1000 * 4e-7 / 20, rel=0.5)
    assert search_seconds(study(optimum={"budget": 3})) == 3


@pytest.mark.parametrize("wait", [0.3, 1e9])
def test_searches_end_with_the_runs_beside_them_after_a_while(wait, monkeypatch):
    """A search that looks at its budget only; the runs take a tenth of a second."""
    ended = []

    def endless(_, __, budget, ___):
        while not budget.spent:
            time.sleep(0.01)
        ended.append(time.monotonic())

    monkeypatch.setattr(searches, "run_searches", endless)
    planned, began = planned_searches(study(**TINY)), time.monotonic()
    with searching(planned, InMemory(), 0.8, Deadline(), wait=wait):
        time.sleep(0.1)
    assert ended[0] - began >= min(wait, 0.8) - 0.05
    assert (ended[0] - began < 0.75) == (wait < 1) or ended[0] - began > 2  # a machine that hangs
    assert searches.wait_seconds(study(**TINY, optimum={})) == searches.LEAST_WAIT
    assert searches.wait_seconds(study(optimum={"budget": 30})) == 30


@pytest.mark.parametrize("budget", [-1.0, "long", float("inf"), [3]])
def test_a_budget_that_cannot_be_is_refused_in_one_sentence(budget):
    with pytest.raises(InputError, match=r"optimum\.budget = .* is not accepted"):
        study(optimum={"budget": budget})
    with pytest.raises(InputError, match=r"optimum\.budgets = 1 is not a key; accepted: budget"):
        study(optimum={"budgets": 1})


def test_a_request_to_stop_ends_the_budget_of_a_search():
    stop = [False]
    budget = Stoppable(100.0, lambda: stop[0])
    part = budget.share(0.5)
    assert 49 < part.left <= 50
    stop[0] = True
    assert part.spent
    assert budget.spent


def test_a_search_that_fails_costs_no_results_and_is_said(toy, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("of a strategy")

    monkeypatch.setattr(toy, "search", broken)
    said = []
    with searching(planned_searches(study(**TINY)), InMemory(), 9.0, Deadline(), said.append):
        pass
    assert any("failed (ZeroDivisionError: of a strategy)" in text for text in said)


def test_an_error_beside_searches_stops_them(toy):
    deadline = Deadline()
    with (
        pytest.raises(KeyboardInterrupt),
        searching(planned_searches(study(**TINY)), InMemory(), 9.0, deadline),
    ):
        raise KeyboardInterrupt
    assert deadline.reason == "interrupted"


def test_workers_share_the_searches_of_a_study(toy, tmp_path, monkeypatch):
    # Only this process knows the toy: two workers, one after the other.
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    directory = bind(study(**TINY, optimum={"budget": 20}, network__hidden=[5]), tmp_path / "out")
    widths = []
    for index in range(2):
        command = ["worker", str(tmp_path / "out"), "--index", str(index), "--of", "2"]
        monkeypatch.setattr("sys.argv", command)
        assert process.main() == 0
        widths.append({m for m, _, _ in toy.calls})
        toy.calls.clear()
    assert not directory.missing()
    found = status(tmp_path / "out")
    assert (found.searches, found.searched) == (5, 2)
    assert "2 of 5 problems with their networks have certificates of inf L." in sentences(found)
    # Widths 1, 2 and 4 are known exactly.
    assert widths == [{5}, {3}]
    for one in planned_searches(directory.study):
        found = CertificateFiles(tmp_path / "out").load(one.of.key, "toy")
        assert (found is not None) == (one.of.network.hidden[0] in (3, 5))


def test_a_job_of_slurms_polishes_what_the_study_asks_for_once_all_runs_are_there(
    toy, tmp_path, monkeypatch
):
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    asked = study(**TINY, optimum={"budget": 0}, levels={"runs": 4, "budget": 500})
    directory = bind(asked, tmp_path / "out")
    assert not unpolished(directory, 4)  # no runs yet
    command = ["worker", str(tmp_path / "out"), "--index", "1"]
    for more in ([], ["--grace-period", "1"]):
        monkeypatch.setattr("sys.argv", [*command, *more])
        assert process.main() == 0
        left = [(e.label, runs) for e, runs in unpolished(directory, 4)]
        # A worker that is none of Slurm's leaves it to the process that has begun it.
        assert left == ([] if more else [(asked.experiments[0].label, 4)])


def test_a_worker_that_is_told_to_search_nothing_does_not(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    bind(study(**TINY, optimum={"budget": 20}), tmp_path / "out")
    monkeypatch.setattr("sys.argv", ["worker", str(tmp_path / "out"), "--search", "0"])
    assert process.main() == 0
    assert not toy.calls


def test_the_best_run_of_a_directory_closes_the_bracket_that_is_shown(toy, tmp_path):
    results = run(tmp_path, budget=0, problem__target="sin(x)")
    found = find_optima(study(**TINY, problem__target="sin(x)"), tmp_path, 0.0)
    upper = found.hierarchies[0].widths[-1].optimum.upper
    assert upper == optimum(results).upper
    assert "best risk found" in upper.reason
