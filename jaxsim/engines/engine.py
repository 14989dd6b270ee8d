"""How a block of replicates is executed: the one interface between training and hardware.

An engine runs `width` members of an experiment at once. The width is part of the compiled program
and therefore of the bits; it is fixed for a study and recorded. `vmap_engine` is the reference: it
serves every flax module, problem and optimizer. Seed, steps, checkpoints and the numbers of the
optimizer and its schedule are data, so that a sweep over them compiles once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxsim import programs, runtime
from jaxsim.network.forward_passes import ForwardPasses
from jaxsim.network.kinks import capacity
from jaxsim.network.network import Network
from jaxsim.training import keys
from jaxsim.training.certificate import make_certificate
from jaxsim.training.evaluate import Evaluate, Observation, make_evaluate
from jaxsim.training.experiment import Experiment
from jaxsim.training.hyperparameters import (
    LearningRate,
    certificate_key,
    drawing_key,
    numbers_of,
    program_key,
)
from jaxsim.training.threefry import unrolled
from jaxsim.training.train import State, make_train

CACHED_MEMBERS = 16
"""Members evaluated at once on a CPU: their arrays over many points stay in a core's own cache."""
_COASTING = 1 << 14
"""Parameters that coast at once on a CPU."""
SMALL_ROOM = 16
"""Pieces of a network of one input up to which more members are evaluated at once."""


class Engine(NamedTuple):
    """Compiled functions of a block of `width` members; all arrays lead with the member axis.

    Attributes:
        shared: study key -> data common to all replicates.
        init: (experiment key, replicates [width] uint32, learning rate) -> State.
        advance: (state, shared, start, stop, learning rate) -> State; consumes its input state.
        theta: state -> parameters [width, P].
        observe: theta [width, P] -> Observation.
        gradient_norm: theta [width, P] -> [width].
        certificate: (state, learning rate) -> (dead_layer [width], dead_neurons [width]).
        diverged: state -> first step with a mini-batch loss that is not finite, or -1, [width].
        resample: (state, ancestors [width] int32, streams [width]) -> the state in which every
            member is a copy of its ancestor, but for its stream of mini-batches.
    """

    shared: Callable[[Array], Any]
    init: Callable[[Array, Array, Array], Any]
    advance: Callable[[Any, Any, ArrayLike, ArrayLike, Array], Any]
    theta: Callable[[Any], Array]
    observe: Callable[[Array], Observation]
    gradient_norm: Callable[[Array], Array]
    certificate: Callable[[Any, Array], tuple[Array, Array]]
    diverged: Callable[[Any], Array]
    resample: Callable[[Any, ArrayLike, Array], Any]


class Numbered:
    """A compiled function whose last argument is the learning rate, for one optimizer.

    Behind the learning rate it is given the optimizer's other numbers; the compiled function is
    shared by all optimizers of a structure.
    """

    def __init__(self, function: Any, numbers: tuple[np.ndarray, ...], dtype: Any) -> None:
        self.function, self.numbers, self.dtype = function, numbers, dtype

    def __call__(self, *arguments: Any) -> Any:
        """Call it with a learning rate as its last argument."""
        return self.function(*self._numbered(arguments))

    def lower(self, *arguments: Any) -> Any:
        """Return what `jax.jit` lowers the call to."""
        return self.function.lower(*self._numbered(arguments))

    def trace(self, *arguments: Any) -> Any:
        """Return what `jax.jit` traces of the call."""
        return self.function.trace(*self._numbered(arguments))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.function, name)

    def _numbered(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        *others, rate = arguments
        return (*others, (jnp.asarray(rate, self.dtype), *self.numbers))


def numbered(experiment: Experiment, function: Any) -> Numbered:
    """Return a compiled function with an experiment's numbers; equal ones are the same."""
    numbers = numbers_of(experiment)
    key = b"".join(number.tobytes() for number in numbers)
    return _numbered(ByText((numbers, experiment.dtype), f"{experiment.precision} {key}"), function)


@lru_cache(maxsize=256)
def _numbered(by_text: ByText, function: Any) -> Numbered:
    numbers, dtype = by_text.experiment
    return Numbered(function, numbers, dtype)


class ByText:
    """An experiment compared by the text of its program, so that equal programs compile once."""

    def __init__(self, experiment: Any, text: str) -> None:
        self.experiment, self.text = experiment, text

    def kept(
        self, make: Callable[[], Callable[..., Any]], *what: object, **options: Any
    ) -> programs.Program:
        """Return a program of the experiments of this text, which later processes find compiled.

        Args:
            make: returns the function.
            what: says which of their functions it is, and in which form.
            options: of `jax.jit`.
        """
        key = None if self.experiment.own_code else (*what, self.text)
        return programs.kept(make, key, **options)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByText) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def vmap_engine(experiment: Experiment) -> Engine:
    """Return the reference engine: `jit(vmap(...))` of the pure single-member functions."""
    draw = drawing_of(experiment)
    (shared, start), advance = training(ByText(experiment, program_key(experiment)))
    start = numbered(experiment, start)
    observe, gradient_norm = evaluation(ByText(experiment, experiment.evaluation_key))

    def init(key: Array, replicates: Array, learning_rate: Array) -> State:
        return start(*draw(key, replicates), learning_rate)

    return Engine(
        shared=shared,
        init=init,
        advance=numbered(experiment, advance),
        theta=lambda state: state.theta,
        observe=observe,
        gradient_norm=gradient_norm,
        certificate=numbered(
            experiment, certifying(ByText(experiment, certificate_key(experiment)))
        ),
        diverged=lambda state: state.diverged,
        resample=_resample,
    )


