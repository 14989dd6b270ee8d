"""Figures are left as they are only where nothing that they depend on has changed."""

import matplotlib as mpl
import pytest

from jaxsim import package
from jaxsim.report import kept_figures
from jaxsim.report.kept_figures import KeptFigures


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """Give a test a cache, a home and a package of its own."""
    monkeypatch.setenv("JAXSIM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "settings"))
    monkeypatch.setattr(package, "PACKAGE", tmp_path / "package")
    for folder in ("settings", "package", "plots"):
        (tmp_path / folder).mkdir()
    (tmp_path / "package" / "style.py").write_text("COLOURS = 1\n")
    for name in ("a.svg", "a.png"):
        (tmp_path / "plots" / name).write_text(name)
    kept_figures.drawing_digest.cache_clear()
    yield tmp_path
    kept_figures.drawing_digest.cache_clear()


def found(place, content="answer"):
    kept_figures.drawing_digest.cache_clear()
    return KeptFigures(place / "plots", content).find()


@pytest.fixture
def drawn(places):
    """Return a place whose figures were drawn and remembered."""
    assert found(places) is None
    KeptFigures(places / "plots", "answer").remember({"a.svg", "a.png"})
    assert found(places) == {"a.svg", "a.png"}
    return places


def test_another_answer_is_drawn(drawn):
    assert found(drawn, "answer ") is None


def test_a_changed_or_missing_file_is_drawn(drawn):
    (drawn / "plots" / "a.png").write_text("a.pnG")
    assert found(drawn) is None
    (drawn / "plots" / "a.png").unlink()
    assert found(drawn) is None
    (drawn / "plots" / "a.png").write_text("a.png")
    assert found(drawn) is not None


@pytest.mark.parametrize("file", ["package/style.py", "package/other.py", "settings/matplotlibrc"])
def test_other_code_or_settings_draw(drawn, file):
    (drawn / file).write_text("font.size: 12\n")
    assert found(drawn) is None


def test_another_library_draws(drawn, monkeypatch):
    monkeypatch.setattr(kept_figures.importlib.metadata, "version", lambda name: "0.0")
    assert found(drawn) is None


def test_settings_changed_in_the_process_draw_and_are_not_remembered(drawn):
    with mpl.rc_context({"font.size": 12.0}):
        assert found(drawn) is None
        KeptFigures(drawn / "plots", "larger").remember({"a.svg"})
    assert found(drawn, "larger") is None
    assert found(drawn) is not None


@pytest.mark.parametrize("text", ["", "[]", '{"a.svg": 1', '{"a.svg": 1}', "{}{}"])
def test_a_damaged_record_draws(drawn, text):
    record = KeptFigures(drawn / "plots", "answer").record
    record.write_text(text)
    assert found(drawn) is None


def test_a_cache_that_cannot_be_written_costs_only_time(places, monkeypatch):
    (places / "file").write_text("")
    monkeypatch.setenv("JAXSIM_CACHE_DIR", str(places / "file" / "cache"))
    KeptFigures(places / "plots", "answer").remember({"a.svg"})
    assert found(places) is None


def test_old_records_are_forgotten(drawn, monkeypatch):
    monkeypatch.setattr(kept_figures, "_MOST", 3)
    for number in range(5):
        KeptFigures(drawn / "plots", f"answer {number}").remember({"a.svg"})
    assert len(list((drawn / "cache" / "figures").iterdir())) <= 4
    assert found(drawn, "answer 4") == {"a.svg"}
