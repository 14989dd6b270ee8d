"""Optimizers: Theta_n = Theta_{n-1} - Phi_n(G_1, ..., G_n), all optax gradient transformations."""

from jaxsim.optimizer.optimizers import OPTIMIZERS, Optimizer, optimizer
from jaxsim.optimizer.schedules import SCHEDULES, Schedule

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "Optimizer",
    "Schedule",
    "optimizer",
]
