"""Engines by name: a toy one takes one record, and names that engines had stay valid."""

import json

import pyarrow.parquet as pq
import pytest

from jaxsim import InputError
from jaxsim.engines.engine import vmap_engine
from jaxsim.engines.native import library
from jaxsim.engines.registry import ENGINES, EngineKind, ExecutionConfig, unsupported_reason
from jaxsim.launch import measure
from jaxsim.launch.directory import bind, reopen
from jaxsim.launch.layout import choose_layouts
from jaxsim.launch.simulate import open_results, simulate
from jaxsim.launch.status import status
from jaxsim.report.export import study_schema
from jaxsim.study.study import Study
from tests.studies import all_bits, study, table

needs_compiler = pytest.mark.skipif(library.compiler() is None, reason="there is no C compiler")
DEEP = "it knows one hidden layer"


@pytest.fixture
def toy(monkeypatch):
    """A toy engine: the reference engine under another name, for one hidden layer."""
    kind = EngineKind(
        make=lambda experiment, config: vmap_engine(experiment),
        unsupported_reason=lambda e: DEEP if len(e.network.hidden) > 1 else "",
        automatic=lambda experiment: True,
        verified=True,
        facts=lambda: {"toy": "of wood"},
    )
    monkeypatch.setitem(ENGINES, "toy", kind)


TOY = {"engine": "toy", "width": 16, "shard": 32}


def test_a_toy_engine_runs_a_study_and_is_recorded(toy, tmp_path):
    results = simulate(study(execution=TOY), tmp_path / "toy")
    simulate(study(), tmp_path / "reference")
    assert all_bits(tmp_path / "toy") == all_bits(tmp_path / "reference")
    (experiment,) = results.experiments
    facts = results.store.facts(results.finished(experiment)[0])
    assert (facts["engine"], facts["toy"]) == ("toy", "of wood")
    manifest = json.loads((tmp_path / "toy" / "study.json").read_text())
    assert manifest["experiments"][0]["engine"] == "toy"
    assert reopen(tmp_path / "toy").layouts[experiment.id].config == ExecutionConfig("toy", 16)
    assert status(tmp_path / "toy").done == 80


def test_the_study_format_knows_the_engines_of_the_registry(toy):
    assert study_schema()["$defs"]["ExecutionSpec"]["properties"]["engine"]["enum"] == [
        "auto", "vmap", "lanes", "native", "pallas", "toy",
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"engine = 'tpu'.*'lanes', 'native', 'pallas' or 'toy'"):
        study(execution={"engine": "tpu"})
    with pytest.raises(InputError, match=r"execution\.engine = 5 is not accepted"):
        study(execution={"engine": 5})


def test_what_a_toy_engine_cannot_run_is_refused_with_its_reason(toy, tmp_path):
    deep = study(execution=TOY, network__hidden=[3, 3])
    assert unsupported_reason("toy", deep.experiments[0]) == DEEP
    with pytest.raises(InputError, match=f'engine = "toy" is not accepted for .*: {DEEP}; acc'):
        simulate(deep, tmp_path / "out")


def test_a_toy_engine_that_is_the_fastest_is_chosen(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXSIM_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(measure, "observation_seconds", lambda experiment, config: 1e-4)
    monkeypatch.setattr(
        measure,
        "time_training",
        lambda e, config: measure.Measurement(config, 1e-7 if config.engine == "toy" else 1.0),
    )
    auto = study(execution={"width": "auto", "shard": "auto"}, steps=10_000)
    (found,) = choose_layouts(auto).values()
    assert found.config.engine == "toy"


def test_a_directory_of_an_engine_that_is_gone_gets_a_sentence(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(
            ENGINES, "toy", EngineKind(lambda experiment, config: vmap_engine(experiment))
        )
        bind(study(execution=TOY), tmp_path / "out")
    with pytest.raises(InputError, match=r"execution\.engine = 'toy'|cannot be read as a jaxsim"):
        reopen(tmp_path / "out")


def test_the_former_name_of_the_native_engine_is_understood():
    old = Study.from_dict(table(execution={"engine": "kernel", "width": 16, "shard": 32}))
    new = Study.from_dict(table(execution={"engine": "native", "width": 16, "shard": 32}))
    assert old.spec == new.spec
    assert [e.id for e in old.experiments] == [e.id for e in new.experiments]


@needs_compiler
def test_a_directory_with_the_former_name_opens_and_goes_on(tmp_path):
    execution = {"engine": "native", "width": 16, "shard": 32}
    simulate(study(execution=execution), tmp_path / "out")
    wanted = all_bits(tmp_path / "out")
    path = tmp_path / "out" / "study.json"
    path.write_text(path.read_text().replace('"native"', '"kernel"'))
    shards = sorted((tmp_path / "out" / "shards").rglob("*.parquet"))
    shards.pop().unlink()
    for shard in shards:
        content = pq.read_table(shard)
        metadata = content.schema.metadata | {b"engine": b"kernel"}
        pq.write_table(content.replace_schema_metadata(metadata), shard)
    opened = reopen(tmp_path / "out")
    assert len(open_results(opened).finished(opened.study.experiments[0])) == len(shards)
    simulate(study(execution={**execution, "engine": "kernel"}), tmp_path / "out")
    assert all_bits(tmp_path / "out") == wanted
    assert '"kernel"' not in path.read_text()


def test_a_remembered_choice_of_the_former_name_is_todays(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXSIM_CACHE_DIR", str(tmp_path))
    (experiment,) = study().experiments
    path = measure._path(experiment, "x", 1)
    path.parent.mkdir(parents=True)
    config = {"engine": "kernel", "width": 32, "lanes": 16}
    path.write_text(json.dumps({"config": config, "seconds_per_step": 1.0}))
    found = measure._recall(experiment, "x", 1)
    assert found is not None
    assert found.config == ExecutionConfig("native", 32, 16)
    path.write_text(json.dumps({"config": config | {"engine": "gone"}, "seconds_per_step": 1.0}))
    assert measure._recall(experiment, "x", 1) is None
