"""Bags of embeddings: padded, ragged, weighted, attended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms, shape
from builder.programs.families.registry import family
from builder.programs.shapes import (
    HIDDEN,
    ROWS,
    VOCABULARY,
    draw,
    fitting,
)
from builder.programs.spelling import activate

if TYPE_CHECKING:
    from random import Random

_BAGS: Forms = {
    "padded": (("PaddedBag", "BagOfTokens", "FieldEmbedding"), "Pools embeddings, not of padding."),
    "lengths": (("RaggedBag", "HistoryPooling", "PrefixBag"), "Pools the first ids of each row."),
    "weighted": (("WeightedBag", "TfIdfBag", "ScoredBag"), "Pools embeddings by given weights."),
    "attended": (
        ("AttentiveBag", "LearnedBagPooling", "InterestPooling"),
        "Pools embeddings by a softmax of learned scores.",
    ),
    "flat": (("FlatBag", "JaggedBag", "CsrEmbeddingBag"), "Pools a flat list of ids by its bags."),
}


@family(level=2)
def embedding_bag(rng: Random) -> Draft:
    """Weinberger et al., 2009; Joulin et al., 2016: texts and histories as sums of embeddings."""
    form = rng.choice(tuple(_BAGS))
    draft = Draft(rng, ("float32",) if form == "flat" else ("float32", "float32", "bfloat16"))
    draft.title(*_BAGS[form], "A bag is a set of ids whose embeddings become one vector.")
    if form == "flat":
        draft.size("count", draw(rng, ROWS, 256, 2048))
        draft.size("bags", rng.choice((33, 64, 100, 128)))
        budget = (1 << 18) // draft.values["count"]
        draft.vary("count")
    else:
        draft.size("batch", rng.choice((8, 16, 31, 32, 64, 100, 128)))
        draft.size("bag", rng.choice((5, 8, 10, 16, 20, 32, 50)))
        budget = (1 << 19) // (draft.values["batch"] * draft.values["bag"])
        draft.vary("batch", "bag")
    draft.size("vocab", draw(rng, VOCABULARY, high=16384))
    draft.size("hidden", fitting(rng, HIDDEN, min(256, budget)))
    draft.arguments_of("vocab", "hidden")
    draft.init("self.embedding = nn.Embedding($vocab, $hidden$dt)")
    {
        "padded": _padded,
        "lengths": _lengths,
        "weighted": _weighted,
        "attended": _attended,
        "flat": _flat,
    }[form](draft)
    _finish_bag(draft)
    return draft


def _ids(draft: Draft, *, padded: bool = False) -> str:
    pool = ("ids", "input_ids", "indices", "token_ids")
    if not padded:
        return draft.integers(pool, "batch bag", "$vocab")
    dims = shape("batch bag")
    keep = f"(torch.rand({dims}) < 0.7)"
    return draft.input(pool, f"torch.randint(1, $vocab, ({dims})) * {keep}", "int64")


def _rows(draft: Draft, ids: str) -> str:
    cast = "" if draft.dtype == "float32" else ".float()"
    return f"rows = self.embedding({ids}){cast}"


def _pooled(draft: Draft, mask: str) -> list[str]:
    """The lines that pool ``rows`` where the mask holds."""
    mode = draft.rng.choice(("sum", "mean", "sqrt"))
    draft.level = 2
    total = draft.pick(
        f"(rows * {mask}.unsqueeze(-1)).sum(dim=1)",
        f"rows.masked_fill(~{mask}.unsqueeze(-1), 0.0).sum(dim=1)",
        f"torch.where({mask}[..., None], rows, 0.0).sum(dim=1)",
    )
    if mode == "sum":
        return [f"pooled = {total}"]
    count = f"{mask}.sum(dim=1, keepdim=True).clamp(min=1)"
    divisor = "count" if mode == "mean" else "count.sqrt()"
    return [f"count = {count}", f"pooled = {total} / {divisor}"]


def _padded(draft: Draft) -> None:
    ids = _ids(draft, padded=True)
    mask = draft.pick(f"{ids} != 0", f"{ids} > 0", f"{ids}.ne(0)")
    draft.forward(f"mask = {mask}", _rows(draft, ids), *_pooled(draft, "mask"))


def _lengths(draft: Draft) -> None:
    ids = _ids(draft)
    lengths = draft.integers(("lengths", "num_items", "sizes"), "batch", "$bag", low="1")
    draft.forward(f"position = torch.arange({ids}.shape[1], device={ids}.device)")
    draft.forward(f"valid = position < {lengths}.unsqueeze(1)", _rows(draft, ids))
    if draft.rng.random() < 0.3:
        draft.forward("rows = rows.masked_fill(~valid.unsqueeze(-1), -torch.inf)")
        draft.forward(f"pooled = {draft.pick('rows.amax(dim=1)', 'torch.amax(rows, dim=1)')}")
    else:
        draft.forward(*_pooled(draft, "valid"))


def _weighted(draft: Draft) -> None:
    ids = _ids(draft)
    pool = ("weights", "per_sample_weights", "scores")
    weights = draft.positive(pool, "batch bag", dtype="float32")
    draft.forward(_rows(draft, ids))
    form = draft.rng.choice(("product", "matmul", "normalised", "decayed"))
    if form == "matmul":
        draft.forward(f"pooled = torch.matmul({weights}.unsqueeze(1), rows).squeeze(1)")
        return
    if form == "decayed":
        draft.argument("decay", draft.rng.choice((0.8, 0.9, 0.95)))
        draft.forward(f"age = torch.arange({ids}.shape[1], device={ids}.device)")
        draft.forward(f"{weights} = {weights} * $decay**age")
    total = f"({weights}.unsqueeze(-1) * rows).sum(dim=1)"
    if form == "normalised":
        total = f"{total} / {weights}.sum(dim=1, keepdim=True)"
    draft.forward(f"pooled = {total}")


def _attended(draft: Draft) -> None:
    ids = _ids(draft, padded=draft.rng.random() < 0.5)
    draft.parameter("query", "hidden", 0.1)
    query = "self.query" if draft.dtype == "float32" else "self.query.float()"
    draft.forward(_rows(draft, ids), f"scores = (rows * {query}).sum(dim=-1)")
    if draft.inputs[0].template.endswith("0.7)"):
        draft.forward(f"scores = scores.masked_fill({ids} == 0, -1e4)")
    draft.forward(
        f"weights = {draft.pick('F.softmax(scores, dim=1)', 'scores.softmax(dim=1)')}",
        "pooled = (weights.unsqueeze(-1) * rows).sum(dim=1)",
    )
    draft.level = 3


def _flat(draft: Draft) -> None:
    """The number of bags is fixed, and atomics sum in float32."""
    ids = draft.integers(("ids", "indices", "token_ids"), "count", "$vocab")
    bags = draft.integers(("bag_ids", "segment_ids", "owner"), "count", "$bags")
    draft.argument("bags")
    draft.forward(f"rows = self.embedding({ids})")
    if draft.rng.random() < 0.5:
        weights = draft.positive(("weights", "per_id_weights"), "count")
        column = draft.pick(f"{weights}[:, None]", f"{weights}.unsqueeze(1)")
        draft.forward(f"rows = rows * {column}")
    zeros = draft.pick("rows.new_zeros($bags, $hidden)", "rows.new_zeros($bags, rows.shape[1])")
    draft.forward(f"pooled = {zeros}.index_add(0, {bags}, rows)")
    draft.level = 3


def _finish_bag(draft: Draft) -> None:
    ending = draft.rng.choice(("plain", "normalise", "classify", "activate"))
    cast = "" if draft.dtype == "float32" else ".to(self.embedding.weight.dtype)"
    if ending == "classify":
        draft.argument("classes", draft.rng.choice((10, 20, 50, 100)))
        draft.init("self.head = nn.Linear($hidden, $classes$dt)")
        draft.forward(f"return self.head(pooled{cast})")
        draft.level = 3
    elif ending == "normalise":
        draft.forward(f"return F.normalize(pooled, dim=-1){cast}")
    elif ending == "activate":
        draft.forward(f"return {activate(draft, 'pooled', ('tanh', 'relu', 'gelu'))}{cast}")
    else:
        draft.forward(f"return pooled{cast}")
