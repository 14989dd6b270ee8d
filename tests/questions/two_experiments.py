"""Published numbers of two experiments, which tests of them share."""

import numpy as np

from jaxsim.questions.ask import analyse
from jaxsim.study.study import Study
from tests.studies import table

TWO = [{"label": "one"}, {"label": "two", "steps": 90}]


def asked(*numbers, **changes):
    """Return the small study with two experiments and published numbers."""
    return Study.from_dict(table(experiment=TWO, published=list(numbers), **changes))


def risks(results, e, t=-1):
    """Return the risks of all runs of an experiment at a checkpoint."""
    parts = results.parts(results.experiments[e])
    return np.concatenate([records.risk[:, t] for _, records in parts])


def answered(results, *numbers, confidence=0.95):
    """Return published numbers beside measured ones."""
    study = asked(*numbers)
    return analyse(results, [0.001], confidence, published=study.published).published
