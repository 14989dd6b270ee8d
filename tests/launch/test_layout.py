"""How a study is laid out: processes, engines, widths, shards; by measurement or as told."""

import json

import jax
import pytest

from jaxsim import InputError, runtime, simulate
from jaxsim.engines.native import library
from jaxsim.engines.registry import ExecutionConfig
from jaxsim.launch import layout, measure
from jaxsim.launch.directory import bind
from jaxsim.launch.layout import choose_layouts, choose_workers
from jaxsim.speed import timing
from tests import studies
from tests.studies import TWO, all_bits, study


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    directory = studies.own_cache(tmp_path / "cache")
    monkeypatch.setenv("JAXSIM_CACHE_DIR", str(directory))
    return directory


AUTO = {"width": "auto", "shard": "auto"}


def test_short_studies_stay_in_this_process_and_long_ones_get_one_per_core():
    assert choose_workers(study()) == 1
    long = study(replicates=100_000, steps=10_000)
    assert choose_workers(long) == (runtime.cores() if jax.default_backend() == "cpu" else 1)
    assert choose_workers(long, devices=2) == 1


def test_widths_are_measured_once_and_remembered(own_cache, monkeypatch):
    asked = {"execution": AUTO | {"engine": "vmap"}, "replicates": 200}
    one = study(**asked)
    (first,) = choose_layouts(one).values()
    assert first.config.width in (32, 64, 128)
    (entry,) = (own_cache / "configs").iterdir()
    assert json.loads(entry.read_text())["config"]["width"] == first.config.width
    monkeypatch.setattr(measure, "time_training", None)  # measuring again would fail
    assert choose_layouts(one) == choose_layouts(study(**asked))
    # More replicates of the same order share it, another network does not.
    with pytest.raises(TypeError):
        choose_layouts(study(**asked, network__hidden=[5]))


def test_out_of_memory_halves_the_width_of_a_new_study(own_cache, monkeypatch, capsys):
    real = measure.observation_seconds

    def small(experiment, config):
        if config.width > 100:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return real(experiment, config)

    monkeypatch.setattr(measure, "observation_seconds", small)
    monkeypatch.setattr(
        measure,
        "_search_width",
        lambda e, r: measure.time_training(e, ExecutionConfig("vmap", 256)),
    )
    (found,) = choose_layouts(study(execution=AUTO | {"engine": "vmap"}, replicates=4000)).values()
    assert found.config.width == 64
    assert capsys.readouterr().err.splitlines() == [
        "out of memory at width 256: taking 128 for this new study",
        "out of memory at width 128: taking 64 for this new study",
    ]


@pytest.mark.parametrize("holds", [16, 0])
def test_a_width_whose_training_does_not_fit_is_halved_as_long_as_there_is_one(
    own_cache, monkeypatch, capsys, holds
):
    def train(experiment, config):
        if config.width > holds:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return measure.Measurement(config, 1e-6)

    def observe(experiment, config):
        if config.width > 2 * holds:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return 1e-6

    monkeypatch.setattr(measure, "time_training", train)
    monkeypatch.setattr(measure, "observation_seconds", observe)
    asked = study(execution=AUTO | {"engine": "vmap"}, replicates=4000)
    if not holds:
        with pytest.raises(InputError, match="memory does not hold a block of 'small', however"):
            choose_layouts(asked)
        return
    first = measure.Measurement(ExecutionConfig("vmap", 64), 1e-6)
    monkeypatch.setattr(measure, "_search_width", lambda e, r: first)
    (found,) = choose_layouts(asked).values()
    assert found.config.width == 16
    assert "out of memory at width 32: taking 16" in capsys.readouterr().err


