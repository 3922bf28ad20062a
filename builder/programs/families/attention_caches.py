"""Attention to stored keys: one new token at a time, and keys out of a small latent vector."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms
from builder.programs.families.attention import attended, scores, square_mask
from builder.programs.families.attention_variants import QUERY
from builder.programs.families.registry import family
from builder.programs.shapes import HEAD_DIM, HIDDEN, SEQUENCE, draw, fitting
from builder.programs.spelling import atom, matmul, transposed

if TYPE_CHECKING:
    from random import Random

Pair = tuple[str, str]

_CACHES: Forms = {
    "concat": (
        ("CachedAttention", "DecodeStep", "AppendKV"),
        "Attention of one new token to a cache that it is appended to.",
    ),
    "scatter": (
        ("StaticCacheAttention", "InPlaceCacheDecode"),
        "Attention of one new token, written to each row's next place in the cache.",
    ),
    "slot": (
        ("SlotAttentionStep", "MaskedCacheUpdate"),
        "Attention of one new token that replaces one place of the cache.",
    ),
    "shared": (
        ("DecodeAtPosition", "PositionedDecode"),
        "Attention of one new token at a position that all rows share.",
    ),
    "split": (
        ("SplitDecode", "CacheAndSelf", "DecodeAttention"),
        "Attention of one new token to a cache and to itself, without a copy of the cache.",
    ),
}


@family(level=3)
def decode_attention(rng: Random) -> Draft:
    """Shazeer, Fast Transformer Decoding, 2019."""
    draft = Draft(rng)
    form = draft.form(_CACHES, "The cache holds more places than are valid.")
    batch, heads = draft.size("batch", rng.choice((1, 2, 3, 4, 8))), rng.choice((2, 3, 4, 6, 8, 12))
    draft.size("heads", heads)
    head_dim = draft.size("head_dim", draw(rng, HEAD_DIM))
    draft.size("past", fitting(rng, SEQUENCE, (1 << 18) // (batch * heads * head_dim)))
    draft.vary("batch", "past")
    one, cached = "batch heads 1 head_dim", "batch heads past head_dim"
    q = draft.normal(QUERY, one, rng.choice((1.0, 1.5, 2.0)))
    k, v = (
        draft.normal(("k", "key", "new_key"), one),
        draft.normal(("v", "value", "new_value"), one),
    )
    keys = draft.normal(("k_cache", "key_cache", "past_k"), cached)
    values = draft.normal(("v_cache", "value_cache", "past_v"), cached)
    if form == "split":
        result = _split(draft, q, (k, v), (keys, values))
    else:
        visible = _updated(draft, form, (k, v), (keys, values))
        scores(draft, q, keys)
        draft.forward(f"scores = {_hidden(draft, visible)}")
        result = attended(draft, values)
    if rng.random() < 0.4:
        result = f"{atom(result)}.{draft.pick('transpose(1, 2).flatten(2)', 'flatten(1)')}"
    if form != "split" and rng.random() < 0.4:
        draft.returns = "tuple[torch.Tensor, torch.Tensor, torch.Tensor]"
        result = f"{result}, {keys}, {values}"
    draft.forward(f"return {result}")
    return draft


def _hidden(draft: Draft, visible: str) -> str:
    return draft.pick(
        f'scores.masked_fill(~{visible}, float("-inf"))',
        f'torch.where({visible}, scores, float("-inf"))',
        f"torch.where({visible}, scores, -1e4)",
    )


def _updated(draft: Draft, form: str, new: Pair, cache: Pair) -> str:
    """Lines that put the new pair into the cache; returns what of it may be seen."""
    if form == "concat":
        template = "torch.randint(0, $past // 2, ($batch,))"
        start = draft.input(("start", "padding", "left_pad"), template, "int64")
        for name, stored in zip(new, cache, strict=True):
            draft.forward(f"{stored} = torch.cat(({stored}, {name}), dim=2)")
        draft.forward(
            f"places = torch.arange({cache[0]}.shape[2], device={cache[0]}.device)",
            f"valid = places >= {start}[:, None]",
        )
        return "valid[:, None, None, :]"
    count = "1" if form == "shared" else "$batch"
    template = f"torch.randint($past // 2, $past, ({count},))"
    place = draft.input(("position", "cache_position", "pos"), template, "int64")
    places = f"places = torch.arange({cache[0]}.shape[2], device={cache[0]}.device)"
    if form == "slot":
        draft.forward(places, f"is_new = (places == {place}[:, None])[:, None, :, None]")
        updated = "torch.where(is_new, {new}, {stored})"
    elif form == "scatter":
        index = draft.pick(f"{place}.view(-1, 1, 1, 1)", f"{place}[:, None, None, None]")
        draft.forward(f"index = {index}.expand_as({new[0]})", places)
        updated = draft.pick(
            "{stored}.scatter(2, index, {new})", "torch.scatter({stored}, 2, index, {new})"
        )
    else:
        draft.forward(places)
        updated = f"{{stored}}.index_copy(2, {place}, {{new}})"
    for name, stored in zip(new, cache, strict=True):
        draft.forward(f"{stored} = {updated.format(stored=stored, new=name)}")
    if form == "shared":
        return f"(places <= {place})"
    draft.forward(f"valid = places <= {place}[:, None]")
    return "valid[:, None, None, :]"


def _split(draft: Draft, q: str, new: Pair, cache: Pair) -> str:
    """Scores of the cache and of the new token apart, normalised together."""
    template = "torch.randint($past // 2, $past + 1, ($batch,))"
    lengths = draft.input(("lengths", "cache_lengths", "seq_lens"), template, "int64")
    draft.forward(f"{q} = {q} * {q}.shape[-1] ** -0.5")
    draft.forward(
        f"scores = {matmul(draft, q, transposed(draft, cache[0]))}",
        f"places = torch.arange({cache[0]}.shape[2], device={cache[0]}.device)",
        f"valid = places < {lengths}[:, None]",
        f"scores = {_hidden(draft, 'valid[:, None, None, :]')}",
        f"own = {draft.pick(f'({q} * {new[0]}).sum(dim=-1, keepdim=True)', f'{q} @ {new[0]}.mT')}",
        "scores = torch.cat((scores, own), dim=-1)",
    )
    if draft.dtype == "float32":
        draft.forward(f"weights = {draft.pick('scores.softmax(dim=-1)', 'F.softmax(scores, -1)')}")
    else:
        draft.forward(f"weights = torch.softmax(scores.float(), dim=-1).to({q}.dtype)")
    past = matmul(draft, "weights[..., :-1]", cache[1])
    draft.forward(f"out = {past}")
    return f"out + weights[..., -1:] * {new[1]}"


_LATENT: Forms = {
    "expanded": (
        ("LatentAttention", "LowRankKVAttention"),
        "Attention whose keys and values are projected up from a small latent vector.",
    ),
    "joint": (
        ("CompressedKVAttention", "JointLatentAttention"),
        "Attention whose keys and values are two halves of one projection of a latent vector.",
    ),
    "absorbed": (
        ("AbsorbedLatentAttention", "LatentSpaceAttention"),
        "Attention in the latent space: the projections of keys and values move to the queries.",
    ),
}


@family(level=4)
def latent_attention(rng: Random) -> Draft:
    """DeepSeek-AI, DeepSeek-V2, 2024."""
    draft = Draft(rng, ("float32", "float32", "bfloat16"))
    form = draft.form(_LATENT, "Of every token only the latent vector would have to be cached.")
    hidden = draft.size("hidden", draw(rng, HIDDEN, high=320))
    draft.size("seq", draw(rng, SEQUENCE, high=128))
    draft.size("batch", rng.choice((1, 2, 3)))
    draft.vary("batch", "seq")
    x = draft.normal("tokens", "batch seq hidden", rng.choice((1.5, 2.0)))
    draft.arguments_of("hidden")
    draft.argument("heads", rng.choice((2, 4, 6, 8)))
    draft.argument("head_dim", rng.choice((16, 32, 32, 48, 64)))
    draft.argument("latent", max(16, rng.choice((hidden // 4, hidden // 3, 32, 64))))
    latent = f"self.kv_down({x})"
    draft.init(
        "self.q_proj = nn.Linear($hidden, $heads * $head_dim, bias=False$dt)",
        "self.kv_down = nn.Linear($hidden, $latent, bias=False$dt)",
    )
    if rng.random() < 0.6:
        name = draft.pick("norm", "kv_norm")
        draft.init(f"self.{name} = nn.RMSNorm($latent, eps=1e-6$dt)")
        draft.normal_init(f"{name}.weight", 1.0, 0.2)
        latent = f"self.{name}({latent})"
    if form == "absorbed":
        latent = f"{latent}.unsqueeze(1)"
    draft.forward(f"q = {_by_head(f'self.q_proj({x})')}", f"latent = {latent}")
    result = _absorbed(draft, x) if form == "absorbed" else _projected(draft, x, form)
    merged = draft.pick("transpose(1, 2).flatten(2)", "transpose(1, 2).flatten(start_dim=2)")
    if rng.random() < 0.5:
        draft.init("self.out_proj = nn.Linear($heads * $head_dim, $hidden, bias=False$dt)")
        draft.forward(f"out = {atom(result)}.{merged}", "return self.out_proj(out)")
    else:
        draft.forward(f"return {atom(result)}.{merged}")
    return draft


def _by_head(x: str) -> str:
    return f"{x}.unflatten(-1, ($heads, $head_dim)).transpose(1, 2)"


def _masked(draft: Draft, x: str) -> None:
    if draft.rng.random() < 0.6:
        square_mask(draft, x, draft.rng.choice(("triu", "tril")))


def _projected(draft: Draft, x: str, form: str) -> str:
    """Keys and values of every head, then attention as usual."""
    if form == "joint":
        draft.init("self.kv_up = nn.Linear($latent, 2 * $heads * $head_dim, bias=False$dt)")
        halves = draft.pick("kv.chunk(2, dim=-1)", "kv.split($head_dim, dim=-1)")
        draft.forward(
            "kv = self.kv_up(latent).unflatten(-1, ($heads, 2 * $head_dim)).transpose(1, 2)",
            f"k, v = {halves}",
        )
    else:
        for name in ("k", "v"):
            draft.init(f"self.{name}_up = nn.Linear($latent, $heads * $head_dim, bias=False$dt)")
            draft.forward(f"{name} = {_by_head(f'self.{name}_up(latent)')}")
    scores(draft, "q", "k")
    _masked(draft, x)
    return attended(draft, "v")


def _absorbed(draft: Draft, x: str) -> str:
    """One latent head serves as keys and values of all heads."""
    scale = draft.pick("0.1", "0.15", "$latent**-0.5")
    draft.init(
        f"self.k_up = nn.Parameter(torch.randn($heads, $head_dim, $latent$dt) * {scale})",
        f"self.v_up = nn.Parameter(torch.randn($heads, $latent, $head_dim$dt) * {scale})",
    )
    draft.forward(
        f"q = {matmul(draft, 'q', 'self.k_up')}",
        f"scores = {matmul(draft, 'q', transposed(draft, 'latent'))} * $head_dim**-0.5",
    )
    _masked(draft, x)
    draft.forward(f"context = {attended(draft, 'latent')}")
    return matmul(draft, "context", "self.v_up")
