"""jaxsim: how often does training fail, and how sure are we?

    P( L(Theta_n) > inf_theta L(theta) + eps )

Risks and initial draws are float64: importing jaxsim switches `jax_enable_x64` on.
"""

import jax as _jax

_jax.config.update("jax_enable_x64", True)

from jaxsim.errors import InputError  # noqa: E402
from jaxsim.estimation import Estimate  # noqa: E402
from jaxsim.launch.simulate import simulate  # noqa: E402
from jaxsim.report.analysis import Analysis, analyse, exceedance  # noqa: E402
from jaxsim.results.results import Results  # noqa: E402
from jaxsim.study.study import Study  # noqa: E402

__all__ = [
    "Analysis",
    "Estimate",
    "InputError",
    "Results",
    "Study",
    "analyse",
    "exceedance",
    "simulate",
]
