"""Statistics of rows by segment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms
from builder.programs.families.registry import family
from builder.programs.shapes import (
    HIDDEN,
    ROWS,
    draw,
    fitting,
)
from builder.programs.spelling import activate

if TYPE_CHECKING:
    from random import Random

_SEGMENTS: Forms = {
    "softmax": (
        ("SegmentSoftmax", "EdgeSoftmax", "NeighborWeights"),
        "Softmax weights within each segment.",
    ),
    "variance": (
        ("SegmentVariance", "GroupSpread", "ClusterVariance"),
        "Variance of each feature within each segment.",
    ),
    "normalised": (
        ("GroupWhitening", "SegmentCenter", "ClusterOffset"),
        "Rows relative to the mean of their segment.",
    ),
    "one_hot": (
        ("OneHotPooling", "ClusterMeans", "MembershipSum"),
        "Sums of rows by segment, as a product with the membership matrix.",
    ),
    "degree": (
        ("DegreeNormalizedSum", "GraphPropagation", "SymmetricAggregate"),
        "Sums over edges, normalised by the degrees of both ends.",
    ),
    "mean": (
        ("GraphReadout", "WeightedSegmentMean", "ClusterCentroids"),
        "Weighted mean of the rows of each segment.",
    ),
}


@family(level=3)
def segment_sum(rng: Random) -> Draft:
    """Sums by segment in float32, because they are atomic; the membership product in any type."""
    form = rng.choice(tuple(_SEGMENTS))
    draft = Draft(rng, ("float32", "bfloat16", "float16") if form == "one_hot" else ("float32",))
    draft.title(*_SEGMENTS[form], "Rows of a segment need not be neighbours.")
    draft.size("rows", draw(rng, ROWS, high=1024 if form == "one_hot" else 2048))
    draft.size("features", fitting(rng, HIDDEN, (1 << 17) // draft.values["rows"]))
    within = form in {"softmax", "variance", "normalised"}
    draft.size("segments", rng.choice((4, 5, 8, 10, 16) if within else (16, 33, 50, 64, 100, 127)))
    draft.vary("rows")
    draft.argument("segments")
    if form == "degree":
        _degree(draft)
        return draft
    pool = ("x", "values", "features_in", "nodes")
    x = draft.normal(pool, "rows 4" if form == "softmax" else "rows features")
    ids = draft.integers(("segment_ids", "index", "cluster", "group"), "rows", "$segments")
    {
        "softmax": _softmax,
        "variance": _variance,
        "normalised": _centred,
        "one_hot": _one_hot,
        "mean": _mean,
    }[form](draft, x, ids)
    return draft


def _added(draft: Draft, values: str, ids: str, like: str = "") -> str:
    """Sums of the rows of ``values`` by segment."""
    like = like or values
    if draft.rng.random() < 0.6:
        return f"{like}.new_zeros($segments, {like}.shape[1]).index_add(0, {ids}, {values})"
    index = f"{ids}.unsqueeze(1).expand_as({like})"
    return f"{like}.new_zeros($segments, {like}.shape[1]).scatter_add(0, {index}, {values})"


def _means(draft: Draft, x: str, ids: str) -> None:
    """Defines the ``count`` of rows of each segment, at least one, and their ``mean``."""
    ones = draft.pick(f"{x}.new_ones({x}.shape[0])", f"torch.ones_like({x}[:, 0])")
    column = draft.pick("count.clamp(min=1.0).unsqueeze(1)", "count.clamp(min=1.0)[:, None]")
    draft.forward(
        f"count = {x}.new_zeros($segments).index_add(0, {ids}, {ones})",
        f"count = {column}",
        f"total = {_added(draft, x, ids)}",
        "mean = total / count",
    )


def _softmax(draft: Draft, x: str, ids: str) -> None:
    """Scores are bounded first, so that the exponentials need no maximum."""
    bounded = draft.pick(f"torch.tanh({x})", f"F.hardtanh({x}, -2.0, 2.0)", f"F.softsign({x})")
    draft.argument("scale", draft.rng.choice((0.5, 1.0, 2.0)))
    draft.forward(f"weights = torch.exp($scale * {bounded})")
    draft.forward(f"total = {_added(draft, 'weights', ids)}")
    gathered = draft.pick(f"total[{ids}]", f"total.index_select(0, {ids})")
    draft.forward(f"weights = weights / {gathered}")
    if draft.rng.random() < 0.5:
        values = draft.normal(("messages", "payload", "v"), "rows 4 8")
        draft.forward(f"weighted = (weights.unsqueeze(-1) * {values}).flatten(1)")
        draft.forward(f"return {_added(draft, 'weighted', ids)}")
    else:
        draft.forward("return weights")


def _variance(draft: Draft, x: str, ids: str) -> None:
    _means(draft, x, ids)
    draft.forward(f"offset = {x} - {draft.pick(f'mean[{ids}]', f'mean.index_select(0, {ids})')}")
    squared = draft.pick("offset.square()", "offset * offset")
    draft.forward(f"squared = {squared}", f"total = {_added(draft, 'squared', ids)}")
    draft.forward("var = total / count")
    if draft.rng.random() < 0.5:
        draft.argument("eps", draft.rng.choice((1e-5, 1e-6, 1e-3)))
        draft.forward("return (var + $eps).sqrt()")
    else:
        draft.returns = "tuple[torch.Tensor, torch.Tensor]"
        draft.forward("return mean, var")


def _centred(draft: Draft, x: str, ids: str) -> None:
    _means(draft, x, ids)
    draft.forward(f"offset = {x} - {draft.pick(f'mean[{ids}]', f'mean.index_select(0, {ids})')}")
    norm = "offset.square().mean(dim=-1, keepdim=True)"
    endings = (
        ("offset.abs().mean(dim=-1)",),
        (f"rms = torch.sqrt({norm} + 1e-5)", "offset / rms"),
        (f"{activate(draft, 'offset', ('tanh', 'gelu', 'silu'), module=False)}",),
    )
    *lines, result = draft.rng.choice(endings)
    draft.forward(*lines, f"return {result}")


def _one_hot(draft: Draft, x: str, ids: str) -> None:
    dtype = f"{x}.dtype"
    compared = f"{ids}.unsqueeze(0) == torch.arange($segments, device={x}.device).unsqueeze(1)"
    if draft.rng.random() < 0.5:
        draft.forward(f"member = F.one_hot({ids}, $segments).to({dtype}).t()")
    else:
        draft.forward(f"member = ({compared}).to({dtype})")
    mode = draft.rng.choice(("sum", "mean", "activated"))
    if mode == "activated":
        draft.forward(f"{x} = {activate(draft, x, ('relu', 'gelu', 'silu', 'tanh'))}")
    product = draft.pick(f"member @ {x}", f"torch.matmul(member, {x})", f"torch.mm(member, {x})")
    if mode == "mean":
        draft.forward("count = member.sum(dim=1, keepdim=True).clamp(min=1)")
        draft.forward(f"total = {product}", "return total / count")
    else:
        draft.forward(f"return {product}")


def _mean(draft: Draft, x: str, ids: str) -> None:
    weight = draft.positive(("weight", "confidence", "mass"), "rows 1")
    draft.forward(f"weighted = {draft.pick(f'{x} * {weight}', f'{weight} * {x}')}")
    draft.forward(f"total = {_added(draft, 'weighted', ids)}")
    draft.forward(f"mass_sum = {_added(draft, weight, ids)}")
    draft.argument("eps", draft.rng.choice((1e-3, 1e-2, 0.1)))
    draft.forward("mean = total / (mass_sum + $eps)")
    draft.forward(f"return {draft.pick('mean', 'torch.tanh(mean)', 'F.normalize(mean, dim=-1)')}")


def _degree(draft: Draft) -> None:
    """Kipf and Welling, Semi-Supervised Classification with Graph Convolutional Networks, 2016."""
    x = draft.normal(("x", "nodes", "node_features"), "segments features")
    source = draft.integers(("source", "src", "senders"), "rows", "$segments")
    target = draft.integers(("target", "dst", "receivers"), "rows", "$segments")
    power = draft.pick("degree.rsqrt()", "degree.pow(-0.5)", "torch.rsqrt(degree)")
    messages = f"norm[{source}, None] * {x}[{source}]"
    result = draft.pick("norm[:, None] * out", f"norm[:, None] * (out + norm[:, None] * {x})")
    draft.forward(
        f"ones = {x}.new_ones({target}.shape[0])",
        f"degree = {x}.new_zeros($segments).index_add(0, {target}, ones) + 1",
        f"norm = {power}",
        f"messages = {messages}",
        f"out = torch.zeros_like({x}).index_add(0, {target}, messages)",
        f"out = {result}",
        f"return {activate(draft, 'out', ('relu', 'elu', 'tanh'))}",
    )
