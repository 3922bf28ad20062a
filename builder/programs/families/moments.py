"""Second moments of samples: covariances, correlations, errors of means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms
from builder.programs.families.registry import family
from builder.programs.shapes import ROWS, draw
from builder.programs.spelling import matmul, transposed

if TYPE_CHECKING:
    from random import Random

_FEATURES = (8, 12, 16, 17, 24, 32, 33, 48, 50, 64, 96, 100, 128)

_MOST_SAMPLES = 31
"""For a feature; compilers split the sum of a product that is much longer than it is wide."""

_COVARIANCES: Forms = {
    "covariance": (
        ("SampleCovariance", "CovarianceMatrix", "FeatureCovariance"),
        "Covariance matrix of the features of a sample.",
    ),
    "correlation": (
        ("CorrelationMatrix", "PearsonMatrix", "FeatureCorrelation"),
        "Correlation matrix of the features of a sample.",
    ),
    "cross": (
        ("CrossCovariance", "CrossCorrelation", "ViewCorrelation"),
        "Covariance of the features of two views.",
    ),
    "weighted": (
        ("WeightedCovariance", "ImportanceCovariance", "SoftClusterCovariance"),
        "Covariance matrix of weighted samples.",
    ),
    "batched": (
        ("BilinearPooling", "SecondOrderPooling", "TokenCovariance"),
        "Covariance of the features of each sequence.",
    ),
    "error": (
        ("StandardError", "MeanConfidence", "SampleUncertainty"),
        "Mean of each feature and its standard error.",
    ),
    "redundancy": (
        ("BarlowLoss", "RedundancyLoss", "DecorrelationLoss"),
        "Pulls the correlation of two views towards the identity.",
    ),
}


@family(level=3)
def covariance(rng: Random) -> Draft:
    """Pearson, 1895; Zbontar et al., Barlow Twins, 2021; Lin et al., Bilinear CNNs, 2015."""
    draft = Draft(rng, ("float32", "float32", "bfloat16", "float16"))
    form = draft.form(_COVARIANCES, "Samples are centred first, in float32.")
    features = rng.choice(_FEATURES)
    draft.size("samples", draw(rng, ROWS, high=min(2048, _MOST_SAMPLES * features)))
    draft.size("features", features)
    dims = "samples features"
    if form == "batched":
        draft.values["samples"] = rng.choice((49, 64, 77, 100, 128, 196, 197, 256))
        draft.size("batch", rng.choice((2, 3, 4, 8, 16)))
        draft.vary("batch", "samples")
        dims = f"batch {dims}"
    else:
        draft.vary("samples")
    x = draft.normal(("x", "samples", "data", "observations"), dims, rng.choice((1.0, 2.0)))
    {
        "covariance": _covariance,
        "correlation": _correlation,
        "cross": _cross,
        "weighted": _weighted,
        "batched": _batched,
        "error": _error,
        "redundancy": _redundancy,
    }[form](draft, x)
    return draft


def _centred(draft: Draft, name: str, x: str, dim: str = "0") -> None:
    """Defines ``name`` as ``x`` minus its mean, in float32."""
    if draft.dtype != "float32":
        draft.forward(f"{x} = {x}.float()")
    mean = draft.pick(
        f"{x}.mean(dim={dim}, keepdim=True)", f"torch.mean({x}, dim={dim}, keepdim=True)"
    )
    draft.forward(f"{name} = {x} - {mean}")


def _product(draft: Draft, a: str, b: str) -> str:
    """``a`` transposed times ``b``."""
    product = matmul(draft, draft.pick(f"{a}.t()", f"{a}.T", f"{a}.mT"), b)
    return f"({product})" if " @ " in product else product


def _covariance(draft: Draft, x: str) -> None:
    _centred(draft, "centred", x)
    draft.forward(f"cov = {_product(draft, 'centred', 'centred')} / (centred.shape[0] - 1)")
    ending = draft.rng.choice(("plain", "shrunk", "ridge", "off_diagonal"))
    if ending == "shrunk":
        draft.argument("shrinkage", draft.rng.choice((0.1, 0.2, 0.5)))
        draft.forward(
            "target = torch.diag(cov.diagonal().mean().expand(cov.shape[0]))",
            "return (1 - $shrinkage) * cov + $shrinkage * target",
        )
    elif ending == "ridge":
        draft.argument("ridge", draft.rng.choice((1e-3, 1e-2, 0.1)))
        draft.forward(
            "eye = torch.eye(cov.shape[0], device=cov.device)", "return cov + $ridge * eye"
        )
    elif ending == "off_diagonal":
        draft.forward(
            "off_diagonal = cov - torch.diag(cov.diagonal())",
            "return off_diagonal.square().sum() / cov.shape[0]",
        )
    else:
        draft.forward("return cov")


def _correlation(draft: Draft, x: str) -> None:
    _centred(draft, "centred", x)
    form = draft.rng.choice(("unit", "standardised", "divided"))
    draft.argument("eps", draft.rng.choice((1e-6, 1e-8, 1e-5)))
    if form == "unit":
        norm = draft.pick(
            "centred.norm(dim=0, keepdim=True)", "centred.square().sum(dim=0, keepdim=True).sqrt()"
        )
        draft.forward(f"unit = centred / ({norm} + $eps)")
        draft.forward(f"return {matmul(draft, draft.pick('unit.t()', 'unit.T'), 'unit')}")
    elif form == "standardised":
        draft.forward(
            "var = centred.square().mean(dim=0, keepdim=True)",
            "z = centred * torch.rsqrt(var + $eps)",
            f"return {_product(draft, 'z', 'z')} / z.shape[0]",
        )
    else:
        outer = draft.pick("torch.outer(std, std)", "std[:, None] * std[None, :]")
        draft.forward(
            f"cov = {_product(draft, 'centred', 'centred')} / centred.shape[0]",
            "std = cov.diagonal().sqrt()",
            f"return cov / ({outer} + $eps)",
        )


def _cross(draft: Draft, x: str) -> None:
    draft.size("targets", draft.rng.choice(_FEATURES))
    y = draft.normal(("y", "responses", "other"), "samples targets")
    _centred(draft, "left", x)
    _centred(draft, "right", y)
    draft.forward(f"cov = {_product(draft, 'left', 'right')} / (left.shape[0] - 1)")
    if draft.rng.random() < 0.5:
        spread = draft.pick("square().mean(dim=0).sqrt()", "std(dim=0)")
        draft.forward(
            f"scale = torch.outer(left.{spread}, right.{spread})",
            "return cov / scale.clamp(min=1e-6)",
        )
    else:
        draft.forward(f"return {draft.pick('cov', 'cov.square().sum()', 'torch.tanh(cov)')}")


def _weighted(draft: Draft, x: str) -> None:
    weight = draft.positive(("weights", "importance", "mass"), "samples", dtype="float32")
    if draft.dtype != "float32":
        draft.forward(f"{x} = {x}.float()")
    draft.forward(
        f"w = ({weight} / {weight}.sum()).unsqueeze(1)",
        f"mean = {draft.pick(f'(w * {x}).sum(dim=0)', f'torch.sum(w * {x}, dim=0)')}",
        f"centred = {x} - mean",
        "weighted = w * centred",
        f"cov = {matmul(draft, draft.pick('weighted.t()', 'weighted.T'), 'centred')}",
    )
    if draft.rng.random() < 0.5:
        draft.returns = "tuple[torch.Tensor, torch.Tensor]"
        draft.forward("return mean, cov")
    else:
        draft.forward(f"return {draft.pick('cov', 'cov / (1 - w.square().sum())')}")


def _batched(draft: Draft, x: str) -> None:
    _centred(draft, "centred", x, "1")
    product = draft.pick(
        "torch.bmm(centred.transpose(1, 2), centred)",
        f"({matmul(draft, transposed(draft, 'centred'), 'centred')})",
        'torch.einsum("bni,bnj->bij", centred, centred)',
    )
    draft.forward(f"cov = {product} / centred.shape[1]")
    ending = draft.rng.choice(("plain", "power", "flat"))
    if ending == "power":
        draft.forward("return cov / (cov.abs() + 1e-3).sqrt()")
    elif ending == "flat":
        draft.forward("return F.normalize(cov.flatten(1), dim=-1)")
    else:
        draft.forward("return cov")


def _error(draft: Draft, x: str) -> None:
    draft.level = 2
    draft.returns = "tuple[torch.Tensor, torch.Tensor]"
    if draft.dtype != "float32":
        draft.forward(f"{x} = {x}.float()")
    form = draft.rng.choice(("var_mean", "written", "std"))
    if form == "var_mean":
        draft.forward(f"var, mean = torch.var_mean({x}, dim=0)")
        draft.forward(f"error = (var / {x}.shape[0]).sqrt()")
    elif form == "std":
        draft.forward(f"mean = {x}.mean(dim=0)")
        draft.forward(f"error = {x}.std(dim=0) / math.sqrt({x}.shape[0])")
    else:
        draft.forward(
            f"count = {x}.shape[0]",
            f"mean = {x}.sum(dim=0) / count",
            f"squares = ({x} - mean).square().sum(dim=0)",
            "error = (squares / (count * (count - 1))).sqrt()",
        )
    if draft.rng.random() < 0.4:
        draft.argument("z", draft.rng.choice((1.645, 1.96, 2.576)))
        draft.forward("return mean - $z * error, mean + $z * error")
    else:
        draft.forward("return mean, error")


def _redundancy(draft: Draft, x: str) -> None:
    y = draft.normal(("y", "view", "other"), "samples features")
    draft.argument("weight", draft.rng.choice((5e-3, 1e-2, 0.05)))
    draft.argument("eps", draft.rng.choice((1e-5, 1e-4)))
    for name, view in (("left", x), ("right", y)):
        _centred(draft, name, view)
        scale = f"({name}.square().mean(dim=0) + $eps)"
        draft.forward(
            f"{name} = {draft.pick(f'{name} * {scale}.rsqrt()', f'{name} / {scale}.sqrt()')}"
        )
    draft.forward(
        f"corr = {_product(draft, 'left', 'right')} / left.shape[0]",
        "diagonal = corr.diagonal()",
        "on_diagonal = (diagonal - 1).square().sum()",
    )
    rest = draft.pick(
        "(corr - torch.diag(diagonal)).square().sum()",
        "corr.triu(1).square().sum() + corr.tril(-1).square().sum()",
    )
    draft.forward(f"off_diagonal = {rest}", "return on_diagonal + $weight * off_diagonal")
