"""What Python code gives for a study: numbers of other libraries, wrong types, huge values."""

import io
import re
import time
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.errors import InputError
from jaxsim.study.plain import plain
from jaxsim.study.study import Study
from tests.studies import study, table

LOOPED: dict = {}
LOOPED["inner"] = LOOPED


def test_numbers_and_arrays_of_other_libraries_are_what_they_stand_for():
    given = {
        "a": np.int64(3), "b": np.float32(0.5), "c": np.bool_(True), "d": np.array([1, 2]),
        "e": (np.float64(1.5), 2), "f": jnp.ones((2, 1)), "g": np.str_("text"), "h": None,
        "i": jnp.bfloat16(2.0),
    }  # fmt: skip
    right = {
        "a": 3, "b": 0.5, "c": True, "d": [1, 2], "e": [1.5, 2], "f": [[1.0], [1.0]], "g": "text",
        "h": None, "i": 2.0,
    }  # fmt: skip
    found = plain(given)
    assert found == right
    assert [type(v) for v in found.values()] == [type(v) for v in right.values()]


def test_studies_of_numpy_numbers_and_tuples_are_those_of_lists():
    one = study(network__hidden=[3, 2], epsilon=[0.1], replicates=48, optimizer__learning_rate=0.5)
    two = study(
        network__hidden=(np.int64(3), np.int32(2)), epsilon=np.array([0.1]),
        replicates=np.int64(48), optimizer__learning_rate=np.float64(0.5),
    )  # fmt: skip
    assert one.spec == two.spec
    assert [e.id for e in one.experiments] == [e.id for e in two.experiments]


@pytest.mark.parametrize("given", [None, 3, "quickstart", [1], print, b"x"], ids=repr)
def test_no_table_is_refused(given):
    with pytest.raises(InputError, match="accepted: a table"):
        Study.from_dict(given)


@pytest.mark.parametrize("given", [None, 3, [1], print, b"x", ""], ids=repr)
def test_no_name_and_no_path_is_refused(given):
    with pytest.raises(InputError, match=r"study = .* accepted: the path of a study file"):
        Study.load(given)


@pytest.mark.parametrize("settings", ["steps=3", None, 3, [3]], ids=repr)
def test_settings_are_a_list_of_texts(settings):
    with pytest.raises(InputError, match="settings"):
        Study.from_dict(table(), settings)


