"""Losses: regression, binary, distillation, contrastive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft
from builder.programs.families.registry import family
from builder.programs.families.softmaxes import softmax_call
from builder.programs.shapes import CLASSES, HIDDEN, MATMUL, ROWS, SPATIAL, draw, fitting

if TYPE_CHECKING:
    from random import Random

_SMOOTH = ("float32", "float32", "float32", "bfloat16", "float16")


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
    return draft.pick(
        f"{name}.mean()", f"torch.mean({loss})", f"{name}.mean(dim=-1)", f"{name}.mean()"
    )


@family(level=2)
def regression_loss(rng: Random) -> Draft:
    draft = Draft(rng, _SMOOTH)
    draft.title(
        ("RegressionLoss", "RobustLoss", "ReconstructionLoss", "ResidualLoss", "PointwiseLoss"),
        "A penalty on the difference between predictions and targets.",
        "Averaged over elements.",
    )
    dims = prediction_sizes(draft)
    pred = draft.normal(("pred", "prediction", "output", "input"), dims)
    target = draft.normal(("target", "y", "label", "reference"), dims)
    if draft.dtype != "float32":
        draft.forward(f"{pred}, {target} = {pred}.float(), {target}.float()")
    difference = draft.pick(f"{pred} - {target}", f"{target} - {pred}")
    form = rng.choice(
        ("huber", "smooth_l1", "mse", "l1", "charbonnier", "logcosh", "written_huber", "relative",
         "quantile", "weighted")
    )  # fmt: skip
    if form == "huber":
        draft.argument("delta", rng.choice((0.5, 1.0, 1.5, 2.0)))
        draft.forward(f"return F.huber_loss({pred}, {target}, delta=$delta)")
    elif form == "smooth_l1":
        draft.argument("beta", rng.choice((0.1, 0.5, 1.0)))
        reduction = draft.pick("", ', reduction="sum"', ', reduction="none"')
        draft.forward(f"return F.smooth_l1_loss({pred}, {target}, beta=$beta{reduction})")
    elif form in {"mse", "l1"}:
        scale = draft.positive(("scale", "std", "sigma"), dims.split()[-1], 0.5, 1.0)
        call = f"F.{form}_loss({pred} / {scale}, {target} / {scale})"
        draft.forward(f"return {call}")
    else:
        draft.forward(f"diff = {difference}")
        draft.forward(*_written_loss(draft, form, pred, target, dims))
    return draft


def _written_loss(draft: Draft, form: str, pred: str, target: str, dims: str) -> list[str]:
    if form == "charbonnier":
        draft.argument("eps", draft.rng.choice((1e-3, 1e-2, 1e-6)))
        root = draft.pick("torch.sqrt(diff * diff + $eps)", "(diff.square() + $eps).sqrt()")
        return [f"return {reduced(draft, root)}"]
    if form == "logcosh":
        return [
            "diff = diff.abs()",
            "loss = diff + F.softplus(-2.0 * diff) - 0.6931472",
            "return loss.mean()",
        ]
    if form == "written_huber":
        draft.argument("delta", draft.rng.choice((0.5, 1.0, 1.345)))
        return [
            "error = diff.abs()",
            "quadratic = 0.5 * diff.square()",
            "linear = $delta * (error - 0.5 * $delta)",
            f"return {reduced(draft, 'torch.where(error <= $delta, quadratic, linear)')}",
        ]
    if form == "relative":
        return [f"return {reduced(draft, f'diff.abs() / (1 + {draft.pick(pred, target)}.abs())')}"]
    if form == "quantile":
        draft.argument("quantile", draft.rng.choice((0.1, 0.5, 0.9)))
        return [
            f"return {reduced(draft, 'torch.maximum($quantile * diff, ($quantile - 1) * diff)')}"
        ]
    weight = draft.positive(("weight", "confidence"), dims)
    return [
        f"weighted = {weight} * diff.pow(2)",
        f"return weighted.sum() / {weight}.sum().clamp(min=1e-6)",
    ]


@family(level=2)
def binary_loss(rng: Random) -> Draft:
    draft = Draft(rng, _SMOOTH)
    draft.title(
        ("BinaryLoss", "FocalLoss", "SegmentationLoss", "DetectionLoss", "MultiLabelLoss"),
        "A loss of logits against binary targets.",
        "Targets are zero or one.",
    )
    dims = prediction_sizes(draft)
    x = draft.normal("logits", dims, 2.0)
    y = draft.input("labels", f"(torch.rand({_shape(dims)}) < 0.3).float()", "float32")
    if draft.dtype != "float32":
        draft.forward(f"{x} = {x}.float()")
    form = rng.choice(("bce", "weighted", "focal", "focal", "dice", "hinge", "tversky"))
    if form == "bce":
        draft.argument("label_smoothing", rng.choice((0.0, 0.05, 0.1)) or 0.02)
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
        draft.argument("smooth", rng.choice((1.0, 0.1, 1e-5)))
        axes = "dim=-1" if dims.startswith("rows") else "dim=(2, 3)"
        draft.forward(f"probs = {draft.pick(f'torch.sigmoid({x})', f'{x}.sigmoid()')}")
        draft.forward(f"overlap = (probs * {y}).sum({axes})")
        if form == "dice":
            draft.forward(f"total = probs.sum({axes}) + {y}.sum({axes})")
            draft.forward("return 1 - ((2 * overlap + $smooth) / (total + $smooth)).mean()")
        else:
            draft.forward(f"false_positive = (probs * (1 - {y})).sum({axes})")
            draft.forward(f"false_negative = ((1 - probs) * {y}).sum({axes})")
            draft.forward("total = overlap + 0.3 * false_positive + 0.7 * false_negative")
            draft.forward("return 1 - ((overlap + $smooth) / (total + $smooth)).mean()")
    return draft


def _focal(draft: Draft, x: str, y: str) -> None:
    """Lin et al., Focal Loss for Dense Object Detection, 2017."""
    draft.argument("alpha", draft.rng.choice((0.25, 0.5, 0.75)))
    draft.argument("gamma", draft.rng.choice((1.5, 2.0, 3.0)))
    draft.forward(
        f'bce = F.binary_cross_entropy_with_logits({x}, {y}, reduction="none")',
        f"p = torch.sigmoid({x})",
        "p_t = "
        + draft.pick(f"p * {y} + (1 - p) * (1 - {y})", f"torch.where({y} > 0.5, p, 1 - p)"),
        f"alpha_t = $alpha * {y} + (1 - $alpha) * (1 - {y})",
        f"loss = alpha_t * {draft.pick('(1 - p_t) ** $gamma', '(1 - p_t).pow($gamma)')} * bce",
        f"return {draft.pick('loss.mean()', 'loss.sum(dim=-1)', 'loss.sum(dim=-1).mean()')}",
    )


def _shape(dims: str) -> str:
    return ", ".join(f"${part}" for part in dims.split())


@family(level=3)
def divergence_loss(rng: Random) -> Draft:
    draft = Draft(rng, _SMOOTH)
    draft.title(
        ("DistillationLoss", "KLDivergence", "SoftTargetLoss", "PolicyDivergence", "JensenShannon"),
        "Divergence between two distributions given by their logits.",
        "Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, 2015.",
    )
    draft.size("rows", draw(rng, ROWS, high=1200))
    draft.size("classes", draw(rng, CLASSES))
    draft.vary("rows")
    student = draft.normal(("student_logits", "logits", "student"), "rows classes", 1.5)
    teacher = draft.normal(("teacher_logits", "reference_logits", "teacher"), "rows classes", 1.5)
    draft.argument("temperature", rng.choice((1.5, 2.0, 3.0, 4.0)))
    cast = "" if draft.dtype == "float32" else ".float()"
    draft.forward(
        f"student = {student}{cast} / $temperature", f"teacher = {teacher}{cast} / $temperature"
    )
    form = rng.choice(("library", "written", "reverse", "symmetric"))
    draft.forward(f"log_p = {softmax_call(draft, 'student', log=True)}")
    if form == "library":
        draft.forward(f"q = {softmax_call(draft, 'teacher')}")
        draft.forward('return F.kl_div(log_p, q, reduction="batchmean") * $temperature**2')
        return draft
    draft.forward(f"log_q = {softmax_call(draft, 'teacher', log=True)}")
    if form == "written":
        draft.forward("loss = (log_q.exp() * (log_q - log_p)).sum(dim=-1)")
    elif form == "reverse":
        draft.forward("loss = torch.sum(log_p.exp() * (log_p - log_q), dim=-1)")
    else:
        draft.forward("p, q = log_p.exp(), log_q.exp()")
        draft.forward("log_m = (0.5 * (p + q)).clamp(min=1e-12).log()")
        draft.forward("left = (p * (log_p - log_m)).sum(dim=-1)")
        draft.forward("right = (q * (log_q - log_m)).sum(dim=-1)", "loss = 0.5 * (left + right)")
    draft.forward(f"return {draft.pick('loss', 'loss.mean()', 'loss.mean() * $temperature**2')}")
    return draft


@family(level=3)
def contrastive_loss(rng: Random) -> Draft:
    draft = Draft(rng, ("float32", "float32", "bfloat16"))
    draft.title(
        ("ContrastiveLoss", "TripletLoss", "InfoNCE", "MarginLoss", "EmbeddingLoss"),
        "Pulls matching embeddings together and pushes others apart.",
        "Embeddings are compared after normalisation.",
    )
    draft.size("rows", draw(rng, MATMUL, high=512))
    draft.size("features", draw(rng, HIDDEN, high=768))
    draft.vary("rows")
    a = draft.normal(("anchor", "queries", "image_features"), "rows features")
    b = draft.normal(("positive", "keys", "text_features"), "rows features")
    cast = "" if draft.dtype == "float32" else ".float()"
    draft.forward(f"a = F.normalize({a}{cast}, dim=-1)", f"b = F.normalize({b}{cast}, dim=-1)")
    if rng.random() < 0.5:
        c = draft.normal(("negative", "distractors"), "rows features")
        draft.argument("margin", rng.choice((0.2, 0.5, 1.0)))
        draft.forward(f"c = F.normalize({c}{cast}, dim=-1)")
        if rng.random() < 0.5:
            draft.forward(
                "near = (a - b).square().sum(dim=-1)", "far = (a - c).square().sum(dim=-1)"
            )
        else:
            draft.forward("near = 1 - (a * b).sum(dim=-1)", "far = 1 - (a * c).sum(dim=-1)")
        draft.forward(
            f"loss = {draft.pick('F.relu', 'torch.relu', 'F.softplus')}(near - far + $margin)"
        )
        draft.forward(f"return {draft.pick('loss', 'loss.mean()')}")
        return draft
    draft.argument("temperature", rng.choice((0.1, 0.2, 0.5)))
    draft.forward(f"logits = {draft.pick('a @ b.t()', 'torch.matmul(a, b.t())')} / $temperature")
    if rng.random() < 0.5:
        draft.forward("labels = torch.arange(logits.shape[0], device=logits.device)")
        draft.forward("return F.cross_entropy(logits, labels)")
    else:
        draft.forward("matching = torch.diagonal(logits)")
        draft.forward("return (torch.logsumexp(logits, dim=-1) - matching).mean()")
    return draft
