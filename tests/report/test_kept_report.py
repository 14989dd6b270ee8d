"""A report is shown again only where everything that it depends on is as it was."""

import io
import os

import pytest
from rich.console import Console

from jaxsim import package
from jaxsim.errors import InputError
from jaxsim.report import kept_figures, kept_report
from jaxsim.report.kept_report import KeptReport
from tests.studies import command, made_up, study

FILES = ["answer.json", "report.html", "plots/a.png"]
ASKED = [True]


def digests_anew():
    kept_figures.drawing_digest.cache_clear()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Give a test a cache, a package and a directory of results of its own."""
    monkeypatch.setenv("JAXSIM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "settings"))
    monkeypatch.setattr(package, "PACKAGE", tmp_path / "package")
    for folder in ("settings", "package", "runs/shards/1", "runs/optimum", "runs/plots"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("package/style.py", "runs/study.json", "runs/shards/1/0-64.parquet"):
        (tmp_path / name).write_text(name)
    digests_anew()
    yield tmp_path / "runs"
    digests_anew()


def kept(place, asked=ASKED, width=160, written=None):
    digests_anew()
    console = Console(file=io.StringIO(), width=width)
    text = [] if written is None else written
    return KeptReport(place, place, asked, console, text.append)


def report(place, answered=None, asked=ASKED):
    """Write a report and print it, as the command does."""
    made, text = kept(place, asked), []
    made._write = text.append
    with made.remembering(answered or study(), FILES):
        (place / "answer.json").write_text("{}")
        (place / "report.html").write_text("<p>")
        made.console.print("the answer", style="bold")
    return "".join(text)


def test_what_was_printed_is_shown_again(place):
    assert not kept(place).show()
    printed, again = report(place), []
    assert kept(place, written=again).show()
    assert "".join(again) == printed == "the answer\n"


def changed(name, text="changed"):
    def change(place):
        (place / name).write_text(text)

    return change


def moved(place):
    """Replace a shard by one of the same size and time of change."""
    path = place / "shards" / "1" / "0-64.parquet"
    state = path.stat()
    beside = path.with_name("new")
    beside.write_text(path.read_text().upper())
    os.utime(beside, ns=(state.st_atime_ns, state.st_mtime_ns))
    beside.replace(path)


@pytest.mark.parametrize(
    "change",
    [
        changed("study.json"), changed("shards/1/0-64.parquet"), changed("shards/1/64-128.parquet"),
        changed("optimum/a.npz"), changed("design/a.json"), moved,
        changed("../package/style.py"), changed("../package/new.py"),
        changed("../settings/matplotlibrc", "font.size: 12\n"),
        changed("answer.json"), changed("report.html"), changed("plots/a.png"),
        lambda place: (place / "answer.json").unlink(),
        lambda place: (place / "shards" / "1" / "0-64.parquet").unlink(),
        lambda place: (place / "shards" / "2").symlink_to(place / "shards" / "1"),
    ],
)  # fmt: skip
def test_whatever_changes_the_report_is_made_anew(place, change):
    report(place)
    (place / "design").mkdir()
    assert kept(place).show()
    change(place)
    assert not kept(place).show()


def test_other_options_terminals_libraries_and_settings_are_other_reports(place, monkeypatch):
    report(place)
    assert not kept(place, asked=[False]).show()
    assert not kept(place, asked=[True, "epsilon=[0.1]"]).show()
    assert not kept(place, width=80).show()
    with monkeypatch.context() as patch:
        patch.setenv("JAX_ENABLE_X64", "0")
        assert not kept(place).show()
    with monkeypatch.context() as patch:
        version = kept_report.importlib.metadata.version
        patch.setattr(
            kept_report.importlib.metadata, "version",
            lambda name: "0.0" if name == "scipy" else version(name),
        )  # fmt: skip
        assert not kept(place).show()
    assert kept(place).show()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": {}, "text": ""}', '{"files": 1}'])
def test_a_damaged_record_is_made_anew(place, text):
    report(place)
    (record,) = (place.parent / "cache" / "reports").iterdir()
    record.write_text(text)
    assert not kept(place).show()
    report(place)
    assert kept(place).show()


def test_what_came_while_it_was_made_is_not_taken_for_seen(place):
    made = kept(place)
    with made.remembering(study(), FILES):
        changed("shards/1/64-128.parquet")(place)
        made.console.print("the answer")
    assert not kept(place).show()


def test_a_report_that_fails_is_not_remembered_and_says_what_it_said(place):
    text = []
    made = kept(place, written=text)

    def fail():
        with made.remembering(study(), FILES):
            made.console.print("the beginning")
            raise InputError("the end")

    with pytest.raises(InputError, match="the end"):
        fail()
    assert text == ["the beginning\n"]
    assert not kept(place).show()


def test_studies_that_refer_to_more_are_always_analysed(place, tmp_path):
    data = tmp_path / "rows.csv"
    data.write_text("x,y\n0,1\n1,0\n")
    of_file = study(problem={"data": {"path": str(data)}, "loss": "squared"})
    report(place, of_file)
    assert not kept(place).show()


def test_the_command_shows_what_it_would_make(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("JAXSIM_CACHE_DIR", str(tmp_path / "cache"))
    made_up(study(replicates=64), tmp_path / "runs")
    first = command(monkeypatch, capsys, "report", "runs", "--no-plots")
    monkeypatch.setattr("jaxsim.report.write.write_report", None)
    assert command(monkeypatch, capsys, "report", "runs", "--no-plots") == first
    assert "intervals: " in str(first)
    with pytest.raises(TypeError):
        command(monkeypatch, capsys, "report", "runs", "--no-plots", "--set", "confidence=0.9")
