"""Files of killed writers: removed when nobody can want them, and only then."""

import os
import time

import pytest

from jaxsim.launch.cleanup import remove_stale
from jaxsim.launch.directory import bind
from jaxsim.launch.shard_checkpoint import shard_name
from jaxsim.launch.simulate import simulate
from jaxsim.results.files import write_atomically
from tests.studies import all_bits, slow_but, study


def old(path, days):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half of it")
    then = time.time() - days * 86_400
    os.utime(path, (then, then))
    return path


def killed_while_writing(path, monkeypatch):
    """Return what a writer of a path leaves that is killed before it renames."""

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        patch.setattr(type(path), "unlink", killed)  # a killed process does not tidy up
        try:
            write_atomically(path, b"half of it")
        except KeyboardInterrupt:
            pass
    (left,) = (p for p in path.parent.iterdir() if p.name.startswith(f".{path.name}."))
    return left


def test_only_what_nobody_will_use_is_removed(tmp_path, monkeypatch):
    directory = bind(study(), tmp_path / "out")
    (_, done), (_, missing), *_ = directory.planned()
    old(directory.store.path(done), 3)
    used = old(tmp_path / "out" / "partial" / shard_name(missing), 3)
    useless = old(tmp_path / "out" / "partial" / shard_name(done), 0)
    abandoned = [
        killed_while_writing(folder / "a", monkeypatch)
        for folder in (directory.store.path(done).parent, used.parent, tmp_path / "out")
    ]
    for path in abandoned:
        old(path, 2)
    fresh = killed_while_writing(tmp_path / "out" / "tasks" / "b", monkeypatch)
    # Where launches copy the package to, folders come and go: that is their business.
    old(tmp_path / "out" / "launch" / "code" / "0f" / ".x.tmp", 2)
    before = {p for p in (tmp_path / "out").rglob("*") if p.is_file()}
    remove_stale(directory)
    after = {p for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert before - after == {useless, *abandoned}
    assert {used, fresh, directory.store.path(done)} <= after


@pytest.mark.parametrize("workers", slow_but([1], [1, 2]))
def test_runs_and_workers_remove_what_is_stale(tmp_path, workers):
    quiet = all_bits(simulate(study(), tmp_path / "quiet", devices=1).store.directory)
    out = tmp_path / "out"
    bind(study(), out)
    left = old(out / "partial" / ".x.tmp", 2)
    simulate(study(), out, workers=workers, devices=1)
    assert not left.exists()
    assert all_bits(out) == quiet


def test_a_directory_that_cannot_be_written_is_left_alone(tmp_path, monkeypatch):
    directory = bind(study(), tmp_path / "out")
    left = old(tmp_path / "out" / "partial" / ".x.tmp", 2)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    for name in ("touch", "unlink"):
        monkeypatch.setattr("pathlib.Path." + name, refuse)
    remove_stale(directory)
    assert left.exists()
