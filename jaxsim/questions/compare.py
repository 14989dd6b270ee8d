"""Two results of simulations side by side: which fails more often, experiment by experiment.

Experiments are matched by their labels. Where both draw the same random numbers their runs are
pairs, by the index of the replicate (McNemar's exact test); else the samples are independent
(Fisher's exact test, and the difference of Clopper-Pearson limits that hold together).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from jaxsim.digits import interval_text
from jaxsim.errors import InputError
from jaxsim.estimation import Estimate, PairedCounts, clopper_pearson, holm, paired
from jaxsim.estimation.agreement import fisher
from jaxsim.estimation.checks import checked_level
from jaxsim.notebook import html_table
from jaxsim.questions.ask import exceedance, subjects_of
from jaxsim.questions.events import Asked, Event
from jaxsim.questions.pair_tables import Reader, counts_of_pair, tables_of
from jaxsim.questions.pairs import MCNEMAR, shared
from jaxsim.questions.quantities import quantities
from jaxsim.questions.question import Subject
from jaxsim.results.results import Results
from jaxsim.training.experiment import Experiment

FISHER = "Fisher's test"


@dataclass(frozen=True, repr=False)
class Difference:
    """The failure probabilities of one experiment in two results, at one event and the last step.

    Attributes:
        experiment: label.
        event: what it means that a run fails.
        steps: last steps, of the first and the second results.
        failures: runs that certainly fail, of each.
        undecided: runs of which it is not known, of each.
        runs: of each; of pairs those that both have.
        difference: of the failure probabilities, first minus second; failures / runs.
        lower: lower end of its interval.
        upper: upper end.
        confidence: of the interval, for itself.
        shared: what the runs have in common: "initializations and mini-batches", ...; empty if they
            are independent.
        test: of equal probabilities: McNemar's exact one for pairs, else Fisher's.
        p: its P value, the greatest that undecided runs allow.
        p_holm: adjusted for all rows (Holm).
        differ: whether it is at most 1 - confidence.
    """

    experiment: str
    event: Event
    steps: tuple[int, int]
    failures: tuple[int, int]
    undecided: tuple[int, int]
    runs: tuple[int, int]
    difference: float
    lower: float
    upper: float
    confidence: float
    shared: str
    test: str
    p: float
    p_holm: float = 1.0
    differ: bool = False

    def __repr__(self) -> str:
        """Return the difference with its interval, on one line."""
        return f"Difference({', '.join(self.cells[:3])}, {', '.join(self.cells[5:])})"

    @property
    def cells(self) -> list[str]:
        """Texts of a row of a table."""
        middle, low, high = interval_text(self.difference, self.lower, self.upper)
        counts = [
            f"{failed:,} of {runs:,}" + (f" (+ {open_:,})" if open_ else "")
            for failed, runs, open_ in zip(self.failures, self.runs, self.undecided, strict=True)
        ]
        return [
            self.experiment,
            self.event.short,
            f"{middle} [{low}, {high}]",
            *counts,
            f"P = {self.p_holm:.2g}",
            "differ" if self.differ else "not separated",
            f"pairs: {self.shared}" if self.shared else "independent runs",
        ]


@dataclass(frozen=True, repr=False)
class Differences:
    """Two results side by side.

    Attributes:
        rows: for every experiment that both have, and every event.
        only_first: labels that only the first results have.
        only_second: labels that only the second results have.
        notes: what a reader should know.
    """

    rows: tuple[Difference, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Difference]:
        """Iterate over the rows."""
        return iter(self.rows)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __repr__(self) -> str:
        """Return a table of text."""
        table = [_HEADS, *(row.cells for row in self.rows)]
        widths = [max(len(row[k]) for row in table) for k in range(len(_HEADS))]
        lines = [
            "  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip()
            for row in table
        ]
        return "\n".join([*lines, *self._said])

    def _repr_html_(self) -> str:
        """Return a table for notebooks."""
        return html_table(_HEADS, [row.cells for row in self.rows], notes=self._said, texts=2)

    @property
    def _said(self) -> list[str]:
        alone = (("first", self.only_first), ("second", self.only_second))
        missing = [f"only in the {name} results: {'; '.join(a)}" for name, a in alone if a]
        return [*missing, *self.notes]


_HEADS = [
    "experiment", "event", "difference", "first fails", "second fails", "adjusted", "", "runs",
]  # fmt: skip


def compare(first: Results, second: Results, eps: Asked, confidence: float = 0.95) -> Differences:
    """Compare the failure probabilities of two results at the last step.

    Args:
        first: results.
        second: results; experiments are matched by their labels.
        eps: thresholds above the optimal risk, or a table of events as in a study.
        confidence: of each interval, for itself, and of the tests together.

    Raises:
        InputError: if the results have no label in common or a design other than the plain one, or
            as `jaxsim.analyse`.

    Example:
        ```
        narrow = jaxsim.simulate("quickstart", replicates=256)
        wide = jaxsim.simulate(jaxsim.Study.load("quickstart", ["network.hidden=[8]"]))
        jaxsim.compare(narrow, wide, eps=0.05)
        ```
    """
    checked_level(confidence, "confidence")
    both = [{e.label: e for e in results.experiments} for results in _checked(first, second)]
    common = [label for label in both[0] if label in both[1]]
    if not common:
        raise InputError(
            "the results have no experiment in common; accepted: results with equal labels, such "
            f"as {next(iter(both[0]))!r} and not {next(iter(both[1]))!r}"
        )
    estimates = [_by_label(exceedance(r, eps, confidence)) for r in (first, second)]
    subjects = [
        {s.experiment.label: s for s in subjects_of(r, eps, confidence)[0]} for r in (first, second)
    ]
    rows, notes = [], []
    for label in common:
        a, b = both[0][label], both[1][label]
        pairs = _pairs(first, a, second, b, (subjects[0][label], subjects[1][label]))
        if a.steps != b.steps:
            notes.append(f"{label}: after {a.steps:,} and after {b.steps:,} steps")
        if a.hypothesis_class != b.hypothesis_class:
            notes.append(f"{label}: each against the optimal risk of its own problem and network")
        for g, (x, y) in enumerate(zip(estimates[0][label], estimates[1][label], strict=True)):
            event = Event(x.event, x.eps)
            if pairs is not None and pairs[g].runs:
                rows.append(_paired(a, b, event, pairs[g], confidence))
            elif x.runs and y.runs and pairs is None:
                rows.append(_independent(a, b, event, x, y, confidence))
            elif g == 0:
                notes.append(f"{label}: no runs to compare")
    if any(not row.shared for row in rows):
        notes.append(
            "independent runs: intervals from both Clopper-Pearson intervals, guaranteed and wide; "
            "what differs is said by Fisher's exact test"
        )
    adjusted = holm([row.p for row in rows]) if rows else []
    told = [
        replace(row, p_holm=float(p), differ=bool(p <= 1 - confidence))
        for row, p in zip(rows, adjusted, strict=True)
    ]
    only = (tuple(x for x in m if x not in o) for m, o in (both, both[::-1]))
    first_alone, second_alone = only
    return Differences(tuple(told), first_alone, second_alone, tuple(dict.fromkeys(notes)))


def _by_label(estimates: Sequence[Estimate]) -> dict[str, list[Estimate]]:
    rows: dict[str, list[Estimate]] = {}
    for one in estimates:
        rows.setdefault(one.experiment, []).append(one)
    return rows


def _checked(first: Results, second: Results) -> tuple[Results, Results]:
    for results in (first, second):
        if not isinstance(results, Results):
            raise InputError(
                f"results = {type(results).__name__} is not accepted: it should be what "
                "`jaxsim.simulate` returns"
            )
        if not all(results.design(e).plain for e in results.experiments):
            raise InputError(
                f"results of {str(results.store.directory)!r} have a design other than the plain "
                "one; accepted: results of the plain design, or experiments of one study, which "
                "the report compares"
            )
    return first, second


def _pairs(
    first: Results, a: Experiment, second: Results, b: Experiment, of: tuple[Subject, Subject]
) -> list[PairedCounts] | None:
    """Return the outcomes of pairs for each event; None if the runs are independent."""
    if (a.seed, a.key_words) != (b.seed, b.key_words):
        return None
    readers = [
        Reader(results, results.design(e).strata[0]) for results, e in ((first, a), (second, b))
    ]
    tables = tables_of(readers, [quantities(subject) for subject in of])
    return [counts_of_pair(table, 0, 1) for table in tables]


def _paired(
    a: Experiment, b: Experiment, event: Event, counts: PairedCounts, confidence: float
) -> Difference:
    one = paired.compare(counts, confidence)
    fails = counts.both + counts.only_first, counts.both + counts.only_second
    same = (a.id, a.steps) == (b.id, b.steps)
    return Difference(
        experiment=a.label,
        event=event,
        steps=(a.steps, b.steps),
        failures=fails,
        undecided=(counts.undecided, counts.undecided),
        runs=(counts.runs, counts.runs),
        difference=one.difference,
        lower=one.lower,
        upper=one.upper,
        confidence=confidence,
        shared="the same runs" if same else shared(a, b),
        test=MCNEMAR,
        p=one.p_exact,
    )


def _independent(
    a: Experiment, b: Experiment, event: Event, x: Estimate, y: Estimate, confidence: float
) -> Difference:
    """Return the difference of independent samples.

    Both Clopper-Pearson intervals hold together with `confidence` if each does with its root.
    """
    each = math.sqrt(confidence)
    ends = [
        (
            float(clopper_pearson(e.failures, e.runs, each)[0]),
            float(clopper_pearson(e.failures + e.undecided, e.runs, each)[1]),
        )
        for e in (x, y)
    ]
    counts = [(e.failures, e.failures + e.undecided) for e in (x, y)]
    return Difference(
        experiment=a.label,
        event=event,
        steps=(a.steps, b.steps),
        failures=(x.failures, y.failures),
        undecided=(x.undecided, y.undecided),
        runs=(x.runs, y.runs),
        difference=x.estimate - y.estimate,
        lower=ends[0][0] - ends[1][1],
        upper=ends[0][1] - ends[1][0],
        confidence=confidence,
        shared="",
        test=FISHER,
        p=fisher(counts[0], x.runs, counts[1], y.runs),
    )
