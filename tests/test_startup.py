"""What a process imports, and JAX's settings however it comes to be imported."""

import ctypes
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

HEAVY = set("jax jaxlib numpy scipy optax flax pandas pyarrow matplotlib sklearn".split())

COMMANDS = """
import contextlib, io, json, sys
from jaxsim.cli import app
for command in (["--help"], ["run", "--help"], ["list"]):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        app(command, standalone_mode=False)
    assert printed.getvalue().strip(), command
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""

JAX_AFTERWARDS = """
import sys
import tempfile
from pathlib import Path
import jaxsim
assert "jax" not in sys.modules
import jax.numpy as jnp
import jax
assert jnp.zeros(1).dtype == jnp.float64, jnp.zeros(1).dtype
assert jax.config.jax_enable_x64
assert "startup" not in type(jax.__spec__.loader).__module__  # as Python left it
assert not any("jaxsim" in type(finder).__module__ for finder in sys.meta_path)
"""


WORKER = """
import sys
import tempfile
from pathlib import Path
import jaxsim.launch.process
unwanted = "scipy.stats scipy.optimize scipy.integrate pandas matplotlib sklearn typer jinja2"
unwanted += " scipy.special flax"
import numpy as np
from jaxsim.results.store import Shard, Store
from jaxsim.training.records import Records
whole, risk = np.zeros(2, np.int64), np.ones((2, 1))
small, counts = whole.astype(np.int8), np.zeros((2, 1, 1), np.int32)
records = Records(np.arange(2), small, whole - 1, risk, 0 * risk, counts, risk[:, 0],
                  small.astype(np.int16), counts[:, 0, 0], np.zeros((2, 1), np.int8))
with tempfile.TemporaryDirectory() as directory:
    store, shard = Store(directory), Shard("a", 0, 2, 1, 1)
    store.write(shard, records, {})
    assert (store.read(shard).risk == 1).all()
assert not set(unwanted.split()) & set(sys.modules), set(unwanted.split()) & set(sys.modules)
"""

RUNTIME_FIRST = """
import jaxsim.runtime, jax
assert jax.config.jax_enable_x64
"""


def python(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_and_list_wait_for_no_library_of_numbers():
    imported = set(json.loads(python(COMMANDS)))
    assert not imported & HEAVY
    assert "jaxsim" in imported


@pytest.mark.parametrize("program", [JAX_AFTERWARDS, RUNTIME_FIRST])
def test_jax_is_set_up_when_it_is_imported_after_jaxsim(program):
    python(program)


def test_a_worker_waits_for_no_library_of_reports():
    python(WORKER)


def test_threads_of_a_command_share_two_heaps():
    code = """
import ctypes, sys, threading
from jaxsim import startup

if sys.argv[1] == "few":
    startup.keep_heaps_few()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
together = threading.Barrier(6)

def allocate():
    together.wait()
    for _ in range(100):
        libc.malloc(ctypes.c_size_t(1000))
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
out = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, out)
libc.fclose(out)
"""
    if not hasattr(ctypes.CDLL(None), "malloc_info"):
        pytest.skip("the C library is not glibc")
    with tempfile.TemporaryDirectory() as folder:
        heaps = {}
        for kind in ("few", "many"):
            path = Path(folder) / kind
            subprocess.run([sys.executable, "-c", code, kind, str(path)], check=True)
            heaps[kind] = path.read_text().count("<heap nr=")
    assert heaps["few"] <= 2 < heaps["many"]
