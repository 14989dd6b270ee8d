"""Published numbers beside measured ones: tables, sentences, rows for files and page."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from jaxsim.questions.answer import Answer
from jaxsim.questions.published import PublishedComparison
from jaxsim.report.text import counted, interval_text, joined

if TYPE_CHECKING:  # loaded when a table is written: runs need none
    import pandas as pd

MOST_SAID = 8
"""Published numbers that a sentence names."""
STYLES = {"agrees": "green", "differs": "bold red", "undecided": "yellow", "not measured": "dim"}


def shows_published(answer: Answer) -> bool:
    """Return whether any published number was measured."""
    return any(one.verdict != "not measured" for one in answer.published)


def measured_text(one: PublishedComparison) -> str:
    """Return the measured number with its interval, a level with nine digits."""
    if one.estimate is None:
        return "-"
    if one.p is None:
        return f"{one.estimate:.9g}"
    if not math.isfinite(one.estimate):
        return "infinite"
    assert one.lower is not None
    assert one.upper is not None
    return "{} [{}, {}]".format(*interval_text(one.estimate, one.lower, one.upper))


def published_text(one: PublishedComparison) -> str:
    """Return the published number as printed, a count with its share and interval."""
    share = one.published.partition(" of ")[0].replace(",", "")
    if one.kind == "mean" and one.published_upper > one.published_lower and one.published_runs:
        ends = interval_text(one.published_lower, one.published_lower, one.published_upper)[1:]
        return "{} [{}, {}]".format(one.published, *ends)
    if one.kind != "probability" or one.published_runs is None or not share.isdigit():
        return one.published
    ends = interval_text(int(share) / one.published_runs, one.published_lower, one.published_upper)
    return "{}: {} [{}, {}]".format(one.published, *ends)


def published_rows(answer: Answer) -> list[dict[str, str]]:
    """Return the published numbers as text, those that were not measured, too."""
    return [
        {
            "source": one.source,
            "place": one.place,
            "experiment": one.experiment,
            "quantity": one.quantity,
            "published": published_text(one),
            "measured": measured_text(one),
            "runs": f"{one.runs:,}" if one.runs else "-",
            "P": "-" if one.p_holm is None else f"{one.p_holm:.2g}",
            "verdict": one.verdict,
            "discussion": one.discussion,
        }
        for one in answer.published
    ]


Texts = tuple[str, list[str], list[list[str]]]


def published_texts(answer: Answer) -> list[Texts]:
    """Return title, heads and rows of the tables of what was measured, one for each source.

    An experiment is named in its first row.
    """
    heading = f"measured ({100 * answer.confidence:.12g} %)"
    heads = ["experiment", "quantity", "published", heading, "P (Holm)", "verdict"]
    names = ("experiment", "quantity", "published", "measured", "P", "verdict")
    tables: dict[str, list[list[str]]] = {}
    last: dict[str, str] = {}
    for row, one in zip(published_rows(answer), answer.published, strict=True):
        if one.verdict == "not measured":
            continue
        cells = [row[name] for name in names]
        if last.get(one.source) == one.experiment:
            cells[0] = ""
        last[one.source] = one.experiment
        tables.setdefault(one.source, []).append(cells)
    return [
        (f"published, {source}" if source else "published numbers", heads, rows)
        for source, rows in tables.items()
    ]


def published_tables(answer: Answer) -> list[Table]:
    """Return the tables of what was measured, one for each source."""
    return [_table(*texts) for texts in published_texts(answer)]


def _table(title: str, heads: list[str], rows: list[list[str]]) -> Table:
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    shown.title = Text(title)
    shown.title_justify = "left"
    shown.add_column(heads[0], overflow="fold", min_width=10)
    shown.add_column(heads[1], overflow="fold", min_width=12)
    for name in heads[2:]:
        shown.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        cells = [Text(cell) for cell in row]
        cells[-1].stylize(STYLES[row[-1]])
        shown.add_row(*cells)
    return shown


def published_sentences(answer: Answer) -> list[str]:
    """Return how many published numbers agree, which differ, and what is said about those."""
    if not answer.published:
        return []
    measured = [one for one in answer.published if one.verdict != "not measured"]
    missing = len(answer.published) - len(measured)
    if not measured:
        return [
            f"None of the {counted(missing, 'published number')} of this study is of an "
            "experiment, step or level that was run."
        ]
    counts = Counter(one.verdict for one in measured)
    verbs = {"agrees": "agree", "differs": "differ", "undecided": "are undecided"}
    single = {"agrees": "agrees", "differs": "differs", "undecided": "is undecided"}
    parts = [
        f"{counts[v]:,} {(single if counts[v] == 1 else verbs)[v]}" for v in verbs if counts[v]
    ]
    tested = sum(one.p is not None for one in measured)
    loose = sum(one.p is not None and "approximate" in one.test for one in measured)
    alarm = f"{100 * (1 - answer.confidence):.3g} %"
    among = f"with a false alarm among them in at most {alarm}"
    exact = all(one.p is None or one.test.startswith(("Fisher", "exact")) for one in measured)
    how = f" ({counted(tested, 'exact test' if exact else 'test')}, {among})" if tested else ""
    if loose:
        how = f" ({counted(tested, 'test')}, {loose:,} of them approximate, {among} if these hold)"
    lines = [
        f"Of {counted(len(measured), 'published number')} that were measured here, "
        f"{joined(parts)}{how}."
    ]
    if missing:
        verb = "is" if missing == 1 else "are"
        lines[0] += f" {missing:,} more {verb} of experiments, steps or levels that were not run."
    lines += [_difference(one) for one in measured if one.verdict == "differs"][:MOST_SAID]
    if counts["undecided"]:
        lines.append(
            "Undecided: no difference is found, but the intervals leave one larger than the stated "
            "tolerance open; more runs decide."
        )
    said: dict[str, list[str]] = {}
    for one in measured:
        if one.discussion and one.verdict != "differs":
            said.setdefault(one.discussion, []).append(_named(one))
    lines += [f"{_first(names)}: {text}" for text, names in said.items()][:MOST_SAID]
    return lines


def _first(names: list[str]) -> str:
    """Return the name of the first number that something is said of, and how many others are."""
    if len(names) == 1:
        return names[0]
    return f"{names[0]}, and {counted(len(names) - 1, 'other')}"


def _difference(one: PublishedComparison) -> str:
    why = one.discussion or "no reason for it is known."
    return f"{_named(one)}: {measured_text(one)} here, {published_text(one)} published: {why}"


def _named(one: PublishedComparison) -> str:
    return f"{one.experiment}, {one.quantity}"


def published_frame(answer: Answer) -> pd.DataFrame:
    """Return one row per published number, in the study's order."""
    import pandas as pd

    return pd.DataFrame([one.model_dump() for one in answer.published])
