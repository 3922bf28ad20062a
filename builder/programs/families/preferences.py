"""Preferences between two answers to a prompt, by their log-probabilities."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms, shape
from builder.programs.families.registry import family
from builder.programs.families.softmaxes import softmax_call
from builder.programs.shapes import (
    VOCABULARY,
    fitting,
)

if TYPE_CHECKING:
    from random import Random

_PREFERENCES: Forms = {
    "sigmoid": (("DPOLoss", "PreferenceLoss"), "Direct preference optimisation."),
    "smoothed": (("ConservativeDPO", "SmoothedDPOLoss"), "DPO where some preferences are wrong."),
    "squared": (("IPOLoss", "SquaredPreferenceLoss"), "Identity preference optimisation."),
    "hinge": (("HingePreference", "SLiCLoss"), "Hinge loss on the margin of log-ratios."),
    "anchored": (("AnchoredPreference", "APOLoss"), "Anchored preference optimisation."),
    "free": (("SimPOLoss", "ReferenceFreeLoss"), "Preference loss that needs no reference model."),
    "odds": (("OddsRatioLoss", "ORPOLoss"), "Loss on the odds of two answers."),
}
_SEQUENCE_NAMES = (
    ("policy_chosen_logps", "policy_rejected_logps", "ref_chosen_logps", "ref_rejected_logps"),
    ("chosen_logps", "rejected_logps", "reference_chosen", "reference_rejected"),
    ("pi_chosen", "pi_rejected", "ref_chosen", "ref_rejected"),
    ("pi_w", "pi_l", "ref_w", "ref_l"),
)


@family(level=3)
def preference_loss(rng: Random) -> Draft:
    """Rafailov et al., 2023 (DPO); Azar et al., 2023; Zhao et al., 2023; Meng et al., 2024."""
    source = rng.choice(("sequences", "tokens", "logits", "logits"))
    draft = Draft(rng, ("float32", "float32", "bfloat16") if source == "logits" else ("float32",))
    form = draft.form(_PREFERENCES, "Of two answers to a prompt, one is preferred.")
    needs_reference = form not in {"free", "odds"}
    if source == "sequences" and needs_reference:
        _from_sequences(draft)
    elif source == "logits":
        _from_logits(draft, form, needs_reference=needs_reference)
    else:
        _from_tokens(draft, form, needs_reference=needs_reference)
    draft.forward(*_preference(draft, form))
    rewards = needs_reference and form != "squared" and rng.random() < 0.35
    if rewards:
        draft.returns = "tuple[torch.Tensor, torch.Tensor, torch.Tensor]"
        draft.forward("return loss.mean(), $beta * chosen, $beta * rejected")
    else:
        draft.forward(f"return {draft.pick('loss', 'loss.mean()', 'loss.mean()')}")
    return draft


def _from_sequences(draft: Draft) -> None:
    """Lines that define the log-ratios ``chosen`` and ``rejected`` from sums over answers."""
    draft.size("batch", draft.rng.choice((64, 100, 128, 256, 333, 512, 1024)))
    draft.vary("batch")
    names = draft.rng.choice(_SEQUENCE_NAMES)
    a, b, c, d = (draft.input((name,), draft.drawn("rand", "batch", -24.0)) for name in names)
    draft.forward(f"chosen = {a} - {c}", f"rejected = {b} - {d}")


def _answer_sizes(draft: Draft, lengths: tuple[int, ...]) -> None:
    draft.size("batch", draft.rng.choice((2, 3, 4, 8)))
    draft.size("seq", draft.rng.choice(lengths))
    draft.vary("batch", "seq")


def _summed(name: str, values: str, mask: str, form: str) -> list[str]:
    """Lines that sum the tokens that count, or average them where the form wants equal lengths."""
    total = f"{name} = ({values} * {mask}).sum(dim=-1)"
    if form in {"squared", "free", "odds"}:
        return [f"count = {mask}.sum(dim=-1).clamp(min=1)", f"{total} / count"]
    return [total]


def _from_tokens(draft: Draft, form: str, *, needs_reference: bool) -> None:
    _answer_sizes(draft, (32, 64, 77, 100, 127, 128, 256))
    for answer in ("chosen", "rejected"):
        logps = draft.pick(f"{answer}_logps", f"logps_{answer}")
        policy = draft.input((logps,), draft.drawn("rand", "batch seq", -4.0))
        values = policy
        if needs_reference:
            reference = draft.input(
                (f"ref_{answer}", f"reference_{answer}"), draft.drawn("rand", "batch seq", -4.0)
            )
            values = f"({policy} - {reference})"
        mask = draft.mask((f"{answer}_mask", f"mask_{answer}"), "batch seq")
        draft.forward(*_summed(answer, values, mask, form))


def _from_logits(draft: Draft, form: str, *, needs_reference: bool) -> None:
    """Both answers in one batch, the preferred one first."""
    _answer_sizes(draft, (16, 24, 32, 33, 50, 64))
    budget = (1 << 20) // (2 * draft.values["batch"] * draft.values["seq"])
    draft.size("vocab", fitting(draft.rng, VOCABULARY, budget))
    dims = "2 batch seq"
    x = draft.normal(("logits", "policy_logits"), f"{dims} vocab")
    y = draft.integers("labels", dims, "$vocab")
    if draft.dtype != "float32":
        draft.forward(f"{x} = {x}.float()")
    if draft.rng.random() < 0.4:
        picked = f"{x}.gather(-1, {y}.unsqueeze(-1)).squeeze(-1)"
        total = draft.pick(f"torch.logsumexp({x}, dim=-1)", f"{x}.logsumexp(dim=-1)")
        draft.forward(f"logps = {picked} - {total}")
    else:
        draft.forward(f"log_probs = {softmax_call(draft, x, log=True)}")
        draft.forward(f"logps = log_probs.gather(-1, {y}.unsqueeze(-1)).squeeze(-1)")
    if needs_reference:
        pool = ("ref_logps", "reference_logps", "reference")
        nearest = math.log(draft.values["vocab"]) - 0.5
        template = f"-2 * torch.rand({shape(dims)}) - {nearest:.1f}"
        reference = draft.input(pool, template, "float32")
        draft.forward(f"ratios = logps - {reference}")
    mask = draft.mask(("mask", "answer_mask", "loss_mask"), dims)
    values = "ratios" if needs_reference else "logps"
    draft.forward(*_summed("totals", values, mask, form))
    draft.forward(f"chosen, rejected = {draft.pick('totals.unbind(0)', 'totals[0], totals[1]')}")


def _preference(draft: Draft, form: str) -> list[str]:
    """The lines from ``chosen`` and ``rejected`` to ``loss``."""
    rng = draft.rng
    draft.argument("beta", rng.choice((2.0, 2.5) if form == "free" else (0.05, 0.1, 0.2, 0.5)))
    margin = draft.pick("margin = chosen - rejected", "margin = torch.sub(chosen, rejected)")
    if form == "sigmoid":
        return [margin, f"loss = {draft.pick('-F.logsigmoid(', 'F.softplus(-')}$beta * margin)"]
    if form == "smoothed":
        draft.argument("label_smoothing", rng.choice((0.05, 0.1, 0.2)))
        return [
            "logits = $beta * (chosen - rejected)",
            "agree, differ = F.logsigmoid(logits), F.logsigmoid(-logits)",
            "loss = -(1 - $label_smoothing) * agree - $label_smoothing * differ",
        ]
    if form == "squared":
        goal = draft.pick("0.5 / $beta", "1 / (2 * $beta)")
        return [
            margin,
            f"loss = {draft.pick(f'(margin - {goal}).square()', f'(margin - {goal}) ** 2')}",
        ]
    if form == "hinge":
        return [margin, f"loss = {draft.pick('torch.relu', 'F.relu')}(1 - $beta * margin)"]
    if form == "anchored":
        return ["loss = 1 - torch.sigmoid($beta * chosen) + torch.sigmoid($beta * rejected)"]
    if form == "free":
        draft.argument("target_margin", rng.choice((0.5, 1.0, 1.4)))
        return [
            "logits = $beta * (chosen - rejected) - $target_margin",
            f"loss = {draft.pick('-F.logsigmoid(logits)', 'F.softplus(-logits)')}",
        ]
    return [
        "odds_chosen = chosen - torch.log1p(-torch.exp(chosen))",
        "odds_rejected = rejected - torch.log1p(-torch.exp(rejected))",
        "ratio = F.logsigmoid(odds_chosen - odds_rejected)",
        f"loss = {draft.pick('-chosen - $beta * ratio', '-(chosen + $beta * ratio)')}",
    ]