def test_what_comes_at_the_end_of_a_run_must_fit_too(own_cache, monkeypatch, capsys):
    real = timing.make_engine

    def tight(experiment, config):
        def gradient_norm(theta):
            if config.width > 32:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
            return engine.gradient_norm(theta)

        engine = real(experiment, config)
        return engine._replace(gradient_norm=gradient_norm)

    monkeypatch.setattr(timing, "make_engine", tight)
    monkeypatch.setattr(jax, "default_backend", lambda: "an accelerator")
    monkeypatch.setattr(
        measure, "_search_width", lambda e, r: measure.time_training(e, ExecutionConfig("vmap", 64))
    )
    (found,) = choose_layouts(study(execution=AUTO | {"engine": "vmap"}, replicates=4000)).values()
    assert found.config.width == 32
    assert "taking 32 for this new study" in capsys.readouterr().err


@pytest.mark.slow
def test_optimizers_of_one_network_share_a_layout(own_cache):
    found = choose_layouts(study(execution=AUTO, grid=TWO, replicates=64))
    assert len(set(found.values())) == 1
    assert len(list((own_cache / "configs").iterdir())) == 1


@pytest.mark.parametrize(
    ("execution", "config"),
    [
        ({"width": 48}, ExecutionConfig("vmap", 48)),
        ({"width": 48, "engine": "lanes"}, ExecutionConfig("lanes", 48, 16)),
        ({"width": 24, "engine": "lanes", "lanes": 8}, ExecutionConfig("lanes", 24, 8)),
        ({"width": 7, "engine": "lanes"}, ExecutionConfig("lanes", 7, 7)),
        ({"width": 48, "engine": "native"}, ExecutionConfig("native", 48, 16)),
    ],
)
def test_what_is_told_is_taken_without_a_clock(execution, config, monkeypatch):
    monkeypatch.setattr(measure, "time_training", None)
    (found,) = choose_layouts(study(execution=execution)).values()
    assert found.config == config
    assert found.shard % config.width == 0


@pytest.mark.parametrize(("wins", "lanes"), [("native", 16), ("lanes", 32)])
def test_an_engine_that_wins_by_measurement_is_recorded_and_kept(
    wins, lanes, own_cache, tmp_path, monkeypatch
):
    speed = {"vmap": 1e-3, "lanes": 1e-5, "native": 1e-5}

    def timed(experiment, config):
        # Of equally wide blocks the one in groups of 32 lanes is the faster.
        return measure.Measurement(config, speed[config.engine] / config.lanes)

    monkeypatch.setattr(measure, "time_training", timed)
    if wins == "lanes":  # as without a compiler
        monkeypatch.setattr(library, "compiler", lambda: None)
    one = bind(study(execution=AUTO), tmp_path / "out")
    (found,) = one.layouts.values()
    assert (found.config.engine, found.config.lanes) == (wins, lanes)
    speed[wins] = 1.0
    assert bind(study(execution=AUTO), tmp_path / "out").layouts == one.layouts
    message = rf"execution\.engine: \['{wins}'\] there, vmap asked for"
    with pytest.raises(InputError, match=message):
        bind(study(execution={**AUTO, "engine": "vmap"}), tmp_path / "out")


def test_the_reference_is_kept_unless_the_other_is_clearly_faster(own_cache, monkeypatch):
    # Per member and step: 32 * x / width with the wider groups of lanes 4 % ahead.
    def timed(experiment, config):
        return measure.Measurement(
            config, config.width * (1e-5 if config.engine == "vmap" else 0.96e-5)
        )

    monkeypatch.setattr(measure, "time_training", timed)
    (found,) = choose_layouts(study(execution=AUTO, steps=100_000)).values()
    assert found.config.engine == "vmap"


def test_nothing_is_measured_where_nothing_is_trained(own_cache, monkeypatch):
    monkeypatch.setattr(measure, "time_training", None)
    monkeypatch.setattr(measure, "observation_seconds", None)
    drawn = {"steps": 0, "checkpoints": []}
    (found,) = choose_layouts(study(execution=AUTO, replicates=1000, **drawn)).values()
    assert (found.config, found.shard) == (ExecutionConfig("vmap", 256), 256)
    wide = study(execution=AUTO, replicates=1000, network__hidden=[2**20], **drawn)
    (found,) = choose_layouts(wide).values()
    assert found.config.width == 16
    assert measure.measure_config(wide.experiments[0], found.config).seconds_per_step == 0


