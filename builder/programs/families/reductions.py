"""Reductions: over several axes, statistics, extremes, pooled with masks, of sorted values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms
from builder.programs.families.pointwise import image_sizes, token_sizes
from builder.programs.families.registry import family
from builder.programs.shapes import CHANNELS, ROWS, draw, fitting
from builder.programs.spelling import activate, atom, reduce

if TYPE_CHECKING:
    from random import Random

_SORTED: Forms = {
    "trimmed": (("TrimmedMean", "RobustMean"), "Mean of each row without its extremes."),
    "top": (("TopValues", "LeadingValues"), "The first sorted values of each row, centred."),
    "gap": (("LargestGap", "SpacingStatistic"), "Largest gap between neighbouring sorted values."),
    "weighted": (("SortedPooling", "OrderStatistics"), "Weighted sum of the sorted values."),
}


def feature_sizes(draft: Draft, scale: float = 1.0) -> tuple[str, str, bool]:
    """Draws tokens or images; returns the input's name, its dimensions and whether it is images."""
    images = draft.rng.random() < 0.5
    if images:
        dims = image_sizes(draft, draw(draft.rng, CHANNELS, high=256))
        draft.vary("batch", "height", "width")
        return draft.normal("images", dims, scale), dims, images
    dims = token_sizes(draft)
    draft.vary("batch", "seq")
    return draft.normal("tokens", dims, scale), dims, images


@family(level=2)
def axis_reduction(rng: Random) -> Draft:
    draft = Draft(rng)
    draft.title(
        ("AxisReduction", "FeatureSummary", "ReduceAxes", "ChannelSummary", "AggregateFeatures"),
        "Reduces transformed features over some of their axes.",
        "Low-precision inputs are reduced in float32.",
    )
    x, dims, images = feature_sizes(draft)
    axes = ("(2, 3)", "(0, 2, 3)", "1", "-1") if images else ("-1", "1", "(0, 1)", "(1, 2)", "0")
    if rng.random() < 0.3:
        weight = draft.normal(("weight", "scale", "gain"), dims.split()[-1])
        draft.forward(f"{x} = {x} * {weight}")
    y = x if draft.dtype == "float32" else f"{x}.float()"
    if rng.random() < 0.3:
        y = activate(draft, y, ("relu", "tanh", "gelu"))
    draft.forward(f"y = {y}")
    first, second = (_reduction(draft, rng.choice(axes)) for _ in range(2))
    ending = rng.choice(("one", "two", "combined"))
    if ending == "one" or first == second:
        draft.forward(f"return {first}")
    elif ending == "two":
        draft.returns = "tuple[torch.Tensor, torch.Tensor]"
        draft.forward(f"return {first}, {second}")
    else:
        axis, top = rng.choice(axes), draft.pick("y.amax", "y.amin")
        mean = f"y.mean(dim={axis}, keepdim=True)"
        draft.forward(f"return {top}(dim={axis}, keepdim=True) - {mean}")
    return draft


def _reduction(draft: Draft, axis: str) -> str:
    kind = draft.rng.choice(("sum", "mean", "amax", "amin", "logsumexp", "norm", "abs_mean", "rms"))
    if kind == "norm":
        return draft.pick(
            f"torch.linalg.vector_norm(y, dim={axis})", f"y.square().sum(dim={axis}).sqrt()"
        )
    if kind == "abs_mean":
        return reduce(draft, "mean", "y.abs()", axis, keepdim=False)
    if kind == "rms":
        return f"y.pow(2).mean(dim={axis}).sqrt()"
    return reduce(draft, kind, "y", axis, keepdim=False)


@family(level=2)
def standardise(rng: Random) -> Draft:
    """Subtract the mean and divide by the standard deviation, over some axes."""
    draft = Draft(rng)
    draft.title(
        ("Standardize", "FeatureWhitening", "ZScore", "MomentNorm", "VarianceScaling"),
        "Zero mean and unit variance over the chosen axes.",
        "A small constant keeps the division finite.",
    )
    x, _, images = feature_sizes(draft, rng.choice((1.0, 2.0)))
    draft.argument("eps", rng.choice((1e-5, 1e-6, 1e-3)))
    axis = rng.choice(("(2, 3)", "(1, 2, 3)", "1") if images else ("-1", "1", "(1, 2)"))
    low = draft.dtype != "float32"
    if low:
        draft.forward(f"y = {x}.float()")
    result = _standardised(draft, "y" if low else x, axis)
    if rng.random() < 0.4:
        draft.forward(f"out = {result}")
        result = activate(draft, "out", ("relu", "leaky_relu", "silu"))
    draft.forward(f"return {atom(result)}.to({x}.dtype)" if low else f"return {result}")
    return draft


def _standardised(draft: Draft, y: str, axis: str) -> str:
    form = draft.rng.choice(("var_mean", "std", "moments"))
    if form == "var_mean":
        draft.forward(f"var, mean = torch.var_mean({y}, dim={axis}, correction=0, keepdim=True)")
        return f"({y} - mean) * torch.rsqrt(var + $eps)"
    draft.forward(f"mean = {y}.mean(dim={axis}, keepdim=True)")
    if form == "std":
        draft.forward(f"std = {y}.std(dim={axis}, keepdim=True)")
        return f"({y} - mean) / (std + $eps)"
    draft.forward(f"second = ({y} * {y}).mean(dim={axis}, keepdim=True)")
    draft.forward("var = (second - mean * mean).clamp(min=0)")
    return f"({y} - mean) / torch.sqrt(var + $eps)"


