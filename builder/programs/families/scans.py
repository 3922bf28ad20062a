"""Scans: cumulative sums and products, exponential averages, linear recurrences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft
from builder.programs.families.registry import family
from builder.programs.shapes import BATCH, HIDDEN, ROWS, SEQUENCE, draw, fitting
from builder.programs.spelling import matmul

if TYPE_CHECKING:
    from random import Random


@family(level=2)
def cumulative(rng: Random) -> Draft:
    draft = Draft(rng)
    draft.title(
        ("PrefixSum", "CumulativeMean", "RunningTotal", "CumulativeScan", "DiscountedReturns"),
        "Cumulative statistics along the last dimension.",
        "Low-precision inputs are accumulated in float32.",
    )
    draft.size("rows", draw(rng, ROWS, high=2048))
    draft.size("length", fitting(rng, SEQUENCE, (1 << 19) // draft.values["rows"]))
    draft.vary("rows", "length")
    x = draft.normal("matrix", "rows length")
    cast = "" if draft.dtype == "float32" else ".float()"
    form = rng.choice(("sum", "mean", "product", "reverse", "max", "logsumexp", "centered"))
    if form == "mean":
        total = draft.pick(f"torch.cumsum({x}{cast}, dim=-1)", f"{x}{cast}.cumsum(dim=-1)")
        draft.forward(f"total = {total}")
        draft.forward(f"count = torch.arange(1, {x}.shape[-1] + 1, device={x}.device)")
        result = "total / count"
    elif form == "sum":
        weight = draft.positive(("weight", "decay", "gate"), "length")
        result = draft.pick(
            f"torch.cumsum({x}{cast} * {weight}, dim=-1)", f"({x}{cast} * {weight}).cumsum(-1)"
        )
    elif form == "product":
        draft.forward(f"keep = torch.sigmoid({x}{cast} + 4.0)")
        result = draft.pick("torch.cumprod(keep, dim=-1)", "keep.cumprod(dim=-1) * (1 - keep)")
    elif form == "reverse":
        result = draft.pick(
            f"torch.flip(torch.cumsum(torch.flip({x}{cast}, [-1]), dim=-1), [-1])",
            f"{x}{cast}.flip(-1).cumsum(-1).flip(-1)",
        )
    elif form == "max":
        draft.forward(f"peak = torch.cummax({x}{cast}, dim=-1).values")
        result = f"peak - {x}"
    elif form == "logsumexp":
        result = f"torch.logcumsumexp({x}{cast}, dim=-1)"
    else:
        draft.forward(f"centered = {x}{cast} - {x}{cast}.mean(dim=-1, keepdim=True)")
        result = "centered.cumsum(dim=-1)"
    ending = rng.choice(("plain", "plain", "scaled", "tanh"))
    if ending == "scaled":
        draft.forward(f"out = {result}", f"return out * {rng.choice((0.1, 0.5, 0.01))}")
    elif ending == "tanh":
        draft.forward(f"out = {result}", "return torch.tanh(0.1 * out)")
    else:
        draft.forward(f"return {result}")
    return draft


@family(level=3)
def linear_recurrence(rng: Random) -> Draft:
    """h[t] = a[t] h[t-1] + b[t] x[t]: exponential moving averages and state-space scans."""
    draft = Draft(rng, ("float32", "float32", "bfloat16"))
    form = rng.choice(("steps", "steps", "closed", "matrix"))
    draft.title(
        ("EMA", "ExponentialAverage", "LinearRecurrence", "GatedScan", "StateSpaceScan"),
        "A first-order linear recurrence over time.",
        "Each channel has a decay of its own.",
    )
    long = form != "steps"
    seq = rng.choice((16, 31, 32, 49, 64)) if long else rng.choice((5, 6, 8, 10, 12))
    hidden = draw(rng, HIDDEN, high=1024)
    draft.size("batch", fitting(rng, BATCH, (1 << 18) // (seq * hidden)))
    draft.size("seq", seq)
    draft.size("hidden", hidden)
    draft.vary("batch")
    x = draft.normal("tokens", "batch seq hidden")
    cast = "" if draft.dtype == "float32" else ".float()"
    {"steps": _steps, "closed": _closed, "matrix": _matrix}[form](draft, x, cast)
    return draft


def _steps(draft: Draft, x: str, cast: str) -> None:
    draft.arguments_of("hidden")
    draft.parameter("decay_logit", "hidden")
    draft.forward(f"decay = torch.sigmoid(self.decay_logit{cast})")
    gated = draft.rng.random() < 0.5
    if gated:
        gate = draft.normal(("gate", "delta", "input_gate"), "batch seq hidden")
        draft.forward(f"{x} = {x}{cast} * torch.sigmoid({gate}{cast})")
        cast = ""
    state = draft.pick("state", "h", "average")
    draft.forward(
        f"{state} = {x}[:, 0]{cast}",
        f"states = [{state}]",
        f"for t in range(1, {x}.shape[1]):",
    )
    update = draft.pick(
        f"{state} = decay * {state} + (1 - decay) * {x}[:, t]",
        f"{state} = torch.lerp({x}[:, t]{cast}, {state}, decay)",
        f"{state} = {state} + (1 - decay) * ({x}[:, t] - {state})",
    )
    draft.forward(
        f"    {update}", f"    states.append({state})", "return torch.stack(states, dim=1)"
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
