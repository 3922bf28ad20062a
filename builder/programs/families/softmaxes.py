"""Softmax and what is built on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms
from builder.programs.families.registry import family
from builder.programs.shapes import CLASSES, ROWS, SEQUENCE, VOCABULARY, draw, fitting

if TYPE_CHECKING:
    from random import Random


def score_sizes(draft: Draft, budget: int = 1 << 20) -> str:
    """Declares sizes of a batch of score rows; returns the dimensions."""
    rng = draft.rng
    if rng.random() < 0.5:
        draft.size("rows", fitting(rng, ROWS, 4096))
        draft.size("columns", fitting(rng, ROWS, budget // draft.values["rows"]))
        draft.vary("rows", chance=0.6)
        return "rows columns"
    draft.size("batch", rng.choice((1, 2, 3, 4)))
    draft.size("heads", rng.choice((2, 4, 6, 8, 12)))
    seq = fitting(
        rng, SEQUENCE, int((budget / draft.values["heads"] / draft.values["batch"]) ** 0.5)
    )
    draft.size("queries", seq)
    draft.size("keys", seq if rng.random() < 0.6 else seq + rng.choice((1, 5, 16)))
    draft.vary("queries", "keys", chance=0.6)
    return "batch heads queries keys"


def softmax_call(draft: Draft, x: str, dim: str = "-1", *, log: bool = False) -> str:
    """A library softmax in one of its spellings."""
    name = "log_softmax" if log else "softmax"
    return draft.pick(
        f"F.{name}({x}, dim={dim})",
        f"torch.{name}({x}, dim={dim})",
        f"{x}.{name}(dim={dim})",
        f"{x}.{name}({dim})",
    )


@family(level=2)
def softmax(rng: Random) -> Draft:
    draft = Draft(rng)
    draft.title(
        ("Softmax", "StableSoftmax", "ScaledSoftmax", "AttentionProbs", "RowSoftmax"),
        "Softmax of scaled scores over the last dimension.",
        "The row maximum is subtracted first, so that no exponential overflows.",
    )
    dims = score_sizes(draft)
    x = draft.normal("logits", dims, rng.choice((1.0, 2.0, 3.0)))
    scaled = rng.random() < 0.6
    if scaled:
        draft.argument("scale", rng.choice((0.125, 0.08838834764831845, 0.5, 0.7, 1.25)))
        draft.forward(f"{x} = {draft.pick(f'{x} * $scale', f'$scale * {x}')}")
    if rng.random() < 0.3:
        bias = draft.normal(
            ("bias", "position_bias"), dims.replace("batch", "1").replace("rows", "1")
        )
        draft.forward(f"{x} = {x} + {bias}")
    if rng.random() < 0.45:
        draft.details = ""
        draft.level = 2 if draft.forward_lines else 1
        draft.forward(f"return {softmax_call(draft, x)}")
        return draft
    _stable_softmax(draft, x)
    return draft


def _stable_softmax(draft: Draft, x: str) -> None:
    top, e = draft.pick("x_max", "m", "row_max"), draft.pick("e", "exps", "numerator", "weights")
    largest = draft.pick(
        f"{x}.amax(dim=-1, keepdim=True)",
        f"torch.amax({x}, dim=-1, keepdim=True)",
        f"{x}.max(dim=-1, keepdim=True).values",
    )
    draft.forward(
        f"{top} = {largest}",
        f"{e} = {draft.pick(f'torch.exp({x} - {top})', f'({x} - {top}).exp()')}",
        f"return {e} / {e}.sum(dim=-1, keepdim=True)",
    )


@family(level=2)
def log_softmax(rng: Random) -> Draft:
    draft = Draft(rng)
    draft.title(
        ("LogSoftmax", "LogProbs", "TokenLogProbs", "LogDistribution", "NormalizedLogits"),
        "Log-probabilities over the last dimension.",
    )
    x = draft.normal("logits", score_sizes(draft), rng.choice((1.0, 2.0)))
    if rng.random() < 0.5:
        draft.argument("scale", rng.choice((0.5, 0.8, 1.5)))
        draft.forward(f"{x} = {x} * $scale")
    form = rng.choice(("library", "logsumexp", "written"))
    if form == "library":
        draft.level = 2 if draft.forward_lines else 1
        result = softmax_call(draft, x, log=True)
    elif form == "logsumexp":
        result = f"{x} - " + draft.pick(
            f"torch.logsumexp({x}, dim=-1, keepdim=True)", f"{x}.logsumexp(dim=-1, keepdim=True)"
        )
    else:
        draft.forward(f"shifted = {x} - {x}.amax(dim=-1, keepdim=True)")
        result = "shifted - shifted.exp().sum(dim=-1, keepdim=True).log()"
    if rng.random() < 0.3:
        draft.level = 2
        draft.forward(f"log_probs = {result}", "return -(log_probs.exp() * log_probs).sum(dim=-1)")
    else:
        draft.forward(f"return {result}")
    return draft


@family(level=3)
def temperature_softmax(rng: Random) -> Draft:
    """What a sampler does to logits before it draws: temperature, penalty, cap, softmax."""
    draft = Draft(rng)
    draft.title(
        ("SamplingProbs", "TemperatureSoftmax", "LogitsProcessor", "NextTokenProbs"),
        "Next-token probabilities from logits and a temperature for each sequence.",
        "Each row has a temperature of its own.",
    )
    draft.size("batch", rng.choice((2, 3, 4, 8, 16)))
    draft.size("vocab", draw(rng, VOCABULARY))
    draft.vary("batch")
    x = draft.normal("logits", "batch vocab", 2.0)
    temperature = draft.positive(("temperature", "temperatures", "tau"), "batch 1", 0.5, 1.0)
    if rng.random() < 0.4:
        draft.argument("soft_cap", rng.choice((20.0, 30.0, 50.0)))
        draft.forward(f"{x} = $soft_cap * torch.tanh({x} / $soft_cap)")
    if rng.random() < 0.5:
        counts = draft.integers(("counts", "token_counts"), "batch vocab", "4")
        draft.argument("penalty", rng.choice((0.1, 0.3, 0.5)))
        draft.forward(f"{x} = {x} - $penalty * {counts}")
    if rng.random() < 0.4:
        bias = draft.normal(("logit_bias", "bias"), "vocab", 0.5)
        draft.forward(f"{x} = {x} + {bias}")
    scaled = f"{x} / {temperature}"
    if draft.dtype != "float32" or rng.random() < 0.3:
        draft.forward(f"scaled = ({scaled}).float()")
    else:
        draft.forward(f"scaled = {scaled}")
    draft.forward(f"return {softmax_call(draft, 'scaled')}")
    return draft


_CROSS_ENTROPY: Forms = {
    "library": (("CrossEntropy", "TokenLoss"), "Cross-entropy of logits against class indices."),
    "smoothed": (("LabelSmoothingLoss", "SmoothedCE"), "Cross-entropy with smoothed labels."),
    "weighted": (("WeightedCE", "BalancedCrossEntropy"), "Cross-entropy with class weights."),
    "nll": (("NLLFromLogits", "LikelihoodLoss"), "Negative log-likelihood of the given classes."),
    "zloss": (("ZLoss", "StableTokenLoss"), "Cross-entropy with a penalty on the log-partition."),
    "written": (("LogSumExpLoss", "ClassificationLoss"), "Log-sum-exp minus the picked logit."),
}


@family(level=2)
def cross_entropy(rng: Random) -> Draft:
    draft = Draft(rng, ("float32", "float32", "bfloat16"))
    form = draft.form(_CROSS_ENTROPY, "Losses are computed in float32.")
    if rng.random() < 0.5:
        draft.size("rows", fitting(rng, ROWS, 1024))
        draft.size("classes", draw(rng, CLASSES))
    else:
        draft.size("rows", rng.choice((16, 32, 33, 50, 64)))
        draft.size("classes", draw(rng, VOCABULARY))
    draft.vary("rows")
    x = draft.normal("logits", "rows classes", 2.0)
    y = draft.integers("labels", "rows", "$classes")
    if draft.dtype != "float32":
        draft.forward(f"{x} = {x}.float()")
    draft.forward(*_cross_entropy(draft, form, x, y))
    return draft


def _cross_entropy(draft: Draft, form: str, x: str, y: str) -> list[str]:
    if form == "library":
        draft.level = 1
        reduction = draft.pick("", ', reduction="sum"', ', reduction="none"')
        return [f"return F.cross_entropy({x}, {y}{reduction})"]
    if form == "smoothed":
        draft.argument("label_smoothing", draft.rng.choice((0.05, 0.1, 0.2)))
        return [f"return F.cross_entropy({x}, {y}, label_smoothing=$label_smoothing)"]
    if form == "weighted":
        weights = draft.positive(("class_weights", "weights"), "classes", dtype="float32")
        return [f"return F.cross_entropy({x}, {y}, weight={weights})"]
    if form == "nll":
        log_probs = softmax_call(draft, x, log=True)
        return [f"log_probs = {log_probs}", f"return F.nll_loss(log_probs, {y})"]
    if form == "zloss":
        draft.argument("z_weight", draft.rng.choice((1e-4, 1e-3, 1e-2)))
        return [
            f"log_z = torch.logsumexp({x}, dim=-1)",
            f"picked = {x}.gather(-1, {y}.unsqueeze(-1)).squeeze(-1)",
            "return (log_z - picked + $z_weight * log_z.square()).mean()",
        ]
    picked = f"torch.gather({x}, 1, {y}[:, None]).squeeze(1)"
    return [f"picked = {picked}", f"loss = {x}.logsumexp(dim=1) - picked", "return loss.mean()"]
