"""Certificates: stored whole, believed never, and searches that go on where they were cut short."""

import json
import os

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.evidence import Bound
from jaxsim.network.activations import ACTIVATIONS
from jaxsim.optimum import solve
from jaxsim.optimum.bracket import Bracket
from jaxsim.optimum.hypothesis_class import HypothesisClass, has_levels, narrowed
from jaxsim.optimum.parabola import Parabola
from jaxsim.optimum.registry import STRATEGIES
from jaxsim.optimum.strategy import Budget, Certificate, CertificateError
from jaxsim.results.certificates import CertificateFiles
from jaxsim.results.files import sealed
from tests.optimum.toy import GOAL, Toy
from tests.risk.cases import draw, make_network, make_problem

NOTHING = Bracket((Bound(0.0, reason="risks are not negative"),))


@pytest.fixture
def toy(monkeypatch):
    made = Toy()
    monkeypatch.setattr("jaxsim.optimum.registry.STRATEGIES", {"toy": made})
    monkeypatch.setattr(solve, "STRATEGIES", {"toy": made})
    solve._VERIFIED.clear()
    yield made
    solve._VERIFIED.clear()


def of(m=3, text="x**2", **options):
    return HypothesisClass(text, make_problem("x**2"), make_network(1, m, 1, **options))


def test_a_search_leaves_a_certificate_whose_bounds_are_computed_anew(toy, tmp_path):
    files = CertificateFiles(tmp_path)
    found = solve.search(of(), NOTHING, files, Budget(10.0))
    bracket = found.added_to(NOTHING)
    assert (bracket.lower.value, bracket.upper.value) == (Parabola().lower(3), Parabola().lower(2))
    assert bracket.reason == "lower end: counted to 4; upper end: counted to 4, too"
    assert not found.unfinished
    assert not found.remarks
    assert np.array_equal(found.bounds.theta, np.full(10, 4.0))
    solve._VERIFIED.clear()
    again = solve.solution(of(), NOTHING, CertificateFiles(tmp_path))
    assert again.bounds.lowers == found.bounds.lowers
    # What is verified once is so for this process; a finished search is not asked again.
    seen = toy.verified
    solve.search(of(), NOTHING, files, Budget(10.0))
    assert toy.verified == seen
    assert toy.calls == [(3, 0, 0)]


def test_a_search_that_is_cut_short_goes_on_where_it_was(toy, tmp_path):
    toy.at_most = 3
    files = CertificateFiles(tmp_path)
    first = solve.search(of(), NOTHING, files, Budget(10.0))
    assert first.unfinished == ("toy",)
    assert first.added_to(NOTHING).lower.value == Parabola().lower(3) * 3 / GOAL
    second = solve.search(of(), NOTHING, files, Budget(10.0))
    assert second.unfinished == ()
    assert toy.calls == [(3, 0, 0), (3, 3, 0)]
    # With runs to begin from, a finished search is asked once more.
    solve.search(of(), NOTHING, files, Budget(10.0), runs=[np.zeros(10)])
    assert toy.calls[-1] == (3, 4, 1)


def test_no_budget_leaves_nothing_and_says_so(toy, tmp_path):
    found = solve.search(of(), NOTHING, CertificateFiles(tmp_path), Budget(0.0))
    assert found.unfinished == ("toy",)
    assert not toy.calls
    assert not list(tmp_path.iterdir())


def test_what_an_earlier_version_has_finished_is_used_and_searched_on(toy, tmp_path):
    files = CertificateFiles(tmp_path)
    solve.search(of(), NOTHING, files, Budget(10.0))
    path = files.path(of().key, "toy")
    assert files.load(of().key, "toy").version == 1
    toy.version = 2
    found = solve.solution(of(), NOTHING, files)
    assert found.added_to(NOTHING).lower.value == Parabola().lower(3)
    assert found.unfinished == ("toy",)
    assert found.goes_on == "is of an earlier version; `jaxsim run` goes on"
    old = path.read_bytes()
    again = solve.search(of(), NOTHING, files, Budget(10.0))
    assert toy.calls == [(3, 0, 0), (3, 4, 0)]
    assert not again.unfinished
    assert not again.goes_on
    assert path.read_bytes() != old
    # A directory that a later version has worked in is at its end, too.
    toy.version = 1
    assert not solve.search(of(), NOTHING, files, Budget(10.0)).unfinished
    assert len(toy.calls) == 2


