import sys

import pytest

from jaxsim.errors import InputError
from jaxsim.problem.user_code import load


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return a function that writes a module of a fresh name into the current directory."""
    monkeypatch.chdir(tmp_path)
    names = []

    def write(text):
        name = f"own_code_{tmp_path.name.replace('-', '_')}_{len(names)}"
        names.append(name)
        (tmp_path / f"{name}.py").write_text(text)
        return name

    yield write
    for name in names:
        sys.modules.pop(name, None)


def test_loads_from_the_current_directory_and_leaves_the_search_path_alone(module):
    name = module("def wave(x):\n    return 2 * x\nlevel = 3\n")
    before = list(sys.path)
    assert load(f"{name}:wave", "target", allowed=True)(4) == 8
    assert sys.path == before


def test_nothing_is_imported_without_permission(module):
    name = module("raise SystemExit\n")
    with pytest.raises(InputError, match=r"allow-code .*allow_code=True"):
        load(f"{name}:wave", "problem.target.function", allowed=False)
    assert name not in sys.modules


def test_clear_errors(module):
    name = module("level = 3\n")
    failing = module("1 / 0\n")
    importing = module("import no_such_module_at_all\n")
    cases = {
        f"{name}:wave": f"module '{name}' has no 'wave'",
        f"{name}:level": "of type int; accepted: a function",
        f"{failing}:f": "cannot be imported: ZeroDivisionError: division by zero",
        f"{importing}:f": "No module named 'no_such_module_at_all'",
        "no_such_module_at_all:f": "there is no module 'no_such_module_at_all'",
        f"{name}.sub:f": "cannot be imported|there is no module",
        "wave": '"module:function"',
        "a:b:c": '"module:function"',
        "../a:b": '"module:function"',
        "a b:c": '"module:function"',
        ":f": '"module:function"',
    }
    for reference, message in cases.items():
        with pytest.raises(InputError, match=message) as caught:
            load(reference, "loss.function", allowed=True)
        assert str(caught.value).startswith("loss.function")
