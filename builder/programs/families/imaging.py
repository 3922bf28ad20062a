"""Pooling, resizing and pixel shuffles, with compute around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms
from builder.programs.families.pointwise import image_sizes
from builder.programs.families.registry import family
from builder.programs.shapes import CHANNELS, draw
from builder.programs.spelling import CONVOLUTIONAL, activate

if TYPE_CHECKING:
    from random import Random

_POOLS: Forms = {
    "max": (("MaxPoolBlock", "PoolBlock", "Downsample"), "Max pooling of an activated map."),
    "avg": (("AvgPoolBlock", "SmoothDownsample"), "Average pooling of an activated map."),
    "difference": (("PeakOverMean", "LocalContrast"), "Local maximum minus local average."),
    "global": (("GlobalPool", "PooledFeatures"), "Global mean and maximum of each channel."),
}
_RESIZES: Forms = {
    "scale": (("Upsample", "UpBlock"), "Enlarges a feature map, then activates it."),
    "size": (("ResizeTo", "FixedResize"), "Resizes a feature map to a fixed size."),
    "add": (("UpsampleAdd", "FeaturePyramidMerge"), "Adds an enlarged map to a finer one."),
    "gate": (("UpsampleGate", "GatedMerge"), "Gates an enlarged map by a finer one."),
}


@family(level=2)
def pooling(rng: Random) -> Draft:
    draft = Draft(rng)
    form = draft.form(_POOLS)
    dims = image_sizes(draft, draw(rng, CHANNELS, high=256), 1 << 19)
    draft.vary("batch", "height", "width")
    x = y = draft.normal("images", dims)
    if rng.random() < 0.6:
        y = "y"
        draft.forward(f"y = {activate(draft, x, CONVOLUTIONAL)}")
    if form == "global":
        draft.forward(f"mean = {y}.mean(dim=(2, 3))", f"peak = {y}.amax(dim=(2, 3))")
        draft.forward(f"return {draft.pick('torch.cat((mean, peak), dim=1)', 'mean + peak')}")
        return draft
    kernel, stride, padding = rng.choice(((2, 2, 0), (3, 2, 1), (3, 1, 1), (3, 3, 0), (5, 1, 2)))
    options = f"{kernel}, stride={stride}" + (f", padding={padding}" if padding else "")
    if form == "difference":
        draft.forward(f"peak = F.max_pool2d({y}, {options})")
        draft.forward(f"return peak - F.avg_pool2d({y}, {options})")
    else:
        _pooled(draft, y, form, options)
    return draft


def _pooled(draft: Draft, y: str, form: str, options: str) -> None:
    call = f"F.{form}_pool2d({y}, {options})"
    if draft.rng.random() < 0.4:
        draft.init(f"self.pool = nn.{form.capitalize()}Pool2d({options})")
        call = f"self.pool({y})"
    if draft.rng.random() < 0.5 or y != "y":
        draft.arguments_of("channels")
        draft.parameter("scale", "channels 1 1", 0.2, 1.0)
        draft.forward(f"y = {call}", "return y * self.scale")
    else:
        draft.forward(f"return {draft.pick(call, f'{call} * 0.5', f'torch.sigmoid({call})')}")


@family(level=2)
def resize(rng: Random) -> Draft:
    draft = Draft(rng)
    form = draft.form(_RESIZES)
    dims = image_sizes(draft, draw(rng, CHANNELS, high=128), 1 << 18)
    x = draft.normal("images", dims)
    mode = rng.choice(("nearest", "nearest", "bilinear", "bilinear", "bilinear", "bicubic"))
    corners = draft.pick(", align_corners=False", "", ", align_corners=True")
    options = f'mode="{mode}"{"" if mode == "nearest" else corners}'
    factor = rng.choice((2, 2, 3))
    if form in {"add", "gate"}:
        height, width = (factor * draft.values[role] for role in ("height", "width"))
        skip = draft.normal("residual", f"batch channels {height} {width}")
        draft.forward(f"y = F.interpolate({x}, size={skip}.shape[-2:], {options})")
        sum_ = draft.pick(f"y + {skip}", f"{skip} + y")
        draft.forward(f"y = {sum_ if form == 'add' else f'y * torch.sigmoid({skip})'}")
    elif form == "size":
        height, width = (
            rng.choice((2, 3)) * draft.values[role] - 1 for role in ("height", "width")
        )
        draft.vary("batch")
        draft.forward(f"y = F.interpolate({x}, size=({height}, {width}), {options})")
    else:
        draft.vary("batch", "height", "width")
        draft.forward(f"y = F.interpolate({x}, scale_factor={factor}, {options})")
    draft.forward(f"return {activate(draft, 'y', CONVOLUTIONAL)}")
    return draft


@family(level=2)
def pixel_shuffle(rng: Random) -> Draft:
    """Shi et al., Real-Time Single Image Super-Resolution, 2016."""
    draft = Draft(rng)
    factor, down = rng.choice((2, 2, 3, 4)), rng.random() < 0.5
    draft.title(
        ("SpaceToDepth", "PixelUnshuffleDown") if down else ("SubPixelUpsample", "DepthToSpace"),
        f"Moves pixels {'into' if down else 'out of'} the channels, with a learned scale.",
    )
    draft.size("batch", rng.choice((1, 2, 3, 4)))
    draft.size("channels", rng.choice((3, 8, 16, 24, 32)) * (1 if down else factor * factor))
    for role in ("height", "width"):
        draft.size(role, rng.choice((7, 11, 14, 16, 20, 21, 28)) * (factor if down else 1))
    if down:
        draft.vary("batch")
    else:
        draft.vary("batch", "height", "width")
    x = draft.normal("images", "batch channels height width")
    draft.arguments_of("channels")
    draft.parameter("scale", "channels 1 1", 0.2, 1.0)
    draft.forward(f"y = {x} * self.scale", *_shuffled(draft, factor, down=down))
    draft.forward(f"return {activate(draft, 'y', CONVOLUTIONAL)}")
    return draft


def _shuffled(draft: Draft, factor: int, *, down: bool) -> list[str]:
    form = draft.rng.choice(("module", "function", "written"))
    if form == "module":
        draft.init(f"self.shuffle = nn.{'PixelUnshuffle' if down else 'PixelShuffle'}({factor})")
        return ["y = self.shuffle(y)"]
    if form == "function":
        return [f"y = F.{'pixel_unshuffle' if down else 'pixel_shuffle'}(y, {factor})"]
    if down:
        return [
            "b, c, h, w = y.shape",
            f"y = y.reshape(b, c, h // {factor}, {factor}, w // {factor}, {factor})",
            f"y = y.permute(0, 1, 3, 5, 2, 4).reshape(b, -1, h // {factor}, w // {factor})",
        ]
    return [
        "b, c, h, w = y.shape",
        f"y = y.reshape(b, c // {factor * factor}, {factor}, {factor}, h, w)",
        f"y = y.permute(0, 1, 4, 2, 5, 3).reshape(b, -1, h * {factor}, w * {factor})",
    ]
