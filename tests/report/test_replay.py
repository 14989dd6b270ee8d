"""The table of a replayed run."""

import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from jaxsim.launch.replay import Replay
from jaxsim.report.replay import print_replay
from jaxsim.training.records import Records
from tests.studies import study


@pytest.mark.parametrize("recorded", [True, False])
def test_error_rates_are_shown_where_they_are_recorded(recorded, tmp_path):
    rate = np.array([[[0.5, 0.0], [0.1, 0.01]]])
    one = np.zeros(1, int)
    records = Records(
        replicate=one + 3,
        status=one,
        diverged_step=one - 1,
        risk=np.array([[0.7, 0.2]]),
        error=np.zeros((1, 2)),
        inactive=np.zeros((1, 2, 1), int),
        gradient_norm=one + 0.5,
        dead_layer=one,
        dead_neurons=one,
        constant=np.zeros((1, 2), int),
        error_rate=rate if recorded else rate[:, :0],
    )
    (experiment,) = study().experiments
    print_replay(
        Replay(experiment, 3, (0, 60), records, None, tmp_path), Console(file=io.StringIO())
    )
    (path,) = (tmp_path / "replays").iterdir()
    table = pd.read_csv(path)
    assert table.risk.tolist() == [0.7, 0.2]
    assert ("error_rate" in table) is recorded
    if recorded:
        assert table.error_rate.tolist() == [0.5, 0.1]
        assert table.error_rate_error.tolist() == [0.0, 0.01]
