"""Compiling programs: cached, never needed twice, and clear about what is missing."""

import stat

import numpy as np
import pytest

from jaxsim import InputError
from jaxsim.engines.native import library
from jaxsim.engines.native.products import tile
from jaxsim.engines.native.program import Target
from jaxsim.engines.native.training import generate
from jaxsim.engines.registry import unsupported_reason
from jaxsim.launch.simulate import simulate
from jaxsim.optimizer.methods import METHODS, VARIANTS
from tests.results.test_files import at_once
from tests.studies import study

needs_compiler = pytest.mark.skipif(library.compiler() is None, reason="there is no C compiler")
NATIVE = {"engine": "native", "width": 16, "lanes": 16}


@pytest.fixture
def compilers(monkeypatch):
    """Set $CC and forget what was found and compiled before and after."""

    def forget():
        for cached in (library.compiler, library.compiler_version, library.load):
            cached.cache_clear()

    def choose(path):
        monkeypatch.setenv("CC", str(path))
        forget()

    forget()
    yield choose
    monkeypatch.undo()
    forget()


def test_without_a_compiler_the_engine_is_refused_and_not_chosen(compilers, tmp_path):
    compilers("no-such-compiler")
    asked = study(execution=NATIVE)
    with pytest.raises(InputError, match=r"no C compiler.*accepted: \"vmap\", \"lanes\""):
        simulate(asked, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_compiler_that_fails_is_reported(compilers, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXSIM_CACHE_DIR", str(tmp_path / "cache"))
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho 'cc: error: out of order' >&2\nexit 1\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    compilers(broken)
    reason = unsupported_reason("native", study().experiments[0])
    assert reason == f"the C compiler {broken} fails: cc: error: out of order"


@needs_compiler
def test_a_compiled_program_is_found_in_the_cache_and_a_torn_one_made_anew(
    compilers, tmp_path, monkeypatch
):
    monkeypatch.setenv("JAXSIM_CACHE_DIR", str(tmp_path / "cache"))
    source = generate(study(execution=NATIVE).experiments[0], library.target(), 16)
    name, _ = library.build(source)
    (made,) = (tmp_path / "cache" / "native").iterdir()
    assert made.name == f"{name}.so"
    whole = made.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(library, "_compile", None)  # compiling again would fail
        library.build(source)
    # Another file: what a process has loaded must not change under it.
    monkeypatch.setenv("JAXSIM_CACHE_DIR", str(tmp_path / "other"))
    torn = tmp_path / "other" / "native" / made.name
    torn.parent.mkdir(parents=True)
    torn.write_bytes(whole[:1000])
    library.build(source)
    assert torn.stat().st_size == len(whole)


@needs_compiler
def test_another_c_library_is_another_program(monkeypatch, tmp_path):
    source = generate(study(execution=NATIVE).experiments[0], library.target(), 16)
    here, _ = library.build(source)
    monkeypatch.setattr(library.runtime, "c_library", lambda: "glibc 1.0")
    there, _ = library.build(source)
    assert there != here


@needs_compiler
def test_threads_that_compile_one_program_write_files_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXSIM_CACHE_DIR", str(tmp_path / "cache"))
    written, real = [], type(tmp_path).write_bytes

    def write_bytes(path, content):
        written.append(path.name)
        return real(path, content)

    monkeypatch.setattr(type(tmp_path), "write_bytes", write_bytes)
    # A network that no other test has, so that all of them compile and register it.
    changes = {"network__hidden": [11], "execution": NATIVE}
    source = generate(study(**changes).experiments[0], library.target(), 16)
    found = at_once(3, lambda i: library.load(source))
    assert len(set(found)) == 1
    assert isinstance(found[0], str)
    assert len(written) == len(set(written)) > 1
    (made,) = (tmp_path / "cache" / "native").iterdir()
    assert made.name == f"{found[0]}.so"


@needs_compiler
@pytest.mark.parametrize(
    ("precision", "target"),
    [
        *(
            pytest.param(precision, target, marks=pytest.mark.slow)
            for precision in ("float32", "float64")
            for target in (Target(64, 32), Target(32, 16), Target(16, 16))
        ),
    ],
    ids=str,
)
def test_every_register_width_trains_alike(target, precision, tmp_path, monkeypatch):
    # GCC and Clang make vectors of any width of the registers there are.
    from jaxsim.engines.lanes import _training
    from jaxsim.engines.native import engine

    found = {}
    for name, chosen in (("here", library.target()), ("there", target)):
        monkeypatch.setattr(library, "target", lambda chosen=chosen: chosen)
        engine._source.cache_clear()
        _training.cache_clear()
        asked = study(execution=NATIVE, precision=precision, steps=30, network__hidden=[7, 5])
        results = simulate(asked, tmp_path / name)
        found[name] = np.concatenate([r.risk for r in results.chunks(results.experiments[0])])
    engine._source.cache_clear()
    _training.cache_clear()
    rtol = 1e-4 if precision == "float32" else 1e-12
    np.testing.assert_allclose(found["there"], found["here"], rtol=rtol)


@pytest.mark.parametrize("registers", [16, 32])
def test_tiles_fit_the_registers(registers):
    for rows in (1, 2, 3, 8, 31, 32, 100):
        for columns in (1, 2, 5, 16, 33, 128):
            tall, wide = tile(rows, columns, registers)
            assert 1 <= tall <= rows
            assert 1 <= wide <= columns
            assert tall * wide + min(tall, wide) + 1 <= registers


SCHEDULES = {
    "power": {"init_value": 0.1, "exponent": 0.5},
    "cosine_decay": {"init_value": 0.1, "decay_steps": 100},
    "exponential_decay": {"init_value": 0.1, "transition_steps": 10, "decay_rate": 0.9},
}


@pytest.mark.parametrize("name", METHODS)
def test_every_variant_of_the_eleven_can_be_written_in_c(name):
    for variant in VARIANTS[name]:
        table = {"name": name, "variant": variant, "learning_rate": 0.01}
        (experiment,) = study(optimizer=table).experiments
        assert generate(experiment, Target(64, 32), 16).scratch > 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_can_be_written_in_c(name):
    rate = {"schedule": name, **SCHEDULES[name]}
    (experiment,) = study(optimizer={"name": "adam", "learning_rate": rate}).experiments
    assert "rate_0" in generate(experiment, Target(64, 32), 16).text
