"""The tables of an answer in LaTeX, Markdown, HTML or plain text.

The cells are those of the terminal; names of experiments are escaped, whatever they hold.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from rich.console import Console

from jaxsim.errors import unknown
from jaxsim.notebook import html_table as html_of
from jaxsim.questions.answer import Answer
from jaxsim.report.clean import clean
from jaxsim.report.latex import Cells, latex_tables
from jaxsim.report.plot import answer_of
from jaxsim.report.published import (
    published_sentences,
    published_tables,
    published_texts,
)
from jaxsim.report.table import notes, print_whole
from jaxsim.report.table import table as terminal_table
from jaxsim.results.results import Results


def table(source: Results | Answer, form: str = "text") -> str:
    """Return the table of an answer: one row per experiment and event, at the last step.

    Args:
        source: an answer, or results, which are asked what their study asks.
        form: "text", "markdown", "latex" (its first line names the packages it needs) or "html".

    Raises:
        InputError: for an unknown form, or what is no answer.
    """
    if form not in FORMS:
        raise unknown("form", form, FORMS)
    answer = answer_of(source) if isinstance(source, Results) else source
    return FORMS[form](answer)


def cells_of(answer: Answer) -> Cells:
    """Return the cells of the terminal's table."""
    shown = terminal_table(answer)
    columns = [[_plain(cell) for cell in column.cells] for column in shown.columns]
    said = ". ".join(filter(None, [answer.title or answer.name, _plain(shown.title or "")]))
    return Cells(
        title=clean(said),
        heads=[_plain(column.header) for column in shown.columns],
        rows=[list(row) for row in zip(*columns, strict=True)],
        notes=[clean(line) for line in [*answer.contradictions, *notes(answer)]],
    )


def published_cells(answer: Answer) -> list[Cells]:
    """Return the cells of the terminal's tables of published numbers, one for each source."""
    said = [clean(line) for line in published_sentences(answer)]
    tables = [
        Cells(clean(title), heads, rows, [], texts=2)
        for title, heads, rows in published_texts(answer)
    ]
    return [*tables[:-1], replace(tables[-1], notes=said)] if tables else []


def _plain(cell: object) -> str:
    return clean(str(cell))


def latex(answer: Answer) -> str:
    r"""Return the tables for LaTeX; the first line names the packages that they need."""
    return latex_tables([cells_of(answer), *published_cells(answer)])


def markdown(answer: Answer) -> str:
    """Return a table as GitHub, Pandoc and notebooks read it, with a list of its notes."""
    parts = map(_markdown_of, [cells_of(answer), *published_cells(answer)])
    return "\n".join(parts)


def _markdown_of(cells: Cells) -> str:
    def line(row: Sequence[str]) -> str:
        return f"| {' | '.join(map(markdown_text, row))} |"

    sides = "---|" * cells.texts + "---:|" * (len(cells.heads) - cells.texts)
    lines = [line(cells.heads), f"|{sides}"]
    lines += [line(row) for row in cells.rows]
    above = [markdown_text(cells.title), ""] if cells.title else []
    below = ["", *(f"- {markdown_text(note)}" for note in cells.notes)] if cells.notes else []
    return "\n".join([*above, *lines, *below, ""])


def markdown_text(text: str) -> str:
    r"""Return a text that Markdown shows as it is.

    Example:
        >>> markdown_text("a|b*c <i>")
        'a\\|b\\*c \\<i\\>'
    """
    text = re.sub(r"([\\`*_{}\[\]<>()#+|~$^!@-])", r"\\\1", clean(text).replace("&", "&amp;"))
    return re.sub(r"(?<=\d)\\-(?=\d)|(?<=e)\\-(?=\d)", "-", text)


def html_table(answer: Answer) -> str:
    """Return the tables for notebooks."""
    return "\n".join(
        html_of(cells.heads, cells.rows, cells.title, notes=cells.notes, texts=cells.texts)
        for cells in (cells_of(answer), *published_cells(answer))
    )


def text(answer: Answer) -> str:
    """Return the tables of the terminal."""
    console = Console(file=io.StringIO(), width=100, markup=False, emoji=False, record=True)
    print_whole(terminal_table(answer), console)
    lines = [console.export_text().rstrip(), *notes(answer), ""]
    for shown in published_tables(answer):
        print_whole(shown, console)
        lines += [console.export_text().rstrip(), ""]
    return "\n".join(lines)


FORMS: dict[str, Callable[[Answer], str]] = {
    "text": text, "markdown": markdown, "latex": latex, "html": html_table,
}  # fmt: skip
"""Form of a table -> what makes it."""