WRONG = {
    "a function": (dict(seed=lambda x: x), "seed = <function"),
    "a set": (dict(network__hidden={3}), "network.hidden = {3} is of type set"),
    "a complex number": (dict(seed=1j), "seed = 1j is of type complex"),
    "an array of objects": (dict(epsilon=np.array([{}])), "epsilon is an array of object"),
    "a key that is no text": (dict(slurm={1: 2}), "slurm has the key 1"),
    "a table in itself": (dict(slurm=LOOPED), "nested too deeply"),
    "an escape sequence in a label": (
        dict(experiment=[{"label": "\x1b[31m"}]), "control character",
    ),
    "a title that rings": (dict(title="\x07"), "title = '\\x07' is not accepted"),
    "a title that turns around": (dict(title="\u202eabc"), "control character"),
    "half a character": (dict(title="\ud800"), "control character"),
    "a label of two lines": (dict(experiment=[{"label": "a\nb"}]), "one line"),
    "an empty label": (dict(experiment=[{"label": " "}]), "experiment.label"),
    "a label of 300 characters": (dict(experiment=[{"label": "a" * 300}]), "300 characters"),
    "an integer of 5,000 digits": (dict(seed=10**5000), "more than 300 digits"),
    "a long integer": (dict(problem__noise={"law": "normal", "std": 10**299}), "problem.noise"),
    "many checkpoints": (dict(checkpoints=10**9), "checkpoints = 1000000000"),
    "a list of checkpoints": (dict(checkpoints=list(range(200_000))), "checkpoints"),
    "a wide layer": (dict(network__hidden=[10**9]), "3,000,000,001 parameters"),
    "two wide layers": (dict(network__hidden=[100_000, 100_000]), "10,000,400,001 parameters"),
    "many layers": (dict(network__hidden=[2] * 5000), "network.hidden"),
    "a wide teacher": (dict(problem__target={"teacher": {"hidden": [10**5] * 2}}), "parameters"),
    "a teacher of no outputs": (
        dict(problem__target={"teacher": {"hidden": [2]}, "outputs": 0}), "target.outputs = 0",
    ),
    "a large batch": (dict(training__batch_size=10**9), "training.batch_size = 1000000000"),
    "a larger batch": (dict(training__batch_size=10**18), "training.batch_size"),
    "a large training set": (
        dict(training={"batch_size": 3, "set": {"size": 10**12}}), "training.set.size",
    ),
    "many points": (
        dict(problem={"risk": {"points": 2**26}, "input": {"law": "normal", "dimension": 3},
                      "target": "x1"}),
        "problem.risk.points = 67108864 with 16 replicates",
    ),
    "many nodes": (dict(problem__risk={"nodes": 10**9}), "problem.risk.nodes"),
    "many pieces": (dict(problem__risk={"pieces": 10**9}), "problem.risk.pieces"),
    "many scramblings": (dict(problem__risk={"replicates": 10**9}), "problem.risk.replicates"),
    "many dimensions": (
        dict(problem__input={"law": "normal", "dimension": 10**9}), "1,000,000,000 coordinates",
    ),
    "many thresholds": (dict(epsilon=[0.1] * 2000), "epsilon"),
    "many outputs": (dict(problem__target=["x"] * 20_000), "problem.target"),
    "a wide block": (dict(execution={"width": 10**9}), "execution.width"),
    "a power of 1e300": (dict(problem__loss={"name": "power", "power": 1e300}), "power = 1e+300"),
    "a scaling of 1e300": (
        dict(network__weights={"law": "normal", "fan_in_power": 1e300}), "network.weights",
    ),
    "a schedule of 1e40 steps": (
        dict(optimizer__learning_rate={
            "schedule": "linear", "init_value": 1.0, "end_value": 0.0, "transition_steps": 10**40,
        }),
        "transition_steps",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_one_sentence_at_once(kind):
    changes, part = WRONG[kind]
    begin = time.perf_counter()
    with pytest.raises(InputError, match=re.escape(part)) as error:
        study(**changes)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 2000
    assert time.perf_counter() - begin < 10


def test_files_by_the_million_are_refused(tmp_path):
    from jaxsim.launch.directory import bind

    many = study(replicates=2**32, execution={"width": 1, "shard": 1})
    with pytest.raises(InputError, match=r"4,294,967,296 files; accepted: up to 1,000,000"):
        bind(many, tmp_path / "out").missing()


@pytest.mark.parametrize("shape", [(20_000, 20_000), (10**30, 3), (2**62, 4)], ids=str)
def test_a_small_file_that_asks_for_gigabytes_is_refused(shape, tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, of in (("x.npy", shape), ("y.npy", shape[:1])):
            content = io.BytesIO()
            head = {"descr": "<f8", "fortran_order": False, "shape": of}
            np.lib.format.write_array_header_1_0(content, head)
            archive.writestr(name, content.getvalue() + bytes(1000))
    with pytest.raises(InputError, match=r"bomb\.npz asks for [\d,]+ bytes"):
        study(problem={"data": {"path": "bomb.npz"}})


def test_a_file_that_unpacks_to_gigabytes_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(10))
        with archive.open("more.npy", "w", force_zip64=True) as stream:
            stream.write(bytes(10))
        archive.filelist[-1].file_size = 2**33
    with pytest.raises(InputError, match=r"bomb\.npz"):
        study(problem={"data": {"path": "bomb.npz"}})


def test_studies_that_are_no_studies(tmp_path):
    for text in ("seed = " + "1" * 5000, "a = " + "[" * 3000 + "]" * 3000):
        (tmp_path / "study.toml").write_text(text)
        with pytest.raises(InputError, match=r"study = 'study\.toml' is not valid TOML"):
            Study.load("study.toml")
    with pytest.raises(InputError, match="--set"):
        Study.load("quickstart", ["seed=" + "1" * 5000])
