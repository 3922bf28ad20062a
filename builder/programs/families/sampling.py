"""What a sampler keeps of a distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms
from builder.programs.families.registry import family
from builder.programs.families.softmaxes import softmax_call
from builder.programs.shapes import (
    VOCABULARY,
    draw,
)

if TYPE_CHECKING:
    from random import Random

_DTYPES = ("float32", "float32", "bfloat16", "float16")

_FILTERS: Forms = {
    "nucleus": (
        ("TopPFilter", "NucleusFilter", "NucleusProbs"),
        "Probabilities of the smallest set that holds the mass top_p.",
    ),
    "sorted": (
        ("SortedNucleus", "RankedTopP", "SortedTopP"),
        "Descending probabilities up to the mass top_p, renormalised.",
    ),
    "top_k": (
        ("TopKFilter", "TopKProbs", "RankFilter"),
        "Probabilities of the k largest logits, all others zero.",
    ),
    "min_p": (
        ("MinPFilter", "RelativeCutoff", "MinPProbs"),
        "Probabilities above a fraction of the largest.",
    ),
    "top_a": (
        ("TopAFilter", "SquareCutoff", "AdaptiveCutoff"),
        "Probabilities above a multiple of the largest one squared.",
    ),
}
_SORTABLE = (50, 64, 100, 128, 197, 200, 256, 257, 365, 400, 500, 512)


@family(level=3)
def top_p_filter(rng: Random) -> Draft:
    """Holtzman et al., The Curious Case of Neural Text Degeneration, 2019; Nguyen et al., 2024.

    Logits and not probabilities are compared with the threshold, which is one of them: equal ones
    share their fate, whatever their order.
    """
    draft = Draft(rng, _DTYPES)
    form = draft.form(_FILTERS, "Logits are compared in float32.")
    draft.size("batch", rng.choice((2, 3, 4, 7, 8, 16, 32)))
    if form in {"min_p", "top_a"}:
        draft.size("vocab", draw(rng, VOCABULARY))
    else:
        draft.size("vocab", rng.choice(_SORTABLE))
    draft.vary("batch")
    x = draft.normal("logits", "batch vocab", rng.choice((1.5, 2.0, 3.0)))
    scores = x if draft.dtype == "float32" else f"{x}.float()"
    if rng.random() < 0.4:
        bias = draft.normal(("bias", "logit_bias"), "vocab", 0.5, dtype="float32")
        scores = f"{scores} + {bias}"
    if rng.random() < 0.4:
        draft.argument("temperature", rng.choice((0.7, 0.8, 1.2)))
        scores = f"({scores}) / $temperature" if " " in scores else f"{scores} / $temperature"
    if scores != x:
        draft.forward(f"{x} = {scores}")
    if form in {"min_p", "top_a"}:
        _relative(draft, form, x)
    elif form == "sorted":
        _sorted_nucleus(draft, x)
    else:
        draft.forward(*_threshold(draft, form, x))
        _renormalised(draft, x, f"{x} < threshold")
    return draft


def _mass(draft: Draft) -> str:
    """The probability to keep: one number, or one for each row."""
    if draft.rng.random() < 0.4:
        return draft.positive(("top_p", "mass"), "batch 1", 0.5, 0.45, dtype="float32")
    draft.argument("top_p", draft.rng.choice((0.5, 0.8, 0.9, 0.95)))
    return "$top_p"


def _descending(draft: Draft, x: str) -> str:
    return draft.pick(
        f"torch.sort({x}, dim=-1, descending=True).values",
        f"{x}.sort(dim=-1, descending=True).values",
        f"torch.sort({x}, descending=True)[0]",
    )


def _threshold(draft: Draft, form: str, x: str) -> list[str]:
    """The lines that define the smallest logit to keep in each row."""
    ordered = f"ordered = {_descending(draft, x)}"
    if form == "top_k":
        draft.argument("top_k", draft.rng.choice((5, 8, 10, 20, 40)))
        smallest = draft.pick("amin(dim=-1, keepdim=True)", "min(dim=-1, keepdim=True).values")
        return [ordered, f"threshold = ordered[:, : $top_k].{smallest}"]
    infinity = draft.pick('float("inf")', "torch.inf", "math.inf")
    total = draft.pick("sorted_probs.cumsum(dim=-1)", "torch.cumsum(sorted_probs, dim=-1)")
    kept = draft.pick(
        f"torch.where(keep, ordered, {infinity}).amin(dim=-1, keepdim=True)",
        f"ordered.masked_fill(~keep, {infinity}).amin(dim=-1, keepdim=True)",
    )
    return [
        ordered,
        f"sorted_probs = {softmax_call(draft, 'ordered')}",
        f"before = {total} - sorted_probs",
        f"keep = before < {_mass(draft)}",
        f"threshold = {kept}",
    ]


def _renormalised(draft: Draft, x: str, dropped: str) -> None:
    """Probabilities without the dropped ones: masked before the softmax, or after it."""
    if draft.rng.random() < 0.5:
        infinity = draft.pick('float("-inf")', "-torch.inf", "-math.inf")
        draft.forward(f"filtered = {x}.masked_fill({dropped}, {infinity})")
        draft.forward(f"return {softmax_call(draft, 'filtered')}")
        return
    kept = draft.pick(f"torch.where({dropped}, 0.0, probs)", f"probs.masked_fill({dropped}, 0.0)")
    draft.forward(
        f"probs = {softmax_call(draft, x)}",
        f"kept = {kept}",
        "return kept / kept.sum(dim=-1, keepdim=True)",
    )


def _sorted_nucleus(draft: Draft, x: str) -> None:
    total = draft.pick("torch.cumsum(probs, dim=-1)", "probs.cumsum(dim=-1)")
    draft.forward(
        f"ordered = {_descending(draft, x)}",
        f"probs = {softmax_call(draft, 'ordered')}",
        f"before = {total} - probs",
        f"kept = probs * (before < {_mass(draft)})",
        "return kept / kept.sum(dim=-1, keepdim=True)",
    )


def _relative(draft: Draft, form: str, x: str) -> None:
    """Thresholds that depend on the largest probability alone."""
    draft.argument(form, draft.rng.choice((0.05, 0.1, 0.2)))
    largest = draft.pick(
        f"{x}.amax(dim=-1, keepdim=True)", f"torch.amax({x}, dim=-1, keepdim=True)"
    )
    if form == "min_p":
        draft.forward(f"floor = {largest} + math.log($min_p)")
        _renormalised(draft, x, f"{x} < floor")
        return
    draft.forward(
        f"probs = {softmax_call(draft, x)}",
        "limit = $top_a * probs.amax(dim=-1, keepdim=True).square()",
        "kept = torch.where(probs < limit, 0.0, probs)",
        "return kept / kept.sum(dim=-1, keepdim=True)",
    )