def _resampled(state: State, ancestors: Array, streams: Array) -> State:
    kept = jax.tree.map(lambda leaf: leaf[ancestors], state._replace(key=()))
    return kept._replace(key=streams)


_resample = programs.kept(lambda: _resampled, ("resample",))


def drawing_of(experiment: Experiment) -> Callable[[Array, Array], tuple[Array, Array]]:
    """Return (experiment key, replicates) -> (their keys, Theta_0 [width, P]), compiled."""
    draw = drawing(ByText(experiment, drawing_key(experiment)))
    given: dict[str, Any] = {}
    if experiment.draw_data is not None:
        given["data"] = experiment.draw_data
    if experiment.network.scales:
        given["scales"] = tuple(map(np.float64, experiment.network.scales))
    return lambda key, replicates: draw(key, replicates, given)


@lru_cache(maxsize=64)
def drawing(by_text: ByText) -> Callable:
    """Return (experiment key, replicates, numbers of the law) -> (their keys, Theta_0), compiled.

    The numbers are what the network's `init` takes besides the key, by name.
    """
    experiment = by_text.experiment
    # The same numbers, whose program a CPU compiles in half the time.
    written_out = jax.default_backend() == "cpu" and experiment.network.fully_connected

    def make() -> Callable:
        train = make_train(experiment)

        def draw(key: Array, replicates: Array, given: dict[str, Any]) -> tuple[Array, Array]:
            members = keys.replicate_keys(key, replicates)
            one = partial(train.draw, **given)
            return members, jax.vmap(one)(unrolled(members) if written_out else members)

        return draw

    return by_text.kept(make, "draw", written_out)


@lru_cache(maxsize=64)
def training(by_text: ByText) -> tuple[tuple[Callable, Callable], Callable]:
    """Return ((shared, start), advance) of the reference engine, compiled."""
    for_cpu = jax.default_backend() == "cpu"
    train = lru_cache(maxsize=1)(partial(make_train, by_text.experiment, for_cpu=for_cpu))

    def start() -> Callable:
        return jax.vmap(train().start, in_axes=(0, 0, None))

    def advance() -> Callable:
        return jax.vmap(train().advance, in_axes=(0, None, None, None, None))

    return (
        (by_text.kept(lambda: train().shared, "shared"), by_text.kept(start, "start")),
        by_text.kept(advance, "advance", donate_argnums=0),
    )


