"""Paired comparisons against plain pandas: by replicate, whatever engines, widths and shards."""

import json

import numpy as np
import pandas as pd
import pytest

from jaxsim import analyse
from jaxsim.estimation import pair_outcomes
from jaxsim.launch.directory import bind
from jaxsim.launch.simulate import open_results
from jaxsim.launch.worker import work
from jaxsim.questions import pair_tables
from jaxsim.questions import pairs as module
from jaxsim.report.sentences import sentences
from tests.studies import TWO, made_up, study

EPS = [0.02, 0.05]


def tables_of(answer, frame, step):
    """Return the discordant counts of every pair by pandas."""
    last = frame[frame.n == step].pivot(index="replicate", columns="experiment", values="risk")
    optima = {e.label: e.optimum for e in answer.experiments}
    for one in answer.pairs.comparisons:
        both = last[[one.first, one.second]].dropna()
        fail, passes = {}, {}
        for name in (one.first, one.second):
            fail[name] = both[name] > optima[name].upper.value + one.eps
            passes[name] = both[name] <= optima[name].lower.value + one.eps
        yield (
            one,
            len(both),
            int((fail[one.first] & passes[one.second]).sum()),
            int((passes[one.first] & fail[one.second]).sum()),
        )


def agree(answer, frame, step=60):
    rows = list(tables_of(answer, frame, step))
    assert rows
    for one, pairs, first, second in rows:
        assert one.pairs == pairs
        assert one.result.counts.only_first == first
        assert one.result.counts.only_second == second


def mixed(tmp_path, **changes):
    """A directory whose two paired experiments have other engines, widths and shards."""
    from dataclasses import replace

    from jaxsim.engines.registry import ExecutionConfig
    from jaxsim.study.plan import Layout

    whole = study(grid=TWO, paired=["optimizer"], replicates=96, **changes)
    directory = bind(whole, tmp_path / "mixed")
    first, second = whole.experiments
    layouts = {
        first.id: Layout(ExecutionConfig("vmap", 16), 32),
        second.id: Layout(ExecutionConfig("lanes", 24, 8), 48),
    }
    manifest = json.loads((tmp_path / "mixed" / "study.json").read_text())
    for row in manifest["experiments"]:
        layout = layouts[row["id"]]
        row |= {
            "engine": layout.config.engine,
            "width": layout.config.width,
            "lanes": layout.config.lanes,
            "shard": layout.shard,
        }
    manifest["study"]["execution"] = {"engine": "auto", "width": "auto", "shard": "auto"}
    (tmp_path / "mixed" / "study.json").write_text(json.dumps(manifest))
    return replace(directory, layouts=layouts)


def test_pairs_survive_other_engines_widths_and_shards(tmp_path):
    import jax

    directory = mixed(tmp_path)
    work(directory, directory.missing(), jax.local_devices()[:1])
    results = open_results(directory)
    answer = analyse(results, EPS)
    assert len(answer.pairs.comparisons) == 2
    assert {one.pairs for one in answer.pairs.comparisons} == {96}
    agree(answer, results.to_pandas())


def test_a_missing_shard_costs_its_pairs_only(tmp_path):
    whole = study(grid=TWO, paired=["optimizer"], replicates=96)
    results = made_up(whole, tmp_path / "gap")
    gone = results.planned[whole.experiments[1].id][1]
    results.store.path(gone).unlink()
    answer = analyse(results, EPS)
    assert {one.pairs for one in answer.pairs.comparisons} == {64}
    agree(answer, results.to_pandas())


def test_pairs_without_a_common_replicate_are_named(tmp_path):
    whole = study(grid=TWO, paired=["optimizer"], replicates=64)
    results = made_up(whole, tmp_path / "apart")
    for experiment, keep in zip(whole.experiments, (0, 1), strict=True):
        for place, shard in enumerate(results.planned[experiment.id]):
            if place != keep:
                results.store.path(shard).unlink()
    answer = analyse(results, EPS)
    assert answer.pairs.comparisons == []
    assert answer.pairs.not_compared == ["no replicate is finished in both: sgd and adam"]
    assert any(s.startswith("Not compared: no replicate") for s in sentences(answer))


