"""Similarities and distances between vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft
from builder.programs.families.registry import family
from builder.programs.shapes import HIDDEN, ROWS, draw, fitting

if TYPE_CHECKING:
    from random import Random

_DTYPES = ("float32", "float32", "bfloat16")


@family(level=2)
def cosine_similarity(rng: Random) -> Draft:
    draft = Draft(rng)
    draft.title(
        ("CosineSimilarity", "CosineScore", "AngularSimilarity", "MatchScore"),
        "Cosine similarity of paired vectors.",
        "Norms are kept away from zero by a small constant.",
    )
    draft.size("rows", draw(rng, ROWS, high=2048))
    draft.size("features", fitting(rng, HIDDEN, (1 << 19) // draft.values["rows"]))
    draft.vary("rows")
    a = draft.normal(("a", "x", "query", "left"), "rows features")
    b = draft.normal(("b", "y", "candidate", "right"), "rows features")
    if draft.dtype != "float32":
        draft.forward(f"{a}, {b} = {a}.float(), {b}.float()")
    form = rng.choice(("library", "normalize", "written", "weighted"))
    if form == "library":
        result = f"F.cosine_similarity({a}, {b}, dim=-1)"
    elif form == "normalize":
        draft.forward(f"{a} = F.normalize({a}, dim=-1)", f"{b} = F.normalize({b}, dim=-1)")
        result = draft.pick(f"({a} * {b}).sum(dim=-1)", f"torch.sum({a} * {b}, dim=-1)")
    else:
        dot = f"{a} * {b}"
        if form == "weighted":
            draft.arguments_of("features")
            draft.init("self.weight = nn.Parameter(torch.rand($features) + 0.5)")
            draft.forward(f"{a} = {a} * self.weight")
        draft.argument("eps", rng.choice((1e-6, 1e-8)))
        draft.forward(
            f"dot = ({dot}).sum(dim=-1)",
            f"norms = {a}.norm(dim=-1) * {b}.norm(dim=-1)"
            if rng.random() < 0.5
            else f"norms = ({a}.square().sum(dim=-1) * {b}.square().sum(dim=-1)).sqrt()",
        )
        result = "dot / (norms + $eps)"
    draft.forward(f"return {draft.pick(result, f'1 - {result}', result)}")
    return draft


@family(level=3)
def pairwise_distance(rng: Random) -> Draft:
    """Of every row of one matrix to every row of another, by differences or by a product."""
    draft = Draft(rng, _DTYPES)
    draft.title(
        ("PairwiseDistance", "DistanceMatrix", "RBFKernel", "PrototypeDistance", "EnergyKernel"),
        "Distances between all rows of two matrices.",
        "Computed in float32.",
    )
    by_product = rng.random() < 0.5
    draft.size("rows", draw(rng, ROWS, high=512))
    draft.size("centers", rng.choice((10, 16, 32, 50, 64, 100, 127, 128)))
    budget = (1 << 22) // (draft.values["rows"] * draft.values["centers"])
    draft.size("features", draw(rng, HIDDEN, high=512) if by_product else max(3, min(64, budget)))
    draft.vary("rows")
    a = draft.normal(("x", "a", "points", "embeddings"), "rows features")
    cast = "" if draft.dtype == "float32" else ".float()"
    if rng.random() < 0.4:
        draft.arguments_of("centers", "features")
        draft.parameter("centers", "centers features")
        b = "self.centers"
    else:
        b = draft.normal(("y", "b", "prototypes"), "centers features")
    if cast:
        draft.forward(f"a, b = {a}.float(), {b}.float()")
        a, b = "a", "b"
    if by_product:
        square_a = draft.pick(f"{a}.square().sum(dim=1)", f"({a} * {a}).sum(1)")
        square_b = draft.pick(f"{b}.square().sum(dim=1)", f"({b} * {b}).sum(1)")
        draft.forward(
            f"cross = {draft.pick(f'{a} @ {b}.t()', f'torch.matmul({a}, {b}.t())')}",
            f"a_square, b_square = {square_a}, {square_b}",
            "squared = (a_square[:, None] + b_square - 2 * cross).clamp(min=0)",
        )
    else:
        draft.forward(
            f"diff = {draft.pick(f'{a}[:, None, :] - {b}[None, :, :]', f'{a}.unsqueeze(1) - {b}')}"
        )
        if rng.random() < 0.3:
            draft.forward("return diff.abs().sum(dim=-1)")
            return draft
        draft.forward(
            f"squared = {draft.pick('diff.square().sum(dim=-1)', '(diff * diff).sum(-1)')}"
        )
    form = rng.choice(("root", "rbf", "student", "soft"))
    if form == "rbf":
        draft.argument("gamma", rng.choice((0.01, 0.005, 0.02)))
        draft.forward("return torch.exp(-$gamma * squared)")
    elif form == "student":
        draft.forward("return 1 / (1 + squared)")
    elif form == "soft":
        draft.forward("return torch.softmax(-0.1 * squared, dim=-1)")
    else:
        draft.forward(
            f"return {draft.pick('torch.sqrt(squared + 1e-6)', '(squared + 1e-6).sqrt()')}"
        )
    return draft
