"""Compiled programs, kept for the processes that come later.

JAX keeps what it compiled under the lowered program, which has to be traced first: half a second to
two seconds of every process, workers included. Here a program is kept under all that it is made
from: a text that says what is computed, the code of this package, versions, settings, the kind of
device, shapes. What is found is loaded and called; nothing of it is traced, and the functions to be
traced are not even made. The user's cache is trusted, as it is for all that is compiled.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
import importlib.metadata
import io
import os
import pickle
import platform
import re
import threading
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.core import Tracer
from jax.experimental import serialize_executable

from jaxsim import runtime, startup
from jaxsim.package import package_digest
from jaxsim.processor import features, processor

_MOST = 2000
"""Programs in the cache, of some 100 kB each; beyond it the older half goes."""
_LARGEST = 1 << 24
"""Bytes of a program that is kept: larger ones hold the data of a study."""
_LIBRARIES = ("jax", "jaxlib", "numpy", "scipy", "optax", "flax", "ml_dtypes")
_DIGEST = hashlib.sha256().digest_size

enabled = True
"""False where functions of the package are replaced, which no digest of its files tells: tests."""
load_library: dict[str, Callable[[str], bool]] = {}
"""Prefix of the names of foreign functions that a program may call -> what makes one of them known
to XLA, and returns whether it can. Whoever compiles such functions adds an entry."""


class Program:
    """A function compiled once for each signature, in this process or an earlier one.

    Args:
        make: returns the function; called when it has to be traced.
        key: says, with the code of the package, what the function computes, whatever the values of
            its arguments; None to keep it in this process only.
        options: of `jax.jit`.

    Attributes:
        used: whether it was called since `forget_unused` looked.
    """

    def __init__(
        self, make: Callable[[], Callable[..., Any]], key: str | None, options: Mapping[str, Any]
    ) -> None:
        self._make, self._key, self._options = make, key, options
        self._lock, self._loaded = threading.Lock(), {}
        self._files: dict[tuple[Any, ...], Path] = {}
        self.used = False
        _PROGRAMS.add(self)

    @cached_property
    def jitted(self) -> Any:
        """The function as `jax.jit` compiles it."""
        function = self._make()

        @functools.wraps(function)
        def own(*arguments: Any) -> Any:  # one that JAX has not compiled in this process
            return function(*arguments)

        return jax.jit(own, **self._options)

    def __call__(self, *arguments: Any) -> Any:
        """Call the compiled function; inside a function that is being traced it is traced."""
        signature = _signature(arguments) if self._key is not None else None
        if signature is None:
            return self.jitted(*arguments)
        self.used = True
        program = self._loaded.get(signature)
        if program is None:
            with self._lock:  # a second thread would make the same
                program = self._loaded.get(signature) or self._compiled(signature, arguments)
                self._loaded[signature] = program
        return program(*arguments)

    def __getattr__(self, name: str) -> Any:
        # Lowering, tracing and the like are those of `jax.jit`.
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.jitted, name)

    def forget(self) -> None:
        """Give the memory of what was compiled back; it is loaded again when it is called."""
        with self._lock:
            self._loaded.clear()

    @property
    def loaded(self) -> int:
        """How many compiled programs it holds, one for each signature."""
        return len(self._loaded)

    def forget_kept(self) -> None:
        """Give the memory of what the cache has back; the rest would have to be compiled anew."""
        with self._lock:
            for signature in [s for s, path in self._files.items() if path.exists()]:
                self._loaded.pop(signature, None)

    def _compiled(self, signature: tuple[Any, ...], arguments: tuple[Any, ...]) -> Any:
        """Return the compiled program, or what compiles it where nothing can be kept."""
        facts = _facts()
        if facts is None:
            return self.jitted
        text = "\0".join((*facts, str(self._key), str(self._options), str(signature[:-1])))
        name = hashlib.sha256(text.encode()).hexdigest()
        path = startup.cache_directory() / "programs" / f"{name}.bin"
        self._files[signature] = path
        found = _load(path)
        if found is not None:
            return found
        lowered = self.jitted.lower(*arguments)
        with runtime.noting_compilation() as serialized:
            compiled = lowered.compile()
            _keep(path, compiled, serialized(), lowered)
        return compiled


_PROGRAMS: weakref.WeakSet[Program] = weakref.WeakSet()


def kept(
    make: Callable[[], Callable[..., Any]], key: Sequence[object] | None, **options: Any
) -> Program:
    """Return a program that later processes find compiled.

    Args:
        make: returns a pure function of arrays, without callbacks.
        key: what with the code of the package says which function that is, in texts, numbers and
            the like, whose `str` is the same in every process; None for one that cannot be told.
        options: of `jax.jit`: donated arguments, options of the compiler.
    """
    text = None if key is None else "\0".join(map(str, key))
    return Program(make, text, options)


MOST_LOADED = 12
"""Programs that a process holds whether it calls them or not: those of two or three experiments."""


def forget_unused() -> None:
    """Give the memory of programs back that were not called since this was called before.

    A process that works through many experiments then holds the programs of a few of them, some
    12 MiB each. One that is called again is read again from the cache.
    """
    present = list(_PROGRAMS)
    if sum(program.loaded for program in present) > MOST_LOADED:
        for program in present:
            if not program.used:
                program.forget_kept()
        runtime.trim_memory()
    for program in present:
        program.used = False


def forget_programs() -> None:
    """Give the memory of compiled programs back, in a process of jaxsim's own.

    What is needed again is read from the cache on disk, or traced again. A user's own session may
    have programs of its own, which this would forget, too.
    """
    for program in list(_PROGRAMS):
        program.forget()
    jax.clear_caches()
    gc.collect()
    runtime.trim_memory()


def _signature(arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Return what a compiled program depends on besides the function; None while it is traced."""
    leaves, structure = jax.tree.flatten(arguments)
    shapes = []
    for leaf in leaves:
        if isinstance(leaf, np.ndarray | np.generic):
            shapes.append((leaf.shape, leaf.dtype, False))
        elif isinstance(leaf, jax.Array) and not isinstance(leaf, Tracer):
            shapes.append((leaf.shape, leaf.dtype, getattr(leaf, "weak_type", False)))
        else:
            return None
    return structure, tuple(shapes), _tracing()


