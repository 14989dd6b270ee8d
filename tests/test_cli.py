"""The commands as a user runs them."""

import importlib.metadata
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from jaxsim import InputError, cli
from jaxsim.engines.engine import evaluation
from jaxsim.launch.replay import replay
from jaxsim.launch.simulate import simulate
from jaxsim.report.doctor import FINE, risk_error
from jaxsim.report.export import export
from jaxsim.study.catalogue import READY, sources
from jaxsim.study.study import Study
from tests.studies import TWO, command, made_up, study, table, toml


def run(monkeypatch, capsys, *arguments, code=0):
    """Run the command line in this process and return its standard output."""
    return command(monkeypatch, capsys, *arguments, code=code)[0]


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    directory = tmp_path_factory.mktemp("computed")
    simulate(study(grid=TWO), directory)
    return directory


@pytest.fixture
def finished(computed, tmp_path):
    """A finished directory of a test's own."""
    return Path(shutil.copytree(computed, tmp_path / "out"))


def test_list_names_the_ready_studies(monkeypatch, capsys):
    shown = run(monkeypatch, capsys, "list")
    assert set(READY) == {"depth", "digits", "quickstart", "rare", "symmetry", "width"}
    assert all(name in shown for name in READY)
    titles = " ".join(shown.split())
    assert all(name in shown and source.authors in titles
               for source in sources() for name in source.studies)  # fmt: skip


def test_show_takes_the_smaller_settings_of_a_reproduction(monkeypatch, capsys):
    name, *one = "1712.08968", "--set", "variables.k=[6]"
    whole = json.loads(run(monkeypatch, capsys, "show", name, *one))
    small = json.loads(run(monkeypatch, capsys, "show", name, "--quick", *one))
    assert (small["name"], small["published"]) == ("1712.08968-quick", whole["published"])
    assert small["replicates"] < whole["replicates"]
    run(monkeypatch, capsys, "show", "depth", "--quick", code=2)


def test_a_figure_and_a_table_for_a_paper(monkeypatch, capsys, finished):
    arguments = "plot", finished, "exceedance_vs_n", "--eps", "0.02", "--style", "paper"
    path, caption = run(monkeypatch, capsys, *arguments).splitlines()
    assert Path(path).read_bytes().startswith(b"%PDF")
    assert caption.startswith("caption: ")
    (tex,) = run(monkeypatch, capsys, "export", finished, "--format", "latex").splitlines()
    assert "\\toprule" in Path(tex).read_text()
    assert tex.endswith("estimates.tex")
    (md,) = run(monkeypatch, capsys, "export", finished, "--format", "markdown").splitlines()
    assert Path(md).read_text().count("| sgd |") == 1


@pytest.mark.parametrize("name", READY)
def test_ready_studies_are_accepted_and_explained(name):
    loaded = Study.load(name)
    # Of rare failures one experiment has many strata.
    (one, *others) = loaded.experiments
    assert len(others) > 2 or len(loaded.designs[one.id].strata) > 20
    assert loaded.spec.title


def test_show_resolves_every_default(monkeypatch, capsys, tmp_path):
    (tmp_path / "study.toml").write_text(toml(table()))
    shown = json.loads(run(monkeypatch, capsys, "show", "study.toml", "--set", "steps=70"))
    assert (shown["steps"], shown["precision"], shown["problem"]["loss"]) == (
        70, "float32", "squared",
    )  # fmt: skip
    assert Study.from_dict(shown).spec.model_dump(mode="json") == shown
    more = json.loads(run(monkeypatch, capsys, "show", "study.toml", "--experiments"))
    (experiment,) = more["experiments"]
    assert experiment["checkpoints"] == [0, 1, 7, 30, 60]
    assert experiment["method"]["keeps_inactive_neurons"] is True
    assert experiment["method"]["hyperparameters"]["b1"] == 0.9


