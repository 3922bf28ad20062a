"""Scans: cumulative sums and products, exponential averages, linear recurrences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms
from builder.programs.families.registry import family
from builder.programs.shapes import BATCH, HIDDEN, ROWS, SEQUENCE, draw, fitting
from builder.programs.spelling import matmul

if TYPE_CHECKING:
    from random import Random

_CUMULATIVE: Forms = {
    "sum": (("PrefixSum", "WeightedPrefixSum", "RunningTotal"), "Running sum of weighted values."),
    "mean": (("CumulativeMean", "RunningAverage"), "Mean of all values so far."),
    "product": (("SurvivalCurve", "CumulativeProduct"), "Running product of keep probabilities."),
    "reverse": (("ReturnsToGo", "SuffixSum"), "Sum of each value and all that follow."),
    "max": (("Drawdown", "RunningPeak"), "Distance of each value from the largest so far."),
    "logsumexp": (("CumulativeLogSumExp", "RunningLogSum"), "Running log-sum-exp."),
    "centered": (("CenteredWalk", "CumulativeDeviation"), "Running sum of deviations."),
}
_RECURRENCES: Forms = {
    "steps": (("EMA", "ExponentialAverage", "LinearRecurrence"), "An exponential moving average."),
    "gated": (("GatedScan", "GatedEMA", "GatedRecurrence"), "A moving average of gated inputs."),
    "closed": (("StateSpaceScan", "SelectiveScan", "DecayScan"), "A scan with decays by position."),
    "matrix": (("Retention", "DecayAttention", "DecayedSum"), "A sum decaying with distance."),
}


@family(level=2)
def cumulative(rng: Random) -> Draft:
    draft = Draft(rng)
    form = draft.form(_CUMULATIVE, "Low-precision inputs are accumulated in float32.")
    draft.size("rows", draw(rng, ROWS, high=2048))
    draft.size("length", fitting(rng, SEQUENCE, (1 << 19) // draft.values["rows"]))
    draft.vary("rows", "length")
    x = draft.normal("matrix", "rows length")
    y = x if draft.dtype == "float32" else f"{x}.float()"
    result = _cumulated(draft, form, x, y)
    ending = rng.choice(("plain", "plain", "scaled", "tanh"))
    if ending == "scaled":
        draft.forward(f"out = {result}", f"return out * {rng.choice((0.1, 0.5, 0.01))}")
    elif ending == "tanh":
        draft.forward(f"out = {result}", "return torch.tanh(0.1 * out)")
    else:
        draft.forward(f"return {result}")
    return draft


def _cumulated(draft: Draft, form: str, x: str, y: str) -> str:
    if form == "mean":
        total = draft.pick(f"torch.cumsum({y}, dim=-1)", f"{y}.cumsum(dim=-1)")
        draft.forward(f"total = {total}")
        draft.forward(f"count = torch.arange(1, {x}.shape[-1] + 1, device={x}.device)")
        return "total / count"
    if form == "sum":
        weight = draft.positive(("weight", "decay", "gate"), "length")
        return draft.pick(f"torch.cumsum({y} * {weight}, dim=-1)", f"({y} * {weight}).cumsum(-1)")
    if form == "product":
        draft.forward(f"keep = torch.sigmoid({y} + 4.0)")
        return draft.pick("torch.cumprod(keep, dim=-1)", "keep.cumprod(dim=-1) * (1 - keep)")
    if form == "reverse":
        return draft.pick(
            f"torch.flip(torch.cumsum(torch.flip({y}, [-1]), dim=-1), [-1])",
            f"{y}.flip(-1).cumsum(-1).flip(-1)",
        )
    if form == "max":
        draft.forward(f"peak = torch.cummax({y}, dim=-1).values")
        return f"peak - {x}"
    if form == "logsumexp":
        return f"torch.logcumsumexp({y}, dim=-1)"
    draft.forward(f"centered = {y} - {y}.mean(dim=-1, keepdim=True)")
    return "centered.cumsum(dim=-1)"


@family(level=3)
def linear_recurrence(rng: Random) -> Draft:
    """h[t] = a[t] h[t-1] + b[t] x[t]: exponential moving averages and state-space scans."""
    draft = Draft(rng, ("float32", "float32", "bfloat16"))
    form = draft.form(_RECURRENCES, "Time is the second dimension.")
    stepwise = form in {"steps", "gated"}
    seq = rng.choice((5, 6, 8, 10, 12) if stepwise else (16, 31, 32, 49, 64))
    hidden = draw(rng, HIDDEN, high=1024)
    draft.size("batch", fitting(rng, BATCH, (1 << 18) // (seq * hidden)))
    draft.size("seq", seq)
    draft.size("hidden", hidden)
    draft.vary("batch")
    x = draft.normal("tokens", "batch seq hidden")
    cast = "" if draft.dtype == "float32" else ".float()"
    if form == "closed":
        _closed(draft, x, cast)
    elif form == "matrix":
        _matrix(draft, x, cast)
    else:
        _steps(draft, x, cast, gated=form == "gated")
    return draft


def _steps(draft: Draft, x: str, cast: str, *, gated: bool) -> None:
    draft.arguments_of("hidden")
    draft.parameter("decay_logit", "hidden")
    draft.forward(f"decay = torch.sigmoid(self.decay_logit{cast})")
    if gated:
        gate = draft.normal(("gate", "delta", "input_gate"), "batch seq hidden")
        draft.forward(f"{x} = {x}{cast} * torch.sigmoid({gate}{cast})")
    elif cast:
        draft.forward(f"{x} = {x}{cast}")
    state = draft.pick("state", "h", "average")
    state = "state" if state == x else state
    update = draft.pick(
        f"{state} = decay * {state} + (1 - decay) * {x}[:, t]",
        f"{state} = torch.lerp({x}[:, t], {state}, decay)",
        f"{state} = {state} + (1 - decay) * ({x}[:, t] - {state})",
    )
    draft.forward(
        f"{state} = {x}[:, 0]",
        f"states = [{state}]",
        f"for t in range(1, {x}.shape[1]):",
        f"    {update}",
        f"    states.append({state})",
        "return torch.stack(states, dim=1)",
    )


def _closed(draft: Draft, x: str, cast: str) -> None:
    """By cumulative sums of logarithms; decays stay close to one, so that nothing overflows."""
    decay = draft.positive(("log_decay", "dt", "delta"), "batch seq hidden", 0.01, 0.15)
    draft.forward(
        f"log_a = -torch.cumsum({decay}{cast}, dim=1)",
        f"scaled = {x}{cast} * torch.exp(-log_a)",
        f"return {draft.pick('log_a.exp()', 'torch.exp(log_a)')} * torch.cumsum(scaled, dim=1)",
    )


def _matrix(draft: Draft, x: str, cast: str) -> None:
    """As a lower triangular matrix of powers, one decay for all: retention's parallel form."""
    draft.argument("decay", draft.rng.choice((0.8, 0.9, 0.95, 0.97)))
    draft.forward(
        f"steps = torch.arange({x}.shape[1], device={x}.device)",
        "distance = steps[:, None] - steps[None, :]",
        "weights = torch.where(distance >= 0, $decay ** distance.clamp(min=0), 0.0)",
        f"return {matmul(draft, 'weights', f'{x}{cast}')}",
    )
