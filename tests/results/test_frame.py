"""Exports: diverged runs count rightly in every reader, and every column is described."""

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from jaxsim import InputError
from jaxsim.report.export import export
from jaxsim.results.frame import COLUMNS, axes_of, meaning
from tests.studies import TWO, made_up, study


@pytest.fixture(scope="module")
def wild(tmp_path_factory):
    directory = tmp_path_factory.mktemp("wild")
    rates = [0.05, 60.0]
    whole = study(
        optimizer={"name": "sgd", "learning_rate": 0.1},
        grid={"optimizer.learning_rate": rates, "network.hidden": [[3], [2, 2]]},
        steps=200, replicates=16, checkpoints=[1],
    )  # fmt: skip
    return directory, made_up(whole, directory, diverged=5).to_pandas()


def test_a_diverged_run_exceeds_every_threshold_in_every_reader(wild):
    directory, frame = wild
    diverged = frame[(frame.n == 200) & (frame.status == "diverged")]
    assert len(diverged) > 10
    last = frame[frame.n == 200]
    expected = int(
        (last.status == "diverged").sum() + (last.risk[last.status == "ok"] > 0.05).sum()
    )
    assert int((last.risk > 0.05).sum()) == expected
    assert np.isposinf(diverged.risk).all()
    assert (diverged.error == 0).all()
    csv = pd.read_csv(export(directory, "csv", None))
    assert int((csv[csv.n == 200].risk > 0.05).sum()) == expected
    table = pq.read_table(export(directory, "parquet", None))
    at_end = table.filter(pc.equal(table["n"], 200))
    assert pc.sum(pc.greater(at_end["risk"], 0.05)).as_py() == expected
    assert at_end["risk"].null_count == 0


def test_every_column_is_described(wild):
    directory, frame = wild
    axes = {"optimizer.learning_rate", "network.hidden"}
    assert axes < set(frame.columns)
    assert set(frame["optimizer.learning_rate"]) == {0.05, 60.0}
    for name in frame.columns:
        assert len(meaning(name)) > 10
        assert name in COLUMNS or name in axes or name == "inactive_2_at_least"
    schema = pq.read_schema(export(directory, "parquet", None))
    for field in schema:
        assert field.metadata[b"description"].decode() == meaning(field.name)


def test_what_is_known_at_the_last_step_only_stands_there_only(wild):
    _, frame = wild
    for name in ("gradient_norm", "dead_layer", "dead_neurons"):
        assert frame[frame.n < 200][name].isna().all()
        assert frame[frame.n == 200][name].notna().all()


def test_layers_that_a_network_lacks_are_empty(wild):
    _, frame = wild
    shallow = frame["network.hidden"] == "[3]"
    assert frame[shallow].inactive_2_at_least.isna().all()
    assert frame[~shallow].inactive_2_at_least.notna().all()


def test_axes_are_the_keys_in_which_experiments_differ():
    found = axes_of(study(grid=TWO).experiments)
    assert found == [
        {"optimizer.name": "sgd", "optimizer.learning_rate": 0.1},
        {"optimizer.name": "adam", "optimizer.learning_rate": 0.02},
    ]
    assert axes_of(study().experiments) == [{}]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_an_export_without_runs_is_a_sentence_and_no_file(kind, tmp_path):
    from jaxsim.launch.directory import bind

    bind(study(), tmp_path / "empty")
    with pytest.raises(InputError, match="no finished runs"):
        export(tmp_path / "empty", kind, None)
    assert not list((tmp_path / "empty").glob("results*"))


def test_the_schema_of_answers_is_published():
    assert '"experiments"' in export(None, "answer-schema", None)
