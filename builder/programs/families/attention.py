"""Attention in its math form, and rotary embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms
from builder.programs.families.registry import family
from builder.programs.families.softmaxes import softmax_call
from builder.programs.shapes import HEAD_DIM, SEQUENCE, draw, fitting
from builder.programs.spelling import matmul, transposed

if TYPE_CHECKING:
    from random import Random

_DTYPES = ("float32", "float32", "bfloat16", "float16")


def head_sizes(draft: Draft, *, cross: bool = False) -> tuple[str, str]:
    """Declares the sizes of queries and keys; returns the dimensions of both."""
    rng = draft.rng
    batch, heads = rng.choice((1, 2, 3, 4)), rng.choice((2, 3, 4, 6, 8, 12))
    draft.size("batch", batch)
    draft.size("heads", heads)
    draft.size("seq", fitting(rng, SEQUENCE, int(((1 << 19) / (batch * heads)) ** 0.5)))
    if cross:
        draft.size("keys", draw(rng, SEQUENCE, 31, 257))
    draft.size("head_dim", draw(rng, HEAD_DIM))
    return "batch heads seq head_dim", f"batch heads {'keys' if cross else 'seq'} head_dim"


def scores(draft: Draft, q: str, k: str) -> None:
    """The line that computes scaled scores of every query against every key."""
    root = draft.pick(f"{q}.shape[-1] ** -0.5", f"1.0 / math.sqrt({q}.shape[-1])")
    product = matmul(draft, q, transposed(draft, k))
    name = draft.pick("scale", "scaling")
    if draft.rng.random() < 0.5:
        draft.forward(f"{name} = {root}", f"scores = {product} * {name}")
    else:
        draft.forward(f"scores = {product} / math.sqrt({q}.shape[-1])")


def attend(draft: Draft, v: str) -> None:
    """The lines from masked scores to the output."""
    draft.forward(f"return {attended(draft, v)}")


def attended(draft: Draft, v: str) -> str:
    """The lines from masked scores to weights; returns the expression of the weighted values."""
    if draft.dtype == "float32":
        draft.forward(f"weights = {softmax_call(draft, 'scores')}")
    else:
        call = draft.pick(
            "torch.softmax(scores.float(), dim=-1)",
            "F.softmax(scores, dim=-1, dtype=torch.float32)",
        )
        draft.forward(f"weights = {call}.to({v}.dtype)")
    return matmul(draft, "weights", v)


_CAUSAL: Forms = {
    "triu": (("CausalAttention", "DecoderAttention"), "Causal scaled dot-product attention."),
    "tril": (("MaskedSelfAttention", "CausalSelfAttention"), "Attention that sees no later token."),
    "positions": (("AutoregressiveAttention", "CausalHeads"), "Causal attention by positions."),
    "window": (("SlidingWindowAttention", "LocalAttention"), "Causal attention within a window."),
    "alibi": (("AlibiAttention", "LinearBiasAttention"), "Causal attention with linear biases."),
}


@family(level=3)
def causal_attention(rng: Random) -> Draft:
    """Vaswani et al., Attention Is All You Need, 2017; ALiBi: Press et al., 2022."""
    draft = Draft(rng, _DTYPES)
    form = draft.form(_CAUSAL, "Queries, keys and values have the heads as second dimension.")
    dims, _ = head_sizes(draft)
    draft.vary("batch", "seq", chance=0.6)
    q, k, v = (draft.normal(pool, dims) for pool in (("q", "query"), ("k", "key"), ("v", "value")))
    scores(draft, q, k)
    if form in {"triu", "tril"}:
        square_mask(draft, q, form)
    else:
        _position_mask(draft, q, form)
    attend(draft, v)
    return draft


def square_mask(draft: Draft, q: str, form: str) -> None:
    """Lines of a causal mask of scores: ``triu`` names what is hidden, ``tril`` what is seen."""
    size = f"{q}.shape[-2]"
    draft.forward(f"ones = torch.ones({size}, {size}, dtype=torch.bool, device={q}.device)")
    if form == "triu":
        draft.forward(f"mask = {draft.pick('ones.triu(1)', 'torch.triu(ones, diagonal=1)')}")
        draft.forward('scores = scores.masked_fill(mask, float("-inf"))')
    else:
        masked = draft.pick("scores.masked_fill(~mask, -1e4)", "torch.where(mask, scores, -1e4)")
        draft.forward(f"mask = {draft.pick('ones.tril()', 'torch.tril(ones)')}")
        draft.forward(f"scores = {masked}")


def _position_mask(draft: Draft, q: str, form: str) -> None:
    draft.forward(
        f"positions = torch.arange({q}.shape[-2], device={q}.device)",
        "distance = positions[:, None] - positions[None, :]",
    )
    visible = "distance >= 0"
    if form == "window":
        draft.argument("window", draft.rng.choice((8, 16, 32, 64)))
        visible = "(distance >= 0) & (distance < $window)"
    elif form == "alibi":
        draft.arguments_of("heads")
        draft.parameter("slopes", "heads 1 1", 0.05)
        draft.forward("scores = scores - self.slopes * distance.to(scores.dtype)")
    draft.forward(f"visible = {visible}", 'scores = scores.masked_fill(~visible, float("-inf"))')


_PADDED: Forms = {
    "random": (("PaddedAttention", "MaskedAttention"), "Attention over keys that a mask keeps."),
    "lengths": (
        ("VarlenAttention", "EncoderAttention"),
        "Attention over the valid keys of each row.",
    ),
    "additive": (("BiasedAttention", "RelativeAttention"), "Attention with an additive bias."),
}


@family(level=3)
def padded_attention(rng: Random) -> Draft:
    draft = Draft(rng, _DTYPES)
    form = draft.form(_PADDED, "The mask is true where a key may be attended to.")
    cross = rng.random() < 0.5
    q_dims, k_dims = head_sizes(draft, cross=cross)
    draft.vary("batch", "seq", chance=0.6)
    q = draft.normal(("q", "query"), q_dims)
    k, v = draft.normal(("k", "key"), k_dims), draft.normal(("v", "value"), k_dims)
    keys = "keys" if cross else "seq"
    scores(draft, q, k)
    if form == "additive":
        draft.details = ""
        bias = draft.normal(("bias", "attn_bias", "relative_bias"), f"1 heads seq {keys}")
        draft.forward(f"scores = scores + {bias}")
    else:
        key_mask(draft, k, keys, form)
    attend(draft, v)
    return draft


def key_mask(draft: Draft, k: str, keys: str, form: str) -> None:
    """Lines that hide keys: ``random`` ones, or those beyond each row's ``lengths``."""
    if form == "random":
        condition = draft.mask("mask", f"batch {keys}", 0.8)
    else:
        template = f"torch.randint(${keys} // 2, ${keys} + 1, ($batch,))"
        lengths = draft.input(("lengths", "key_lengths", "num_valid"), template, "int64")
        draft.forward(
            f"valid = torch.arange({k}.shape[-2], device={k}.device) < {lengths}[:, None]"
        )
        condition = "valid"
    kept, fill = f"{condition}[:, None, None, :]", draft.pick('float("-inf")', "-1e4")
    masked = draft.pick(
        f"scores.masked_fill(~{kept}, {fill})", f"torch.where({kept}, scores, {fill})"
    )
    draft.forward(f"scores = {masked}")


