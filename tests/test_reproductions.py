"""Published numbers are found again: every reproduction in its own smaller settings."""

import pytest

from jaxsim.launch.simulate import simulate
from jaxsim.questions.ask import analyse
from jaxsim.study.catalogue import REPRODUCTIONS, ready_table
from jaxsim.study.study import Study

QUICK = [name for name in REPRODUCTIONS if ready_table(name).get("quick")]

OTHERWISE = ("what-intuition-gets-wrong", "1903.06733/collapse-2d")
"""Of which no number is found again, as each of them discusses."""


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_published_numbers_are_found_again_or_the_difference_is_discussed(name, tmp_path):
    study = Study.load(name, quick=True)
    results = simulate(study, tmp_path)
    answer = analyse(results, study.spec.asking, published=study.published)
    if not study.published:
        assert all(one.runs for one in answer.experiments)
        return
    measured = [one for one in answer.published if one.verdict != "not measured"]
    assert measured
    unexplained = [
        (one.experiment, one.quantity, one.published, one.estimate)
        for one in measured
        if one.verdict == "differs" and not one.discussion
    ]
    assert not unexplained
    expected = "differs" if name in OTHERWISE else "agrees"
    assert any(one.verdict == expected for one in measured)
