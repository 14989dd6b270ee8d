"""One experiment: everything that fixes the law of one training run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from jaxsim.network.network import Network
from jaxsim.optimizer import Optimizer
from jaxsim.optimum.bracket import Bracket
from jaxsim.optimum.hypothesis_class import HypothesisClass
from jaxsim.problem.problem import Problem
from jaxsim.risk import RiskOptions


@dataclass(frozen=True)
class TrainingSet:
    """A finite training set, the source of mini-batches in place of the law of (X, Y).

    Attributes:
        size: number of samples N.
        scope: "replicate": drawn anew for each replicate; "study": drawn once for all.
        distinct: drawn without replacement from the points of a finite input law.
        replacement: mini-batches are independent draws with replacement; otherwise epochs, in each
            of which the samples are shuffled and cut into N // batch_size mini-batches.
        partial: "drop" leaves the rest of an epoch unused; "keep" makes a smaller, last mini-batch
            of it.
        counts: only how often each point of a finite law was drawn is held: the gradient is the
            mean over all samples, whatever their number.
    """

    size: int
    scope: Literal["replicate", "study"] = "replicate"
    distinct: bool = False
    replacement: bool = False
    partial: Literal["drop", "keep"] = "drop"
    counts: bool = False


BatchSize = int | Literal["population", "full"]


@dataclass(frozen=True)
class Experiment:
    """One fully specified experiment.

    Attributes:
        label: how reports name it.
        problem: law of (X, Y), loss and true risk.
        network: N_theta with the law of Theta_0.
        optimizer: the recursion Theta_n = Theta_{n-1} - Phi_n(G_1, ..., G_n).
        batch_size: samples per step; "population" for the exact gradient of the true risk (with
            held-out rows, of the risk over the training rows), "full"
            for all samples of the training set.
        training_set: None for fresh mini-batches from the law of (X, Y).
        steps: last step n.
        checkpoints: steps at which the true risk is recorded, 0 first, `steps` last.
        precision: floating type of the training.
        risk: how the true risk is computed.
        optimum: bracket of the optimal true risk before the study's own best is known.
        seed: the study's seed.
        key_words: what the random numbers derive from besides the seed (see `keys`).
        id: names the experiment's files: sixteen hexadecimal digits of everything that fixes them.
        initialization_key: experiments of equal text share a compiled draw of Theta_0.
        training_key: experiments of equal text share a compiled training program.
        evaluation_key: experiments of equal text share a compiled evaluation program.
        hypothesis_class: experiments of equal text share problem and architecture, hence the
            optimal risk.
        optimum_key: what the optimal risk depends on besides the layers' shapes, whatever the study
            states of it.
        training_structure: experiments of equal text whose optimizers have the same structure share
            a compiled training program, too (see `hyperparameters.program_key`).
        spec: the resolved tables of the study file, for reports.
        error_rate: whether the error rate is recorded beside the risk.
        activation_pattern: whether changes of the activation pattern are recorded beside the risk.
        shared_batches: all replicates, of all experiments of the study, train on one stream of
            mini-batches; what is random is then the initialization alone.
        own_code: whether functions, modules or transformations of the user's own are part of it,
            whose effects no text tells.
        draw_data: numbers that the draw of Theta_0 receives as data, float64, so that laws that
            differ in nothing else share a compiled draw; None for a law without any.
    """

    label: str
    problem: Problem
    network: Network
    optimizer: Optimizer
    batch_size: BatchSize
    training_set: TrainingSet | None
    steps: int
    checkpoints: tuple[int, ...]
    precision: Literal["float32", "float64"]
    risk: RiskOptions
    optimum: Bracket
    seed: int
    key_words: tuple[int, int]
    id: str
    initialization_key: str
    training_key: str
    evaluation_key: str
    hypothesis_class: str
    optimum_key: str
    training_structure: str
    spec: dict[str, Any] = field(repr=False, default_factory=dict)
    error_rate: bool = False
    activation_pattern: bool = False
    shared_batches: bool = False
    own_code: bool = False
    draw_data: np.ndarray | None = field(repr=False, compare=False, default=None)

    @property
    def drawn_from(self) -> Problem:
        """The law that trainings see: without held-out rows that of the risk."""
        return self.problem.trained_on

    @property
    def samples_per_step(self) -> int:
        """Samples of a mini-batch; 0 for gradients of the true risk, which need none."""
        if self.batch_size == "full" and self.training_set is not None:
            return self.rows
        return self.batch_size if isinstance(self.batch_size, int) else 0

    @property
    def rows(self) -> int:
        """Rows of the training set that are held, those of points counted once; 0 without one."""
        points = self.drawn_from.law.finite
        if self.training_set is None:
            return 0
        counted = self.training_set.counts and points is not None
        return len(points[0]) if counted and points is not None else self.training_set.size

    @property
    def hypothesis(self) -> HypothesisClass:
        """What its optimal risk belongs to, and the certificates of it."""
        return HypothesisClass(self.optimum_key, self.problem, self.network)

    def seed_path(self, replicate: int | str) -> str:
        """Return what is folded into the random key of a replicate, from the study's seed on."""
        return "/".join(str(part) for part in (self.seed, *self.key_words, replicate))

    @property
    def dtype(self) -> jnp.dtype:
        """Floating type of the training."""
        return jnp.dtype(self.precision)


def log_spaced(steps: int, count: int = 16) -> tuple[int, ...]:
    """Return about `count` checkpoints: 0, then log-spaced from 1 to `steps`.

    Example:
        >>> log_spaced(1000, 5)
        (0, 1, 10, 100, 1000)
    """
    if steps == 0:
        return (0,)
    spaced = np.unique(np.rint(np.geomspace(1, steps, max(count - 1, 1))).astype(int))
    return (0, *(int(n) for n in spaced[:-1]), steps)
