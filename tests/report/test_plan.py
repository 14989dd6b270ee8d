"""What a plan says while it measures, and where."""

import io
import re

import numpy as np
import pytest
from rich.console import Console

from jaxsim import Study, analyse
from jaxsim.launch import measure
from jaxsim.launch.budget import usual_pilot
from jaxsim.report.plan import print_plan, programs_of
from jaxsim.report.plan_designs import costs, strata_of
from tests.studies import made_up, study

THREE = {"network.hidden": [[2], [3], [4]], "optimizer.learning_rate": [0.1, 0.2]}


def test_every_measurement_is_announced_once_and_beside_the_table(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXSIM_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(
        measure, "time_training", lambda experiment, config: measure.Measurement(config, 1e-5)
    )
    monkeypatch.setattr(measure, "observation_seconds", lambda experiment, config: 1e-4)
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


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Blocks of 16 take 16 ms, whatever is measured."""
    monkeypatch.setenv("JAXSIM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(
        measure, "time_training", lambda experiment, config: measure.Measurement(config, 1e-4)
    )
    monkeypatch.setattr(measure, "observation_seconds", lambda experiment, config: 0.0)


def plan_of(asked, directory=None):
    """Return the lines of a plan."""
    stream = io.StringIO()
    print_plan(asked, 1, Console(file=stream, width=200), directory=directory)
    return stream.getvalue().splitlines()


WIDE = {"network.hidden": [20], "replicates": 4096}


def test_a_plan_says_what_each_design_takes(measured):
    lines = plan_of(study(**WIDE))
    head = next(line for line in lines if "if P is about" in line)
    assert head.split()[-3:] == ["plain", "strata", "splitting"]
    # (1.96 / 0.1)^2 (1 - p) / p trainings, 6.25 of them to a millisecond.
    rows = {p: re.split(r" {2,}", line.strip())[-3:] for line in lines
            for p in ("0.0001", "1e-06") if f" {p} " in line}  # fmt: skip
    assert rows["0.0001"][0].startswith("3,800,000, ")
    trainings = {
        p: [float(cell.split(", ")[0].replace(",", "")) for cell in row] for p, row in rows.items()
    }
    for plain, strata, splitting in trainings.values():
        assert plain > strata > splitting
    assert any("the study has no until" in line for line in lines)
    assert any(line.startswith("P is not known before there are runs") for line in lines)


def test_a_sweep_over_numbers_has_one_program_and_one_over_widths_has_one_each(measured):
    grid = {"optimizer.b2": [0.9, 0.99, 0.999]}
    sweep = "\n".join(plan_of(study(grid=grid)))
    assert "3 experiments, 240 runs, 1 program to compile on 1 x cpu" in sweep
    assert "and up to 4 s to compile if none is cached" in sweep
    wide = "\n".join(plan_of(study(grid=grid | {"network.hidden": [[3], [4]]})))
    assert "6 experiments, 480 runs, 2 programs to compile" in wide


def test_a_plan_assumes_nothing_below_what_is_proved(measured):
    # Three inactive neurons of ten are too many by proof: P(Bin(10, 1/4) >= 3) = 0.47.
    rows = plan_of(study(epsilon=[1e-5], **(WIDE | {"network.hidden": [10]})))
    assert not any(f" {p} " in line for line in rows for p in ("0.0001", "1e-06", "1e-10"))
    assert any(" 0.7 " in line for line in rows)


def test_a_plan_asks_for_the_precision_of_the_study(measured):
    assert "= 20 % of the probability (until)" in "\n".join(
        plan_of(study(until={"relative": 0.2}, **WIDE))
    )
    lines = plan_of(study(until={"half_width": 0.001}, **WIDE))
    assert any("= 0.001 (until)" in line for line in lines)
    # 1.96^2 p (1 - p) / 0.001^2
    row = next(line for line in lines if " 0.01 " in line)
    assert "38,000, " in row


def test_a_plan_says_why_a_design_is_not_accepted(measured):
    smooth = plan_of(study(network__activation="tanh", **WIDE))
    row = next(line for line in smooth if " 0.0001 " in line)
    assert re.split(r" {2,}", row.strip())[-2:] == ["-", "-"]
    assert sum(line.startswith('design = "strata" is not accepted: ') for line in smooth) == 1
    whole = plan_of(study(training__batch_size="population", **WIDE))
    row = next(line for line in whole if " 0.0001 " in line)
    assert re.split(r" {2,}", row.strip())[-1] == "-"
    assert any(line.startswith('design = "splitting" is not accepted: its gradients are not random')
               for line in whole)  # fmt: skip


def test_a_plan_uses_the_failures_that_runs_show(measured, tmp_path):
    asked, directory = (
        study(replicates=64, epsilon=[0.05, 0.5], **{"network.hidden": [10]}),
        tmp_path,
    )
    results = made_up(asked, directory)
    answer = analyse(results, asked.spec.asking)
    lines = plan_of(asked, directory)
    assert any(line.endswith(f"from the runs in {directory}") for line in lines)
    # No run fails at the second: nothing is known of it.
    (row,) = (line for line in lines if "(eps = " in line)
    said = float(re.findall(r"([\d.e-]+) \(eps = 0.05\)", row)[0])
    assert said == pytest.approx(
        answer.experiments[0].exceedance.estimates[0][-1].estimate, rel=0.05
    )
    other = study(replicates=64, seed=4, **{"network.hidden": [10]})
    assert not any("from the runs" in line for line in plan_of(other, directory))


def test_shares_of_strata_that_runs_show_take_the_place_of_the_model():
    asked = study(design="strata", **WIDE)
    (experiment,) = asked.experiments
    strata = strata_of(asked.spec, experiment)
    assert strata.design is not None
    weights = strata.design.weights
    shares = np.linspace(0.01, 0.9, len(weights))
    p = float(weights @ shares)
    found = costs(experiment, strata, p, 0.05, shares)
    cost = np.array([k.experiment.network.size for k in strata.design.strata])
    cost = cost / experiment.network.size
    # (sum_k pi_k sigma_k sqrt(c_k) / (0.05 p))^2, and a pilot in every stratum.
    parts = weights * np.sqrt(shares * (1 - shares))
    main = float((parts * np.sqrt(cost)).sum() / (0.05 * p)) ** 2
    trainings = (parts / np.sqrt(cost)).sum() * (parts * np.sqrt(cost)).sum() / (0.05 * p) ** 2
    pilot = usual_pilot(int(trainings), len(cost))
    assert found["strata"].work == pytest.approx(main + pilot * cost.sum())
    # Where plain sampling sees nothing a fifth probes.
    rare = costs(experiment, strata, 1e-6, 0.01, np.full(len(weights), 1e-6))["strata"]
    main = (weights / np.sqrt(cost)).sum() * (weights * np.sqrt(cost)).sum() / 1e-6 / 0.01**2
    assert rare.trainings == pytest.approx(main / 0.8 + len(weights) * 2**16, rel=1e-5)
    assert found["plain"].work == pytest.approx((1 - p) / p / 0.05**2)


def test_strata_with_narrower_networks_have_programs_of_their_own():
    rare = Study.load("rare")
    assert programs_of(rare) == 3, "20, 10 and 5 neurons"
    assert programs_of(rare.with_settings(["design=plain"])) == 1