@lru_cache(maxsize=64)
def certifying(
    by_text: ByText,
    make_forward_passes: Callable[[Network], ForwardPasses] | None = None,
    form: str = "",
) -> Callable[[Any, LearningRate], tuple[Array, Array]]:
    """Return (State by member, learning rate) -> (dead_layer, dead_neurons), compiled.

    Args:
        by_text: an experiment by the program of its certificate.
        make_forward_passes: as for `evaluation`.
        form: of the forward passes.
    """
    experiment = by_text.experiment

    def make() -> Callable:
        passes = None if make_forward_passes is None else make_forward_passes(experiment.network)
        certificate = make_certificate(experiment, make_train(experiment), passes)
        # Each step of coasting is many small kernels: few parameters coast for many members.
        many = max(CACHED_MEMBERS, _COASTING // certificate.parameters)
        together = 1 << (many.bit_length() - 1)

        def run(states: State, learning_rate: LearningRate) -> tuple[Array, Array]:
            first = _in_cache(
                lambda group: certificate.first_layer(group, learning_rate), states, together
            )
            all_layers = certificate.all_layers
            if all_layers is None:
                return first

            def group(members: tuple[Any, State]) -> tuple[Array, Array]:
                known, states = members
                deeper = jax.vmap(certificate.may_be_deeper)(states.theta.astype(jnp.float64))
                return jax.lax.cond(
                    deeper.any(), lambda: all_layers(states, learning_rate), lambda: known
                )

            return _in_cache(group, (first, states))

        return run

    return by_text.kept(make, "certificate", form)


def _in_cache(
    function: Callable[[Any], Any], members: Any, together: int | None = CACHED_MEMBERS
) -> Any:
    """Return function(members), on a CPU a few members at a time if their number allows it."""
    width = len(jax.tree.leaves(members)[0])
    if jax.default_backend() != "cpu" or not together or width % CACHED_MEMBERS:
        return function(members)
    together = math.gcd(width, together)
    # Both lengths are stated: an array of no hidden layers has no entry to infer one from.
    groups = jax.tree.map(lambda a: a.reshape(width // together, together, *a.shape[1:]), members)
    grouped = jax.lax.map(function, groups)
    return jax.tree.map(lambda a: a.reshape(width, *a.shape[2:]), grouped)


def _members_in_cache(experiment: Experiment) -> int | None:
    """Return how many members are evaluated at once; None for all of a block."""
    network = experiment.network
    if experiment.problem.law.density_1d is None:
        return CACHED_MEMBERS
    if not network.fully_connected:
        return None
    small = capacity(network, experiment.risk.pieces) <= SMALL_ROOM
    return 4 * CACHED_MEMBERS if small else CACHED_MEMBERS


@lru_cache(maxsize=64)
def evaluation(
    by_text: ByText,
    make_forward_passes: Callable[[Network], ForwardPasses] | None = None,
    form: str = "",
) -> tuple[Callable, Callable]:
    """Return (observe, gradient_norm), compiled; all optimizers of an architecture share them.

    Args:
        by_text: an experiment by its evaluation program.
        make_forward_passes: the engine's own over points; None for the plain ones.
        form: of the forward passes: says what they are compiled by.
    """
    experiment = by_text.experiment

    @lru_cache(maxsize=1)
    def evaluate() -> Evaluate:
        passes = None if make_forward_passes is None else make_forward_passes(experiment.network)
        return make_evaluate(experiment, passes)

    on_cpu = jax.default_backend() == "cpu"
    one_input = experiment.problem.law.density_1d is not None

    def observe() -> Callable[[Array], Observation]:
        every = jax.vmap(evaluate().observe)
        # In one input XLA's own passes round otherwise in a loop over groups.
        if one_input and make_forward_passes is None:
            return every
        return lambda theta: _in_cache(every, theta, _members_in_cache(experiment))

    def gradient_norm() -> Callable[[Array], Array]:
        every = jax.vmap(evaluate().gradient_norm)
        # In one input its bits depend on how many members are in one call.
        return every if one_input else lambda theta: _in_cache(every, theta)

    options = [runtime.PLAIN_REDUCTIONS] if experiment.network.outputs == 1 else []
    options += [runtime.NOTHING_HOISTED] if one_input else []
    known = runtime.known_options(*options) if on_cpu and options else {}
    return (
        by_text.kept(observe, "observe", form, compiler_options=known),
        by_text.kept(gradient_norm, "gradient_norm", form),
    )
