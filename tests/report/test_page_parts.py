"""What the page is made of: inline figures, looked-up texts, limits, policy, published numbers."""

import base64
import hashlib
import json
import re
import xml.etree.ElementTree as ET
from html import unescape

import pytest

from jaxsim.questions.published import PublishedComparison
from jaxsim.report.page import write_page
from jaxsim.report.page.axes import chosen_axes
from jaxsim.report.page.explorer import MOST_CELLS, embedded
from jaxsim.report.page.figures import FIGURES
from jaxsim.report.page.svg import Classes, inline
from jaxsim.report.page.tables import published
from jaxsim.report.plots import draw_all
from jaxsim.report.published import published_sentences
from jaxsim.report.table import notes
from jaxsim.report.write import write_views
from tests.report.answers import HOSTILE, PUBLISHED, small_answer, with_experiments

NUMBER = re.compile(r"-?\d*\.?\d+(?:[eE][-+]?\d+)?")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def answer():
    return small_answer()


@pytest.fixture(scope="module")
def drawn(answer, tmp_path_factory):
    directory = tmp_path_factory.mktemp("drawn")
    draw_all(answer, directory)
    return directory / "plots"


def page_of(answer, directory, files=()):
    return write_page(answer, directory, ["A sentence."], notes(answer), files).read_text("utf-8")


def texts(root):
    """Return the text of every text element, without blanks."""
    return ["".join("".join(e.itertext()).split()) for e in root.iter() if e.tag.endswith("text")]


def parsed(drawing):
    return ET.fromstring(f'<svg xmlns="http://www.w3.org/2000/svg">{drawing.inner}</svg>')


def test_inline_figures_show_what_their_files_show_in_a_quarter_of_the_bytes(drawn):
    files = sorted(drawn.glob("*.svg"))
    classes = Classes()
    whole = inlined = 0
    for k, path in enumerate(files):
        drawing = inline(path, f"f{k}", classes)
        root, small = ET.parse(path).getroot(), parsed(drawing)
        around = [g for g in root.iter(SVG + "g") if re.match("(title|note)-", g.get("id", ""))]
        left_out = [text for g in around for text in texts(g)]
        assert left_out
        assert sorted(texts(small) + left_out) == sorted(texts(root))
        _, top, _, height = map(float, drawing.box.split())
        assert 10 < top < 60
        assert top + height < float(root.attrib["height"].removesuffix("pt")) - 10
        for tag in ("use", "clipPath", "tspan"):
            assert len(list(small.iter(SVG + tag))) == len(list(root.iter(SVG + tag))), tag
        assert not [e for e in small.iter() if "style" in e.attrib]
        whole += path.stat().st_size
        inlined += len(drawing.inner.encode())
    assert inlined < 0.35 * whole
    assert len(classes.sheet()) < 20_000


def test_paths_keep_their_points(drawn):
    """Points that a path goes through lie within half a tenth of a point of the file's."""
    path = drawn / "exceedance_vs_eps.svg"
    old = [p.attrib["d"] for p in ET.parse(path).getroot().iter(SVG + "path")]
    new = [p.attrib["d"] for p in parsed(inline(path, "f", Classes())).iter(SVG + "path")]
    assert len(old) == len(new)
    compared = 0
    for before, after in zip(old, new, strict=True):
        if re.search("[A-KN-UWXY]", before):
            continue
        points = list(corners(before))
        assert len(list(corners(after))) <= len(points)
        for x, y in corners(after):
            assert min(max(abs(x - a), abs(y - b)) for a, b in points) <= 0.0501
        compared += 1
    assert compared > 20


def corners(path):
    """Yield the points of a path of straight lines."""
    x = y = 0.0
    for command, numbers in re.findall(r"([MLHVz])([^MLHVz]*)", path):
        values = [float(v) for v in NUMBER.findall(numbers)]
        if command == "z":
            continue
        x = values[0] if command in "MLH" else x
        y = values[-1] if command in "MLV" else y
        yield x, y