@family(level=3)
def rotary_embedding(rng: Random) -> Draft:
    """Su et al., RoFormer, 2021."""
    draft = Draft(rng, _DTYPES)
    draft.title(
        ("RotaryEmbedding", "RoPE", "ApplyRotary", "RotaryPositions", "RotaryQK"),
        "Rotates pairs of features by an angle that grows with the position.",
        "Su et al., RoFormer: Enhanced Transformer with Rotary Position Embedding, 2021.",
    )
    draft.size("batch", rng.choice((1, 2, 3, 4, 8)))
    draft.size("heads", rng.choice((2, 4, 6, 8, 12)))
    draft.size("head_dim", draw(rng, HEAD_DIM, multiple=2))
    row = draft.values["batch"] * draft.values["heads"] * draft.values["head_dim"]
    draft.size("seq", fitting(rng, SEQUENCE, (1 << 19) // row))
    draft.vary("batch", "seq")
    dims = "batch heads seq head_dim"
    q = draft.normal(("q", "query", "x"), dims)
    names = [q] + ([draft.normal(("k", "key"), dims)] if rng.random() < 0.6 else [])
    interleaved = rng.random() < 0.4
    helper = _rotate_helper(draft, interleaved=interleaved)
    cos, sin = "cos", "sin"
    if rng.random() < 0.4:
        cos = draft.input("cos", "torch.cos(torch.randn($seq, $head_dim))", "float32")
        sin = draft.input("sin", "torch.sin(torch.randn($seq, $head_dim))", "float32")
    else:
        draft.argument("base", rng.choice((10000.0, 10000.0, 500000.0, 1000.0)))
        _angles(draft, q, interleaved=interleaved)
    rotated = [_rotated(draft, name, cos, sin, helper) for name in names]
    if len(names) == 2:
        draft.returns = "tuple[torch.Tensor, torch.Tensor]"
        draft.forward(f"q_out = {rotated[0]}", f"k_out = {rotated[1]}", "return q_out, k_out")
    else:
        draft.forward(f"return {rotated[0]}")
    return draft


def _rotated(draft: Draft, name: str, cos: str, sin: str, helper: str) -> str:
    if draft.dtype == "float32":
        return f"{name} * {cos} + {helper}({name}) * {sin}"
    return f"({name}.float() * {cos} + {helper}({name}.float()) * {sin}).to({name}.dtype)"


def _rotate_helper(draft: Draft, *, interleaved: bool) -> str:
    if interleaved:
        draft.helper(
            "def rotate_pairs(x):",
            "    even, odd = x[..., ::2], x[..., 1::2]",
            "    return torch.stack((-odd, even), dim=-1).flatten(-2)",
        )
        return "rotate_pairs"
    name = draft.pick("rotate_half", "half_rotated")
    draft.helper(
        f"def {name}(x):",
        draft.pick(
            "    first, second = x.chunk(2, dim=-1)",
            "    first, second = torch.chunk(x, 2, dim=-1)",
        ),
        "    return torch.cat((-second, first), dim=-1)",
    )
    return name


def _angles(draft: Draft, q: str, *, interleaved: bool) -> None:
    doubled = draft.pick("torch.cat((angles, angles), dim=-1)", "angles.repeat(1, 2)")
    if interleaved:
        doubled = "angles.repeat_interleave(2, dim=-1)"
    draft.forward(
        f"seq, dim = {q}.shape[-2:]",
        f"steps = torch.arange(0, dim, 2, device={q}.device, dtype=torch.float32)",
        f"inv_freq = {draft.pick('$base ** (-steps / dim)', '1.0 / ($base ** (steps / dim))')}",
        f"positions = torch.arange(seq, device={q}.device, dtype=torch.float32)",
        "angles = "
        + draft.pick("positions[:, None] * inv_freq", "torch.outer(positions, inv_freq)"),
        f"angles = {doubled}",
        "cos, sin = angles.cos(), angles.sin()",
    )
