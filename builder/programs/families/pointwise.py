"""Pointwise motifs: broadcasting chains, bias and activation, gated feed-forward halves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft
from builder.programs.families.registry import family
from builder.programs.shapes import HIDDEN, draw, image_batch, token_batch
from builder.programs.spelling import FEED_FORWARD, activate, add, atom, multiply

if TYPE_CHECKING:
    from random import Random

_UNARY = (
    "tanh", "sigmoid", "gelu", "silu", "softplus", "softsign", "hardtanh", "mish", "elu", "selu",
    "hardsigmoid", "logsigmoid", "tanhshrink", "celu",
)  # fmt: skip


def token_sizes(draft: Draft, budget: int = 1 << 20, multiple: int = 1, high: int = 4096) -> str:
    """Declares batch, seq and hidden; returns the dimensions."""
    hidden = draw(draft.rng, HIDDEN, high=high, multiple=multiple)
    batch, seq = token_batch(draft.rng, hidden, budget)
    draft.size("batch", batch)
    draft.size("seq", seq)
    draft.size("hidden", hidden)
    return "batch seq hidden"


def image_sizes(draft: Draft, channels: int, budget: int = 1 << 20) -> str:
    """Declares batch, channels, height and width; returns the dimensions."""
    batch, height, width = image_batch(draft.rng, channels, budget)
    draft.size("batch", batch)
    draft.size("channels", channels)
    draft.size("height", height)
    draft.size("width", width)
    return "batch channels height width"


@family(level=2)
def pointwise_chain(rng: Random) -> Draft:
    draft = Draft(rng)
    draft.title(
        (
            "GatedMix",
            "FusedPointwise",
            "Modulate",
            "FeatureBlend",
            "AffineActivation",
            "ChannelMix",
        ),
        "Blends a feature map with broadcast operands.",
        "Operands broadcast against the first input; all arithmetic is elementwise.",
    )
    if rng.random() < 0.7:
        dims, images = token_sizes(draft), False
        others = ["hidden", "batch 1 hidden", "batch seq 1", "seq hidden", "batch seq hidden"]
    else:
        dims, images = image_sizes(draft, rng.choice((16, 24, 32, 64, 96, 3, 17))), True
        others = ["channels 1 1", "batch channels 1 1", "batch 1 height width", "height width"]
    draft.vary(*(("batch", "height", "width") if images else ("batch", "seq")))
    x = draft.normal("images" if images else "tokens", dims)
    steps = [(_binary(draft, x, rng.choice(others))) for _ in range(rng.randint(1, 3))]
    for step in steps:
        draft.forward(*step)
        if rng.random() < 0.7:
            draft.forward(f"{x} = {activate(draft, x, _UNARY)}")
    draft.forward(f"return {_finish(draft, x)}")
    return draft


def _binary(draft: Draft, x: str, dims: str) -> list[str]:
    """Lines that combine ``x`` with a new operand of the given dimensions."""
    return [f"{x} = {draft.rng.choice(_COMBINATIONS)(draft, x, dims)}"]


def _affine(draft: Draft, x: str, dims: str) -> str:
    scale = draft.normal(("scale", "gamma", "weight"), dims)
    shift = draft.normal(("shift", "beta", "offset"), dims, 0.5)
    return draft.pick(
        f"{x} * {scale} + {shift}",
        f"{x} * (1 + {scale}) + {shift}",
        f"torch.addcmul({shift}, {x}, {scale})",
    )


def _gate(draft: Draft, x: str, dims: str) -> str:
    gate = draft.normal(("gate", "modulation", "context"), dims)
    return multiply(draft, x, draft.pick(f"torch.sigmoid({gate})", f"{gate}.sigmoid()"))


def _lerp(draft: Draft, x: str, dims: str) -> str:
    other = draft.normal(("other", "previous", "memory"), dims)
    weight = draft.positive(("alpha", "mix"), dims)
    return draft.pick(f"torch.lerp({x}, {other}, {weight})", f"{x} + {weight} * ({other} - {x})")


def _divide(draft: Draft, x: str, dims: str) -> str:
    scale = draft.positive(("scale", "sigma", "spread"), dims, 0.5, 1.0)
    return draft.pick(f"{x} / {scale}", f"torch.div({x}, {scale})", f"{x} / (1 + {scale}.square())")


def _where(draft: Draft, x: str, dims: str) -> str:
    fallback = draft.normal(("fallback", "reference", "default"), dims)
    slope = draft.rng.choice((0.1, 0.25, 0.5))
    test = draft.pick(f"{fallback}.float() > 0", f"{fallback}.float() < {slope}")
    return f"torch.where({test}, {x}, {slope} * {fallback})"


def _distance(draft: Draft, x: str, dims: str) -> str:
    center = draft.normal(("center", "mean", "anchor"), dims)
    return draft.pick(f"torch.exp(-({x} - {center}).abs())", f"({x} - {center}).abs().sqrt()")


def _bound(draft: Draft, x: str, dims: str) -> str:
    floor = draft.normal(("floor", "bound", "threshold"), dims, 0.5)
    return draft.pick(f"torch.maximum({x}, {floor})", f"torch.minimum({x}, {floor} + 1.0)")


_COMBINATIONS = (_affine, _gate, _lerp, _divide, _where, _distance, _bound)


def _finish(draft: Draft, x: str) -> str:
    factor = draft.rng.choice((0.5, 0.7071, 1.5, 2.0))
    return draft.pick(
        x, x, f"{x} * {factor}", f"{x} + {x}.sin()", f"torch.clamp({x}, -{factor}, {factor})"
    )


@family(level=2)
def bias_activation(rng: Random) -> Draft:
    """A bias and an activation, often with a scale or a residual: a projection's epilogue."""
    draft = Draft(rng)
    draft.title(
        ("BiasActivation", "BiasAct", "FusedBias", "ProjectionTail", "BiasThenAct"),
        "Adds a learned bias and applies an activation.",
        "The bias is shared over all positions.",
    )
    dims = token_sizes(draft)
    draft.vary("batch", "seq")
    draft.arguments_of("hidden")
    x = draft.normal("tokens", dims)
    draft.parameter("bias", "hidden", rng.choice((0.1, 0.5, 1.0)))
    draft.forward(f"{x} = {add(draft, x, 'self.bias')}")
    out = activate(draft, x, (*FEED_FORWARD, "tanh", "hardswish", "softplus"))
    ending = rng.choice(("plain", "residual", "scale", "parameter"))
    if ending == "residual":
        residual = draft.normal("residual", dims)
        out = f"{residual} + {out}"
    elif ending == "scale":
        draft.argument("scale", rng.choice((0.5, 1.25, 1.4142, 2.0)))
        out = f"({out}) * $scale" if " " in out else f"{out} * $scale"
    elif ending == "parameter":
        draft.parameter("scale", "hidden", 0.2, 1.0)
        out = f"({out}) * self.scale" if " " in out else f"{out} * self.scale"
    draft.forward(f"return {out}")
    return draft


