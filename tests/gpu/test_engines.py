"""What a GPU computes is what the reference engine and the CPU compute."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim import simulate
from jaxsim.engines.engine import vmap_engine
from jaxsim.engines.pallas.engine import pallas_engine
from jaxsim.launch import measure
from jaxsim.optimizer.methods import METHODS
from tests.engines.test_pallas import CHANGES, RATES, trained
from tests.studies import TWO, all_bits, study, table, toml

pytestmark = pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated")


def agree(steps=24, tolerance=2e-4, **changes):
    (experiment,) = study(steps=30, **changes).experiments
    one = trained(experiment, vmap_engine(experiment), steps)
    other = trained(experiment, pallas_engine(experiment), steps)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        assert a.dtype == b.dtype
        scale = tolerance * max(1.0, float(jnp.abs(a).max()))
        np.testing.assert_allclose(b, a, rtol=tolerance, atol=scale)


@pytest.mark.parametrize("name", METHODS)
def test_the_pallas_engine_trains_all_eleven_optimizers(name):
    rate = RATES.get(name, 0.02)
    agree(optimizer={"name": name, "learning_rate": rate}, network__hidden=[5, 3])


@pytest.mark.parametrize("changes", CHANGES, ids=lambda c: str(c)[:60])
def test_the_pallas_engine_trains_shapes_problems_and_schedules(changes):
    agree(**changes)


def test_it_is_found_to_train_alike():
    (experiment,) = study(network__hidden=[16, 16]).experiments
    assert measure.trains_alike(experiment, "pallas")


@pytest.mark.parametrize("engine", ["vmap", "pallas"])
def test_a_gpu_answers_as_a_cpu_does(tmp_path, engine):
    changes = {"grid": TWO, "steps": 400, "checkpoints": [1, 100], "replicates": 512}
    execution = {"width": 128, "shard": 512}
    (tmp_path / "study.toml").write_text(toml(table(**changes, execution=execution)))
    done = subprocess.run(
        [sys.executable, "-m", "jaxsim", "run", "study.toml", "-o", "cpu", "--no-plots"],
        env=os.environ | {"JAX_PLATFORMS": "cpu"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    simulate(study(**changes, execution=execution | {"engine": engine}), tmp_path / "gpu")
    cpu, gpu = all_bits(tmp_path / "cpu"), all_bits(tmp_path / "gpu")
    facts = json.loads((tmp_path / "gpu" / "study.json").read_text())["experiments"][0]
    assert facts["engine"] == engine
    for name in cpu:
        if not name.endswith(".risk"):
            continue
        a, b = (np.frombuffer(x[name]).reshape(512, -1) for x in (cpu, gpu))
        # The same initial networks, evaluated in float64; later, the same runs up to rounding.
        np.testing.assert_allclose(b[:, 0], a[:, 0], rtol=1e-5, atol=1e-9)
        off = np.abs(b - a) > 1e-3 * a + 1e-6
        assert off.mean(0).max() < 0.02, name