def _tracing() -> Any:
    """Return the settings, of the thread, too, that JAX asks when it traces."""
    try:
        from jax._src.config import trace_context
    except ImportError:
        return None
    return trace_context()


def _facts() -> tuple[str, ...] | None:
    """Return what a program in the cache depends on besides its key and signature.

    None where programs are not kept: several devices, of which each wants its own, another device
    than JAX's first, and settings by which JAX looks at every operation.
    """
    devices = jax.local_devices() if enabled else []
    watching = ("jax_disable_jit", "jax_debug_nans", "jax_debug_infs", "jax_check_tracer_leaks")
    if len(devices) != 1 or jax.process_count() != 1 or any(map(runtime.setting, watching)):
        return None
    if runtime.setting("jax_default_device") not in (None, devices[0]):
        return None
    if not runtime.setting("jax_enable_compilation_cache"):
        return None
    settings = (
        f"{name}={getattr(jax.config, name, '')}"
        for name in sorted(jax.config.values)
        if not name.startswith(_WITHOUT_EFFECT)
    )
    return (*_machine(), runtime.xla_threads(), devices[0].device_kind, *settings)


_WITHOUT_EFFECT = (
    "jax_persistent_cache", "jax_compilation_cache", "jax_logging", "jax_log_", "jax_explain",
    "jax_traceback", "jax_include_full_tracebacks", "jax_platforms", "jax_num_cpu_devices",
    "jax_tracer_error", "jax_default_device", "jax_dump", "jax_pprint", "jax_cpu_enable_async",
)  # fmt: skip
"""Beginnings of the names of settings that change nothing in a program for one device."""


@lru_cache(maxsize=1)
def _machine() -> tuple[str, ...]:
    """Return versions and what programs of this machine are made for."""
    versions = (f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES)
    backend = jax.local_devices()[0].client
    return (
        package_digest(), platform.python_version(), *versions, backend.platform,
        backend.platform_version, features(), processor(), runtime.c_library(),
        os.environ.get("XLA_FLAGS", ""),
    )  # fmt: skip


def _load(path: Path) -> Any | None:
    """Return the program of a file; None if there is none that can be used."""
    try:
        content = path.read_bytes()
        if content[:_DIGEST] != hashlib.sha256(content[_DIGEST:]).digest():
            return None
        names, *parts = pickle.loads(content[_DIGEST:])
        for name in names:
            prefix = next(p for p in load_library if name.startswith(p))
            if not load_library[prefix](name):
                return None
        return serialize_executable.deserialize_and_load(*parts)
    except Exception:  # of unpickling and of XLA, whatever they be: it is compiled again
        return None


def _keep(path: Path, compiled: Any, serialized: bytes | None, lowered: Any) -> None:
    """Write a program to the cache; what cannot be written costs later processes time only.

    Args:
        path: of the file.
        compiled: the program.
        serialized: by XLA.
        lowered: what was compiled.
    """
    if serialized is None or len(serialized) > _LARGEST:
        return
    with contextlib.suppress(Exception):  # of pickling and of JAX: some programs have no such form
        # Tables of data that are built in are left out of the text.
        text = lowered.compiler_ir().operation.get_asm(large_elements_limit=16)
        names = {n for p in load_library for n in re.findall(rf"@({re.escape(p)}\w+)", text)}
        content = pickle.dumps((sorted(names), *_serialized(compiled, serialized)))
        path.parent.mkdir(parents=True, exist_ok=True)
        _forget_old(path.parent)
        beside = path.with_name(f".{path.stem}.{uuid.uuid4().hex}")
        try:
            beside.write_bytes(hashlib.sha256(content).digest() + content)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def _serialized(compiled: Any, serialized: bytes) -> tuple[bytes, Any, Any]:
    """Return what `serialize_executable.serialize` does, of a program serialized before."""
    arguments, structure = jax.tree.flatten(compiled.args_info)
    executable = type(compiled.runtime_executable())

    class Pickler(serialize_executable._JaxPjrtPickler):
        def persistent_id(self, obj: Any) -> Any:
            if isinstance(obj, executable):
                return "exec", serialized
            return super().persistent_id(obj)

    with io.BytesIO() as file:
        unloaded = compiled._executable._unloaded_executable
        Pickler(file).dump((unloaded, arguments, compiled._no_kwargs))
        return file.getvalue(), structure, compiled.out_tree


@lru_cache(maxsize=1)
def _forget_old(folder: Path) -> None:
    """Remove the older half of the programs if there are too many, once in a process."""
    startup.forget_older_half(folder.glob("*.bin"), _MOST)
