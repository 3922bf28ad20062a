"""Attention with shared keys, within windows, with capped scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms
from builder.programs.families.attention import (
    attend,
    attended,
    head_sizes,
    key_mask,
    scores,
    square_mask,
)
from builder.programs.families.registry import family
from builder.programs.families.softmaxes import softmax_call
from builder.programs.shapes import HEAD_DIM, SEQUENCE, draw, fitting
from builder.programs.spelling import atom, matmul

if TYPE_CHECKING:
    from random import Random

QUERY, KEY, VALUE = ("q", "query", "queries"), ("k", "key", "keys"), ("v", "value", "values")

_GROUPED: Forms = {
    "repeated": (
        ("GroupedQueryAttention", "RepeatedKVAttention"),
        "Attention in which several query heads share a head of keys and values.",
    ),
    "expanded": (("GQA", "SharedKVAttention"), "Grouped-query attention over expanded keys."),
    "grouped": (("GroupedHeads", "GroupedAttention"), "Attention of query heads by group."),
    "folded": (
        ("FoldedGQA", "GroupFoldedAttention"),
        "Grouped-query attention with the query heads of a group as further rows.",
    ),
    "single": (("MultiQueryAttention", "MQA"), "All query heads share one head of keys."),
}


@family(level=3)
def grouped_query_attention(rng: Random) -> Draft:
    """Ainslie et al., GQA, 2023; Shazeer, Fast Transformer Decoding, 2019."""
    draft = Draft(rng)
    form = draft.form(_GROUPED, "Query heads of one group follow each other.")
    q_dims, k_dims = _grouped_sizes(draft, is_single=form == "single")
    draft.vary("batch", "seq", chance=0.6)
    q, k, v = draft.normal(QUERY, q_dims), draft.normal(KEY, k_dims), draft.normal(VALUE, k_dims)
    if rng.random() < 0.3:
        _rms_normalise(draft, q, k)
    _share_heads(draft, form, q, k, v)
    scores(draft, q, k)
    if form == "folded" or (form != "grouped" and rng.random() < 0.3):
        key_mask(draft, k, "seq", rng.choice(("random", "lengths")))
    elif rng.random() < 0.7:
        square_mask(draft, q, rng.choice(("triu", "tril")))
    result = attended(draft, v)
    if form == "grouped":
        result = f"{atom(result)}.flatten(1, 2)"
    elif form == "folded":
        heads = draft.pick("heads = out.shape[1] * group", "heads = group * out.shape[1]")
        draft.forward(f"out = {result}", heads)
        result = draft.pick(
            "out.reshape(out.shape[0], heads, -1, out.shape[-1])",
            "out.unflatten(2, (group, -1)).reshape(out.shape[0], heads, -1, out.shape[-1])",
        )
    draft.forward(f"return {result}")
    return draft


def _grouped_sizes(draft: Draft, *, is_single: bool) -> tuple[str, str]:
    """Declares the sizes of queries and of fewer heads of keys; returns the dimensions of both."""
    rng = draft.rng
    kv_heads = 1 if is_single else rng.choice((1, 2, 2, 3, 4))
    heads = kv_heads * rng.choice((2, 3, 4) if kv_heads > 2 else (2, 3, 4, 6, 8))
    draft.size("batch", rng.choice((1, 2, 3, 4)))
    draft.size("heads", heads)
    draft.size("kv_heads", kv_heads)
    draft.size(
        "seq", fitting(rng, SEQUENCE, int(((1 << 19) / (draft.values["batch"] * heads)) ** 0.5))
    )
    draft.size("head_dim", draw(rng, HEAD_DIM, high=96))
    keys = "batch seq head_dim" if is_single else "batch kv_heads seq head_dim"
    return "batch heads seq head_dim", keys


def _rms_normalise(draft: Draft, q: str, k: str) -> None:
    """Queries and keys of unit root mean square."""
    if draft.rng.random() < 0.5:
        draft.forward(
            f"{q} = F.rms_norm({q}, {q}.shape[-1:])", f"{k} = F.rms_norm({k}, {k}.shape[-1:])"
        )
        return
    eps = draft.pick("1e-6", "1e-5")
    draft.helper(
        "def rms_norm(x):",
        "    y = x.float()",
        f"    return (y * torch.rsqrt(y.square().mean(dim=-1, keepdim=True) + {eps})).to(x.dtype)",
    )
    draft.forward(f"{q}, {k} = rms_norm({q}), rms_norm({k})")


def _share_heads(draft: Draft, form: str, q: str, k: str, v: str) -> None:
    """Lines after which the shapes of queries and keys agree."""
    group = f"group = {q}.shape[1] // {k}.shape[1]"
    if form == "repeated":
        repeated = draft.pick(
            "{x} = {x}.repeat_interleave(group, dim=1)",
            "{x} = torch.repeat_interleave({x}, group, dim=1)",
        )
        draft.forward(group, repeated.format(x=k), repeated.format(x=v))
    elif form == "expanded":
        name = draft.pick("repeat_kv", "expand_heads", "share_heads")
        draft.helper(
            f"def {name}(x, group):",
            "    batch, heads, length, dim = x.shape",
            "    x = x[:, :, None].expand(batch, heads, group, length, dim)",
            "    return x.reshape(batch, heads * group, length, dim)",
        )
        draft.forward(group, f"{k}, {v} = {name}({k}, group), {name}({v}, group)")
    elif form == "grouped":
        draft.forward(
            f"{q} = {q}.unflatten(1, ({k}.shape[1], -1))",
            f"{k}, {v} = {k}.unsqueeze(2), {v}.unsqueeze(2)",
        )
    elif form == "folded":
        folded = draft.pick(
            f"{q}.unflatten(1, (-1, group)).flatten(2, 3)",
            f"{q}.reshape({q}.shape[0], {k}.shape[1], -1, {q}.shape[-1])",
        )
        draft.forward(group, f"{q} = {folded}")
    else:
        draft.forward(f"{k}, {v} = {k}.unsqueeze(1), {v}.unsqueeze(1)")


_WINDOWS: Forms = {
    "distance": (
        ("WindowAttention", "SlidingAttention", "NearestTokens"),
        "Causal attention to the nearest tokens.",
    ),
    "band": (("BandedAttention", "BandMaskAttention"), "Attention under a band of the mask."),
    "centred": (
        ("LocalSelfAttention", "NeighborhoodAttention", "SymmetricWindow"),
        "Attention to the neighbours on both sides.",
    ),
    "blocks": (
        ("BlockLocalAttention", "ChunkedWindowAttention"),
        "Causal attention within a window, computed by blocks of the window's size.",
    ),
}


@family(level=3)
def sliding_window_attention(rng: Random) -> Draft:
    """Beltagy et al., Longformer, 2020; biases: Press et al., ALiBi, 2022."""
    draft = Draft(rng)
    form = draft.form(_WINDOWS, "The window counts the token itself.")
    dims, _ = head_sizes(draft)
    seq = draft.values["seq"]
    window = min(rng.choice((8, 12, 16, 16, 32, 64)), seq // 2)
    if form == "blocks":
        draft.values["seq"] = seq // window * window
        draft.vary("batch", chance=0.6)
    else:
        draft.vary("batch", "seq", chance=0.6)
    draft.argument("window", window)
    q, k, v = (draft.normal(pool, dims) for pool in (QUERY, KEY, VALUE))
    if form == "blocks":
        _split_blocks(draft, q, k, v)
    scores(draft, q, k)
    if form == "band":
        draft.forward(
            f"ones = torch.ones({q}.shape[-2], {q}.shape[-2], dtype=torch.bool, device={q}.device)",
            draft.pick(
                "visible = ones.tril().triu(1 - $window)",
                "visible = ones.triu(1 - $window).tril()",
                "visible = ones.tril() & ones.triu(1 - $window)",
            ),
        )
    else:
        _window(draft, form, q)
    hidden = draft.pick(
        'scores.masked_fill(~visible, float("-inf"))',
        'torch.where(visible, scores, float("-inf"))',
    )
    draft.forward(f"scores = {hidden}")
    result = attended(draft, v)
    draft.forward(f"return {f'{atom(result)}.flatten(2, 3)' if form == 'blocks' else result}")
    return draft


def _split_blocks(draft: Draft, q: str, k: str, v: str) -> None:
    """Lines that give every block of queries the keys of its own block and the one before."""
    name = draft.pick("with_previous", "join_previous")
    previous = draft.pick(
        "F.pad(x, (0, 0, 0, 0, 1, 0))[:, :, :-1]",
        "torch.cat((torch.zeros_like(x[:, :, :1]), x[:, :, :-1]), dim=2)",
    )
    draft.helper(
        f"def {name}(x):",
        f"    previous = {previous}",
        "    return torch.cat((previous, x), dim=3)",
    )
    draft.forward(
        f"{q} = {q}.unflatten(2, (-1, $window))",
        f"{k} = {name}({k}.unflatten(2, (-1, $window)))",
        f"{v} = {name}({v}.unflatten(2, (-1, $window)))",
    )


def _window(draft: Draft, form: str, q: str) -> None:
    """Lines that find which keys each query sees, often with a bias by their distance."""
    is_blocked, size = form == "blocks", f"{q}.shape[-2]"
    span = "-$window, $window" if is_blocked else size
    draft.forward(
        f"rows = torch.arange({'$window' if is_blocked else size}, device={q}.device)",
        f"columns = torch.arange({span}, device={q}.device)",
        f"distance = {draft.pick('rows[:, None] - columns', 'rows.unsqueeze(1) - columns')}",
    )
    if form == "centred":
        draft.forward("visible = distance.abs() < $window")
    else:
        draft.forward("visible = (distance >= 0) & (distance < $window)")
    if is_blocked:
        draft.forward(
            f"start = torch.arange({q}.shape[2], device={q}.device)[:, None, None] * $window",
            "visible = visible & (start + columns >= 0)",
        )
    if draft.rng.random() < 0.5:
        _slopes(draft, form, q, ", 1, 1, 1" if is_blocked else ", 1, 1")


def _slopes(draft: Draft, form: str, q: str, ones: str) -> None:
    """Lines of a bias that grows with the distance, at a rate of each head's own."""
    if draft.rng.random() < 0.5:
        draft.arguments_of("heads")
        draft.parameter("slopes", f"heads{ones.replace(',', '')}", 0.05, 0.1)
        slopes = "self.slopes"
    else:
        draft.forward(
            f"heads = torch.arange(1, {q}.shape[1] + 1, device={q}.device)",
            f"slopes = torch.exp2(-8.0 * heads / {q}.shape[1]).view(-1{ones})",
        )
        slopes = "slopes"
    steps = "distance.abs()" if form == "centred" else "distance"
    bias = f"{slopes} * {steps}"
    if draft.dtype != "float32":
        bias = f"({bias}).to(scores.dtype)"
    draft.forward(f"scores = scores - {bias}")


