"""One step of an optimiser, as a function of parameters, gradients and state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms
from builder.programs.families.registry import family
from builder.programs.shapes import MATMUL, draw

if TYPE_CHECKING:
    from random import Random

_ADAM: Forms = {
    "adam": (("AdamStep", "AdamUpdate"), "One step of Adam: new parameter and new moments."),
    "adamw": (("AdamWStep", "AdamWUpdate"), "One step of AdamW: new parameter and new moments."),
}
_MOMENTUM: Forms = {
    "sgd": (("SGDMomentum", "MomentumUpdate"), "One step of SGD with momentum."),
    "nesterov": (("NesterovStep", "NesterovSGD"), "One step of SGD with Nesterov momentum."),
    "lion": (("LionStep", "LionUpdate"), "One step of Lion."),
}
_ADAPTIVE: Forms = {
    "rmsprop": (("RMSPropStep", "RMSPropUpdate"), "One step of RMSProp."),
    "adagrad": (("AdagradStep", "AdagradUpdate"), "One step of Adagrad."),
}


def _tensors(draft: Draft, dtype: str = "float32") -> tuple[str, str, str]:
    """Declares the parameter's sizes; returns dimensions, parameter and gradient."""
    draft.size("rows", draw(draft.rng, MATMUL, high=640))
    draft.size("columns", draw(draft.rng, MATMUL, high=640))
    draft.vary("rows", "columns", chance=0.6)
    dims = "rows columns"
    param = draft.normal(("param", "p", "weight"), dims, 0.5, dtype)
    grad = draft.normal(("grad", "g", "gradient"), dims, 0.1, dtype)
    draft.argument("lr", draft.rng.choice((1e-2, 3e-2, 1e-1)))
    return dims, param, grad


@family(level=3)
def adam_step(rng: Random) -> Draft:
    """Kingma and Ba, Adam, 2015; decoupled decay: Loshchilov and Hutter, 2019."""
    draft = Draft(rng, ("float32", "float32", "bfloat16"))
    decoupled = draft.form(_ADAM, "The moments are kept in float32.") == "adamw"
    dims, param, grad = _tensors(draft, draft.dtype)
    m = draft.normal(("exp_avg", "m", "momentum"), dims, 0.1, "float32")
    v = draft.positive(("exp_avg_sq", "v", "second_moment"), dims, 0.001, 0.05, "float32")
    draft.argument("beta1", rng.choice((0.9, 0.8)))
    draft.argument("beta2", rng.choice((0.999, 0.99, 0.95)))
    draft.argument("eps", rng.choice((1e-8, 1e-6)))
    draft.argument("weight_decay", rng.choice((0.01, 0.1)))
    draft.returns = "tuple[torch.Tensor, torch.Tensor, torch.Tensor]"
    p, g = param, grad
    if draft.dtype != "float32":
        p, g = "p32", "g32"
        draft.forward(f"p32, g32 = {param}.float(), {grad}.float()")
    if not decoupled:
        draft.forward(f"{g} = {g} + $weight_decay * {p}")
    _moments(draft, m, v, g)
    if decoupled:
        draft.forward(f"{p} = {p} * (1 - $lr * $weight_decay)")
    root = draft.pick("v_hat.sqrt()", "torch.sqrt(v_hat)")
    draft.forward(f"{p} = {p} - $lr * m_hat / ({root} + $eps)")
    draft.forward(f"return {p if p == param else f'{p}.to({param}.dtype)'}, {m}, {v}")
    return draft


def _moments(draft: Draft, m: str, v: str, g: str) -> None:
    """Lines of the new moments and their bias-corrected values."""
    step = draft.rng.choice((1, 2, 10, 100))
    mixed = draft.pick(f"$beta1 * {m} + (1 - $beta1) * {g}", f"torch.lerp({g}, {m}, $beta1)")
    draft.forward(
        f"{m} = {mixed}",
        f"{v} = $beta2 * {v} + (1 - $beta2) * {draft.pick(f'{g} * {g}', f'{g}.square()')}",
        f"m_hat = {m} / (1 - $beta1**{step})",
        f"v_hat = {v} / (1 - $beta2**{step})",
    )


@family(level=3)
def momentum_step(rng: Random) -> Draft:
    """SGD with momentum, plain or Nesterov's; Lion: Chen et al., 2023."""
    draft = Draft(rng, ("float32",))
    form = draft.form(_MOMENTUM, "Returns the new parameter and the new momentum.")
    dims, p, g = _tensors(draft)
    m = draft.normal(("momentum_buffer", "exp_avg", "velocity"), dims, 0.1)
    draft.returns = "tuple[torch.Tensor, torch.Tensor]"
    draft.argument("weight_decay", rng.choice((1e-2, 1e-3, 0.1)))
    if form == "lion":
        draft.argument("beta1", 0.9)
        draft.argument("beta2", rng.choice((0.99, 0.98)))
        draft.forward(
            f"update = torch.sign($beta1 * {m} + (1 - $beta1) * {g})",
            f"{p} = {p} * (1 - $lr * $weight_decay) - $lr * update",
            f"{m} = $beta2 * {m} + (1 - $beta2) * {g}",
            f"return {p}, {m}",
        )
        return draft
    draft.argument("momentum", rng.choice((0.9, 0.95, 0.8)))
    mixed = draft.pick(f"$momentum * {m} + {g}", f"torch.add({g}, {m}, alpha=$momentum)")
    draft.forward(f"{g} = {g} + $weight_decay * {p}", f"{m} = {mixed}")
    step = m if form == "sgd" else f"({g} + $momentum * {m})"
    draft.forward(f"return {p} - $lr * {step}, {m}")
    return draft


@family(level=3)
def adaptive_step(rng: Random) -> Draft:
    """RMSProp: Tieleman and Hinton, 2012; Adagrad: Duchi et al., 2011."""
    draft = Draft(rng, ("float32",))
    form = draft.form(_ADAPTIVE, "Returns the new parameter and the new squared average.")
    dims, p, g = _tensors(draft)
    state = draft.positive(("square_avg", "state_sum", "v"), dims, 0.001, 0.05)
    draft.returns = "tuple[torch.Tensor, torch.Tensor]"
    draft.argument("eps", rng.choice((1e-8, 1e-6, 1e-10)))
    square = draft.pick(f"{g} * {g}", f"{g}.square()", f"{g}**2")
    if form == "rmsprop":
        draft.argument("alpha", rng.choice((0.99, 0.9)))
        draft.forward(f"{state} = $alpha * {state} + (1 - $alpha) * {square}")
    else:
        draft.forward(f"{state} = {state} + {square}")
    if rng.random() < 0.4:
        draft.argument("clip", rng.choice((0.1, 1.0)))
        draft.forward(f"{g} = {g}.clamp(-$clip, $clip)")
    root = draft.pick(f"{state}.sqrt()", f"torch.sqrt({state})")
    draft.forward(f"return {p} - $lr * {g} / ({root} + $eps), {state}")
    return draft
