"""The eleven methods of Do, Jentzen and Riekert (arXiv:2503.01660), with their variants.

Each function documents a recursion Theta_t = Theta_{t-1} - lr_t d_t through its direction d_t,
where g_t is the mini-batch gradient at Theta_{t-1}, all states start at zero and all operations are
componentwise. Where the literature differs, `variant` chooses: "optax" (the default), "pytorch",
"keras", or "paper" (the original papers, and the book of Jentzen, Kuckuck and von Wurstemberger,
arXiv:2310.20360). A hyperparameter left out takes the variant's default. Every method in every
variant leaves a component exactly where it is while all its gradients are zero.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import optax

from jaxsim.errors import InputError
from jaxsim.optimizer import transforms

LearningRate = Any
Make = Callable[[LearningRate], optax.GradientTransformation]
Variant = Literal["optax", "pytorch", "keras", "paper"]

# Smaller numbers are 0 in float32: a learning rate would do nothing, an eps would allow 0/0.
TINY = float(np.finfo(np.float32).tiny)


class Method(NamedTuple):
    """A method with its hyperparameters: all that an entry of `METHODS` must provide.

    What it declares is checked by property tests over the registry, and measured again where
    hyperparameters are given; nothing is claimed by default.

    Attributes:
        make: learning rate (a number, a traced scalar or a schedule) -> gradient transformation.
        definition: the recursion of the chosen variant, in a line.
        hyperparameters: their values, the variant's defaults filled in.
        coordinatewise: it acts on every parameter alone, and may be given one flat vector.
        keeps_inactive: parameters whose gradients have all been zero stay bitwise unchanged.
        forgets: once gradients vanish, its movements die out, each smaller than the one before.
    """

    make: Make
    definition: str
    hyperparameters: dict[str, Any]
    coordinatewise: bool = False
    keeps_inactive: bool = False
    forgets: bool = False


def _componentwise(make: Make, definition: str, hyperparameters: dict[str, Any]) -> Method:
    """Return one of the eleven.

    Momentum decays. In Adam's family the first moment must decay faster than what it is divided
    by: b1 < sqrt(b2), and b1 < b2 for Adamax and Nadamax, which take the maximum.
    """
    b1, b2 = hyperparameters.get("b1", 0.0), hyperparameters.get("b2", 1.0)
    return Method(
        make, definition, hyperparameters, coordinatewise=True, keeps_inactive=True, forgets=b1 < b2
    )


def _descend(direction: Callable[[], optax.GradientTransformation]) -> Make:
    """Return lr -> the method that moves by -lr times a direction."""
    return lambda lr: optax.chain(direction(), optax.scale_by_learning_rate(lr))


def _unit_interval(**values: float) -> None:
    for name, value in values.items():
        if not 0 <= value < 1:
            raise InputError(f"{name} = {value} is not accepted: it should be in [0, 1)")


def _zero_or_more(**values: float) -> None:
    for name, value in values.items():
        if value != 0 and value < TINY:
            raise InputError(f"{name} = {value} is not accepted: it should be 0 or positive")


def _positive_eps(eps: float) -> None:
    if eps < TINY:
        raise InputError(
            f"eps = {eps} is not accepted: it should be at least {TINY:.2g}, the smallest positive "
            "number of float32, or parameters without gradients become 0/0"
        )


def _default(value: float | None, variant: str, **defaults: float) -> float:
    return defaults.get(variant, defaults["optax"]) if value is None else value


def sgd(variant: Variant = "optax") -> Method:
    """d_t = g_t (Robbins and Monro 1951); all variants agree."""
    return _componentwise(lambda lr: optax.sgd(lr), "d_t = g_t", {})


def momentum(variant: Variant = "optax", decay: float = 0.9) -> Method:
    """d_t = g_t + decay d_{t-1} (Polyak 1964).

    paper: d_t = decay d_{t-1} + (1 - decay) g_t, a moving average. keras: the learning rate stands
    inside the sum, which matters under schedules only.
    """
    definition = {
        "keras": "lr_t d_t = lr_t g_t + decay lr_{t-1} d_{t-1}",
        "paper": "d_t = decay d_{t-1} + (1 - decay) g_t",
    }.get(variant, "d_t = g_t + decay d_{t-1}")
    return _componentwise(_momentum(variant, decay, nesterov=False), definition, {"decay": decay})


def nesterov(variant: Variant = "optax", decay: float = 0.9) -> Method:
    """d_t = g_t + decay m_t with m_t = g_t + decay m_{t-1} (Nesterov 1983; Sutskever et al. 2013).

    paper: d_t = decay m_t + (1 - decay) g_t with m_t = decay m_{t-1} + (1 - decay) g_t, which is
    the book's Theta_t = Theta_{t-1} - lr m_t, g_t taken at Theta_{t-1} - lr decay m_{t-1}, written
    for these points (and equal to it for a constant learning rate). What all variants iterate, and
    where the risk is read, is the look-ahead point at which gradients are taken. keras: as for
    momentum.
    """
    definition = {
        "keras": "lr_t d_t = lr_t g_t + decay M_t, M_t = lr_t g_t + decay M_{t-1}",
        "paper": "d_t = decay m_t + (1 - decay) g_t, m_t = decay m_{t-1} + (1 - decay) g_t",
    }.get(variant, "d_t = g_t + decay m_t, m_t = g_t + decay m_{t-1}")
    return _componentwise(_momentum(variant, decay, nesterov=True), definition, {"decay": decay})


def _momentum(variant: str, decay: float, nesterov: bool) -> Make:
    _unit_interval(decay=decay)
    if variant == "paper":
        # The moving average is (1 - decay) times the sum: no second moment, no count.
        return lambda lr: optax.chain(
            optax.trace(decay, nesterov=nesterov),
            optax.scale(1 - decay),
            optax.scale_by_learning_rate(lr),
        )
    if variant == "keras":
        return lambda lr: optax.chain(
            optax.scale_by_learning_rate(lr), optax.trace(decay, nesterov=nesterov)
        )
    return lambda lr: optax.sgd(lr, momentum=decay, nesterov=nesterov)


def adagrad(
    variant: Variant = "optax",
    initial_accumulator: float | None = None,
    eps: float | None = None,
) -> Method:
    """d_t = g_t / sqrt(S_t + eps), S_t = S_{t-1} + g_t^2 (Duchi, Hazan and Singer 2011).

    optax and keras: S_0 = 0.1, eps = 1e-7. pytorch: g_t / (sqrt(S_t) + eps), S_0 = 0, eps = 1e-10.
    paper: S_0 = 1e-10, eps = 0.
    """
    start = _default(initial_accumulator, variant, optax=0.1, pytorch=0.0, paper=1e-10)
    eps = _default(eps, variant, optax=1e-7, pytorch=1e-10, paper=0.0)
    _zero_or_more(initial_accumulator=start, eps=eps)
    values = {"initial_accumulator": start, "eps": eps}
    if variant == "pytorch":
        definition = "d_t = g_t / (sqrt(S_t) + eps), S_t = S_{t-1} + g_t^2"
        make = _descend(lambda: transforms.scale_by_adagrad_outer(start, eps))
        return _componentwise(make, definition, values)
    return _componentwise(
        lambda lr: optax.adagrad(lr, initial_accumulator_value=start, eps=eps),
        "d_t = g_t / sqrt(S_t + eps), S_t = S_{t-1} + g_t^2",
        values,
    )


def rmsprop(
    variant: Variant = "optax",
    decay: float | None = None,
    eps: float | None = None,
    momentum: float = 0.0,
    centered: bool = False,
    bias_correction: bool = False,
) -> Method:
    """d_t = g_t / sqrt(v_t + eps), v_t = decay v_{t-1} + (1 - decay) g_t^2 (Tieleman, Hinton 2012).

    optax: decay = 0.9, eps = 1e-8; keras: eps = 1e-7; paper: eps = 1e-10. pytorch: decay = 0.99 and
    g_t / (sqrt(v_t) + eps), as is paper with `bias_correction`, v_t / (1 - decay^t) for v_t. With
    momentum the movement is accumulated as in `momentum`. `centered` subtracts the squared moving
    average of the gradients from v_t, which rounding can make negative, hence NaN, for gradients
    that hardly change.
    """
    decay = _default(decay, variant, optax=0.9, pytorch=0.99)
    eps = _default(eps, variant, optax=1e-8, keras=1e-7, paper=1e-10)
    _unit_interval(decay=decay, momentum=momentum)
    _positive_eps(eps)
    inside = not (variant == "pytorch" or (variant == "paper" and bias_correction))
    root = "sqrt(v_t + eps)" if inside else "(sqrt(v_t) + eps)"
    return _componentwise(
        lambda lr: optax.rmsprop(
            lr,
            decay=decay,
            eps=eps,
            eps_in_sqrt=inside,
            momentum=momentum or None,
            centered=centered,
            bias_correction=bias_correction,
        ),
        f"d_t = g_t / {root}, v_t = decay v_{{t-1}} + (1 - decay) g_t^2",
        {
            "decay": decay,
            "eps": eps,
            "momentum": momentum,
            "centered": centered,
            "bias_correction": bias_correction,
        },
    )


def adadelta(
    variant: Variant = "optax", rho: float | None = None, eps: float | None = None
) -> Method:
    """d_t = sqrt(D_{t-1} + eps) / sqrt(v_t + eps) g_t, D_t = rho D_{t-1} + (1 - rho) d_t^2.

    v_t = rho v_{t-1} + (1 - rho) g_t^2 (Zeiler, arXiv:1212.5701). The paper has no learning rate: 1
    gives its recursion. optax and pytorch: rho = 0.9, eps = 1e-6; keras: 0.95, 1e-7; paper: 0.9,
    1e-10.
    """
    rho = _default(rho, variant, optax=0.9, keras=0.95)
    eps = _default(eps, variant, optax=1e-6, keras=1e-7, paper=1e-10)
    _unit_interval(rho=rho)
    _positive_eps(eps)
    return _componentwise(
        _descend(lambda: optax.scale_by_adadelta(rho=rho, eps=eps)),
        "d_t = sqrt(D_{t-1} + eps) / sqrt(v_t + eps) g_t, D_t = rho D_{t-1} + (1 - rho) d_t^2",
        {"rho": rho, "eps": eps},
    )


def adam(
    variant: Variant = "optax", b1: float = 0.9, b2: float = 0.999, eps: float | None = None
) -> Method:
    """d_t = m_t / (1 - b1^t) / ( sqrt(v_t / (1 - b2^t)) + eps ) (Kingma and Ba, arXiv:1412.6980).

    eps = 1e-8; pytorch and paper agree. keras: sqrt(1 - b2^t) / (1 - b1^t) m_t / (sqrt(v_t) + eps)
    with eps = 1e-7.
    """
    eps = _adam_eps(variant, b1, b2, eps)
    values = {"b1": b1, "b2": b2, "eps": eps}
    if variant == "keras":
        definition = "d_t = sqrt(1 - b2^t) / (1 - b1^t) m_t / (sqrt(v_t) + eps)"
        make = _descend(lambda: transforms.scale_by_adam_epsilon_hat(b1, b2, eps))
        return _componentwise(make, definition, values)
    definition = "d_t = m_t / (1 - b1^t) / (sqrt(v_t / (1 - b2^t)) + eps)"
    return _componentwise(lambda lr: optax.adam(lr, b1=b1, b2=b2, eps=eps), definition, values)


def adamax(
    variant: Variant = "optax", b1: float = 0.9, b2: float = 0.999, eps: float | None = None
) -> Method:
    """d_t = m_t / (1 - b1^t) / u_t, u_t = max(b2 u_{t-1}, |g_t| + eps) (Kingma and Ba 2014).

    eps = 1e-8; pytorch agrees. keras: u_t = max(b2 u_{t-1}, |g_t|), divided by u_t + eps with
    eps = 1e-7. paper: the same with eps = 0 and 0/0 = 0.
    """
    _unit_interval(b1=b1, b2=b2)
    eps = _default(eps, variant, optax=1e-8, keras=1e-7, paper=0.0)
    values = {"b1": b1, "b2": b2, "eps": eps}
    if variant in ("keras", "paper"):
        _zero_or_more(eps=eps)
        definition = "d_t = m_t / (1 - b1^t) / (u_t + eps), u_t = max(b2 u_{t-1}, |g_t|), 0/0 = 0"
        make = _descend(lambda: transforms.scale_by_adamax_outer(b1, b2, eps))
        return _componentwise(make, definition, values)
    _positive_eps(eps)
    definition = "d_t = m_t / (1 - b1^t) / u_t, u_t = max(b2 u_{t-1}, |g_t| + eps)"
    return _componentwise(lambda lr: optax.adamax(lr, b1=b1, b2=b2, eps=eps), definition, values)


def nadam(
    variant: Variant = "optax",
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float | None = None,
    momentum_decay: float | None = None,
) -> Method:
    """d_t = [ b1 m_t / (1 - b1^(t+1)) + (1 - b1) g_t / (1 - b1^t) ] / ( sqrt(v_t/(1-b2^t)) + eps ).

    Dozat (2016), with constant momentum; optax and paper agree, eps = 1e-8. pytorch and keras: the
    momentum schedule mu_t = b1 (1 - 0.96^(momentum_decay t) / 2) with momentum_decay = 0.004
    (pytorch) or 1 (keras, eps = 1e-7).
    """
    eps = _adam_eps(variant, b1, b2, eps)
    values = {"b1": b1, "b2": b2, "eps": eps}
    if variant in ("pytorch", "keras"):
        rate = _default(momentum_decay, variant, optax=0.0, pytorch=0.004, keras=1.0)
        _zero_or_more(momentum_decay=rate)
        return _componentwise(
            _descend(lambda: transforms.scale_by_nadam_scheduled(b1, b2, eps, rate)),
            "d_t = [ mu_{t+1} m_t / (1 - mu_1 ... mu_{t+1}) + (1 - mu_t) g_t / (1 - mu_1 ... mu_t)"
            " ] / (sqrt(v_t / (1 - b2^t)) + eps)",
            {**values, "momentum_decay": rate},
        )
    if momentum_decay is not None:
        raise InputError(
            f'momentum_decay = {momentum_decay} is for variant = "pytorch" and "keras" only'
        )
    return _componentwise(
        lambda lr: optax.nadam(lr, b1=b1, b2=b2, eps=eps),
        "d_t = [ b1 m_t / (1 - b1^(t+1)) + (1 - b1) g_t / (1 - b1^t) ] / "
        "(sqrt(v_t / (1 - b2^t)) + eps)",
        values,
    )


def nadamax(
    variant: Literal["optax", "paper"] = "optax",
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float | None = None,
    lookahead_correction: bool = True,
) -> Method:
    """d_t = [ b1 m_t / (1 - b1^(t+1)) + (1 - b1) g_t / (1 - b1^t) ] / u_t: Nadam over Adamax.

    u_t = max(b2 u_{t-1}, |g_t| + eps), eps = 1e-8 (Dozat 2015). Neither PyTorch nor Keras has it.
    paper: u_t = max(b2 u_{t-1}, |g_t|) and 0/0 = 0. Without `lookahead_correction` both terms are
    divided by 1 - b1^t, as some implementations do.
    """
    _unit_interval(b1=b1, b2=b2)
    eps = _default(eps, variant, optax=1e-8, paper=0.0)
    _zero_or_more(eps=eps)
    inner = variant == "optax"
    ahead = "t+1" if lookahead_correction else "t"
    below = "u_t, u_t = max(b2 u_{t-1}, |g_t| + eps)"
    if not inner:
        below = "(u_t + eps), u_t = max(b2 u_{t-1}, |g_t|), 0/0 = 0"
    return _componentwise(
        _descend(
            lambda: transforms.scale_by_nadamax(
                b1, b2, eps, inner=inner, lookahead=lookahead_correction
            )
        ),
        f"d_t = [ b1 m_t / (1 - b1^({ahead})) + (1 - b1) g_t / (1 - b1^t) ] / {below}",
        {"b1": b1, "b2": b2, "eps": eps, "lookahead_correction": lookahead_correction},
    )


def amsgrad(
    variant: Variant = "optax", b1: float = 0.9, b2: float = 0.999, eps: float | None = None
) -> Method:
    """d_t = m_t / (1 - b1^t) / ( sqrt(max_{s <= t} v_s / (1 - b2^s)) + eps ).

    Reddi, Kale and Kumar (arXiv:1904.09237), eps = 1e-8. pytorch: the maximum of the v_s, divided
    by 1 - b2^t afterwards. keras: as its Adam, with max v_s and eps = 1e-7. paper: no bias
    corrections.
    """
    eps = _adam_eps(variant, b1, b2, eps)
    values = {"b1": b1, "b2": b2, "eps": eps}
    if variant == "pytorch":
        definition = "d_t = m_t / (1 - b1^t) / (sqrt(max_{s<=t} v_s / (1 - b2^t)) + eps)"
        make = _descend(lambda: transforms.scale_by_amsgrad_raw(b1, b2, eps))
        return _componentwise(make, definition, values)
    if variant == "keras":
        definition = "d_t = sqrt(1 - b2^t) / (1 - b1^t) m_t / (sqrt(max_{s<=t} v_s) + eps)"
        make = _descend(lambda: transforms.scale_by_adam_epsilon_hat(b1, b2, eps, largest=True))
        return _componentwise(make, definition, values)
    corrected = variant != "paper"
    definition = "d_t = m_t / (sqrt(max_{s<=t} v_s) + eps)"
    if corrected:
        definition = "d_t = m_t / (1 - b1^t) / (sqrt(max_{s<=t} v_s / (1 - b2^s)) + eps)"
    return _componentwise(
        lambda lr: optax.amsgrad(
            lr, b1=b1, b2=b2, eps=eps, bias_correction_mu=corrected, bias_correction_nu=corrected
        ),
        definition,
        values,
    )


def _adam_eps(variant: str, b1: float, b2: float, eps: float | None) -> float:
    _unit_interval(b1=b1, b2=b2)
    eps = _default(eps, variant, optax=1e-8, keras=1e-7)
    _positive_eps(eps)
    return eps


METHODS: dict[str, Callable[..., Method]] = {
    "sgd": sgd,
    "momentum": momentum,
    "nesterov": nesterov,
    "adagrad": adagrad,
    "rmsprop": rmsprop,
    "adadelta": adadelta,
    "adam": adam,
    "adamax": adamax,
    "nadam": nadam,
    "nadamax": nadamax,
    "amsgrad": amsgrad,
}


def _variants(method: Callable[..., Method]) -> tuple[str, ...]:
    return typing.get_args(typing.get_type_hints(method)["variant"])


VARIANTS: dict[str, tuple[str, ...]] = {name: _variants(m) for name, m in METHODS.items()}
