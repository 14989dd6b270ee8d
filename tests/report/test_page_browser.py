"""The page in a real browser: what its script shows is what the tables say."""

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from jaxsim.report.page import write_page
from jaxsim.report.sentences import sentences
from jaxsim.report.table import notes
from jaxsim.report.text import interval_text, number
from jaxsim.report.write import write_views
from tests.report.answers import (
    small_answer,
    with_design,
    with_experiments,
    with_published,
)
from tests.report.browser import Browser, find_browser

LABELS = ["sgd", "adam </script><b>&\"'", "-->\u2028<!--"]
WIDTHS = {"desktop": 1280, "phone": 390}


def shown(answer, directory, plots=False):
    write_views(answer, directory, sentences(answer), notes(answer), plots)
    return directory / "report.html"


@pytest.fixture(scope="module")
def answer():
    """Return three experiments on two axes."""
    whole = with_experiments(small_answer(), LABELS)
    axes = [{"a": "x", "b": 1}, {"a": "x", "b": 2}, {"a": "<y>", "b": 2}]
    chosen = [
        e.model_copy(update={"axes": a}) for e, a in zip(whole.experiments, axes, strict=True)
    ]
    return whole.model_copy(update={"experiments": chosen, "title": "<i>title</i> & </script>"})


@pytest.fixture(scope="module")
def page(answer, tmp_path_factory):
    find_browser()
    return shown(answer, tmp_path_factory.mktemp("page"), plots=True)


@pytest.fixture(scope="module")
def browser():
    find_browser()
    with Browser() as one:
        yield one


def every_place(browser):
    """Return what is shown at every place of both sliders."""
    return browser.run(
        """(() => {
          const $ = (id) => document.getElementById(id);
          const move = (id, k) => { $(id).value = k; $(id).dispatchEvent(new Event("input")); };
          const seen = [];
          for (let m = 0; m <= Number($("threshold").max); m += 1)
            for (let t = 0; t <= Number($("step").max); t += 1) {
              move("threshold", m); move("step", t);
              seen.push(["threshold-value", "step-value", "value", "value-interval", "value-band",
                "value-counts"].map((id) => $(id).textContent));
            }
          return seen;
        })()"""
    )


def test_nothing_is_fetched_and_the_console_is_silent(page, browser):
    browser.open(page)
    assert browser.complaints() == []
    assert browser.requests() == [page.resolve().as_uri()]
    # What somebody put into the page would be refused.
    refused = browser.run(
        """(async () => {
          const broken = [];
          document.addEventListener("securitypolicyviolation",
            (e) => broken.push(e.effectiveDirective));
          const tried = await fetch("data:text/plain,x").then(() => "fetched", () => "refused");
          const script = document.createElement("script");
          script.textContent = "window.injected = 1";
          document.body.append(script);
          const image = new Image();
          image.src = "data:image/gif;base64,R0lGODlhAQABAAAAACw=";
          await new Promise((done) => { image.onerror = done; image.onload = done; });
          return [tried, window.injected ?? "none", image.naturalWidth, broken.sort()];
        })()"""
    )
    assert refused[:3] == ["refused", "none", 0]
    assert {"connect-src", "img-src", "script-src-elem"} <= set(refused[3])


def test_the_sliders_show_the_numbers_of_the_tables(answer, page, browser):
    browser.open(page)
    table = pd.read_csv(page.parent / "estimates.csv")
    rows = {
        (number(r.eps), f"{r.step:,}"): r for r in table[table.experiment == "sgd"].itertuples()
    }
    seen = every_place(browser)
    e = answer.experiments[0]
    assert len(seen) == len(e.band.eps) * len(e.checkpoints)
    own = 0
    for place, (eps, step, value, interval, band, counts) in enumerate(seen):
        m, t = divmod(place, len(e.checkpoints))
        assert float(eps.removeprefix("eps = ")) == pytest.approx(e.band.eps[m], rel=5e-3)
        assert step == f"n = {e.checkpoints[t]:,}"
        row = rows.get((eps.removeprefix("eps = "), step.removeprefix("n = ")))
        ends = e.band.lower[m][t], e.band.upper[m][t]
        least, most = e.band.estimate[m][t], e.band.estimate_upper[m][t]
        middle, low, high = interval_text(least, *ends)
        if most > least:
            middle += f"-{interval_text(most, *ends)[0]}"
        assert band.startswith(f"{low} to {high}: 95 % band")
        assert counts.startswith(f"{round(e.band.estimate[m][t] * 64)} of 64 runs fail")
        if row is None:
            assert value == middle
            continue
        own += 1
        middle, low, high = interval_text(row.estimate, row.lower, row.upper)
        assert (value, interval.split(":")[0]) == (middle, f"{low} to {high}")
        assert counts.startswith(f"{row.failures} of {row.runs} runs fail")
    assert own == len(answer.asked) * len(e.checkpoints)


