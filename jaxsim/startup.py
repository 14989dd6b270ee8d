"""What a process needs before it imports JAX, which takes most of the time of a short command."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType


def set_up_jax() -> None:
    """Set up JAX for jaxsim: now if it is imported already, else in the moment that it is.

    float64 is switched on, and where there are GPUs XLA is asked for reproducible programs. Whoever
    imports jaxsim and then JAX finds both done; a command that needs no JAX never imports it.
    """
    if "jax" in sys.modules:
        _set_up()
    elif not any(isinstance(finder, _JaxFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _JaxFinder())


def _set_up() -> None:
    import jax

    jax.config.update("jax_enable_x64", True)
    ask_for_reproducible_gpus()


class _JaxFinder(importlib.abc.MetaPathFinder):
    """Finds JAX as Python would, once, and sets it up after its import."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return what Python finds, with a loader that sets JAX up."""
        if fullname != "jax":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _JaxLoader(spec.loader)
        return spec


class _JaxLoader(importlib.abc.Loader):
    """Loads JAX by Python's own loader, whose place it leaves to that, and sets it up."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self.loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """Create the module as Python does."""
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, then set it up."""
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        _set_up()


UNTIMED = "--xla_gpu_autotune_level=0"


def ask_for_reproducible_gpus() -> None:
    """Ask XLA for programs that give the same bits in every process on GPUs of a kind.

    Otherwise it chooses between programs by timing them, even for sums (openxla/xla#37902). What
    jaxsim computes is deterministic then. (xla_gpu_deterministic_ops rewrites scatters besides,
    wrongly in jaxlib 0.11.2.) Memory is taken as it is needed, so that processes can share a GPU.
    Whoever has said otherwise in the environment is obeyed. Called when jaxsim is imported.
    """
    if importlib.util.find_spec("jax_plugins") is None:
        return  # JAX without any accelerator
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_gpu_autotune_level" in flags or "xla_gpu_deterministic_ops=true" in flags:
        return
    if flags.strip() and not flags.strip().startswith("-"):
        reason = f"XLA_FLAGS names a file ({flags.strip()}); without {UNTIMED} in it"
    elif not has_computed():
        os.environ["XLA_FLAGS"] = f"{flags} {UNTIMED}".strip()
        return
    elif _backend() == "gpu":
        reason = (
            "JAX has computed before jaxsim was imported; without "
            f"XLA_FLAGS={UNTIMED} in the environment"
        )
    else:
        return
    warnings.warn(f"{reason}, two processes may differ in their last bits on a GPU", stacklevel=3)


def has_computed() -> bool:
    """Return whether JAX has read its environment; False where it does not tell."""
    try:
        from jax._src import xla_bridge

        return bool(xla_bridge.backends_are_initialized())
    except (ImportError, AttributeError):
        return False


def _backend() -> str:
    import jax

    return jax.default_backend()


def cache_directory() -> Path:
    """Return where compiled programs and measured widths are remembered between processes."""
    given = os.environ.get("JAXSIM_CACHE_DIR")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "jaxsim"


def forget_older_half(files: Iterable[Path], most: int) -> None:
    """Remove the older half of some files of the cache if there are more than `most`."""
    found = list(files)
    if len(found) > most:
        for path in sorted(found, key=lambda p: p.stat().st_mtime)[: len(found) // 2]:
            path.unlink(missing_ok=True)


def collect_garbage_rarely() -> None:
    """Look for garbage in cycles rarely, in a process of jaxsim's own.

    Most of what imports and compilation make lives as long as the process: looking through it takes
    a tenth of a short run.
    """
    gc.set_threshold(20_000, 20, 20)


_MOST_ARENAS = -8
"""Number of an option in glibc's malloc.h."""


def keep_heaps_few() -> None:
    """Let the threads of a process of jaxsim's own share two heaps, where the C library is glibc.

    XLA has many threads, and what each leaves in a heap of its own is lost to the others: of the
    quickstart's memory some 100 MiB.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_MOST_ARENAS, 2)


def is_shadowed() -> bool:
    """Return whether PyPI's unrelated `jaxsim` is installed too: quick enough for every command."""
    try:
        importlib.metadata.version("jaxsim")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
