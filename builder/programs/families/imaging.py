"""Pooling, resizing and pixel shuffles, with compute around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft
from builder.programs.families.pointwise import image_sizes
from builder.programs.families.registry import family
from builder.programs.shapes import CHANNELS, draw
from builder.programs.spelling import CONVOLUTIONAL, activate

if TYPE_CHECKING:
    from random import Random


@family(level=2)
def pooling(rng: Random) -> Draft:
    draft = Draft(rng)
    draft.title(
        ("PoolBlock", "Downsample", "MaxPoolAct", "AvgPoolNorm", "PooledFeatures"),
        "Activation and pooling of a feature map.",
        "The pooling window moves by its stride in both directions.",
    )
    dims = image_sizes(draft, draw(rng, CHANNELS, high=256), 1 << 19)
    draft.vary("batch", "height", "width")
    x = draft.normal("images", dims)
    y = x
    if rng.random() < 0.6:
        draft.forward(f"y = {activate(draft, x, CONVOLUTIONAL)}")
        y = "y"
    kernel, stride, padding = rng.choice(((2, 2, 0), (3, 2, 1), (3, 1, 1), (3, 3, 0), (5, 1, 2)))
    options = f"{kernel}, stride={stride}" + (f", padding={padding}" if padding else "")
    form = rng.choice(("max", "max", "avg", "difference", "global"))
    if form == "global":
        draft.forward(f"mean = {y}.mean(dim=(2, 3))", f"peak = {y}.amax(dim=(2, 3))")
        draft.forward(f"return {draft.pick('torch.cat((mean, peak), dim=1)', 'mean + peak')}")
        return draft
    if form == "difference":
        draft.forward(
            f"peak = F.max_pool2d({y}, {options})", f"mean = F.avg_pool2d({y}, {options})"
        )
        draft.forward("return peak - mean")
        return draft
    if rng.random() < 0.4:
        draft.init(f"self.pool = nn.{form.capitalize()}Pool2d({options})")
        call = f"self.pool({y})"
    else:
        call = f"F.{form}_pool2d({y}, {options})"
    draft.forward(f"y = {call}")
    if rng.random() < 0.5 or y == x:
        draft.arguments_of("channels")
        draft.parameter("scale", "channels 1 1", 0.2, 1.0)
        draft.forward("return y * self.scale")
    else:
        draft.forward(f"return {draft.pick('y', 'y * 0.5', 'torch.sigmoid(y)')}")
    return draft


@family(level=2)
def resize(rng: Random) -> Draft:
    draft = Draft(rng)
    draft.title(
        ("UpsampleAdd", "FeaturePyramidMerge", "ResizeAct", "UpBlock", "Upsample"),
        "Interpolates a feature map and combines it with others.",
        "Half-pixel centres, as align_corners=False has them.",
    )
    dims = image_sizes(draft, draw(rng, CHANNELS, high=128), 1 << 18)
    x = draft.normal("images", dims)
    mode = rng.choice(("nearest", "bilinear", "bilinear", "bicubic"))
    corners = (
        "" if mode == "nearest" else draft.pick(", align_corners=False", "", ", align_corners=True")
    )
    factor = rng.choice((2, 2, 3))
    quoted = f'mode="{mode}"'
    form = rng.choice(("scale", "size", "skip", "skip"))
    if form == "skip":
        height, width = (factor * draft.values[role] for role in ("height", "width"))
        skip = draft.normal("residual", f"batch channels {height} {width}")
        draft.forward(f"y = F.interpolate({x}, size={skip}.shape[-2:], {quoted}{corners})")
        draft.forward(
            f"y = {draft.pick(f'y + {skip}', f'{skip} + y', f'y * torch.sigmoid({skip})')}"
        )
    elif form == "size":
        height, width = (
            rng.choice((2, 3)) * draft.values[role] - 1 for role in ("height", "width")
        )
        draft.vary("batch")
        draft.forward(f"y = F.interpolate({x}, size=({height}, {width}), {quoted}{corners})")
    else:
        draft.vary("batch", "height", "width")
        draft.forward(f"y = F.interpolate({x}, scale_factor={factor}, {quoted}{corners})")
    draft.forward(f"return {activate(draft, 'y', CONVOLUTIONAL)}")
    return draft


@family(level=2)
def pixel_shuffle(rng: Random) -> Draft:
    draft = Draft(rng)
    draft.title(
        (
            "PixelShuffleUp",
            "SubPixelUpsample",
            "SpaceToDepth",
            "DepthToSpace",
            "PixelUnshuffleDown",
        ),
        "Moves features between channels and space, with a learned scale.",
        "Shi et al., Real-Time Single Image Super-Resolution, 2016.",
    )
    factor = rng.choice((2, 2, 3, 4))
    down = rng.random() < 0.5
    channels = rng.choice((3, 8, 16, 24, 32)) * (1 if down else factor * factor)
    batch = rng.choice((1, 2, 3, 4))
    draft.size("batch", batch)
    draft.size("channels", channels)
    for role in ("height", "width"):
        draft.size(role, rng.choice((7, 11, 14, 16, 20, 21, 28)) * (factor if down else 1))
    draft.vary("batch", "height", "width", multiple=1)
    if down and draft.varied:
        for role in ("height", "width"):
            draft.varied[role] = tuple(factor * max(2, n // factor) for n in draft.varied[role])
    x = draft.normal("images", "batch channels height width")
    draft.arguments_of("channels")
    draft.parameter("scale", "channels 1 1", 0.2, 1.0)
    name = "pixel_unshuffle" if down else "pixel_shuffle"
    draft.forward(f"y = {x} * self.scale")
    if rng.random() < 0.4:
        draft.init(f"self.shuffle = nn.{'PixelUnshuffle' if down else 'PixelShuffle'}({factor})")
        draft.forward("y = self.shuffle(y)")
    elif rng.random() < 0.6:
        draft.forward(f"y = F.{name}(y, {factor})")
    elif down:
        draft.forward(
            "b, c, h, w = y.shape",
            f"y = y.reshape(b, c, h // {factor}, {factor}, w // {factor}, {factor})",
            f"y = y.permute(0, 1, 3, 5, 2, 4).reshape(b, -1, h // {factor}, w // {factor})",
        )
    else:
        draft.forward(
            "b, c, h, w = y.shape",
            f"y = y.reshape(b, c // {factor * factor}, {factor}, {factor}, h, w)",
            f"y = y.permute(0, 1, 4, 2, 5, 3).reshape(b, -1, h * {factor}, w * {factor})",
        )
    draft.forward(f"return {activate(draft, 'y', CONVOLUTIONAL)}")
    return draft
