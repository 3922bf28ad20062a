"""Steps of optimisers that look at signs, or at a matrix as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms
from builder.programs.families.registry import family
from builder.programs.shapes import MATMUL, draw

if TYPE_CHECKING:
    from random import Random

PARAM, GRAD = ("param", "p", "weight", "w"), ("grad", "g", "gradient")
MOMENTUM = ("exp_avg", "m", "momentum", "buf")

_LION: Forms = {
    "lion": (("LionOptimizer", "LionUpdateStep"), "One step of Lion: the sign of a mixture."),
    "cautious": (
        ("CautiousLion", "CautiousSignStep"),
        "One step of Lion where its direction and the gradient agree.",
    ),
    "signum": (
        ("Signum", "SignMomentum"),
        "One step along the sign of the momentum, with decoupled decay.",
    ),
    "smooth": (
        ("SmoothLion", "RefinedLion", "SoftSignStep"),
        "One step of Lion with a smooth curve in the place of the sign.",
    ),
}


@family(level=3)
def lion_step(rng: Random) -> Draft:
    """Chen et al., Symbolic Discovery of Optimization Algorithms, 2023; Liang et al., Cautious
    Optimizers, 2024.
    """
    draft = Draft(rng, ("float32", "float32", "bfloat16"))
    form = draft.form(_LION, "Returns the new parameter and the new momentum, which is float32.")
    draft.size("rows", draw(rng, MATMUL, high=640))
    draft.size("columns", draw(rng, MATMUL, high=640))
    draft.vary("rows", "columns")
    dims = "rows columns"
    param, grad = draft.normal(PARAM, dims, 0.5), draft.normal(GRAD, dims, 0.1)
    m = draft.normal(MOMENTUM, dims, 0.1, "float32")
    draft.argument("lr", rng.choice((1e-3, 1e-2, 3e-2)))
    draft.argument("weight_decay", rng.choice((0.01, 0.1, 1.0)))
    if form != "signum":
        draft.argument("beta1", rng.choice((0.9, 0.95)))
    draft.argument("beta2", rng.choice((0.9, 0.95) if form == "signum" else (0.98, 0.99)))
    draft.returns = "tuple[torch.Tensor, torch.Tensor]"
    p, g = param, grad
    if draft.dtype != "float32":
        p, g = "p32", "g32"
        draft.forward(f"p32, g32 = {param}.float(), {grad}.float()")
    new_m = draft.pick(
        f"$beta2 * {m} + (1 - $beta2) * {g}",
        f"torch.lerp({g}, {m}, $beta2)",
        f"{m}.lerp({g}, 1 - $beta2)",
    )
    if form == "signum":
        draft.forward(f"{m} = {new_m}")
    decayed = draft.pick(f"{p} * (1 - $lr * $weight_decay)", f"{p} - $lr * $weight_decay * {p}")
    draft.forward(f"{p} = {decayed}", f"{p} = {p} - $lr * {_direction(draft, form, g, m)}")
    result = p if p == param else f"{p}.to({param}.dtype)"
    draft.forward(f"return {result}, {m if form == 'signum' else new_m}")
    return draft


def _direction(draft: Draft, form: str, g: str, m: str) -> str:
    """Lines of the direction of the step, where it needs some; returns its expression."""
    if form == "signum":
        return draft.pick(f"torch.sign({m})", f"{m}.sign()")
    mixed = draft.pick(
        f"$beta1 * {m} + (1 - $beta1) * {g}",
        f"torch.lerp({g}, {m}, $beta1)",
        f"{g} + $beta1 * ({m} - {g})",
    )
    draft.forward(f"mixed = {mixed}")
    if form == "smooth":
        draft.argument("sharpness", draft.rng.choice((10.0, 30.0, 100.0)))
        return draft.pick(
            "torch.tanh($sharpness * mixed)",
            "(mixed * $sharpness).tanh()",
            "(2.0 / math.pi * torch.atan($sharpness * mixed))",
        )
    if form == "lion":
        return draft.pick("torch.sign(mixed)", "mixed.sign()")
    draft.forward(
        f"update = {draft.pick('mixed.sign()', 'torch.sign(mixed)')}",
        f"agrees = ({draft.pick(f'update * {g}', f'{g} * update')} > 0).float()",
    )
    if draft.rng.random() < 0.5:
        draft.forward("agrees = agrees / agrees.mean().clamp(min=1e-3)")
    return "update * agrees"


_ORTHOGONAL: Forms = {
    "quintic": (
        ("NewtonSchulz", "MuonOrthogonalize", "ZeropowerNewtonSchulz"),
        "Moves the singular values of a matrix towards one by a polynomial of degree five.",
    ),
    "cubic": (
        ("CubicNewtonSchulz", "PolarIteration", "OrthogonalProjection"),
        "Moves a matrix towards the nearest orthogonal one by Newton and Schulz' iteration.",
    ),
    "step": (
        ("MuonStep", "MuonUpdate", "OrthogonalMomentumStep"),
        "One step of Muon: momentum, orthogonalised, with decoupled decay.",
    ),
}
_COEFFICIENTS = ((3.4445, -4.7750, 2.0315), (3.0, -3.2, 1.2), (1.875, -1.25, 0.375))


@family(level=4)
def orthogonalise_step(rng: Random) -> Draft:
    """Jordan et al., Muon, 2024; Björck and Bowie, 1971."""
    draft = Draft(rng, ("float32", "float32", "float32", "bfloat16"))
    form = draft.form(_ORTHOGONAL, "The matrix is first scaled by its Frobenius norm.")
    rows = draft.size("rows", rng.choice((32, 48, 64, 64, 96, 128, 33, 50)))
    columns = draft.size("columns", rng.choice((32, 64, 64, 96, 128, 100, 77)))
    draft.vary("columns" if rows <= columns else "rows")
    name = _iteration(draft, "cubic" if form == "cubic" else "quintic", is_tall=rows > columns)
    steps = rng.choice((2, 3) if form == "cubic" else (1, 2, 2, 3))
    if form == "step":
        _muon(draft, f"{name}({{x}}, {steps})")
        return draft
    draft.level = 3
    x = draft.normal((*GRAD, "x", "matrix"), "rows columns", rng.choice((0.1, 1.0)))
    gain = rng.choice(("", f"0.2 * max({x}.shape) ** 0.5", f"({x}.shape[0] / {x}.shape[1]) ** 0.5"))
    if gain:
        draft.forward(f"gain = {gain}", f"return gain * {name}({x}, {steps})")
    else:
        draft.forward(f"return {name}({x}, {steps})")
    return draft


def _iteration(draft: Draft, form: str, *, is_tall: bool) -> str:
    """Adds the function of a matrix and a number of steps; returns its name.

    Products are as small as they can be: the Gram matrix is that of the shorter side.
    """
    name = draft.pick("orthogonalize", "newton_schulz", "zeropower")
    eps = draft.pick("1e-7", "1e-8", "1e-6")
    norm = draft.pick("x.norm()", "torch.linalg.vector_norm(x)", "x.square().sum().sqrt()")
    gram = "x.mT @ x" if is_tall else "x @ x.mT"
    lines = [f"def {name}(x, steps):"]
    if form == "cubic":
        applied = "x @ gram" if is_tall else "gram @ x"
        body = [f"gram = {gram}", f"x = 1.5 * x - 0.5 * ({applied})"]
    else:
        a, b, c = draft.rng.choice(_COEFFICIENTS)
        applied = "x @ poly" if is_tall else "poly @ x"
        body = [
            f"gram = {gram}",
            draft.pick(
                f"poly = {b} * gram + {c} * (gram @ gram)",
                f"poly = torch.addmm(gram, gram, gram, beta={b}, alpha={c})",
            ),
            f"x = {a} * x + {applied}",
        ]
    lines += [f"    x = x / ({norm} + {eps})", "    for _ in range(steps):"]
    draft.helper(*lines, *(f"        {line}" for line in body), "    return x")
    return name


def _muon(draft: Draft, call: str) -> None:
    """Lines of the whole step: momentum, Nesterov's or plain, and the new parameter."""
    dims = "rows columns"
    param, grad = draft.normal(PARAM, dims, 0.5), draft.normal(GRAD, dims, 0.1)
    m = draft.normal(MOMENTUM, dims, 0.1)
    draft.argument("lr", draft.rng.choice((0.02, 0.05, 0.1)))
    draft.argument("beta", draft.rng.choice((0.9, 0.95)))
    draft.argument("weight_decay", draft.rng.choice((0.01, 0.1)))
    draft.returns = "tuple[torch.Tensor, torch.Tensor]"
    mixed = draft.pick(f"$beta * {m} + {grad}", f"torch.add({grad}, {m}, alpha=$beta)")
    draft.forward(f"{m} = {mixed}")
    direction = m
    if draft.rng.random() < 0.5:
        direction = f"{grad} + $beta * {m}"
    draft.forward(
        f"update = {call.format(x=direction)}",
        f"{param} = {param} * (1 - $lr * $weight_decay)",
        f"return {param} - $lr * update, {m}",
    )
