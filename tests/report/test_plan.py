"""What a plan says while it measures, and where."""

import io

from rich.console import Console

from jaxsim.launch import measure
from jaxsim.report.plan import print_plan
from tests.studies import study

THREE = {"network.hidden": [[2], [3], [4]], "optimizer.learning_rate": [0.1, 0.2]}


def test_every_measurement_is_announced_once_and_beside_the_table(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXSIM_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(
        measure, "time_training", lambda experiment, config: measure.Measurement(config, 1e-5)
    )
    monkeypatch.setattr(measure, "_observation", lambda experiment, config: 1e-4)
    asked = study(execution={"width": "auto", "shard": "auto"}, grid=THREE)
    said, stream = [], io.StringIO()
    print_plan(asked, None, Console(file=stream, width=200), said.append)
    engines = [text for text in said if text.startswith("measuring engines and widths")]
    speeds = [text for text in said if text.startswith("measuring speeds")]
    assert [text.split(": ")[0][-8:] for text in engines] == ["(1 of 3)", "(2 of 3)", "(3 of 3)"]
    assert [text.split(": ")[0][-8:] for text in speeds] == ["(1 of 3)", "(2 of 3)", "(3 of 3)"]
    assert len(said) == 6
    assert "measuring" not in stream.getvalue()
    said.clear()
    print_plan(asked, None, Console(file=stream, width=200), said.append)
    assert said == []
