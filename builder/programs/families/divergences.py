"""Symmetric and skewed divergences between distributions given by logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms
from builder.programs.families.registry import family
from builder.programs.shapes import (
    CLASSES,
    ROWS,
    VOCABULARY,
    draw,
    fitting,
)

if TYPE_CHECKING:
    from random import Random

_DTYPES = ("float32", "float32", "bfloat16", "float16")

_DIVERGENCES: Forms = {
    "mixture": (
        ("GeneralizedJSD", "SkewedJensenShannon", "MixtureDistillation"),
        "Jensen-Shannon divergence with a weight for the student.",
    ),
    "library": (
        ("JensenShannonLoss", "JSDistillation", "TwoWayKL"),
        "Jensen-Shannon divergence as two KL divergences from the mixture.",
    ),
    "jeffreys": (
        ("JeffreysDivergence", "SymmetricKL", "MutualLearningLoss"),
        "The sum of both KL divergences.",
    ),
    "skew": (
        ("SkewKL", "SkewDistillation", "SmoothedKL"),
        "KL divergence of the teacher from a mixture of both.",
    ),
    "consistency": (
        ("ConsistencyLoss", "ViewConsistency", "AugmentedJSD"),
        "Jensen-Shannon divergence of the predictions for three views.",
    ),
}


@family(level=3)
def jensen_shannon(rng: Random) -> Draft:
    """Lin, 1991; Hendrycks et al., AugMix, 2019; Agarwal et al., GKD, 2023."""
    draft = Draft(rng, _DTYPES)
    form = draft.form(_DIVERGENCES, "Probabilities are computed in float32.")
    dims, mask = _distribution_sizes(draft)
    if form == "consistency":
        views = [draft.normal((f"logits_{i}",), dims, 1.5) for i in draft.pick("abc", "123")]
        _consistency(draft, views)
    else:
        student = draft.normal(("student_logits", "student", "logits"), dims, 1.5)
        teacher = draft.normal(("teacher_logits", "teacher", "target_logits"), dims, 1.5)
        draft.argument("temperature", rng.choice((1.0, 1.5, 2.0, 4.0)))
        cast = "" if draft.dtype == "float32" else ".float()"
        for name, logits in (("log_p", student), ("log_q", teacher)):
            module = draft.pick("F", "torch")
            draft.forward(f"{name} = {module}.log_softmax({logits}{cast} / $temperature, dim=-1)")
        draft.forward(*_divergence(draft, form))
    if mask:
        keep = draft.mask(("mask", "loss_mask", "valid"), dims.removesuffix(" classes"))
        draft.forward(f"loss = (loss * {keep}).sum() / {keep}.sum().clamp(min=1)")
        draft.forward(f"return {draft.pick('loss', '0.5 * loss')}")
    else:
        endings = ["loss", "loss.mean()", "loss.sum(dim=-1)", "loss.clamp(min=0).sqrt()"]
        draft.forward(f"return {draft.pick(*endings)}")
    return draft


def _distribution_sizes(draft: Draft) -> tuple[str, bool]:
    """Samples by classes, or tokens by a vocabulary, which may have a mask."""
    rng = draft.rng
    if rng.random() < 0.5:
        draft.size("rows", draw(rng, ROWS, high=1024))
        draft.size("classes", fitting(rng, CLASSES, (1 << 19) // draft.values["rows"]))
        draft.vary("rows")
        return "rows classes", False
    draft.size("batch", rng.choice((1, 2, 3, 4)))
    draft.size("seq", rng.choice((8, 16, 24, 32, 33)))
    budget = (1 << 19) // (draft.values["batch"] * draft.values["seq"])
    draft.size("classes", fitting(rng, VOCABULARY, budget))
    draft.vary("batch", "seq")
    return "batch seq classes", rng.random() < 0.6


def _divergence(draft: Draft, form: str) -> list[str]:
    """The lines from ``log_p`` and ``log_q`` to ``loss``, a number for each distribution."""
    if form == "jeffreys":
        written = [
            "p, q = log_p.exp(), log_q.exp()",
            "loss = ((p - q) * (log_p - log_q)).sum(dim=-1)",
        ]
        called = [
            'forward = F.kl_div(log_p, log_q, reduction="none", log_target=True)',
            'reverse = F.kl_div(log_q, log_p, reduction="none", log_target=True)',
            f"loss = {draft.pick('0.5 * (forward + reverse)', '(forward + reverse)')}.sum(dim=-1)",
        ]
        return draft.rng.choice((written, called))
    if form == "library":
        middle = draft.pick(
            "torch.logaddexp(log_p, log_q) - math.log(2.0)",
            "(0.5 * (log_p.exp() + log_q.exp())).log()",
            "torch.logsumexp(torch.stack((log_p, log_q)), dim=0) - math.log(2.0)",
        )
        return [
            f"log_m = {middle}",
            'left = F.kl_div(log_m, log_p, reduction="none", log_target=True).sum(dim=-1)',
            'right = F.kl_div(log_m, log_q, reduction="none", log_target=True).sum(dim=-1)',
            f"loss = {draft.pick('0.5 * (left + right)', '(left + right) / 2')}",
        ]
    draft.argument("alpha", draft.rng.choice((0.1, 0.2, 0.3, 0.7, 0.9)))
    lines = [
        "p, q = log_p.exp(), log_q.exp()",
        f"m = {draft.pick('$alpha * p + (1 - $alpha) * q', 'torch.lerp(q, p, $alpha)')}",
        "log_m = m.clamp(min=1e-12).log()",
    ]
    if form == "skew":
        return [*lines, "loss = (q * (log_q - log_m)).sum(dim=-1)"]
    return [
        *lines,
        "left = (p * (log_p - log_m)).sum(dim=-1)",
        "right = (q * (log_q - log_m)).sum(dim=-1)",
        "loss = $alpha * left + (1 - $alpha) * right",
    ]


def _consistency(draft: Draft, views: list[str]) -> None:
    cast = "" if draft.dtype == "float32" else ".float()"
    if draft.rng.random() < 0.5:
        stacked = f"torch.stack(({', '.join(views)})){cast}"
        draft.forward(
            f"log_probs = {draft.pick('F', 'torch')}.log_softmax({stacked}, dim=-1)",
            "probs = log_probs.exp()",
            "log_m = probs.mean(dim=0).clamp(min=1e-7).log()",
            "loss = (probs * (log_probs - log_m)).sum(dim=-1).mean(dim=0)",
        )
        return
    for name, view in zip("pqr", views, strict=True):
        draft.forward(f"{name} = {draft.pick('F', 'torch')}.softmax({view}{cast}, dim=-1)")
    middle = draft.pick("((p + q + r) / 3)", "torch.stack((p, q, r)).mean(dim=0)")
    draft.forward(f"log_m = {middle}.clamp(min=1e-7).log()")
    draft.forward(*(f'kl_{name} = F.kl_div(log_m, {name}, reduction="none")' for name in "pqr"))
    draft.forward("loss = (kl_p + kl_q + kl_r).sum(dim=-1) / 3")
