"""Normalisations, by module, by function and written out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft
from builder.programs.families.pointwise import image_sizes, token_sizes
from builder.programs.families.registry import family
from builder.programs.shapes import CHANNELS, divisors, draw
from builder.programs.spelling import CONVOLUTIONAL, activate, multiply, reduce

if TYPE_CHECKING:
    from random import Random

_EPS = (1e-5, 1e-6, 1e-5, 1e-3, 1e-8)


@family(level=2)
def layer_norm(rng: Random) -> Draft:
    draft = Draft(rng)
    draft.title(
        ("LayerNorm", "CustomLayerNorm", "LayerNormalization", "TokenNorm", "PreNorm"),
        "Layer normalisation over the last dimension.",
        "Ba, Kiros and Hinton, Layer Normalization, 2016.",
    )
    x = draft.normal("tokens", token_sizes(draft), rng.choice((1.0, 1.0, 2.0, 0.5)))
    draft.vary("batch", "seq")
    draft.arguments_of("hidden")
    draft.argument("eps", rng.choice(_EPS[:4]))
    form = rng.choice(("module", "function", "written", "written"))
    if form == "module":
        draft.init("self.norm = nn.LayerNorm($hidden, eps=$eps$dt)")
        draft.normal_init("norm.weight", 1.0, 0.2)
        draft.normal_init("norm.bias", 0.0, 0.2)
        normalised = f"self.norm({x})"
        draft.forward(f"return {_maybe_activated(draft, normalised)}")
        return draft
    weight, bias = _affine(draft)
    if form == "function":
        call = f"F.layer_norm({x}, {x}.shape[-1:], self.{weight}, self.{bias}, $eps)"
        draft.forward(f"return {_maybe_activated(draft, call)}")
        return draft
    _written_layer_norm(draft, x, weight, bias)
    return draft


def _affine(draft: Draft) -> tuple[str, str]:
    """Declares scale and shift, in either order of registration; returns their names."""
    weight, bias = draft.rng.choice((("weight", "bias"), ("gamma", "beta"), ("scale", "shift")))
    parts = [(weight, 0.2, 1.0), (bias, 0.2, 0.0)]
    draft.rng.shuffle(parts)
    for name, scale, offset in parts:
        draft.parameter(name, "hidden", scale, offset)
    return weight, bias


def _maybe_activated(draft: Draft, x: str) -> str:
    if draft.rng.random() < 0.3:
        return activate(draft, x, ("gelu", "relu", "silu", "tanh"))
    draft.level = 1
    return x


def _written_layer_norm(draft: Draft, x: str, weight: str, bias: str) -> None:
    low = draft.dtype != "float32" and draft.rng.random() < 0.7
    value = x
    if low:
        value = "y"
        draft.forward(f"y = {x}.float()")
    mean, var = draft.rng.choice((("mean", "var"), ("mu", "sigma2"), ("mean", "variance")))
    draft.forward(f"{mean} = {reduce(draft, 'mean', value)}")
    if draft.rng.random() < 0.5:
        draft.forward(f"centered = {value} - {mean}")
        square = draft.pick("centered.pow(2)", "(centered * centered)", "centered.square()")
        draft.forward(f"{var} = {square}.mean(dim=-1, keepdim=True)")
        top = "centered"
    else:
        unbiased = draft.pick("unbiased=False", "correction=0")
        draft.forward(f"{var} = {value}.var(dim=-1, keepdim=True, {unbiased})")
        top = f"({value} - {mean})"
    draft.forward(
        "normalized = "
        + draft.pick(f"{top} * torch.rsqrt({var} + $eps)", f"{top} / torch.sqrt({var} + $eps)")
    )
    normalized = f"normalized.to({x}.dtype)" if low else "normalized"
    draft.forward(f"return {multiply(draft, normalized, f'self.{weight}')} + self.{bias}")


@family(level=2)
def rms_norm(rng: Random) -> Draft:
    draft = Draft(rng)
    draft.title(
        ("RMSNorm", "RootMeanSquareNorm", "LlamaRMSNorm", "T5LayerNorm", "TokenRMSNorm"),
        "Root-mean-square normalisation with a learned scale.",
        "Zhang and Sennrich, Root Mean Square Layer Normalization, 2019.",
    )
    x = draft.normal("tokens", token_sizes(draft), rng.choice((1.0, 1.0, 2.0)))
    draft.vary("batch", "seq")
    draft.arguments_of("hidden")
    draft.argument("eps", rng.choice(_EPS))
    zero_centered = rng.random() < 0.25
    draft.parameter("weight", "hidden", 0.2, 0.0 if zero_centered else 1.0)
    weight = "(1 + self.weight)" if zero_centered else "self.weight"
    if rng.random() < 0.3 and not zero_centered:
        draft.level = 1
        draft.forward(f"return F.rms_norm({x}, {x}.shape[-1:], self.weight, $eps)")
        return draft
    y = x
    if draft.dtype != "float32":
        y = draft.pick("y", "x32", "upcast")
        draft.forward(f"{y} = {x}.float()")
    square = draft.pick(f"{y}.pow(2)", f"{y}.square()", f"({y} * {y})")
    name = draft.pick("variance", "mean_square", "ms")
    draft.forward(f"{name} = {square}.mean(dim=-1, keepdim=True)")
    scaled = draft.pick(f"{y} * torch.rsqrt({name} + $eps)", f"{y} / torch.sqrt({name} + $eps)")
    if draft.dtype == "float32":
        draft.forward(f"return {weight} * ({scaled})")
    else:
        draft.forward(f"{y} = {scaled}", f"return {weight} * {y}.to({x}.dtype)")
    return draft


@family(level=2)
def group_norm(rng: Random) -> Draft:
    draft = Draft(rng)
    draft.title(
        ("GroupNormAct", "GroupedNormalization", "NormThenAct", "ConvTail"),
        "Group normalisation of a feature map, with an activation.",
        "Wu and He, Group Normalization, 2018.",
    )
    channels = draw(rng, CHANNELS, 16, 512, multiple=8)
    x = draft.normal("images", image_sizes(draft, channels))
    draft.vary("batch", "height", "width")
    draft.argument("groups", rng.choice(divisors(channels, (2, 4, 8, 16, 32))))
    draft.arguments_of("channels")
    draft.argument("eps", rng.choice((1e-5, 1e-6, 1e-3)))
    if rng.random() < 0.5:
        draft.init("self.norm = nn.GroupNorm($groups, $channels, eps=$eps$dt)")
        draft.normal_init("norm.weight", 1.0, 0.2)
        draft.normal_init("norm.bias", 0.0, 0.2)
        draft.forward(f"y = self.norm({x})")
    else:
        draft.parameter("weight", "channels", 0.2, 1.0)
        draft.parameter("bias", "channels", 0.2)
        draft.forward(f"y = F.group_norm({x}, $groups, self.weight, self.bias, $eps)")
    draft.forward(f"return {activate(draft, 'y', CONVOLUTIONAL)}")
    return draft


@family(level=2)
def batch_norm(rng: Random) -> Draft:
    draft = Draft(rng)
    draft.eval_mode = True
    draft.title(
        ("BatchNormAct", "BNAct", "NormalizedActivation", "ConvBNTail", "InferenceNorm"),
        "Batch normalisation with running statistics, then an activation.",
        "The running statistics are fixed; the module is in evaluation mode.",
    )
    x = draft.normal("images", image_sizes(draft, draw(rng, CHANNELS, 16, 1024)))
    draft.vary("batch", "height", "width")
    draft.arguments_of("channels")
    draft.argument("eps", rng.choice((1e-5, 1e-3)))
    draft.init("self.bn = nn.BatchNorm2d($channels, eps=$eps$dt)")
    draft.normal_init("bn.weight", 1.0, 0.2)
    draft.normal_init("bn.bias", 0.0, 0.3)
    draft.normal_init("bn.running_mean", 0.0, 0.2)
    draft.init("nn.init.uniform_(self.bn.running_var, 0.5, 1.5)")
    y = f"self.bn({x})"
    if rng.random() < 0.4:
        residual = draft.normal("residual", "batch channels height width")
        y = f"{y} + {residual}"
    draft.forward(f"y = {y}", f"return {activate(draft, 'y', CONVOLUTIONAL)}")
    return draft


@family(level=3)
def residual_norm(rng: Random) -> Draft:
    """A residual addition, a norm and the sum handed on, as between two transformer blocks."""
    draft = Draft(rng)
    draft.title(
        ("AddNorm", "ResidualNorm", "FusedAddNorm", "SkipNorm", "BlockTail"),
        "Adds a residual branch and normalises the sum.",
        "Returns the normalised tensor together with the new residual stream.",
    )
    dims = token_sizes(draft)
    draft.vary("batch", "seq")
    x, residual = draft.normal("tokens", dims), draft.normal("residual", dims)
    draft.arguments_of("hidden")
    draft.argument("eps", rng.choice(_EPS[:3]))
    draft.parameter("weight", "hidden", 0.2, 1.0)
    branch = x
    if rng.random() < 0.4:
        draft.parameter("layer_scale", "hidden", 0.1, rng.choice((0.5, 1.0)))
        branch = f"self.layer_scale * {x}"
    draft.forward(f"{residual} = {residual} + {branch}")
    _normed_sum(draft, residual)
    if rng.random() < 0.6:
        draft.returns = "tuple[torch.Tensor, torch.Tensor]"
        draft.forward(f"return y, {residual}")
    else:
        activated = rng.random() < 0.5
        draft.forward(f"return {activate(draft, 'y', ('gelu', 'silu')) if activated else 'y'}")
    return draft


def _normed_sum(draft: Draft, residual: str) -> None:
    if draft.rng.random() < 0.5:
        draft.parameter("bias", "hidden", 0.2)
        draft.forward(
            f"y = F.layer_norm({residual}, {residual}.shape[-1:], self.weight, self.bias, $eps)"
        )
        return
    if draft.dtype == "float32":
        draft.forward(f"variance = {residual}.pow(2).mean(dim=-1, keepdim=True)")
        draft.forward(f"y = {residual} * torch.rsqrt(variance + $eps) * self.weight")
        return
    draft.forward(
        f"y = {residual}.float()",
        "y = y * torch.rsqrt(y.pow(2).mean(dim=-1, keepdim=True) + $eps)",
        f"y = y.to({residual}.dtype) * self.weight",
    )
