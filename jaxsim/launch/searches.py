"""Searches for bounds of inf L: tasks of the plan that run beside the shards, never at load.

A process that works on a study has one thread for its part of them. They have a budget of seconds,
`optimum.budget`; what it cuts short is kept, as far as it got, and the next `run` goes on. Narrower
networks' searches give the hierarchy R*(m). When all runs are there, the best of them are offered
to the strategies as starting points.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import jax

from jaxsim.errors import InputError
from jaxsim.launch.deadline import Deadline
from jaxsim.launch.layout import core_seconds
from jaxsim.optimum.bracket import Bracket
from jaxsim.optimum.hypothesis_class import HypothesisClass
from jaxsim.optimum.levels import searched_levels
from jaxsim.optimum.optimal_risk import optimal_risk
from jaxsim.optimum.solve import Certificates, search, solution, strategies_for
from jaxsim.optimum.strategy import Budget
from jaxsim.study.spec import MOST_SECONDS
from jaxsim.study.study import Study

PART = 20.0
"""A study's searches take one of so many parts of its own time,"""
LEAST_SECONDS = 10.0
"""and at least so long, for each process that works on it."""
LEAST_WAIT = 3.0
"""When the runs are done before, a search is waited for until so many seconds after its start."""
OWN_WEIGHT = 4.0
"""What the class of an experiment gets of the time, when a narrower one gets 1."""


@dataclass(frozen=True)
class Search:
    """The search for bounds of one hypothesis class.

    Attributes:
        of: the class.
        label: of an experiment that it is for.
        own: whether it is that experiment's class, not a narrower one of its hierarchy.
        below: whether only lower bounds are of interest.
    """

    of: HypothesisClass
    label: str
    own: bool
    below: bool = False

    @property
    def known(self) -> Bracket:
        """What needs no search, what the study states aside: certificates do not rest on it."""
        return optimal_risk(self.of.problem, self.of.network)

    @property
    def weight(self) -> float:
        """Its part of the time."""
        return OWN_WEIGHT if self.own else 1.0


def planned_searches(study: Study, below: bool = True) -> list[Search]:
    """Return the searches of a study, the experiments' own classes first, each class once.

    Args:
        study: that is searched for.
        below: whether narrower networks are searched for lower bounds only, the basis of what is
            said of failures.
    """
    classes = {e.hypothesis.key: e for e in reversed(study.experiments)}
    experiments = [e for e in study.experiments if classes[e.hypothesis.key] is e]
    own_searches = [
        Search(e.hypothesis, e.label, True) for e in experiments if strategies_for(e.hypothesis)
    ]
    by_class = {search.of.key: search for search in own_searches}
    for experiment in experiments:
        for narrow in searched_levels(experiment.hypothesis, below):
            by_class.setdefault(narrow.key, Search(narrow, experiment.label, False, below))
    return list(by_class.values())


def open_searches(study: Study, certificates: Certificates) -> list[Search]:
    """Return the planned searches that are not at their end; none if the study has no time for any.

    Args:
        study: that is searched for.
        certificates: what searches have left so far, each verified.
    """
    if search_seconds(study) <= 0:
        return []
    return [
        planned
        for planned in planned_searches(study)
        if solution(planned.of, planned.known, certificates, planned.below).unfinished
    ]


def search_seconds(study: Study) -> float:
    """Return the seconds that a process has for its searches."""
    stated = study.spec.optimum.budget
    return max(LEAST_SECONDS, core_seconds(study) / PART) if stated is None else stated


def wait_seconds(study: Study) -> float:
    """Return after how many seconds searches end if the runs beside them are done by then.

    A budget that the study states is spent in any case.
    """
    stated = study.spec.optimum.budget
    return max(LEAST_WAIT, core_seconds(study) / PART) if stated is None else stated


def checked_seconds(budget: float) -> float:
    """Return a budget of the command line after checking it.

    Raises:
        InputError: for what is no number of seconds.
    """
    if not 0 <= budget <= MOST_SECONDS:
        raise InputError(
            f"--budget {budget!r} is not accepted; accepted: seconds, 0 to {MOST_SECONDS:.3g}"
        )
    return budget


class Stoppable(Budget):
    """A budget that ends early when somebody asks to stop."""

    def __init__(self, seconds: float, stopped: Callable[[], bool] = lambda: False) -> None:
        super().__init__(seconds)
        self.stopped = stopped

    @property
    def left(self) -> float:
        """Seconds left, none after a request to stop."""
        return 0.0 if self.stopped() else super().left

    def at_most(self, seconds: float) -> Budget:
        """Return a budget of so many seconds, or of what is left if that is less."""
        return Stoppable(min(self.left, seconds), self.stopped)


def run_searches(
    searches: Sequence[Search],
    certificates: Certificates,
    budget: Budget,
    announce: Callable[[str], None] = lambda text: None,
) -> None:
    """Run searches one after the other; what one leaves of its time is for the others.

    Args:
        searches: in the order of their importance.
        certificates: where they are kept.
        budget: of all together.
        announce: told what went wrong: a search that fails costs no results.

    Raises:
        InputError: if certificates cannot be written.
    """
    with _on_cpu():
        for place, planned in enumerate(searches):
            left = sum(other.weight for other in searches[place:])
            try:
                part = budget.share(planned.weight / left)
                search(
                    planned.of,
                    planned.known,
                    certificates,
                    part,
                    announce=announce,
                    below=planned.below,
                )
            except InputError:
                raise
            except Exception as error:
                announce(
                    f"a search for inf L of {planned.label} failed "
                    f"({type(error).__name__}: {error}); "
                    "what was known before stands"
                )


@contextmanager
def _on_cpu() -> Iterator[None]:
    """Compute on the host: the accelerator trains, if there is one."""
    try:
        device = jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS leaves the host out
        yield
        return
    with jax.default_device(device):
        yield


@contextmanager
def searching(
    searches: Sequence[Search],
    certificates: Certificates,
    seconds: float,
    deadline: Deadline,
    announce: Callable[[str], None] = lambda text: None,
    after: Callable[[], None] = lambda: None,
    wait: float = math.inf,
) -> Iterator[None]:
    """Run searches in a thread beside what is done inside; leave when both are done.

    Args:
        searches: of this process.
        certificates: where they are kept.
        seconds: for all of them.
        deadline: of the process.
        announce: told what goes wrong.
        after: called when what is inside is done and a search still goes on.
        wait: seconds after which the searches end if what is inside is done by then.

    Raises:
        InputError: if certificates cannot be written.
    """
    if not searches or seconds <= 0:
        yield
        return
    failures: list[BaseException] = []
    began, done = time.monotonic(), threading.Event()

    def stopped() -> bool:
        return deadline.passed() or (done.is_set() and time.monotonic() - began >= wait)

    def run() -> None:
        try:
            run_searches(searches, certificates, Stoppable(seconds, stopped), announce)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
        done.set()
        if thread.is_alive() and not stopped():
            after()
        while thread.is_alive():
            thread.join(timeout=0.2)
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        deadline.stop("interrupted" if interrupted else "failed")
        thread.join(timeout=30)
        raise
    if failures:
        raise failures[0]
