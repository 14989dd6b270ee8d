"""`jaxsim benchmark`: the order of its readings, its budget, the figures it shares with plan."""

import io
import json
import subprocess
import sys

import pytest
from rich.console import Console

from jaxsim import InputError, runtime
from jaxsim.engines.registry import ENGINES, EngineKind
from jaxsim.launch import benchmark, measure, meters, worker_process
from jaxsim.launch.benchmark import measure_speed
from jaxsim.launch.benchmark_request import ask, layers_of, study_of_shape
from jaxsim.launch.layout import choose_layouts, choose_workers
from jaxsim.launch.sweep import Budget, Ladder, choice, climb, rounds
from jaxsim.report.plan import print_plan
from jaxsim.speed.work import step_work
from tests.launch.meters import Clock, MadeUp
from tests.studies import study

FAST = {"vmap": lambda w: 1e5 * min(w, 128) / 128, "native": lambda w: 1e6, "lanes": lambda w: 4e5}


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """Two cores, a compiler, and nothing remembered."""
    monkeypatch.setenv("JAXSIM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(runtime, "cores", lambda: 2)
    kinds = {
        "lanes": EngineKind(ENGINES["lanes"].make, lane_counts=lambda e: (16,)),
        "native": EngineKind(
            ENGINES["native"].make, lane_counts=lambda e: (16,), automatic=lambda e: True
        ),
    }
    for name, kind in kinds.items():
        monkeypatch.setitem(ENGINES, name, kind)


@pytest.fixture(autouse=True)
def _forms_are_found(monkeypatch):
    """Meters that are not made up have measured the forms of programs, too."""
    monkeypatch.setattr(measure, "find_form", lambda *_: False)


def measured(rates=FAST, seconds=60.0, devices=1, asked=None, **options):
    """Return figures of a made-up machine and its meters."""
    clock, made = Clock(), []

    def meter(study, number, device):
        made.append(MadeUp(clock, rates, **options))
        return made[-1]

    asked = asked or ask(study_of_shape("1-16-16-1"), devices=devices, budget=seconds)
    return measure_speed(asked, meters=meter, budget=Budget(asked.seconds, clock)), made


def test_figures_follow_from_the_readings_and_the_ceilings():
    figures, _ = measured()
    (experiment,) = study_of_shape("1-16-16-1").experiments
    flops = step_work(experiment).total
    assert figures.work.products + figures.work.update == flops
    for speed in figures.speeds:
        rate = speed.member_steps_per_second
        assert rate.low <= rate.median <= rate.high
        assert rate.median == pytest.approx(FAST[speed.engine](speed.width))
        assert speed.gflops == pytest.approx(rate.median * flops / 1e9)
        assert speed.of_products == pytest.approx(speed.gflops / 100)
        assert speed.of_copies == pytest.approx(rate.median * figures.work.bytes_moved / 1e10)
        assert speed.of_vmap.median == pytest.approx(rate.median / 1e5)
        assert speed.compile_seconds == 1.0
    best = figures.best()
    assert (best.engine, best.member_steps_per_second.median) == ("native", pytest.approx(1e6))
    risks = {r.engine: r for r in figures.risks}
    assert risks["native"].risks_per_second == pytest.approx(1e5)
    training = experiment.steps * 1e-6
    observing = len(experiment.checkpoints) * 1e-5
    assert risks["native"].share_of_run == pytest.approx(observing / (observing + training))


def test_widths_grow_until_they_no_longer_help():
    figures, _ = measured({**FAST, "vmap": lambda w: 100.0 * w if w < 1000 else 60_000})
    assert [s.width for s in figures.speeds if s.engine == "vmap"][:4] == [32, 128, 512, 2048]


def test_engines_are_read_in_turn_and_the_range_shows_what_disturbs():
    figures, (meter,) = measured(factors=(1.0, 2.0))
    kinds = [what for what, _ in meter.asked]
    first, last = len(kinds) - kinds[::-1].index("compile"), kinds.index("observe")
    reads = [r for what, r in meter.asked[first + 2 : last] if what == "read"]
    several = [(r["engine"], r["width"]) for r in reads]
    configs = {(s.engine, s.width) for s in figures.speeds}
    turns = [several[k : k + len(configs)] for k in range(0, len(several), len(configs))]
    assert len(turns) >= 5
    assert all(set(turn) == configs for turn in turns)
    assert len({turn[0] for turn in turns}) == min(len(turns), len(configs))
    native = figures.best("native").member_steps_per_second
    assert (native.low, native.high) == (pytest.approx(5e5), pytest.approx(1e6))
    assert native.readings == len(turns)


def test_ratios_to_vmap_are_taken_within_a_round():
    # The machine becomes faster from round to round: ratios do not notice.
    class Faster(MadeUp):
        def _read(self, seconds, engine, width, lanes):
            found = super()._read(seconds, engine, width, lanes)
            config = {"engine": engine, "width": width, "lanes": lanes}
            turn = sum(w == "read" and r | config == r for w, r in self.asked)
            return {"seconds_per_step": found["seconds_per_step"] / turn}

    clock, asked = Clock(), ask(study_of_shape("1-16-16-1"), devices=1)
    figures = measure_speed(
        asked, meters=lambda *_: Faster(clock, FAST), budget=Budget(asked.seconds, clock)
    )
    best = figures.best("native")
    assert best.member_steps_per_second.high >= 1.9 * best.member_steps_per_second.low
    assert best.of_vmap.low == pytest.approx(10.0)
    assert best.of_vmap.high == pytest.approx(10.0)


@pytest.mark.parametrize("seconds", [10.0, 30.0, 60.0])
@pytest.mark.parametrize("compiling", [0.1, 4.0])
def test_the_budget_is_kept(seconds, compiling):
    figures, made = measured(seconds=seconds, compiling=compiling, devices=2)
    assert figures.seconds <= seconds + 1e-6
    assert figures.best("vmap") is not None
    assert all(meter.closed for meter in made)
    if compiling == 4.0 and seconds == 10.0:
        assert {one.what for one in figures.left_out} >= {"2 devices", "lanes, width 128, 16 lanes"}


def test_a_budget_in_which_nothing_compiles_gets_one_sentence():
    with pytest.raises(
        InputError, match=r"budget = 10 s is too short here: nothing of .* \(.*; vmap, width 32: "
    ):
        measured(seconds=10.0, compiling=20.0)
    with pytest.raises(InputError, match=r"\(the rest: it took longer than the budget\)"):
        measured(seconds=10.0, ceiling=20.0)


def test_what_does_not_fit_into_memory_is_said_and_the_rest_measured():
    figures, _ = measured({**FAST, "vmap": lambda w: None if w > 32 else 1e5})
    assert {s.width for s in figures.speeds if s.engine == "vmap"} == {32}
    (one,) = [o for o in figures.left_out if o.what.startswith("vmap")]
    assert (one.what, one.reason) == ("vmap, width 128", "out of memory")
    assert figures.best("native") is not None


def test_engines_that_do_not_fit_say_why():
    asked = ask(study_of_shape("1-16-16-1"), devices=1)
    figures, _ = measured(asked=asked)
    assert [o.reason for o in figures.left_out if o.what == "pallas"] == [
        "it is a program for GPUs"
    ]


def test_stated_widths_are_measured_and_no_others():
    asked = ask(study_of_shape("1-16-16-1"), widths=[48, 20, 48], devices=1)
    figures, _ = measured(asked=asked)
    assert {(s.engine, s.width) for s in figures.speeds} == {
        ("vmap", 20), ("vmap", 48), ("native", 48), ("lanes", 48),
    }  # fmt: skip
    reasons = {o.what: o.reason for o in figures.left_out}
    assert reasons["native, width 20"] == "no multiple of 16 lanes"
    assert figures.choice is None


def test_several_devices_are_read_at_the_same_time():
    figures, made = measured(devices=2)
    assert len(made) == 2
    assert [c.products_gflops for c in figures.ceilings] == [100.0, 200.0]
    assert {(s.devices, s.engine) for s in figures.scaling} == {
        (2, "vmap"), (2, "native"), (2, "lanes"),
    }  # fmt: skip
    for one in figures.scaling:
        assert one.speedup == pytest.approx(2.0)
        alone = figures.best(one.engine)
        assert one.of_products == pytest.approx(alone.of_products)


def test_plan_uses_what_the_benchmark_found():
    asked = study_of_shape("1-16-16-1")
    assert choose_workers(asked) == 2  # long enough for a process per core
    figures, _ = measured()
    taken = figures.choice
    assert (taken.engine, taken.width, taken.remembered) == ("native", 128, False)
    (layout,) = choose_layouts(asked, pytest.fail).values()
    assert (layout.config.engine, layout.config.width, layout.config.lanes) == ("native", 128, 16)
    said = []
    print_plan(asked, None, Console(file=io.StringIO(), width=200), said.append)
    assert said == []  # nothing is measured again
    (experiment,) = asked.experiments
    speed = measure.measure_config(experiment, layout.config, 1)
    assert speed.remembered
    assert layout.config.width / speed.seconds_per_step == taken.member_steps_per_second
    again, _ = measured({**FAST, "native": lambda w: 5e4})
    assert again.choice.remembered  # what new directories use does not change with the weather
    assert again.choice.engine == "native"


@pytest.mark.parametrize(
    "rates",
    [
        FAST,
        {**FAST, "native": lambda w: 1.05e5},
        {**FAST, "vmap": lambda w: 3e6 * w / (w + 200)},
        {**FAST, "vmap": lambda w: 5e5 if w == 32 else 4e5, "native": lambda w: 2e5},
    ],
)
def test_the_choice_is_that_of_plan(rates, monkeypatch):
    (experiment,) = study_of_shape("1-16-16-1").experiments
    clock = Clock()
    ladders = [Ladder(experiment, name, 32768) for name in ("vmap", "native")]
    budget, meter = Budget(1000.0, clock), MadeUp(clock, rates)
    climb(meter, ladders, budget, lambda text: None)
    rounds(meter, ladders, budget, 0.9)
    found = choice(experiment, ladders, 32768, ["vmap", "native"])
    monkeypatch.setattr(
        measure, "time_training",
        lambda e, c: measure.Measurement(c, c.width / rates[c.engine](c.width)),
    )  # fmt: skip
    monkeypatch.setattr(measure, "observation_seconds", lambda e, c: 0.0)
    assert found.config == measure.measure(experiment, 32768).config


def test_a_short_study_leaves_its_choice_to_plan():
    figures, _ = measured(asked=ask(study(), devices=1))
    assert figures.choice is None
    assert any(o.what == "the choice of plan" for o in figures.left_out)


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ("1", "shape = '1' is not accepted; accepted: inputs, hidden layers and outputs"),
        ("", "shape = '' is not accepted"),
        ("1-0-1", "shape = '1-0-1' is not accepted; accepted: at most 64 layers of 1 to 65,536"),
        ("1-16-1\n", "is not accepted; accepted: inputs"),
        ("1-²-1", "is not accepted; accepted: inputs"),
        ("1x16x1", "is not accepted; accepted: inputs"),
        ("1-99999999-1", "layers of 1 to 65,536 units"),
        ("-".join("1" * 90), "at most 64 layers"),
        (16, "shape = 16 is not accepted"),
        ([1, "a", 1], r"shape = \[1, 'a', 1\] is not accepted"),
    ],
)
def test_shapes_that_are_none_get_one_sentence(shape, sentence):
    with pytest.raises(InputError, match=sentence):
        layers_of(shape)


