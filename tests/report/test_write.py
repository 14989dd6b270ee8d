"""The report as files: written before it is printed, always of one answer, whatever labels hold."""

import io
import json
import os
import re
import subprocess
import sys
import tomllib
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from jaxsim import Study, analyse, cli, simulate
from jaxsim.engines.registry import ENGINES
from jaxsim.questions.answer import Answer
from jaxsim.questions.data import Data
from jaxsim.questions.question import Question
from jaxsim.questions.registry import QUESTIONS
from jaxsim.report.kept_report import report_directory
from jaxsim.report.plots import FIGURES, FURTHER, OF_GRIDS
from jaxsim.report.progress import ConsoleProgress
from jaxsim.report.text import interval_text
from jaxsim.report.write import FIGURE_FILES, OPTIMAL_RISK, write_report
from tests.studies import TWO, slow_but, study, toml

SPEC = {"grid": TWO, "paired": ["optimizer"], "replicates": 160, "title": "x^2, $cheap"}


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    directory = tmp_path_factory.mktemp("reported")
    stream = io.StringIO()
    one = study(**SPEC)
    results = simulate(one, directory)
    answer = write_report(results, one, directory, Console(file=stream, width=100))
    return directory, answer, stream.getvalue()


def test_every_view_is_written(reported):
    directory, answer, shown = reported
    for name in ("estimates", "quantiles", "comparisons"):
        assert (directory / f"{name}.csv").read_text().count("\n") > 2
    for name in FIGURES:
        png, svg = (directory / "plots" / f"{name}.{kind}" for kind in ("png", "svg"))
        assert png.read_bytes().startswith(b"\x89PNG")
        text = svg.read_text()
        assert "sgd" in text
        assert "$cheap" in text
    names = (*FIGURES, *FURTHER, *OF_GRIDS, OPTIMAL_RISK)
    every = {f"{name}.{kind}" for name in names for kind in ("png", "svg")}
    assert every == set(FIGURE_FILES)
    assert Answer.model_validate_json((directory / "answer.json").read_text()) == answer
    assert f"page: {directory / 'report.html'}" in shown.replace("\n", "")


def test_a_second_report_of_the_same_answer_draws_nothing(reported, monkeypatch):
    directory, answer, shown = reported
    places = [*(directory / "plots").iterdir()]
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in places}
    assert len(before) >= 2 * len(FIGURES)

    def refused(*arguments):
        raise AssertionError("drawn again")

    monkeypatch.setattr("jaxsim.report.plots.draw_all", refused)
    monkeypatch.setattr("jaxsim.report.plots.style.save", refused)
    one, stream = study(**SPEC), io.StringIO()
    again = write_report(simulate(one, directory), one, directory, Console(file=stream, width=100))
    assert again == answer
    assert stream.getvalue() == shown
    places = [*(directory / "plots").iterdir()]
    assert before == {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in places}


def test_the_page_says_how_to_compute_it_again(reported):
    directory, answer, _ = reported
    page = (directory / "report.html").read_text(encoding="utf-8")
    (text,) = re.findall(r"<pre[^>]*>(.*?)</pre>", page, re.DOTALL)
    again = Study.from_dict(tomllib.loads(unescape(text)))
    assert [e.id for e in again.experiments] == [e.id for e in answer.experiments]
    assert again.spec.replicates == 160
    assert again.spec.execution.engine in ENGINES
    assert f"width {again.spec.execution.width}," in page
    assert all(f"<code>{e.id}</code>" in page for e in answer.experiments)
    provenance = page[page.index('id="provenance"') :]
    assert "320 runs on cpu: jaxsim" in provenance
    assert re.search(r"were written from 20\d\d-\d\d-\d\d \d\d:\d\d to 20", provenance)
    assert "jaxsim run small.toml -o runs/small" in page
    optimum = answer.experiments[0].optimum
    assert f"{optimum.lower.reason}: {optimum.lower.evidence.kind}" in unescape(page)


