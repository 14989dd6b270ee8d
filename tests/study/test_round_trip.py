"""A study is the same after it was written down and read again, whatever its tables hold."""

import hashlib
import json
import sys

import pytest

from jaxsim.errors import InputError
from jaxsim.launch.directory import bind, reopen
from jaxsim.launch.request import pack, unpack
from jaxsim.network.activations import ACTIVATIONS
from jaxsim.network.initializers import INITIALIZERS
from jaxsim.optimizer.methods import METHODS
from jaxsim.optimizer.others import others
from jaxsim.optimizer.schedules import SCHEDULES
from jaxsim.problem.datasets import BUNDLED
from jaxsim.problem.input_laws import INPUT_LAWS
from jaxsim.problem.losses import LOSSES
from jaxsim.problem.noise import NOISES
from jaxsim.study.catalogue import READY
from jaxsim.study.study import Study
from tests.studies import table

REQUIRED = {
    # what entries need that have parameters without a default
    "power": {"power": 3.0},
    "quantile": {"level": 0.25},
    "constant": {"value": 0.5},
    "points": {"points": [[0.0], [1.0], [2.5]]},
    "normal noise": {"std": 0.1},
    "uniform noise": {"half_width": 0.1},
}
SCHEDULE = {
    "constant": {"value": 0.1},
    "cosine_decay": {"init_value": 0.1, "decay_steps": 40},
    "exponential_decay": {"init_value": 0.1, "transition_steps": 9, "decay_rate": 0.9},
    "polynomial": {"init_value": 0.1, "end_value": 0.0, "power": 2.0, "transition_steps": 9},
    "linear": {"init_value": 0.1, "end_value": 0.0, "transition_steps": 9},
    "piecewise_constant": {"init_value": 0.1, "boundaries": [5, 9], "scales": [0.5, 0.1]},
    "piecewise_interpolate": {
        "interpolate_type": "linear", "init_value": 0.1, "boundaries": [5], "scales": [0.5],
    },
    "power": {"init_value": 0.1, "exponent": 0.5},
    "warmup_cosine_decay": {
        "init_value": 0.0, "peak_value": 0.1, "warmup_steps": 3, "decay_steps": 9,
    },
    "warmup_exponential_decay": {
        "init_value": 0.0, "peak_value": 0.1, "warmup_steps": 3, "transition_steps": 9,
        "decay_rate": 0.5,
    },
    "warmup_constant": {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 3},
    "cosine_onecycle": {"transition_steps": 20, "peak_value": 0.1},
    "linear_onecycle": {"transition_steps": 20, "peak_value": 0.1},
    "sgdr": {"peak_values": [0.1, 0.05], "warmup_steps": [2, 2], "decay_steps": [9, 9]},
}  # fmt: skip
BINARY = {"data": "breast_cancer", "loss": "logistic"}
CLASSES = {"data": "iris", "loss": "softmax_cross_entropy"}


def _loss(name):
    if name in ("logistic", "hinge", "brier"):
        return {**BINARY, "loss": name}
    if name == "softmax_cross_entropy":
        return CLASSES
    extra = {"function": "own_round_trip:loss"} if name == "function" else REQUIRED.get(name, {})
    return {**table()["problem"], "loss": {"name": name, **extra}}


def _data(name):
    loss = {"breast_cancer": "logistic", "diabetes": "squared"}.get(name, "softmax_cross_entropy")
    return {"data": {"name": name, "scale": "unit"}, "loss": loss}


def _activation(name):
    extra = {"function": "own_round_trip:activation"} if name == "function" else {}
    return {"hidden": [3], "activation": {"name": name, **extra}}


def _optimizer(name):
    needed = {"adadelta": 1.0}
    return {"name": name, "learning_rate": needed.get(name, 0.01)}