def test_a_shape_is_a_study_with_these_layers():
    (experiment,) = study_of_shape([8, 5, 3], "sgd", 7, ["precision=float64"]).experiments
    network = experiment.network
    assert (network.inputs, network.hidden, network.outputs) == (8, (5,), 3)
    assert (experiment.optimizer.name, experiment.batch_size) == ("sgd", 7)
    assert experiment.precision == "float64"
    (linear,) = study_of_shape("2-1").experiments
    assert linear.network.hidden == ()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"budget": 1}, r"budget = 1 s is not accepted; accepted: 10 to 86,400 s"),
        ({"budget": float("nan")}, "budget = nan s is not accepted"),
        ({"budget": "60"}, "budget = '60' is not accepted; accepted: seconds"),
        ({"widths": [0]}, "width = 0 is not accepted: it should be at least 1"),
        ({"widths": 1 << 40}, "at most 32,768"),
        ({"widths": []}, r"width = \[\] is not accepted; accepted: whole numbers"),
        ({"widths": [2.5]}, "width = 2.5 is of type float"),
        ({"devices": 0}, "devices = 0 is not accepted"),
        ({"devices": [1, 3]}, "devices = 3 is not accepted: it should be at least 1 and at most 2"),
        ({"experiment": 2}, "experiment = 2 is not known; accepted"),
    ],
)
def test_what_cannot_be_measured_gets_one_sentence(options, sentence):
    with pytest.raises(InputError, match=sentence):
        ask(study_of_shape("1-4-1"), **options)


