"""One step of an optimiser, as a function of parameters, gradients and state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft
from builder.programs.families.registry import family
from builder.programs.shapes import MATMUL, draw

if TYPE_CHECKING:
    from random import Random


def _tensors(draft: Draft, dtype: str = "float32") -> tuple[str, str, str]:
    """Declares the parameter's sizes; returns dimensions, parameter and gradient."""
    draft.size("rows", draw(draft.rng, MATMUL, high=640))
    draft.size("columns", draw(draft.rng, MATMUL, high=640))
    draft.vary("rows", "columns", chance=0.6)
    dims = "rows columns"
    param = draft.normal(("param", "p", "weight"), dims, 0.5, dtype)
    grad = draft.normal(("grad", "g", "gradient"), dims, 0.1, dtype)
    return dims, param, grad


@family(level=3)
def adam_step(rng: Random) -> Draft:
    """Kingma and Ba, Adam, 2015; decoupled decay: Loshchilov and Hutter, 2019."""
    draft = Draft(rng, ("float32", "float32", "bfloat16"))
    decoupled = rng.random() < 0.5
    draft.title(
        ("AdamWStep", "AdamWUpdate", "FusedAdamW") if decoupled else ("AdamStep", "AdamUpdate"),
        f"One step of Adam{'W' if decoupled else ''}: the new parameter and the new moments.",
        "Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019."
        if decoupled
        else "Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015.",
    )
    dims, param, grad = _tensors(draft, draft.dtype)
    m = draft.normal(("exp_avg", "m", "momentum"), dims, 0.1, "float32")
    v = draft.positive(("exp_avg_sq", "v", "second_moment"), dims, 0.001, 0.05, "float32")
    draft.argument("lr", rng.choice((1e-2, 3e-2, 1e-1)))
    draft.argument("beta1", rng.choice((0.9, 0.8)))
    draft.argument("beta2", rng.choice((0.999, 0.99, 0.95)))
    draft.argument("eps", rng.choice((1e-8, 1e-6)))
    draft.argument("weight_decay", rng.choice((0.01, 0.1)))
    step = rng.choice((1, 2, 10, 100))
    draft.returns = "tuple[torch.Tensor, torch.Tensor, torch.Tensor]"
    p, g = param, grad
    if draft.dtype != "float32":
        draft.forward(f"p, g = {param}.float(), {grad}.float()")
        p, g = "p", "g"
    if not decoupled:
        draft.forward(f"{g} = {g} + $weight_decay * {p}")
    draft.forward(
        f"{m} = "
        + draft.pick(f"$beta1 * {m} + (1 - $beta1) * {g}", f"torch.lerp({g}, {m}, $beta1)"),
        f"{v} = $beta2 * {v} + (1 - $beta2) * {draft.pick(f'{g} * {g}', f'{g}.square()')}",
        f"m_hat = {m} / (1 - $beta1**{step})",
        f"v_hat = {v} / (1 - $beta2**{step})",
    )
    if decoupled:
        draft.forward(f"{p} = {p} * (1 - $lr * $weight_decay)")
    root = draft.pick("v_hat.sqrt()", "torch.sqrt(v_hat)")
    draft.forward(f"{p} = {p} - $lr * m_hat / ({root} + $eps)")
    result = p if draft.dtype == "float32" else f"{p}.to({param}.dtype)"
    draft.forward(f"return {result}, {m}, {v}")
    return draft


@family(level=3)
def momentum_step(rng: Random) -> Draft:
    """SGD with momentum, Lion, RMSProp, Adagrad."""
    draft = Draft(rng, ("float32",))
    kind = rng.choice(("sgd", "nesterov", "lion", "rmsprop", "adagrad"))
    names, doc = {
        "sgd": (("SGDMomentum", "SGDStep", "MomentumUpdate"), "SGD with momentum"),
        "nesterov": (("NesterovStep", "NesterovSGD"), "SGD with Nesterov momentum"),
        "lion": (("LionStep", "LionUpdate"), "Lion"),
        "rmsprop": (("RMSPropStep", "RMSPropUpdate"), "RMSProp"),
        "adagrad": (("AdagradStep", "AdagradUpdate"), "Adagrad"),
    }[kind]
    draft.title(names, f"One step of {doc}: the new parameter and the new state.")
    dims, p, g = _tensors(draft)
    draft.argument("lr", rng.choice((1e-2, 3e-2, 1e-1)))
    draft.returns = "tuple[torch.Tensor, torch.Tensor]"
    if kind in {"rmsprop", "adagrad"}:
        state = draft.positive(("square_avg", "state_sum", "v"), dims, 0.001, 0.05)
        draft.argument("eps", rng.choice((1e-8, 1e-6, 1e-10)))
        square = draft.pick(f"{g} * {g}", f"{g}.square()", f"{g}**2")
        if kind == "rmsprop":
            draft.argument("alpha", rng.choice((0.99, 0.9)))
            draft.forward(f"{state} = $alpha * {state} + (1 - $alpha) * {square}")
        else:
            draft.forward(f"{state} = {state} + {square}")
        root = draft.pick(f"{state}.sqrt()", f"torch.sqrt({state})")
        draft.forward(f"return {p} - $lr * {g} / ({root} + $eps), {state}")
        return draft
    m = draft.normal(("momentum_buffer", "exp_avg", "velocity"), dims, 0.1)
    draft.argument("weight_decay", rng.choice((1e-2, 1e-3, 0.1)))
    if kind == "lion":
        draft.argument("beta1", 0.9)
        draft.argument("beta2", rng.choice((0.99, 0.98)))
        draft.forward(
            f"update = torch.tanh(10.0 * ($beta1 * {m} + (1 - $beta1) * {g}))"
            if rng.random() < 0.3
            else f"update = torch.sign($beta1 * {m} + (1 - $beta1) * {g})",
            f"{p} = {p} * (1 - $lr * $weight_decay) - $lr * update",
            f"{m} = $beta2 * {m} + (1 - $beta2) * {g}",
            f"return {p}, {m}",
        )
        return draft
    draft.argument("momentum", rng.choice((0.9, 0.95, 0.8)))
    draft.forward(f"{g} = {g} + $weight_decay * {p}")
    draft.forward(
        f"{m} = {draft.pick(f'$momentum * {m} + {g}', f'torch.add({g}, {m}, alpha=$momentum)')}"
    )
    step = m if kind == "sgd" else f"({g} + $momentum * {m})"
    draft.forward(f"return {p} - $lr * {step}, {m}")
    return draft
