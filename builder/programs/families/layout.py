"""Changes of layout combined with compute: concatenation, permutation, patches, windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms
from builder.programs.families.pointwise import image_sizes
from builder.programs.families.registry import family
from builder.programs.shapes import CHANNELS, HIDDEN, draw, token_batch
from builder.programs.spelling import activate

if TYPE_CHECKING:
    from random import Random

_JOINS: Forms = {
    "features": (("ConcatAct", "FeatureConcat", "SkipConcat"), "Joins two streams by features."),
    "tokens": (("PrefixTokens", "ContextConcat"), "Joins context tokens to a sequence."),
    "class_token": (("PrependToken", "ClassToken"), "Puts a learned token in front."),
    "stack": (("StackStreams", "PairStack"), "Stacks two streams along a new dimension."),
}
_PERMUTATIONS: Forms = {
    "last": (("ChannelsLast", "ToNHWC"), "Moves channels last and scales them."),
    "sequence": (("ToSequence", "FlattenPixels"), "Makes pixels tokens and scales their features."),
    "shuffle": (("ChannelShuffle", "GroupShuffle"), "Shuffles channels across groups."),
    "transpose": (("SwapAxes", "TransposedBias"), "Swaps height and width after a bias."),
}


@family(level=2)
def concatenate(rng: Random) -> Draft:
    draft = Draft(rng)
    form = draft.form(_JOINS, "The result passes through one more operation.")
    hidden = draw(rng, HIDDEN, high=1024)
    batch, seq = token_batch(rng, hidden, 1 << 19)
    draft.size("batch", batch)
    draft.size("seq", seq)
    draft.size("hidden", hidden)
    draft.vary("batch", "seq")
    a = draft.normal("tokens", "batch seq hidden")
    if form == "class_token":
        draft.arguments_of("hidden")
        draft.parameter("cls_token", "1 1 hidden", 0.1)
        draft.forward(f"cls_token = self.cls_token.expand({a}.shape[0], -1, -1)")
        joined = draft.pick(f"(cls_token, {a})", f"[cls_token, {a}]")
        draft.forward(f"y = torch.cat({joined}, dim=1)")
    else:
        draft.forward(f"y = {_joined(draft, a, form)}")
    ending = rng.choice(("activation", "activation", "norm", "sum"))
    if ending == "norm":
        draft.forward(f"return F.layer_norm(y, y.shape[-1:]) * {rng.choice((0.5, 0.1, 2.0))}")
    elif ending == "sum":
        draft.forward(f"y = {activate(draft, 'y', ('tanh', 'gelu'))}", "return y.mean(dim=1)")
    else:
        draft.forward(f"return {activate(draft, 'y', ('relu', 'gelu', 'silu', 'tanh', 'mish'))}")
    return draft


def _joined(draft: Draft, a: str, form: str) -> str:
    dims = "batch seq hidden"
    if form == "features":
        draft.size("other_dim", draw(draft.rng, HIDDEN, high=512))
        dims = "batch seq other_dim"
    elif form == "tokens":
        draft.size("context_len", draft.rng.choice((4, 8, 16, 33)))
        dims = "batch context_len hidden"
    b = draft.normal(("context", "other", "skip", "memory"), dims)
    first = draft.pick(a, f"torch.sigmoid({a})", f"{a} * 0.5")
    parts = draft.pick(f"({first}, {b})", f"[{first}, {b}]", f"[{b}, {first}]")
    dim = {"features": "-1", "tokens": "1", "stack": draft.pick("1", "2", "-1")}[form]
    return f"torch.{'stack' if form == 'stack' else 'cat'}({parts}, dim={dim})"


@family(level=2)
def permute_compute(rng: Random) -> Draft:
    """Channels last, channels shuffled, pixels as tokens, axes swapped."""
    draft = Draft(rng)
    form = draft.form(_PERMUTATIONS)
    groups = rng.choice((2, 4, 8))
    dims = image_sizes(draft, draw(rng, CHANNELS, high=256, multiple=groups), 1 << 19)
    draft.vary("batch", "height", "width")
    x = draft.normal("images", dims)
    draft.arguments_of("channels")
    if form == "shuffle":
        draft.parameter("scale", "channels 1 1", 0.3, 1.0)
        draft.forward(
            f"b, c, h, w = {x}.shape",
            f"y = {x}.reshape(b, {groups}, c // {groups}, h, w).transpose(1, 2)",
            f"y = {draft.pick('y.reshape(b, c, h, w)', 'y.contiguous().view(b, c, h, w)')}",
            "return y * self.scale",
        )
    elif form == "transpose":
        draft.parameter("bias", "channels 1 1", 0.3)
        draft.forward(f"y = ({x} + self.bias).transpose(2, 3).contiguous()")
        draft.forward(f"return {activate(draft, 'y', ('relu', 'gelu', 'tanh'))}")
    else:
        _features_last(draft, x, form)
    return draft


def _features_last(draft: Draft, x: str, form: str) -> None:
    """Lines that put channels last and work on them there."""
    layout = draft.pick(f"{x}.flatten(2).transpose(1, 2)", f"{x}.flatten(2).permute(0, 2, 1)")
    if form == "last":
        layout = draft.pick(f"{x}.permute(0, 2, 3, 1)", f"{x}.movedim(1, -1)")
    draft.parameter("weight", "channels", 0.3, 1.0)
    draft.parameter("bias", "channels", 0.3)
    draft.forward(f"y = {layout}{draft.pick('.contiguous()', '')}")
    ending = draft.rng.choice(("affine", "norm", "residual"))
    if ending == "norm":
        draft.forward("return F.layer_norm(y, y.shape[-1:], self.weight, self.bias)")
    elif ending == "residual":
        draft.forward("y = y + torch.tanh(y * self.weight + self.bias)", "return y.contiguous()")
    else:
        draft.forward("y = y * self.weight + self.bias")
        draft.forward(f"return {activate(draft, 'y', ('relu', 'silu', 'gelu'))}")


@family(level=3)
def window_partition(rng: Random) -> Draft:
    """Patches or windows of a feature map, normalised; rolled first as in shifted windows."""
    draft = Draft(rng)
    draft.title(
        ("WindowPartition", "WindowTokens", "PatchNorm", "BlockTokens"),
        "Cuts a feature map into windows and normalises each window's tokens.",
        "Liu et al., Swin Transformer, 2021.",
    )
    window = rng.choice((2, 4, 7, 8))
    draft.size("batch", rng.choice((1, 2, 3, 4)))
    draft.size("height", window * rng.choice((2, 3, 4, 5)))
    draft.size("width", window * rng.choice((2, 3, 4, 5)))
    draft.size("channels", draw(rng, CHANNELS, high=192))
    draft.vary("batch")
    x = draft.normal(("x", "features", "feature_map"), "batch height width channels")
    draft.argument("window", window)
    draft.arguments_of("channels")
    if rng.random() < 0.5:
        shift = window // 2
        draft.forward(f"{x} = torch.roll({x}, shifts=(-{shift}, -{shift}), dims=(1, 2))")
    flattened = draft.pick("reshape", "contiguous().view")
    draft.forward(
        f"b, h, w, c = {x}.shape",
        f"y = {x}.reshape(b, h // $window, $window, w // $window, $window, c)",
        f"y = y.permute(0, 1, 3, 2, 4, 5).{flattened}(-1, $window * $window, c)",
    )
    _window_norm(draft)
    return draft


def _window_norm(draft: Draft) -> None:
    draft.parameter("weight", "channels", 0.2, 1.0)
    form = draft.rng.choice(("layer", "rms", "center"))
    if form == "layer":
        draft.parameter("bias", "channels", 0.2)
        draft.forward("return F.layer_norm(y, (c,), self.weight, self.bias)")
    elif form == "center":
        draft.forward("y = y - y.mean(dim=1, keepdim=True)", "return y * self.weight")
    elif draft.dtype == "float32":
        draft.forward("scale = torch.rsqrt(y.square().mean(dim=-1, keepdim=True) + 1e-6)")
        draft.forward("return y * scale * self.weight")
    else:
        draft.forward("z = y.float()")
        draft.forward("z = z * torch.rsqrt(z.square().mean(dim=-1, keepdim=True) + 1e-6)")
        draft.forward("return z.to(y.dtype) * self.weight")
