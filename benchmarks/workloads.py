"""What is trained in a benchmark: shapes, optimizers, batches, fresh samples or fixed data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from jaxsim.speed.work import step_work
from jaxsim.study.study import Study


@dataclass(frozen=True)
class Workload:
    """One network trained by one method; ReLU, float32, independent mini-batches.

    Attributes:
        name: how it is called on the command line.
        widths: inputs, hidden layers, outputs.
        batch: samples per step.
        optimizer: one of the eleven methods; its "pytorch" variant, so that PyTorch trains alike.
        rate: learning rate.
        digits: the digits data set with softmax cross-entropy in place of fresh uniform samples
            with the target x1^2 and the squared loss.
        fixed: size of a training set, the same for all members, from which mini-batches are drawn
            with replacement; 0 for fresh samples.
        steps: of jaxsim's runs.
        checkpoints: at which jaxsim computes the true risk, besides step 0.
        points: of quasi-Monte Carlo risks, for several inputs.
    """

    name: str
    widths: tuple[int, ...]
    batch: int = 32
    optimizer: str = "adam"
    rate: float = 0.01
    digits: bool = False
    fixed: int = 0
    steps: int = 2000
    checkpoints: int = 16
    points: int = 1024

    @property
    def flop(self) -> float:
        """Floating-point operations of a member's step, counted as in `jaxsim benchmark`."""
        (experiment,) = self.study(1, 1).experiments
        work = step_work(experiment)
        assert work is not None
        return float(work.total)

    @property
    def method(self) -> dict[str, Any]:
        """The [optimizer] table."""
        table = {"name": self.optimizer, "learning_rate": self.rate}
        return table if self.optimizer == "nadamax" else {**table, "variant": "pytorch"}

    def study(self, steps: int, replicates: int, **execution: Any) -> Study:
        """Return the study that jaxsim runs."""
        risk = {"points": self.points} if self.widths[0] > 1 and not self.digits else {}
        problem: dict[str, Any] = {
            "risk": risk,
            "input": {"law": "uniform", "dimension": self.widths[0]},
            "target": "x**2" if self.widths[0] == 1 else "x1**2",
        }
        if self.digits:
            problem = {
                "data": {"name": "digits", "scale": "unit"},
                "loss": "softmax_cross_entropy",
            }
        training: dict[str, Any] = {"batch_size": self.batch}
        if self.fixed:
            training["set"] = {"size": self.fixed, "scope": "study", "replacement": True}
        return Study.from_dict(
            {
                "name": self.name,
                "optimum": {"budget": 0},
                "steps": steps,
                "checkpoints": min(self.checkpoints, steps),
                "replicates": replicates,
                "problem": problem,
                "network": {"hidden": list(self.widths[1:-1])},
                "optimizer": self.method,
                "training": training,
                "execution": execution,
            }
        )

    def varied(self, optimizer: str | None, batch: int | None) -> Workload:
        """Return the workload with another method or batch."""
        rates = {"sgd": 0.05, "adagrad": 0.05, "adadelta": 1.0}
        if optimizer not in (None, self.optimizer):
            rate = rates.get(optimizer, 0.01)
            return replace(self, optimizer=optimizer, rate=rate, batch=batch or self.batch)
        return replace(self, batch=batch or self.batch)


WORKLOADS = {
    w.name: w
    for w in (
        Workload("tiny", (1, 4, 1)),
        Workload("wide", (1, 64, 1)),
        Workload("w1", (1, 16, 16, 1)),
        Workload("two", (2, 32, 32, 1), steps=20_000, checkpoints=1, points=128),
        Workload("eight", (8, 64, 64, 1), steps=10_000, checkpoints=1, points=128),
        Workload("big", (8, 128, 128, 1), steps=4_000, checkpoints=1, points=128),
        Workload("fixed", (1, 16, 16, 1), fixed=256),
        Workload("digits", (64, 16, 16, 10), 32, "adam", 0.003, True, 0, 20_000, 1),
    )
}
"""Workloads by name; "w1" is the one that is quoted."""
