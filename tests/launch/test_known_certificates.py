"""Finished searches are found again in other directories, and nothing else is."""

import numpy as np
import pytest

from jaxsim.launch import known_certificates
from jaxsim.launch.known_certificates import KnownCertificates, certificates_of
from jaxsim.launch.searches import Stoppable, planned_searches, run_searches
from jaxsim.optimum import solve
from jaxsim.optimum.strategy import Certificate
from jaxsim.results.certificates import CertificateFiles
from tests.optimum.toy import Toy
from tests.studies import study


@pytest.fixture
def place(tmp_path):
    """Return (name of a directory) -> its certificates, which share a cache."""
    return lambda name: KnownCertificates(CertificateFiles(tmp_path / name), tmp_path / "cache")


def certificate(finished=True, size=3):
    return Certificate("toy", {"x": np.arange(float(size))}, finished, 1)


def test_a_search_is_made_once_for_all_directories(place, monkeypatch):
    toy = Toy()
    monkeypatch.setattr(solve, "STRATEGIES", {"toy": toy})
    monkeypatch.setattr(solve, "_VERIFIED", type(solve._VERIFIED)())
    searches = planned_searches(study())
    first, second = place("a"), place("b")
    run_searches(searches, first, Stoppable(20.0))
    calls = len(toy.calls)
    assert calls > 0
    run_searches(searches, second, Stoppable(20.0))
    assert len(toy.calls) == calls
    for one in searches:
        files = [where.files.path(one.of.key, "toy") for where in (first, second)]
        assert files[0].exists() == files[1].exists()
        assert not files[0].exists() or files[0].read_bytes() == files[1].read_bytes()


def test_only_whole_searches_from_nothing_are_kept(place, tmp_path):
    one = place("a")
    assert one.load("k", "toy") is None
    one.save("k", certificate(finished=False))
    assert place("b").load("k", "toy") is None
    one.save("k", certificate())  # its last slice
    found = place("c").load("k", "toy")
    assert found is not None
    assert found.arrays["x"].tolist() == [0.0, 1.0, 2.0]
    assert CertificateFiles(tmp_path / "c").load("k", "toy") is not None
    # One that began with what a directory had is of that directory.
    CertificateFiles(tmp_path / "d").save("other", certificate(finished=False))
    beginning = place("d")
    begun = beginning.load("other", "toy")
    assert begun is not None
    assert not begun.finished
    beginning.save("other", certificate())
    assert place("e").load("other", "toy") is None


def test_a_damaged_or_unwritable_cache_costs_only_time(place, tmp_path):
    one = place("a")
    one.load("k", "toy")
    one.save("k", certificate())
    (kept,) = (tmp_path / "cache").glob("*/*/*/*.npz")
    kept.write_bytes(kept.read_bytes()[:-9])
    assert place("b").load("k", "toy") is None
    blocked = KnownCertificates(CertificateFiles(tmp_path / "c"), tmp_path / "c" / "file")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "file").write_text("")
    assert blocked.load("k", "toy") is None
    blocked.save("k", certificate())
    assert blocked.load("k", "toy") is not None


def test_other_code_large_certificates_and_old_ones_are_not_kept(place, tmp_path, monkeypatch):
    one = place("a")
    for key in ("large", "k"):
        one.load(key, "toy")
    one.save("large", certificate(size=known_certificates.LARGEST // 8 + 1))
    one.save("k", certificate())
    assert place("b").load("large", "toy") is None
    with monkeypatch.context() as other:
        other.setattr(known_certificates, "_digest", lambda: "of other code")
        assert place("b").load("k", "toy") is None
    assert place("b").load("k", "toy") is not None
    monkeypatch.setattr(known_certificates, "MOST_KEPT", 3)
    for n in range(4):
        one.load(f"{n}", "toy")
        one.save(f"{n}", certificate())
    assert len(list((tmp_path / "cache").glob("*/*/*/*.npz"))) <= 3


def test_studies_with_code_of_the_users_own_keep_to_their_directory(tmp_path):
    assert isinstance(certificates_of(study(), tmp_path), KnownCertificates)
    own = study(problem__target=lambda x: x[..., 0] ** 2)
    assert own.session_objects
    assert isinstance(certificates_of(own, tmp_path), CertificateFiles)