def test_the_policy_permits_the_pages_own_style_and_script_only(answer, drawn, tmp_path):
    write_views(answer, tmp_path, ["A sentence."], notes(answer), plots=False)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    for kind, tag in (("style-src", "style"), ("script-src", "script")):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[kind] == f"'sha256-{digest}'"
    assert set(rules) == {"default-src", "style-src", "script-src", "base-uri", "form-action"}
    assert page.index("Content-Security-Policy") < page.index("<style>")


def test_whatever_labels_hold_the_data_can_be_read(answer, tmp_path):
    page = page_of(with_experiments(answer, HOSTILE), tmp_path)
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert not set("<>&\u2028") & set(text)
    data = json.loads(text)
    assert [e["label"] for e in data["experiments"]][:6] == list(HOSTILE[:6])


def test_places_in_charts_are_whole_numbers_inside_the_frame(answer):
    data = embedded(answer)
    assert data is not None
    for grid in [*data["grids"], *data["steps"]]:
        assert all(isinstance(x, int) and 150 <= x <= 950 for x in grid["x"])
        assert grid["x"] == sorted(grid["x"])
        assert len(set(grid["texts"])) == len(grid["texts"])
    for cell in data["cells"]:
        estimate, lower, upper, most = cell[4:]
        assert 20 <= upper <= most <= estimate <= lower <= 510
    # P = 1 stands at the top, P = 0 at the bottom, halves in the middle.
    tops = {cell[4] for cell in data["cells"] if cell[0] == "1"}
    bottoms = {cell[4] for cell in data["cells"] if cell[0] == "0"}
    assert (tops, bottoms) <= ({20}, {510})


@pytest.mark.parametrize("count", [300, 1100])
def test_a_page_of_many_experiments_is_small_and_says_what_it_leaves_out(answer, tmp_path, count):
    many = with_experiments(answer, [f"experiment {k}" for k in range(count)])
    page = page_of(many, tmp_path)
    assert len(page) < (1.5e6 if count == 300 else 2.5e6)
    data = embedded(many)
    assert data is not None
    assert sum(len(b["cells"]) for e in data["experiments"] for b in e["bands"]) <= MOST_CELLS
    assert ("Shown are the first 1,000 of 1,100 experiments" in page) == (count == 1100)
    assert f"Shown are the first 100 of {count:,} experiments" in page
    assert ("own thresholds only" in data["words"]["limit"]) == (count == 1100)


