"""What XLA is asked for on machines with GPUs."""

import importlib.machinery
import importlib.util
import logging
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxsim import InputError, programs, runtime, startup
from tests.studies import slow_but

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
    startup.ask_for_reproducible_gpus()
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
    monkeypatch.setattr(startup, "has_computed", lambda: False)
    for _ in range(2):
        startup.ask_for_reproducible_gpus()
        assert os.environ["XLA_FLAGS"] == after
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"


def test_memory_taken_at_once_is_left_to_whoever_asks_for_it(plugins, monkeypatch):
    plugins(True)
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "true")
    startup.ask_for_reproducible_gpus()
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "true"


def test_too_late_is_said_on_a_gpu_only_and_not_recorded_as_done(plugins, monkeypatch):
    plugins(True)
    monkeypatch.setattr(startup, "has_computed", lambda: True)
    startup.ask_for_reproducible_gpus()  # on a CPU
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with pytest.warns(UserWarning, match=r"JAX has computed before .* two processes may differ"):
        startup.ask_for_reproducible_gpus()
    assert "XLA_FLAGS" not in os.environ


def test_jax_tells_whether_it_has_computed():
    jax.devices()
    assert startup.has_computed()


def test_flags_in_a_file_are_left_alone(plugins, monkeypatch):
    # XLA would take the whole text for the name of the file, and abort.
    plugins(True)
    monkeypatch.setenv("XLA_FLAGS", "flags.txt")
    with pytest.warns(UserWarning, match=r"XLA_FLAGS names a file \(flags.txt\)"):
        startup.ask_for_reproducible_gpus()
    assert os.environ["XLA_FLAGS"] == "flags.txt"


@pytest.mark.parametrize(
    "command", slow_but([("show", "quickstart")], [("doctor",), ("show", "quickstart")])
)
def test_a_device_that_is_not_there_is_said(command):
    done = subprocess.run(
        [sys.executable, "-m", "jaxsim", *command],
        env=os.environ | {"JAX_PLATFORMS": "rocm"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: JAX cannot use rocm: ")
    assert done.stderr.count("\n") == 1


def test_why_a_plugin_failed_is_in_the_sentence(monkeypatch):
    def start():
        try:
            raise RuntimeError("the driver is too old\nmore of it")
        except RuntimeError:
            logging.getLogger("jax._src.xla_bridge").exception("Jax plugin configuration error")
        raise RuntimeError("Unable to initialize backend 'cuda'")

    monkeypatch.setattr(jax, "default_backend", start)
    with pytest.raises(InputError, match=r"^JAX cannot use cpu: the driver is too old$"):
        runtime.require_device()
    with pytest.raises(InputError, match=r"needs a GPU and has none .* the driver is too old"):
        runtime.require_platform("gpu")


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


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted there")
def test_programs_keep_to_the_thread_that_calls_them():
    script = """
import os, jax, jax.numpy as jnp
from jaxsim import runtime
runtime.configure()
runtime.compute_on_threads_apart()
started = set(os.listdir("/proc/self/task"))
jax.jit(lambda x: jax.lax.fori_loop(0, 99, lambda n, x: jnp.sin(x @ x.T), x))(jnp.ones((99, 99)))
pools = [open(f"/proc/self/task/{t}/comm").read().strip() for t in os.listdir("/proc/self/task")]
print("NPROC" in os.environ, sum("XLAEigen" in name for name in pools))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "False 1\n", (done.stdout, done.stderr)


def test_half_a_program_in_the_cache_is_replaced():
    cache = Path(runtime.setting("jax_compilation_cache_dir"))
    for earlier in cache.glob("jit_once_more_than_anybody-*"):
        earlier.unlink()

    def compiled():
        # Each time a function of its own, so that only the cache remembers the program.
        def once_more_than_anybody(x):
            return 3.0 * x + 17.25

        return float(jax.jit(once_more_than_anybody)(np.float32(2.0)))

    assert compiled() == 23.25
    (entry,) = cache.glob("jit_once_more_than_anybody-*-cache")
    whole = entry.read_bytes()
    entry.write_bytes(whole[: len(whole) // 2])
    with pytest.warns(UserWarning, match="^Error reading persistent compilation cache entry"):
        assert compiled() == 23.25  # commands ignore what is mended at once
    assert compiled() == 23.25
    # As whole as before: the time that it took to compile is a part of it.
    assert len(entry.read_bytes()) > 0.9 * len(whole)
    assert not list(cache.glob(".*"))


def test_a_program_is_in_the_cache_when_all_of_it_is(tmp_path, monkeypatch):
    from jax._src.lru_cache import LRUCache

    cache = LRUCache(str(tmp_path), max_size=-1)
    seen = []

    def replace(self, target):
        seen.append(cache.get("a"))
        os.replace(self, target)

    monkeypatch.setattr("pathlib.Path.replace", replace)
    cache.put("a", b"whole")
    cache.put("a", b"another")
    assert seen == [None, b"whole"]
    assert cache.get("a") == b"another"


def test_programs_that_were_forgotten_are_compiled_again():
    doubled = jax.jit(lambda x: 2 * x)
    assert float(doubled(3.0)) == 6.0
    assert doubled._cache_size() == 1
    programs.forget_programs()
    assert doubled._cache_size() == 0
    assert float(doubled(4.0)) == 8.0


def test_a_value_is_computed_at_once_or_as_it_can_be():
    compiled = []
    wanted = [0.0, 1.0, 2.0]

    def traced(x):
        compiled.append(isinstance(x, jax.core.Tracer))
        return jax.numpy.where(x < 0, 0.0, x) + 1.0

    np.testing.assert_array_equal(runtime.at_once(traced, np.array(wanted)), np.add(wanted, 1))
    assert compiled == [True]
    # A function that looks at numbers cannot be traced.
    looks = lambda x: x + 1 if bool((x > -1).all()) else x  # noqa: E731
    np.testing.assert_array_equal(runtime.at_once(looks, np.array(wanted)), np.add(wanted, 1))