@pytest.mark.slow
def test_measuring_for_pinned_processes_happens_in_one(own_cache, monkeypatch):
    monkeypatch.setattr(layout, "LONG_SECONDS", 0.0)
    asked = study(execution=AUTO, replicates=64)
    assert choose_workers(asked) == runtime.cores()
    said = []
    (found,) = choose_layouts(asked, said.append).values()
    assert said == ["measuring engines and widths (1 of 1): small"]
    # One entry, written by the other process under the key for one core.
    assert len(list((own_cache / "configs").iterdir())) == 1
    assert layout.is_remembered(asked.experiments[0], 64, "auto", "auto", 1)
    monkeypatch.setattr(measure, "time_training", None)
    assert list(choose_layouts(asked).values()) == [found]


def test_threads_that_xla_leaves_alone_take_the_place_of_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "LONG_SECONDS", 0.0)
    monkeypatch.setattr(runtime, "_apart", True)
    monkeypatch.setattr("jaxsim.launch.simulate._processes", None)
    results = simulate(study(replicates=64), tmp_path / "out")
    assert results.complete


@pytest.mark.slow
def test_processes_chosen_by_themselves_give_the_same_bits(tmp_path, monkeypatch):
    simulate(study(grid=TWO), tmp_path / "here")
    monkeypatch.setattr(layout, "LONG_SECONDS", 0.0)
    simulate(study(grid=TWO), tmp_path / "apart")
    assert all_bits(tmp_path / "apart") == all_bits(tmp_path / "here")


def test_a_sweep_over_learning_rates_seeds_or_eps_compiles_nothing_new(tmp_path):
    compiled = []

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(duration)

    # A network that no other test has, so that the first run must compile.
    changes = {"network__hidden": [9], "replicates": 16}
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        simulate(study(**changes), tmp_path / "one", devices=1)
        assert len(compiled) > 5
        # A problem of several experiments sets itself up.
        simulate(study(**changes, grid={"optimizer.learning_rate": [0.1, 0.2]}), tmp_path / "two")
        compiled.clear()
        rates = {"optimizer.learning_rate": [0.001 * (k + 2) for k in range(20)]}
        simulate(study(**changes, grid=rates), tmp_path / "rates", devices=1)
        simulate(study(**changes, seed=7, epsilon=[0.5, 0.7]), tmp_path / "seed", devices=1)
        assert not compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize(
    ("block_seconds", "replicates", "shard"),
    [
        (0.1, 10_000_000, 6400),  # ten seconds
        (0.1, 40_960, 1280),  # 32 shards of two seconds, so that workers end together
        (0.1, 8_192, 640),  # not below a second
        (0.1, 256, 64),  # four shards however quick
        (60.0, 10_000_000, 64),  # a block is the least
    ],
)
def test_shards_are_short_where_the_study_is(monkeypatch, block_seconds, replicates, shard):
    one = study(execution=AUTO, replicates=replicates, steps=1000, checkpoints=[1000])
    speed = measure.Measurement(ExecutionConfig("vmap", 64), block_seconds / 1000)
    monkeypatch.setattr(layout, "is_remembered", lambda *a: True)
    monkeypatch.setattr(layout, "measure", lambda *a: speed)
    (found,) = choose_layouts(one).values()
    assert found.shard == shard


def test_cores_are_those_that_slurm_gives(monkeypatch):
    there = runtime.cores()
    for given, wanted in (("1", 1), ("999", there), ("0", there), ("", there), ("two", there)):
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", given)
        assert runtime.cores() == wanted
