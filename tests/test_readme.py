"""What the README says is so."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jaxsim import cli
from jaxsim.network.activations import ACTIVATIONS
from jaxsim.network.initializers import INITIALIZERS
from jaxsim.optimizer.methods import METHODS
from jaxsim.problem.datasets import BUNDLED
from jaxsim.problem.input_laws import INPUT_LAWS
from jaxsim.problem.losses import LOSSES
from jaxsim.problem.noise import NOISES
from jaxsim.study.study import Study

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_study_file_is_accepted():
    (block,) = re.findall(r"```toml\n(.*?)```", README, re.S)
    study = Study.from_dict(tomllib.loads(block))
    assert len(study.experiments) == 4
    assert study.experiments[0].problem.outputs == 1


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        ("problem.input", INPUT_LAWS),
        ("problem.data", BUNDLED),
        ("problem.noise", NOISES),
        ("problem.loss", LOSSES),
        ("network.activation", ACTIVATIONS),
        ("network.weights", INITIALIZERS),
        ("optimizer.name", METHODS),
    ],
)
def test_the_table_of_names_is_complete(key, registry):
    (row,) = (line for line in README.splitlines() if line.startswith(f"| `{key}"))
    told = set(re.findall(r"`(\w+)\*?`", row))
    families = [stem for stem in re.findall(r"`(\w+_)\*`", row)]
    for name in registry:
        assert name in told or any(name.startswith(stem) for stem in families), name


def test_every_path_and_picture_exists():
    for path in re.findall(r"`(jaxsim/[\w/.]+)`", README) + re.findall(
        r"!\[.*?\]\((.*?)\)", README
    ):
        assert (ROOT / path).exists(), path


def test_every_command_and_option_exists():
    script = (ROOT / "scripts" / "run").read_text()
    for command in (c.name or c.callback.__name__ for c in cli.app.registered_commands):
        shown = CliRunner().invoke(cli.app, [command, "--help"], env={"COLUMNS": "200"}).stdout
        assert re.search(rf"[ |]{command} [|]", script), command
        (row,) = (r for r in README.splitlines() if re.match(rf"[|] .*`jaxsim {command}\b", r))
        for option in re.findall(r"--[a-z-]+", row.split("|")[1]):
            assert option in shown, option


@pytest.mark.slow
def test_the_quickstart_prints_what_the_readme_shows(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "jaxsim", "run", "quickstart", "-o", "out"],
        capture_output=True,
        text=True,
        check=True,
    )
    shown = [line.rstrip() for line in done.stdout.splitlines()]
    table, said = re.findall(r"```text\n(.*?)```", README, re.S)[:2]
    for line in table.strip().splitlines():
        assert line == "..." or line.rstrip() in shown
    assert " ".join(said.split()) in " ".join(" ".join(shown).split())
