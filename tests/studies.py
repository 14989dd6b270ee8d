"""Small studies that tests share."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxsim import cli, runtime
from jaxsim.launch.directory import bind, reopen
from jaxsim.launch.simulate import open_results
from jaxsim.results.provenance import provenance
from jaxsim.results.results import Results
from jaxsim.results.schema import concatenate
from jaxsim.results.store import Store
from jaxsim.study.study import Study
from jaxsim.training.records import Records, Status

PARABOLA: dict[str, Any] = {
    "name": "small",
    "seed": 3,
    "replicates": 80,
    "steps": 60,
    "checkpoints": [1, 7, 30],
    "epsilon": [0.001, 0.05],
    "problem": {"input": {"law": "uniform", "low": -1.0, "high": 1.0}, "target": "x**2"},
    "network": {
        "hidden": [3],
        "weights": {"law": "uniform", "bound": 1.0},
        "biases": {"law": "uniform", "bound": 1.0},
    },
    "optimizer": {"name": "adam", "learning_rate": 0.02},
    "training": {"batch_size": 8},
    "execution": {"width": 16, "shard": 32},
    # Bounds of inf L are searched for where a test asks for it.
    "optimum": {"budget": 0},
}

TWO = {
    "optimizer": [{"name": "sgd", "learning_rate": 0.1}, {"name": "adam", "learning_rate": 0.02}]
}


def table(**changes: Any) -> dict[str, Any]:
    """Return the small study with dotted keys (`__` for a dot) changed."""
    from jaxsim.study.read import set_key

    base = copy.deepcopy(PARABOLA)
    for key, value in changes.items():
        set_key(base, key.replace("__", "."), value)
    return base


def study(**changes: Any) -> Study:
    """Return the small study with dotted keys (`__` for a dot) changed."""
    return Study.from_dict(table(**changes))


def slow_but(quick: Iterable[Any], cases: Iterable[Any]) -> list[Any]:
    """Return parameters of a test, of which all but the quick ones are for the long suite."""
    quick = list(quick)
    return [c if c in quick else pytest.param(c, marks=pytest.mark.slow) for c in cases]


def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, *arguments: Any, code: int = 0
) -> tuple[str, str]:
    """Run the command line in this process and return (standard output, standard error)."""
    monkeypatch.setattr(sys, "argv", ["jaxsim", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    shown = capsys.readouterr()
    assert (stopped.value.code or 0) == code, shown.err
    return shown.out, shown.err


def toml(tree: dict[str, Any]) -> str:
    """Return tables as TOML; enough for the studies of the tests."""

    def value(v: Any) -> str:
        if isinstance(v, bool):
            return str(v).lower()
        if isinstance(v, dict):
            return "{ " + ", ".join(f'"{k}" = {value(x)}' for k, x in v.items()) + " }"
        if isinstance(v, list | tuple):
            return "[" + ", ".join(value(x) for x in v) + "]"
        return repr(v) if not isinstance(v, str) else "'" + v + "'"

    return "\n".join(f"{k} = {value(v)}" for k, v in tree.items()) + "\n"


CACHE = runtime.cache_directory()
"""Where all tests keep compiled programs."""


def own_cache(directory: Path) -> Path:
    """Make a cache directory that has the programs of all tests and measurements of its own."""
    directory.mkdir()
    for name in ("xla", "native"):
        (CACHE / name).mkdir(parents=True, exist_ok=True)
        (directory / name).symlink_to(CACHE / name)
    return directory


def made_up(study: Study, directory: str | Path, diverged: int = 0) -> Results:
    """Return results of a study, of numbers that were drawn and not computed.

    For tests of what is done with records: training and risks would have to be compiled.

    Args:
        study: to make results of.
        directory: for them.
        diverged: the first runs of each shard that end with an undefined or infinite risk.
    """
    bound = bind(study, directory)
    for experiment, shard in bound.missing():
        rng = np.random.default_rng([*experiment.label.encode(), shard.first])
        runs = shard.stop - shard.first
        seen = (runs, len(experiment.checkpoints))
        lost = np.arange(runs) < diverged
        risk, error = rng.uniform(0.01, 0.1, seen), np.full(seen, 1e-15)
        risk[lost, -1], error[lost, -1] = np.where(np.arange(diverged) % 2, np.inf, np.nan), np.nan
        records = Records(
            replicate=np.arange(shard.first, shard.stop),
            status=np.where(lost, Status.DIVERGED, Status.OK).astype(np.int8),
            diverged_step=np.where(lost, experiment.steps, -1),
            risk=risk,
            error=error,
            inactive=np.zeros((*seen, len(experiment.network.hidden)), np.int32),
            gradient_norm=rng.uniform(0.0, 1.0, runs),
            dead_layer=np.zeros(runs, np.int16),
            dead_neurons=np.zeros(runs, np.int32),
            constant=np.zeros(seen, np.int8),
        )
        config = bound.layouts[experiment.id].config
        facts = provenance(jax.local_devices()[0], config)
        bound.store.write(shard, records, facts | {"seed_path": "made up", "diverged": "0"})
    return open_results(bound)


def all_bits(directory: str | Path) -> dict[str, bytes]:
    """Return the bytes of every column of every experiment of a finished directory."""
    opened = reopen(directory)
    results = open_results(opened)
    assert results.complete
    found = {}
    for experiment in results.experiments:
        by_stratum: dict[str, list[Records]] = {}
        for stratum, records in results.parts(experiment):
            by_stratum.setdefault(stratum.experiment.id, []).append(records)
        for trained, parts in by_stratum.items():
            records = concatenate(parts)
            name = experiment.label if trained == experiment.id else f"{experiment.label}.{trained}"
            planned = [range(s.first, s.stop) for s in results.planned[trained]]
            assert np.array_equal(records.replicate, np.concatenate(planned))
            for field, column in zip(records._fields, records, strict=True):
                found[f"{name}.{field}"] = np.ascontiguousarray(column).tobytes()
    return found


def with_records(monkeypatch, change):
    """Let stores read what `change` (records, shard) makes of the records in their files."""
    read = Store.read_with_facts

    def changed(self, shard):
        records, facts = read(self, shard)
        return change(records, shard), facts

    def risks(self, shard):
        records = self.read(shard)
        return records.risk, records.error

    monkeypatch.setattr(Store, "read_with_facts", changed)
    monkeypatch.setattr(Store, "read_risks", risks)
