"""Polished runs in a directory of results: final and polished parameters of a sample.

    DIR/polished/<experiment>.npz

The sample is the replicates 0, 1, ..., so that it is one of independent runs whatever was found.
Final parameters are stored as soon as a block is trained again, polished ones as soon as they are
there: what is interrupted goes on. Arrays only, no pickles, and behind them their SHA-256; a file
that cannot be trusted is as good as none, and made anew.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxsim.results.files import open_regular, sealed, unsealed, write_atomically
from jaxsim.training.experiment import Experiment
from jaxsim.training.polish import Basin, Polished

FOLDER = "polished"
VERSION = 1
"""Of the method: what another one polished is not used."""
LARGEST = 2**30
"""Bytes of a file: more is read of none."""
_UNREADABLE = (
    OSError, ValueError, KeyError, EOFError, RuntimeError, MemoryError, TypeError, AttributeError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


class Sample(NamedTuple):
    """Replicates 0, ..., R - 1 of an experiment, the first M of them polished, M <= R.

    Attributes:
        theta: parameters after the last step, float64 [R, P].
        polished: the runs after polishing, [M].
    """

    theta: np.ndarray
    polished: Polished


def no_sample(experiment: Experiment) -> Sample:
    """Return the sample of no runs."""
    none = np.zeros((0, experiment.network.size))
    few, whole = np.zeros(0), np.zeros(0, np.int32)
    return Sample(none, Polished(none, few, few, few, whole.astype(np.int8), whole))


class PolishedFiles:
    """Polished runs as files of a directory.

    Args:
        directory: of results.
    """

    def __init__(self, directory: str | Path) -> None:
        self.folder = Path(directory) / FOLDER

    def path(self, experiment: Experiment) -> Path:
        """Return where an experiment's sample stands or will stand."""
        return self.folder / f"{experiment.id}.npz"

    def load(self, experiment: Experiment) -> Sample:
        """Return the sample of an experiment, that of no runs where there is none to be trusted."""
        try:
            with open_regular(self.path(experiment)) as file:
                content = file.read(LARGEST + 1)
            if len(content) > LARGEST:
                return no_sample(experiment)
            with np.load(io.BytesIO(unsealed(content)), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            if int(arrays.pop("version")) != VERSION or str(arrays.pop("experiment")) != (
                experiment.id
            ):
                return no_sample(experiment)
            theta = arrays.pop("final")
            sample = Sample(theta, Polished(**arrays))
        except _UNREADABLE:
            return no_sample(experiment)
        return sample if _is_sound(sample, experiment.network.size) else no_sample(experiment)

    def save(self, experiment: Experiment, sample: Sample) -> None:
        """Write the sample of an experiment: all of it appears, or nothing.

        Raises:
            InputError: if it cannot be written.
        """
        buffer = io.BytesIO()
        np.savez(
            buffer,
            allow_pickle=False,
            version=np.array(VERSION),
            experiment=np.array(experiment.id),
            final=sample.theta,
            **sample.polished._asdict(),
        )
        write_atomically(self.path(experiment), sealed(buffer.getvalue()))


def _is_sound(sample: Sample, parameters: int) -> bool:
    """Return whether arrays have the types and shapes that are written."""
    done = sample.polished
    runs = len(done.theta)
    flat = {"risk": "f", "error": "f", "gradient": "f", "basin": "i", "active": "i"}
    return (
        sample.theta.dtype == done.theta.dtype == np.float64
        and sample.theta.ndim == done.theta.ndim == 2
        and sample.theta.shape[1] == done.theta.shape[1] == parameters
        and runs <= len(sample.theta)
        and all(
            getattr(done, name).shape == (runs,) and getattr(done, name).dtype.kind == kind
            for name, kind in flat.items()
        )
        and bool(np.isin(done.basin, list(Basin)).all())
    )
