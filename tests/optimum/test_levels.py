"""The hierarchy R*(m) from certificates and closed forms."""

from jaxsim.evidence import Bound, Enclosure, estimated
from jaxsim.optimum import solve
from jaxsim.optimum.bracket import Bracket
from jaxsim.optimum.hypothesis_class import HypothesisClass
from jaxsim.optimum.levels import levels, lower_levels, monotone, searched_levels
from jaxsim.optimum.optimal_risk import optimal_risk
from jaxsim.optimum.parabola import Parabola
from jaxsim.optimum.solve import InMemory
from jaxsim.optimum.strategy import Budget
from tests.optimum.toy import GOAL, Toy
from tests.risk.cases import make_network, make_problem

CONSTANT = Enclosure(4 / 45, 1e-17, reason="the best constant prediction")


def of(m, target="x**2", **options):
    return HypothesisClass(target, make_problem(target), make_network(1, m, 1, **options))


def hierarchy(m, **options):
    own = of(m, **options)
    return levels(own, optimal_risk(own.problem, own.network), InMemory(), lambda: CONSTANT)


def test_a_neighbours_better_end_holds_for_narrower_and_wider_networks():
    rough = estimated("quadrature")
    found = monotone([
        Bracket((Bound(0.1),), (Bound(1.0),)),
        Bracket((Bound(0.3, rough, "search"),)),
        Bracket((Bound(0.2, reason="proof"),), (Bound(0.25),)),
    ])  # fmt: skip
    assert [b.lower.value for b in found] == [0.3, 0.3, 0.2]
    assert [b.upper.value for b in found] == [1.0, 1.0, 0.25]
    # What rests on an estimate stays marked as one.
    assert [b.lower.evidence.proved for b in found] == [False, False, True]


def test_the_parabolas_levels_are_its_closed_form_to_the_bit():
    bounds = lower_levels(hierarchy(5).brackets)
    assert bounds is not None
    assert [bounds(m).value for m in range(6)] == [Parabola().lower(m) for m in range(6)]
    upper = [b.upper.value for b in hierarchy(5).brackets]
    assert upper == sorted(upper, reverse=True)


def test_a_wide_parabola_costs_no_search_for_every_width():
    found = hierarchy(3000)
    assert len(found.brackets) == 3001
    assert len(searched_levels(of(3000))) <= 16


def test_where_silent_neurons_leave_another_family_there_are_no_levels():
    assert hierarchy(3, biases=False, activation="hard_tanh").brackets is None
    assert hierarchy(3, target="x1", activation="tanh").brackets is None
    assert lower_levels(None) is None


def test_narrower_searches_that_were_left_no_time_are_said(monkeypatch):
    """A bound of the probability that rests on R*(m) is the better the further they came."""
    toy, kept = Toy(), InMemory()
    monkeypatch.setattr(solve, "STRATEGIES", {"toy": toy})
    for module in ("levels", "optimal_risk"):
        monkeypatch.setattr(f"jaxsim.optimum.{module}.parabola_of", lambda *_: None)
    wide = HypothesisClass("levels", make_problem("x**2"), make_network(1, 3, 1))
    own = Bracket((Bound(0.0, reason="risks are not negative"),))

    def said():
        solve._VERIFIED.clear()
        return levels(wide, own, kept, lambda: CONSTANT).unfinished

    assert said() == ()  # nobody has searched
    solve.search(wide, own, kept, Budget(10.0))
    start = "a search for R*(m), narrower networks, "
    end = "; `jaxsim run` goes on"
    assert said() == (f"{start}was left no time by its budget{end}",)
    toy.at_most = 1
    solve.search(wide.with_first_width(1), own, kept, Budget(10.0))
    assert said()[0] == f"{start}was cut short by its budget{end}"
    toy.at_most = GOAL
    for m in (1, 2):
        solve.search(wide.with_first_width(m), own, kept, Budget(10.0))
    assert said() == ()
    toy.version = 2
    assert said() == (f"{start}is of an earlier version{end}",)
    solve._VERIFIED.clear()
