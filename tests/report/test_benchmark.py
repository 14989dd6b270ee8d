"""The views of a benchmark: table, JSON with its schema, frame, figure; and what is refused."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

import jaxsim
from jaxsim.report import benchmark as view
from jaxsim.report.benchmark import HEADS, Benchmark, print_benchmark, rows, schema
from jaxsim.speed.figures import (
    Ceiling,
    Choice,
    Figures,
    LeftOut,
    Range,
    RiskSpeed,
    Scaling,
    Speed,
    Work,
)
from tests.studies import command


def speed(engine, width, rate, lanes=1, chosen=False):
    return Speed(
        engine=engine, width=width, lanes=lanes,
        member_steps_per_second=Range.of([0.9 * rate, rate, 1.2 * rate]),
        gflops=rate * 59_087 / 1e9, of_products=rate * 59_087 / 1e11, of_copies=0.5,
        of_vmap=Range.of([rate / 1e5]), compile_seconds=1.5, block_bytes=2.0**20, state_bytes=1000,
        chosen=chosen,
    )  # fmt: skip


def figures(**changes):
    facts = {
        "study": "1-16-16-1", "experiment": "1-16-16-1", "experiments": 1, "shape": "1-16-16-1",
        "optimizer": "adam", "batch_size": 32, "precision": "float32", "date": "2026-01-01T00:00",
        "platform": "cpu", "device_kind": "cpu", "processor": "<b>P</b>", "cores": 2,
        "versions": {"jax": "1"}, "compiler": "gcc", "commit": "c", "pinned": True,
        "work": Work(products=54_272, update=4_815, bytes_moved=7_712),
        "ceilings": [
            Ceiling(devices=n, products_gflops=100.0 * n, copy_gigabytes_per_second=10.0 * n)
            for n in (1, 2)
        ],
        "speeds": [
            speed("vmap", 32, 9e4), speed("vmap", 128, 1e5),
            speed("native", 128, 1e6, 16, chosen=True),
        ],
        "risks": [RiskSpeed(engine="native", width=128, risks_per_second=6e4, share_of_run=0.17)],
        "scaling": [
            Scaling(devices=2, engine="native", width=128, speedup=1.9, of_products=0.56,
                    member_steps_per_second=Range.of([1.9e6])),
        ],
        "left_out": [LeftOut(what="pallas", reason="it is a program for GPUs")],
        "choice": Choice(engine="native", width=128, lanes=16, member_steps_per_second=1.2e6,
                         remembered=False),
        "budget_seconds": 60.0, "seconds": 41.0,
    }  # fmt: skip
    return Figures(**{**facts, **changes})


def shown(measured):
    stream = io.StringIO()
    print_benchmark(measured, Console(file=stream, width=160))
    return stream.getvalue()


def test_a_range_is_that_of_its_readings():
    values = [3.0, 1.0, 2.0, 10.0]
    found = Range.of(values)
    assert (found.low, found.median, found.high, found.readings) == (
        min(values), np.median(values), max(values), 4,
    )  # fmt: skip


def test_the_table_says_what_was_measured_chosen_and_left_out():
    text = shown(Benchmark(figures()))
    (row,) = [line for line in text.splitlines() if line.startswith("native (16 lanes) *")]
    assert "1,000,000" in row
    assert "900,000 to 1,200,000" in row
    assert "59.1" in row
    assert "0.591" in row
    assert "10.00 [10.00, 10.00]" in row
    assert "1.5 s" in row
    assert "1.0 MiB" in row
    assert "one core of <b>P</b>" in text
    assert "not measured: pallas: it is a program for GPUs" in text
    assert "counts 59,087 operations: 54,272 of matrix products" in text
    assert "plan, run and launch take native, width 128" in text
    assert "1.90" in text
    assert "ceilings of 2 cores: matrix products float32 200 GFLOP/s, copies 20.0 GB/s" in text


def test_where_operations_are_not_counted_there_is_a_dash():
    plain = speed("vmap", 32, 1e5).model_copy(update={"gflops": None, "of_products": None})
    measured = figures(
        work=Work(products=None, update=None, bytes_moved=10), speeds=[plain], choice=None
    )
    assert rows(measured)[0][4:6] == ["-", "-"]
    assert "operations are not counted" in shown(Benchmark(measured))
    assert Benchmark(measured).plot().axes


def test_one_line_at_the_prompt_and_a_table_in_a_notebook():
    measured = Benchmark(figures())
    assert repr(measured) == (
        "Benchmark('1-16-16-1' on cpu: native, width 128, 1,000,000 member-steps/s)"
    )
    page = measured._repr_html_()
    assert "&lt;b&gt;P" in page
    assert "<b>" not in page
    assert page.count("<tr>") == 4
    assert all(head in page for head in HEADS)


def test_the_frame_has_a_row_per_engine_and_width():
    frame = Benchmark(figures()).to_frame()
    assert list(frame["engine"]) == ["vmap", "vmap", "native"]
    assert frame.loc[2, "member_steps_per_second_median"] == pytest.approx(1e6)
    assert frame.loc[2, "of_vmap_low"] == pytest.approx(10.0)


def test_json_is_what_its_schema_describes_and_comes_back():
    text = Benchmark(figures()).to_json()
    assert Figures.model_validate_json(text) == figures()
    described = json.loads(schema())
    table = json.loads(text)
    assert set(table) == set(described["properties"])
    for name, part in {"": described, **described["$defs"]}.items():
        for key, field in part["properties"].items():
            assert field.get("description"), (name, key)


def test_the_figure_shows_engines_ranges_and_the_ceiling():
    figure = Benchmark(figures()).plot()
    (axes,) = figure.axes
    labels = axes.get_legend_handles_labels()[1]
    assert labels == ["ceiling: matrix products", "vmap", "native, 16 lanes"]
    (ceiling,) = [line for line in axes.lines if line.get_label() == "ceiling: matrix products"]
    assert ceiling.get_ydata()[0] == pytest.approx(100e9 / 59_087)
    assert axes.get_yscale() == "log"
    far = figures(speeds=[speed("vmap", 32, 10.0)]).model_copy()
    assert Benchmark(far).plot().axes[0].get_legend_handles_labels()[1] == ["vmap"]


def test_files_are_written_beside_each_other(tmp_path):
    written = Benchmark(figures()).write(tmp_path / "out")
    assert sorted(path.name for path in written) == [
        "benchmark.csv", "benchmark.json", "benchmark.png", "benchmark.svg",
    ]  # fmt: skip
    assert json.loads(written[0].read_text())["kind"] == "jaxsim benchmark"


@pytest.fixture
def instant(monkeypatch):
    """Measurements that take no time; what was asked for is noted."""
    noted = []

    def measured(asked, say):
        say("measuring")
        noted.append(asked)
        return figures()

    monkeypatch.setattr(view, "measure_speed", measured)
    return noted


def run(monkeypatch, capsys, *arguments, code=0):
    """Run the command line in this process and return (standard output, standard error)."""
    return command(monkeypatch, capsys, "benchmark", *arguments, code=code)


def test_the_command_prints_a_table_json_or_the_schema(instant, monkeypatch, capsys, tmp_path):
    options = ["--shape", "1-16-16-1", "--optimizer", "sgd", "--batch", "8", "--width", "32,64"]
    out, err = run(monkeypatch, capsys, *options, "--devices", "1", "--budget", "20")
    assert out.startswith("1-16-16-1, adam")
    assert "measuring" in err
    (asked,) = instant
    assert (asked.widths, asked.devices, asked.seconds) == ((32, 64), (1,), 20.0)
    assert (asked.experiment.optimizer.name, asked.experiment.batch_size) == ("sgd", 8)
    out, _ = run(
        monkeypatch, capsys, "quickstart", "--experiment", "adam", "--format", "json", "-o", "out"
    )
    assert json.loads(out) == json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert instant[1].experiment.label == "adam"
    out, _ = run(monkeypatch, capsys, "--format", "schema")
    assert json.loads(out) == json.loads(schema())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "study = None is not accepted without a shape; accepted: a study, or shape = "),
        (["quickstart", "--shape", "1-4-1"], "study and shape are not accepted together"),
        (["quickstart", "--batch", "8"], "batch = 8 is not accepted with a study; accepted: a sh"),
        (["quickstart", "--optimizer", "sgd"], "optimizer = 'sgd' is not accepted with a study"),
        (["--shape", "1-4-1", "--optimizer", "adm"], "(did you mean 'adam'?)"),
        (["--shape", "1-4-1", "--batch", "0"], "batch = 0 is not accepted"),
        (["--shape", "1-4-1", "--width", "0"], "width = 0 is not accepted"),
        (["--shape", "1-4-1", "--width", "-5"], "width = -5 is not accepted"),
        (["--shape", "1-4-1", "--width", "a"], "width = 'a' is not accepted; accepted: whole num"),
        (["--shape", "1-4-1", "--width", ""], "width = '' is not accepted; accepted: whole numb"),
        (["--shape", "1-4-1", "--devices", "1,99999"], "devices = 99999 is not accepted"),
        (["--shape", "1-4-1", "--budget", "1"], "budget = 1 s is not accepted; accepted: 10 to"),
        (["--shape", "1-4-1", "--experiment", "x"], "experiment = 'x' is not known"),
        (["--shape", "1-4-1", "--format", "jsn"], "(did you mean 'json'?)"),
        (["quickstar"], "quickstart"),
        (["--shape", "1-4-1", "--set", "optimizer.rate=1"], "rate"),
    ],
)
def test_bad_input_gets_one_sentence(arguments, sentence, instant, monkeypatch, capsys):
    out, err = run(monkeypatch, capsys, *arguments, code=2)
    assert out == ""
    assert err.startswith("error: ")
    assert sentence in err
    assert err.count("\n") == 1


def test_python_takes_studies_tables_and_shapes(instant):
    study = jaxsim.Study.load("quickstart")
    assert isinstance(jaxsim.benchmark(study, experiment="sgd", width=64), Benchmark)
    jaxsim.benchmark(study.spec.model_dump(mode="json"), settings=["steps=7"])
    jaxsim.benchmark(shape=[2, 3, 1], optimizer="sgd", devices=1)
    assert [a.experiment.steps for a in instant] == [2000, 7, 10_000]
    assert instant[0].widths == (64,)
    with pytest.raises(jaxsim.InputError, match="allow_code = 1 is of type int"):
        jaxsim.benchmark(shape="1-4-1", allow_code=1)
    with pytest.raises(jaxsim.InputError, match="settings = 'a=1' is of type str"):
        jaxsim.benchmark(shape="1-4-1", settings="a=1")
