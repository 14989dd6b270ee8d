"""What the README and the topics of `jaxsim explain` say is so."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jaxsim import cli
from jaxsim.explain import TOPICS
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
EXPLAIN = ROOT / "jaxsim" / "explain"
STUDY = (EXPLAIN / "study.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted(EXPLAIN.glob("*.md"))]
COMMANDS = {c.name or c.callback.__name__ for c in cli.app.registered_commands}

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def test_the_front_part_is_short_and_links_all_topics():
    front = README[: README.index("## Commands")]
    assert front.count("\n") < 120
    assert README.count("\n") < 200
    assert front.count("![") == 1
    for topic in TOPICS:
        assert f"| [`{topic}`](jaxsim/explain/{topic}.md) |" in README, topic


def test_the_study_file_is_accepted():
    (block,) = re.findall(r"```toml\n(.*?)```", STUDY, re.S)
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
    (row,) = (line for line in STUDY.splitlines() if line.startswith(f"| `{key}"))
    told = set(re.findall(r"`(\w+)\*?`", row))
    families = [stem for stem in re.findall(r"`(\w+_)\*`", row)]
    for name in registry:
        assert name in told or any(name.startswith(stem) for stem in families), name


@every_page
def test_every_path_picture_and_link_exists(page):
    text = page.read_text(encoding="utf-8")
    paths = re.findall(r"`((?:jaxsim|scripts|tests|benchmarks|\.ci)/[\w/.-]+)`", text)
    for path in paths:
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\]\((?!https?:)(.*?)\)", text):
        assert (page.parent / path).exists(), path


def test_every_command_and_option_exists():
    script = (ROOT / "scripts" / "run").read_text()
    for command in COMMANDS:
        assert re.search(rf"[ |]{command} [|]", script), command
        (row,) = (r for r in README.splitlines() if re.match(rf"[|] .*`jaxsim {command}\b", r))
        _require_options(command, row.split("|")[1])


@every_page
def test_every_command_that_is_shown_exists(page):
    text = page.read_text(encoding="utf-8")
    said = re.findall(r"`jaxsim ([^`]*)`", text)
    for block in re.findall(r"```bash\n(.*?)```", text, re.S):
        said += [line.split("#")[0] for line in re.findall(r"^jaxsim (.*)$", block, re.M)]
    for line in said:
        command, _, rest = line.replace("\n", " ").partition(" ")
        assert command in COMMANDS, line
        _require_options(command, rest)
        if command == "explain" and rest and rest not in ("TOPIC", "[TOPIC]"):
            assert rest in TOPICS, line
    benchmarks = (ROOT / "benchmarks" / "__main__.py").read_text(encoding="utf-8")
    for name in re.findall(r"python -m benchmarks ([a-z]\w*)", text):
        assert f'"{name}": ' in benchmarks, name


def _require_options(command, text):
    shown = CliRunner().invoke(cli.app, [command, "--help"], env={"COLUMNS": "200"}).stdout
    for option in re.findall(r"--[a-z-]+", text):
        assert option in shown, f"jaxsim {command} {option}"


@pytest.mark.slow
def test_the_quickstart_prints_what_readme_and_topic_show(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "jaxsim", "run", "quickstart", "-o", "out"],
        capture_output=True,
        text=True,
        check=True,
    )
    shown = [line.rstrip() for line in done.stdout.splitlines()]
    for page in (README, (EXPLAIN / "quickstart.md").read_text(encoding="utf-8")):
        table, said = re.findall(r"```text\n(.*?)```", page, re.S)
        for line in table.strip().splitlines():
            assert line == "..." or line.rstrip() in shown
        assert " ".join(said.split()) in " ".join(" ".join(shown).split())
    assert Path("out", "report.html").stat().st_size < 1.5e6