def test_large_groups_are_compared_pair_by_pair(tmp_path):
    rates = [0.1 + 0.001 * k for k in range(26)]
    whole = study(
        grid={"optimizer.learning_rate": rates}, paired=["optimizer"], replicates=16, steps=2,
        checkpoints=[1],
    )  # fmt: skip
    results = made_up(whole, tmp_path / "many")
    answer = analyse(results, [0.05])
    assert len(answer.pairs.comparisons) == 26 * 25 // 2
    agree(answer, results.to_pandas(), 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LARGEST_GROUP", 10)
        few = analyse(results, [0.05])
    assert len(few.pairs.comparisons) == 25
    assert "each is compared with" in few.pairs.not_compared[0]


def test_chunks_of_replicates_do_not_change_a_count(tmp_path, monkeypatch):
    whole = study(grid=TWO, paired=["optimizer"], replicates=80)
    results = made_up(whole, tmp_path / "chunks")
    expected = analyse(results, EPS).pairs
    monkeypatch.setattr(pair_tables, "CHUNK", 7)
    assert analyse(results, EPS).pairs == expected


def test_counts_of_a_pair_are_those_of_single_outcomes():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 3, (2, 500))
    table = np.array([[[[((a == p) & (b == q)).sum()]] for q in range(3)] for p in range(3)])
    assert pair_tables.counts_of_pair(table, 0, 0) == pair_outcomes(a, b)


@pytest.mark.parametrize(
    ("grid", "paired", "said"),
    [
        (TWO, ["optimizer"], "initializations and mini-batches"),
        ({"training.batch_size": [1, 8]}, ["training"], "initializations"),
        ({"network.hidden": [[2], [3]]}, ["network"], "mini-batches"),
        ({"problem.target": ["x**2", "x"]}, ["problem"], "initializations"),
        ({"problem.target": ["x", ["x", "x"]]}, ["problem"], "random keys"),
        (
            {"network.hidden": [[2], [3]], "training.batch_size": [4, 8]},
            ["network", "training"],
            "random keys",
        ),
    ],
)
def test_what_pairs_share_is_what_is_said(grid, paired, said, tmp_path):
    whole = study(grid=grid, paired=paired, replicates=16, steps=2, checkpoints=[1])
    answer = analyse(made_up(whole, tmp_path / "shared"), [0.05])
    found = {one.shared for one in answer.pairs.comparisons}
    assert said in found
    if said != "random keys":
        assert found == {said}
    assert any(f"On the same {said} " in s for s in sentences(answer))


def test_population_gradients_share_no_mini_batches(tmp_path):
    grid = {"optimizer.learning_rate": [0.1, 0.2]}
    whole = study(
        grid=grid, paired=["optimizer"], training__batch_size="population", replicates=16, steps=2,
        checkpoints=[1],
    )  # fmt: skip
    (one,) = analyse(made_up(whole, tmp_path / "exact"), [0.05]).pairs.comparisons
    assert one.shared == "initializations"


def test_experiments_of_other_lengths_are_said_not_to_be_compared(tmp_path):
    whole = study(grid={"steps": [2, 3]}, replicates=16, checkpoints=1)
    found = analyse(made_up(whole, tmp_path / "lengths"), [0.05]).pairs
    assert found.comparisons == []
    assert found.not_compared == [
        "experiments with different numbers of steps share random numbers"
    ]


def test_experiments_with_their_own_random_numbers_are_not_compared(tmp_path):
    results = made_up(study(grid=TWO, replicates=16), tmp_path / "own")
    found = analyse(results, EPS).pairs
    assert found.comparisons == []
    assert found.not_compared == []
    assert isinstance(results.to_pandas(), pd.DataFrame)
