"""Dilated convolutions with gates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms
from builder.programs.families.registry import family
from builder.programs.shapes import (
    CHANNELS,
    SPATIAL,
    draw,
)
from builder.programs.spelling import activate

if TYPE_CHECKING:
    from random import Random

_DILATED: Forms = {
    "causal": (
        ("WaveNetLayer", "CausalDilatedConv", "GatedCausalConv"),
        "A causal dilated convolution with a gate, added to its input.",
    ),
    "centred": (
        ("GatedDilatedConv", "TemporalGatedConv", "DilatedGLU"),
        "A dilated convolution over time with a gate.",
    ),
    "pair": (
        ("TwoBranchGate", "FilterGateConv", "GatedActivationUnit"),
        "Two dilated convolutions, one the gate of the other.",
    ),
    "written": (
        ("DilatedTaps", "StridedTaps", "CausalTaps"),
        "A causal dilated convolution as a sum of products with shifted inputs.",
    ),
    "image": (
        ("AtrousGate", "DilatedImageGate", "ContextConv"),
        "A dilated convolution of an image with a gate.",
    ),
    "pyramid": (
        ("AtrousPyramid", "DilationPyramid", "MultiScaleConv"),
        "Sums convolutions of several dilations.",
    ),
}


@family(level=3)
def dilated_conv(rng: Random) -> Draft:
    """Van den Oord et al., WaveNet, 2016; Chen et al., DeepLab, 2016."""
    draft = Draft(rng, ("float32", "float32", "bfloat16", "float16"))
    form = draft.form(_DILATED, "The output has the length of the input.")
    image = form in {"image", "pyramid"}
    high = 32 if draft.dtype == "float16" else 64
    draft.size("batch", rng.choice((1, 2) if draft.dtype == "float16" else (1, 2, 3, 4)))
    draft.size("channels", draw(rng, CHANNELS, high=high))
    if image:
        draft.size("height", draw(rng, SPATIAL, 7, 14 if high == 32 else 28))
        draft.size("width", draw(rng, SPATIAL, 7, 14 if high == 32 else 28))
        draft.vary("batch", "height", "width")
    else:
        draft.size("seq", rng.choice((64, 100, 127, 128, 197, 256)))
        draft.vary("batch", "seq")
    draft.arguments_of("channels")
    dims = "batch channels height width" if image else "batch channels seq"
    x = draft.normal("images" if image else ("x", "signal", "inputs", "hidden"), dims)
    if form == "pyramid":
        _pyramid(draft, x)
        return draft
    {
        "causal": _causal,
        "centred": _centred,
        "pair": _pair,
        "written": _written,
        "image": _image,
    }[form](draft, x)
    return draft


def _gated(draft: Draft) -> list[str]:
    """Lines that halve ``y`` and gate one half by the other."""
    if draft.rng.random() < 0.3:
        return ["y = F.glu(y, dim=1)"]
    halves = draft.pick(
        "y.chunk(2, dim=1)", "torch.chunk(y, 2, dim=1)", "y.split($channels, dim=1)"
    )
    product = draft.pick(
        "torch.tanh(value) * torch.sigmoid(gate)",
        "value.tanh() * gate.sigmoid()",
        "F.silu(value) * torch.sigmoid(gate)",
    )
    return [f"value, gate = {halves}", f"y = {product}"]


def _joined(draft: Draft, x: str) -> None:
    """The last lines: a residual, through a 1x1 convolution or not."""
    ending = draft.rng.choice(("sum", "projected", "outputs", "scaled"))
    layer = "nn.Conv2d" if "height" in draft.values else "nn.Conv1d"
    if ending == "sum":
        draft.forward(f"return {draft.pick(f'{x} + y', f'y + {x}')}")
    elif ending == "scaled":
        draft.forward(f"return {draft.pick(f'({x} + y) * 0.7071', f'({x} + y) * math.sqrt(0.5)')}")
    elif ending == "projected":
        draft.init(f"self.proj = {layer}($channels, $channels, 1$dt)")
        draft.forward(f"return {x} + self.proj(y)")
    else:
        draft.returns = "tuple[torch.Tensor, torch.Tensor]"
        draft.init(f"self.skip = {layer}($channels, $channels, 1$dt)")
        draft.forward("skip = self.skip(y)", f"return {x} + y, skip")
        draft.level = 4


def _causal(draft: Draft, x: str) -> None:
    kernel, dilation = draft.rng.choice((2, 3)), draft.rng.choice((1, 2, 4, 8, 16))
    draft.argument("dilation", dilation)
    draft.init(f"self.conv = nn.Conv1d($channels, 2 * $channels, {kernel}, dilation=$dilation$dt)")
    reach = "$dilation" if kernel == 2 else "2 * $dilation"
    draft.forward(f"y = self.conv(F.pad({x}, ({reach}, 0)))", *_gated(draft))
    _joined(draft, x)


def _centred(draft: Draft, x: str) -> None:
    draft.argument("dilation", draft.rng.choice((1, 2, 3, 4, 8)))
    options = "3, padding=$dilation, dilation=$dilation"
    draft.init(f"self.conv = nn.Conv1d($channels, 2 * $channels, {options}$dt)")
    draft.forward(f"y = self.conv({x})", *_gated(draft))
    _joined(draft, x)


def _pair(draft: Draft, x: str) -> None:
    draft.argument("dilation", draft.rng.choice((1, 2, 4)))
    kernel = draft.rng.choice((3, 5))
    padding = "$dilation" if kernel == 3 else "2 * $dilation"
    names = draft.rng.choice((("filter_conv", "gate_conv"), ("value", "gate"), ("conv1", "conv2")))
    options = f"{kernel}, padding={padding}, dilation=$dilation"
    for name in names:
        draft.init(f"self.{name} = nn.Conv1d($channels, $channels, {options}$dt)")
    gate = draft.pick("torch.sigmoid", "F.hardsigmoid")
    value = draft.pick("torch.tanh", "F.softsign", "F.gelu")
    draft.forward(f"y = {value}(self.{names[0]}({x})) * {gate}(self.{names[1]}({x}))")
    _joined(draft, x)


def _written(draft: Draft, x: str) -> None:
    kernel, dilation = draft.rng.choice((2, 3)), draft.rng.choice((1, 2, 4, 8))
    draft.argument("dilation", dilation)
    draft.parameter("weight", f"{kernel} channels channels", 0.1)
    draft.parameter("bias", "channels 1", 0.2)
    reach = "$dilation" if kernel == 2 else "2 * $dilation"
    draft.forward(
        f"length = {x}.shape[-1]",
        f"padded = F.pad({x}, ({reach}, 0))",
        "y = self.bias",
        f"for tap in range({kernel}):",
        "    start = tap * $dilation",
        "    y = y + self.weight[tap] @ padded[..., start : start + length]",
    )
    draft.forward(f"y = {activate(draft, 'y', ('relu', 'gelu', 'silu', 'tanh'))}")
    _joined(draft, x)


def _image(draft: Draft, x: str) -> None:
    draft.argument("dilation", draft.rng.choice((2, 3, 4)))
    options = "3, padding=$dilation, dilation=$dilation"
    draft.init(f"self.conv = nn.Conv2d($channels, 2 * $channels, {options}$dt)")
    draft.forward(f"y = self.conv({x})", *_gated(draft))
    _joined(draft, x)


def _pyramid(draft: Draft, x: str) -> None:
    rates = draft.rng.choice(((1, 2), (1, 2, 4), (1, 3), (2, 4), (1, 2, 3)))
    act = draft.pick("torch.relu", "F.silu", "F.gelu")
    for rate in rates:
        options = f"3, padding={rate}, dilation={rate}" if rate > 1 else "3, padding=1"
        draft.init(f"self.conv{rate} = nn.Conv2d($channels, $channels, {options}$dt)")
    branches = [f"self.conv{rate}({x})" for rate in rates]
    form = draft.rng.choice(("sum", "activated", "context"))
    if form == "sum":
        draft.forward(f"y = {' + '.join(branches)}", f"return {x} + {act}(y)")
    elif form == "activated":
        draft.forward(f"y = {' + '.join(f'{act}({branch})' for branch in branches)}")
        draft.forward(f"return {draft.pick('y', f'{x} + y', 'y * 0.5')}")
    else:
        draft.init("self.context = nn.Conv2d($channels, $channels, 1$dt)")
        draft.forward(
            f"context = self.context({x}.mean(dim=(2, 3), keepdim=True))",
            f"y = {' + '.join(branches)}",
            f"return {act}(y + context)",
        )
    draft.level = 4
