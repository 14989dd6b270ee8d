"""Whether a loaded module is what its source says: no older bytecode, nothing put in from outside.

Code is compared with code compiled from the source, constants with the source's literals, names
with what the source binds, defaults of functions with literals; of classes the methods and
constants that their bodies define. What else a module computes when it is imported is not
compared: values of calls, what a function closes over, objects' attributes.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
import marshal
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

_DYNAMIC = {"globals", "vars", "exec", "setattr", "__dict__"}
"""By these a source may bind names that its syntax tree does not show."""
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass
class _Source:
    """What a source says.

    Attributes:
        code: all code in it, by qualified name.
        whole: the code of the module.
        bound: how often each name is bound at the top.
        functions: names bound once, by an undecorated def, with how many defaults it has and those
            that are literals, by position or name.
        imports: names bound once, by an import: (module, name in it or "").
        constants: names bound once, to a literal.
        methods: of classes bound once, names that their bodies bind once, by an undecorated def.
        class_constants: of the same classes, names that their bodies bind once, to a literal that
            nobody can change in place.
        used: names that are read anywhere.
        open: whether it may bind other names, too.
    """

    whole: CodeType
    code: dict[str, list[CodeType]] = field(default_factory=dict)
    bound: Counter[str] = field(default_factory=Counter)
    functions: dict[str, tuple[int, dict[int | str, Any]]] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)
    methods: dict[str, set[str]] = field(default_factory=dict)
    class_constants: dict[str, dict[str, Any]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    open: bool = False


def difference(module: ModuleType, source: bytes) -> str:
    """Return the first name in a loaded module that is not what a source says, or an empty text."""
    try:
        parsed = _read(source, module.__name__)
    except (SyntaxError, ValueError):
        return "" if not source.strip() else "source"
    for name, value in list(vars(module).items()):
        if _replaced(name, value, module, parsed) or _other_code(value, module, parsed):
            return name
        if name in parsed.methods and _other_body(value, module, parsed):
            return name
    missing = object()
    for name, constant in parsed.constants.items():
        if not _same(getattr(module, name, missing), constant):
            return name
    return ""


def from_older_bytecode(module: ModuleType, source: bytes) -> bool:
    """Return whether Python's cached bytecode of a module is that of another source.

    Python takes it for that of the file if size and time agree.
    """
    spec = module.__spec__
    if spec is None or not spec.cached or not spec.origin:
        return False
    try:
        data = Path(spec.cached).read_bytes()
        flags, time, size = (int.from_bytes(data[i : i + 4], "little") for i in (4, 8, 12))
        stat = Path(spec.origin).stat()
        if data[:4] != importlib.util.MAGIC_NUMBER:
            return False
        if not flags & 1 and (time, size) != (
            int(stat.st_mtime) & 0xFFFFFFFF,
            stat.st_size & 0xFFFFFFFF,
        ):
            return False
        return marshal.loads(data[16:]) != _read(source, module.__name__).whole
    except (OSError, ValueError, EOFError, TypeError, SyntaxError):
        return False


def _replaced(name: str, value: Any, module: ModuleType, parsed: _Source) -> bool:
    """Return whether a name is not bound to what the source binds it to."""
    if not name.isidentifier() or (name.startswith("__") and name.endswith("__")):
        return False
    if name in parsed.functions:
        codes = parsed.code.get(name, [])
        if not isinstance(value, FunctionType) or value.__code__ not in codes:
            return True
        return not _same_defaults(value, *parsed.functions[name])
    if name in parsed.imports:
        origin, inner = parsed.imports[name]
        original = sys.modules.get(origin)
        if original is None:
            return False
        if not inner:
            return value is not original
        now = vars(original).get(inner, value)
        return value is not now and getattr(value, "__module__", None) != origin
    if isinstance(value, ModuleType) or parsed.open or parsed.bound[name]:
        return False
    return callable(value) or name in parsed.used


def _other_code(value: Any, module: ModuleType, parsed: _Source) -> bool:
    """Return whether a function of the module, or a method of its class, has other code."""
    if isinstance(value, type):
        members = list(vars(value).values()) if value.__module__ == module.__name__ else []
    else:
        members = [value]
    for member in members:
        try:
            function = inspect.unwrap(member) if callable(member) else member
        except Exception:  # of whatever object a stranger made
            continue
        if isinstance(function, FunctionType) and function.__module__ == module.__name__:
            codes = parsed.code.get(function.__qualname__, [function.__code__])
            if "<" not in function.__qualname__ and function.__code__ not in codes:
                return True
    return False


def _other_body(value: Any, module: ModuleType, parsed: _Source) -> bool:
    """Return whether a class of the module has another method or constant than its body says."""
    if not isinstance(value, type) or value.__module__ != module.__name__:
        return False
    members, name = vars(value), value.__qualname__
    for method in parsed.methods.get(name, ()):
        try:
            function = inspect.unwrap(members.get(method, method))
        except Exception:  # of whatever object a stranger made
            continue
        if not isinstance(function, FunctionType):  # a metaclass made something else of it
            if method not in members:
                return True
            continue
        home = function.__globals__.get("__name__")
        # A library that wraps methods may hide what it wraps.
        foreign = home not in ("__main__", module.__name__)
        if not foreign and function.__code__ not in parsed.code.get(f"{name}.{method}", []):
            return True
    for constant, literal in parsed.class_constants.get(name, {}).items():
        found = members.get(constant)
        if isinstance(found, bool | int | float | complex | str | bytes | tuple):
            if not _same(found, literal):
                return True
    return False


def _same(value: Any, constant: Any) -> bool:
    if type(value) is not type(constant):
        return False
    return value == constant if isinstance(value, set) else repr(value) == repr(constant)


def _defaults(arguments: ast.arguments) -> tuple[int, dict[int | str, Any]]:
    """Return how many defaults a function has, and those that are literals nobody can change."""
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    every = [*enumerate(arguments.defaults), *((a.arg, d) for a, d in named if d is not None)]
    known: dict[int | str, Any] = {}
    for place, node in every:
        try:
            value = ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
        if not isinstance(value, list | dict | set):
            known[place] = value
    return len(every), known


def _same_defaults(function: FunctionType, count: int, known: dict[int | str, Any]) -> bool:
    positional, named = function.__defaults__ or (), function.__kwdefaults__ or {}
    if len(positional) + len(named) != count:
        return False
    defaults = {**dict(enumerate(positional)), **named}
    return all(k in defaults and _same(defaults[k], value) for k, value in known.items())


@functools.lru_cache(maxsize=256)
def _read(source: bytes, name: str) -> _Source:
    tree = ast.parse(source)
    whole = compile(source, name, "exec", dont_inherit=True)
    parsed = _Source(whole)
    for code in _codes(whole):
        parsed.code.setdefault(code.co_qualname, []).append(code)
    loose: set[str] = set()  # names that functions rebind
    changed: set[str] = set()  # names whose value the source may change in place
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            parsed.open |= node.id in _DYNAMIC
            if isinstance(node.ctx, ast.Load):
                parsed.used.add(node.id)
        elif isinstance(node, ast.Global):
            loose.update(node.names)
        elif isinstance(node, ast.Attribute):
            parsed.open |= node.attr in _DYNAMIC
            changed.update(_names(node.value))
        elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            changed.update(_names(node.value))
        elif isinstance(node, ast.ImportFrom):
            parsed.open |= any(a.name == "*" for a in node.names)
    parsed.bound.update({name: 2 for name in loose})
    for statement in _top(tree):
        _bind(statement, parsed)
    once = {name for name, times in parsed.bound.items() if times == 1}
    stored = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and _is_stored(n)}
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef) and node.name in once and not parsed.open:
            _read_class(node, stored, parsed)
    parsed.functions = {k: v for k, v in parsed.functions.items() if k in once}
    parsed.imports = {k: v for k, v in parsed.imports.items() if k in once}
    parsed.constants = {
        k: v
        for k, v in parsed.constants.items()
        if k in once and not (isinstance(v, list | dict | set) and (not v or k in changed))
    }
    return parsed


def _is_stored(node: ast.Attribute) -> bool:
    return not isinstance(node.ctx, ast.Load)


def _read_class(node: ast.ClassDef, stored: set[str], parsed: _Source) -> None:
    """Note what the body of a class binds once, but for attributes that the source assigns to."""
    body = _Source(parsed.whole)
    for statement in _top(node):
        if statement not in (*node.bases, *node.keywords, *node.decorator_list):
            _bind(statement, body)
    names = {n for n, times in body.bound.items() if times == 1} - stored
    parsed.methods[node.name] = {n for n in body.functions if n in names}
    parsed.class_constants[node.name] = {
        n: v
        for n, v in body.constants.items()
        if n in names and not isinstance(v, list | dict | set)
    }


def _names(node: ast.AST) -> Iterator[str]:
    return (inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name))


def _codes(code: CodeType) -> Iterator[CodeType]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield inner
            yield from _codes(inner)


def _top(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that run when the module is imported, but for bodies of definitions."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if not isinstance(node, _DEFINITIONS):
            yield from _top(node)


def _bind(node: ast.AST, parsed: _Source) -> None:
    """Note what a node binds at the top of a module."""
    if isinstance(node, _DEFINITIONS):
        parsed.bound[node.name] += 1
        if isinstance(node, ast.FunctionDef) and not node.decorator_list:
            parsed.functions[node.name] = _defaults(node.args)
    elif isinstance(node, ast.Import):
        for alias in node.names:
            first = alias.name.partition(".")[0]
            name = alias.asname or first
            # `import a.b` and `import a.c` bind one and the same name to the same module.
            again = parsed.imports.get(name) == (first, "") and not alias.asname
            parsed.bound[name] += 0 if again else 1
            parsed.imports[name] = (alias.name if alias.asname else first, "")
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            name = alias.asname or alias.name
            parsed.bound[name] += 1
            if not node.level and node.module:
                parsed.imports[name] = (node.module, alias.name)
    elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        parsed.bound[node.id] += 1
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        parsed.bound[node.name] += 2
    elif isinstance(node, ast.MatchMapping) and node.rest:
        parsed.bound[node.rest] += 2
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        _constant(node.targets[0], node.value, parsed)
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        _constant(node.target, node.value, parsed)


def _constant(target: ast.expr, value: ast.expr, parsed: _Source) -> None:
    if isinstance(target, ast.Name):
        try:
            parsed.constants[target.id] = ast.literal_eval(value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return