@family(level=2)
def swiglu(rng: Random) -> Draft:
    return _gated(
        rng,
        ("SwiGLU", "SiluAndMul", "SwishGate", "GatedSiLU"),
        "SwiGLU: one half of the features, through SiLU, gates the other.",
        ("silu",),
    )


@family(level=2)
def geglu(rng: Random) -> Draft:
    return _gated(
        rng,
        ("GEGLU", "GeluAndMul", "GeGLU", "GatedGELU"),
        "GEGLU: one half of the features, through GELU, gates the other.",
        ("gelu", "gelu_tanh", "quick_gelu"),
    )


def _gated(rng: Random, names: tuple[str, ...], doc: str, kinds: tuple[str, ...]) -> Draft:
    draft = Draft(rng)
    draft.title(names, doc, "Shazeer, GLU Variants Improve Transformer, 2020.")
    dims = token_sizes(draft, multiple=2)
    draft.vary("batch", "seq")
    gate, up = rng.choice((("gate", "up"), ("gate", "value"), ("g", "u"), ("a", "b")))
    if rng.random() < 0.3:
        gate, up = draft.normal((gate,), dims), draft.normal((up,), dims)
        if rng.random() < 0.5:
            draft.arguments_of("hidden")
            draft.parameter("bias", "hidden", 0.3)
            draft.forward(f"{gate} = {gate} + self.bias")
    else:
        x = draft.normal("tokens", dims)
        split = (
            f"{gate}, {up} = {x}.chunk(2, dim=-1)",
            f"{gate}, {up} = torch.chunk({x}, 2, dim=-1)",
            f"{gate}, {up} = {x}[..., ::2], {x}[..., 1::2]",
            f"half = {x}.shape[-1] // 2\n{gate}, {up} = {x}[..., :half], {x}[..., half:]",
        )
        draft.forward(*rng.choice(split).split("\n"))
    act = activate(draft, gate, kinds)
    if rng.random() < 0.3:
        draft.forward(f"gated = {act}", f"return gated * {up}")
    else:
        draft.forward(f"return {draft.pick(f'{act} * {up}', f'{up} * {atom(act)}')}")
    return draft
