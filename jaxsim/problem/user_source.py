"""The source of a user's own code, as far as it reaches: what identifies a function of theirs.

A function is identified by the source of its module as it was imported, and by the sources of all
modules of the user's own that this module imports, and so on. Python's library and installed
packages are not the user's own: their versions are recorded with the results.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import json
import os
import site
import sys
import sysconfig
import time
from collections.abc import Iterator
from functools import lru_cache
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from jaxsim.errors import InputError
from jaxsim.problem.user_import import FromSource
from jaxsim.problem.user_match import difference, from_older_bytecode

_PACKAGE = Path(__file__).resolve().parents[1]


class _Import(NamedTuple):
    """What a module was when it was imported; `importlib.reload` gives it another spec."""

    spec: Any
    source: bytes


_IMPORTS: dict[str, _Import] = {}


def digest(module_name: str) -> list[str]:
    """Return what identifies a loaded module: the SHA-256 of its source, and one of its helpers'.

    A module that imports no other of the user's own is identified by its source alone.

    Raises:
        InputError: as `sources`.
    """
    texts = sources(module_name)
    own_hash = hashlib.sha256(texts.pop(module_name)).hexdigest()
    if not texts:
        return [own_hash]
    helpers = [[name, hashlib.sha256(texts[name]).hexdigest()] for name in sorted(texts)]
    return [own_hash, hashlib.sha256(json.dumps(helpers).encode()).hexdigest()]


def sources(module_name: str) -> dict[str, bytes]:
    """Return the sources, by name, of a loaded module and of all of the user's own it imports.

    Raises:
        InputError: if a module has no source, its file has changed since it was imported, or it
            still holds functions of another module that has been imported again, or if something
            was put into one from outside.
    """
    texts = {module_name: _source(module_name)}
    waiting = [module_name]
    while waiting:
        name = waiting.pop()
        for imported in _imported(name, texts[name]):
            if imported in texts or not _is_own(imported):
                continue
            source = _source(imported)
            if _has_code(source):
                waiting.append(imported)
                texts[imported] = source
    _require_fresh(texts)
    return texts


def _source(name: str) -> bytes:
    """Return the source of a module as it was imported; of one to be imported later, its file's."""
    module = sys.modules.get(name)
    spec = importlib.util.find_spec(name) if module is None else module.__spec__
    if name == "__main__" or spec is None:
        raise InputError(
            f"module {name!r} has no source that workers and reports could import; put the "
            'function into a file of its own, such as mine.py, and name it "mine:function"'
        )
    if spec.origin in ("built-in", "frozen"):
        return b""
    now = _read(name, spec)
    if module is None:
        return now
    known = _IMPORTS.get(name)
    if known is None or known.spec is not spec:
        known = _Import(spec, _executed(spec) or now)
    if known.source != now:
        raise _changed(name)
    _require_as_written(module, spec, now)
    _IMPORTS[name] = known
    return known.source


def _executed(spec: Any) -> bytes | None:
    """Return the source that ran, if the loader kept it."""
    return spec.loader.executed if isinstance(spec.loader, FromSource) else None


def _require_as_written(module: ModuleType, spec: Any, source: bytes) -> None:
    """Refuse a module that is not what its source says."""
    name = module.__name__
    hooked = type(spec.loader) not in (SourceFileLoader, FromSource)
    edited = _edited_after_start(spec)
    if hooked and not edited:  # another loader may have rewritten the source
        return
    known = _IMPORTS.get(name)
    first = known is None or known.spec is not spec
    if first and _executed(spec) is None and from_older_bytecode(module, source):
        raise InputError(
            f"module {name!r} ran from bytecode of an older version of its file, in "
            f"{spec.cached!r}; remove that, and start Python again"
        )
    wrong = difference(module, source)
    if wrong and first and edited and _executed(spec) is None:
        raise _changed(name)
    if wrong:
        raise InputError(
            f"module {name!r} holds a {wrong!r} that its file does not define so: it was put into "
            "the module from outside; accepted: what its file defines or imports"
        )


