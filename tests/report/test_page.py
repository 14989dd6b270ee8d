"""The page, and whole reports of studies at the edge: eps = 0, all or none fail, one run."""

import io
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest
from rich.console import Console

from jaxsim import Study, simulate
from jaxsim.report.page import write_page
from jaxsim.report.page.setup import source_of
from jaxsim.report.plots import FIGURES
from jaxsim.report.sentences import sentences
from jaxsim.report.table import notes
from jaxsim.report.text import estimate_text
from jaxsim.report.write import OPTIMAL_RISK, write_report, write_views
from tests.report.answers import (
    ALIKE,
    HOSTILE,
    NEURONS,
    nothing_known,
    small_answer,
    with_design,
    with_experiments,
    with_optimum,
)
from tests.studies import slow_but, study

VOID = {"meta", "br", "input"}


class Tree(HTMLParser):
    """A page as its open elements: checks that they nest, and keeps cells and texts."""

    def __init__(self, page):
        super().__init__()
        self.open, self.cells, self.seen, self.text = [], [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append((tag, dict(attrs), []))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.text.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1][2].append(data)


def page_of(answer, directory, figures=()):
    said = [f"Contradiction: {text}." for text in answer.contradictions]
    path = write_page(answer, directory, [*said, "A sentence."], notes(answer), figures)
    return path.read_text(encoding="utf-8")


def main_table(page):
    """Return the section of the failure probabilities."""
    return page[page.index('<section id="table">') : page.index('<section id="split">')]


@pytest.fixture(scope="module")
def answer():
    return small_answer()


def test_every_number_of_a_row_is_aligned_to_the_right(answer, tmp_path):
    tree = Tree(main_table(page_of(answer, tmp_path)))
    body = [(tag, attrs, "".join(text)) for tag, attrs, text in tree.cells if "scope" not in attrs]
    labels = [a for t, a, _ in tree.cells if t == "th" and a.get("scope") == "rowgroup"]
    assert len(labels) == len(answer.experiments)
    assert all(a["class"] == "text" and a["rowspan"] == "3" for a in labels)
    eps = [attrs for _, attrs, text in body if text in ("0.001", "0.05", "0.3")]
    assert len(eps) == 2 * 3
    assert all("text" not in attrs.get("class", "").split() for _, attrs, _ in body)
    style = page_of(answer, tmp_path).split("</style>")[0]
    assert "first-child {" not in re.sub(r"tr:first-child td", "", style)
    assert re.search(r"th, td \{[^}]*text-align: right", style)


