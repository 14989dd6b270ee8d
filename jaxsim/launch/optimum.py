"""The optimal risks of a study by themselves: searched, verified, and as plain data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from jaxsim.launch.directory import peek
from jaxsim.launch.searches import Search, Stoppable, planned_searches, run_searches
from jaxsim.launch.simulate import open_results
from jaxsim.optimum.bracket import Bracket
from jaxsim.optimum.hypothesis_class import HypothesisClass
from jaxsim.optimum.levels import MOST_LEVELS, levels
from jaxsim.optimum.optimal_risk import optimal_risk
from jaxsim.optimum.solve import Certificates, InMemory, solution, why_not_below
from jaxsim.questions.data import OptimumAnswer
from jaxsim.questions.hierarchy import HierarchyAnswer, OptimaAnswer, WidthAnswer
from jaxsim.questions.optimum import holds_constants, optima, risk_rules
from jaxsim.results.certificates import CertificateFiles
from jaxsim.results.results import Results
from jaxsim.risk.constants import best_constant_risk
from jaxsim.study.study import Study
from jaxsim.training.experiment import Experiment


def find_optima(
    study: Study,
    directory: str | Path | None,
    seconds: float,
    announce: Callable[[str], None] = lambda text: None,
    stopped: Callable[[], bool] = lambda: False,
) -> OptimaAnswer:
    """Search for bounds of a study's optimal risks and return what is known.

    Args:
        study: whose problems and networks.
        directory: of its results, or a new one, in which certificates are kept and found; None to
            keep none.
        seconds: of all searches together; 0 to look at what there is.
        announce: told what goes wrong.
        stopped: asked whether to search no further.

    Raises:
        InputError: if the directory holds another study, or cannot be written.
    """
    bound = None if directory is None else peek(study, directory)
    certificates = InMemory() if directory is None else CertificateFiles(directory)
    searches = [_for_a_picture(search) for search in planned_searches(study, below=False)]
    if seconds > 0:
        run_searches(searches, certificates, Stoppable(seconds, stopped), announce)
    return _optima(study, None if bound is None else open_results(bound), certificates, seconds)


def known_optima(study: Study, results: Results) -> OptimaAnswer:
    """Return what is known of a study's optimal risks from its results and their certificates.

    Raises:
        InputError: for a damaged shard.
    """
    return _optima(study, results, CertificateFiles(results.store.directory), 0.0)


def _optima(
    study: Study, results: Results | None, certificates: Certificates, seconds: float
) -> OptimaAnswer:
    known = _known(study, results)
    groups: dict[object, list[Experiment]] = {}
    for e in study.experiments:
        groups.setdefault(_chain(e), []).append(e)
    return OptimaAnswer(
        name=study.spec.name,
        title=study.spec.title,
        budget=seconds,
        hierarchies=[_hierarchy(group, known, certificates) for group in groups.values()],
    )


class _Picture(Search):
    """A search that goes on until there is a network, where the value is known without one."""

    @property
    def known(self) -> Bracket:
        """What is known of the lower end."""
        bracket = super().known
        return Bracket(bracket.lowers) if self.of.network.inputs == 1 else bracket


def _for_a_picture(one: Search) -> Search:
    return _Picture(one.of, one.label, one.own) if one.own else one


def _chain(e: Experiment) -> object:
    """Return what experiments have in common whose networks differ in the first width only."""
    first, *others = e.network.hidden or (0,)
    shapes = [(s.biases is not None, s.multiplier) for s in e.network.layer_specs]
    return (
        e.optimum_key,
        tuple(others),
        tuple(shapes),
        bool(first),
        str(e.spec["problem"]["optimum"]),
    )


def _with_constants(e: Experiment) -> Bracket:
    """Return what is known at once, the best constant included where the network can be it."""
    if e.optimum.upper.value < math.inf or e.problem.loss.best is None:
        return e.optimum
    if not holds_constants(e.network):
        return e.optimum
    best = best_constant_risk(e.problem, e.risk)
    return e.optimum.with_risk(best.value, best.error, best.evidence, best.reason)


def _known(study: Study, results: Results | None) -> dict[str, Bracket]:
    """Return what is known before certificates, by hypothesis class: the best runs included."""
    known = {e.hypothesis_class: _with_constants(e) for e in study.experiments}
    if results is not None:
        rules = risk_rules(results.experiments)
        known |= {name: optimum.bracket for name, optimum in optima(results, rules).items()}
    return known


def _hierarchy(
    group: Sequence[Experiment], known: dict[str, Bracket], certificates: Certificates
) -> HierarchyAnswer:
    widest = max(group, key=lambda e: e.network.hidden[:1])
    by_width = {e.network.hidden[:1]: e for e in group}
    of, before = widest.hypothesis, known[widest.hypothesis_class]
    solved = solution(of, before, certificates)
    bracket = solved.added_to(before)
    narrower = levels(
        of,
        bracket,
        certificates,
        lambda: best_constant_risk(widest.problem, widest.risk),
        below=False,
    )
    remarks = [*solved.remarks, *narrower.remarks]
    brackets = narrower.brackets or (bracket,)
    first = len(of.network.hidden[:1]) and of.network.hidden[0]
    counts = range(first - len(brackets) + 1, first + 1)
    rows = []
    for m, bracket_of in zip(counts, brackets, strict=True):
        if m > MOST_LEVELS and (m,) not in by_width:
            continue
        experiment = by_width.get((m,))
        if experiment is not None:
            bracket_of = _with(bracket_of, known[experiment.hypothesis_class])
        rows.append(_row(of, m, bracket_of, certificates))
    return HierarchyAnswer(
        experiments=[e.label for e in group],
        widths=rows,
        remarks=list(dict.fromkeys(remarks)),
        over=widest.problem.over,
    )


def _with(bracket: Bracket, more: Bracket) -> Bracket:
    return Bracket((*more.lowers, *bracket.lowers), (*more.uppers, *bracket.uppers))


def _row(of: HypothesisClass, m: int, bracket: Bracket, certificates: Certificates) -> WidthAnswer:
    hidden = [m, *of.network.hidden[1:]] if of.network.hidden else []
    theta, unfinished = None, False
    if m > 0 or not hidden:
        narrow = of.with_first_width(m) if hidden else of
        solved = solution(narrow, optimal_risk(narrow.problem, narrow.network), certificates)
        theta, unfinished = solved.bounds.theta, bool(solved.unfinished)
    return WidthAnswer(
        neurons=m if hidden else None,
        hidden=hidden,
        optimum=OptimumAnswer.of(bracket, why_not_below(of)),
        parameters=None if theta is None else [float(value) for value in theta],
        unfinished=unfinished,
    )
