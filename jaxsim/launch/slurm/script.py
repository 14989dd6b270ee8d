"""The scripts of a launch, as text: nothing here runs anything.

Plain scripts of one command each, for the unit of work is a command that may be repeated at will:
nothing has to be pickled, the script shows all there is, and it can be submitted by hand.

    prepare   one task that measures engines and widths on the nodes and records them, where needed
    work      the array; each task computes what the plan lists and the store lacks
    collect   the report, when the array has ended in whatever way
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from jaxsim import runtime
from jaxsim.launch.slurm.allocation import AGAIN, TIME_LEFT
from jaxsim.launch.slurm.settings import asks_for_gpus, seconds_of
from jaxsim.study.slurm_spec import SlurmSpec

TIME, GRACE_PERIOD = "01:00:00", 60
# Slurm's signal may come up to a minute early, while Python still starts: it would kill the worker,
# which knows the time left by itself.
DEAF = "trap '' USR2"
# For a container, in which there is no Slurm: the shell stays and does what the worker cannot.
# Apptainer hands signals on to what it runs where it has no terminal.
RELAY = f"""\
export {TIME_LEFT}="$(squeue --noheader --format=%L --jobs="$SLURM_JOB_ID")"
set +e
COMMAND & worker=$!
trap 'kill -USR2 $worker' USR2
trap 'kill -TERM $worker' TERM
while wait $worker; code=$?; [ $code -gt 128 ] && kill -0 $worker 2> /dev/null; do :; done
[ $code -le 128 ] || {{ wait $worker; code=$?; }}
[ $code -ne {AGAIN} ] || exec scontrol requeue "$SLURM_JOB_ID"
exit $code"""
INSIDE = 'trap "" USR2; exec "$@"'
_RESOURCES = ("partition", "account", "qos", "constraint", "reservation")


@dataclass(frozen=True)
class Campaign:
    """What the scripts of a launch have in common.

    Attributes:
        name: of the study.
        directory: of the results, absolute.
        code: folder that holds the copied package.
        settings: what is asked of the cluster.
        allow_code: whether the study's own Python may run.
    """

    name: str
    directory: Path
    code: Path
    settings: SlurmSpec
    allow_code: bool = False

    @property
    def tasks(self) -> int:
        """Size of the array."""
        return self.settings.tasks or 1

    @property
    def gpus(self) -> bool:
        """Whether tasks have GPUs."""
        return self.counted_gpus or asks_for_gpus(self.settings.gres)

    @property
    def counted_gpus(self) -> bool:
        """Whether they are asked for by their number, and not as generic resources."""
        return self.settings.gpus not in (None, 0, "0")

    @property
    def grace_period(self) -> int:
        """Seconds before the time limit at which tasks stop: half of a short limit."""
        limit = seconds_of(self.settings.time or TIME)
        return max(1, min(self.settings.grace_period or GRACE_PERIOD, limit // 2))


def prepare_script(campaign: Campaign) -> str:
    """Return the script that settles engines and widths on a node like those that will work."""
    return _script(campaign, "prepare", f"{_worker(campaign)} --prepare", devices=True)


def work_script(campaign: Campaign) -> str:
    """Return the script of the array."""
    parallel = f"%{campaign.settings.parallel}" if campaign.settings.parallel else ""
    lines = [
        f"#SBATCH --array=0-{campaign.tasks - 1}{parallel}",
        "#SBATCH --requeue",
        f"#SBATCH --signal=B:USR2@{campaign.grace_period}",
    ]
    command = f'{_worker(campaign)} --index "$SLURM_ARRAY_TASK_ID" --of {campaign.tasks}'
    return _script(campaign, "work", command, lines, devices=True)


def collect_script(campaign: Campaign) -> str:
    """Return the script of the report."""
    command = f"{_python(campaign)} -P -m jaxsim report {_quoted(campaign.directory)}"
    command += " --allow-code" if campaign.allow_code else ""
    return _script(campaign, "collect", command, devices=False)


def _script(
    campaign: Campaign, kind: str, command: str, more: list[str] | None = None, *, devices: bool
) -> str:
    settings, logs = campaign.settings, campaign.directory / "launch" / "logs"
    place = "%A_%a" if kind == "work" else "%j"
    output = str(logs).replace("%", "%%") + f"/{kind}-{place}.log"
    lines = [
        "#!/bin/bash",
        f"# jaxsim launch: {kind} of the study {campaign.name}",
        f"#SBATCH --job-name=jaxsim-{kind}-{campaign.name}",
        f'#SBATCH --output="{output}"',
        "#SBATCH --open-mode=append",
        "#SBATCH --nodes=1",
        "#SBATCH --ntasks=1",
        f"#SBATCH --cpus-per-task={settings.cpus or 1}",
        f"#SBATCH --time={settings.time or TIME}",
    ]
    for key in _RESOURCES:
        value = getattr(settings, key)
        if value is not None:
            lines.append(f'#SBATCH --{key}="{value}"')
    if settings.memory:
        lines.append(f"#SBATCH --mem={settings.memory}")
    if devices and settings.gres:
        lines.append(f"#SBATCH --gres={settings.gres}")
    if devices and campaign.counted_gpus:
        lines.append(f"#SBATCH --gpus-per-node={settings.gpus}")
    lines += [f"#SBATCH {option}" for option in settings.options or []]
    lines += more or []
    lines += ["set -e", *(f"module load {shlex.quote(m)}" for m in settings.modules or [])]
    lines += _environment(campaign, devices)
    if kind == "work":
        lines.append(DEAF)
        if campaign.settings.container:
            # Inside the container the signal is no longer ignored.
            command = f"{_contained(campaign, devices)}sh -c '{INSIDE}' sh {command}"
            return "\n".join([*lines, RELAY.replace("COMMAND", command), ""])
    command = _contained(campaign, devices) + command
    # Slurm's signal goes to this shell, which becomes the worker.
    return "\n".join([*lines, f"exec {command}", ""])


def _environment(campaign: Campaign, devices: bool) -> list[str]:
    platform = "cuda" if devices and campaign.gpus else "cpu"
    values = {
        "PYTHONUNBUFFERED": "1",
        # Compiled code is read from where only the user writes, not from beside the copied source.
        "PYTHONPYCACHEPREFIX": str(runtime.cache_directory() / "pycache"),
        # Without it JAX would quietly go on with a CPU where it finds no GPU.
        "JAX_PLATFORMS": platform,
        "JAXSIM_CACHE_DIR": str(runtime.cache_directory()),
        "OMP_NUM_THREADS": str(campaign.settings.cpus or 1),
    }
    if platform == "cuda":
        values["XLA_PYTHON_CLIENT_MEM_FRACTION"] = "0.9"
    values |= campaign.settings.environment or {}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    # The copy comes first, whatever else is on the path by the user's or a module's will.
    return [*lines, f"export PYTHONPATH={_quoted(campaign.code)}${{PYTHONPATH:+:$PYTHONPATH}}"]


def _contained(campaign: Campaign, devices: bool) -> str:
    image = campaign.settings.container
    if not image:
        return ""
    nvidia = " --nv" if devices and campaign.gpus else ""
    binds = f"--bind {_quoted(campaign.directory)} --bind {_quoted(runtime.cache_directory())}"
    return f"apptainer exec{nvidia} {binds} {shlex.quote(image)} "


def _worker(campaign: Campaign) -> str:
    platform = "gpu" if campaign.gpus else "cpu"
    command = f"{_python(campaign)} -P -m jaxsim.launch.process {_quoted(campaign.directory)}"
    command += f" --all-devices --platform {platform} --grace-period {campaign.grace_period}"
    return command + (" --allow-code" if campaign.allow_code else "")


def _python(campaign: Campaign) -> str:
    default = "python3" if campaign.settings.container else sys.executable
    return shlex.quote(campaign.settings.python or default)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