def of_different_runs(answer):
    first, *others = answer.experiments
    fewer = first.model_copy(update={"runs": first.runs // 2})
    return answer.model_copy(update={"experiments": (fewer, *others)})


def test_what_all_experiments_share_is_said_once_above_the_table(answer, tmp_path):
    steps, runs = answer.experiments[0].steps, answer.experiments[0].runs
    alike, differing = (
        main_table(page_of(a, tmp_path)) for a in (answer, of_different_runs(answer))
    )
    assert f"<p>n = {steps:,}, {runs:,} runs of each experiment</p>" in alike
    assert f"<p>n = {steps:,}</p>" in differing
    for column, table in (("n", alike), ("runs", alike), ("n", differing)):
        assert f'<th scope="col">{column}</th>' not in table
    assert '<th scope="col">runs</th>' in differing


@pytest.mark.parametrize("change", [lambda a: a, of_different_runs], ids=["alike", "differing"])
def test_every_row_has_as_many_cells_as_the_head(answer, tmp_path, change):
    page = page_of(change(answer), tmp_path)
    table = main_table(page)
    columns = table.split("</thead>")[0].count("<th ")
    for group in re.findall(r"<tbody.*?</tbody>", table, re.DOTALL):
        rows = re.findall(r"<tr>.*?</tr>", group, re.DOTALL)
        counts = [len(re.findall(r"<t[dh][ >]", row)) for row in rows]
        spanning = rows[0].count("rowspan")
        assert counts == [columns, *[columns - spanning] * (len(rows) - 1)]


def test_the_page_prints_whole_tables_and_repeats_their_heads(answer, tmp_path):
    page = page_of(answer, tmp_path)
    rules = page[page.index("@media print") : page.index("</style>")]
    assert "landscape" in page
    assert re.search(r"\.scroll \{ overflow: visible", rules)
    assert "table-header-group" in rules
    assert re.search(r"\.whole \{ white-space: normal", rules)
    assert page.count("<thead>") == page.count("<table>")
    # A figure and its heading fit on a page of A4, whose margins are 12 mm.
    heights = [int(h) for h in re.findall(r"max-height: (\d+)mm", rules)]
    assert heights[0] + 40 <= 210 - 2 * 12
    assert heights[1] + 40 <= 297 - 2 * 12


def test_figures_keep_the_size_of_their_text_on_a_phone(answer, tmp_path):
    write_views(answer, tmp_path, ["A sentence."], notes(answer), plots=True)
    tree = Tree((tmp_path / "report.html").read_text(encoding="utf-8"))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    drawn = [a["class"] for tag, a in tree.seen if tag == "svg" and "figure" in a["class"]]
    assert len(drawn) == len(FIGURES)
    for name in FIGURES:
        assert f"figure s-{name}" in drawn
        root = ET.parse(tmp_path / "plots" / f"{name}.svg").getroot()
        natural = float(root.attrib["width"].removesuffix("pt")) * 96 / 72
        (least,) = re.findall(rf"\.s-{name}{{min-width:(\d+)px", page)
        # The smallest text, 8 pt, is then at least 9 px high.
        assert int(least) / natural * 8 * 96 / 72 >= 9
    scrolled = re.findall(r'<figure><div class="scroll"[^>]*><svg class="figure', page)
    assert len(scrolled) == len(FIGURES)


def test_a_figures_heading_and_note_are_text_of_the_page_and_its_description_has_numbers(
    answer, tmp_path
):
    write_views(answer, tmp_path, ["A sentence."], notes(answer), plots=True)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    captions = re.findall(r'<figcaption class="note">([^<]*)</figcaption>', page)
    assert len(captions) == len(FIGURES)
    assert captions[0].startswith("64 runs per experiment; band: 95\u00a0% confidence for all")
    drawn = page[page.index("<svg class=") :]
    assert "64 runs per experiment" not in "".join(re.findall(r"<text[^>]*>[^<]*", drawn))
    said = dict(re.findall(r'<desc id="d-(\w+)">([^<]*)</desc>', page))
    assert said.keys() == FIGURES.keys()
    for name, text in said.items():
        assert "sgd" in text
        assert "adam" in text, name
    last = answer.experiments[0].exceedance.estimates[1][-1]
    value = "eps = 0.05: {} ({} to {})".format(*estimate_text(last))
    assert value in said["exceedance_vs_eps"]
    middle = answer.experiments[0].quantiles.value[2][-1]
    assert f"median {middle:.3g}, 5 to 95 % in" in said["risk_distribution"]


def test_the_page_says_what_is_trained(tmp_path):
    one = study(**TINY | {"grid": {"optimizer.name": ["sgd", "adam"]}})
    write_report(simulate(one, tmp_path), one, tmp_path, Console(file=io.StringIO()), plots=False)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    part = page[page.index('<section id="setup">') : page.index('<section id="answer">')]
    said = dict(re.findall(r'class="text">([^<]*)</th><td class="text wide">([^<]*)</td>', part))
    assert [said[name] for name in ("network", "activation", "parameters")] == [
        "1-3-1",
        "relu",
        "10",
    ]
    assert said["input X"] == "uniform (low = -1, high = 1)"
    assert said["optimizer"] == "[differs: sgd or adam] (learning_rate = 0.02)"
    assert said["training"] == "4 steps in float32"
    assert "After " not in page[: page.index("<nav")]


@pytest.mark.parametrize(
    ("name", "found"), [("2511.06675", "Adam symmetry theorem"), ("quickstart", "")]
)
def test_a_study_of_a_source_names_it(name, found):
    spec = Study.load(name).spec
    assert found in source_of(spec)
    assert bool(source_of(spec)) == bool(found)
    other = spec.model_copy(update={"problem": Study.load("width").spec.problem})
    assert source_of(other) == ""


def test_contradictions_and_warnings_stand_first(answer, tmp_path):
    wrong = answer.model_copy(
        update={"contradictions": ["inf L is below 0"], "warnings": ["one training set"]}
    )
    page = page_of(wrong, tmp_path)
    places = [
        page.index(text)
        for text in (
            '<div class="alarm"',
            "Contradiction: inf L is below 0.",
            '<div class="warn"',
            "Warning: one training set",
            '<div class="said"',
            "A sentence.",
        )
    ]
    assert places == sorted(places)
    assert page.count("one training set") == 1
    calm = page_of(answer, tmp_path)
    assert '<div class="alarm"' not in calm
    assert '<div class="warn"' not in calm


def test_hostile_labels_are_text(answer, tmp_path):
    labels = [*HOSTILE, *ALIKE]
    hostile = with_experiments(answer, labels).model_copy(
        update={"title": "<script>alert(1)</script>", "name": "\x00</title>"}
    )
    page = page_of(hostile, tmp_path)
    assert page.count("<script") == page.count("</script") == 2
    assert not re.search(r'(src|href)="(?!#)', page)
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\ud800-\udfff\u202e]", page)
    tree = Tree(page)
    shown = ["".join(text) for tag, a, text in tree.cells if a.get("scope") == "rowgroup"]
    assert shown[:6] == list(HOSTILE[:6])
    assert shown[-3:] == [" ".join(label.split("\n")) for label in ALIKE]


TINY = {"replicates": 16, "steps": 4, "checkpoints": [1]}
EDGES = {
    "eps is 0": {"epsilon": [0.0]},
    "eps is 0 and others": {"epsilon": [0.0, 0.001, 1e6]},
    "only eps = 0 is exceeded": {
        "epsilon": [0.0, 0.5],
        "steps": 0,
        "checkpoints": [],
        "problem__target": "0*x",
        "network__weights__bound": 1e-6,
        "network__biases__bound": 1e-6,
    },
    "all fail": {"epsilon": [1e-9]},
    "none fails": {"epsilon": [1e6]},
    "one replicate": {"replicates": 1},
    "no step": {"steps": 0, "checkpoints": []},
    "one step": {"steps": 1, "checkpoints": []},
    "all diverged": {"optimizer": {"name": "sgd", "learning_rate": 1e30}},
}
"""Changes of the small study."""
OFTEN = {"eps is 0 and others", "only eps = 0 is exceeded", "all diverged", "one step"}
"""All fail of some eps, none of others, and 0 is one; the shortest run; nothing to draw."""


@pytest.mark.parametrize("edge", slow_but(OFTEN, EDGES))
def test_whole_reports_at_the_edges(tmp_path, edge):
    one = study(**TINY | EDGES[edge])
    results = simulate(one, tmp_path)
    stream = io.StringIO()
    answer = write_report(results, one, tmp_path, Console(file=stream, width=100))
    runs = 1 if edge == "one replicate" else 16
    rows = answer.experiments[0].exceedance.estimates
    last = [row[-1] for row in rows]
    assert all(x.runs == runs for x in last)
    expected = {"none fails": [0], "eps is 0 and others": [runs, runs, 0]}
    certain = edge not in ("one replicate", "no step", "one step", "only eps = 0 is exceeded")
    if edge == "only eps = 0 is exceeded":
        assert last[0].failures > 0
        assert last[1].failures == 0
        assert max(p[-1] for p in answer.experiments[0].band.estimate[1:]) == 0
    if certain:
        assert [x.failures for x in last] == expected.get(edge, [runs] * len(last))
    drawn = sorted(path.name for path in (tmp_path / "plots").iterdir())
    figures = [f for f in FIGURES if edge != "all diverged" or f != "risk_distribution"]
    if one.experiments[0].steps == 0:
        figures = [f for f in figures if f not in ("exceedance_vs_n", "learning_curves")]
    names = [*figures, OPTIMAL_RISK]
    assert drawn == sorted(f"{f}.{kind}" for f in names for kind in ("png", "svg"))
    for path in (tmp_path / "plots").glob("*.svg"):
        said = "".join(ET.parse(path).getroot().itertext())
        if edge == "one step" and path.stem == "exceedance_vs_eps":
            assert "after 1 step" in said
            assert "1 steps" not in said
    Tree((tmp_path / "report.html").read_text(encoding="utf-8"))
    for name in ("answer.json", "estimates.csv", "quantiles.csv"):
        assert (tmp_path / name).stat().st_size > 0
    assert stream.getvalue()


SHAPES = {
    "hostile labels": lambda a: with_experiments(a, HOSTILE[:5]),
    "equal short labels": lambda a: with_experiments(a, ALIKE),
    "nothing known of inf L": nothing_known,
    "no upper end": lambda a: with_optimum(a, 0.0, float("inf")),
}
"""Answers that no small study has."""


@pytest.mark.parametrize("shape", slow_but(["hostile labels", "no upper end"], SHAPES))
def test_whole_reports_of_odd_answers(answer, tmp_path, shape):
    odd = SHAPES[shape](answer)
    write_views(odd, tmp_path, sentences(odd), notes(odd), plots=True)
    for name in FIGURES:
        assert (tmp_path / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        ET.parse(tmp_path / "plots" / f"{name}.svg")
    tree = Tree((tmp_path / "report.html").read_text(encoding="utf-8"))
    shown = ["".join(text) for _, a, text in tree.cells if a.get("scope") == "rowgroup"]
    assert shown == [e.label for e in odd.experiments]


def test_a_design_has_a_table_of_strata_and_three_parts_for_each_probability(answer, tmp_path):
    chosen = with_design(answer)
    page = page_of(chosen, tmp_path)
    first = main_table(page)
    columns = first.split("</thead>")[0].count("<th ")
    for part in ("proved", "resolved", "unresolved"):
        assert first.count(f'<th scope="col">{part}</th>') == 1
    for group in re.findall(r"<tbody.*?</tbody>", first, re.DOTALL):
        assert len(re.findall(r"<t[dh][ >]", group.split("</tr>")[0])) == columns
    strata = page[page.index('<section id="strata">') : page.index('<section id="optimum"')]
    assert strata.count("<details") == len(answer.eps)
    one = strata.split("</details>")[0]
    assert "sgd, eps = 0.001" in one
    rows = re.findall(r"<tr><td.*?</tr>", one, re.DOTALL)
    assert len(rows) == NEURONS + 1
    assert {len(re.findall(r"<td[ >]", row)) for row in rows} == {one.count("<th ")}
    assert "fails by proof" in rows[-1]
    assert "not sampled" in rows[0]
    assert ">800<" in rows[18]
    assert "Strata of the initializations" not in page_of(answer, tmp_path)