def test_a_search_cut_short_before_it_found_anything_is_no_finished_one(toy):
    kept = solve.InMemory()
    assert not solve.solution(of(), NOTHING, kept).goes_on  # it has not begun
    kept.save(of().key, Certificate("toy", {}, finished=False, version=1))
    found = solve.solution(of(), NOTHING, kept)
    assert found.goes_on == "was cut short by its budget; `jaxsim run` goes on"
    exact = Bracket.of(0.25, 0.25, "closed form")
    assert not solve.solution(of(), exact, kept).goes_on


def test_a_certificate_says_no_version_if_it_is_older_than_they_are(toy, tmp_path):
    files = CertificateFiles(tmp_path)
    arrays = {"steps": np.array(4), "m": np.array(3)}
    rewrite(files, arrays, {"class": of().key, "strategy": "toy", "finished": True})
    found = solve.solution(of(), NOTHING, files)
    assert found.unfinished == ("toy",)
    assert not found.remarks
    assert found.bounds.lowers[0].value == Parabola().lower(3)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"format": 2}, "its format is '2'; 1 is known here"),
        ({"format": [[]] * 1000}, "its format is"),
        ({"version": -1}, "it holds what no search leaves"),
        ({"version": 1.5}, "it holds what no search leaves"),
        ({"version": True}, "it holds what no search leaves"),
        ({"finished": 1}, "it holds what no search leaves"),
        ({"strategy": "tow"}, "another problem, network or strategy"),
    ],
)
def test_what_a_file_says_of_itself_is_checked_and_it_is_made_anew(toy, tmp_path, changes, why):
    files = CertificateFiles(tmp_path)
    about = {"format": 1, "version": 1, "class": of().key, "strategy": "toy", "finished": True}
    rewrite(files, {"steps": np.array(4), "m": np.array(3)}, about | changes)
    found = solve.solution(of(), NOTHING, files)
    assert why in found.remarks[0]
    assert len(found.remarks[0]) < 400
    assert not found.bounds.lowers
    said = []
    anew = solve.search(of(), NOTHING, files, Budget(10.0), announce=said.append)
    assert said[0].endswith("it is made anew")
    assert anew.bounds.lowers[0].value == Parabola().lower(3)


def rewrite(files, arrays, about):
    path = files.path(of().key, "toy")
    path.parent.mkdir(parents=True)
    with open(path, "wb") as file:
        np.savez(file, about=np.array(json.dumps(about)), **arrays)
    path.write_bytes(sealed(path.read_bytes()))


