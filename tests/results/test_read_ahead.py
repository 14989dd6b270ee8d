"""Shards read ahead are those read one by one: order, errors, and how many are in memory."""

from __future__ import annotations

import threading

import pytest

from jaxsim.results.read_ahead import MOST_RISKS, READERS, read_ahead
from jaxsim.results.store import Shard


def shards(count: int, rows: int = 1) -> list[Shard]:
    return [Shard("00ff", k * rows, (k + 1) * rows, 1, 1) for k in range(count)]


@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_shards_come_in_their_order(count):
    assert list(read_ahead(lambda s: s.first, shards(count))) == list(range(count))


def test_an_error_is_raised_at_the_shard_that_has_it_and_nothing_is_read_after_it():
    read = []

    def reader(shard: Shard) -> int:
        read.append(shard.first)
        if shard.first == 2:
            raise ValueError("damaged")
        return shard.first

    taken = read_ahead(reader, shards(99))
    assert [next(taken), next(taken)] == [0, 1]
    with pytest.raises(ValueError, match="damaged"):
        next(taken)
    assert len(read) <= 2 + 2 * READERS
    assert not [t for t in threading.enumerate() if t.name.startswith("jaxsim-read")]


def test_few_shards_are_read_before_their_turn():
    read: list[int] = []
    for first in read_ahead(lambda s: read.append(s.first) or s.first, shards(50)):
        assert len(read) <= first + 1 + READERS


def test_large_shards_are_read_one_by_one():
    read: list[int] = []
    for first in read_ahead(lambda s: read.append(s.first), shards(3, MOST_RISKS + 1)):
        del first
        assert read[-1] == (len(read) - 1) * (MOST_RISKS + 1)
    assert len(read) == 3
