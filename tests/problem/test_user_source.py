"""What identifies a user's own code: its source as imported, as far as it reaches."""

import functools
import hashlib
import importlib
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from jaxsim.errors import InputError
from jaxsim.problem.user_code import identity_of, load
from jaxsim.problem.user_source import sources
from jaxsim.study.study import Study
from tests.studies import slow_but, table


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
    # Python takes bytecode of the same second and size for that of the new file.
    refusal = "has changed since Python imported it|ran from bytecode of an older version"
    with pytest.raises(InputError, match=refusal):
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


def run(program, folder, *options):
    return subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["", *sys.path])},
    )


LOAD = """
from jaxsim.problem.user_code import identity_of, load
import numpy as np
try:
    f = load("stale:wave", "function", allowed=True)
    print(identity_of("stale:wave", "function")[0], f(3))
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    "body", slow_but(["return x * LEVEL"], ["return x * %d", "return x * LEVEL"])
)
def test_an_edited_file_with_an_old_time_runs_no_older_bytecode(body, tmp_path):
    file = tmp_path / "stale.py"

    def written(level):
        body_ = body % level if "%" in body else body
        file.write_text(f"LEVEL = int('{level}')\ndef wave(x):\n    {body_}\n")
        os.utime(file, (1e9, 1e9))
        return hashlib.sha256(file.read_bytes()).hexdigest()

    written(2)
    writing = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", "import stale"], cwd=tmp_path, check=True, env=writing)
    assert list((tmp_path / "__pycache__").iterdir())
    right = written(9)
    assert run(LOAD, tmp_path).stdout.split() == [right, "27"]
    # Imported by Python itself before jaxsim saw it, it runs the older bytecode.
    said = run("import stale\n" + LOAD, tmp_path).stdout
    assert said.startswith("InputError"), said
    assert "older version" in said


PATCHES = {
    "a function typed in": "$helper.f = typed_in",
    "a method's object": "$helper.f = Typed()",
    "a partial": "$helper.f = functools.partial(pow, 2)",
    "a partial of what was typed in": "$mine.f = functools.partial(typed_in)",
    "a constant": "$helper.LEVEL = 9.0",
    "a constant of another type": "$helper.LEVEL = 2",
    "a name that was not there": "$helper.abs = max",
    "an imported function": "$mine.f = max",
    "an imported module": "$helper.math = functools",
    "a default": "$helper.f.__defaults__ = (3.0,)",
    "a default by name": "$helper.f.__kwdefaults__['m'] = 2.0",
    "one default less": "$helper.f.__defaults__ = None",
    "a method": "$helper.Bump.height = lambda self, x: x",
    "a method less": "del $helper.Bump.height",
    "a constant of a class": "$helper.Bump.width = 2.0",
}


@pytest.mark.parametrize("patch", PATCHES)
def test_what_is_put_into_a_module_from_outside_is_refused(patch, write):
    p = write(
        mine="from $helper import f\ndef wave(x):\n    return f(x)\n",
        helper="import math\nLEVEL = 2.0\n"
        "def f(x, k=1.0, *, m=1.0):\n    return k * m * math.pi * LEVEL * abs(x)\n"
        "class Bump:\n    width = 1.0\n    def height(self, x):\n        return self.width * x\n",
    )
    before = identity(f"{p}mine:wave")
    names = {p + n: sys.modules[p + n] for n in ("mine", "helper")}
    exec(
        "class Typed:\n    def __call__(self, x):\n        return x\n"
        "def typed_in(x):\n    return x\n" + PATCHES[patch].replace("$", p),
        {"__name__": "__main__", "functools": functools, **names},
    )
    with pytest.raises(InputError, match="from outside"):
        identity(f"{p}mine:wave")
    forget(p)
    assert identity(f"{p}mine:wave") == before


def test_ordinary_modules_are_what_their_files_say(write):
    p = write(
        mine="""
            from __future__ import annotations
            import functools, dataclasses, collections, enum
            import flax, flax.linen as nn
            import os.path
            import os.path as path
            import jax
            import jax.numpy as jnp
            from typing import NamedTuple
            CALLS = []
            TABLE = {"a": 1}
            TABLE["b"] = 2
            COUNT = 0
            try:
                import missing_for_sure
            except ImportError:
                missing_for_sure = None
            if COUNT:
                def f(x): return 1
            else:
                def f(x): return x
            g = lambda x: x
            h = lambda x: 2 * x
            k = functools.partial(f)
            for i in range(3):
                CALLS.append(i)
            @dataclasses.dataclass
            class A:
                x: int = 1
                def double(self): return 2 * self.x
            class B(NamedTuple):
                y: int
                def twice(self): return 2 * self.y
            class C:
                count = 0
                limit: float = 1.0
                def __init__(self): C.count += 1
                def scaled(self, x): return C.limit * x
                @property
                def seen(self): return self.count
                @jax.jit
                def traced(x): return x
                if COUNT == 0:
                    def other(self): return 0
                else:
                    def other(self): return 1
            class D(C):
                __slots__ = ()
                scaled = C.scaled
            class E(nn.Module):
                features: int = 3
                def setup(self): self.layer = nn.Dense(self.features)
                def __call__(self, x): return self.layer(x)
            @flax.struct.dataclass
            class F:
                x: int = 1
                def moved(self): return self.replace(x=2)
            class G(enum.Enum):
                ONE = 1
                def name_of(self): return self.name
            C()
            def twice(function):
                def inner(x): return function(function(x))
                return inner
            @twice
            def t(x): return x + 1
            @jax.jit
            def wave(x):
                global COUNT
                COUNT += 1
                CALLS.append(COUNT)
                return t(x)
            wave_again = wave
        """
    )
    before = identity(f"{p}mine:wave")
    sys.modules[f"{p}mine"].wave(1.0)
    assert identity(f"{p}mine:wave") == before


def test_a_helper_imported_when_the_function_is_called_is_found_and_identified(tmp_path):
    (tmp_path / "late.py").write_text("def f(x):\n    return 2 * x\n")
    (tmp_path / "stale.py").write_text("def wave(x):\n    import late\n    return late.f(x)\n")
    program = """
        import os, sys
        sys.path = [p for p in sys.path if p not in ("", os.getcwd())]
        from jaxsim.problem.user_code import guarded, identity_of, load
        f = guarded(load("stale:wave", "function", allowed=True), "it")
        print(len(identity_of("stale:wave", "function")), f(3))
    """
    done = run(program, tmp_path)
    assert done.stdout.split() == ["2", "6"], done.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("import numpy as np\nW = np.load('w.npy') if False else 1", "np.load in line 2"),
        ("with open(__file__) as f:\n    W = f.read()", "open in line 1"),
        ("import importlib as i\nN = 'ma' + 'th'\nm = i.import_module(N)", "i.import_module in"),
        ("m = __import__('ma' + 'th')", "__import__ in line 1"),
        ("import os\nW = os.environ.get('W')", "os.environ in line 2"),
        ("import importlib\nm = importlib.import_module('math')", ""),
        ("def load(x):\n    return x\nW = load(1)", ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("file", ["mine", "helper"])
def test_what_an_identity_does_not_cover_is_warned_of(line, said, file, write):
    texts = {"mine": "", "helper": "", file: line + "\n"}
    p = write(
        mine=texts["mine"] + "import $helper\ndef wave(x):\n    return x[:, 0]\n",
        helper=texts["helper"],
    )
    tree = table(problem__target={"function": f"{p}mine:wave"})
    found = [w for w in Study.from_dict(tree, allow_code=True).warnings if "identity" in w]
    assert len(found) == bool(said)
    assert all(said in w and p + file in w for w in found)
