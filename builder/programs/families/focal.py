"""Focal losses: what is confident counts little."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms, shape
from builder.programs.families.registry import family
from builder.programs.families.softmaxes import softmax_call
from builder.programs.shapes import (
    CLASSES,
    ROWS,
    draw,
    fitting,
)

if TYPE_CHECKING:
    from random import Random

_DTYPES = ("float32", "float32", "float32", "bfloat16", "float16")

_FOCAL: Forms = {
    "log_sigmoid": (
        ("SigmoidFocalLoss", "RetinaLoss", "DenseFocalLoss"),
        "Focal loss of independent classes, from log-sigmoids.",
    ),
    "asymmetric": (
        ("AsymmetricLoss", "MultiLabelFocal", "LongTailLoss"),
        "Focal loss that focuses negatives harder than positives.",
    ),
    "quality": (
        ("QualityFocalLoss", "SoftFocalLoss", "ScoreFocalLoss"),
        "Focal loss on labels between zero and one.",
    ),
    "softmax": (
        ("SoftmaxFocalLoss", "MultiClassFocal", "CategoricalFocal"),
        "Focal loss of exclusive classes, from log-probabilities.",
    ),
    "cross_entropy": (
        ("FocalCrossEntropy", "HardExampleLoss", "FocalClassifierLoss"),
        "Cross-entropy that easy samples hardly count in.",
    ),
    "poly": (
        ("PolyFocalLoss", "PolyOneLoss", "PolyLoss"),
        "Focal cross-entropy with one more term of its expansion.",
    ),
}


@family(level=3)
def focal_loss(rng: Random) -> Draft:
    """Lin et al., 2017; Li et al., 2020 (quality); Ridnik et al., 2020; Leng et al., 2022."""
    draft = Draft(rng, _DTYPES)
    form = draft.form(_FOCAL, "Confident samples are weighed down by a power of their error.")
    draft.argument("gamma", rng.choice((1.0, 1.5, 2.0, 2.0, 3.0)))
    if form in {"log_sigmoid", "asymmetric", "quality"}:
        _independent(draft, form)
    else:
        _exclusive(draft, form)
    return draft


def _independent(draft: Draft, form: str) -> None:
    rng = draft.rng
    draft.size("batch", rng.choice((2, 3, 4, 8)))
    draft.size("anchors", draw(rng, ROWS, high=2048))
    budget = (1 << 19) // (draft.values["batch"] * draft.values["anchors"])
    draft.size("classes", fitting(rng, CLASSES, budget))
    draft.vary("batch", "anchors")
    dims = "batch anchors classes"
    x = draft.normal(("logits", "scores", "cls_logits"), dims, draft.rng.choice((1.0, 2.0)))
    pool = ("target", "labels", "targets")
    if form == "quality":
        y = draft.positive(pool, dims, 0.0, 1.0, dtype="float32")
    else:
        y = draft.input(pool, f"(torch.rand({shape(dims)}) < 0.2).float()", "float32")
    if draft.dtype != "float32":
        draft.forward(f"{x} = {x}.float()")
    {"log_sigmoid": _log_sigmoid, "asymmetric": _asymmetric, "quality": _quality}[form](draft, x, y)
    options = [
        "loss.mean()",
        "loss.sum(dim=-1)",
        "loss.sum(dim=(1, 2))",
        "loss.sum(dim=-1).mean()",
        f"loss.sum() / {y}.sum().clamp(min=1.0)",
    ]
    if rng.random() < 0.3:
        valid = draft.mask(("valid", "mask", "keep"), "batch anchors")
        draft.forward(f"loss = loss * {valid}.unsqueeze(-1)")
        options = [*options[1:3], f"loss.sum() / {valid}.sum().clamp(min=1)"]
    draft.forward(f"return {draft.pick(*options)}")


def _log_sigmoid(draft: Draft, x: str, y: str) -> None:
    draft.argument("alpha", draft.rng.choice((0.25, 0.25, 0.5, 0.75)))
    draft.forward(
        f"log_p, log_q = F.logsigmoid({x}), F.logsigmoid(-{x})",
        f"positive = $alpha * {y} * torch.exp($gamma * log_q) * log_p",
        f"negative = (1 - $alpha) * (1 - {y}) * torch.exp($gamma * log_p) * log_q",
        "loss = -(positive + negative)",
    )


def _asymmetric(draft: Draft, x: str, y: str) -> None:
    draft.argument("gamma_negative", draft.rng.choice((3.0, 4.0)))
    draft.argument("margin", draft.rng.choice((0.05, 0.1, 0.2)))
    draft.forward(
        f"p = {draft.pick(f'torch.sigmoid({x})', f'{x}.sigmoid()')}",
        "q = (1 - p + $margin).clamp(max=1.0)",
        f"positive = {y} * (1 - p) ** $gamma * p.clamp(min=1e-8).log()",
        f"negative = (1 - {y}) * (1 - q) ** $gamma_negative * q.log()",
        f"loss = {draft.pick('-(positive + negative)', '-positive - negative')}",
    )


def _quality(draft: Draft, x: str, y: str) -> None:
    error = draft.pick(f"({y} - torch.sigmoid({x})).abs()", f"torch.abs({y} - {x}.sigmoid())")
    bce = draft.pick(
        f'F.binary_cross_entropy_with_logits({x}, {y}, reduction="none")',
        f"F.softplus({x}) - {x} * {y}",
    )
    draft.forward(f"error = {error}", f"bce = {bce}", "loss = error**$gamma * bce")


def _exclusive(draft: Draft, form: str) -> None:
    rng = draft.rng
    draft.size("rows", draw(rng, ROWS, high=2048))
    draft.size("classes", fitting(rng, CLASSES, (1 << 19) // draft.values["rows"]))
    draft.vary("rows")
    x = draft.normal("logits", "rows classes", rng.choice((1.0, 2.0)))
    y = draft.integers("labels", "rows", "$classes")
    if draft.dtype != "float32":
        draft.forward(f"{x} = {x}.float()")
    if form == "softmax":
        index = draft.pick(f"{y}.unsqueeze(1)", f"{y}[:, None]", f"{y}.view(-1, 1)")
        draft.forward(
            f"log_probs = {softmax_call(draft, x, log=True)}",
            f"log_pt = log_probs.gather(1, {index}).squeeze(1)",
            "pt = log_pt.exp()",
            "loss = -((1 - pt) ** $gamma) * log_pt",
        )
    else:
        smoothing = f", label_smoothing={rng.choice((0.05, 0.1))}" if rng.random() < 0.3 else ""
        draft.forward(f'ce = F.cross_entropy({x}, {y}, reduction="none"{smoothing})')
        draft.forward(f"pt = {draft.pick('torch.exp(-ce)', '(-ce).exp()')}")
        draft.forward("loss = (1 - pt) ** $gamma * ce")
    if form == "poly":
        draft.argument("epsilon", rng.choice((0.5, 1.0, 2.0)))
        draft.forward("loss = loss + $epsilon * (1 - pt) ** ($gamma + 1)")
    if rng.random() < 0.4:
        weight = draft.positive(("alpha", "class_weights"), "classes", 0.25, 1.0, dtype="float32")
        draft.forward(f"loss = {weight}[{y}] * loss")
    draft.forward(f"return {draft.pick('loss', 'loss.mean()', 'loss.sum() / loss.shape[0]')}")
