"""Embeddings, gathers, scatters and routing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms
from builder.programs.families.registry import family
from builder.programs.shapes import HIDDEN, ROWS, SEQUENCE, VOCABULARY, draw, fitting
from builder.programs.spelling import activate

if TYPE_CHECKING:
    from random import Random

_EMBEDDINGS: Forms = {
    "positions": (("EmbeddingWithPositions", "InputEmbedding"), "Token plus position embeddings."),
    "scaled": (
        ("ScaledEmbedding", "TokenEmbedding"),
        "Token embeddings times the root of the size.",
    ),
    "bag": (("BagOfWords", "WeightedBag"), "Weighted sum of the embeddings of a text."),
    "activated": (
        ("ActivatedEmbedding", "EmbeddingGate"),
        "Token embeddings through an activation.",
    ),
    "norm": (("NormedEmbedding", "EmbeddingRMSNorm"), "Token embeddings scaled to unit RMS."),
}
_GATHERS: Forms = {
    "take_along": (
        ("PickScores", "BeamGather", "WeightedPick"),
        "Picks entries of each row by index.",
    ),
    "picked": (("MarginToChosen", "ChosenOffset"), "Scores relative to the chosen entry."),
    "select": (("GatherRows", "MemoryLookup", "SelectTokens"), "Looks rows up and combines them."),
    "edges": (("EdgeFeatures", "NeighborGather", "LinkScore"), "Features of the edges of a graph."),
}
_SUMS: Forms = {
    "index_add": (("SegmentSum", "GroupedSum"), "Sums rows by segment."),
    "scatter_add": (("ScatterPool", "NodeAggregation"), "Scatters rows into sums by segment."),
    "mean": (("SegmentMean", "MessageAverage"), "Means of rows by segment."),
}


@family(level=2)
def token_embedding(rng: Random) -> Draft:
    draft = Draft(rng)
    form = draft.form(_EMBEDDINGS, "Ids index the rows of the table.")
    draft.size("batch", rng.choice((2, 3, 4, 8, 16)))
    draft.size("seq", draw(rng, SEQUENCE, 31, 512))
    budget = (1 << 19) // (draft.values["batch"] * draft.values["seq"])
    hidden = fitting(rng, HIDDEN, min(512, budget))
    draft.size("vocab", draw(rng, VOCABULARY, high=max(8192, (1 << 22) // hidden)))
    draft.size("hidden", hidden)
    ids = draft.integers(("input_ids", "ids", "tokens", "token_ids"), "batch seq", "$vocab")
    draft.arguments_of("vocab", "hidden")
    lookup = _lookup(draft, ids)
    if form == "positions":
        draft.arguments_of("seq")
        draft.parameter("positions", "seq hidden", 0.1)
        draft.forward(f"return {lookup} + self.positions[: {ids}.shape[1]]")
        return draft
    draft.vary("batch", "seq")
    if form == "scaled":
        draft.forward(f"return {lookup} * math.sqrt($hidden)")
    elif form == "bag":
        weight = draft.positive(("weight", "tf_idf"), "batch seq")
        pooled = draft.pick("x.sum(dim=1)", "x.mean(dim=1)", "torch.tanh(x.mean(dim=1))")
        draft.forward(f"x = {lookup} * {weight}.unsqueeze(-1)", f"return {pooled}")
    elif form == "activated":
        draft.forward(f"x = {lookup}", f"return {activate(draft, 'x', ('tanh', 'gelu', 'silu'))}")
    else:
        draft.argument("eps", rng.choice((1e-5, 1e-6)))
        draft.forward(f"x = {lookup}{'' if draft.dtype == 'float32' else '.float()'}")
        draft.forward("scale = torch.rsqrt(x.pow(2).mean(dim=-1, keepdim=True) + $eps)")
        draft.forward("return x * scale")
    return draft


def _lookup(draft: Draft, ids: str) -> str:
    """Registers the table; returns the expression of the rows looked up."""
    table = draft.pick("embedding", "embed", "tok_emb")
    if draft.rng.random() < 0.6:
        draft.init(f"self.{table} = nn.Embedding($vocab, $hidden$dt)")
        return f"self.{table}({ids})"
    draft.parameter(table, "vocab hidden", draft.rng.choice((0.02, 0.05, 1.0)))
    return draft.pick(f"F.embedding({ids}, self.{table})", f"self.{table}[{ids}]")


@family(level=2)
def gather_rows(rng: Random) -> Draft:
    draft = Draft(rng)
    form = draft.form(_GATHERS, "Indices lie within the gathered dimension.")
    draft.size("rows", draw(rng, ROWS, high=2048))
    draft.size("features", fitting(rng, HIDDEN, (1 << 19) // draft.values["rows"]))
    if form == "take_along":
        _take_along(draft)
    elif form == "picked":
        x = draft.normal("logits", "rows features")
        index = draft.integers("labels", "rows", "$features")
        draft.forward(f"chosen = {x}.gather(1, {index}.unsqueeze(1))")
        draft.forward(f"return {draft.pick('torch.sigmoid', 'torch.tanh')}({x} - chosen)")
    else:
        draft.size("count", draw(rng, ROWS, high=1024))
        table = draft.normal(("table", "nodes", "memory", "features_in"), "rows features")
        draft.vary("count")
        (_select if form == "select" else _edges)(draft, table)
    return draft


def _take_along(draft: Draft) -> None:
    x = draft.normal("matrix", "rows features")
    picks = draft.rng.choice((4, 8, 16, 33))
    index = draft.integers(("index", "idx", "indices"), f"rows {picks}", "$features")
    weight = draft.positive(("weight", "gate"), f"rows {picks}")
    gathered = draft.pick(
        f"torch.take_along_dim({x}, {index}, dim=1)",
        f"torch.gather({x}, 1, {index})",
        f"{x}.gather(-1, {index})",
    )
    draft.forward(f"picked = {gathered}")
    draft.forward(f"return {draft.pick(f'picked * {weight}', f'(picked * {weight}).sum(dim=-1)')}")


def _select(draft: Draft, table: str) -> None:
    index = draft.integers(("index", "idx", "indices"), "count", "$rows")
    query = draft.normal(("query", "update", "delta"), "count features")
    picked = draft.pick(
        f"{table}[{index}]",
        f"torch.index_select({table}, 0, {index})",
        f"{table}.index_select(0, {index})",
    )
    result = draft.pick(
        f"picked + {query}",
        f"(picked * {query}).sum(dim=-1)",
        f"picked * torch.sigmoid({query})",
    )
    draft.forward(f"picked = {picked}", f"return {result}")


def _edges(draft: Draft, table: str) -> None:
    source = draft.integers(("source", "src"), "count", "$rows")
    target = draft.integers(("target", "dst"), "count", "$rows")
    result = draft.pick("(a - b).square().sum(dim=-1)", "(a * b).sum(dim=-1)", "torch.relu(a - b)")
    draft.forward(f"a, b = {table}[{source}], {table}[{target}]", f"return {result}")


@family(level=3)
def index_accumulate(rng: Random) -> Draft:
    """Sums of rows by segment: float32, because the sums are atomic."""
    draft = Draft(rng, ("float32",))
    form = draft.form(_SUMS, "Segments without rows stay zero.")
    draft.size("rows", draw(rng, ROWS, high=2048))
    draft.size("features", fitting(rng, HIDDEN, (1 << 18) // draft.values["rows"]))
    draft.size("segments", rng.choice((16, 32, 50, 64, 100, 127, 256)))
    draft.vary("rows")
    x = draft.normal(("messages", "x", "source", "values"), "rows features")
    index = draft.integers(("index", "segment_ids", "destination"), "rows", "$segments")
    draft.argument("segments")
    value = _message(draft, x)
    zeros = draft.pick(
        f"{x}.new_zeros($segments, {x}.shape[1])",
        f"torch.zeros($segments, {x}.shape[1], device={x}.device)",
    )
    draft.forward(f"out = {zeros}")
    if form == "scatter_add":
        draft.forward(f"expanded = {index}.unsqueeze(1).expand_as({x})")
        draft.forward(f"out = out.scatter_add(0, expanded, {value})")
    else:
        added = f"0, {index}, {value}"
        added = draft.pick(f"out.index_add({added})", f"torch.index_add(out, {added})")
        draft.forward(f"out = {added}")
    if form == "mean":
        draft.forward(f"ones = {x}.new_ones({x}.shape[0])")
        draft.forward(f"count = {x}.new_zeros($segments).index_add(0, {index}, ones)")
        draft.forward("return out / count.clamp(min=1.0).unsqueeze(-1)")
    else:
        draft.forward(f"return {draft.pick('out', 'out * 0.1', 'out / (1 + out.abs())')}")
    return draft


def _message(draft: Draft, x: str) -> str:
    """What is added: the rows, weighted or activated first."""
    kind = draft.rng.choice(("weighted", "weighted", "activated", "plain"))
    if kind == "weighted":
        weight = draft.positive(("weight", "edge_weight"), "rows 1")
        draft.forward(f"weighted = {draft.pick(f'{x} * {weight}', f'{weight} * {x}')}")
        return "weighted"
    if kind == "activated":
        draft.forward(f"activated = {activate(draft, x, ('relu', 'tanh', 'gelu'))}")
        return "activated"
    return x


@family(level=4)
def expert_router(rng: Random) -> Draft:
    """The routing of a mixture of experts, by a sort over the few experts."""
    draft = Draft(rng, ("float32", "float32", "bfloat16"))
    draft.title(
        ("TopKRouter", "MoERouter", "ExpertGate", "TokenRouter"),
        "Chooses experts for each token and normalises their weights.",
        "Shazeer et al., Outrageously Large Neural Networks, 2017.",
    )
    draft.size("rows", rng.choice((128, 196, 197, 256, 500, 512)))
    draft.size("hidden", draw(rng, HIDDEN, high=1024))
    draft.vary("rows")
    x = draft.normal("tokens", "rows hidden")
    draft.arguments_of("hidden")
    draft.argument("experts", rng.choice((8, 16, 32, 64)))
    k = rng.choice((1, 2, 2, 4))
    draft.argument("top_k", k)
    draft.init("self.gate = nn.Linear($hidden, $experts, bias=False$dt)")
    probs = draft.pick(
        "torch.softmax(logits, dim=-1)", "F.softmax(logits, dim=-1)", "torch.sigmoid(logits)"
    )
    draft.returns = "tuple[torch.Tensor, torch.Tensor]"
    draft.forward(
        f"logits = self.gate({x}).float()",
        f"probs = {probs}",
        "ordered, experts = torch.sort(probs, dim=-1, descending=True)",
        "weights = ordered[:, : $top_k]",
    )
    if k > 1:
        draft.forward("weights = weights / weights.sum(dim=-1, keepdim=True)")
    draft.forward("return weights, experts[:, : $top_k]")
    return draft