def test_a_search_is_kept_in_between_so_that_being_killed_costs_a_part_of_it(
    toy, tmp_path, monkeypatch
):
    """Seconds are counted by a clock of the test's; each step takes ten of them."""
    clock = [0.0]

    class Clocked(Budget):
        def __init__(self, seconds):
            super().__init__(seconds, clock[0])

        @property
        def left(self):
            return max(0.0, self.seconds - (clock[0] - self.began))

        def at_most(self, seconds):
            return Clocked(min(self.left, seconds))

    monkeypatch.setattr(solve, "FIRST_SLICE", 20.0)
    slices, files = [], CertificateFiles(tmp_path)

    class Slow(Toy):
        def search(self, problem, network, budget, begin=None, runs=()):
            steps = 0 if begin is None else int(begin.arrays["steps"])
            slices.append((steps, budget.seconds, len(runs)))
            while not budget.spent and steps < 14:
                if steps == 7:
                    raise KeyboardInterrupt  # stands for a kill: nothing after it is done
                steps, clock[0] = steps + 1, clock[0] + 10
            arrays = {"steps": np.array(steps), "m": np.array(3)}
            return Certificate("toy", arrays, finished=steps == 14)

        def verify(self, problem, network, certificate):
            steps = int(certificate.arrays["steps"])
            return solve.Bounds((Bound(steps / 100, reason=f"{steps} steps"),))

    solve.STRATEGIES["toy"] = Slow()
    with pytest.raises(KeyboardInterrupt):
        solve.search(of(), NOTHING, files, Clocked(1000.0), [np.zeros(10)])
    assert slices == [(0, 20.0, 1), (2, 40.0, 0), (6, 80.0, 0)]
    kept = files.load(of().key, "toy")
    assert (int(kept.arrays["steps"]), kept.finished) == (6, False)
    # A search that ends by itself before its slice does is not asked again.
    slices.clear()
    files.save(of().key, Certificate("toy", {"steps": np.array(8), "m": np.array(3)}, False, 1))
    solve.search(of(), NOTHING, files, Clocked(90.0))
    assert slices == [(8, 20.0, 0), (10, 40.0, 0)]


def test_progress_that_nobody_left_is_begun_anew(toy, tmp_path):
    class Picky(Toy):
        def search(self, problem, network, budget, begin=None, runs=()):
            if begin is not None:
                self.calls.append((0, 0, 0))
                raise IndexError("no such start")
            return super().search(problem, network, budget, begin, runs)

    picky = solve.STRATEGIES["toy"] = Picky()
    files, said = CertificateFiles(tmp_path), []
    files.save(of().key, Certificate("toy", {"steps": np.array(2), "m": np.array(3)}, False, 1))
    found = solve.search(of(), NOTHING, files, Budget(10.0), announce=said.append)
    assert picky.calls == [(0, 0, 0), (3, 0, 0)]
    assert "does not go on from its certificate (IndexError: no such start)" in said[0]
    assert not found.unfinished


def test_a_certificate_for_what_its_strategy_does_not_serve_is_refused_without_its_check(toy):
    deep = HypothesisClass("x**2", make_problem("x**2"), make_network(1, 3, 3, 1))
    arrays = {"steps": np.array(4), "m": np.array(3)}
    with pytest.raises(CertificateError, match="one hidden layer only"):
        solve.verified(deep, toy, Certificate("toy", arrays))
    assert toy.verified == 0


def test_what_is_known_exactly_is_not_searched(toy):
    exact = Bracket.of(0.25, 0.25, "closed form")
    found = solve.search(of(), exact, solve.InMemory(), Budget(10.0))
    assert not toy.calls
    assert not found.unfinished


def flipped(content):
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)


def foreign(content):
    return sealed(b"PK\x03\x04" + content[:40])


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (flipped, "is damaged"),
        (lambda content: content[: len(content) // 2], "is damaged"),
        (lambda content: b"", "is damaged"),
        (foreign, "is damaged"),
    ],
)
def test_a_damaged_certificate_is_found_named_and_made_anew(toy, tmp_path, harm, why):
    files = CertificateFiles(tmp_path)
    solve.search(of(), NOTHING, files, Budget(10.0))
    path = files.path(of().key, "toy")
    good = path.read_bytes()
    path.write_bytes(harm(good))
    found = solve.solution(of(), NOTHING, files)
    (remark,) = found.remarks
    assert str(path) in remark
    assert why in remark
    assert "`jaxsim run` makes it anew" in remark
    assert not found.bounds.lowers
    assert found.unfinished == ("toy",)
    assert not found.open_clause(True)  # it was not cut short
    said = []
    anew = solve.search(of(), NOTHING, files, Budget(10.0), announce=said.append)
    assert len(said) == 1
    assert "it is made anew" in said[0]
    assert anew.added_to(NOTHING).lower.value == Parabola().lower(3)
    assert path.read_bytes() == good


