"""Tables for notebooks: HTML in which nothing that a stranger wrote is a tag."""

from __future__ import annotations

import html
from collections.abc import Sequence

from jaxsim.errors import shown

MOST_SHOWN = 60
"""Experiments in the table of a study or of results."""


def html_table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    title: str = "",
    count: int | None = None,
    notes: Sequence[str] = (),
    texts: int = 1,
) -> str:
    """Return a table in HTML, every text escaped.

    Args:
        heads: of the columns, [C].
        rows: texts, [R][C].
        title: above it.
        count: rows that there are, if these are the first of them.
        notes: below it, folded.
        texts: number of its first columns that hold texts: they are set to the left.

    Example:
        >>> "&lt;b&gt;" in html_table(["name"], [["<b>"]])
        True
    """

    def line(tag: str, row: Sequence[str]) -> str:
        sides = ("left",) * texts + ("right",) * (len(row) - texts)
        cells = [
            f'<{tag} style="text-align: {side}">{html.escape(shown(text))}</{tag}>'
            for side, text in zip(sides, row, strict=True)
        ]
        return f"<tr>{''.join(cells)}</tr>"

    parts = [f"<p>{html.escape(shown(title))}</p>"] if title else []
    parts += ["<table>", f"<thead>{line('th', heads)}</thead>", "<tbody>"]
    parts += [line("td", row) for row in rows]
    parts += ["</tbody>", "</table>"]
    if count is not None and count > len(rows):
        parts.append(f"<p>the first {len(rows):,} of {count:,}</p>")
    if notes:
        items = "".join(f"<li>{html.escape(shown(note))}</li>" for note in notes)
        parts.append(f"<details><summary>notes</summary><ul>{items}</ul></details>")
    return "\n".join(["<div>", *parts, "</div>"])