EXPERIMENTS = {
    "losses": [{"problem": _loss(n)} for n in LOSSES],
    "inputs": [
        {"problem.input": {"law": n, **REQUIRED.get(n, {})},
         "problem.target": "x1"} for n in INPUT_LAWS
    ],
    "noises": [{"problem.noise": {"law": n, **REQUIRED.get(f"{n} noise", {})}} for n in NOISES],
    "data": [{"problem": _data(n)} for n in BUNDLED],
    "activations": [{"network": _activation(n)} for n in ACTIVATIONS],
    "initializers": [
        {"network": {"hidden": [3], "weights": {"law": n, **REQUIRED.get(n, {})}}}
        for n in INITIALIZERS if n not in ("zero", "covering_normal")
    ] + [
        {"network": {"hidden": [3], "weights": [
            {"law": "covering_normal", "points": [[1.0], [-1.0]]}, "he_normal"]}}
    ],
    "biases": [
        {"network.biases": False},
        {"network.biases": [False, "zero"]},
        {"network.biases": {"law": "constant", "value": 0.5}, "network.output_bias": False},
        {"network": {"hidden": [2, 3], "weights": "randomized_asymmetric",
                     "freeze": ["output", "layer1.weights"]}},
        {"network": {"hidden": [3], "weights": ["randomized_asymmetric", "pytorch"],
                     "parametrization": "ntk"}},
        {"network": {"hidden": [3], "weights": "randomized_asymmetric", "biases": False}},
        {"network": {"hidden": []}},
        {"network": {"module": "own_round_trip:module"}},
    ],
    "optimizers": [{"optimizer": _optimizer(n)} for n in METHODS],
    "schedules": [
        {"optimizer.learning_rate": {"schedule": n, **SCHEDULE[n]}} for n in SCHEDULES
    ],
    "targets": [
        {"problem.target": ["x", "x**2"]},
        {"problem.target": {"teacher": {"hidden": [2], "activation": "tanh"}, "seed": 3}},
        {"problem.target": {"teacher": {"module": "own_round_trip:module"}}},
        {"problem.target": {"function": "own_round_trip:target"}},
        {"problem.optimum": 0.001},
        {"problem.optimum": [0.0, 0.05]},
        {"problem.risk": {"nodes": 5, "pieces": 20}},
    ],
    "training": [
        {"training": {"batch_size": "population"}},
        {"training": {"batch_size": "full", "set": {"size": 20}}},
        {"training": {"batch_size": 4, "set": {"size": 20, "scope": "study", "replacement": True}}},
        {"problem.input": {"law": "points", "points": [0.0, 1.0]},
         "training": {"batch_size": "full", "set": {"size": 10**7, "counts": True}}},
        {"precision": "float64", "checkpoints": 5},
    ],
}  # fmt: skip
CODE = """
import flax.linen as nn
import jax.numpy as jnp


def loss(prediction, y):
    return ((prediction - y) ** 4).sum(-1)


def activation(x):
    return jnp.sin(x)


def target(x):
    return x[:, 0] ** 3


def module():
    return nn.Dense(1)
"""


@pytest.fixture
def own_code(tmp_path):
    (tmp_path / "own_round_trip.py").write_text(CODE)
    yield
    sys.modules.pop("own_round_trip", None)


def identities(study):
    names = ("label", "id", "key_words", "training_key", "evaluation_key", "hypothesis_class",
             "initialization_key", "checkpoints", "batch_size")  # fmt: skip
    return [tuple(getattr(e, n) for n in names) for e in study.experiments]


def laws(study):
    return [
        [(s.weights.name, s.biases.name if s.biases else None) for s in e.network.layer_specs]
        for e in study.experiments
    ]


def require_round_trips(study):
    """Check that a study is the same after every way in which it is written and read."""
    written = json.loads(json.dumps(study.spec.model_dump(mode="json")))
    ways = {
        "dump": Study.from_dict(written, allow_code=True),
        "request": unpack(pack(study), True),
        "settings": study.with_settings([f"replicates={study.spec.replicates}"]),
        "replaced": study.replaced(replicates=study.spec.replicates),
    }
    for way, other in ways.items():
        assert other.spec == study.spec, way
        assert identities(other) == identities(study), way
        assert laws(other) == laws(study), way


@pytest.mark.parametrize("name", READY)
def test_ready_studies(name):
    require_round_trips(Study.load(name))


@pytest.mark.parametrize("kind", EXPERIMENTS)
def test_every_kind_of_table(kind, own_code):
    tree = table(experiment=[{"label": str(i), **e} for i, e in enumerate(EXPERIMENTS[kind])])
    require_round_trips(Study.from_dict(tree, allow_code=True))


def test_every_registry_is_covered():
    assert SCHEDULE.keys() == SCHEDULES.keys()