def test_what_stands_in_the_place_of_a_certificate_is_replaced(toy, tmp_path):
    """Links are read as any file would be, verified, and never written through."""
    files = CertificateFiles(tmp_path / "out")
    path = files.path(of().key, "toy")
    path.parent.mkdir(parents=True)
    other = tmp_path / "of-somebody-else"
    other.write_text("nothing of ours")

    def pipe():
        os.mkfifo(path)

    for place in (lambda: path.symlink_to(other), lambda: path.symlink_to(path), pipe):
        path.unlink(missing_ok=True)
        place()
        found = solve.solution(of(), NOTHING, files)
        assert not found.bounds.lowers
        assert str(path) in found.remarks[0]
        anew = solve.search(of(), NOTHING, files, Budget(10.0))
        assert anew.bounds.lowers[0].value == Parabola().lower(3)
        assert path.is_file()
        assert not path.is_symlink()
    assert other.read_text() == "nothing of ours"


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"steps": np.array(9), "m": np.array(3)}, "another network"),
        ({"steps": np.array(4), "m": np.array(8)}, "another network"),
        ({"steps": np.array(4)}, "other arrays"),
        ({"steps": np.zeros((2, 2)), "m": np.array(3)}, "its check failed"),
        ({"steps": np.array(np.nan), "m": np.array(3)}, "its check failed"),
    ],
)
def test_a_forged_certificate_with_a_right_checksum_proves_nothing(toy, tmp_path, arrays, why):
    files = CertificateFiles(tmp_path)
    files.save(of().key, Certificate("toy", arrays))
    found = solve.solution(of(), NOTHING, files)
    assert not found.bounds.lowers
    assert why in found.remarks[0]
    anew = solve.search(of(), NOTHING, files, Budget(10.0))
    assert anew.added_to(NOTHING).lower.value == Parabola().lower(3)
    assert toy.calls == [(3, 0, 0)]


def test_a_certificate_of_another_class_is_refused(toy, tmp_path):
    files = CertificateFiles(tmp_path)
    solve.search(of(), NOTHING, files, Budget(10.0))
    other = files.path(of(4).key, "toy")
    other.parent.mkdir()
    other.write_bytes(files.path(of().key, "toy").read_bytes())
    found = solve.solution(of(4), NOTHING, files)
    assert "of another problem, network or strategy" in found.remarks[0]


def test_files_hold_numbers_only(toy, tmp_path):
    files = CertificateFiles(tmp_path)
    with pytest.raises(ValueError, match="more than numbers"):
        files.save("a", Certificate("toy", {"steps": np.array([None])}))
    assert not list(tmp_path.iterdir())
    about = {"class": of().key, "strategy": "toy", "finished": True}
    path = files.path(of().key, "toy")
    path.parent.mkdir(parents=True)
    with open(path, "wb") as file:
        np.savez(file, about=np.array(json.dumps(about)), steps=np.array([None, "x"]))
    path.write_bytes(sealed(path.read_bytes()))
    assert "is damaged" in solve.solution(of(), NOTHING, files).remarks[0]


def test_a_certificate_that_would_fill_the_memory_is_not_read(toy, tmp_path, monkeypatch):
    files = CertificateFiles(tmp_path)
    path = files.path(of().key, "toy")
    path.parent.mkdir(parents=True)
    with open(path, "wb") as file:
        np.savez_compressed(file, x=np.zeros(10**6))
    path.write_bytes(sealed(path.read_bytes()))
    monkeypatch.setattr("jaxsim.results.certificates.LARGEST", 10**5)
    assert "more than 100,000 bytes" in solve.solution(of(), NOTHING, files).remarks[0]
    path.write_bytes(bytes(10**6))
    assert "more than 100,000 bytes" in solve.solution(of(), NOTHING, files).remarks[0]
    path.unlink()
    path.mkdir()
    assert "cannot be read" in solve.solution(of(), NOTHING, files).remarks[0]


