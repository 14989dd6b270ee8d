"""What XLA is asked for on machines with GPUs."""

import importlib.machinery
import importlib.util
import os
import subprocess
import sys

import jax
import pytest

from jaxsim import runtime

ASKED = "--xla_gpu_autotune_level=0"


@pytest.fixture
def plugins(monkeypatch):
    """Say whether JAX has plugins for accelerators, whatever is installed here."""
    real = importlib.util.find_spec

    def there(some):
        found = importlib.machinery.ModuleSpec("jax_plugins", None) if some else None
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: found if name == "jax_plugins" else real(name)
        )

    for name in ("XLA_FLAGS", "XLA_PYTHON_CLIENT_PREALLOCATE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return there


def test_without_accelerators_nothing_is_asked_for(plugins):
    plugins(False)
    runtime.ask_for_reproducible_gpus()
    assert "XLA_FLAGS" not in os.environ
    assert "XLA_PYTHON_CLIENT_PREALLOCATE" not in os.environ


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ASKED),
        ("--xla_dump_to=x", f"--xla_dump_to=x {ASKED}"),
        ("--xla_gpu_autotune_level=4", "--xla_gpu_autotune_level=4"),
        ("--xla_gpu_deterministic_ops=true", "--xla_gpu_deterministic_ops=true"),
        ("--xla_gpu_deterministic_ops=false", f"--xla_gpu_deterministic_ops=false {ASKED}"),
    ],
)
def test_gpu_programs_are_not_chosen_by_the_clock(plugins, monkeypatch, before, after):
    plugins(True)
    monkeypatch.setenv("XLA_FLAGS", before)
    for _ in range(2):
        runtime.ask_for_reproducible_gpus()
        assert os.environ["XLA_FLAGS"] == after
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"


def test_memory_taken_at_once_is_left_to_whoever_asks_for_it(plugins, monkeypatch):
    plugins(True)
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "true")
    runtime.ask_for_reproducible_gpus()
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "true"


def test_too_late_is_said_on_a_gpu_only(plugins, monkeypatch):
    plugins(True)
    jax.devices()
    runtime.ask_for_reproducible_gpus()  # on a CPU
    monkeypatch.delenv("XLA_FLAGS")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with pytest.warns(UserWarning, match="two processes may differ"):
        runtime.ask_for_reproducible_gpus()


def test_importing_jaxsim_asks_before_jax_computes(tmp_path):
    (tmp_path / "jax_plugins").mkdir()
    script = """
import jaxsim, os
from jax._src import xla_bridge
print(os.environ["XLA_FLAGS"], xla_bridge.backends_are_initialized())
"""
    there = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", ""), *sys.path])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True,
        env={k: v for k, v in os.environ.items() if k != "XLA_FLAGS"} | {"PYTHONPATH": there},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"{ASKED} False\n"), done.stderr


def test_xla_knows_the_flag():
    done = subprocess.run(
        [sys.executable, "-c", "import jax.numpy as jnp; print(float(jnp.ones(3).sum()))"],
        env=os.environ | {"XLA_FLAGS": ASKED}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "3.0\n"), done.stderr
