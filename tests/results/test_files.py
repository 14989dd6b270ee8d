"""Writing: whole files or none, one winner of several, and nothing through a stranger's links."""

import errno
import os
import threading

import pytest

from jaxsim.errors import InputError
from jaxsim.results import files
from jaxsim.results.files import create_atomically, write_atomically


def at_once(count, action):
    """Return what `action(i)` returns or raises in `count` threads that begin together."""
    barrier, found = threading.Barrier(count), [None] * count

    def run(i):
        barrier.wait()
        try:
            found[i] = action(i)
        except Exception as error:
            found[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("links", [True, False], ids=["links", "no_links"])
def test_one_of_several_creates_a_file_and_it_is_whole(tmp_path, monkeypatch, links):
    def refuse(*_):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    if not links:  # as on FAT
        monkeypatch.setattr(os, "link", refuse)
    for number in range(40):
        path = tmp_path / f"{number}" / "study.json"
        contents = [bytes([65 + i]) * 50_000 for i in range(4)]
        won = at_once(4, lambda i, p=path, c=contents: create_atomically(p, c[i]))
        assert sorted(won) == [False, False, False, True]
        assert path.read_bytes() == contents[won.index(True)]
        assert os.listdir(path.parent) == [path.name]


def test_a_link_whose_answer_was_lost_is_ones_own(tmp_path, monkeypatch):
    real = os.link

    def twice(source, target):  # as a client of NFS that repeats its request
        real(source, target)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    monkeypatch.setattr(os, "link", twice)
    assert create_atomically(tmp_path / "a", b"1")
    monkeypatch.setattr(os, "link", real)
    assert not create_atomically(tmp_path / "a", b"2")
    assert (tmp_path / "a").read_bytes() == b"1"


def test_a_failed_creation_leaves_nothing(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(InputError, match="has no room left"):
        create_atomically(tmp_path / "a", b"1")
    assert os.listdir(tmp_path) == []


MANIFEST = '{"schema": "1", "experiments": []}'


@pytest.mark.parametrize("inside", ["plots", "shards/00ff"])
def test_nothing_is_written_through_a_link_inside_results(tmp_path, inside):
    away, results = tmp_path / "away", tmp_path / "results"
    away.mkdir()
    (results / inside).parent.mkdir(parents=True)
    (results / "study.json").write_text(MANIFEST)
    (results / inside).symlink_to(away)
    for below in ("a.svg", "more/a.svg"):
        with pytest.raises(InputError, match="is a symbolic link inside a directory of results"):
            write_atomically(results / inside / below, b"")
    assert os.listdir(away) == []


def test_a_link_to_results_or_above_them_is_the_users(tmp_path):
    (tmp_path / "study.json").write_text('{"of": "another program"}')
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "disk")
    write_atomically(tmp_path / "runs" / "one" / "study.json", MANIFEST.encode())
    write_atomically(tmp_path / "runs" / "one" / "plots" / "a.svg", b"a")
    (tmp_path / "name").symlink_to(tmp_path / "disk" / "one")
    write_atomically(tmp_path / "name" / "plots" / "b.svg", b"b")
    assert sorted(os.listdir(tmp_path / "disk" / "one" / "plots")) == ["a.svg", "b.svg"]


def test_a_link_in_place_of_a_file_is_replaced(tmp_path):
    (tmp_path / "away").write_text("mine")
    (tmp_path / "a").symlink_to(tmp_path / "away")
    write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "away").read_text() == "mine"
    assert not (tmp_path / "a").is_symlink()