@pytest.mark.slow
def test_every_optimizer_of_optax():
    grid = {"optimizer": [_optimizer(n) for n in others()]}
    require_round_trips(Study.from_dict(table(grid=grid)))


def test_grids_of_every_kind():
    grid = {
        "optimizer": [{"name": "sgd", "learning_rate": 1.0}, _optimizer("adam")],
        "network.hidden": [[2], [2, 2, 2]],
        "training.batch_size": [4, "population"],
    }
    require_round_trips(Study.from_dict(table(grid=grid, paired=["optimizer"], slurm={"cpus": 2})))


def test_a_directory_with_a_module_is_opened_again(own_code, tmp_path):
    tree = table(network={"module": "own_round_trip:module"})
    study = Study.from_dict(tree, allow_code=True)
    bind(study, tmp_path / "out")
    again = reopen(tmp_path / "out", allow_code=True)
    assert again.study.spec == study.spec
    assert identities(again.study) == identities(study)
    bind(study, tmp_path / "out")


def test_layers_whose_weights_and_biases_are_drawn_together_keep_their_law_when_reopened(tmp_path):
    study = Study.from_dict(table(network={"hidden": [3], "weights": "randomized_asymmetric"}))
    bind(study, tmp_path / "out")
    assert laws(reopen(tmp_path / "out").study) == laws(study)
    assert laws(study) == [[("randomized_asymmetric",) * 2] * 2]


@pytest.mark.parametrize(
    "biases", ["zero", ["zero", "zero"], {"law": "uniform", "bound": 0.1}, [False, "zero"]], ids=str
)
def test_biases_that_a_joint_law_would_ignore_are_refused(biases):
    network = {"hidden": [3], "weights": "randomized_asymmetric", "biases": biases}
    with pytest.raises(InputError, match=r"network\.biases = .* draws the biases too"):
        Study.from_dict(table(network=network))


def test_the_biases_of_other_layers_may_be_stated_beside_a_joint_law():
    network = {
        "hidden": [3],
        "weights": ["randomized_asymmetric", "he_normal"],
        "biases": ["randomized_asymmetric", {"law": "constant", "value": 0.5}],
    }
    study = Study.from_dict(table(network=network))
    assert laws(study) == [[("randomized_asymmetric",) * 2, ("he_normal", "constant")]]
    require_round_trips(study)


@pytest.mark.parametrize("key", ["hidden", "activation", "biases", "freeze"])
def test_keys_beside_a_module_are_refused_even_at_their_defaults(key, own_code):
    value = {"hidden": [3], "activation": "relu", "biases": "zero", "freeze": []}[key]
    with pytest.raises(InputError, match=rf"network\.{key} is not accepted beside network.module"):
        Study.from_dict(
            table(network={"module": "own_round_trip:module", key: value}), allow_code=True
        )


IDENTITIES = {
    "depth": "cae6af59ac7b2485",
    "digits": "11c8b3f645245d2d",
    "quickstart": "7fecfe5aa56f2135",
    "rare": "a8d53073f214f213",
    "symmetry": "9d2d56bd8a771866",
    "width": "779d0d427e6763d4",
}


@pytest.mark.parametrize("name", READY)
def test_identities_of_ready_studies_have_not_changed(name):
    """Ids and random numbers derive from these texts: old directories hold them."""
    names = ("id", "key_words", "training_key", "evaluation_key", "initialization_key",
             "hypothesis_class")  # fmt: skip
    texts = [tuple(getattr(e, n) for n in names) for e in Study.load(name).experiments]
    assert hashlib.sha256(repr(texts).encode()).hexdigest()[:16] == IDENTITIES[name]


def test_data_of_a_relative_path_are_found_from_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "mine.csv").write_text("a,y\n1,2.5\n2,3.5\n3,1.5\n")
    study = Study.from_dict(table(problem={"data": {"path": "mine.csv"}}))
    bind(study, tmp_path / "out")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert identities(reopen(tmp_path / "out").study) == identities(study)


def test_a_relative_base_is_found_from_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "mine.csv").write_text("a,y\n1,2.5\n2,3.5\n3,1.5\n")
    monkeypatch.chdir(tmp_path)
    study = Study.from_dict(table(problem={"data": {"path": "mine.csv"}}), base="sub")
    bind(study, "out")
    monkeypatch.chdir("sub")
    assert identities(reopen(tmp_path / "out").study) == identities(study)
