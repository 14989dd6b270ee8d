#!/usr/bin/env bash
# pyTAMS 1.0.0: a rare event whose score ties at the target never ends. When all trajectories have
# converged with one and the same score, which is success, TAMS still looks for a trajectory to restart
# from "among the ones not in" the lowest, of which there is none: a loop without end and without a
# message, which the walltime that was asked for does not stop either. A good engineer would expect the
# probability; scores that end at one value are common (a share of failed components, an indicator).
#
# The event: one fair coin in the single step shows heads, p = 1/2. Four trajectories; those that fail are
# restarted from those that did not, until all have the score 1.
#
# Seen 2026-11-28. Fails if the behaviour changes.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "pytams==1.0.0" 2> "$folder/pip.log" ||
    { cat "$folder/pip.log" >&2; exit 1; }
cat > "$folder/input.toml" <<'TOML'
[tams]
ntrajectories = 4
nsplititer = 100
walltime = 10.0
loglevel = "ERROR"
[runner]
type = "asyncio"
[trajectory]
end_time = 1.0
step_size = 1.0
targetscore = 0.99
TOML
cat > "$folder/program.py" <<'PYTHON'
import faulthandler

from pytams.fmodel import ForwardModelBaseClass
from pytams.tams import TAMS


class Coin(ForwardModelBaseClass):
    """Trajectories 0 and 1 show heads, so that the number of restarts is no matter of chance."""

    def _init_model(self, m_id, params):
        self._state, self._heads = 0.0, m_id < 2

    def _advance(self, step, time, dt, noise, need_end_state):
        self._state = float(self._heads)
        return dt

    def get_current_state(self):
        return self._state

    def set_current_state(self, state):
        self._state = state

    def score(self):
        return self._state

    def make_noise(self):
        return 0.0


if __name__ == "__main__":
    faulthandler.dump_traceback_later(45, exit=True)
    print(TAMS(fmodel_t=Coin, a_args=["-i", "input.toml"]).compute_probability())
PYTHON
if (cd "$folder" && venv/bin/python program.py > out 2> err); then
    cat "$folder/out" >&2
    echo "the behaviour has changed" >&2
    exit 1
fi
if ! grep -q "in get_restart_at_random" "$folder/err"; then
    cat "$folder/err" >&2
    exit 1
fi
echo "as seen: 45 s after the start, and 35 s after its walltime, it still looks for a trajectory"
