"""What holds with no sampling: inactive neurons at initialization and bounds for every step n."""

from jaxsim.theory.born_dead import (
    alive_bounds,
    born_dead_lower,
    born_dead_two_hidden,
    born_dead_upper,
)
from jaxsim.theory.inactive import inactive_probability
from jaxsim.theory.inactive_counts import (
    CountDistribution,
    inactive_count_law,
    probability_layer_dead,
    structural_count_laws,
)
from jaxsim.theory.lower_bound import LowerBound, exceedance_lower_bound
from jaxsim.theory.probability import Probability

__all__ = [
    "CountDistribution",
    "LowerBound",
    "Probability",
    "alive_bounds",
    "born_dead_lower",
    "born_dead_two_hidden",
    "born_dead_upper",
    "exceedance_lower_bound",
    "inactive_count_law",
    "inactive_probability",
    "probability_layer_dead",
    "structural_count_laws",
]
