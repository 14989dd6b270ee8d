"""The design of an experiment by its name."""

from __future__ import annotations

from jaxsim.design.splitting import require_splitting
from jaxsim.design.strata import stratified_design
from jaxsim.design.stratum import Design, plain_design
from jaxsim.training.experiment import Experiment


def make_design(name: str, experiment: Experiment) -> Design:
    """Return the strata of an experiment.

    Args:
        name: "plain", "strata" or "splitting".
        experiment: whose initializations they are.

    Raises:
        InputError: if the experiment does not permit the design, with the reason.
    """
    if name == "plain":
        return plain_design(experiment)
    design = stratified_design(experiment, name=name)
    if name == "splitting":
        require_splitting(experiment)
    return design
