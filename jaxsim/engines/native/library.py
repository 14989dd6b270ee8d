"""Compiling a generated program with the machine's C compiler, and handing it to XLA."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import threading
import uuid
from functools import lru_cache
from pathlib import Path

import jax

from jaxsim import programs, runtime
from jaxsim.engines.native.program import Source, Target
from jaxsim.errors import InputError
from jaxsim.processor import features

HEADER = Path(__file__).with_name("native.h")
_FLAGS = ("-O3", "-std=gnu11", "-fPIC", "-shared", "-fno-math-errno", "-ffp-contract=fast", "-w")
TUNINGS = {
    "": ("-mtune=generic", "-mprefer-vector-width=512"),
    "processor": ("-mprefer-vector-width=512",),
}
"""Of gcc for registers of 512 bits: its own tuning splits vectors and copies them in halves."""

_DIGEST = 64
PREFIX = "jaxsim_"
"""Of the names under which XLA knows the programs."""


@lru_cache(maxsize=1)
def compiler() -> str | None:
    """Return the C compiler: $CC, else cc, gcc or clang; None if there is none."""
    wanted = os.environ.get("CC")
    names = (wanted,) if wanted else ("cc", "gcc", "clang")
    return next((path for name in names if (path := shutil.which(name))), None)


@lru_cache(maxsize=1)
def compiler_version() -> str:
    """Return the first line of what the compiler says of itself; empty without one."""
    path = compiler()
    if path is None:
        return ""
    process = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return process.stdout.partition("\n")[0]


@lru_cache(maxsize=1)
def target() -> Target:
    """Return what this machine's processor has."""
    names = features().split()
    if "avx512f" in names and "avx512dq" in names:
        return Target(64, 32)
    if "avx2" in names and "fma" in names:
        return Target(32, 16)
    return Target(16, 32 if platform.machine() in ("aarch64", "arm64") else 16)


@lru_cache(maxsize=64)
def load(source: Source) -> str:
    """Compile a program unless it is in the cache, register it; return its name for XLA.

    Raises:
        InputError: if the compiler is missing or fails.
    """
    name, library = build(source)
    _register(name, library)
    return name


def _register(name: str, library: ctypes.CDLL) -> None:
    with _registering:
        if name not in _registered:
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(library.run), platform="cpu")
            _registered[name] = library


def _load_by_name(name: str) -> bool:
    """Register a program of the cache, which a kept program calls; return whether it is there."""
    if name in _registered:
        return True
    library = _open(_path(name))
    if library is not None:
        _register(name, library)
    return library is not None


programs.load_library[PREFIX] = _load_by_name


_registering = threading.Lock()
_registered: dict[str, ctypes.CDLL] = {}
"""By name; what XLA calls must stay loaded."""


def build(source: Source) -> tuple[str, ctypes.CDLL]:
    """Return a program's name, made of all that fixes its bits, and the program, compiled."""
    compiler_path = compiler()
    if compiler_path is None:
        raise InputError("there is no C compiler")
    text = f"{source.text}\n{facts(source.tuning)}"
    name = PREFIX + hashlib.sha256(text.encode()).hexdigest()[:24]
    path = _path(name)
    return name, _open(path) or _compile(compiler_path, source, path)


def facts(tuning: str = "") -> str:
    """Return all that fixes the bits of a compiled program besides its source.

    Args:
        tuning: a name of `TUNINGS`.
    """
    parts = HEADER.read_text(), compiler_version(), *flags(tuning), features(), runtime.c_library()
    return "\n".join(parts)


def _path(name: str) -> Path:
    return runtime.cache_directory() / "native" / f"{name}.so"


def flags(tuning: str = "") -> tuple[str, ...]:
    """Return the options of the compiler.

    Args:
        tuning: a name of `TUNINGS`.
    """
    native = "-march=native" if platform.machine() in ("x86_64", "AMD64") else "-mcpu=native"
    return (*_FLAGS, native, *(TUNINGS[tuning] if has_tunings() else ()))


def has_tunings() -> bool:
    """Return whether it is gcc for registers of 512 bits, whose tuning matters."""
    return target().vector_bytes == 64 and "clang" not in compiler_version()


def _open(path: Path) -> ctypes.CDLL | None:
    """Load a library if it is there and whole: a torn one would crash the process."""
    try:
        content = path.read_bytes()
        if content[-_DIGEST:] != _digest(content[:-_DIGEST]):
            return None
        return ctypes.CDLL(str(path))
    except OSError:
        return None


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _compile(there: str, source: Source, path: Path) -> ctypes.CDLL:
    with tempfile.TemporaryDirectory(prefix="jaxsim-") as name:
        folder = Path(name)
        (folder / "program.c").write_text(source.text)
        made = folder / "program.so"
        command = [there, *flags(source.tuning), f"-I{HEADER.parent}", f"-I{jax.ffi.include_dir()}"]
        command += [str(folder / "program.c"), "-o", str(made)]
        # glibc's vector mathematics where it is to be had.
        for options in (["-DUSE_LIBMVEC", "-Wl,--no-undefined", "-lmvec", "-lm"], ["-lm"]):
            done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                break
        else:
            lines = [line for line in done.stderr.splitlines() if "error" in line]
            message = (lines or [done.stderr.strip() or "in silence"])[0]
            raise InputError(f"the C compiler {there} fails: {message}")
        # Another process may do the same: whoever comes last wins, with the same bytes.
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            content = made.read_bytes()
            beside = path.with_name(f"{path.stem}-{uuid.uuid4().hex}.part")
            # Loaders do not mind what follows the last section.
            beside.write_bytes(content + _digest(content))
            beside.replace(path)
            made = path
        except OSError:
            pass  # a cache that cannot be written costs time, not results
        return ctypes.CDLL(str(made))
