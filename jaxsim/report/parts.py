"""A probability under a design in its three parts, which no view mixes.

proved      without any run: strata all of whose runs fail by proof
resolved    by runs, or by families of clones, of the other strata
unresolved  what the runs leave open: strata without runs, and those without a failure among them
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jaxsim.estimation import Estimate
from jaxsim.questions.answer import ExperimentAnswer
from jaxsim.questions.design import StratumAnswer
from jaxsim.report.text import counted, interval_text, lower_text, up

PARTS = ("proved", "resolved", "unresolved")
"""Headings of the parts in tables."""


def shows_parts(done: Sequence[ExperimentAnswer]) -> bool:
    """Return whether any experiment has a design, and so a probability of three parts."""
    return any(e.design is not None for e in done)


def part_cells(one: Estimate) -> tuple[str, str, str]:
    """Return the parts of a probability for the cells of a table: bounds below and above."""
    if one.design == "plain":
        return "", "", ""
    return lower_text(one.provable), f"{one.resolved:.3g}", up(one.unresolved, 2)


def part_texts(one: Estimate) -> str:
    """Return the parts of a probability in words.

    Example: "9.09e-13 is proved without any run; 3.2e-13 (1.1e-13 to 8.4e-13) is resolved by 12,000
    runs; at most 0.00037 is unresolved".
    """
    by = counted(one.runs, "run") if one.runs or not one.families else ""
    if one.families:
        clones = f"{one.families:,} famil{'y' if one.families == 1 else 'ies'} of clones"
        by = f"{by} and {clones}" if by else clones
    middle, low, high = interval_text(one.resolved, one.resolved_lower, one.resolved_upper, True)
    resolved = f"{middle} ({low} to {high}) is resolved by {by}"
    if one.open:
        # An estimate below what is unresolved would be read as an answer.
        resolved = f"at least {low} is resolved by {by}"
    proved = "nothing" if one.provable == 0 else lower_text(one.provable)
    left = f"at most {up(one.unresolved, 2)}" if one.unresolved else "nothing"
    return f"{proved} is proved without any run; {resolved}; {left} is unresolved"


def stratum_row(stratum: StratumAnswer, g: int) -> dict[str, str]:
    """Return the cells of a stratum in the table of strata, for one event.

    Args:
        stratum: of the design.
        g: place of the event.
    """
    share, product = stratum.share(g), stratum.product(g)
    interval = ""
    if stratum.decided[g]:
        said = "fails by proof"
    elif stratum.doubts[g]:
        said = f"unresolved: {stratum.doubts[g]}"
    else:
        said = "" if share is None else f"{share:.3g}"
        if stratum.runs and not stratum.families:
            ends = interval_text(share or 0.0, stratum.lower[g], stratum.upper[g], True)
            interval = f"{ends[1]} to {ends[2]}"
    return {
        "text": stratum.text,
        "probability": f"{stratum.probability:.3g}",
        "width": "" if stratum.width is None else f"{stratum.width:,}",
        "runs": f"{stratum.runs:,}",
        "families": f"{stratum.families:,}",
        "failures": f"{stratum.failures[g]:,}",
        "share": said or "not sampled",
        "interval": interval,
        "product": "" if product is None else f"{product:.3g}",
    }


def design_notes(done: Sequence[ExperimentAnswer]) -> Iterator[str]:
    """Yield what a reader of the table should know of each design."""
    groups: dict[str, list[str]] = {}
    for e in done:
        if e.design is not None:
            groups.setdefault(_design(e), []).append(e.label)
    for text, labels in groups.items():
        yield text if len(labels) == len(done) else f"{'; '.join(labels)}: {text}"
    if groups:
        yield (
            "proved: probability of the strata that fail by proof; resolved: estimate from runs of "
            "other strata; unresolved: what runs leave open, at most"
        )
        yield (
            "failed, div. and und. count runs of the sampled strata; P counts each stratum with "
            "its probability"
        )
    if any(row[-1].families for e in done for row in e.exceedance.estimates):
        yield (
            "families of clones count in the probabilities of the events that are asked for; the "
            "band, quantiles and all counts are those of the runs that were not split"
        )
    if any(e.design is not None and e.design.one_sample for e in done):
        yield (
            "post-stratified: an interval that is guaranteed spends nine tenths of its error on "
            "all runs as one sample and a tenth on the strata, whatever the runs show; pairs are "
            "compared as they are, without strata"
        )


def _design(e: ExperimentAnswer) -> str:
    assert e.design is not None
    strata = e.design.strata
    sampled = sum(stratum.runs > 0 or stratum.families > 0 for stratum in strata)
    text = f"design: {e.design.name}, {sampled} of {counted(len(strata), 'stratum')} sampled"
    text = text.replace("stratums", "strata")
    if e.design.name == "splitting" and not any(stratum.families for stratum in strata):
        text += "; no families of clones, as runs see the failures that matter"
    return f"{text}; {e.design.note}" if e.design.note else text