def test_experiments_are_chosen_by_the_axes_of_the_grid(page, browser):
    browser.open(page)
    chosen = browser.run(
        """[...document.querySelectorAll("#choices select")].map((s) =>
          [s.parentElement.firstChild.textContent, [...s.options].map((o) => o.textContent)])"""
    )
    assert chosen == [["a", ["x", "<y>"]], ["b", ["1", "2"]]]
    # There is no experiment ("<y>", 1): the nearest one is shown, and the axes say so.
    after = browser.run(
        """(() => {
          const [a, b] = document.querySelectorAll("#choices select");
          a.value = 1; a.dispatchEvent(new Event("change"));
          return [a.value, b.value, document.getElementById("what").textContent];
        })()"""
    )
    assert after[:2] == ["1", "1"]
    assert after[2].endswith("--> <!--")
    rows = browser.run("[...document.querySelectorAll('#rows th')].map((r) => r.textContent)")
    assert rows == [LABELS[0], LABELS[1], "--> <!--"]


def test_keyboard_and_pointer_move_the_sliders(page, browser):
    browser.open(page)
    browser.run("document.getElementById('threshold').focus()")
    before = browser.run("document.getElementById('threshold-value').textContent")
    for kind in ("rawKeyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key="ArrowLeft", code="ArrowLeft",
                     windowsVirtualKeyCode=37)  # fmt: skip
    assert browser.run("document.getElementById('threshold-value').textContent") != before
    box = browser.run(
        """(() => { const c = document.getElementById("against-steps");
          c.scrollIntoView(); const b = c.getBoundingClientRect();
          return [b.left + 0.152 * b.width, b.top + b.height / 2]; })()"""
    )
    mouse = {"x": box[0], "y": box[1]}
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", **mouse)
    read = browser.run("document.getElementById('against-steps-pointer').textContent")
    assert read.startswith("n = 0: ")
    assert "of 64 runs fail" in read
    for kind in ("mousePressed", "mouseReleased"):
        browser.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **mouse)
    assert browser.run("document.getElementById('step-value').textContent") == "n = 0"
    assert browser.complaints() == []


def test_without_scripts_the_page_is_whole(answer, page, browser):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(page)
    browser.call("Emulation.setScriptExecutionDisabled", value=False)
    seen = browser.run(
        """(() => {
          const figures = [...document.querySelectorAll("svg.figure")];
          return [document.getElementById("explore").checkVisibility(),
            document.querySelectorAll("#table tbody tr").length,
            figures.map((figure) => figure.querySelector("desc").textContent),
            figures.every((figure) => figure.getBoundingClientRect().height > 200),
            document.getElementById("answer").innerText];
        })()"""
    )
    assert seen[0] is False
    assert seen[1] == len(answer.experiments) * len(answer.asked)
    assert len(seen[2]) == len(list((page.parent / "plots").glob("*.svg"))) >= 4
    assert all(len(text) > 40 for text in seen[2])
    assert seen[3] is True
    assert all(sentence in seen[4] for sentence in sentences(answer))


