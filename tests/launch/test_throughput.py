"""Time left: what compiles before the first shards is no part of the rate."""

import pytest

from jaxsim.launch.throughput import Throughput, work_of
from tests.studies import study

COMPILE, SHARD, RUNS = 20.0, 2.0, 100.0


def appearances(workers, shards, stagger):
    """Return when shards appear of workers that compile, then take two seconds for each."""
    times = [
        COMPILE + stagger * w / workers * SHARD + SHARD * (k + 1)
        for w in range(workers)
        for k in range(shards)
    ]
    return sorted(times)


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("stagger", [0.0, 1.0], ids=["together", "one_after_another"])
def test_the_time_left_is_right_from_when_it_is_told(workers, stagger):
    throughput, true_rate = Throughput(workers), workers * RUNS / SHARD
    for number, seconds in enumerate(appearances(workers, 12, stagger)):
        throughput.add(RUNS, seconds)
        rate = throughput.rate()
        if number < workers:
            assert rate is None
        elif number >= 2 * workers - 1:
            assert rate == pytest.approx(true_rate, rel=0.01)


def test_long_experiments_are_more_work_than_short_ones():
    (short,), (long,) = study().experiments, study(steps=6000).experiments
    assert work_of(long) > 30 * work_of(short) > 0
