"""Imports point one way: the mathematics knows nothing of files, clusters or terminals."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import jaxsim

PACKAGE = Path(jaxsim.__file__).parent

# From the foundations up: a room may import from rows above its own.
ROWS = [
    {
        "errors",
        "evidence",
        "registry",
        "runtime",
        "startup",
        "arguments",
        "digits",
        "notebook",
        "package",
        "processor",
        "programs",
        "session",
        "traces",
    },
    {"problem", "network", "optimizer"},
    {"risk"},
    {"optimum", "theory", "training"},
    {"engines"},
    {"design"},
    {"results", "estimation"},
    {"questions"},
    {"study", "speed"},
    {"launch"},
    {"report", "explain"},
    {"cli"},
]
ROW = {room: number for number, row in enumerate(ROWS) for room in row}

# Rooms of one row that may know each other: an experiment carries its bracket of the optimum.
BESIDE = {
    ("training", "optimum"),
    ("registry", "errors"),
    ("runtime", "errors"),
    ("runtime", "startup"),
    ("programs", "package"),
    ("programs", "processor"),
    ("programs", "runtime"),
    ("programs", "startup"),
    ("arguments", "errors"),
    ("notebook", "errors"),
    ("session", "errors"),
}

# What still points the wrong way. To be shortened, never to be extended.
WRONG: set[tuple[str, str]] = set()


def imported_rooms(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        modules: list[str] = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            modules = [node.module or ""]
            if node.module == "jaxsim":
                modules = [f"jaxsim.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        for module in modules:
            parts = module.split(".")
            if parts[0] == "jaxsim" and len(parts) > 1:
                yield parts[1]


def files() -> list[Path]:
    return [
        path
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "__main__.py" and path.relative_to(PACKAGE) != Path("__init__.py")
    ]


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def test_every_room_has_its_row():
    assert {room_of(path) for path in files()} <= set(ROW)


@pytest.mark.parametrize("room", sorted(ROW))
def test_imports_point_one_way(room):
    wrong = set()
    for path in files():
        if room_of(path) != room:
            continue
        for other in imported_rooms(path):
            if other not in ROW:  # what jaxsim itself exports, such as a version
                continue
            lower = ROW[other] < ROW[room]
            if not (other == room or lower or (room, other) in BESIDE):
                wrong.add((str(path.relative_to(PACKAGE)), other))
    assert wrong == {pair for pair in WRONG if room_of(PACKAGE / pair[0]) == room}
