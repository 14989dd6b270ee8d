#!/usr/bin/env bash
# jax 0.10.2 on a CPU: jax.experimental.serialize_executable takes a compiled program that JAX had
# read from its persistent compilation cache, returns bytes and says nothing, but these bytes lack the
# program's functions. Loaded by another process they give a program that fails when it is called:
# "Function ... not found". The same program, compiled and not read from the cache, is serialized
# whole. So whether an ahead-of-time archive of programs works depends on whether the cache was warm
# when it was made. A good engineer would expect the same bytes, or an error of `serialize`.
#
# What helps: serialize with a cold cache, or keep the bytes that the cache itself holds.
#
# Seen 2026-11-29. Fails if the behaviour changes.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    "jax==0.10.2" "jaxlib==0.10.2" "numpy>=2,<3" 2> "$folder/pip.log" ||
    { cat "$folder/pip.log" >&2; exit 1; }
cat > "$folder/save.py" <<'PYTHON'
import pickle
import sys

import jax
import jax.numpy as jnp
from jax.experimental import serialize_executable

cache, file = sys.argv[1:]
jax.config.update("jax_compilation_cache_dir", cache)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def f(x):
    return jnp.sort(jnp.sin(3 * x) + x) * jnp.cumsum(x)


compiled = jax.jit(f).lower(jnp.arange(100.0)).compile()
with open(file, "wb") as archive:
    pickle.dump(serialize_executable.serialize(compiled), archive)
PYTHON
cat > "$folder/load.py" <<'PYTHON'
import pickle
import sys

import jax
import jax.numpy as jnp
from jax.experimental import serialize_executable

with open(sys.argv[1], "rb") as archive:
    program = serialize_executable.deserialize_and_load(*pickle.load(archive))
try:
    print(f"sum {float(program(jnp.arange(100.0)).sum()):.1f}")
except jax.errors.JaxRuntimeError as error:
    print("JaxRuntimeError, not found" if "not found" in str(error) else f"JaxRuntimeError: {error}")
PYTHON
export JAX_PLATFORMS=cpu
python="$folder/venv/bin/python"
for turn in cold warm; do
    "$python" "$folder/save.py" "$folder/cache" "$folder/$turn.bin"
    echo "cache $turn: $("$python" "$folder/load.py" "$folder/$turn.bin")"
done | tee "$folder/seen"
grep -qE "^cache cold: sum [0-9.]+$" "$folder/seen"
grep -qx "cache warm: JaxRuntimeError, not found" "$folder/seen"
echo "as described"
