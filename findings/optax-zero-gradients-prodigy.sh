#!/usr/bin/env bash
# optax 0.2.8, jax 0.10.2: `optax.contrib.prodigy` and `optax.contrib.dadapt_adamw`, at their own
# defaults, turn every parameter into not-a-number if all gradients of the first step are zero, and
# never recover. A good engineer would expect what the other optimizers of the Adam family do, `adam`
# among them: without a gradient nothing moves (but for weight decay).
#
# All gradients are exactly zero where a network is constant and already at its best constant, or if
# what is trained lies behind a layer of ReLUs that are all inactive: valid input of any training.
# Both methods estimate their step size as a quotient of sums over gradients, which is 0/0 there.
# (The reference implementation of D-Adaptation met the same: facebookresearch/dadaptation, pull
# request 13, 2023.)
#
# Seen 2026-11-28 on a CPU. Fails if the behaviour changes.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    "jax==0.10.2" "jaxlib==0.10.2" "optax==0.2.8" "numpy>=2,<3" 2> "$folder/pip.log" ||
    { cat "$folder/pip.log" >&2; exit 1; }
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import jax.numpy as jnp
import optax

OPTIMIZERS = {
    "adam": (optax.adam(1e-3), False),
    "adamw": (optax.adamw(1e-3), False),
    "contrib.prodigy": (optax.contrib.prodigy(), True),
    "contrib.dadapt_adamw": (optax.contrib.dadapt_adamw(), True),
}
print(f"optax {optax.__version__}: three parameters 1.0 after a step with all gradients 0 and two with 1.0")
changed = []
for name, (optimizer, spoiled) in OPTIMIZERS.items():
    parameters = jnp.ones(3)
    state = optimizer.init(parameters)
    for gradient in (0.0, 1.0, 1.0):
        updates, state = optimizer.update(jnp.full(3, gradient), state, parameters)
        parameters = optax.apply_updates(parameters, updates)
    print(f"  {name:22s} {[round(float(p), 6) for p in parameters]}")
    if bool(jnp.isnan(parameters).all()) != spoiled:
        changed.append(name)
if changed:
    raise SystemExit(f"the behaviour has changed: {', '.join(changed)}")
PYTHON
