"""What the user's own modules read besides their source: it is no part of their identity."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from jaxsim.errors import InputError
from jaxsim.problem import user_source
from jaxsim.problem.user_import import here, importing

_ANYWHERE = {
    "__import__", "fromfile", "genfromtxt", "getenv", "import_module", "loadmat", "loadtxt",
    "memmap", "open", "read_bytes", "read_text", "run_path", "safe_load",
    "spec_from_file_location", "urlopen", "urlretrieve",
}  # fmt: skip
_OF_SOMETHING = {"load", "read"}
"""Of NumPy, JSON or a file; alone, these may be names of the user's own."""
_CHANGING = {
    "getpid", "monotonic", "now", "perf_counter", "time_ns", "today", "token_bytes", "urandom",
    "utcnow", "uuid1", "uuid4",
}  # fmt: skip
"""Different in every process."""
_IMPORTS = ("__import__", "import_module")


def uncovered(module_name: str) -> Iterator[str]:
    """Yield where a loaded module, or one of the user's own that it imports, reads anything else.

    Files, settings of the environment, modules whose names are computed, the clock and random
    numbers without a seed; one place a module.

    Of a module w.py with `W = numpy.load("w.npy")` in line 3 it is "'w' (numpy.load in line 3)".
    """
    try:
        with importing(here(), user_source.is_own_file):
            sources = user_source.sources(module_name)
    except InputError:  # said where the study is built
        return
    for name in sorted(sources):
        try:
            tree = ast.parse(sources[name])
        except (SyntaxError, ValueError):
            continue
        reads = sorted(_reads(tree))
        if reads:
            line, what = reads[0]
            yield f"{name!r} ({what} in line {line})"


def _reads(tree: ast.AST) -> Iterator[tuple[int, str]]:
    seeded = any(isinstance(n, ast.Attribute) and n.attr == "seed" for n in ast.walk(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "environ":
            yield node.lineno, ast.unparse(node)
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        of_something = isinstance(function, ast.Attribute)
        name = function.attr if of_something else getattr(function, "id", "")
        reads = (
            name in _ANYWHERE
            or _changes(node, seeded)
            or (of_something and (name in _OF_SOMETHING or name.startswith("read_")))
        )
        if name in _IMPORTS and node.args and isinstance(node.args[0], ast.Constant):
            continue
        if reads:
            yield node.lineno, ast.unparse(function)[:60]


def _changes(call: ast.Call, seeded: bool) -> bool:
    """Return whether a call gives something else in every process."""
    text = ast.unparse(call.func)
    first, _, rest = text.partition(".")
    name = text.rpartition(".")[2]
    if text == "time.time" or (rest and name in _CHANGING):
        return True
    if name in ("default_rng", "RandomState", "Random", "SeedSequence"):
        return not call.args and not call.keywords
    of_numpy = first in ("np", "numpy", "onp") and rest.startswith("random.")
    if seeded or "(" in text or name == "Generator":  # what a call returns is judged by that call
        return False
    return of_numpy or (first == "random" and bool(rest))
