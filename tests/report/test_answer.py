"""What people read: sentences, table, page, plots, progress."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from jaxsim import analyse, simulate
from jaxsim.report.answer import notes, print_whole, sentences, table, write_report
from jaxsim.report.plots import FIGURES
from jaxsim.report.progress import ConsoleProgress
from jaxsim.report.text import interval_text
from tests.studies import TWO, study

SPEC = {"grid": TWO, "paired": ["optimizer"], "replicates": 160, "title": "x^2, $cheap"}


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    directory = tmp_path_factory.mktemp("reported")
    stream = io.StringIO()
    one = study(**SPEC)
    results = simulate(one, directory)
    analysis = write_report(results, one, directory, Console(file=stream, width=100))
    return directory, analysis, stream.getvalue()


def test_the_answer_is_a_sentence_a_person_would_say(reported):
    _, analysis, shown = reported
    said = sentences(analysis)
    one = analysis.experiments
    ranked = sorted(one, key=lambda e: (e.estimates[0][-1].estimate, e.experiment.label))
    assert said[0].startswith(
        f"After 60 steps {ranked[0].experiment.label} misses the optimum by more than 0.001 with "
        "probability "
    )
    assert "the least of 2" in said[0]
    assert any("of 1 pairs differ at eps = 0.001" in s for s in said)
    assert any(s.startswith("Proved without sampling, for every number of steps") for s in said)
    for sentence in said:
        assert sentence in " ".join(shown.split("\n"))


def test_the_table_has_a_row_per_experiment_and_eps_and_fits_a_terminal(reported):
    _, analysis, _ = reported
    stream = io.StringIO()
    Console(file=stream, width=80).print(table(analysis))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(bool(re.search(r" 0\.(001|05) ", line)) for line in lines) == 4
    for e in analysis.experiments:
        last = e.estimates[1][-1]
        _, low, high = interval_text(last.estimate, last.lower, last.upper)
        assert any(f"[{low}, {high}]" in line for line in lines)


def test_a_narrow_terminal_loses_no_column(reported):
    _, analysis, _ = reported
    stream = io.StringIO()
    console = Console(file=stream, width=40)
    print_whole(table(analysis), console)
    assert console.width == 40
    header = stream.getvalue().splitlines()[1]
    assert header.split()[-4:] == ["for", "ever", "div.", "und."]


def test_the_notes_say_how_things_are_known(reported):
    _, analysis, _ = reported
    said = "\n".join(notes(analysis))
    assert "clopper-pearson (coverage guaranteed" in said
    assert "inf L = [" in said
    assert "(free-knot linear fits of a parabola with 3 and 2 kinks)" in said
    assert "Gauss-Legendre, exact" in said


def test_every_figure_is_drawn_twice_with_the_symbols_of_the_formula(reported):
    directory, _, _ = reported
    for name in FIGURES:
        png, svg = (directory / "plots" / f"{name}.{kind}" for kind in ("png", "svg"))
        assert png.read_bytes().startswith(b"\x89PNG")
        text = svg.read_text()
        assert "sgd" in text
        assert "adam" in text
        assert "$cheap" in text
    assert "inf" in (directory / "plots" / "exceedance_vs_eps.svg").read_text()


def test_the_page_is_self_contained_and_complete(reported):
    directory, analysis, _ = reported
    page = (directory / "report.html").read_text()
    assert page.count("data:image/svg+xml;base64,") == len(FIGURES)
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "<script" not in page
    for e in analysis.experiments:
        for row in e.estimates:
            assert f"<td>{row[-1].failures:,}</td>" in page


def test_tables_are_written(reported):
    directory, _, _ = reported
    for name in ("estimates", "quantiles", "comparisons"):
        assert (directory / f"{name}.csv").read_text().count("\n") > 2


def test_a_title_cannot_inject_markup(tmp_path):
    hostile = study(title="<script>alert(1)</script>", replicates=16)
    results = simulate(hostile, tmp_path / "hostile")
    write_report(results, hostile, tmp_path / "hostile", Console(file=io.StringIO()))
    assert "<script" not in (tmp_path / "hostile" / "report.html").read_text()


def test_figures_also_show_diverged_runs_and_nothing_else_breaks(tmp_path):
    wild = study(optimizer={"name": "sgd", "learning_rate": 60.0}, steps=300, replicates=32)
    results = simulate(wild, tmp_path / "wild")
    stream = io.StringIO()
    analysis = write_report(results, wild, tmp_path / "wild", Console(file=stream, width=100))
    (e,) = analysis.experiments
    assert e.diverged > 0
    assert e.estimates[0][-1].failures >= e.diverged
    assert "runs diverged" in stream.getvalue()


def test_progress_tells_rate_time_left_and_running_estimates(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxsim.report.progress.PLAIN_SECONDS", 0.0)
    one = study(**SPEC)
    stream = io.StringIO()
    progress = ConsoleProgress(Console(file=stream, width=300), one.spec)
    simulate(one, tmp_path / "told", progress=progress, devices=1)
    said = stream.getvalue()
    # The first shard's time is mostly compilation.
    assert "runs, estimating the time left; preview" in said.splitlines()[0]
    assert re.search(r"\d+ of 320 runs, [\d,]+ runs/s, \d+ s left", said)
    assert re.search(r"preview of P\(risk > best \+ 0.05\): (sgd|adam) [\d.]+ \([\d.]+ to", said)
    simulate(study(**SPEC | {"replicates": 192}), tmp_path / "told", progress=progress)
    assert "resuming: 320 of 384 runs are there" in stream.getvalue()


def test_an_interval_is_never_printed_narrower_than_it_is():
    rng = np.random.default_rng(0)
    for _ in range(2000):
        low, high = np.sort(10.0 ** rng.uniform(-9, 0, 2))
        _, a, b = interval_text((low + high) / 2, low, high)
        assert float(a) <= low * (1 + 1e-9)
        assert float(b) >= high * (1 - 1e-9)


def test_a_report_before_any_run_says_so(tmp_path):
    from jaxsim.launch.directory import bind
    from jaxsim.launch.simulate import open_results

    directory = bind(study(), tmp_path / "empty")
    stream = io.StringIO()
    results = open_results(directory)
    write_report(results, study(), Path(tmp_path / "empty"), Console(file=stream))
    assert "no finished runs yet" in stream.getvalue()
    assert analyse(results, [0.1]).experiments[0].runs == 0
