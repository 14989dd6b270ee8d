"""The runs of a shard, with what several questions derive from their records."""

from __future__ import annotations

from functools import cached_property

from jaxsim.estimation.known_values import KnownValues
from jaxsim.training.records import Records


class Runs(Records):
    """Records of a shard; what is derived from them is computed once."""

    @cached_property
    def risks(self) -> KnownValues:
        """The true risks at the checkpoints with the bounds on their errors."""
        return KnownValues(self.risk, self.error)


def risks_of(records: Records) -> KnownValues:
    """Return the true risks of records, those of `Runs` with what is known of them already."""
    return records.risks if isinstance(records, Runs) else KnownValues(records.risk, records.error)
