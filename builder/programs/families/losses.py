"""Losses: regression, binary, distillation, contrastive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms, shape
from builder.programs.families.registry import family
from builder.programs.shapes import CLASSES, HIDDEN, MATMUL, ROWS, SPATIAL, draw, fitting

if TYPE_CHECKING:
    from random import Random

_DTYPES = ("float32", "float32", "float32", "bfloat16", "float16")

_REGRESSION: Forms = {
    "huber": (("HuberLoss", "RobustLoss"), "Huber loss."),
    "smooth_l1": (("SmoothL1", "BoxRegressionLoss"), "Smooth L1 loss."),
    "mse": (("ScaledMSE", "NormalizedError"), "Mean squared error in units of a given scale."),
    "l1": (("ScaledMAE", "AbsoluteError"), "Mean absolute error in units of a given scale."),
    "charbonnier": (("CharbonnierLoss", "PseudoHuber"), "Charbonnier loss, a smooth L1."),
    "logcosh": (
        ("LogCoshLoss", "SmoothRegressionLoss"),
        "Mean logarithm of the hyperbolic cosine.",
    ),
    "written_huber": (("HuberPenalty", "ClippedSquare"), "Quadratic near zero, linear far away."),
    "relative": (("RelativeError", "ScaledDifference"), "Difference relative to the magnitude."),
    "quantile": (("QuantileLoss", "PinballLoss"), "Pinball loss of one quantile."),
    "weighted": (("WeightedMSE", "ConfidenceLoss"), "Squared error weighted by confidence."),
}
_BINARY: Forms = {
    "bce": (("SmoothedBCE", "MultiLabelLoss"), "Binary cross-entropy with smoothed labels."),
    "weighted": (("WeightedBCE", "BalancedBCE"), "Binary cross-entropy with weighted positives."),
    "focal": (("FocalLoss", "DetectionLoss", "SigmoidFocal"), "Focal loss on logits."),
    "dice": (("DiceLoss", "SoftDice", "OverlapLoss"), "Soft Dice loss."),
    "hinge": (("HingeLoss", "MarginClassifierLoss"), "Hinge loss on signed labels."),
    "tversky": (("TverskyLoss", "SegmentationLoss"), "Tversky loss."),
}
_DIVERGENCE: Forms = {
    "library": (("DistillationLoss", "SoftTargetLoss"), "Distillation with softened targets."),
    "forward": (("KLDivergence", "TeacherStudentKL"), "KL divergence of student from teacher."),
    "reverse": (("ReverseKL", "PolicyDivergence"), "Reverse KL divergence, student to teacher."),
    "symmetric": (("JensenShannon", "SymmetricDivergence"), "Jensen-Shannon divergence."),
}
_CONTRASTIVE: Forms = {
    "euclidean": (("TripletLoss", "EmbeddingMargin"), "Triplet loss on squared distances."),
    "cosine": (("CosineTriplet", "RankingLoss"), "Triplet loss on cosine distances."),
    "labels": (("InfoNCE", "ContrastiveLoss"), "Cross-entropy of each pair against all others."),
    "diagonal": (("NTXent", "PairedContrast"), "Log-sum-exp of all pairs minus the matching one."),
}


def prediction_sizes(draft: Draft) -> str:
    """Declares sizes of predictions, vectors for samples or dense maps; returns the dimensions."""
    rng = draft.rng
    if rng.random() < 0.65:
        draft.size("rows", draw(rng, ROWS, high=4096))
        draft.size("features", fitting(rng, HIDDEN, (1 << 20) // draft.values["rows"]))
        draft.vary("rows")
        return "rows features"
    draft.size("batch", rng.choice((2, 3, 4, 8)))
    draft.size("channels", rng.choice((1, 2, 3, 4, 17)))
    draft.size("height", draw(rng, SPATIAL, 28))
    draft.size("width", draw(rng, SPATIAL, 28))
    draft.vary("batch", "height")
    return "batch channels height width"


def reduced(draft: Draft, loss: str) -> str:
    """The loss over all elements as one number, or left as it is per sample."""
    name = loss if loss.isidentifier() else f"({loss})"
    return draft.pick(f"{name}.mean()", f"torch.mean({loss})", f"{name}.mean(dim=-1)")


@family(level=2)
def regression_loss(rng: Random) -> Draft:
    draft = Draft(rng, _DTYPES)
    form = draft.form(_REGRESSION, "Predictions and targets have one shape.")
    dims = prediction_sizes(draft)
    pred = draft.normal(("pred", "prediction", "output", "input"), dims)
    target = draft.normal(("target", "y", "label", "reference"), dims)
    if draft.dtype != "float32":
        draft.forward(f"{pred}, {target} = {pred}.float(), {target}.float()")
    if form in {"huber", "smooth_l1"} and draft.dtype == "float32":
        draft.level = 1
    if form == "huber":
        draft.argument("delta", rng.choice((0.5, 1.0, 1.5, 2.0)))
        draft.forward(f"return F.huber_loss({pred}, {target}, delta=$delta)")
    elif form == "smooth_l1":
        draft.argument("beta", rng.choice((0.1, 0.5, 1.0)))
        reduction = draft.pick("", ', reduction="sum"', ', reduction="none"')
        draft.forward(f"return F.smooth_l1_loss({pred}, {target}, beta=$beta{reduction})")
    elif form in {"mse", "l1"}:
        scale = draft.positive(("scale", "std", "sigma"), dims.split()[-1], 0.5, 1.0)
        draft.forward(f"return F.{form}_loss({pred} / {scale}, {target} / {scale})")
    else:
        draft.forward(f"diff = {draft.pick(f'{pred} - {target}', f'{target} - {pred}')}")
        draft.forward(*_written_loss(draft, form, draft.pick(pred, target), dims))
    return draft


def _written_loss(draft: Draft, form: str, operand: str, dims: str) -> list[str]:
    """The lines from ``diff`` to the result."""
    if form == "charbonnier":
        draft.argument("eps", draft.rng.choice((1e-3, 1e-2, 1e-6)))
        root = draft.pick("torch.sqrt(diff * diff + $eps)", "(diff.square() + $eps).sqrt()")
        return [f"return {reduced(draft, root)}"]
    if form == "logcosh":
        log_cosh = "diff + F.softplus(-2.0 * diff) - 0.6931472"
        return ["diff = diff.abs()", f"loss = {log_cosh}", "return loss.mean()"]
    if form == "written_huber":
        draft.argument("delta", draft.rng.choice((0.5, 1.0, 1.345)))
        return [
            "error = diff.abs()",
            "quadratic = 0.5 * diff.square()",
            "linear = $delta * (error - 0.5 * $delta)",
            f"return {reduced(draft, 'torch.where(error <= $delta, quadratic, linear)')}",
        ]
    if form == "relative":
        return [f"return {reduced(draft, f'diff.abs() / (1 + {operand}.abs())')}"]
    if form == "quantile":
        draft.argument("quantile", draft.rng.choice((0.1, 0.5, 0.9)))
        loss = "torch.maximum($quantile * diff, ($quantile - 1) * diff)"
        return [f"return {reduced(draft, loss)}"]
    weight = draft.positive(("weight", "confidence"), dims)
    widen = [] if draft.dtype == "float32" else [f"{weight} = {weight}.float()"]
    total = f"{weight}.sum().clamp(min=1e-6)"
    return [*widen, f"weighted = {weight} * diff.pow(2)", f"return weighted.sum() / {total}"]


@family(level=2)
def binary_loss(rng: Random) -> Draft:
    draft = Draft(rng, _DTYPES)
    form = draft.form(_BINARY, "Targets are zero or one.")
    dims = prediction_sizes(draft)
    x = draft.normal("logits", dims, 2.0)
    y = draft.input("labels", f"(torch.rand({shape(dims)}) < 0.3).float()", "float32")
    if draft.dtype != "float32":
        draft.forward(f"{x} = {x}.float()")
    if form == "bce":
        draft.argument("label_smoothing", rng.choice((0.02, 0.05, 0.1)))
        draft.forward(f"{y} = {y} * (1 - $label_smoothing) + 0.5 * $label_smoothing")
        draft.forward(f"return F.binary_cross_entropy_with_logits({x}, {y})")
    elif form == "weighted":
        weight = draft.positive(("pos_weight",), dims.split()[-1], 0.5, 2.0, dtype="float32")
        draft.forward(f"return F.binary_cross_entropy_with_logits({x}, {y}, pos_weight={weight})")
    elif form == "focal":
        _focal(draft, x, y)
    elif form == "hinge":
        draft.argument("margin", rng.choice((0.5, 1.0)))
        draft.forward(f"signs = 2 * {y} - 1", f"return torch.relu($margin - signs * {x}).mean()")
    else:
        _overlap(draft, x, y, "dim=-1" if dims.startswith("rows") else "dim=(2, 3)", form)
    return draft


def _focal(draft: Draft, x: str, y: str) -> None:
    """Lin et al., Focal Loss for Dense Object Detection, 2017."""
    draft.argument("alpha", draft.rng.choice((0.25, 0.5, 0.75)))
    draft.argument("gamma", draft.rng.choice((1.5, 2.0, 3.0)))
    mixed = draft.pick(f"p * {y} + (1 - p) * (1 - {y})", f"torch.where({y} > 0.5, p, 1 - p)")
    draft.forward(
        f'bce = F.binary_cross_entropy_with_logits({x}, {y}, reduction="none")',
        f"p = torch.sigmoid({x})",
        f"p_t = {mixed}",
        f"alpha_t = $alpha * {y} + (1 - $alpha) * (1 - {y})",
        f"loss = alpha_t * {draft.pick('(1 - p_t) ** $gamma', '(1 - p_t).pow($gamma)')} * bce",
        f"return {draft.pick('loss.mean()', 'loss.sum(dim=-1)', 'loss.sum(dim=-1).mean()')}",
    )


def _overlap(draft: Draft, x: str, y: str, axes: str, form: str) -> None:
    """Dice: Milletari et al., V-Net, 2016; Tversky: Salehi et al., 2017."""
    draft.argument("smooth", draft.rng.choice((1.0, 0.1, 1e-5)))
    draft.forward(f"probs = {draft.pick(f'torch.sigmoid({x})', f'{x}.sigmoid()')}")
    draft.forward(f"overlap = (probs * {y}).sum({axes})")
    if form == "dice":
        draft.forward(f"total = probs.sum({axes}) + {y}.sum({axes})")
        draft.forward("return 1 - ((2 * overlap + $smooth) / (total + $smooth)).mean()")
        return
    draft.argument("alpha", draft.rng.choice((0.3, 0.5, 0.7)))
    draft.forward(
        f"false_positive = (probs * (1 - {y})).sum({axes})",
        f"false_negative = ((1 - probs) * {y}).sum({axes})",
        "total = overlap + $alpha * false_positive + (1 - $alpha) * false_negative",
        "return 1 - ((overlap + $smooth) / (total + $smooth)).mean()",
    )


@family(level=3)
def divergence_loss(rng: Random) -> Draft:
    draft = Draft(rng, _DTYPES)
    form = draft.form(_DIVERGENCE, "Distributions are given by their logits.")
    draft.size("rows", draw(rng, ROWS, high=1200))
    draft.size("classes", draw(rng, CLASSES))
    draft.vary("rows")
    student = draft.normal(("student_logits", "logits", "student"), "rows classes", 1.5)
    teacher = draft.normal(("teacher_logits", "reference_logits", "teacher"), "rows classes", 1.5)
    draft.argument("temperature", rng.choice((1.5, 2.0, 3.0, 4.0)))
    cast = "" if draft.dtype == "float32" else ".float()"
    p, q = (f"{logits}{cast} / $temperature" for logits in (student, teacher))
    draft.forward(f"log_p = {draft.pick('F', 'torch')}.log_softmax({p}, dim=-1)")
    if form == "library":
        draft.forward(f"q = torch.softmax({q}, dim=-1)")
        draft.forward('return F.kl_div(log_p, q, reduction="batchmean") * $temperature**2')
        return draft
    draft.forward(f"log_q = {draft.pick('F', 'torch')}.log_softmax({q}, dim=-1)")
    if form == "forward":
        draft.forward("loss = (log_q.exp() * (log_q - log_p)).sum(dim=-1)")
    elif form == "reverse":
        draft.forward("loss = torch.sum(log_p.exp() * (log_p - log_q), dim=-1)")
    else:
        draft.forward(
            "p, q = log_p.exp(), log_q.exp()",
            "log_m = (0.5 * (p + q)).clamp(min=1e-12).log()",
            "loss = 0.5 * (p * (log_p - log_m) + q * (log_q - log_m)).sum(dim=-1)",
        )
    draft.forward(f"return {draft.pick('loss', 'loss.mean()', 'loss.mean() * $temperature**2')}")
    return draft


@family(level=3)
def contrastive_loss(rng: Random) -> Draft:
    draft = Draft(rng, ("float32", "float32", "bfloat16"))
    form = draft.form(_CONTRASTIVE, "Embeddings are compared after normalisation.")
    draft.size("rows", draw(rng, MATMUL, high=512))
    draft.size("features", draw(rng, HIDDEN, high=768))
    draft.vary("rows")
    a = draft.normal(("anchor", "queries", "image_features"), "rows features")
    b = draft.normal(("positive", "keys", "text_features"), "rows features")
    cast = "" if draft.dtype == "float32" else ".float()"
    draft.forward(f"a = F.normalize({a}{cast}, dim=-1)", f"b = F.normalize({b}{cast}, dim=-1)")
    if form in {"euclidean", "cosine"}:
        c = draft.normal(("negative", "distractors"), "rows features")
        draft.forward(f"c = F.normalize({c}{cast}, dim=-1)")
        _triplet(draft, form)
        return draft
    draft.argument("temperature", rng.choice((0.1, 0.2, 0.5)))
    draft.forward(f"logits = {draft.pick('a @ b.t()', 'torch.matmul(a, b.t())')} / $temperature")
    if form == "labels":
        draft.forward("labels = torch.arange(logits.shape[0], device=logits.device)")
        draft.forward("return F.cross_entropy(logits, labels)")
    else:
        draft.forward("matching = torch.diagonal(logits)")
        draft.forward("return (torch.logsumexp(logits, dim=-1) - matching).mean()")
    return draft


def _triplet(draft: Draft, form: str) -> None:
    draft.argument("margin", draft.rng.choice((0.2, 0.5, 1.0)))
    for name, other in (("near", "b"), ("far", "c")):
        squared, cosine = f"(a - {other}).square().sum(dim=-1)", f"1 - (a * {other}).sum(dim=-1)"
        draft.forward(f"{name} = {squared if form == 'euclidean' else cosine}")
    hinge = draft.pick("F.relu", "torch.relu", "F.softplus")
    draft.forward(f"loss = {hinge}(near - far + $margin)")
    draft.forward(f"return {draft.pick('loss', 'loss.mean()')}")