GRIDS = {
    "full": ([{"o.name": a, "o.rate": b, "w": 1} for a in "xy" for b in (0.1, 2.0)],
             [("o", ["x", "y"]), ("rate", ["0.1", "2"])]),
    "each its own rate": ([{"o.name": "x", "o.rate": 0.1}, {"o.name": "y", "o.rate": 2.0}],
                          [("o", ["0", "1"])]),
    "listed": ([{"a": k, "b": k // 2, "c": k % 3} for k in (0, 1, 1, 2)],
               [("experiment", ["0", "1", "2", "3"])]),
    "sparse": ([{"a": k % 4, "b": k // 4, "c": k} for k in (0, 5, 10, 15)],
               [("a", ["0", "1", "2", "3"])]),
    "widths": ([{"n.hidden": w, "p": q} for w in ("[2]", "[4, 4]") for q in (None, True)],
               [("hidden", ["2", "4, 4"]), ("p", ["none", "true"])]),
}  # fmt: skip
"""What experiments are where they differ, and by what they are chosen."""


@pytest.mark.parametrize("kind", GRIDS)
def test_experiments_are_chosen_by_axes_that_make_a_grid_and_else_by_labels(kind, answer):
    tables, expected = GRIDS[kind]
    done = with_experiments(answer, [str(k) for k in range(len(tables))]).experiments
    done = [e.model_copy(update={"axes": t}) for e, t in zip(done, tables, strict=True)]
    axes, places = chosen_axes(done)
    assert [(axis["name"], axis["values"]) for axis in axes] == expected
    assert len({tuple(place) for place in places}) == len(done)
    assert chosen_axes(done[:1]) == ([], [[]])


def test_a_figure_that_is_too_large_is_named_instead(answer, drawn, tmp_path, monkeypatch):
    monkeypatch.setattr("jaxsim.report.page.figures.MOST_BYTES", 16_000)
    (tmp_path / "plots").symlink_to(drawn)
    names = [path.name for path in drawn.iterdir()]
    page = page_of(answer, tmp_path, names)
    absent = re.findall(r"too large for a page: plots/(\w+)\.svg", page)
    shown = re.findall(r'class="figure s-(\w+)"', page)
    assert absent
    assert shown
    order = [name for name, *_ in FIGURES if f"{name}.svg" in names]
    assert sorted(absent + shown) == sorted(order)


def test_published_numbers_stand_beside_the_measured_ones(answer, tmp_path):
    first = PublishedComparison(
        source="A & B (2018)", place="Table 1", quantity="runs that fail", experiment="sgd",
        event="the risk exceeds 1", step=30, published="27 of 100", published_lower=0.186,
        published_upper=0.368, published_runs=100, estimate=0.25, lower=0.2, upper=0.31,
        method="clopper-pearson", runs=64, count=16, test="Fisher", p=0.5, p_holm=0.5,
        tolerance=0.1, verdict="differs", discussion="because of <that>",
    )  # fmt: skip
    second = first.model_copy(update={"experiment": "gone", "verdict": "not measured", "runs": 0,
                                      "estimate": None, "p": None, "p_holm": None})  # fmt: skip
    page = page_of(answer.model_copy(update={"published": (first, second)}), tmp_path)
    part = page[page.index('<section id="published"') : page.index('<section id="explore"')]
    said = " ".join(unescape(re.sub("<[^>]*>", " ", part)).split())
    assert "A & B (2018)" in said
    assert "27 of 100: 0.270 [0.186, 0.368]" in said
    assert "All from: Table 1." in said
    assert "0.250 [0.200, 0.310] differs 64 0.5 because of <that>" in said
    assert "1 not measured: experiments, steps or levels that were not run" in said
    assert 'href="#published"' in page
    assert "published" not in page_of(answer, tmp_path).split("<style>")[0]
    assert 'id="published"' not in page_of(answer, tmp_path)


def test_what_most_published_numbers_share_is_said_once(answer):
    def numbers(remarks, places=("file A",) * 9):
        return answer.model_copy(
            update={
                "published": tuple(
                    PUBLISHED.model_copy(
                        update={"experiment": f"e{k // 2}", "discussion": r, "place": place}
                    )
                    for k, (r, place) in enumerate(zip(remarks, places, strict=False))
                )
            }
        )

    def shown(*args):
        (group,) = published(numbers(*args))
        remarks = [remark for e in group["experiments"] for remark in e["remarks"]]
        return (
            group["remark"],
            remarks,
            [r["place"] for e in group["experiments"] for r in e["rows"]],
        )

    assert shown(["Same."] * 6)[:2] == ("Same.", [])
    most = ["Same."] * 5 + ["Other."]
    assert shown(most)[:2] == ("Of 5 of these 6 numbers: Same.", ["runs that fail: Other."])
    # What few have stays beside their numbers, and so does what is of two experiments only.
    few = ["", "", "", "Rare.", "", "Rare.", "", "Rare."]
    assert shown(few)[0] == ""
    assert len(shown(few)[1]) == 3
    assert shown(["Same."] * 4)[0] == ""
    # The place of several numbers of an experiment stands beside the first of them.
    places = ["a", "a", "b", "c", "d", "d"]
    assert shown([""] * 6, places)[2] == ["a", "", "b", "c", "d", ""]


def test_a_remark_on_several_numbers_is_one_sentence(answer):
    texts = ("Same.", "Same.", "Other.", "Same.")
    numbers = [
        PUBLISHED.model_copy(
            update={"experiment": f"e{k}", "discussion": text, "verdict": "agrees"}
        )
        for k, text in enumerate(texts)
    ]
    lines = published_sentences(answer.model_copy(update={"published": tuple(numbers)}))
    assert lines[1:] == [
        "e0, runs that fail, and 2 others: Same.",
        "e2, runs that fail: Other.",
    ]
