"""The benchmarks compare what is the same training."""

import pytest

from benchmarks.peers import PEERS
from benchmarks.same import MEMBERS, STEPS, TOLERANCE, disagreement, reference, require_same
from benchmarks.workloads import WORKLOADS
from jaxsim.optimizer.methods import METHODS
from jaxsim.simulation.engines import Form


def peers(*names):
    return [pytest.param(n, id=n) for n in names]


def needs_torch(name):
    if name.startswith("torch"):
        pytest.importorskip("torch", reason="PyTorch is not installed")
    return PEERS[name][1]


@pytest.mark.parametrize("peer", peers(*PEERS))
@pytest.mark.parametrize("workload", ["w1", "digits"])
def test_all_peers_train_as_jaxsim_does(workload, peer):
    make, chosen = needs_torch(peer), WORKLOADS[workload]
    start, expected = reference(chosen, Form("vmap", MEMBERS))
    assert disagreement(expected, make(chosen, MEMBERS, STEPS, start)()) < 1e-5


@pytest.mark.parametrize("name", METHODS)
def test_all_methods_are_the_same_in_plain_jax_and_in_the_kernel(name):
    chosen = WORKLOADS["w1"].varied(name, 8)
    start, expected = reference(chosen, Form("kernel", MEMBERS, 8))
    found = PEERS["jit(vmap(scan))"][1](chosen, MEMBERS, STEPS, start)()
    assert disagreement(expected, found) < 1e-5


def test_another_training_is_no_comparison():
    chosen = WORKLOADS["w1"]
    start, expected = reference(chosen, Form("vmap", MEMBERS))
    wrong = chosen.varied("sgd", None)
    with pytest.raises(SystemExit, match="does not train as jaxsim does"):
        require_same(wrong, "jit(vmap(scan))", PEERS["jit(vmap(scan))"][1], start, expected)
    assert TOLERANCE < 0.01
