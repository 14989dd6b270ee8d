#!/usr/bin/env bash
# jax 0.10.2: an entry of the persistent compilation cache that could only be written in part, because
# the disk (a quota) was full at that moment, stays there for good. Every later process reads it, warns,
# compiles anew and leaves the partial entry in place, although the disk has room again. A good engineer
# would expect a file that is written beside its name and renamed, or an entry that is replaced once it
# cannot be read.
#
# `jax._src.lru_cache.LRUCache.put` writes to the final name, and returns at once if that name exists.
# The same is left by a process that a batch system ends while it writes: programs of cluster jobs that
# share a cache are then compiled in every job, with a warning in every log.
#
# A limit on the size of files (`RLIMIT_FSIZE`) stands for the full disk here.
#
# Seen 2026-11-28 on a CPU. Fails if the behaviour changes.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    "jax==0.10.2" "jaxlib==0.10.2" "numpy>=2,<3" 2> "$folder/pip.log" ||
    { cat "$folder/pip.log" >&2; exit 1; }
cat > "$folder/program.py" <<'PYTHON'
import pathlib
import resource
import signal
import sys
import warnings

import jax
import jax.numpy as jnp

cache, room = pathlib.Path(sys.argv[1]), int(sys.argv[2])
jax.config.update("jax_compilation_cache_dir", str(cache))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
x = jnp.arange(8.0)  # before the limit, so that it concerns one program only
if room:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    jax.jit(lambda x: jnp.sin(x).cumsum() @ jnp.cos(x))(x).block_until_ready()
words = " ".join(str(warning.message) for warning in said)
what = "reading" if "Error reading" in words else "writing" if "Error writing" in words else "none"
entries = [p for p in cache.glob("*lambda*-cache")]
print(len(entries), sum(p.stat().st_size for p in entries), what)
PYTHON
run() { JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/program.py" "$@"; }
whole="$(run "$folder/whole" 0)"
again="$(run "$folder/whole" 0)"
cut="$(run "$folder/cut" 1024)"
second="$(run "$folder/cut" 0)"
third="$(run "$folder/cut" 0)"
echo "jax 0.10.2: entries of the program, their bytes, what a warning says is at fault"
printf '  %-46s %s\n' "enough room, first process" "$whole" "enough room, second process" "$again" \
    "room for 1,024 bytes" "$cut" "enough room again" "$second" "and once more" "$third"
size="$(cut -d' ' -f2 <<< "$whole")"
[ "$whole" = "1 $size none" ] && [ "$again" = "1 $size none" ] && [ "$size" -gt 1024 ] &&
    [ "$cut" = "1 1024 writing" ] && [ "$second" = "1 1024 reading" ] && [ "$third" = "$second" ] ||
    { echo "the behaviour has changed" >&2; exit 1; }
echo "as seen: the partial entry is never replaced"
