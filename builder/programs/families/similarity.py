"""Similarities and distances between vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms
from builder.programs.families.registry import family
from builder.programs.shapes import HIDDEN, ROWS, draw, fitting

if TYPE_CHECKING:
    from random import Random

_KERNELS: Forms = {
    "root": (("PairwiseDistance", "DistanceMatrix"), "Distances between all rows of two matrices."),
    "rbf": (("RBFKernel", "GaussianKernel"), "Gaussian kernel between all rows of two matrices."),
    "student": (("StudentKernel", "ClusterAffinity"), "Student-t affinity of points to centres."),
    "soft": (("SoftAssignment", "PrototypeWeights"), "Soft assignment of points to prototypes."),
    "manhattan": (
        ("ManhattanDistance", "L1Distances"),
        "Sums of absolute differences of all rows.",
    ),
}


@family(level=2)
def cosine_similarity(rng: Random) -> Draft:
    draft = Draft(rng)
    draft.title(
        ("CosineSimilarity", "CosineScore", "MatchScore", "VectorAlignment"),
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
    result = _cosine(draft, a, b)
    draft.forward(f"return {draft.pick(result, f'1 - {result}')}")
    return draft


def _cosine(draft: Draft, a: str, b: str) -> str:
    form = draft.rng.choice(("library", "normalize", "written", "weighted"))
    if form == "library":
        return f"F.cosine_similarity({a}, {b}, dim=-1)"
    if form == "normalize":
        draft.forward(f"{a} = F.normalize({a}, dim=-1)", f"{b} = F.normalize({b}, dim=-1)")
        return draft.pick(f"({a} * {b}).sum(dim=-1)", f"torch.sum({a} * {b}, dim=-1)")
    if form == "weighted":
        draft.arguments_of("features")
        draft.init("self.weight = nn.Parameter(torch.rand($features) + 0.5)")
        draft.forward(f"{a} = {a} * self.weight")
    draft.argument("eps", draft.rng.choice((1e-6, 1e-8)))
    norms = draft.pick(
        f"{a}.norm(dim=-1) * {b}.norm(dim=-1)",
        f"({a}.square().sum(dim=-1) * {b}.square().sum(dim=-1)).sqrt()",
    )
    draft.forward(f"dot = ({a} * {b}).sum(dim=-1)", f"norms = {norms}")
    return "dot / (norms + $eps)"


@family(level=3)
def pairwise_distance(rng: Random) -> Draft:
    """Of every row of one matrix to every row of another, by differences or by a product."""
    draft = Draft(rng, ("float32", "float32", "bfloat16"))
    form = draft.form(_KERNELS, "Computed in float32.")
    by_product = form != "manhattan" and rng.random() < 0.5
    draft.size("rows", draw(rng, ROWS, high=512))
    draft.size("centers", rng.choice((10, 16, 32, 50, 64, 100, 127, 128)))
    budget = (1 << 22) // (draft.values["rows"] * draft.values["centers"])
    draft.size("features", draw(rng, HIDDEN, high=512) if by_product else max(3, min(64, budget)))
    draft.vary("rows")
    a = draft.normal(("x", "a", "points", "embeddings"), "rows features")
    if rng.random() < 0.4:
        draft.arguments_of("centers", "features")
        draft.parameter("centers", "centers features")
        b = "self.centers"
    else:
        b = draft.normal(("y", "b", "prototypes"), "centers features")
    if draft.dtype != "float32":
        draft.forward(f"a, b = {a}.float(), {b}.float()")
        a, b = "a", "b"
    (_by_product if by_product else _by_difference)(draft, a, b, form)
    draft.forward(*_kernel(draft, form))
    return draft


def _by_product(draft: Draft, a: str, b: str, _form: str) -> None:
    square_a = draft.pick(f"{a}.square().sum(dim=1)", f"({a} * {a}).sum(1)")
    square_b = draft.pick(f"{b}.square().sum(dim=1)", f"({b} * {b}).sum(1)")
    draft.forward(
        f"cross = {draft.pick(f'{a} @ {b}.t()', f'torch.matmul({a}, {b}.t())')}",
        f"a_square, b_square = {square_a}, {square_b}",
        "squared = (a_square[:, None] + b_square - 2 * cross).clamp(min=0)",
    )


def _by_difference(draft: Draft, a: str, b: str, form: str) -> None:
    difference = draft.pick(f"{a}[:, None, :] - {b}[None, :, :]", f"{a}.unsqueeze(1) - {b}")
    draft.forward(f"diff = {difference}")
    if form != "manhattan":
        square = draft.pick("diff.square().sum(dim=-1)", "(diff * diff).sum(-1)")
        draft.forward(f"squared = {square}")


def _kernel(draft: Draft, form: str) -> list[str]:
    if form == "manhattan":
        return [f"return {draft.pick('diff.abs().sum(dim=-1)', 'torch.sum(diff.abs(), dim=-1)')}"]
    if form == "rbf":
        draft.argument("gamma", draft.rng.choice((0.01, 0.005, 0.02)))
        return ["return torch.exp(-$gamma * squared)"]
    if form == "student":
        return ["return 1 / (1 + squared)"]
    if form == "soft":
        draft.argument("sharpness", draft.rng.choice((0.05, 0.1, 0.2)))
        return ["return torch.softmax(-$sharpness * squared, dim=-1)"]
    return [f"return {draft.pick('torch.sqrt(squared + 1e-6)', '(squared + 1e-6).sqrt()')}"]