def test_without_plots_nothing_of_an_earlier_report_remains(tmp_path):
    one = study(replicates=32)
    results = simulate(one, tmp_path)
    (tmp_path / "comparisons.csv").write_text("of another answer\n")
    write_report(results, one, tmp_path, Console(file=io.StringIO()))
    assert (tmp_path / "plots" / FIGURE_FILES[0]).exists()
    write_report(results, one, tmp_path, Console(file=io.StringIO()), plots=False)
    assert not any((tmp_path / "plots" / name).exists() for name in FIGURE_FILES)
    assert not (tmp_path / "comparisons.csv").exists()
    assert 'class="figure' not in (tmp_path / "report.html").read_text()


def test_other_questions_are_answered_in_a_folder_of_their_own(tmp_path):
    base = report_directory(tmp_path, [])
    assert base == tmp_path
    one, two = (report_directory(tmp_path, [f"epsilon=[{e}]"]) for e in (0.01, 0.02))
    assert one != two
    assert one.parent == two.parent == tmp_path / "reports"


def test_changed_questions_leave_the_studys_own_answer_alone(reported, monkeypatch):
    directory, _, _ = reported
    before = (directory / "estimates.csv").read_bytes()
    asked = ["jaxsim", "report", str(directory), "--set", "epsilon=[0.02]", "--no-plots"]
    monkeypatch.setattr(sys, "argv", asked)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert (directory / "estimates.csv").read_bytes() == before
    (folder,) = (directory / "reports").iterdir()
    assert set(pd.read_csv(folder / "estimates.csv").eps) == {0.02}


@pytest.fixture(scope="module")
def study_file(tmp_path_factory):
    """Return a study of a moment."""
    file = tmp_path_factory.mktemp("early") / "s.toml"
    tree = {"name": "early", "replicates": 16, "steps": 2, "checkpoints": 1, "epsilon": [0.01]}
    tree |= {"problem": {"input": "uniform", "target": "x**2"}, "network": {"hidden": [2]}}
    tree |= {"optimizer": {"name": "sgd", "learning_rate": 0.1}, "execution": {"width": 16}}
    tree |= {"optimum": {"budget": 0}}
    file.write_text(toml(tree))
    return file


def closed_pipe():
    read, write = os.pipe()
    os.close(read)
    return write


@pytest.mark.parametrize("streams", slow_but(["both"], ["stdout", "stderr", "both"]))
def test_a_reader_that_leaves_early_is_no_error_and_costs_no_file(streams, study_file, tmp_path):
    warned = "study_warnings = lambda experiments: ('first', 'second')"
    code = f"import sys, jaxsim.study.study as s; s.{warned}; from jaxsim.cli import main; main()"
    write = closed_pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", code, "run", str(study_file), "--no-plots", "-o", tmp_path / "o"],
        stdout=subprocess.PIPE if streams == "stderr" else write,
        stderr=subprocess.PIPE if streams == "stdout" else write,
        text=True, env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    os.close(write)
    out, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "Traceback" not in (said or "")
    assert "BrokenPipe" not in (said or "")
    if streams == "stderr":
        assert "answer: " in out
    for name in ("answer.json", "estimates.csv", "report.html"):
        assert (tmp_path / "o" / name).exists()


@pytest.fixture
def shell(study_file, tmp_path):
    """Return a function that runs a line of a shell with Python, the study and its directory."""
    return lambda text: subprocess.run(
        ["sh", "-c", text, "sh", sys.executable, study_file, tmp_path / "o"],
        capture_output=True, text=True, timeout=300, check=False,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )  # fmt: skip


FULL = (
    "error: standard output cannot be written (No space left on device); accepted: a "
    "terminal, a pipe or a file on a disk with room\n"
)


@pytest.mark.slow
def test_closed_streams_cost_no_results(shell, tmp_path):
    closed = shell('"$1" -m jaxsim run "$2" --no-plots -o "$3" >&- 2>&-')
    assert closed.returncode == 0
    for name in ("answer.json", "estimates.csv", "report.html"):
        assert (tmp_path / "o" / name).exists()


def test_a_full_disk_behind_standard_output_is_said(shell):
    helped = shell('"$1" -m jaxsim --help > /dev/full')
    assert (helped.returncode, helped.stderr) == (2, FULL)


