"""This build against another commit's, side by side: `python -m benchmarks against COMMIT`.

The other commit is checked out into a temporary tree. Both do the same things in processes of
their own, in alternation (`benchmarks.against_cases`). A first round fills the caches of both and
does not count. Ratios are taken within a round; the table shows their median and range.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.against_cases import CASES, Build, Case, whole

ROOT = Path(__file__).resolve().parents[1]
Found = dict[str, dict[str, list[float]]]
"""Label -> "here", "there" and "ratios" -> a figure for each round."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON if asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks against", description=__doc__)
    parser.add_argument("commit", help="the other build")
    parser.add_argument(
        "--case", choices=CASES, action="append", help="only this; may be repeated (default: all)"
    )
    parser.add_argument("--study", type=Path, help="a study file in place of the cases")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--cold", action="store_true", help="caches of --study are empty in every round"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)
    if options.cold and not options.study:
        parser.error("--cold is for --study")
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds} is not accepted: at least 1")
    if options.study:
        table = tomllib.loads(options.study.read_text())
        cases = {"study": whole(table, table.get("name", "study"), halves=True, empty=options.cold)}
    else:
        cases = {name: CASES[name] for name in CASES if name in (options.case or CASES)}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the temporary tree is to go, too
    print(f"{'':42s}{'this build':>12s}{options.commit[:9]:>12s}{'ratio':>8s}   range")
    found = compare(options.commit, cases, options.rounds, say=print_rows)
    if options.json:
        from benchmarks.machine import processor

        facts = {"processor": processor(), "commit": options.commit, "rounds": options.rounds}
        options.json.write_text(json.dumps(facts | {"figures": found}, indent=2) + "\n")


def print_rows(found: Found) -> None:
    """Print the rows of a case."""
    for label, rows in found.items():
        here, there, middle = (statistics.median(rows[k]) for k in ("here", "there", "ratios"))
        low, high = min(rows["ratios"]), max(rows["ratios"])
        figures = f"{here:12.4g}{there:12.4g}{middle:8.2f}"
        print(f"{label:42s}{figures}   {low:.2f} to {high:.2f}", flush=True)


def compare(
    commit: str,
    cases: Mapping[str, Case],
    rounds: int,
    say: Callable[[Found], None] = lambda found: None,
) -> Found:
    """Return the figures of both builds, here and there, and their ratios, by round.

    Args:
        commit: of the other build.
        cases: what is measured.
        rounds: how often, after one that fills the caches.
        say: told the figures of each case as it ends.
    """
    figures: Found = {}
    for case in cases.values():
        with tempfile.TemporaryDirectory(prefix="jaxsim-against-") as folder:
            with checked_out(commit) as tree:
                found = _measured(case, {"here": ROOT, "there": tree}, Path(folder), rounds)
        say(found)
        figures |= found
    return figures


def _measured(case: Case, trees: Mapping[str, Path], folder: Path, rounds: int) -> Found:
    found: Found = {}
    for side in trees:
        (folder / side).mkdir()
    for turn in range(rounds + 1):
        # Whoever came first comes last in the next round.
        for side in sorted(trees, reverse=bool(turn % 2)):
            figures = case(Build(trees[side], folder / side, turn))
            if turn:  # what fills the caches does not count
                for label, figure in figures.items():
                    rows = found.setdefault(label, {"here": [], "there": [], "ratios": []})
                    rows[side].append(figure)
    for rows in found.values():
        rows["ratios"] = [b / a for a, b in zip(rows["here"], rows["there"], strict=True)]
    return found


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """Yield a temporary tree of a commit.

    Raises:
        SystemExit: if there is no such commit.
    """
    with tempfile.TemporaryDirectory(prefix="jaxsim-commit-") as name:
        tree = Path(name) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        added = subprocess.run(
            [*git, "add", "--detach", str(tree), commit],
            capture_output=True,
            text=True,
            check=False,
        )
        if added.returncode:
            raise SystemExit(f"{commit!r} cannot be checked out: {added.stderr.strip()}")
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], capture_output=True, check=True)
