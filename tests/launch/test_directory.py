"""A directory belongs to one study and one layout from its first byte."""

import json
import os

import jax
import pyarrow.parquet as pq
import pytest

from jaxsim import InputError
from jaxsim.launch import directory as binding
from jaxsim.launch.directory import Directory, bind, reopen
from jaxsim.launch.simulate import Progress, open_results, remove_damaged, simulate
from jaxsim.launch.status import status
from jaxsim.launch.worker import work
from jaxsim.results.store import DamagedShard
from tests.results.test_files import at_once
from tests.studies import all_bits, study


def bound_at_once(path, studies):
    return at_once(len(studies), lambda i: bind(studies[i], path))


def test_of_two_studies_that_bind_one_directory_one_is_refused(tmp_path):
    studies = [study(), study(steps=70)]
    for number in range(30):
        path = tmp_path / str(number)
        found = bound_at_once(path, studies)
        (refused,) = [f for f in found if isinstance(f, InputError)]
        assert "holds another study: steps: " in str(refused)
        (kept,) = [f for f in found if isinstance(f, Directory)]
        assert reopen(path).study.spec == kept.study.spec


def test_two_that_bind_one_directory_at_once_have_one_layout(tmp_path, monkeypatch):
    # As two machines whose measurements differ.
    asked = study()
    other = study(execution={"width": 8, "shard": 40})
    layouts = [binding.choose_layouts(asked), binding.choose_layouts(other)]
    for number in range(30):
        answers = iter(layouts)
        monkeypatch.setattr(binding, "choose_layouts", lambda *_, a=answers: next(a))
        path = tmp_path / str(number)
        auto = study(execution={"width": "auto", "shard": "auto"})
        found = bound_at_once(path, [auto, auto])
        assert found[0].layouts == found[1].layouts == reopen(path).layouts


def test_a_directory_that_is_bound_while_one_looks_is_no_strangers(tmp_path, monkeypatch):
    first, real = study(), binding.Store.manifest

    def late(store):
        found = real(store)
        if found is None:  # at this moment another process settles it and writes a shard
            monkeypatch.setattr(binding.Store, "manifest", real)
            other = bind(first, tmp_path / "out")
            work(other, other.missing()[:1], jax.local_devices()[:1])
        return found

    monkeypatch.setattr(binding.Store, "manifest", late)
    assert len(bind(study(), tmp_path / "out").missing()) == 2


def test_a_link_among_our_folders_of_a_new_directory_is_refused(tmp_path):
    (tmp_path / "away").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "launch").symlink_to(tmp_path / "away")
    with pytest.raises(InputError, match=r"holds other files \('launch'\)"):
        bind(study(), tmp_path / "out")


def relabel(path, **facts):
    """Change what a shard says of how it was computed; None for what it is not to say."""
    table = pq.read_table(path)
    changed = table.schema.metadata | {k.encode(): v for k, v in facts.items()}
    kept = {k: v for k, v in changed.items() if v is not None}
    pq.write_table(table.replace_schema_metadata(kept), path)


@pytest.mark.parametrize(
    ("facts", "difference"),
    [
        ({"width": b"8"}, "its width is 8, the study's is 16"),
        (
            {"engine": b"lanes", "lanes": b"8"},
            "its engine is lanes, the study's is vmap; its lanes",
        ),
        ({"lanes": b"2"}, "its lanes is 2, the study's is 1"),
    ],
)
def test_a_shard_of_another_layout_is_found_and_made_anew(tmp_path, facts, difference):
    simulate(study(), tmp_path / "out")
    wanted = all_bits(tmp_path / "out")
    relabel(next((tmp_path / "out" / "shards").rglob("0*32-*.parquet")), **facts)
    opened = reopen(tmp_path / "out")
    results = open_results(opened)
    with pytest.raises(DamagedShard, match=rf"is damaged \({difference}.*--repair"):
        list(results.chunks(results.experiments[0]))
    assert status(tmp_path / "out").experiments[0].damaged == 1
    assert len(remove_damaged(opened)) == 1
    simulate(study(), tmp_path / "out")
    assert all_bits(tmp_path / "out") == wanted


def test_shards_that_do_not_say_how_they_were_computed_are_read(tmp_path):
    simulate(study(), tmp_path / "out")
    wanted = all_bits(tmp_path / "out")
    for path in (tmp_path / "out" / "shards").rglob("*.parquet"):
        relabel(path, width=None, lanes=None)
    assert all_bits(tmp_path / "out") == wanted


def test_a_manifest_that_does_not_know_a_later_key_has_its_default(tmp_path):
    bind(study(), tmp_path / "out")
    path = tmp_path / "out" / "study.json"
    manifest = json.loads(path.read_text())
    del manifest["study"]["problem"]["risk"]["points"], manifest["study"]["interval"]
    path.write_text(json.dumps(manifest))
    assert bind(study(), tmp_path / "out").layouts == reopen(tmp_path / "out").layouts
    with pytest.raises(InputError, match=r"problem\.risk\.points: 1024 there, 512 asked for"):
        bind(study(problem__risk={"points": 512}), tmp_path / "out")


def test_binding_again_changes_replicates_and_leaves_one_file(tmp_path):
    bind(study(), tmp_path / "out")
    bind(study(replicates=160), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "study.json").read_text())["study"]["replicates"] == 160
    assert os.listdir(tmp_path / "out") == ["study.json"]


def test_a_name_that_no_directory_can_have_gets_a_sentence(tmp_path):
    with pytest.raises(InputError, match="cannot be listed: File name too long"):
        simulate(study(), tmp_path / ("a" * 300))


def test_resuming_by_another_version_is_named(tmp_path, monkeypatch):
    one = study(replicates=16, execution={"width": 16, "shard": 16})
    directory = simulate(one, tmp_path / "out").store.directory
    assert bind(one, directory).mixed_versions() is None
    more = one.replaced(replicates=32)
    monkeypatch.setattr(binding, "jaxsim_version", lambda: "9.9")
    assert bind(one, directory).mixed_versions() is None  # nothing is to be computed
    said = []
    progress = Progress()
    monkeypatch.setattr(progress, "say", said.append)
    simulate(more, directory, progress=progress)
    (sentence,) = (text for text in said if "two versions" in text)
    assert "warning: 1 experiment was begun by jaxsim 0." in sentence
    assert "would be finished by 9.9" in sentence