def note_import(name: str) -> None:
    """Remember the source of a module that has just been imported, if it is the user's own."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    if spec is not None and _is_own(name):
        _IMPORTS[name] = _Import(spec, _executed(spec) or _read(name, spec))


def _read(name: str, spec: ModuleSpec) -> bytes:
    if spec.origin is None:  # a folder without __init__.py
        return b""
    try:
        return Path(spec.origin).read_bytes()
    except OSError as error:
        raise InputError(
            f"the source of module {name!r} cannot be read ({error.strerror}), so that nothing "
            "would tell its results from those of another version"
        ) from None


def _changed(name: str) -> InputError:
    return InputError(
        f"the file of module {name!r} has changed since Python imported it; start Python again, or "
        "importlib.reload the module"
    )


def _is_own(name: str) -> bool:
    """Return whether a module is neither Python's, nor installed, nor jaxsim's."""
    module = sys.modules.get(name)
    try:
        spec = importlib.util.find_spec(name) if module is None else module.__spec__
    except (ImportError, ValueError, AttributeError):
        return False
    if spec is None or spec.origin in (None, "built-in", "frozen"):
        return False
    return is_own_file(spec.origin)


def is_own_file(origin: str) -> bool:
    """Return whether a file is neither Python's, nor installed, nor jaxsim's."""
    path = Path(origin).resolve()
    if {"site-packages", "dist-packages"} & set(path.parts):
        return False
    return not any(path.is_relative_to(folder) for folder in _foreign())


@lru_cache(maxsize=1)
def _foreign() -> tuple[Path, ...]:
    """Return the folders of Python's library, of installed packages, and of jaxsim."""
    paths = {sysconfig.get_paths()[k] for k in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths |= {*site.getsitepackages(), site.getusersitepackages()}
    return (_PACKAGE, *(Path(p).resolve() for p in paths))


def _imported(name: str, source: bytes) -> Iterator[str]:
    """Yield the names of modules that a module imports anywhere in its source, packages too."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # no Python source: an extension module
        return
    module = sys.modules.get(name)
    package = (getattr(module, "__package__", None) or name.rpartition(".")[0]) if module else ""
    names = set(_packages(name))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join(
                [*(parts if node.level else []), *([node.module] if node.module else [])]
            )
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node.func) in ("import_module", "__import__"):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                names.add(first.value)
    # What was put there by other means: a module, or a function of one.
    for value in list(vars(module).values()) if module is not None else ():
        origin = value.__name__ if isinstance(value, ModuleType) else _module_of(value)
        if origin == "__main__" and name != "__main__":
            raise InputError(
                f"module {name!r} holds something of what runs as a script or was typed in, put "
                "into the module from outside; accepted: what its file defines or imports"
            )
        names.add(origin)
    names |= {parent for imported in names for parent in _packages(imported)}
    yield from sorted(n for n in names if n and n != name and _exists(n))


def _packages(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:i]) for i in range(1, len(parts)))


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _module_of(value: Any) -> str:
    """Return the module of a function, class or object of one, empty for anything else."""
    while isinstance(value, functools.partial):
        value = value.func
    if isinstance(value, MethodType):
        value = value.__func__
    if isinstance(value, type | FunctionType):
        origin = value.__module__
    elif type(value).__module__ == "__main__":
        origin = "__main__"
    else:
        wrapped = getattr(value, "__wrapped__", None)
        origin = getattr(wrapped, "__module__", None) if callable(wrapped) else None
    return origin if isinstance(origin, str) else ""


def _exists(name: str) -> bool:
    """Return whether a name is a module's, loaded or to be found without running anything new."""
    if name in sys.modules:
        return True
    parent = name.rpartition(".")[0]
    if parent and not hasattr(sys.modules.get(parent), "__path__"):
        return False
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def _has_code(source: bytes) -> bool:
    """Return whether a source does anything: most __init__.py are empty but for a docstring."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError):
        return True
    return any(not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)) for s in body)


def _require_fresh(names: dict[str, bytes]) -> None:
    """Refuse modules that hold functions of another one from before it was reloaded."""
    for name in names:
        for key, value in vars(sys.modules[name]).items() if name in sys.modules else ():
            origin = _module_of(value)
            if origin == name or origin not in names or origin not in sys.modules:
                continue
            qualified = getattr(value, "__qualname__", ".")
            now = getattr(sys.modules[origin], qualified, value)
            if now is not value and isinstance(value, type | FunctionType):
                raise InputError(
                    f"module {name!r} still holds the {key!r} that {origin!r} had before it was "
                    "imported again; importlib.reload both, or start Python again"
                )


@lru_cache(maxsize=1)
def _start() -> float:
    """Return when this process started, in seconds of the clock of files."""
    try:
        ticks = float(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        running = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        return time.time() - running
    except (OSError, ValueError, IndexError, AttributeError):
        return _LOADED


_LOADED = time.time()


def _edited_after_start(spec: ModuleSpec) -> bool:
    return spec.origin is not None and Path(spec.origin).stat().st_mtime >= _start() - 1
