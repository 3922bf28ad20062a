"""Gates for the channels and pixels of a feature map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms
from builder.programs.families.pointwise import image_sizes
from builder.programs.families.registry import family
from builder.programs.shapes import (
    CHANNELS,
    draw,
)
from builder.programs.spelling import CONVOLUTIONAL, activate, multiply

if TYPE_CHECKING:
    from random import Random

_GATES: Forms = {
    "linear": (
        ("SqueezeExcitation", "SELayer", "ChannelGate"),
        "Reweights channels by a small network on their means.",
    ),
    "pooled": (
        ("PooledChannelGate", "CBAMChannelGate", "MeanMaxGate"),
        "Reweights channels by one network on their means and maxima.",
    ),
    "efficient": (
        ("EfficientChannelAttention", "ECALayer", "LocalChannelGate"),
        "Reweights channels by a short filter over their means.",
    ),
    "context": (
        ("GlobalContext", "ContextBlock", "AttentionPoolGate"),
        "Adds to each channel what an attention over the pixels gathers.",
    ),
    "spatial": (
        ("ConcurrentGate", "SpatialChannelGate", "DualSqueeze"),
        "Reweights channels by their means, and pixels by their channels.",
    ),
}


@family(level=3)
def squeeze_excitation(rng: Random) -> Draft:
    """Hu et al., 2017; Woo et al., 2018; Cao et al., 2019; Wang et al., 2019 (efficient)."""
    draft = Draft(rng)
    form = draft.form(_GATES, "The gate looks at the whole image.")
    dims = image_sizes(draft, draw(rng, CHANNELS, high=512), 1 << 19)
    draft.vary("batch", "height", "width")
    x = draft.normal("images", dims)
    entry = y = x
    if rng.random() < 0.25:
        y = draft.pick("y", "out")
        draft.forward(f"{y} = {activate(draft, x, CONVOLUTIONAL[:4])}")
    {
        "linear": _linear_gate,
        "pooled": _pooled_gate,
        "efficient": _efficient_gate,
        "context": _context_gate,
        "spatial": _spatial_gate,
    }[form](draft, y)
    if form == "context":
        result = f"{y} + context"
    else:
        result = multiply(draft, y, "gate")
        if rng.random() < 0.4:
            result = f"{entry} + {y} * gate"
    if rng.random() < 0.25:
        draft.forward(f"scaled = {result}")
        result = activate(draft, "scaled", ("relu", "silu", "gelu"), module=False)
    draft.forward(f"return {result}")
    return draft


def _squeezed(draft: Draft) -> None:
    """Declares the width of the small network."""
    draft.arguments_of("channels")
    reduced = max(4, draft.values["channels"] // draft.rng.choice((2, 4, 8, 16)))
    draft.argument("squeezed", reduced)


def _means(draft: Draft, x: str, *, keep: bool) -> str:
    kept = ", keepdim=True" if keep else ""
    return draft.pick(
        f"{x}.mean(dim=(2, 3){kept})",
        f"F.adaptive_avg_pool2d({x}, 1){'' if keep else '.flatten(1)'}",
        f"{x}.flatten(2).mean(dim=-1){'[..., None, None]' if keep else ''}",
    )


def _sigmoid(draft: Draft, x: str) -> str:
    return draft.pick(f"torch.sigmoid({x})", f"F.hardsigmoid({x})", f"1 + torch.tanh({x})")


def _linear_gate(draft: Draft, x: str) -> None:
    _squeezed(draft)
    if draft.rng.random() < 0.5:
        layers = ("nn.Linear($channels, $squeezed$dt)", "nn.Linear($squeezed, $channels$dt)")
        spread = "[:, :, None, None]"
    else:
        layers = (
            "nn.Conv2d($channels, $squeezed, 1$dt)",
            "nn.Conv2d($squeezed, $channels, 1$dt)",
        )
        spread = ""
    first, second = draft.rng.choice((("reduce", "expand"), ("fc1", "fc2"), ("down", "up")))
    draft.init(f"self.{first} = {layers[0]}", f"self.{second} = {layers[1]}")
    draft.forward(f"s = {_means(draft, x, keep=not spread)}", f"s = self.{first}(s)")
    draft.forward(f"s = {activate(draft, 's', ('relu', 'silu', 'gelu'))}")
    draft.forward(f"gate = {_sigmoid(draft, f'self.{second}(s){spread}')}")


def _pooled_gate(draft: Draft, x: str) -> None:
    _squeezed(draft)
    act = draft.pick("nn.ReLU()", "nn.SiLU()", "nn.GELU()")
    draft.init(
        f"self.mlp = nn.Sequential(nn.Linear($channels, $squeezed$dt), {act}, "
        "nn.Linear($squeezed, $channels$dt))"
    )
    spread = draft.pick("[:, :, None, None]", ".unsqueeze(-1).unsqueeze(-1)")
    peak = draft.pick(f"{x}.amax(dim=(2, 3))", f"{x}.flatten(2).amax(dim=-1)")
    draft.forward(
        f"mean = {_means(draft, x, keep=False)}",
        f"peak = {peak}",
        f"s = {draft.pick('self.mlp(mean) + self.mlp(peak)', 'self.mlp(mean + peak)')}",
        f"gate = torch.sigmoid(s){spread}",
    )


def _efficient_gate(draft: Draft, x: str) -> None:
    kernel = draft.rng.choice((3, 5, 7))
    draft.init(f"self.conv = nn.Conv1d(1, 1, {kernel}, padding={kernel // 2}, bias=False$dt)")
    draft.forward(
        f"s = {_means(draft, x, keep=False)}",
        "s = self.conv(s.unsqueeze(1)).squeeze(1)",
        f"gate = {draft.pick('torch.sigmoid', 'F.hardsigmoid')}(s)[:, :, None, None]",
    )


def _context_gate(draft: Draft, x: str) -> None:
    _squeezed(draft)
    draft.init("self.attention = nn.Conv2d($channels, 1, 1$dt)")
    draft.init("self.down = nn.Linear($channels, $squeezed$dt)")
    draft.init("self.up = nn.Linear($squeezed, $channels$dt)")
    weights = draft.pick("torch.softmax(scores, dim=-1)", "scores.softmax(dim=-1)")
    gathered = draft.pick(
        f'torch.einsum("bcn,bn->bc", {x}.flatten(2), weights)',
        f"({x}.flatten(2) * weights.unsqueeze(1)).sum(dim=-1)",
        f"torch.bmm({x}.flatten(2), weights.unsqueeze(-1)).squeeze(-1)",
    )
    draft.forward(
        f"scores = self.attention({x}).flatten(1)",
        f"weights = {weights}",
        f"s = self.down({gathered})",
        f"s = {activate(draft, 's', ('relu', 'gelu', 'silu'))}",
        "context = self.up(s)[:, :, None, None]",
    )


def _spatial_gate(draft: Draft, x: str) -> None:
    draft.arguments_of("channels")
    draft.init("self.channel = nn.Linear($channels, $channels$dt)")
    draft.init("self.pixel = nn.Conv2d($channels, 1, 1$dt)")
    draft.forward(
        f"channel = torch.sigmoid(self.channel({_means(draft, x, keep=False)}))",
        f"pixel = {draft.pick(f'torch.sigmoid(self.pixel({x}))', f'self.pixel({x}).sigmoid()')}",
    )
    combined = draft.pick("{} + pixel", "torch.maximum({}, pixel)", "{} * pixel")
    draft.forward(f"gate = {combined.format('channel[:, :, None, None]')}")