@pytest.mark.slow
def test_full_disks_behind_all_commands_are_said(shell):
    assert shell('"$1" -m jaxsim run "$2" --no-plots -o "$3"').returncode == 0
    full = shell('"$1" -m jaxsim report "$3" --no-plots > /dev/full')
    assert (full.returncode, full.stderr) == (2, FULL)
    assert shell('"$1" -m jaxsim unknown 2> /dev/full').returncode == 2
    assert shell('"$1" -m jaxsim replay "$3" 9 0 2> /dev/full').returncode == 2
    assert shell('"$1" -m jaxsim explain > /dev/full').returncode == 2


def test_labels_and_paths_with_brackets_are_text(tmp_path):
    odd = study(
        experiment=[
            {"label": "[bold]a[/bold]", "optimizer.learning_rate": 0.01},
            {"label": "b[/red]", "optimizer.learning_rate": 0.02},
            {"label": "=1+1", "optimizer.learning_rate": 0.03},
        ],
        replicates=16,
    )
    place = tmp_path / "dir [x]"
    stream = io.StringIO()
    write_report(simulate(odd, place), odd, place, Console(file=stream, width=200), plots=False)
    for label in ("[bold]a[/bold]", "b[/red]", "=1+1", "dir [x]"):
        assert label in stream.getvalue()
    cells = pd.read_csv(place / "estimates.csv").experiment.unique().tolist()
    assert cells == ["[bold]a[/bold]", "b[/red]", "'=1+1"]


def test_no_console_of_the_command_line_reads_markup(capsys):
    from rich.table import Table

    from jaxsim.cli import output

    table = Table("label")
    table.add_row("[bold]a[/bold] b[/red]")
    for console in (output.answer_console(), output.message_console()):
        console.print("[bold]a[/bold] b[/red]")
        console.print(table)
    said = capsys.readouterr()
    assert said.out.count("[bold]a[/bold] b[/red]") == 2
    assert said.err.count("[bold]a[/bold] b[/red]") == 2


def test_diverged_runs_count_as_failures_wherever_they_are_said(tmp_path):
    wild = study(optimizer={"name": "sgd", "learning_rate": 60.0}, steps=300, replicates=32)
    results = simulate(wild, tmp_path / "wild")
    stream = io.StringIO()
    console = Console(file=stream, width=100)
    answer = write_report(results, wild, tmp_path / "wild", console, plots=False)
    (e,) = answer.experiments
    assert e.diverged > 0
    assert e.exceedance.estimates[0][-1].failures >= e.diverged
    assert e.permanent.constant[-1] <= e.runs - e.diverged, "what overflows is no function"
    assert max(e.liminf.certified) <= e.runs - e.diverged
    assert "diverged (infinite or undefined risk), counted as failures" in stream.getvalue()


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


class Longest(Data):
    """The answer of a toy question."""

    largest: float
    sentence: str


class LargestRisk(Question):
    """A toy question: all that one file must hold."""

    name = "largest"

    def __init__(self, subject):
        super().__init__(subject)
        self.value = 0.0

    def add(self, records, stratum=0):
        self.value = max(self.value, float(records.risk[:, -1].max()))

    def merge(self, other):
        self.value = max(self.value, other.value)

    def finish(self):
        return Longest(largest=self.value, sentence=f"the largest risk is {self.value:.3g}")


def test_a_question_takes_one_file_and_a_line_in_the_registry(tmp_path, monkeypatch):
    monkeypatch.setitem(QUESTIONS, "largest", LargestRisk)
    one = study(replicates=32)
    results = simulate(one, tmp_path)
    stream = io.StringIO()
    write_report(results, one, tmp_path, Console(file=stream, width=100), plots=False)
    largest = results.to_pandas().query("n == 60").risk.max()
    written = json.loads((tmp_path / "answer.json").read_text())
    assert written["experiments"][0]["others"]["largest"]["largest"] == largest
    assert f"small: the largest risk is {largest:.3g}" in stream.getvalue()
