"""The handler of a training program: step after step of a group of lanes, in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jaxsim.engines.native.layers import Layers
from jaxsim.engines.native.optimizer import OptimizerStep
from jaxsim.engines.native.program import BEGIN, END


def handler(
    layers: Layers,
    optimizer: OptimizerStep,
    steps: Sequence[str],
    data: Callable[[int], list[str]],
    arguments: int,
) -> list[str]:
    """Return the exported function `run`.

    Its arguments are theta and the optimizer's leaves, of parameters [P, lane] or scalars, and the
    first bad steps [lane] int32, all of which it overwrites; then the data, the number of the first
    step and how many there are (int32 [2]), the learning rate and the numbers of the optimizer. Its
    last result is scratch.

    Args:
        layers: whose scratch memory the steps use.
        optimizer: the end of every step.
        steps: statements that leave the gradient of one step where the optimizer looks for it, and
            the losses [lane] in `losses`.
        data: number of the first argument with data -> the definitions of all of them.
        arguments: how many they are.
    """
    leaves = optimizer.leaves
    first = len(leaves) + 2
    after = first + arguments
    return [
        *BEGIN,
        "real *const parameters = result(frame, 0);",
        *(
            f"{leaf.ctype} *const leaf{number} = result(frame, {number + 1});"
            for number, leaf in enumerate(leaves)
        ),
        f"int32_t *const diverged = result(frame, {len(leaves) + 1});",
        f"real *const scratch = result(frame, {len(leaves) + 2});",
        f"real *const pack = scratch + {layers.room} * V;",
        *data(first),
        f"const int32_t *const range = argument(frame, {after});",
        *optimizer.arguments(after + 1),
        "const int32_t first = range[0], count = range[1];",
        "(void)pack; (void)scratch;",
        *(
            f"const {leaf.ctype} start{number} = *leaf{number};"
            for number, leaf in enumerate(leaves)
            if leaf.uniform
        ),
        "for (int s = 0; s < LANES; s += V) {",
        "real *const theta = parameters + s;",
        *(
            f"{leaf.ctype} uniform{number} = start{number};"
            for number, leaf in enumerate(leaves)
            if leaf.uniform
        ),
        "for (int32_t step = 0; step < count; step++) {",
        *steps,
        *optimizer.statements(),
        "const mask good = is_finite(losses);",
        "for (int l = 0; l < V; l++)",
        "if (!good[l] && diverged[s + l] < 0) diverged[s + l] = first + step;",
        "}",
        *(
            f"if (s + V == LANES) *leaf{number} = uniform{number};"
            for number, leaf in enumerate(leaves)
            if leaf.uniform
        ),
        "}",
        *END,
    ]
