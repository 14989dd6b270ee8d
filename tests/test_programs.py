"""Programs that later processes find compiled: what is found, and what is not."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim import programs
from jaxsim.engines.engine import vmap_engine
from jaxsim.engines.native.engine import native_unsupported_reason
from jaxsim.training import keys
from tests.studies import all_bits, study, table

X = np.linspace(0.0, 1.0, 100)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXSIM_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(programs, "enabled", True)
    return tmp_path / "programs"


def wave(x):
    return jnp.sort(jnp.sin(3 * x) + x) * jnp.cumsum(x)


def untraced():
    raise AssertionError("it was traced again")


def test_a_later_program_of_the_same_key_is_found_compiled(cache):
    value = programs.kept(lambda: wave, ("wave", 3))(X)
    assert len(list(cache.glob("*.bin"))) == 1
    again = programs.kept(untraced, ("wave", 3))
    assert (again(X) == value).all()
    programs.forget_programs()
    assert (again(X) == value).all()


def test_what_jax_had_compiled_before_is_kept_whole():
    # Serialized once more it would lack its functions.
    value = jax.jit(wave)(X)
    jax.clear_caches()
    assert (programs.kept(lambda: wave, ("first",))(X) == value).all()
    jax.clear_caches()
    assert (programs.kept(lambda: wave, ("second",))(X) == value).all()
    jax.clear_caches()
    assert (programs.kept(untraced, ("second",))(X) == value).all()


@pytest.mark.parametrize(
    "argument",
    [X[:50], X.astype(np.float32), X.astype(int), jnp.asarray(X)[None]],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_other_arguments_are_another_program(argument):
    programs.kept(lambda: wave, ("wave",))(X)
    with pytest.raises(AssertionError, match="traced again"):
        programs.kept(untraced, ("wave",))(argument)


def test_other_keys_options_and_settings_are_other_programs(monkeypatch):
    programs.kept(lambda: wave, ("wave", 12))(X)
    for key, options in ((("wave", 1, 2), {}), (("wave", 12), {"donate_argnums": 0})):
        with pytest.raises(AssertionError, match="traced again"):
            programs.kept(untraced, key, **options)(X)
    with (
        jax.default_matmul_precision("bfloat16"),
        pytest.raises(AssertionError, match="traced again"),
    ):
        programs.kept(untraced, ("wave", 12))(X)
    monkeypatch.setattr(programs, "package_digest", lambda: "other code")
    programs._machine.cache_clear()
    with pytest.raises(AssertionError, match="traced again"):
        programs.kept(untraced, ("wave", 12))(X)
    programs._machine.cache_clear()


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b"", lambda b: b[:99] + b"?" * 9])
def test_a_damaged_file_is_made_anew(cache, damage):
    programs.kept(lambda: wave, ("wave",))(X)
    (path,) = cache.glob("*.bin")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert programs.kept(lambda: wave, ("wave",))(X).shape == X.shape
    assert programs.kept(untraced, ("wave",))(X).shape == X.shape


def test_inside_what_is_traced_a_program_is_traced_too():
    program = programs.kept(lambda: wave, ("wave",))
    both = jax.jit(jax.vmap(program))(np.stack([X, X]))
    np.testing.assert_allclose(both[1], wave(X), rtol=1e-12)
    assert "sine" in program.lower(X).as_text()


def test_code_of_the_users_own_is_not_kept(cache):
    assert programs.kept(lambda: wave, None)(X).shape == X.shape
    plain = study().experiments[0]
    own = study(problem__target=lambda x: x, network__hidden=[7]).experiments[0]
    assert not plain.own_code
    assert own.own_code
    vmap_engine(own).init(keys.root_key(1), np.arange(2, dtype=np.uint32), jnp.float32(0.1))
    assert not list(cache.glob("*.bin"))


def test_debugging_switches_keeping_off(cache):
    with jax.debug_nans(True):
        programs.kept(lambda: wave, ("wave",))(X)
    assert not list(cache.glob("*.bin"))


def test_the_oldest_programs_go_first(cache, monkeypatch):
    monkeypatch.setattr(programs, "_MOST", 2)
    cache.mkdir()
    for number in range(4):
        (cache / f"{number}.bin").write_bytes(b"")
    programs._forget_old.cache_clear()
    programs.kept(lambda: wave, ("wave",))(X)
    assert len(list(cache.glob("*.bin"))) == 3


SIMULATE = """
import json, sys
from jaxsim import programs, simulate
table, directory, found = json.loads(sys.argv[1])
def jitted(self):
    raise AssertionError(f"traced: {self._key}")
if found:
    programs.Program.jitted = property(jitted)
simulate(table, directory, workers=1)
"""


@pytest.mark.parametrize(
    "engine",
    ["native", *(pytest.param(name, marks=pytest.mark.slow) for name in ("vmap", "lanes"))],
)
def test_a_later_process_traces_nothing_and_computes_the_same_bits(cache, engine):
    if engine == "native" and native_unsupported_reason(study().experiments[0]):
        pytest.skip("there is no C compiler")
    given = table(steps=4, checkpoints=2, replicates=32, execution={"engine": engine, "width": 32})
    directories = [str(cache.parent / name) for name in ("first", "second")]
    for directory, found in zip(directories, (False, True), strict=True):
        arguments = json.dumps([given, directory, found])
        command = [sys.executable, "-c", SIMULATE, arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    assert all_bits(directories[0]) == all_bits(directories[1])


def test_programs_that_are_not_called_any_more_are_given_back(cache, monkeypatch):
    monkeypatch.setattr(programs, "_PROGRAMS", type(programs._PROGRAMS)())
    monkeypatch.setattr(programs, "MOST_LOADED", 2)
    made = [programs.kept(lambda: wave, ("unused", n)) for n in range(3)]
    values = [program(X) for program in made]
    programs.forget_unused()  # all were called since
    assert [program.loaded for program in made] == [1, 1, 1]
    made[1](X)
    programs.forget_unused()
    assert [program.loaded for program in made] == [0, 1, 0]
    monkeypatch.setattr(programs.Program, "jitted", property(lambda self: untraced()))
    assert all((program(X) == v).all() for program, v in zip(made, values, strict=True))


def test_few_programs_and_those_that_the_cache_lacks_stay_loaded(cache, monkeypatch):
    monkeypatch.setattr(programs, "_PROGRAMS", type(programs._PROGRAMS)())
    few = programs.kept(lambda: wave, ("few",))
    few(X)
    for _ in range(3):
        programs.forget_unused()
    assert few.loaded == 1
    monkeypatch.setattr(programs, "MOST_LOADED", 0)
    for path in cache.glob("*.bin"):
        path.unlink()
    for _ in range(3):
        programs.forget_unused()
    assert few.loaded == 1


def test_a_worker_holds_the_programs_of_a_few_experiments(tmp_path, monkeypatch):
    from jaxsim.launch.simulate import simulate

    monkeypatch.setattr(programs, "MOST_LOADED", 0)
    loaded, forget = [], programs.forget_unused

    def noted():
        forget()
        loaded.append(sum(program.loaded for program in programs._PROGRAMS))

    programs.forget_programs()
    monkeypatch.setattr(programs, "forget_unused", noted)
    methods = [{"name": name, "learning_rate": 0.01} for name in ("sgd", "adam", "rmsprop")]
    grid = {"replicates": 8, "steps": 3, "checkpoints": [3], "grid": {"optimizer": methods}}
    simulate(study(execution__engine="vmap", **grid), tmp_path / "d", devices=1)
    assert len(loaded) == 2
    assert loaded[1] == loaded[0] > 0  # without this half as many again
