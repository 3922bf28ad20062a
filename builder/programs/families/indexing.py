"""Embeddings, gathers, scatters and routing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft
from builder.programs.families.registry import family
from builder.programs.shapes import HIDDEN, ROWS, SEQUENCE, VOCABULARY, draw, fitting
from builder.programs.spelling import activate

if TYPE_CHECKING:
    from random import Random


@family(level=2)
def token_embedding(rng: Random) -> Draft:
    draft = Draft(rng)
    draft.title(
        (
            "TokenEmbedding",
            "InputEmbedding",
            "EmbeddingWithPositions",
            "ScaledEmbedding",
            "BagOfWords",
        ),
        "Looks token embeddings up and combines them with positions or with each other.",
        "The table is initialised with small normal values.",
    )
    draft.size("batch", rng.choice((2, 3, 4, 8, 16)))
    draft.size("seq", draw(rng, SEQUENCE, 31, 512))
    hidden = fitting(rng, HIDDEN, (1 << 19) // (draft.values["batch"] * draft.values["seq"]))
    vocab = draw(rng, VOCABULARY, high=max(8192, (1 << 22) // hidden))
    draft.size("vocab", vocab)
    draft.size("hidden", hidden)
    ids = draft.integers(("input_ids", "ids", "tokens", "token_ids"), "batch seq", "$vocab")
    draft.arguments_of("vocab", "hidden")
    table = draft.pick("embedding", "embed", "tok_emb")
    if rng.random() < 0.6:
        draft.init(f"self.{table} = nn.Embedding($vocab, $hidden$dt)")
        lookup = f"self.{table}({ids})"
    else:
        draft.parameter(table, "vocab hidden", rng.choice((0.02, 0.05, 1.0)))
        lookup = draft.pick(f"F.embedding({ids}, self.{table})", f"self.{table}[{ids}]")
    form = rng.choice(("positions", "scaled", "bag", "gated", "norm"))
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
        draft.forward(f"x = {lookup} * {weight}.unsqueeze(-1)")
        draft.forward(
            f"return {draft.pick('x.sum(dim=1)', 'x.mean(dim=1)', 'torch.tanh(x.sum(dim=1))')}"
        )
    elif form == "gated":
        draft.forward(f"x = {lookup}", f"return {activate(draft, 'x', ('tanh', 'gelu', 'silu'))}")
    else:
        draft.argument("eps", rng.choice((1e-5, 1e-6)))
        draft.forward(f"x = {lookup}{'' if draft.dtype == 'float32' else '.float()'}")
        draft.forward("scale = torch.rsqrt(x.pow(2).mean(dim=-1, keepdim=True) + $eps)")
        draft.forward("return x * scale")
    return draft


@family(level=2)
def gather_rows(rng: Random) -> Draft:
    draft = Draft(rng)
    draft.title(
        ("GatherRows", "IndexedLookup", "SelectTokens", "NeighborGather", "PickScores"),
        "Gathers by index and computes on what was gathered.",
        "Indices lie within the gathered dimension.",
    )
    draft.size("rows", draw(rng, ROWS, high=2048))
    draft.size("features", fitting(rng, HIDDEN, (1 << 19) // draft.values["rows"]))
    form = rng.choice(("select", "take_along", "neighbors", "picked"))
    if form == "take_along":
        picks = rng.choice((4, 8, 16, 33))
        x = draft.normal("matrix", "rows features")
        index = draft.integers(("index", "idx", "indices"), f"rows {picks}", "$features")
        gathered = draft.pick(
            f"torch.take_along_dim({x}, {index}, dim=1)",
            f"torch.gather({x}, 1, {index})",
            f"{x}.gather(-1, {index})",
        )
        weight = draft.positive(("weight", "gate"), f"rows {picks}")
        draft.forward(
            f"picked = {gathered}",
            f"return {draft.pick(f'picked * {weight}', f'(picked * {weight}).sum(dim=-1)')}",
        )
    elif form == "picked":
        x = draft.normal("logits", "rows features")
        index = draft.integers("labels", "rows", "$features")
        draft.forward(f"chosen = {x}.gather(1, {index}.unsqueeze(1))")
        draft.forward(f"return {draft.pick('torch.sigmoid', 'torch.tanh')}({x} - chosen)")
    else:
        draft.size("count", draw(rng, ROWS, high=1024))
        table = draft.normal(("table", "features_in", "nodes", "memory"), "rows features")
        if form == "select":
            index = draft.integers(("index", "idx", "indices"), "count", "$rows")
            picked = draft.pick(
                f"{table}[{index}]",
                f"torch.index_select({table}, 0, {index})",
                f"{table}.index_select(0, {index})",
            )
            query = draft.normal(("query", "update", "delta"), "count features")
            draft.vary("count")
            draft.forward(f"picked = {picked}")
            result = draft.pick(
                f"picked + {query}",
                f"(picked * {query}).sum(dim=-1)",
                f"picked * torch.sigmoid({query})",
            )
            draft.forward(f"return {result}")
        else:
            source = draft.integers(("source", "src"), "count", "$rows")
            target = draft.integers(("target", "dst"), "count", "$rows")
            draft.vary("count")
            draft.forward(f"a, b = {table}[{source}], {table}[{target}]")
            result = draft.pick(
                "(a - b).square().sum(dim=-1)", "(a * b).sum(dim=-1)", "torch.relu(a - b)"
            )
            draft.forward(f"return {result}")
    return draft


@family(level=3)
def index_accumulate(rng: Random) -> Draft:
    """Sums of rows by segment: float32, because the sums are atomic."""
    draft = Draft(rng, ("float32",))
    draft.title(
        ("SegmentSum", "MessagePassing", "ScatterPool", "GroupedSum", "NodeAggregation"),
        "Adds rows into the segments that an index names.",
        "Segments without rows stay zero.",
    )
    draft.size("rows", draw(rng, ROWS, high=2048))
    draft.size("features", fitting(rng, HIDDEN, (1 << 18) // draft.values["rows"]))
    draft.size("segments", rng.choice((16, 32, 50, 64, 100, 127, 256)))
    draft.vary("rows")
    x = draft.normal(("messages", "x", "source", "values"), "rows features")
    index = draft.integers(("index", "segment_ids", "destination"), "rows", "$segments")
    draft.argument("segments")
    value = x
    if rng.random() < 0.5:
        weight = draft.positive(("weight", "edge_weight"), "rows 1")
        draft.forward(f"weighted = {draft.pick(f'{x} * {weight}', f'{weight} * {x}')}")
        value = "weighted"
    elif rng.random() < 0.5:
        draft.forward(f"y = {activate(draft, x, ('relu', 'tanh', 'gelu'))}")
        value = "y"
    zeros = draft.pick(
        f"{x}.new_zeros($segments, {x}.shape[1])",
        f"torch.zeros($segments, {x}.shape[1], device={x}.device)",
    )
    draft.forward(f"out = {zeros}")
    form = rng.choice(("index_add", "scatter_add", "mean"))
    if form == "scatter_add":
        draft.forward(f"expanded = {index}.unsqueeze(1).expand_as({x})")
        draft.forward(f"out = out.scatter_add(0, expanded, {value})")
    else:
        added = draft.pick(
            f"out.index_add(0, {index}, {value})", f"torch.index_add(out, 0, {index}, {value})"
        )
        draft.forward(f"out = {added}")
    if form == "mean":
        draft.forward(f"ones = {x}.new_ones({x}.shape[0])")
        draft.forward(f"count = {x}.new_zeros($segments).index_add(0, {index}, ones)")
        draft.forward("return out / count.clamp(min=1.0).unsqueeze(-1)")
    else:
        draft.forward(f"return {draft.pick('out', 'torch.tanh(out)', 'out / (1 + out.abs())')}")
    return draft


@family(level=4)
def expert_router(rng: Random) -> Draft:
    """The routing of a mixture of experts, by a sort over the few experts."""
    draft = Draft(rng, ("float32", "float32", "bfloat16"))
    draft.title(
        ("TopKRouter", "MoERouter", "ExpertGate", "SwitchRouter", "NoisyGate"),
        "Chooses experts for each token and normalises their weights.",
        "Shazeer et al., Outrageously Large Neural Networks, 2017.",
    )
    draft.size("rows", rng.choice((128, 196, 197, 256, 500, 512)))
    draft.size("hidden", draw(rng, HIDDEN, high=1024))
    draft.vary("rows")
    x = draft.normal("tokens", "rows hidden")
    draft.arguments_of("hidden")
    experts = rng.choice((8, 16, 32, 64))
    draft.argument("experts", experts)
    draft.init("self.gate = nn.Linear($hidden, $experts, bias=False$dt)")
    draft.forward(f"logits = self.gate({x}).float()")
    k = rng.choice((1, 2, 2, 4))
    draft.argument("top_k", k)
    probs = draft.pick(
        "torch.softmax(logits, dim=-1)", "F.softmax(logits, dim=-1)", "torch.sigmoid(logits)"
    )
    draft.forward(f"probs = {probs}")
    draft.forward("ordered, experts = torch.sort(probs, dim=-1, descending=True)")
    draft.returns = "tuple[torch.Tensor, torch.Tensor]"
    draft.forward("weights = ordered[:, : $top_k]")
    if k > 1:
        draft.forward("weights = weights / weights.sum(dim=-1, keepdim=True)")
    draft.forward("return weights, experts[:, : $top_k]")
    return draft