def test_plan_tells_blocks_shards_memory_and_time(monkeypatch, capsys, tmp_path):
    (tmp_path / "study.toml").write_text(toml(table(grid=TWO)))
    shown = run(monkeypatch, capsys, "plan", "study.toml")
    assert "2 experiments, 160 runs, 2 programs to compile on 2 x cpu" in shown
    row = next(line for line in shown.splitlines() if line.startswith("adam")).split()
    assert row[1:7] == ["10", "60", "vmap", "16", "5", "3"]


def test_report_answers_anew_from_what_is_there(finished, monkeypatch, capsys):
    shown = run(monkeypatch, capsys, "report", finished, "--set", "epsilon=[0.02]", "--no-plots")
    assert "exceeds the optimal risk by more than 0.02 with probability" in shown
    assert not (finished / "plots").exists()
    run(monkeypatch, capsys, "report", finished)
    assert (finished / "report.html").exists()


@pytest.mark.parametrize("engine", ["vmap", "lanes"])
def test_replay_is_the_same_bits_with_every_step(engine, tmp_path, monkeypatch, capsys):
    execution = {"engine": engine, "width": 16, "shard": 32}
    results = simulate(study(grid=TWO, execution=execution), tmp_path / "out")
    shown = run(monkeypatch, capsys, "replay", tmp_path / "out", "adam", 37)
    assert "the recorded risks are the same bits" in shown
    (path,) = (tmp_path / "out" / "replays").glob("*-37.csv")
    again = pd.read_csv(path)
    assert again.n.tolist() == list(range(61))
    frame = results.to_pandas()
    there = frame[(frame.experiment == "adam") & (frame.replicate == 37)]
    np.testing.assert_array_equal(again.risk[there.n].to_numpy(), there.risk.to_numpy())


def test_export_writes_what_to_pandas_returns(finished, monkeypatch, capsys):
    expected = simulate(study(grid=TWO), finished).to_pandas()
    for form, read in (("csv", pd.read_csv), ("parquet", pd.read_parquet)):
        path = run(monkeypatch, capsys, "export", finished, "--format", form).strip()
        found = read(path)
        assert found.columns.tolist() == expected.columns.tolist()
        np.testing.assert_array_equal(found.risk, expected.risk)
        np.testing.assert_array_equal(found.inactive_1, expected.inactive_1)


def test_the_schema_describes_every_key(monkeypatch, capsys):
    schema = json.loads(run(monkeypatch, capsys, "export", "--format", "schema"))
    assert set(table()) <= set(schema["properties"])
    assert "description" in json.dumps(schema["$defs"]["TrainingSpec"])


def test_doctor_finds_nothing_wrong_here(monkeypatch, capsys):
    shown = run(monkeypatch, capsys, "doctor")
    for word in (
        "devices",
        "float64",
        "matmul precision",
        "compilation cache",
        "exact risks",
        "no problems",
    ):
        assert word in shown


def test_doctor_does_not_trust_a_device_that_computes_wrong_risks(monkeypatch, capsys):
    monkeypatch.setattr("jaxsim.report.doctor.risk_error", lambda: float("nan"))
    shown = run(monkeypatch, capsys, "doctor", code=2)
    assert "exact risks of small networks are wrong by nan" in shown


def test_doctor_says_why_exact_risks_cannot_be_computed(monkeypatch, capsys):
    def fail():
        raise RuntimeError("the compiler gave up\nhere")

    monkeypatch.setattr("jaxsim.report.doctor.risk_error", fail)
    shown = run(monkeypatch, capsys, "doctor", code=2)
    assert "problem: exact risks cannot be computed: the compiler gave up\n" in shown


@pytest.mark.slow
def test_doctor_notices_wrong_kinks(monkeypatch):
    # Compiled programs are remembered by what they compute, not by what is patched.
    monkeypatch.setattr("jaxsim.report.doctor.evaluation", evaluation.__wrapped__)
    monkeypatch.setattr("jaxsim.network.kinks.put", lambda array, places, values: array)
    assert not risk_error() < FINE


