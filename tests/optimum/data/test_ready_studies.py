"""The ready study on a data set has a closed bracket before any run."""

from jaxsim.optimum.optimal_risk import optimal_risk
from jaxsim.optimum.solve import InMemory, search
from jaxsim.optimum.strategy import Budget
from jaxsim.study.study import Study


def test_the_digits_study_has_the_infimum_zero_before_any_run():
    study = Study.load("digits")
    (of,) = {e.hypothesis.key: e.hypothesis for e in study.experiments}.values()
    known = optimal_risk(of.problem, of.network)
    found = search(of, known, InMemory(), Budget(30.0))
    bracket = found.added_to(known)
    assert (bracket.lower.value, bracket.upper.value) == (0.0, 0.0)
    assert bracket.evidence.proved
    assert "linearly separable" in bracket.upper.reason
    assert not found.unfinished