def test_objects_of_a_session_are_measured_in_this_process():
    import optax

    mine = study(optimizer=optax.sgd(0.1))
    asked = ask(mine)
    assert asked.devices == (1,)
    assert not asked.pinned
    assert type(benchmark.meter_of(mine, 0, 0)) is meters.Meter
    with pytest.raises(InputError, match="devices = 2 is not accepted"):
        ask(mine, devices=2)


@pytest.fixture
def scripted(monkeypatch):
    """A process of a few lines in place of a meter's."""

    def start(script, timeout=20.0):
        monkeypatch.setattr(
            worker_process, "command", lambda *arguments: [sys.executable, "-c", script]
        )
        meter = meters.ProcessMeter(study(), 0)
        try:
            return meter.ask("ceiling", timeout, devices=1)
        finally:
            meter.close()

    return start


HEAR = "import sys, json, time; study = json.loads(input()); asked = json.loads(input()); "


def test_a_meter_in_a_process_answers_or_says_why_not(scripted):
    say = HEAR + "print(json.dumps({'gflops': asked['devices'] + study['number'] + 1}))"
    assert scripted(say) == {"gflops": 2}
    with pytest.raises(meters.NotMeasured, match="out of memory"):
        scripted(HEAR + "print(json.dumps({'error': 'out of memory'}))")
    with pytest.raises(meters.NotMeasured, match=r"^no such device$"):
        scripted("import sys; sys.exit('error: no such device')")
    with pytest.raises(meters.NotMeasured, match="ended with code 3"):
        scripted(HEAR + "sys.exit(3)")


