"""The source of a user's own code, as far as it reaches: what identifies a function of theirs.

A function is identified by the source of its module as it was imported, and by the sources of all
modules of the user's own that this module imports, and so on. Python's library and installed
packages are not the user's own: their versions are recorded with the results.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.machinery
import importlib.util
import inspect
import json
import os
import site
import sys
import sysconfig
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from jaxsim.errors import InputError

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
    found = sources(module_name)
    own = hashlib.sha256(found.pop(module_name)).hexdigest()
    if not found:
        return [own]
    helpers = [[name, hashlib.sha256(found[name]).hexdigest()] for name in sorted(found)]
    return [own, hashlib.sha256(json.dumps(helpers).encode()).hexdigest()]


def sources(module_name: str) -> dict[str, bytes]:
    """Return the sources, by name, of a loaded module and of all of the user's own it imports.

    Raises:
        InputError: if a module has no source, its file has changed since it was imported, or it
            still holds functions of another module that has been imported again.
    """
    found = {module_name: _source(module_name)}
    waiting = [module_name]
    while waiting:
        name = waiting.pop()
        for imported in _imported(name, found[name]):
            if imported in found or not _is_own(imported):
                continue
            source = _source(imported)
            if _has_code(source):
                waiting.append(imported)
                found[imported] = source
    _require_fresh(found)
    return found


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
        if _edited_after_start(spec) and not _matches(module, now):
            raise _changed(name)
        known = _IMPORTS[name] = _Import(spec, now)
    if known.source != now:
        raise _changed(name)
    return known.source


def note_import(name: str) -> None:
    """Remember the source of a module that has just been imported, if it is the user's own."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    if spec is not None and _is_own(name):
        _IMPORTS[name] = _Import(spec, _read(name, spec))


def _read(name: str, spec: importlib.machinery.ModuleSpec) -> bytes:
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
    path = Path(spec.origin).resolve()
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
    found = set(_packages(name))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join(
                [*(parts if node.level else []), *([node.module] if node.module else [])]
            )
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node.func) in ("import_module", "__import__"):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                found.add(first.value)
    # What was put there by other means: a module, or a function of one.
    for value in list(vars(module).values()) if module is not None else ():
        origin = value.__name__ if isinstance(value, ModuleType) else _module_of(value)
        found.add(origin)
    found |= {parent for imported in found for parent in _packages(imported)}
    yield from sorted(n for n in found if n and n != name and _exists(n))


def _packages(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:i]) for i in range(1, len(parts)))


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _module_of(value: Any) -> str:
    """Return the module of a function or class, empty for anything else."""
    if isinstance(value, type | FunctionType):
        found = value.__module__
    else:
        wrapped = getattr(value, "__wrapped__", None)
        found = getattr(wrapped, "__module__", None) if callable(wrapped) else None
    return found if isinstance(found, str) else ""


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


def _edited_after_start(spec: importlib.machinery.ModuleSpec) -> bool:
    return spec.origin is not None and Path(spec.origin).stat().st_mtime >= _start() - 1


def _matches(module: ModuleType, source: bytes) -> bool:
    """Return whether a loaded module's functions and plain constants are those of a source."""
    try:
        tree = ast.parse(source)
        code = compile(source, module.__name__, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    compiled = dict(_functions(code))
    for value in vars(module).values():
        function = inspect.unwrap(value) if callable(value) else value
        if isinstance(function, FunctionType) and function.__module__ == module.__name__:
            wanted = compiled.get(function.__qualname__)
            if wanted is None and "<" in function.__qualname__:
                continue
            if wanted != function.__code__:
                return False
    return all(getattr(module, k, v) == v for k, v in _constants(tree).items())


def _functions(code: CodeType) -> Iterator[tuple[str, CodeType]]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield inner.co_qualname, inner


def _constants(tree: ast.Module) -> dict[str, Any]:
    """Return the names that a module's source sets once, at its top, to a literal."""
    found: dict[str, Any] = {}
    times: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            times[node.id] = times.get(node.id, 0) + 1
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
            if isinstance(target, ast.Name) and times[target.id] == 1:
                try:
                    found[target.id] = ast.literal_eval(statement.value)
                except (ValueError, TypeError):
                    continue
    return found