def test_a_certificate_that_shows_nothing_is_not_kept(toy, tmp_path):
    class Wrong(Toy):
        def search(self, problem, network, budget, begin=None, runs=()):
            return Certificate("toy", {"steps": np.array(77), "m": np.array(3)})

    solve.STRATEGIES["toy"] = Wrong()
    said = []
    found = solve.search(of(), NOTHING, CertificateFiles(tmp_path), Budget(9.0), (), said.append)
    assert not found.bounds.lowers
    assert "shows nothing" in said[0]
    assert not list(tmp_path.iterdir())


def test_a_search_that_finds_nothing_is_not_begun_again(toy, tmp_path):
    class Nothing(Toy):
        def search(self, problem, network, budget, begin=None, runs=()):
            self.calls.append((0, 0, 0))

    none = solve.STRATEGIES["toy"] = Nothing()
    files = CertificateFiles(tmp_path)
    assert solve.search(of(), NOTHING, files, Budget(10.0)).unfinished == ()
    solve.search(of(), NOTHING, files, Budget(10.0))
    assert len(none.calls) == 1


def test_a_better_certificate_is_never_replaced_by_a_worse_one(toy, tmp_path):
    files = CertificateFiles(tmp_path)
    toy.at_most = 3
    solve.search(of(), NOTHING, files, Budget(10.0))

    class Forgetful(Toy):
        def search(self, problem, network, budget, begin=None, runs=()):
            return Certificate("toy", {"steps": np.array(1), "m": np.array(3)}, finished=False)

    solve.STRATEGIES["toy"] = Forgetful()
    found = solve.search(of(), NOTHING, files, Budget(10.0))
    assert found.added_to(NOTHING).lower.value == Parabola().lower(3) * 3 / GOAL


def test_keys_are_of_problem_and_family_only():
    key = of().key
    assert of().key == key
    others = [of(4), of(text="x**3"), of(biases=(True, False))]
    assert len({key, *(other.key for other in others)}) == 4
    # A wider network's hierarchy is the narrower network's own class.
    assert of(8).with_first_width(3).key == key


def test_a_narrowed_network_is_what_silent_neurons_leave():
    network = make_network(2, 4, 3, 1)
    smaller = narrowed(network, 2)
    assert smaller.hidden == (2, 3)
    theta = jnp.asarray(draw(network, 5))
    (w1, b1), (w2, b2), (w3, b3) = network.layers(theta)
    kept = np.concatenate([
        np.asarray(w1)[:, :2].ravel(), b1[:2], np.asarray(w2)[:2].ravel(), b2, w3.ravel(), b3
    ])  # fmt: skip
    silent = np.asarray(w2).copy()
    silent[2:] = 0
    whole = np.concatenate([
        np.asarray(w1).ravel(), b1, silent.ravel(), b2, np.asarray(w3).ravel(), b3
    ])  # fmt: skip
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 2)))
    assert np.allclose(smaller.apply(jnp.asarray(kept), x), network.apply(jnp.asarray(whole), x))


def test_levels_need_constants_within_reach():
    assert has_levels(make_network(1, 3, 1))
    assert has_levels(make_network(1, 3, 1, biases=False))
    assert not has_levels(make_network(1, 3, 1, biases=False, activation="hard_tanh"))
    assert has_levels(make_network(1, 3, 1, activation="hard_tanh"))
    assert not has_levels(make_network(2, 1))
    assert "relu" in ACTIVATIONS
    assert "toy" not in STRATEGIES


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_declares_what_the_frame_needs(name):
    strategy = STRATEGIES[name]
    assert strategy.name == name
    assert strategy.version >= 1
    assert name.isidentifier()  # it names files
    assert strategy.bounds_below in (True, False)
    foreign = Certificate(name, {"x": np.zeros(3)})
    problem, network = make_problem("x**2"), make_network(1, 3, 1)
    if not strategy.unsupported_reason(problem, network):
        try:
            shown = solve.verified(HypothesisClass("x**2", problem, network), strategy, foreign)
        except CertificateError:
            return
        # Arrays that nobody has left may show what is true without them, and no network.
        assert shown.theta is None
        assert all(bound.value <= Parabola().lower(3) for bound in shown.lowers)
