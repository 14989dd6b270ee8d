"""LaTeX tables: nothing over the margin, nothing beyond the page, whatever the study."""

import re
import shutil
import subprocess
from dataclasses import replace

import pytest

import jaxsim
from jaxsim.report.latex import Cells, latex_tables, latex_text
from jaxsim.report.typeset import cells_of, published_cells
from tests.report.answers import (
    HOSTILE,
    WEAK,
    small_answer,
    with_bounds,
    with_experiments,
    with_published,
)

WIDE = Cells(
    "A title",
    ["experiment", "a quantity", *(f"number {k}" for k in range(5))],
    [["some words " * 8, "what is said of it " * 6, *["0.123 [0.111, 0.135]"] * 5]] * 50,
    ["a note"] * 8,
    texts=2,
)


def test_a_table_that_is_higher_than_a_page_goes_on():
    few, many = small_answer(), with_experiments(small_answer(), [f"e{k}" for k in range(11)])
    assert jaxsim.table(few, "latex").startswith("% \\usepackage{booktabs}\n\\begin{table}")
    text = jaxsim.table(many, "latex")
    assert text.startswith("% \\usepackage{booktabs,longtable}\n")
    assert "\\begin{table}" not in text
    assert text.index("\\endhead") < text.index("{e10}")


def test_a_wide_table_has_smaller_letters_then_wrapped_texts_then_a_turned_page():
    def of(cells: int, texts: int = 1) -> str:
        head = ["experiment", *(f"column {k}" for k in range(cells))]
        rows = [["some words of a label " * texts, *["0.123 [0.111, 0.135]"] * cells]]
        return latex_tables([Cells("", head, rows, [])])

    assert "\\normalsize" in of(1)
    assert "\\footnotesize" in of(3)
    assert "p{" not in of(3)
    assert ">{\\raggedright\\arraybackslash}p{" in of(3, texts=9)
    assert of(3, texts=9).startswith("% \\usepackage{array,booktabs}\n")
    assert "\\begin{landscape}" in of(7)
    assert "pdflscape" in of(7).splitlines()[0]


def test_published_numbers_are_a_table_of_their_own():
    made = with_published(small_answer())
    (cells,) = published_cells(made)
    assert [row[0] for row in cells.rows] == ["sgd", ""]
    assert cells.rows[0][2:5] == [
        "3 of 1,000: 0.0030 [0.0006, 0.0088]",
        "0.50 [0.40, 0.60]",
        "2e-12",
    ]
    text = jaxsim.table(made, "latex")
    assert text.count("\\caption{") == 2
    assert "published, A \\& B (1999)" in text
    assert "$2 \\times 10^{-12}$" in text
    assert "A reason of 100 \\%" in text
    markdown = jaxsim.table(made, "markdown")
    assert "| sgd | runs that fail | 3 of 1,000: 0.0030" in markdown
    assert published_cells(small_answer()) == []
    assert '<td style="text-align: left">runs that fail</td>' in jaxsim.table(made, "html")
    assert "published, A & B (1999)" in jaxsim.table(made, "text")


def test_the_formula_and_greek_letters_are_mathematics():
    assert latex_text("P(L(Theta_n) > inf L + eps) as n") == (
        "$P(L(\\Theta_n) > \\inf L + \\varepsilon)$ as n"
    )
    assert latex_text('σ = 1 "x"') == "$\\sigma$ = 1 \\char34{}x\\char34{}"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not installed")
@pytest.mark.parametrize("case", ["hostile", "published", "wide"])
def test_latex_sets_it_within_the_margins(case, tmp_path):
    """Every line fits the width of `article`, and every table the height of a page."""
    latin = [name for name in HOSTILE if all(ord(c) < 0x500 or ord(c) > 0xFFFF for c in name)]
    hostile = with_experiments(small_answer(), [n for n in latin if n.isprintable()])
    tables = {
        "hostile": [cells_of(with_bounds(hostile, 1.25e-5, WEAK["estimated"]))],
        "published": [
            cells_of(with_published(small_answer())),
            *published_cells(with_published(small_answer())),
        ],
        "wide": [WIDE, replace(WIDE, rows=WIDE.rows[:3])],
    }
    text = latex_tables(tables[case])
    package = text.splitlines()[0].removeprefix("% ")
    document = (
        f"\\documentclass{{article}}\n{package}\n\\begin{{document}}\n{text}\\end{{document}}\n"
    )
    (tmp_path / "a.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "a.tex"]
    subprocess.run(command, cwd=tmp_path, capture_output=True)
    # longtable knows the widths of its columns from the first pass.
    done = subprocess.run(command, cwd=tmp_path, capture_output=True)
    log = done.stdout.decode(errors="replace")
    assert not re.findall(r"^!.*|Overfull.*|.*too large.*", log, re.MULTILINE)