def test_a_meter_that_takes_too_long_is_ended(scripted):
    with pytest.raises(meters.TimedOut):
        scripted(HEAR + "time.sleep(60)", 0.5)


def test_the_loop_of_a_meter_reads_and_goes_on_after_an_error(monkeypatch):
    class Instant:
        compile_seconds, state_bytes = 1.5, 99

        def __init__(self, experiment, config):
            self.width = config.width

        def read(self, seconds):
            return seconds * self.width

    monkeypatch.setattr(meters, "TrainingClock", Instant)
    config = {"engine": "vmap", "width": 4, "lanes": 1}
    requests = [
        {"study": meters.pack(study()), "number": 0},
        {"what": "read", "seconds": 0.5, **config},
        {"what": "compile", **config},
        {"what": "read", "seconds": 0.5, **config},
    ]
    answers = io.StringIO()
    lines = io.StringIO("".join(json.dumps(r) + "\n" for r in requests))
    assert meters.serve_meter(lines, answers, False) == 0
    first, compiled, read = (json.loads(line) for line in answers.getvalue().splitlines())
    assert "error" in first
    assert compiled == {"seconds": 1.5, "state_bytes": 99}
    assert read == {"seconds_per_step": 2.0}


@pytest.mark.slow
def test_a_benchmark_of_real_processes(tmp_path):
    command = [sys.executable, "-m", "jaxsim", "benchmark", "--shape", "1-2-1", "--optimizer"]
    command += ["sgd", "--batch", "4", "--width", "16", "--budget", "400"]
    command += ["--format", "json", "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout)
    speeds = {s["engine"]: s["member_steps_per_second"] for s in figures["speeds"]}
    assert speeds["vmap"]["median"] > 1000
    assert figures["pinned"]
    assert figures["seconds"] < 400
    assert figures["ceilings"][0]["products_gflops"] > 0.1
    assert json.loads((tmp_path / "out" / "benchmark.json").read_text()) == figures