_CAPPED: Forms = {
    "softmax": (
        ("SoftcapAttention", "CappedAttention", "TanhCappedAttention"),
        "Attention with scores capped by a tanh.",
    ),
    "exponentials": (
        ("BoundedAttention", "CappedExpAttention"),
        "Attention with capped scores, so that no exponential needs a maximum.",
    ),
    "sink": (
        ("SinkAttention", "CappedSinkAttention"),
        "Attention with capped scores and a learned sink for each head.",
    ),
}


@family(level=3)
def softcapped_attention(rng: Random) -> Draft:
    """Gemma Team, Gemma 2, 2024; sinks: Xiao et al., 2024."""
    draft = Draft(rng)
    form = draft.form(_CAPPED, "The cap bounds every score before the mask.")
    dims, _ = head_sizes(draft)
    draft.vary("batch", "seq", chance=0.6)
    q = draft.normal(QUERY, dims, rng.choice((1.5, 2.0, 3.0)))
    k, v = draft.normal(KEY, dims), draft.normal(VALUE, dims)
    draft.argument("cap", rng.choice((5.0, 10.0, 20.0, 30.0)))
    if form == "sink":
        draft.arguments_of("heads")
        draft.parameter("sinks", "heads 1 1", 1.0)
    scores(draft, q, k)
    if draft.dtype != "float32" and form != "softmax":
        draft.forward("scores = scores.float()")
    capped = draft.pick("$cap * torch.tanh(scores / $cap)", "(scores / $cap).tanh() * $cap")
    draft.forward(f"scores = {capped}")
    if rng.random() < 0.6:
        square_mask(draft, q, rng.choice(("triu", "tril")))
    else:
        key_mask(draft, k, "seq", rng.choice(("random", "lengths")))
    if form == "softmax":
        attend(draft, v)
        return draft
    _capped_weights(draft, form)
    weights = "weights" if draft.dtype == "float32" else f"weights.to({v}.dtype)"
    draft.forward(f"return {matmul(draft, weights, v)}")
    return draft


def _capped_weights(draft: Draft, form: str) -> None:
    if form == "exponentials":
        draft.forward(
            f"weights = {draft.pick('scores.exp()', 'torch.exp(scores)')}",
            "weights = weights / weights.sum(dim=-1, keepdim=True)",
        )
    elif draft.rng.random() < 0.5:
        draft.forward(
            "sinks = self.sinks.expand(scores.shape[0], -1, scores.shape[2], -1)",
            "scores = torch.cat((scores, sinks), dim=-1)",
            f"weights = {softmax_call(draft, 'scores')}[..., :-1]",
        )
    else:
        draft.forward(
            "total = torch.logsumexp(scores, dim=-1, keepdim=True)",
            "weights = torch.exp(scores - torch.logaddexp(total, self.sinks))",
        )
