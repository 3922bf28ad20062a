"""Reductions: over several axes, statistics, extremes, pooled with masks, of sorted values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft
from builder.programs.families.pointwise import image_sizes, token_sizes
from builder.programs.families.registry import family
from builder.programs.shapes import CHANNELS, ROWS, draw, fitting
from builder.programs.spelling import activate, atom, reduce

if TYPE_CHECKING:
    from random import Random


@family(level=2)
def axis_reduction(rng: Random) -> Draft:
    draft = Draft(rng)
    draft.title(
        ("AxisReduction", "GlobalPool", "FeatureSummary", "ReduceAxes", "ChannelSummary"),
        "Reduces transformed features over some of their axes.",
        "Low-precision inputs are reduced in float32.",
    )
    if rng.random() < 0.5:
        dims, axes = token_sizes(draft), ("-1", "1", "(0, 1)", "(1, 2)", "0")
        x = draft.normal("tokens", dims)
        draft.vary("batch", "seq")
    else:
        dims, axes = (
            image_sizes(draft, draw(rng, CHANNELS, high=256)),
            ("(2, 3)", "(0, 2, 3)", "1", "-1"),
        )
        x = draft.normal("images", dims)
        draft.vary("batch", "height", "width")
    if rng.random() < 0.3:
        weight = draft.normal(("weight", "scale", "gain"), dims.split()[-1])
        draft.forward(f"{x} = {x} * {weight}")
    cast = "" if draft.dtype == "float32" else ".float()"
    y = f"{x}{cast}"
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
        axis = rng.choice(axes)
        top, mean = draft.pick("y.amax", "y.amin"), f"y.mean(dim={axis}, keepdim=True)"
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
        ("Standardize", "InstanceNorm", "FeatureWhitening", "ZScore", "WeightStandardization"),
        "Zero mean and unit variance over the chosen axes.",
        "The variance is the biased one unless said otherwise.",
    )
    if rng.random() < 0.5:
        dims, axes = image_sizes(draft, draw(rng, CHANNELS, high=256)), ("(2, 3)", "(1, 2, 3)", "1")
        x = draft.normal("images", dims, rng.choice((1.0, 2.0)))
        draft.vary("batch", "height", "width")
    else:
        dims, axes = token_sizes(draft), ("-1", "1", "(1, 2)")
        x = draft.normal("tokens", dims, rng.choice((1.0, 2.0)))
        draft.vary("batch", "seq")
    draft.argument("eps", rng.choice((1e-5, 1e-6, 1e-3)))
    axis = rng.choice(axes)
    cast = "" if draft.dtype == "float32" else ".float()"
    form = rng.choice(("var_mean", "std", "moments"))
    y = x
    if cast:
        y = "y"
        draft.forward(f"y = {x}.float()")
    if form == "var_mean":
        draft.forward(f"var, mean = torch.var_mean({y}, dim={axis}, correction=0, keepdim=True)")
        result = f"({y} - mean) * torch.rsqrt(var + $eps)"
    elif form == "std":
        draft.forward(f"mean = {y}.mean(dim={axis}, keepdim=True)")
        draft.forward(f"std = {y}.std(dim={axis}, keepdim=True)")
        result = f"({y} - mean) / (std + $eps)"
    else:
        draft.forward(f"mean = {y}.mean(dim={axis}, keepdim=True)")
        draft.forward(f"second = ({y} * {y}).mean(dim={axis}, keepdim=True)")
        draft.forward("var = (second - mean * mean).clamp(min=0)")
        result = f"({y} - mean) / torch.sqrt(var + $eps)"
    if rng.random() < 0.4:
        draft.forward(f"out = {result}")
        result = activate(draft, "out", ("relu", "leaky_relu", "silu"))
    draft.forward(f"return {atom(result)}.to({x}.dtype)" if cast else f"return {result}")
    return draft


@family(level=2)
def arg_extreme(rng: Random) -> Draft:
    draft = Draft(rng, ("float32", "float32", "float32", "bfloat16", "float16"))
    draft.title(
        ("GreedyDecode", "ArgMax", "NearestCode", "PeakFinder", "HardAssign"),
        "Index of the best entry of each row.",
        "Scores are compared in float32.",
    )
    draft.size("rows", draw(rng, ROWS, high=2048))
    draft.size("classes", fitting(rng, ROWS, (1 << 20) // draft.values["rows"]))
    draft.vary("rows")
    x = draft.normal("logits", "rows classes", 2.0)
    name = draft.pick("argmax", "argmin")
    scores = f"{x}.float()"
    operand = rng.choice(("none", "bias", "scale"))
    if operand == "bias":
        bias = draft.normal(("bias", "prior"), "classes", dtype="float32")
        scores = f"{scores} + {bias}"
    elif operand == "scale":
        scale = draft.positive(("scale", "weight"), "classes", 0.5, 1.0, dtype="float32")
        scores = f"{scores} * {scale}"
    draft.forward(f"scores = {scores}")
    index = draft.pick(
        f"scores.{name}(dim=-1)", f"torch.{name}(scores, dim=-1)", f"torch.{name}(scores, dim=1)"
    )
    if rng.random() < 0.5:
        best = "amax" if name == "argmax" else "amin"
        draft.returns = "tuple[torch.Tensor, torch.Tensor]"
        draft.forward(f"best = scores.{best}(dim=-1)")
        draft.forward(f"return {index}, {draft.pick('best', 'torch.sigmoid(best)')}")
    else:
        draft.forward(f"return {index}")
    return draft


@family(level=2)
def masked_pooling(rng: Random) -> Draft:
    draft = Draft(rng)
    draft.title(
        ("MaskedMean", "MeanPooling", "SentencePooling", "MaskedAverage", "AttentionPool"),
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
    draft.forward(f"weights = {mask}.unsqueeze(-1).{draft.pick('float()', 'to(torch.float32)')}")
    cast = "" if draft.dtype == "float32" else ".float()"
    total = draft.pick(
        f"({x}{cast} * weights).sum(dim=1)", f"torch.sum({x}{cast} * weights, dim=1)"
    )
    draft.forward(f"total = {total}")
    draft.forward(
        f"count = {draft.pick('weights.sum(dim=1).clamp(min=1.0)', 'weights.sum(dim=1) + 1e-6')}"
    )
    pooled = "total / count"
    if rng.random() < 0.5:
        draft.forward(f"pooled = {pooled}")
        pooled = draft.pick("F.normalize(pooled, dim=-1)", "torch.tanh(pooled)")
    draft.forward(f"return {atom(pooled)}.to({x}.dtype)" if cast else f"return {pooled}")
    return draft


@family(level=3)
def sorted_statistic(rng: Random) -> Draft:
    """Order statistics of short rows."""
    draft = Draft(rng)
    draft.title(
        ("TrimmedMean", "SortedPooling", "RobustMean", "OrderStatistics", "SoftRank"),
        "A statistic of the sorted values of each row.",
        "Values are sorted in float32.",
    )
    draft.size("rows", draw(rng, ROWS, high=2048))
    draft.size("columns", rng.choice((16, 32, 33, 50, 64, 100, 128, 197, 256)))
    draft.vary("rows")
    x = draft.normal("matrix", "rows columns")
    order = draft.pick("", ", descending=True")
    sort = draft.pick(f"torch.sort({x}.float(), dim=-1{order})", f"{x}.float().sort(dim=-1{order})")
    columns = draft.values["columns"]
    if rng.random() < 0.5:
        draft.forward(f"ordered, _ = {sort}")
    else:
        draft.forward(f"ordered = {sort}.values")
    form = rng.choice(("trimmed", "top", "gap", "weighted"))
    k = rng.randint(2, columns // 4)
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
