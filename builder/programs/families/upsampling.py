"""Transposed convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms
from builder.programs.families.registry import family
from builder.programs.shapes import (
    CHANNELS,
    SPATIAL,
    draw,
)
from builder.programs.spelling import CONVOLUTIONAL, activate

if TYPE_CHECKING:
    from random import Random

_UPSAMPLES: Forms = {
    "module": (
        ("UpConv", "DeconvBlock", "TransposedConvBlock"),
        "A transposed convolution that enlarges a feature map.",
    ),
    "function": (
        ("FunctionalDeconv", "LearnedUpsample", "DecoderUp"),
        "A transposed convolution with its weight as a parameter.",
    ),
    "signal": (
        ("UpConv1d", "WaveUpsample", "VocoderUp"),
        "A transposed convolution over time.",
    ),
    "blocks": (
        ("PatchExpand", "BlockUpsample", "UnpatchUp"),
        "A transposed convolution without overlap, as a product and a rearrangement.",
    ),
    "merge": (
        ("UNetUp", "SkipDecoder", "UpMerge"),
        "Enlarges a map and joins it to the finer one of the encoder.",
    ),
}


def _up_sizes(draft: Draft, taps: int, sides: tuple[str, ...]) -> None:
    """Declares batch, channels, sides and out_channels; ``taps`` weights a pair of channels."""
    rng = draft.rng
    work = (1 << 23) if draft.dtype == "float16" else (1 << 26)
    draft.size("batch", rng.choice((1, 2, 3, 4)))
    draft.size("channels", draw(rng, CHANNELS, high=128))
    draft.size("out_channels", draw(rng, CHANNELS, high=64))
    pixels = work // (draft.values["channels"] * draft.values["out_channels"] * taps)
    pixels //= draft.values["batch"]
    if len(sides) == 1:
        fit = [n for n in (32, 50, 64, 77, 100, 128, 197, 256) if n <= max(32, pixels)]
        draft.size(sides[0], rng.choice(fit))
        return
    most = max(7, min(28, int(pixels**0.5)))
    for side in sides:
        draft.size(side, draw(rng, SPATIAL, 7, most))


@family(level=2)
def transposed_conv(rng: Random) -> Draft:
    """Zeiler et al., Deconvolutional Networks, 2010; Ronneberger et al., U-Net, 2015."""
    draft = Draft(rng)
    form = draft.form(_UPSAMPLES, "Sizes are multiplied by the stride.")
    kernel, stride, padding, extra = rng.choice(
        ((2, 2, 0, 0), (4, 2, 1, 0), (3, 2, 1, 1), (3, 1, 1, 0), (3, 3, 0, 0), (5, 2, 2, 1))
    )
    if form in {"blocks", "merge"}:
        kernel, stride, padding, extra = rng.choice(((2, 2, 0, 0), (3, 3, 0, 0), (4, 4, 0, 0)))
    sides = ("seq",) if form == "signal" else ("height", "width")
    _up_sizes(draft, kernel ** len(sides), sides)
    draft.arguments_of("channels", "out_channels")
    if form != "merge":
        draft.vary("batch", *sides, chance=0.6)
    dims = " ".join(("batch channels", *sides))
    x = draft.normal("tokens" if form == "signal" else "images", dims)
    options = f", stride={stride}"
    options += f", padding={padding}" if padding else ""
    options += f", output_padding={extra}" if extra else ""
    if form == "blocks":
        _blocks(draft, x, stride)
    elif form == "function":
        draft.parameter("weight", f"channels out_channels {kernel} {kernel}", 0.1)
        draft.parameter("bias", "out_channels", 0.2)
        draft.forward(f"y = F.conv_transpose2d({x}, self.weight, self.bias{options})")
    else:
        kind = "1d" if form == "signal" else "2d"
        name = draft.pick("up", "deconv", "conv")
        layer = f"nn.ConvTranspose{kind}($channels, $out_channels, {kernel}{options}$dt)"
        draft.init(f"self.{name} = {layer}")
        draft.forward(f"y = self.{name}({x})")
    if form == "merge":
        _merge(draft, stride)
        return draft
    _finish_up(draft)
    return draft


def _blocks(draft: Draft, x: str, factor: int) -> None:
    """Each pixel becomes a block of its own, since blocks of this stride do not overlap."""
    draft.parameter("weight", f"channels out_channels {factor} {factor}", 0.1)
    draft.parameter("bias", "out_channels 1 1", 0.2)
    draft.level = 3
    draft.forward(f"b, _, h, w = {x}.shape")
    if draft.rng.random() < 0.5:
        draft.forward(
            f'y = torch.einsum("bihw,iopq->bohpwq", {x}, self.weight)',
            f"y = y.reshape(b, $out_channels, h * {factor}, w * {factor}) + self.bias",
        )
    else:
        draft.forward(
            f"pixels = {x}.permute(0, 2, 3, 1).reshape(b * h * w, $channels)",
            "y = pixels @ self.weight.flatten(1)",
            f"y = y.view(b, h, w, $out_channels, {factor}, {factor})",
            "y = y.permute(0, 3, 1, 4, 2, 5)",
            f"y = y.reshape(b, $out_channels, h * {factor}, w * {factor}) + self.bias",
        )


def _merge(draft: Draft, factor: int) -> None:
    height, width = (factor * draft.values[side] for side in ("height", "width"))
    skip = draft.normal(
        ("skip", "encoder_features", "residual"), f"batch out_channels {height} {width}"
    )
    form = draft.rng.choice(("sum", "gate", "mix"))
    draft.level = 3
    if form == "mix":
        draft.init("self.mix = nn.Conv2d(2 * $out_channels, $out_channels, 1$dt)")
        draft.forward(f"y = self.mix(torch.cat((y, {skip}), dim=1))")
    elif form == "gate":
        draft.forward(f"y = y + {skip} * torch.sigmoid(y)")
    else:
        draft.forward(f"y = y + {skip}")
    draft.forward(f"return {activate(draft, 'y', CONVOLUTIONAL)}")


def _finish_up(draft: Draft) -> None:
    """An activation, with a scale of its own or by channel before it."""
    ending = draft.rng.choice(("plain", "plain", "scaled", "normalised"))
    if ending == "scaled":
        ones = "1" if "seq" in draft.values else "1 1"
        draft.parameter("scale", f"out_channels {ones}", 0.2, 1.0)
        draft.forward("y = y * self.scale")
    elif ending == "normalised" and "seq" not in draft.values:
        draft.init("self.norm = nn.GroupNorm(1, $out_channels$dt)")
        draft.normal_init("norm.weight", 1.0, 0.2)
        draft.forward("y = self.norm(y)")
        draft.level = 3
    draft.forward(f"return {activate(draft, 'y', CONVOLUTIONAL)}")
