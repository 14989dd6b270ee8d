"""Tables of the answer for papers and notebooks: the terminal's cells, escaped."""

import html.parser
import re

import pytest

import jaxsim
from jaxsim.errors import InputError
from jaxsim.report.latex import latex_text
from jaxsim.report.typeset import FORMS, cells_of, markdown_text, table
from tests.report.answers import HOSTILE, WEAK, small_answer, with_bounds, with_experiments


@pytest.fixture(scope="module")
def answer():
    return with_bounds(with_experiments(small_answer(), HOSTILE), 1.25e-5, WEAK["estimated"])


def rows_of_latex(text: str) -> list[list[str]]:
    body = text.split("\\midrule\n")[-1].split("\\end{")[0]
    body = body.split("\\endfoot\n")[-1].split("    \\bottomrule")[0]
    lines = [line.strip() for line in body.splitlines() if "\\addlinespace" not in line]
    return [re.split(r"(?<!\\) & ", line.removesuffix(" \\\\")) for line in lines]


def test_latex_has_the_cells_of_the_terminal(answer):
    cells = cells_of(small_answer())
    rows = rows_of_latex(table(small_answer(), "latex"))
    assert [len(row) for row in rows] == [len(cells.heads)] * len(cells.rows)
    assert rows[0][0] == f"{{{cells.rows[0][0]}}}"
    assert rows[1][1] == cells.rows[1][1]
    assert {"\\toprule", "\\midrule", "\\bottomrule"} <= set(re.findall(r"\\\w+rule", "".join(
        table(small_answer(), "latex"))))  # fmt: skip


def test_latex_escapes_names_whatever_they_hold(answer):
    text = table(answer, "latex")
    names = {row[0].replace("\\allowbreak{}", "") for row in rows_of_latex(text)}
    assert "{\\$dollars\\$ and \\textbackslash{}\\$ and \\$}" in names
    assert "{\\_underscores\\textasciicircum{}\\{x\\}\\_y}" in names
    assert "{[red]brackets[/red]}" in names
    formula = r"$P(L(\Theta_n) > \inf L + \varepsilon)$"
    bare = re.sub(r"\\[\\{}$&%#_]", "", text.replace(formula, ""))
    assert bare.count("{") == bare.count("}")
    assert "#" not in bare
    assert "_" not in bare
    assert bare.split("\n", 1)[1].count("%") == 0
    assert bare.count("$") % 2 == 0


def test_numbers_are_powers_of_ten_in_latex(answer):
    made = with_bounds(small_answer(), 1.25e-5, WEAK["estimated"])
    numbers = {cell for row in rows_of_latex(table(made, "latex")) for cell in row[1:]}
    assert not any(re.search(r"\de-\d", cell) for cell in numbers)
    assert latex_text("a--b ``") == "a-{}-b `{}`"


def test_markdown_rows_have_as_many_cells_as_the_head(answer):
    lines = [x for x in table(answer, "markdown").splitlines() if x.startswith("|")]
    counts = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
    assert len(lines) == 2 + len(cells_of(answer).rows)
    assert counts == {len(cells_of(answer).heads) + 1}
    assert markdown_text("<b>*x*</b> 1e-05") == "\\<b\\>\\*x\\*\\</b\\> 1e-05"


def test_html_holds_no_tags_of_names(answer):
    tags = set()

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs):
            tags.add(tag)

    Reader().feed(table(answer, "html"))
    assert tags == {"div", "p", "table", "thead", "tbody", "tr", "th", "td", "details",
                    "summary", "ul", "li"}  # fmt: skip


def test_text_is_what_the_terminal_shows():
    shown = table(small_answer())
    assert shown.splitlines()[1].split()[0] == "experiment"
    assert "intervals: clopper-pearson" in shown


def test_unknown_forms_are_refused():
    with pytest.raises(InputError, match=r"form = 'word' is not known.*html, latex"):
        jaxsim.table(small_answer(), "word")
    assert set(FORMS) == {"text", "latex", "markdown", "html"}
