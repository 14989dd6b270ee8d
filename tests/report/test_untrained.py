"""Networks that are only initialized: nothing is said or drawn of a training that there is not."""

import pytest

from jaxsim import analyse, plot
from jaxsim.errors import InputError
from jaxsim.report.page import write_page
from jaxsim.report.plots import draw_all
from jaxsim.report.sentences import sentences
from jaxsim.report.table import notes
from tests.studies import made_up, study


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return made_up(study(steps=0, checkpoints=[]), tmp_path_factory.mktemp("untrained"))


def drawn(answer, directory):
    return {path.stem for path in draw_all(answer, directory)}


def test_nothing_is_drawn_against_steps_that_nobody_took(results, tmp_path):
    of_risk = analyse(results, {"risk_above": 0.05})
    assert drawn(of_risk, tmp_path) == {"exceedance_vs_risk", "risk_distribution"}
    assert drawn(analyse(results, {"constant": True}), tmp_path / "other") == set()
    with pytest.raises(InputError, match=r"learning_curves.*its networks were not trained"):
        plot(of_risk, "learning_curves")


def test_sentences_and_page_speak_of_the_initialization(results, tmp_path):
    answer = analyse(results, {"constant": True})
    said = sentences(answer)
    assert said[0].startswith("At initialization the network is constant with probability 0 ")
    assert not any(line.startswith("Constant networks") for line in said)
    page = write_page(answer, tmp_path, said, notes(answer)).read_text()
    for text in (
        "how likely is it that one fails before any training?",
        "<h2>Failure probabilities at initialization</h2>",
        "80 runs, not trained",
        "They count by what their networks are.",
    ):
        assert text in page
    for text in ("at the last checkpoint</h2>", "of 0 steps each", "Learning curves"):
        assert text not in page
