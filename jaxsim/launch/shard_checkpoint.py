"""A shard on its way: what a worker leaves when it is stopped, and the next one takes up.

    DIR/partial/<experiment>-<first>-<stop>.npz

Arrays only, no pickles: the records of finished blocks, the engine's state in the middle of the
next one, a text that says whose they are, and behind it all its SHA-256. A file that is torn or not
what was written, or was left by another version, another kind of device or another program, is not
used: the shard is begun anew, to the same bits.
"""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim.engines.block import Snapshot, start
from jaxsim.engines.engine import Engine
from jaxsim.engines.native.library import compiler_version
from jaxsim.engines.registry import ExecutionConfig
from jaxsim.errors import InputError
from jaxsim.results.files import open_regular, sealed, unsealed, write_atomically
from jaxsim.results.provenance import versions
from jaxsim.results.store import Shard, Store
from jaxsim.runtime import Device
from jaxsim.training.evaluate import Observation
from jaxsim.training.experiment import Experiment
from jaxsim.training.records import Records

FOLDER = "partial"
# Of a file with the right checksum, which only a stranger would have made unreadable.
_UNREADABLE = (
    OSError, ValueError, KeyError, EOFError, RuntimeError, MemoryError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@dataclass(frozen=True)
class Partial:
    """The beginning of a shard.

    Attributes:
        blocks: records of the finished blocks.
        snapshot: where the next block was left, None if it was not begun.
    """

    blocks: list[Records]
    snapshot: Snapshot | None


class ShardCheckpoint:
    """Keeps and finds the beginning of one shard.

    Args:
        store: of the study.
        shard: which one.
        engine: that computes it.
        experiment: what it is of.
        config: of the engine.
        device: that computes it.
    """

    def __init__(
        self,
        store: Store,
        shard: Shard,
        engine: Engine,
        experiment: Experiment,
        config: ExecutionConfig,
        device: Device,
    ) -> None:
        self.engine, self.experiment, self.config = engine, experiment, config
        self.path = store.directory / FOLDER / shard_name(shard)
        self.first = shard.first
        facts = [
            str(config),
            str(shard),
            experiment.training_key,
            device.device_kind,
            compiler_version(),
        ]
        self.whose = json.dumps([*facts, *sorted(versions().items())])

    def save(self, partial: Partial) -> None:
        """Write it; what cannot be written costs time, not results."""
        arrays: dict[str, np.ndarray] = {"whose": np.array(self.whose)}
        for number, block in enumerate(partial.blocks):
            arrays |= {f"block{number}.{n}": a for n, a in zip(block._fields, block, strict=True)}
        snapshot = partial.snapshot
        if snapshot is not None:
            arrays["step"] = np.array(snapshot.step)
            for number, leaf in enumerate(_plain(snapshot.state)):
                arrays[f"state{number}"] = leaf
            for number, seen in enumerate(jax.device_get(snapshot.observed)):
                arrays |= {f"seen{number}.{n}": a for n, a in zip(seen._fields, seen, strict=True)}
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        with contextlib.suppress(InputError):
            write_atomically(self.path, sealed(buffer.getvalue()))

    def load(self) -> Partial:
        """Return what there is, or an empty beginning."""
        try:
            with open_regular(self.path) as kept:
                content = io.BytesIO(unsealed(kept.read()))
            with np.load(content, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            return self._read(arrays)
        except _UNREADABLE:
            return Partial([], None)

    def delete(self) -> None:
        """Remove it: the shard is there."""
        with contextlib.suppress(OSError):
            self.path.unlink()

    def _read(self, arrays: dict[str, np.ndarray]) -> Partial:
        if str(arrays["whose"]) != self.whose:
            raise ValueError("it is of another program")
        blocks = []
        while f"block{len(blocks)}.risk" in arrays:
            blocks.append(Records(*(arrays[f"block{len(blocks)}.{n}"] for n in Records._fields)))
        if "step" not in arrays:
            return Partial(blocks, None)
        width = self.config.width
        fresh = start(self.engine, self.experiment, self.first + len(blocks) * width, width)
        leaves, structure = jax.tree.flatten(fresh)
        restored = [_like(arrays[f"state{n}"], leaf) for n, leaf in enumerate(leaves)]
        seen = []
        while f"seen{len(seen)}.risk" in arrays:
            fields = (arrays[f"seen{len(seen)}.{n}"] for n in Observation._fields)
            seen.append(Observation(*(jnp.asarray(field) for field in fields)))
        state = jax.tree.unflatten(structure, restored)
        return Partial(blocks, Snapshot(int(arrays["step"]), state, tuple(seen)))


def shard_name(shard: Shard) -> str:
    """Return the name of the file that holds the beginning of a shard."""
    return f"{shard.experiment}-{shard.first:010d}-{shard.stop:010d}.npz"


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(state: Any) -> list[np.ndarray]:
    """Return the leaves of a state as numbers; random keys as theirs."""
    leaves = jax.tree.leaves(state)
    return [np.asarray(jax.random.key_data(a) if _is_key(a) else a) for a in leaves]


def _like(array: np.ndarray, leaf: Any) -> jax.Array:
    """Return a stored leaf of the state.

    Raises:
        ValueError: if it is not of the right form.
    """
    if _is_key(leaf):
        key_data = jax.random.key_data(leaf)
        restored_key = _like(array, key_data)
        return jax.random.wrap_key_data(restored_key, impl=jax.random.key_impl(leaf))
    if array.shape != leaf.shape or array.dtype != leaf.dtype:
        raise ValueError("its state has another form")
    return jnp.asarray(array)
