"""Convolutions with what follows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft
from builder.programs.families.registry import family
from builder.programs.shapes import CHANNELS, SPATIAL, draw
from builder.programs.spelling import CONVOLUTIONAL, activate

if TYPE_CHECKING:
    from random import Random

_DTYPES = ("float32", "float32", "bfloat16", "float16")


def convolution_sizes(draft: Draft, kernel: int) -> None:
    """Declares batch, channels, out_channels, height and width within the work of one forward."""
    rng = draft.rng
    work = (1 << 23) if draft.dtype == "float16" else (1 << 27)
    channels = draw(rng, CHANNELS, high=256)
    out_channels = draw(rng, CHANNELS, high=256)
    pixels = max(98, work // (channels * out_channels * kernel * kernel))
    side = min(56, int((pixels / 2) ** 0.5))
    draft.size("batch", rng.choice((2, 3, 4)) if side < 28 else rng.choice((1, 2)))
    draft.size("channels", channels)
    draft.size("height", draw(rng, SPATIAL, 7, max(7, side)))
    draft.size("width", draw(rng, SPATIAL, 7, max(7, side)))
    draft.size("out_channels", out_channels)


def batch_norm_lines(draft: Draft, name: str, channels: str) -> None:
    """Registers a batch normalisation with non-trivial statistics and evaluation mode."""
    draft.eval_mode = True
    draft.init(f"self.{name} = nn.BatchNorm2d({channels}$dt)")
    draft.normal_init(f"{name}.weight", 1.0, 0.2)
    draft.normal_init(f"{name}.bias", 0.0, 0.2)
    draft.normal_init(f"{name}.running_mean", 0.0, 0.2)
    draft.init(f"nn.init.uniform_(self.{name}.running_var, 0.5, 1.5)")


@family(level=2)
def conv_activation(rng: Random) -> Draft:
    draft = Draft(rng, _DTYPES)
    draft.title(
        ("ConvAct", "ConvBlock", "ConvLayer", "StemConv"),
        "A convolution and its activation.",
        "The spatial size is kept, or halved by the stride.",
    )
    kernel = rng.choice((1, 3, 3, 3, 5))
    convolution_sizes(draft, kernel)
    draft.vary("batch", chance=0.5)
    x = draft.normal("images", "batch channels height width")
    draft.arguments_of("channels", "out_channels")
    stride = rng.choice((1, 1, 2))
    options = [f", stride={stride}"] if stride > 1 else []
    options += [f", padding={kernel // 2}"] if kernel > 1 else []
    normed = rng.random() < 0.4
    options += [", bias=False"] if normed else []
    conv = f"nn.Conv2d($channels, $out_channels, {draft.pick('', 'kernel_size=')}{kernel}"
    draft.init(f"self.conv = {conv}{''.join(options)}$dt)")
    if normed:
        batch_norm_lines(draft, "bn", "$out_channels")
        draft.forward(f"y = self.bn(self.conv({x}))")
    else:
        draft.forward(f"y = self.conv({x})")
    ending = rng.choice(("plain", "plain", "scale", "pool"))
    act = activate(draft, "y", CONVOLUTIONAL)
    if ending == "pool":
        draft.forward(f"y = {act}", f"return y.mean({draft.pick('dim=(2, 3)', '(2, 3)')})")
    elif ending == "scale":
        draft.parameter("scale", "out_channels 1 1", 0.2, 1.0)
        draft.forward(f"y = {act}", "return y * self.scale")
    else:
        draft.forward(f"return {act}")
    return draft


@family(level=3)
def residual_conv(rng: Random) -> Draft:
    """He et al., Deep Residual Learning for Image Recognition, 2015."""
    draft = Draft(rng, ("float32", "bfloat16"))
    draft.title(
        ("ResidualBlock", "BasicBlock", "ConvResidual", "ResBlock"),
        "Two convolutions around an activation, added to the input.",
        "He et al., Deep Residual Learning for Image Recognition, 2015.",
    )
    channels = rng.choice((16, 24, 32, 48, 64, 72))
    draft.size("batch", rng.choice((1, 2, 3)))
    draft.size("channels", channels)
    draft.size("height", draw(rng, SPATIAL, 7, 28))
    draft.size("width", draw(rng, SPATIAL, 7, 28))
    draft.vary("batch", chance=0.4)
    x = draft.normal("images", "batch channels height width")
    draft.arguments_of("channels")
    normed = rng.random() < 0.5
    bias = ", bias=False" if normed else ""
    for number in (1, 2):
        layer = f"nn.Conv2d($channels, $channels, 3, padding=1{bias}$dt)"
        draft.init(f"self.conv{number} = {layer}")
        if normed:
            batch_norm_lines(draft, f"bn{number}", "$channels")
    kinds = CONVOLUTIONAL[:4]
    first, second = f"self.conv1({x})", "self.conv2(y)"
    if normed:
        first, second = f"self.bn1({first})", f"self.bn2({second})"
    draft.forward(f"y = {first}", f"y = {activate(draft, 'y', kinds)}", f"y = {second}")
    if rng.random() < 0.5:
        draft.forward(f"y = y + {x}", f"return {activate(draft, 'y', kinds, module=False)}")
    else:
        draft.forward(f"return {x} + y")
    return draft


@family(level=2)
def pointwise_conv(rng: Random) -> Draft:
    """1x1 convolutions: expansion, squeeze and excitation, channel mixing."""
    draft = Draft(rng, _DTYPES)
    draft.title(
        ("PointwiseConv", "ExpandConv", "ChannelMixer", "ProjectChannels"),
        "1x1 convolutions over the channels of a feature map.",
        "Every pixel is treated alike.",
    )
    convolution_sizes(draft, 1)
    draft.vary("batch", chance=0.5)
    x = draft.normal("images", "batch channels height width")
    if rng.random() < 0.4:
        draft.class_name = draft.pick("SqueezeExcite", "SEBlock", "ChannelAttention")
        draft.doc = "Reweights the channels by a gate computed from their means."
        draft.details = "Hu, Shen and Sun, Squeeze-and-Excitation Networks, 2017."
        draft.arguments_of("channels")
        squeezed = max(4, draft.values["channels"] // rng.choice((2, 4, 8)))
        draft.argument("squeezed", squeezed)
        draft.init("self.reduce = nn.Conv2d($channels, $squeezed, 1$dt)")
        draft.init("self.expand = nn.Conv2d($squeezed, $channels, 1$dt)")
        mean = draft.pick("mean((2, 3), keepdim=True)", "mean(dim=(2, 3), keepdim=True)")
        draft.forward(f"s = {x}.{mean}", "s = self.reduce(s)")
        draft.forward(f"s = {activate(draft, 's', ('relu', 'silu'))}")
        gate = draft.pick("torch.sigmoid(self.expand(s))", "F.hardsigmoid(self.expand(s))")
        draft.forward(f"return {draft.pick(f'{x} * {gate}', f'{gate} * {x}')}")
        return draft
    draft.arguments_of("channels", "out_channels")
    draft.init("self.conv = nn.Conv2d($channels, $out_channels, 1$dt)")
    draft.forward(f"y = self.conv({x})")
    if rng.random() < 0.5:
        residual = draft.normal("residual", "batch out_channels height width")
        draft.forward(f"y = y + {residual}")
    draft.forward(f"return {activate(draft, 'y', CONVOLUTIONAL)}")
    return draft


@family(level=3)
def depthwise_conv(rng: Random) -> Draft:
    """One filter a channel, written as a sum of shifted inputs."""
    draft = Draft(rng)
    draft.title(
        ("DepthwiseConv", "DepthwiseFilter", "SeparableFilter"),
        "A depthwise convolution as a sum of shifted, weighted inputs.",
        "Each channel has a filter of its own.",
    )
    kernel = 3
    draft.size("batch", rng.choice((1, 2, 3, 4)))
    draft.size("channels", draw(rng, CHANNELS, high=512))
    draft.size("height", draw(rng, SPATIAL, 7, 28))
    draft.size("width", draw(rng, SPATIAL, 7, 28))
    draft.vary("batch", "height", "width")
    x = draft.normal("images", "batch channels height width")
    draft.arguments_of("channels")
    # filters that broadcast over the image as they are, or when they are used
    dims, tap = rng.choice(((" 1 1", "i, j"), (" 1 1", "i, j"), ("", "i, j, None, None")))
    draft.parameter("weight", f"channels {kernel} {kernel}{dims}", 0.5)
    draft.parameter("bias", "channels 1 1", 0.2)
    draft.forward(
        f"height, width = {x}.shape[-2:]",
        f"padded = F.pad({x}, ({', '.join([str(kernel // 2)] * 4)}))",
        "y = self.bias",
        f"for i in range({kernel}):",
        f"    for j in range({kernel}):",
        "        window = padded[..., i : i + height, j : j + width]",
        f"        y = y + self.weight[:, {tap}] * window",
    )
    draft.forward(f"return {activate(draft, 'y', ('silu', 'gelu', 'relu', 'hardswish'))}")
    return draft


@family(level=3)
def causal_conv(rng: Random) -> Draft:
    """The short causal filter in front of a state-space layer, as in Mamba."""
    draft = Draft(rng)
    draft.title(
        ("CausalConv1d", "ShortConv", "CausalFilter", "TokenShift"),
        "A short causal depthwise convolution over time.",
        "Gu and Dao, Mamba, 2023.",
    )
    kernel = rng.choice((2, 3, 4))
    draft.size("batch", rng.choice((1, 2, 3, 4)))
    draft.size("channels", draw(rng, CHANNELS, high=512))
    draft.size("seq", rng.choice((64, 100, 127, 128, 197, 256)))
    draft.vary("batch", "seq")
    x = draft.normal("tokens", "batch channels seq")
    draft.arguments_of("channels")
    draft.parameter("weight", f"channels {kernel}", 0.5)
    draft.parameter("bias", "channels 1", 0.2)
    draft.forward(
        f"length = {x}.shape[-1]",
        f"padded = F.pad({x}, ({kernel - 1}, 0))",
        "y = self.bias",
        f"for i in range({kernel}):",
        "    y = y + self.weight[:, i, None] * padded[..., i : i + length]",
        f"return {activate(draft, 'y', ('silu', 'gelu', 'relu'))}",
    )
    return draft
