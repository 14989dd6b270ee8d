"""jaxsim: how often does training fail, and how sure are we?

    P( L(Theta_n) > inf_theta L(theta) + eps )

Risks and initial draws are float64: importing jaxsim switches `jax_enable_x64` on, also of a JAX
that is imported after it. Runs are the same bits in every process: where there are GPUs it asks XLA
not to choose programs by the clock.
"""

from __future__ import annotations

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from jaxsim import startup as _startup

if _TYPE_CHECKING:
    from jaxsim.errors import InputError
    from jaxsim.estimation import Estimate
    from jaxsim.launch.parameters import find_run, parameters
    from jaxsim.launch.simulate import simulate
    from jaxsim.questions.answer import Answer
    from jaxsim.questions.ask import analyse, exceedance
    from jaxsim.questions.compare import compare
    from jaxsim.report.benchmark import benchmark
    from jaxsim.report.plot import plot
    from jaxsim.report.typeset import table
    from jaxsim.results.results import Results
    from jaxsim.study.study import Study

_startup.set_up_jax()

__all__ = [
    "Answer", "Estimate", "InputError", "Results", "Study", "analyse", "benchmark", "compare",
    "exceedance", "find_run", "parameters", "plot", "simulate", "table",
]  # fmt: skip

# Imported when they are asked for: processes that only train start in half the time.
_HOMES = {
    "Answer": "questions.answer", "Estimate": "estimation", "InputError": "errors",
    "Results": "results.results", "Study": "study.study", "analyse": "questions.ask",
    "benchmark": "report.benchmark", "compare": "questions.compare", "exceedance": "questions.ask",
    "find_run": "launch.parameters", "parameters": "launch.parameters", "plot": "report.plot",
    "simulate": "launch.simulate", "table": "report.typeset",
}  # fmt: skip


def __getattr__(name: str) -> _Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'jaxsim' has no attribute {name!r}")
    return getattr(_import_module(f"jaxsim.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
