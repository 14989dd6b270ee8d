"""The questions that are asked of every experiment, by the names of their answers."""

from __future__ import annotations

from jaxsim.questions.band import OtherBands, SimultaneousBand
from jaxsim.questions.distribution import Distribution
from jaxsim.questions.exceedance import Exceedance
from jaxsim.questions.grades import Grades
from jaxsim.questions.permanent import PermanentFailures
from jaxsim.questions.published_question import PublishedNumbers
from jaxsim.questions.quantiles import Quantiles
from jaxsim.questions.question import Question

QUESTIONS: dict[str, type[Question]] = {
    q.name: q
    for q in (
        Exceedance,
        PermanentFailures,
        Grades,
        SimultaneousBand,
        OtherBands,
        Quantiles,
        Distribution,
        PublishedNumbers,
    )
}
