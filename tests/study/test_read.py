import pytest

from jaxsim.errors import InputError
from jaxsim.study.read import read_table, study_spec
from tests.study.test_expand import BASE

WRONG = [
    ({"sede": 1}, "sede = 1 is not a key; accepted: "),
    ({"seed": -1}, "seed = -1 is not accepted: input should be greater than or equal to 0"),
    ({"seed": 1.5}, "seed = 1.5 is not accepted"),
    ({"seed": True}, "seed = True is not accepted"),
    ({"replicates": 0}, "replicates = 0"),
    ({"replicates": "many"}, "replicates = 'many'"),
    ({"steps": -5}, "steps = -5"),
    ({"name": "../up"}, "name = '../up'"),
    ({"epsilon": []}, "epsilon = []"),
    ({"epsilon": [-0.1]}, "epsilon.0 = -0.1"),
    ({"epsilon": [float("nan")]}, "epsilon.0 = nan"),
    ({"confidence": 1.0}, "confidence = 1.0"),
    # All comparisons together need a level that floats tell from 0 and 1.
    ({"confidence": 1 - 1e-16}, "confidence = 0.9999999999999999"),
    ({"confidence": 1e-300}, "confidence = 1e-300"),
    ({"interval": "wald"}, "interval = 'wald'"),
    ({"precision": "float16"}, "precision = 'float16'"),
    ({"paired": ["seed"]}, "paired.0 = 'seed'"),
    ({"training": {"batch_size": 0}}, "training.batch_size = 0"),
    ({"training": {"batch_size": "huge"}}, "training.batch_size = 'huge'"),
    ({"training": {"batchsize": 4}}, "training.batchsize = 4 is not a key"),
    ({"training": {"set": {}}}, "training.set.size is missing"),
    ({"network": {"hidden": [0]}}, "network.hidden.0 = 0"),
    ({"network": {"hidden": 4}}, "network.hidden = 4"),
    ({"network": {"hidden": [4], "parametrization": "mup"}}, "network.parametrization = 'mup'"),
    ({"problem": {"risk": {"replicates": 1}}}, "problem.risk.replicates = 1"),
    ({"problem": {"risk": {"pionts": 1}}}, "problem.risk.pionts = 1 is not a key; accepted: nodes"),
    ({"execution": {"width": 0}}, "execution.width = 0"),
    ({"optimizer": "adam"}, "optimizer = 'adam'"),
    ({"checkpoints": [-1]}, "checkpoints"),
]


@pytest.mark.parametrize(("changes", "sentence"), WRONG, ids=[w[1] for w in WRONG])
def test_bad_values_get_one_sentence(changes, sentence):
    with pytest.raises(InputError) as error:
        study_spec({**BASE, **changes})
    assert str(error.value).startswith(sentence)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", ["name", "problem", "network", "optimizer"])
def test_missing_tables_are_named(key):
    table = {k: v for k, v in BASE.items() if k != key}
    with pytest.raises(InputError, match=f"^{key} is missing"):
        study_spec(table)


def test_settings_override_the_file():
    spec = study_spec(BASE, ["steps=7", "optimizer.learning_rate=0.5"])
    assert spec.steps == 7
    assert spec.optimizer["learning_rate"] == 0.5


def test_integers_are_accepted_where_floats_are_meant():
    assert study_spec({**BASE, "epsilon": [1]}).epsilon == [1.0]


def test_unreadable_files_get_one_sentence(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_table(tmp_path / "none.toml")
    bad = tmp_path / "bad.toml"
    bad.write_text("name = [")
    with pytest.raises(InputError, match="is not valid TOML"):
        read_table(bad)
    bad.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not valid TOML"):
        read_table(bad)
