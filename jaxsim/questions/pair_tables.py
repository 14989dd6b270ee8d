"""Outcomes of pairs of runs: how often experiment i had outcome p where j had q.

Runs are matched by the index of their replicate, a chunk of replicates at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from jaxsim.design.stratum import Stratum
from jaxsim.estimation import Outcome, PairedCounts
from jaxsim.questions.quantities import Quantity
from jaxsim.results.results import Results
from jaxsim.results.store import Shard
from jaxsim.training.experiment import Experiment
from jaxsim.training.records import Records

CHUNK = 1 << 15
"""Replicates of which all outcomes are held at once."""


def outcome_tables(
    results: Results,
    group: Sequence[Experiment],
    decide: Mapping[str, Sequence[Quantity]],
    stratum: int = 0,
) -> np.ndarray:
    """Return, per event, how often experiment i had outcome p where j had q: [G, 3, 3, E, E].

    Args:
        results: of the study.
        group: experiments that share random numbers.
        decide: what decides the events, by the experiments' ids.
        stratum: whose runs are counted.
    """
    readers = [Reader(results, results.design(e).strata[stratum]) for e in group]
    return tables_of(readers, [decide[e.id] for e in group])


def tables_of(readers: Sequence[Reader], decide: Sequence[Sequence[Quantity]]) -> np.ndarray:
    """Return the same tables of the runs of some readers, with what decides their events."""
    events, count = sum(len(q.events) for q in decide[0]), len(readers)
    tables = np.zeros((events, 3, 3, count, count), np.int64)
    # Replicates of a pilot are far from the others: only chunks that hold some are looked at.
    chunks = {
        chunk
        for reader in readers
        for shard in reader.shards
        for chunk in range(shard.first // CHUNK, -(-shard.stop // CHUNK))
    }
    stop = max((shard.stop for reader in readers for shard in reader.shards), default=0)
    for begin in sorted(chunk * CHUNK for chunk in chunks):
        width = min(CHUNK, stop - begin)
        known = np.full((events, count, width), -1, np.int8)
        for place, (reader, deciding) in enumerate(zip(readers, decide, strict=True)):
            for index, records in reader.within(begin, begin + width):
                known[:, place, index] = np.concatenate(
                    [quantity.last(records) for quantity in deciding]
                )
        for g in range(events):
            # Products of 0s and 1s are counts, exact in float64.
            masks = [(known[g] == outcome).astype(np.float64) for outcome in Outcome]
            for p in Outcome:
                for q in Outcome:
                    tables[g, p, q] += (masks[p] @ masks[q].T).astype(np.int64)
    return tables


def counts_of_pair(table: np.ndarray, i: int, j: int) -> PairedCounts:
    """Return the outcomes of a pair from the table [3, 3, E, E] of its eps."""
    cell = table[:, :, i, j]
    passes, fails, unknown = Outcome.PASS, Outcome.FAIL, Outcome.UNDECIDED
    decided = int(cell[np.ix_([passes, fails], [passes, fails])].sum())
    maybe_first = cell[np.ix_([fails, unknown], [passes, unknown])].sum() - cell[fails, passes]
    maybe_second = cell[np.ix_([passes, unknown], [fails, unknown])].sum() - cell[passes, fails]
    return PairedCounts(
        both=int(cell[fails, fails]),
        only_first=int(cell[fails, passes]),
        only_second=int(cell[passes, fails]),
        neither=int(cell[passes, passes]),
        undecided=int(cell.sum()) - decided,
        maybe_only_first=int(maybe_first),
        maybe_only_second=int(maybe_second),
    )


class Reader:
    """The finished shards of a stratum by replicate; the last one read is kept."""

    def __init__(self, results: Results, stratum: Stratum) -> None:
        """Read the runs of a stratum."""
        self.store = results.store
        self.shards = results.of_stratum(stratum)
        self.last: tuple[Shard, Records] | None = None

    def within(self, begin: int, end: int) -> Iterator[tuple[np.ndarray, Records]]:
        """Yield (place of each replicate after `begin`, records) of the replicates in a range."""
        for shard in self.shards:
            if shard.stop <= begin or shard.first >= end:
                continue
            if self.last is None or self.last[0] != shard:
                self.last = shard, self.store.read(shard)
            records = self.last[1]
            inside = (records.replicate >= begin) & (records.replicate < end)
            chosen = Records(*(column[inside] for column in records))
            yield chosen.replicate - begin, chosen