def test_figures_have_the_elements_and_ids_of_their_files(page, browser):
    browser.open(page)
    ids = browser.run("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
    lost = browser.run(
        """[...document.querySelectorAll("svg.figure use, svg.figure [clip-path]")].filter((e) => {
          const to = e.getAttribute("href") ?? e.getAttribute("clip-path").slice(4, -1);
          return !e.closest("svg").querySelector(to); }).length"""
    )
    assert lost == 0
    styled = browser.run("document.querySelectorAll('[style]').length")
    assert styled == 0


@pytest.mark.parametrize("size", WIDTHS)
def test_no_part_is_wider_than_the_window(size, page, browser):
    browser.call("Emulation.setDeviceMetricsOverride", width=WIDTHS[size], height=800,
                 deviceScaleFactor=1, mobile=size == "phone")  # fmt: skip
    browser.open(page)
    assert browser.run("document.documentElement.scrollWidth") <= WIDTHS[size]
    # Nothing is cut off that cannot be scrolled to.
    cut = browser.run(
        """[...document.querySelectorAll("main p, main dd, main h2, .panel *")].filter((e) =>
          !e.closest(".scroll") && e.checkVisibility() && !(e instanceof SVGElement)
          && e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.textContent)"""
    )
    assert cut == []
    browser.call("Emulation.clearDeviceMetricsOverride")


def test_on_a_phone_a_published_number_its_measured_one_and_the_verdict_are_in_view(
    tmp_path, browser
):
    page = shown(with_published(small_answer()), tmp_path)
    browser.call("Emulation.setDeviceMetricsOverride", width=390, height=800,
                 deviceScaleFactor=1, mobile=True)  # fmt: skip
    browser.open(page)
    ends = browser.run(
        """[...document.querySelectorAll("#published tbody td[data-name]")].map((e) =>
          [e.getBoundingClientRect().right, getComputedStyle(e, "::before").content])"""
    )
    browser.call("Emulation.clearDeviceMetricsOverride")
    assert len(ends) == 2 * 5
    assert max(right for right, _ in ends) <= 390
    names = [name for _, name in ends[:5]]
    assert ["published" in names[0], "measured" in names[1], "verdict" in names[2]] == [True] * 3


def test_reasons_of_the_optimum_are_in_view_on_a_phone_and_said_once_elsewhere(page, browser):
    def cells():
        return browser.run(
            """[...document.querySelectorAll("#optimum tbody td")].map((e) =>
              [e.dataset.name, e.getBoundingClientRect().right, getComputedStyle(e).display])"""
        )

    browser.open(page)
    assert all(name == "not below" for name, _, display in cells() if display == "none")
    browser.call("Emulation.setDeviceMetricsOverride", width=390, height=800,
                 deviceScaleFactor=1, mobile=True)  # fmt: skip
    browser.open(page)
    phone = cells()
    browser.call("Emulation.clearDeviceMetricsOverride")
    assert phone
    assert len(phone) % 3 == 0
    assert [name for name, *_ in phone[:3]] == ["inf L", "not below", "not above"]
    assert max(right for _, right, _ in phone) <= 390
    assert all(display != "none" for *_, display in phone)


def test_a_dark_page_has_light_text_also_in_figures(page, browser):
    browser.open(page)
    colours = """["body", "#threshold-value", "svg.figure text", "h2"].map((s) =>
      [getComputedStyle(document.querySelector(s)).color,
       getComputedStyle(document.querySelector(s)).fill])"""
    light = browser.run(colours)
    scheme = {"name": "prefers-color-scheme", "value": "dark"}
    browser.call("Emulation.setEmulatedMedia", features=[scheme])
    dark = browser.run(colours)
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    browser.call("Emulation.setEmulatedMedia", media="print", features=[scheme])
    printed = browser.run(colours)
    browser.call("Emulation.setEmulatedMedia", media="", features=[])
    assert brightness(ground) < 40
    assert all(brightness(c) > 180 for (c, _) in dark)
    assert brightness(dark[2][1]) > 180
    assert brightness(light[2][1]) < 40
    assert printed[2] == light[2]


def brightness(colour):
    return sum(int(c) for c in colour.split("(")[1].rstrip(")").split(",")[:3]) / 3


def test_a_design_shows_its_parts_and_no_estimate_where_more_is_unresolved(tmp_path, browser):
    answer = with_design(small_answer())
    answer = answer.model_copy(update={"experiments": answer.experiments[:1]})
    browser.open(shown(answer, tmp_path))
    assert not browser.run("document.getElementById('all').checkVisibility()")
    e = answer.experiments[0]
    seen = every_place(browser)
    values = {(row[0].removeprefix("eps = "), row[1]): row for row in seen}
    for g, event in enumerate(answer.asked):
        one = e.exceedance.estimates[g][-1]
        row = values[number(event.threshold), f"n = {one.step:,}"]
        assert (row[2] == "unresolved") == one.open
        assert row[5].startswith("proved ")
        assert "unresolved" in row[5]
    assert browser.complaints() == []


def test_experiments_of_other_thresholds_and_steps_have_no_number_there(tmp_path, browser):
    """Kinds of events, thresholds and steps that only some experiments have."""
    whole = with_experiments(small_answer(), ["long", "short"])
    long, short = whole.experiments
    last = len(short.checkpoints) - 1
    rows = [row[:last] for row in short.exceedance.estimates]
    of_risk = {"event": "risk_above", "eps": [c + 0.125 for c in long.band.eps]}
    parts = {
        name: [row[:last] for row in getattr(short.band, name)][1:]
        for name in ("estimate", "estimate_upper", "lower", "upper")
    }
    short = short.model_copy(
        update={
            "checkpoints": short.checkpoints[:last],
            "exceedance": short.exceedance.model_copy(update={"estimates": rows}),
            "band": short.band.model_copy(update=parts | {"eps": short.band.eps[1:]}),
        }
    )
    long = long.model_copy(update={"bands": [long.band.model_copy(update=of_risk)]})
    answer = whole.model_copy(update={"experiments": [long, short], "spreads": []})
    browser.open(write_page(answer, tmp_path, ["A sentence."]))
    row = "[...document.querySelectorAll('#rows tr')].map((r) => r.children[1].textContent)"
    assert browser.run(row)[1] == "-"
    move = """(() => { const s = document.getElementById('%s'); s.value = %s;
      s.dispatchEvent(new Event('input')); })()"""
    browser.run(move % ("step", last - 1))
    assert all(value != "-" for value in browser.run(row))
    browser.run(move % ("threshold", 0))
    assert browser.run(row)[1] == "-"
    # The short one alone: its sliders end where it does.
    browser.run("document.querySelectorAll('#rows button')[1].click()")
    ends = [
        browser.run(f"Number(document.getElementById('{s}').max)") for s in ("threshold", "step")
    ]
    assert ends == [len(short.band.eps) - 1, last - 1]
    # It has no threshold of the risk: that kind is the long one's, and choosing leads there.
    kinds = browser.run("[...document.querySelector('#choices select').options].map((o) => o.text)")
    assert kinds == ["P( risk > optimal risk + eps )", "P( risk > threshold )"]
    choose = """(() => { const s = document.querySelector('#choices select'); s.value = 1;
      s.dispatchEvent(new Event('change'));
      return document.getElementById('what').textContent; })()"""
    what = browser.run(choose)
    assert what.startswith("P( risk > 0.")
    assert what.endswith(", long")
    browser.run("document.querySelectorAll('#rows button')[1].click()")
    what = browser.run("document.getElementById('what').textContent")
    assert what.startswith("P( risk > optimal risk + 0.")
    assert what.endswith(", short")
    assert browser.complaints() == []


@pytest.mark.slow
def test_the_page_prints_on_whole_sheets(page, browser, tmp_path):
    browser.open(page)
    printed = browser.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
    content = base64.b64decode(printed["data"])
    assert content.startswith(b"%PDF")
    assert content.count(b"/Type /Page\n") + content.count(b"/Type/Page ") < 40


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """Return the source of axe-core, a checker of accessibility, from npm's registry."""
    known = os.environ.get("JAXSIM_TEST_AXE")
    if known:
        return Path(known).read_text(encoding="utf-8")
    folder = tmp_path_factory.mktemp("axe")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed, which axe-core comes with")
    command = [
        npm,
        "install",
        "--silent",
        "--ignore-scripts",
        "--prefix",
        str(folder),
        "axe-core@4",
    ]
    if subprocess.run(command, capture_output=True, check=False, timeout=120).returncode:
        pytest.skip("axe-core could not be downloaded")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", WIDTHS)
@pytest.mark.parametrize("kind", ["plain", "design", "published"])
def test_axe_finds_nothing(kind, size, scheme, page, axe, tmp_path):
    if kind == "design":
        page = shown(with_design(small_answer()), tmp_path, plots=True)
    if kind == "published":
        page = shown(with_published(small_answer()), tmp_path)
    with Browser(width=WIDTHS[size], dark=scheme == "dark") as one:
        one.open(page)
        one.run(f"{axe}; 0")
        one.run("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        found = one.run("axe.run().then((r) => r.violations)")
    said = [(v["id"], v["impact"], [n["target"] for n in v["nodes"]][:5]) for v in found]
    assert not said, json.dumps(said, indent=1)
