"""inf L by itself, for every width up to the study's: what `jaxsim optimum` answers."""

from __future__ import annotations

from jaxsim.questions.data import Data, OptimumAnswer


class WidthAnswer(Data):
    """The optimal risk of one hypothesis class.

    Attributes:
        neurons: in the first hidden layer; None for a network without a known form, or a layer.
        hidden: widths of all hidden layers.
        optimum: its bracket, both ends with evidence and reason.
        parameters: theta of the network that is the best upper end, None if none is explicit.
        unfinished: whether a search was cut short by its budget.
    """

    neurons: int | None
    hidden: list[int]
    optimum: OptimumAnswer
    parameters: list[float] | None
    unfinished: bool


class HierarchyAnswer(Data):
    """R*(m) of one problem and architecture.

    Attributes:
        experiments: labels of the experiments that it is for.
        widths: m = 0, 1, ... up to the widest experiment's, ascending.
        remarks: sentences on certificates that are not used.
        over: which rows of a data set the risk is over, in words; empty for a law.
    """

    experiments: list[str]
    widths: list[WidthAnswer]
    remarks: list[str]
    over: str = ""


class OptimaAnswer(Data):
    """The optimal risks of a study.

    Attributes:
        name: of the study.
        title: of the study.
        budget: seconds that the searches had.
        hierarchies: one for each problem and architecture.
    """

    name: str
    title: str
    budget: float
    hierarchies: list[HierarchyAnswer]