def test_doctor_names_a_clashing_distribution(monkeypatch, capsys):
    monkeypatch.setattr("jaxsim.report.doctor.risk_error", lambda: 0.0)
    owners = {"jaxsim": ["jaxsim-mc", "jaxsim"]}
    monkeypatch.setattr("importlib.metadata.packages_distributions", lambda: owners)
    shown = run(monkeypatch, capsys, "doctor", code=2)
    assert "the distribution 'jaxsim' also installs a package" in shown


def test_every_command_warns_of_a_clashing_distribution(monkeypatch, capsys):
    there = importlib.metadata.version
    monkeypatch.setattr(
        "importlib.metadata.version", lambda name: "0.9" if name == "jaxsim" else there(name)
    )
    monkeypatch.setattr(sys, "argv", ["jaxsim", "list"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "an unrelated distribution named 'jaxsim' is installed here" in capsys.readouterr().err


def test_running_again_computes_nothing_and_more_replicates_only_what_is_missing(
    finished, tmp_path, monkeypatch, capsys
):
    (tmp_path / "study.toml").write_text(toml(table(grid=TWO)))
    stamps = {p: p.stat().st_mtime_ns for p in finished.glob("shards/*/*")}
    run(monkeypatch, capsys, "run", "study.toml", "-o", finished, "--no-plots")
    run(monkeypatch, capsys, "run", "study.toml", "-o", finished, "--replicates", 96, "--no-plots")
    there = {p: p.stat().st_mtime_ns for p in finished.glob("shards/*/*")}
    assert len(there) > len(stamps)
    unchanged = {p for p in stamps if p.name != "0000000064-0000000080.parquet"}
    assert all(there[p] == stamps[p] for p in unchanged)


def test_version(monkeypatch, capsys):
    assert run(monkeypatch, capsys, "--version").startswith("jaxsim 0.")


@pytest.mark.parametrize("name", ["\u00b2", "9" * 5000, "\u0663", "0", "3"])
def test_a_number_of_no_experiment_is_refused(finished, name):
    with pytest.raises(InputError, match=r"^experiment = .* is not known"):
        replay(finished, name, 0)


@pytest.mark.parametrize(
    ("key", "arguments"),
    [
        ("replicate", ("1", 1.5)), ("replicate", ("1", "0")), ("replicate", ("1", None)),
        ("replicate", ("1", True)), ("replicate", ("1", -1)), ("replicate", ("1", 10**6)),
        ("experiment", (1, 0)), ("every", ("1", 0, 0.5)),
    ],
)  # fmt: skip
def test_replay_refuses_what_names_no_run(key, arguments, finished):
    with pytest.raises(InputError, match=f"^{key} = "):
        replay(finished, *arguments)


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (".", "a directory"), ("/", "a directory"), ("there", "a directory"),
        ("link", "a symbolic link"), ("pipe", "no regular file"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("file_format", ["schema", "csv"])
def test_export_replaces_files_and_nothing_else(target, kind, file_format, finished, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    os.mkfifo(tmp_path / "pipe")
    directory = finished if file_format == "csv" else None
    place = Path(target) if target in "./" else tmp_path / target
    with pytest.raises(InputError, match=f"^output = .* is {kind}; accepted: a new file, or a "):
        export(directory, file_format, place)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "mine").read_text() == "mine"
    export(directory, file_format, tmp_path / "mine")
    assert (tmp_path / "mine").read_text() != "mine"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("rates", "kind"), [([1, 2], "int64"), ([1, 10**20], "double"), ([0.5, 10**20], "double")]
)
def test_parquet_holds_rates_of_every_size(tmp_path, rates, kind):
    made_up(study(replicates=16, grid={"optimizer.learning_rate": rates}), tmp_path / "out")
    export(tmp_path / "out", "parquet", None)
    there = pq.read_table(tmp_path / "out" / "results.parquet")
    assert str(there.schema.field("optimizer.learning_rate").type) == kind
    assert set(there["optimizer.learning_rate"].to_pylist()) == set(rates)
