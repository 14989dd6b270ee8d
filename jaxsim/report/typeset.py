"""The table of an answer in LaTeX, Markdown, HTML or plain text.

The cells are those of the terminal; names of experiments are escaped, whatever they hold.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console

from jaxsim.errors import unknown
from jaxsim.notebook import html_table as html_of
from jaxsim.questions.answer import Answer
from jaxsim.report.clean import clean
from jaxsim.report.plot import answer_of
from jaxsim.report.table import notes, print_whole
from jaxsim.report.table import table as terminal_table
from jaxsim.results.results import Results


@dataclass(frozen=True)
class Cells:
    """A table of texts.

    Attributes:
        title: above it, perhaps empty.
        heads: of the columns, [C].
        rows: [R][C]; the first cell of a row that goes on with an experiment is empty.
        notes: below it.
    """

    title: str
    heads: list[str]
    rows: list[list[str]]
    notes: list[str]


def table(source: Results | Answer, form: str = "text") -> str:
    """Return the table of an answer: one row per experiment and event, at the last step.

    Args:
        source: an answer, or results, which are asked what their study asks.
        form: "text", "markdown", "latex" (needs booktabs) or "html".

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


def _plain(cell: object) -> str:
    return clean(str(cell))


def latex(answer: Answer) -> str:
    r"""Return a table for \usepackage{booktabs}, with its notes in small letters."""
    cells = cells_of(answer)
    lines = [
        "% \\usepackage{booktabs}",
        "\\begin{table}",
        "  \\centering",
        f"  \\caption{{{latex_text(cells.title)}}}",
        f"  \\begin{{tabular}}{{l{'r' * (len(cells.heads) - 1)}}}",
        "    \\toprule",
        f"    {' & '.join(map(latex_text, cells.heads))} \\\\",
        "    \\midrule",
    ]
    for place, row in enumerate(cells.rows):
        if row[0] and place:
            lines.append("    \\addlinespace")
        numbers = [_powers(latex_text(cell)) for cell in row[1:]]
        # The braces: LaTeX would take a bracket after the end of a line for an option of it.
        lines.append(f"    {{{latex_text(row[0])}}} & {' & '.join(numbers)} \\\\")
    lines += ["    \\bottomrule", "  \\end{tabular}"]
    if cells.notes:
        lines += ["", "  \\smallskip\\footnotesize"]
        lines += [f"  {latex_text(note)}.\\par" for note in cells.notes]
    return "\n".join([*lines, "\\end{table}", ""])


_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "\u00a0": "~", "ε": r"$\varepsilon$", "Θ": r"$\Theta$", "≥": r"$\geq$", "≤": r"$\leq$",
    "×": r"$\times$", "†": r"\dag{}", "‡": r"\ddag{}",
}  # fmt: skip


def latex_text(text: str) -> str:
    r"""Return a text that LaTeX sets as it is.

    Example:
        >>> latex_text("50 % of a_b & {c}")
        '50 \\% of a\\_b \\& \\{c\\}'
    """
    # Two hyphens would be a dash, two quotes a closing one, "?`" a Spanish question mark.
    text = "".join(_LATEX.get(c, c) for c in clean(text))
    return re.sub(r"(?<=[-'`?!])(?=[-'`])", "{}", text)


def _powers(text: str) -> str:
    """Return numbers such as 1.2e-05 as powers of ten."""
    return re.sub(
        r"(\d+(?:\.\d+)?)e([+-]\d+)",
        lambda m: rf"${m[1]} \times 10^{{{int(m[2])}}}$",
        text,
    )


def markdown(answer: Answer) -> str:
    """Return a table as GitHub, Pandoc and notebooks read it, with a list of its notes."""
    cells = cells_of(answer)

    def line(row: Sequence[str]) -> str:
        return f"| {' | '.join(map(markdown_text, row))} |"

    lines = [line(cells.heads), f"|---|{'---:|' * (len(cells.heads) - 1)}"]
    lines += [line(row) for row in cells.rows]
    above = [markdown_text(cells.title), ""] if cells.title else []
    below = ["", *(f"- {markdown_text(note)}" for note in cells.notes)]
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
    """Return a table for notebooks."""
    cells = cells_of(answer)
    return html_of(cells.heads, cells.rows, cells.title, notes=cells.notes)


def text(answer: Answer) -> str:
    """Return the table of the terminal."""
    console = Console(file=io.StringIO(), width=100, markup=False, emoji=False, record=True)
    print_whole(terminal_table(answer), console)
    return "\n".join([console.export_text().rstrip(), *notes(answer), ""])


FORMS: dict[str, Callable[[Answer], str]] = {
    "text": text, "markdown": markdown, "latex": latex, "html": html_table,
}  # fmt: skip
"""Form of a table -> what makes it."""
