"""`jaxsim explain`: its topics are there, and its tables describe what the code does."""

import json
import re
import sys
from io import StringIO

import pandas as pd
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from jaxsim.explain import TOPICS, overview, tables, topic_text
from jaxsim.optimizer import others
from jaxsim.report.export import export
from jaxsim.report.write import write_report
from tests.studies import TWO, command, made_up, study
from tests.test_readme import EXPLAIN


def described(topic, heading):
    """Return the first column of the tables under a heading -> the last one."""
    section = topic_text(topic).split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (`.*?`) \|.*?([^|]*) \|$", section, re.M)
    return {name.strip("`"): meaning.strip() for name, meaning in rows}


def test_without_a_topic_all_are_listed_in_a_line_each(monkeypatch, capsys):
    shown, _ = command(monkeypatch, capsys, "explain")
    assert shown == overview()
    lines = [line for line in shown.splitlines() if line.startswith("- ")]
    assert [line.split("`")[1] for line in lines] == sorted(p.stem for p in EXPLAIN.glob("*.md"))
    assert all(re.fullmatch(r"- `[a-z-]+`: .{10,90}", line) for line in lines)


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_plain_markdown_in_a_pipe(topic, monkeypatch, capsys):
    shown, _ = command(monkeypatch, capsys, "explain", topic)
    assert shown.startswith("# ")
    assert "\n<!--" not in shown
    file = (EXPLAIN / f"{topic}.md").read_text(encoding="utf-8")
    assert [line for line in file.splitlines() if line and not line.startswith("<!--")] == [
        line for line in shown.splitlines() if line
    ]


def test_a_topic_is_formatted_on_a_terminal(monkeypatch, capsys):
    class Terminal(StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    command(monkeypatch, capsys, "explain", "numbers")
    shown = terminal.getvalue()
    assert "Permanent failures" in shown
    assert "## " not in shown


def test_an_unknown_topic_gets_one_sentence(monkeypatch, capsys):
    shown, said = command(monkeypatch, capsys, "explain", "result", code=2)
    assert shown == ""
    assert said.startswith("error: topic = 'result' is not known (did you mean 'results'?); accep")
    assert said.count("\n") == 1


@pytest.mark.parametrize("topic", TOPICS)
def test_the_tables_are_those_of_the_code(topic):
    text = (EXPLAIN / f"{topic}.md").read_text(encoding="utf-8")

    def comparable(text):
        # The list of optax's optimizers is that of the installed version.
        return re.sub(r"<!-- table: other optimizers -->.*?<!-- end -->", "", text, flags=re.S)

    assert comparable(tables.renewed(text)) == comparable(text), (
        f"the tables of jaxsim/explain/{topic}.md are out of date; "
        "`python -m jaxsim.explain.tables` renews them"
    )


def test_a_table_that_is_out_of_date_is_noticed():
    stale = "<!-- table: quantiles -->\n\n| `level` | of something |\n\n<!-- end -->\n"
    assert "| `level` | of the quantile, in (0, 1). |" in tables.renewed(stale)


def test_every_key_of_a_study_is_described():
    keys = described("study", "All keys")
    assert {"steps", "hidden", "matmul_precision", "grace_period", "size"} <= set(keys)
    assert all(keys.values()), [key for key, meaning in keys.items() if not meaning]


def test_other_optimizers_are_named():
    named = described("names", "Other optimizers")
    assert set(named) >= {"adamw", "lion", "radam"}
    assert len(set(others.others()) - set(named)) < 5


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two optimizers, two hidden layers, three points; compared in pairs, reported, exported."""
    directory = tmp_path_factory.mktemp("explain")
    points = {"law": "points", "points": [-1.0, 0.0, 1.0]}
    tiny = study(
        grid=TWO, paired=["optimizer"], replicates=16, steps=30, execution={"width": 16},
        problem={"input": points, "target": "x**2"}, network__hidden=[3, 2],
    )  # fmt: skip
    results = made_up(tiny, directory)
    write_report(results, tiny, directory, Console(file=StringIO()), plots=False)
    export(directory, "csv", None)
    return directory


@pytest.mark.parametrize(
    ("heading", "file"),
    [
        ("Exported runs", "results.csv"),
        ("shards", "shards/*/*.parquet"),
        ("estimates.csv", "estimates.csv"),
        ("quantiles.csv", "quantiles.csv"),
        ("comparisons.csv", "comparisons.csv"),
    ],
)
def test_every_column_is_described(heading, file, finished):
    path = next(iter(sorted(finished.glob(file))))
    columns = pq.read_schema(path).names if path.suffix == ".parquet" else list(pd.read_csv(path))
    of = described("results", heading)
    assert all(of.values())

    def general(column):
        if "." in column:
            return "problem.target, optimizer.name, ..."
        return re.sub(r"inactive_\d+_at_least", "inactive_L_at_least", column)

    missing = set(of) - set(map(general, columns))
    assert set(map(general, columns)) <= set(of)
    # Of studies with a data set, with events of error rates, with a design, or that ask for more.
    allowed = {"risk_over", "error_rate", "error_rate_error", "stratum", "probability", "weight"}
    allowed |= {"pattern_changes"}
    assert missing <= (set() if file.endswith("s.csv") and file != "results.csv" else allowed)


def test_every_key_of_the_answer_is_described(finished):
    of = described("results", "answer.json")
    assert all(of.values())

    def keys(value, inside=""):
        if isinstance(value, list):
            for part in value:
                yield from keys(part, inside)
        elif isinstance(value, dict) and inside not in ("axes", "device_kinds", "others"):
            for key, part in value.items():
                yield key
                yield from keys(part, key)

    answer = json.loads((finished / "answer.json").read_text())
    assert answer["pairs"]["comparisons"]
    assert set(keys(answer)) <= set(of)
