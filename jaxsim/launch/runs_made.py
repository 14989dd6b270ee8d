"""How the number of runs came about, in sentences for the answer."""

from __future__ import annotations

from jaxsim.launch.directory import Directory


def enough(directory: Directory) -> dict[str, str]:
    """Return why the runs of each experiment are enough, or not yet, by its id.

    Empty where their number was fixed beforehand.
    """
    aim = directory.study.spec.until
    if aim is None:
        return {}
    if aim.half_width is not None:
        goal = f"{aim.half_width:.12g}"
    else:
        goal = f"{aim.relative or 0:.12g} of the estimate"
    reasons = {name: plan.known()[-1].reason for name, plan in directory.stages.items()}
    return {
        name: f"half widths of at most {goal}: {reason or 'runs go on'}"
        for name, reason in reasons.items()
    }


def remarks(directory: Directory) -> list[str]:
    """Return sentences on a number of runs that depends on what was seen before."""
    spec = directory.study.spec
    if not directory.replicates_before or spec.method == "sequence":
        return []
    steps = " and ".join(f"{n:,}" for n in directory.replicates_before)
    return [
        f"replicates were raised from {steps} to {spec.replicates:,} when results could be seen: "
        "intervals for a number of runs fixed beforehand do not cover such a choice; interval = "
        '"sequence" does'
    ]
