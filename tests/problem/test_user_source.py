"""What identifies a user's own code: its source as imported, as far as it reaches."""

import hashlib
import importlib
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from jaxsim.errors import InputError
from jaxsim.problem.user_code import identity_of, load
from jaxsim.problem.user_source import sources
from jaxsim.study.study import Study
from tests.studies import table


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return a function that writes files into a fresh folder and yields names of its own."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    prefix = f"src_{abs(hash(str(tmp_path)))}_"

    def write(**files):
        for name, text in files.items():
            path = tmp_path / (prefix + name.replace("__", "/", 1) + ".py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(text).replace("$", prefix))
        importlib.invalidate_caches()
        return prefix

    yield write
    for name in set(sys.modules) - before:
        if name.startswith(prefix):
            del sys.modules[name]


def identity(reference):
    load(reference, "function", allowed=True)
    return identity_of(reference, "function")


def forget(prefix):
    for name in [n for n in sys.modules if n.startswith(prefix)]:
        del sys.modules[name]
    importlib.invalidate_caches()


def test_a_module_without_helpers_is_its_source_alone(write, tmp_path):
    p = write(mine="import numpy as np\nimport os.path\nimport jax\n\ndef wave(x):\n    return x\n")
    right = hashlib.sha256((tmp_path / f"{p}mine.py").read_bytes()).hexdigest()
    assert identity(f"{p}mine:wave") == [right]


IMPORTS = {
    "import": "import $helper\ndef wave(x):\n    return $helper.f(x)\n",
    "from": "from $helper import f\ndef wave(x):\n    return f(x)\n",
    "inside": "def wave(x):\n    from $helper import f\n    return f(x)\n",
    "by name": "import importlib\nh = importlib.import_module('$helper')\ndef wave(x):\n"
    "    return h.f(x)\n",
    "through another": "import $middle\ndef wave(x):\n    return $middle.g(x)\n",
    "star": "from $helper import *\ndef wave(x):\n    return f(x)\n",
}


@pytest.mark.parametrize("how", IMPORTS)
def test_a_changed_helper_is_another_identity(how, write):
    files = {
        "mine": IMPORTS[how],
        "middle": "from $helper import f as g\n",
        "helper": "def f(x):\n    return x\n",
    }
    p = write(**files)
    before = identity(f"{p}mine:wave")
    forget(p)
    assert identity(f"{p}mine:wave") == before
    forget(p)
    write(helper="def f(x):\n    return 2 * x\n")
    after = identity(f"{p}mine:wave")
    assert after[0] == before[0]
    assert after != before


def test_packages_relative_imports_and_cycles_are_followed(write):
    p = write(
        pack____init__="from .left import f\n",
        pack__left="from . import right\nfrom .right import g\ndef f(x):\n    return g(x)\n",
        pack__right="import $pack.left\ndef g(x):\n    return x\n",
    )
    load(f"{p}pack.left:f", "function", allowed=True)
    assert set(sources(f"{p}pack.left")) == {f"{p}pack", f"{p}pack.left", f"{p}pack.right"}


def test_an_empty_package_file_is_no_helper(write):
    p = write(pack____init__='"""Nothing."""\n', pack__only="def f(x):\n    return x\n")
    assert len(identity(f"{p}pack.only:f")) == 1


def test_identity_does_not_depend_on_what_was_imported_before(write):
    p = write(mine="import $helper\ndef wave(x):\n    return x\n", helper="LEVEL = 3\n")
    importlib.import_module(f"{p}helper")
    first = identity(f"{p}mine:wave")
    forget(p)
    assert identity(f"{p}mine:wave") == first


@pytest.mark.parametrize("file", ["mine", "helper"])
def test_a_file_that_changed_since_it_was_imported_is_refused_until_it_is_reloaded(file, write):
    p = write(
        mine="import $helper\ndef wave(x):\n    return $helper.f(x)\n",
        helper="def f(x):\n    return x\n",
    )
    reference = f"{p}mine:wave"
    before = identity(reference)
    edited = {
        "mine": "import $helper\ndef wave(x):\n    return 7 * x\n",
        "helper": "def f(x):\n    return 3 * x\n",
    }
    write(**{file: edited[file]})
    with pytest.raises(InputError, match="has changed since Python imported it") as error:
        identity(reference)
    assert "function" in str(error.value)
    assert "\n" not in str(error.value)
    importlib.reload(sys.modules[f"{p}{file}"])
    assert identity(reference) != before


def test_functions_from_before_a_reload_are_refused(write):
    p = write(
        mine="from $helper import f\ndef wave(x):\n    return f(x)\n",
        helper="def f(x):\n    return x\n",
    )
    identity(f"{p}mine:wave")
    write(helper="def f(x):\n    return 2 * x\n")
    importlib.reload(sys.modules[f"{p}helper"])
    with pytest.raises(InputError, match="still holds the 'f'"):
        identity(f"{p}mine:wave")
    importlib.reload(sys.modules[f"{p}mine"])
    identity(f"{p}mine:wave")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def wave(x):\n    return x\n", "def wave(x):\n    return 2 * x\n"),
        ("LEVEL = 2\ndef wave(x):\n    return LEVEL * x\n",
         "LEVEL = 3\ndef wave(x):\n    return LEVEL * x\n"),
    ],
)  # fmt: skip
def test_a_module_that_was_imported_and_edited_before_jaxsim_saw_it_is_refused(old, new, write):
    p = write(mine=old)
    importlib.import_module(f"{p}mine")
    write(mine=new)
    with pytest.raises(InputError, match="has changed since Python imported it"):
        identity(f"{p}mine:wave")


def test_a_function_put_into_a_module_from_outside_is_refused(write, monkeypatch):
    p = write(mine="def wave(x):\n    return x\n")
    module = importlib.import_module(f"{p}mine")

    def typed_in(x):
        return 2 * x

    typed_in.__module__ = "__main__"
    monkeypatch.setattr(module, "wave", typed_in)
    with pytest.raises(InputError, match="put into the module from outside"):
        identity(f"{p}mine:wave")


def test_what_is_typed_in_is_refused():
    program = """
        from jaxsim import InputError, Study

        def wave(x):
            return x[:, 0]

        try:
            Study.load("quickstart", ['problem.target={function="__main__:wave"}'], allow_code=True)
        except InputError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-"], input=textwrap.dedent(program), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "'__main__:wave' is not accepted" in done.stdout
    assert "mine:wave" in done.stdout


def test_two_versions_of_a_function_train_under_two_identities(write):
    p = write(mine="def wave(x):\n    return x[:, 0]\n")
    tree = table(problem__target={"function": f"{p}mine:wave"})
    one = Study.from_dict(tree, allow_code=True).experiments[0]
    write(mine="def wave(x):\n    return x[:, 0] + 1\n")
    with pytest.raises(InputError, match="has changed"):
        Study.from_dict(tree, allow_code=True)
    importlib.reload(sys.modules[f"{p}mine"])
    two = Study.from_dict(tree, allow_code=True).experiments[0]
    assert one.id != two.id
    assert one.training_key != two.training_key
    assert one.evaluation_key != two.evaluation_key
    x = np.ones((1, 1))
    assert float(two.problem.target(x)[0, 0]) == float(one.problem.target(x)[0, 0]) + 1
