"""The benchmarks compare what is the same training."""

import pytest

from benchmarks import against, against_cases, campaign, scaling, startup, steps_alone, throughput
from benchmarks.equivalence import MEMBERS, STEPS, TOLERANCE, disagreement, reference, require_same
from benchmarks.figures import plot_curves, plot_ratios
from benchmarks.peers import PEERS
from benchmarks.workloads import WORKLOADS
from jaxsim.engines.registry import ExecutionConfig
from jaxsim.optimizer.methods import METHODS
from jaxsim.study.study import Study
from tests.studies import slow_but


def needs_torch(name):
    if name.startswith("torch"):
        pytest.importorskip("torch", reason="PyTorch is not installed")
    return PEERS[name][1]


OFTEN = [(w, "jit(vmap(scan))") for w in ("w1", "fixed")]
OFTEN += [("w1", p) for p in ("torch baddbmm", "torch.func")] + [("fixed", "torch sequential")]
"""Every peer, and every kind of training set, once."""


@pytest.mark.parametrize(
    ("workload", "peer"),
    [
        pytest.param(w, p, id=f"{w}-{p}", marks=[pytest.mark.slow] * ((w, p) not in OFTEN))
        for w in ("w1", "digits", "fixed")
        for p in PEERS
    ],
)
def test_all_peers_train_as_jaxsim_does(workload, peer):
    make, chosen = needs_torch(peer), WORKLOADS[workload]
    start, expected = reference(chosen, ExecutionConfig("vmap", MEMBERS))
    assert disagreement(expected, make(chosen, MEMBERS, STEPS, start)()) < 1e-5


@pytest.mark.parametrize("name", slow_but((), METHODS))
def test_all_methods_are_the_same_in_plain_jax_and_in_the_native_engine(name):
    chosen = WORKLOADS["w1"].varied(name, 8)
    start, expected = reference(chosen, ExecutionConfig("native", MEMBERS, 8))
    found = PEERS["jit(vmap(scan))"][1](chosen, MEMBERS, STEPS, start)()
    assert disagreement(expected, found) < 1e-5


def test_another_training_is_no_comparison():
    chosen = WORKLOADS["w1"]
    start, expected = reference(chosen, ExecutionConfig("vmap", MEMBERS))
    wrong = chosen.varied("sgd", None)
    with pytest.raises(SystemExit, match="does not train as jaxsim does"):
        require_same(wrong, "jit(vmap(scan))", PEERS["jit(vmap(scan))"][1], start, expected)
    assert TOLERANCE < 0.01


MACHINE = {"cores": 2, "device_kind": "cpu", "processor": "P", "date": "2026-01-01"}


def test_ratios_are_drawn(tmp_path):
    peers = {"a": {"ratios": [2.0, 3.0, 4.0]}, "b": {"ratios": [20.0]}}
    workload = {"name": "w", "shape": "1-4-1", "optimizer": "adam", "batch": 32, "peers": peers}
    plot_ratios(MACHINE | {"workloads": [workload]}, tmp_path / "r.png")
    assert (tmp_path / "r.png").stat().st_size > 5000
    with pytest.raises(SystemExit, match="no peer"):
        plot_ratios(MACHINE | {"workloads": [workload | {"peers": {}}]}, tmp_path / "s.png")


def test_curves_are_drawn(tmp_path):
    curve = {"title": "t", "axis": "width", "unit": "GFLOP/s", "x": [4, 8, 16]}
    curve["series"] = {"vmap": [1.0, 2.0, 3.0], "native": [None, 4.0, 5.0]}
    memory = curve | {"x": [1000, 10_000, 100_000], "memory": [100.0, 101.0, 102.0]}
    plot_curves(MACHINE | {"curves": [curve, memory]}, tmp_path / "c.png")
    assert (tmp_path / "c.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("run", "arguments", "message"),
    [
        (throughput.main, ["--workloads", "w2"], "'w2' is not known; accepted: tiny"),
        (throughput.main, ["--optimizers", "lion"], "'lion' is not known; accepted: sgd"),
        (throughput.main, ["--batches", "x"], "'x' is not accepted"),
        (throughput.main, ["--peers", "keras"], "'keras' is not known"),
        (scaling.main, ["--curves", "heights"], "'heights' is not known"),
    ],
)
def test_wrong_names_are_refused(run, arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_the_commands_measure_something():
    found = scaling._in_subprocess(kind="engines", widths=[1, 16, 16, 1], batch=8)
    assert 0 < found["vmap"] < found["matrix product"]
    found = scaling._in_subprocess(kind="study", name="tiny", steps=50, replicates=2000)
    assert found["rate"] > 0
    assert found["memory"] > 50
    one, many = (
        startup._in_subprocess(name)["programs"] for name in ("1 experiment", "10 learning rates")
    )
    assert one <= many <= one + 10  # a grid sets up its problem outside of any engine's program


@pytest.mark.slow
def test_a_made_up_campaign_is_looked_after_by_every_command(tmp_path):
    campaign.made_up(tmp_path, campaign.EXPERIMENTS * 2, campaign.EXPERIMENTS * 32)
    says = {name: command(tmp_path) for name, command in campaign.COMMANDS.items()}
    assert says["resume"] == "1 shard missing"
    assert says["read"].startswith(f"{campaign.EXPERIMENTS * 32 - 16:,} rows")
    assert "(0 bins)" not in says["analyse"]


def test_another_commit_is_compared_round_by_round():
    if not (against.ROOT / ".git").exists():
        pytest.skip("there is no repository")
    asked = []

    def case(build):
        assert (build.tree / "jaxsim" / "__init__.py").exists()
        here = build.tree == against.ROOT
        asked.append((build.turn, here))
        return {"run, s": (1.0 if here else 3.0) * (100 if build.turn == 0 else build.turn)}

    found = against.compare("HEAD", {"a": case}, 2)
    # The first round fills caches, and whoever came first comes last in the next.
    assert asked == [(0, True), (0, False), (1, False), (1, True), (2, True), (2, False)]
    assert found == {"run, s": {"here": [1, 2], "there": [3, 6], "ratios": [3, 3]}}
    with pytest.raises(SystemExit, match="'no-such-commit' cannot be checked out"):
        against.compare("no-such-commit", {"a": case}, 1)


def test_what_builds_are_compared_by_are_studies():
    tables = [make() for make in against_cases.SHAPES.values()]
    tables += [against_cases.population_study(), against_cases.sweep_study()]
    counts = [len(Study.from_dict(table).experiments) for table in tables]
    assert counts == [1] * (len(tables) - 1) + [64]


def test_what_a_process_spends_is_counted_and_its_failure_is_one_sentence(tmp_path):
    build = against_cases.Build(against.ROOT, tmp_path, 1)
    spent, text = build.python("-c", "print(sum(range(3_000_000)), input())", given="x")
    assert text.split() == ["4499998500000", "x"]
    assert 0 < spent.seconds < 5
    assert spent.mebibytes > 5
    with pytest.raises(SystemExit, match="ValueError: no"):
        build.python("-c", "raise ValueError('no')")


def test_training_alone_is_timed_per_member_step():
    # Commands of a case are scripts of this tree, run with the package of another.
    study = against_cases.network([2], 4)
    seconds, width = steps_alone.clock_of(study, form=False)
    assert width == 128
    assert 0 < seconds(8) < 60
