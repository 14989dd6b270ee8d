"""What Python code passes to the functions of the interface: right values, or one sentence."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from jaxsim import arguments
from jaxsim.errors import InputError
from jaxsim.launch.simulate import simulate
from jaxsim.questions.ask import analyse, exceedance
from tests.studies import study, table

SMALL = {"replicates": 16, "steps": 2, "checkpoints": [1]}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return simulate(study(**SMALL), tmp_path_factory.mktemp("arguments") / "out")


@pytest.mark.parametrize(
    "eps", [0.05, np.float32(0.05), [0.05], (0.05,), np.array([0.05])], ids=repr
)
def test_one_threshold_may_be_a_number(eps, results):
    (found,) = exceedance(results, eps)
    assert found.eps == pytest.approx(0.05)
    assert found.estimate == exceedance(results, [0.05])[0].estimate


@pytest.mark.parametrize(
    "eps", [None, "0.1", [], [[0.1]], [None], ["0.1"], -1.0, [np.nan], True, [10**400],
            print, np.array(["a"])],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("function", [exceedance, analyse])
def test_wrong_thresholds(function, eps, results):
    with pytest.raises(InputError, match="epsilon"):
        function(results, eps)


@pytest.mark.parametrize("events", [{0.1: 1}, {"accuracy_below": 0.9}, {}], ids=repr)
@pytest.mark.parametrize("function", [exceedance, analyse])
def test_wrong_events(function, events, results):
    with pytest.raises(InputError, match="event"):
        function(results, events)


@pytest.mark.parametrize("confidence", ["0.95", None, 0, 1.0, 95, [0.95], float("nan")], ids=repr)
@pytest.mark.parametrize("function", [exceedance, analyse])
def test_wrong_levels(function, confidence, results):
    with pytest.raises(InputError, match="confidence"):
        function(results, [0.1], confidence)


@pytest.mark.parametrize(
    "wrong",
    [{"name": 3}, {"title": None}, {"warnings": "abc"}, {"warnings": [3]},
     {"interval": ["wilson"]}, {"interval": {}}, {"interval": None}, {"interval": "wald"}],
    ids=repr,
)  # fmt: skip
def test_wrong_names_and_sentences(wrong, results):
    (key,) = wrong
    with pytest.raises(InputError, match=key):
        analyse(results, [0.1], **wrong)
    if key == "interval":
        with pytest.raises(InputError, match=key):
            exceedance(results, [0.1], **wrong)


@pytest.mark.parametrize("wrong", [None, [3], "steps=3", 3], ids=repr)
def test_wrong_settings(wrong):
    for function in (study(**SMALL).with_questions, study(**SMALL).with_settings):
        with pytest.raises(InputError, match="settings"):
            function(wrong)


@pytest.mark.parametrize("wrong", [None, "out", 3, []], ids=repr)
def test_no_results(wrong):
    for function in (exceedance, analyse):
        with pytest.raises(InputError, match=r"results = .* what `jaxsim.simulate` returns"):
            function(wrong, [0.1])


WRONG = [
    ({"replicates": "10"}, "replicates = '10'"),
    ({"replicates": 0}, "replicates = 0"),
    ({"replicates": 2.0}, "replicates = 2.0"),
    ({"replicates": True}, "replicates = True"),
    ({"workers": -1}, "workers = -1"),
    ({"workers": "2"}, "workers = '2'"),
    ({"workers": 100_000}, "workers = 100000"),
    ({"devices": 0}, "devices = 0"),
    ({"devices": "all"}, "devices = 'all'"),
    ({"devices": 1000}, "devices = 1000"),
    ({"repair": "yes"}, "repair = 'yes'"),
    ({"output": 3}, "output = 3"),
    ({"output": b"out"}, "output = b'out'"),
    ({"output": "a\0b"}, "output = "),
    ({"study": None}, "study = None"),
    ({"study": 3}, "study = 3"),
    ({"study": {}}, "problem is missing"),
]


@pytest.mark.parametrize(("changes", "part"), WRONG, ids=[w[1] for w in WRONG])
def test_wrong_arguments_of_simulate(changes, part, tmp_path):
    given = {"study": study(**SMALL), "output": tmp_path / "out", **changes}
    with pytest.raises(InputError) as error:
        simulate(**given)
    assert part in str(error.value)


def test_numbers_of_numpy_and_tables_are_accepted(tmp_path):
    found = simulate(table(**SMALL), tmp_path / "out", replicates=np.int64(8), workers=np.int32(1))
    assert len(found.to_pandas().replicate.unique()) == 8


def test_whole_and_flag():
    assert arguments.whole("n", np.int16(3)) == 3
    with pytest.raises(InputError, match=r"n = 5 .* at most 4"):
        arguments.whole("n", 5, 1, 4)
    with pytest.raises(InputError, match="True or False"):
        arguments.flag("x", 1)


def run(program, stdin=True):
    arguments = [sys.executable, "-W", "ignore", *(["-"] if stdin else [])]
    return subprocess.run(
        arguments, input=textwrap.dedent(program), capture_output=True, text=True, timeout=120
    )


def test_a_forked_child_is_told_to_start_anew(results):
    done = run(
        """
        import os, sys
        import jax
        import jaxsim
        from jaxsim import Study, simulate
        from jaxsim.launch.directory import reopen
        from jaxsim.launch.simulate import open_results
        study, results = Study.load("quickstart", ["grid={}"]), open_results(reopen(DIRECTORY))
        jax.numpy.zeros(1).block_until_ready()
        child = os.fork()
        if child == 0:
            for work in (
                lambda: simulate(study),
                lambda: Study.load("quickstart"),
                lambda: jaxsim.exceedance(results, 0.1),
            ):
                try:
                    work()
                except jaxsim.InputError as error:
                    print(error, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
    """.replace("DIRECTORY", repr(str(results.store.directory)))
    )
    assert done.stdout.count("forked from one that has used JAX") == 3, done.stderr


@pytest.mark.slow
def test_a_child_forked_before_jax_is_used_works():
    done = run("""
        import os
        from jaxsim import Study
        child = os.fork()
        if child == 0:
            print(len(Study.load("quickstart").experiments), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
    """)
    assert done.stdout.strip() == "11", done.stderr


@pytest.mark.slow
def test_worker_processes_of_a_program_on_standard_input(tmp_path):
    tree = table(**SMALL, execution={"width": 8, "shard": 8})
    done = run(f"""
        from jaxsim import simulate
        if __name__ == "__main__":
            results = simulate({tree!r}, "out", workers=2)
            print(results.complete)
    """)
    assert done.stdout.strip() == "True", done.stderr
