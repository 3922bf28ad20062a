"""Programs that draw random numbers: dropout where networks have it, noise, sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms
from builder.programs.families.attention import head_sizes, scores
from builder.programs.families.pointwise import token_sizes
from builder.programs.families.registry import family
from builder.programs.families.softmaxes import score_sizes, softmax_call
from builder.programs.spelling import activate, matmul

if TYPE_CHECKING:
    from random import Random

_RATES = (0.1, 0.1, 0.2, 0.05, 0.3, 0.5)


def _dropped(draft: Draft, x: str) -> str:
    """A dropout of ``x``, by module or by function."""
    draft.argument("p", draft.rng.choice(_RATES))
    if draft.rng.random() < 0.6:
        draft.init("self.dropout = nn.Dropout($p)")
        return f"self.dropout({x})"
    return f"F.dropout({x}, {draft.pick('p=$p', '$p')})"


_RESIDUAL: Forms = {
    "post": (("ResidualOutput", "SelfOutput", "AddDropNorm"), "Dropout, residual and norm."),
    "pre": (("ResidualDropout", "BiasDropoutAdd"), "A branch with bias, dropped, on its residual."),
    "tokens": (("TokenDropout", "DropTokens"), "A branch that whole tokens leave out."),
    "gated": (("DropGate", "GatedResidual"), "A dropped, activated branch, scaled by channel."),
}


@family(level=2)
def dropout_residual(rng: Random) -> Draft:
    """Devlin et al., BERT, 2018 (dropout, residual, norm)."""
    draft = Draft(rng)
    form = draft.form(_RESIDUAL, "It drops in training only, and so do modules as constructed.")
    dims = token_sizes(draft)
    x = draft.normal("tokens", dims)
    residual = draft.normal(("residual", "skip", "shortcut"), dims)
    draft.vary(*[role for role in ("batch", "seq") if role in draft.values])
    draft.arguments_of("hidden")
    if form == "post":
        draft.init("self.norm = nn.LayerNorm($hidden$dt)")
        draft.normal_init("norm.weight", 1.0, 0.2)
        draft.normal_init("norm.bias", 0.0, 0.2)
        draft.forward(f"return self.norm({residual} + {_dropped(draft, x)})")
    elif form == "pre":
        draft.parameter("bias", "hidden", 0.2)
        draft.forward(f"{x} = {x} + self.bias", f"return {residual} + {_dropped(draft, x)}")
    elif form == "tokens":
        _drop_tokens(draft, x, residual)
    else:
        draft.parameter("gain", "hidden", 0.2, 1.0)
        activated = activate(draft, x, ("gelu", "silu", "relu", "tanh"))
        draft.forward(f"y = {_dropped(draft, activated)}", f"return {residual} + self.gain * y")
    return draft


def _drop_tokens(draft: Draft, x: str, residual: str) -> None:
    draft.argument("p", draft.rng.choice(_RATES))
    draft.parameter("gain", "hidden", 0.2, 1.0)
    drawn = draft.pick(
        f"torch.rand({x}.shape[:2], device={x}.device).unsqueeze(-1) >= $p",
        f"torch.rand({x}.shape[0], {x}.shape[1], 1, device={x}.device) >= $p",
        f"{x}.new_empty({x}.shape[0], {x}.shape[1], 1).bernoulli_(1 - $p)",
    )
    draft.forward(f"keep = {drawn}", f"return {residual} + self.gain * {x} * keep / (1 - $p)")


_ATTENTION: Forms = {
    "plain": (("DropoutAttention", "TrainingAttention"), "Attention with dropped probabilities."),
    "masked": (("MaskedDropAttention", "BertAttention"), "The same, with a mask of scores."),
    "library": (("FusedDropAttention", "ScaledAttention"), "PyTorch's attention with dropout."),
}


@family(level=3)
def attention_dropout(rng: Random) -> Draft:
    """Vaswani et al., Attention Is All You Need, 2017, section 5.4."""
    draft = Draft(rng)
    form = draft.form(_ATTENTION, "Queries, keys and values have the heads as second dimension.")
    dims, _ = head_sizes(draft)
    draft.vary("batch", "seq", chance=0.6)
    q, k, v = (draft.normal(pool, dims) for pool in (("q", "query"), ("k", "key"), ("v", "value")))
    if form == "library":
        draft.argument("p", rng.choice(_RATES))
        call = f"F.scaled_dot_product_attention({q}, {k}, {v}, dropout_p=$p)"
        draft.forward(f"return {call}")
        return draft
    scores(draft, q, k)
    if form == "masked":
        bias = draft.normal(("mask", "bias"), "batch 1 1 seq", 2.0)
        draft.forward(f"scores = scores + {bias}")
    draft.forward(f"weights = {softmax_call(draft, 'scores')}")
    draft.forward(f"weights = {_dropped(draft, 'weights')}")
    draft.forward(f"return {matmul(draft, 'weights', v)}")
    return draft


_SAMPLING: Forms = {
    "gumbel": (("GumbelSoftmax", "RelaxedCategorical"), "A relaxed sample of a category."),
    "written": (("GumbelSampler", "ConcreteSample"), "A softmax of scores with Gumbel noise."),
    "noisy": (("NoisyRouter", "NoisyGate"), "Gate probabilities of scores with learned noise."),
    "dither": (("StochasticRound", "DitheredQuant"), "Stochastic rounding to steps of a scale."),
}


@family(level=2)
def noisy_sampling(rng: Random) -> Draft:
    """Jang, Gu and Poole, 2017; Shazeer et al., 2017 (noisy gates)."""
    draft = Draft(rng, ("float32",))
    form = draft.form(_SAMPLING)
    dims = score_sizes(draft)
    x = draft.normal("logits", dims)
    if form == "gumbel":
        draft.argument("tau", rng.choice((0.5, 1.0, 0.7, 2.0)))
        hard = draft.pick("", ", hard=True") if rng.random() < 0.4 else ""
        draft.forward(f"return F.gumbel_softmax({x}, tau=$tau{hard}, dim=-1)")
    elif form == "written":
        draft.argument("tau", rng.choice((0.5, 1.0, 0.7, 2.0)))
        draft.forward(
            f"noise = -torch.empty_like({x}).exponential_().log()",
            f"{x} = ({x} + noise) / $tau",
            f"return {softmax_call(draft, x)}",
        )
    elif form == "noisy":
        spread = draft.normal(("spread", "noise_logits"), dims)
        draft.forward(
            f"noisy = {x} + torch.randn_like({x}) * F.softplus({spread})",
            f"return {softmax_call(draft, 'noisy')}",
        )
    else:
        scale = draft.positive(("scale", "step"), "1", 0.05, 0.2)
        draft.forward(f"scaled = {x} / {scale}", "low = torch.floor(scaled)")
        draft.forward(f"up = torch.rand_like({x}) < scaled - low")
        draft.forward(f"return (low + up) * {scale}")
    return draft