@family(level=2)
def arg_extreme(rng: Random) -> Draft:
    draft = Draft(rng, ("float32", "float32", "float32", "bfloat16", "float16"))
    name = draft.pick("argmax", "argmin")
    draft.title(
        ("GreedyDecode", "ArgMax", "BestClass", "PeakFinder")
        if name == "argmax"
        else ("ArgMin", "NearestCode", "LowestCost", "CheapestAction"),
        f"Index of the {'largest' if name == 'argmax' else 'smallest'} score of each row.",
        "Scores are compared in float32.",
    )
    draft.size("rows", draw(rng, ROWS, high=2048))
    draft.size("classes", fitting(rng, ROWS, (1 << 20) // draft.values["rows"]))
    draft.vary("rows")
    x = draft.normal("logits", "rows classes", 2.0)
    scores, operand = f"{x}.float()", rng.choice(("none", "bias", "scale"))
    if operand == "bias":
        bias = draft.normal(("bias", "prior"), "classes", dtype="float32")
        scores = f"{scores} + {bias}"
    elif operand == "scale":
        scale = draft.positive(("scale", "weight"), "classes", 0.5, 1.0, dtype="float32")
        scores = f"{scores} * {scale}"
    draft.forward(f"values = {scores}")
    index = draft.pick(f"values.{name}(dim=-1)", f"torch.{name}(values, dim=-1)")
    if rng.random() < 0.5:
        draft.returns = "tuple[torch.Tensor, torch.Tensor]"
        draft.forward(f"best = values.{'amax' if name == 'argmax' else 'amin'}(dim=-1)")
        draft.forward(f"return {index}, {draft.pick('best', 'torch.sigmoid(best)')}")
    else:
        draft.level = 1 if operand == "none" else 2
        draft.forward(f"return {index}")
    return draft


@family(level=2)
def masked_pooling(rng: Random) -> Draft:
    draft = Draft(rng)
    draft.title(
        ("MaskedMean", "MeanPooling", "SentencePooling", "MaskedAverage", "TokenPooling"),
        "Average of the token features that the mask keeps.",
        "Rows without a kept token give zero, not NaN.",
    )
    dims = token_sizes(draft)
    draft.vary("batch", "seq")
    x = draft.normal("tokens", dims)
    if rng.random() < 0.5:
        mask = draft.mask("mask", "batch seq", 0.8)
    else:
        mask = draft.integers("mask", "batch seq", "2")
    y = x if draft.dtype == "float32" else f"{x}.float()"
    total = draft.pick(f"({y} * weights).sum(dim=1)", f"torch.sum({y} * weights, dim=1)")
    count = draft.pick(
        "weights.sum(dim=1).clamp(min=1.0)", "torch.clamp(weights.sum(dim=1), min=1.0)"
    )
    draft.forward(
        f"weights = {mask}.unsqueeze(-1).{draft.pick('float()', 'to(torch.float32)')}",
        f"total = {total}",
        f"count = {count}",
    )
    pooled = "total / count"
    if rng.random() < 0.5:
        draft.forward(f"pooled = {pooled}")
        pooled = draft.pick("F.normalize(pooled, dim=-1)", "torch.tanh(pooled)")
    draft.forward(f"return {pooled if y == x else f'{atom(pooled)}.to({x}.dtype)'}")
    return draft


@family(level=3)
def sorted_statistic(rng: Random) -> Draft:
    """Order statistics of short rows."""
    draft = Draft(rng)
    form = draft.form(_SORTED, "Values are sorted in float32.")
    draft.size("rows", draw(rng, ROWS, high=2048))
    draft.size("columns", rng.choice((16, 32, 33, 50, 64, 100, 128, 197, 256)))
    draft.vary("rows")
    x = draft.normal("matrix", "rows columns")
    order = draft.pick("", ", descending=True")
    sort = draft.pick(f"torch.sort({x}.float(), dim=-1{order})", f"{x}.float().sort(dim=-1{order})")
    draft.forward(draft.pick(f"ordered, _ = {sort}", f"ordered = {sort}.values"))
    k = rng.randint(2, draft.values["columns"] // 4)
    if form == "trimmed":
        draft.forward(f"return ordered[:, {k}:-{k}].mean(dim=-1)")
    elif form == "top":
        draft.forward(f"kept = ordered[:, :{k}]", "return kept - kept.mean(dim=-1, keepdim=True)")
    elif form == "gap":
        draft.forward("gaps = ordered[:, 1:] - ordered[:, :-1]", "return gaps.abs().amax(dim=-1)")
    else:
        draft.parameter("weight", "columns")
        draft.arguments_of("columns")
        cast = "" if draft.dtype == "float32" else ".float()"
        draft.forward(f"return (ordered * self.weight{cast}).sum(dim=-1)")
    return draft
