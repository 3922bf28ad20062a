"""Windows that move over time series."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms
from builder.programs.families.registry import family

if TYPE_CHECKING:
    from random import Random

_WINDOWS: Forms = {
    "pool": (
        ("MovingAverage", "SeriesDecomposition", "TrendFilter"),
        "Moving average of a series, or what it leaves.",
    ),
    "unfold": (
        ("WindowStatistic", "RollingStatistic", "SlidingFeatures"),
        "A statistic of each window of a series.",
    ),
    "prefix": (
        ("PrefixAverage", "CausalAverage", "RollingMean"),
        "Moving average as a difference of sums.",
    ),
    "local": (
        ("LocalNormalization", "RollingZScore", "WindowNorm"),
        "Series normalised by the mean and variance around each step.",
    ),
    "exponential": (
        ("ExponentialSmoothing", "EMAFilter", "DecayFilter"),
        "Exponential moving average, by a kernel with a learned decay.",
    ),
    "bands": (
        ("BollingerBands", "RollingBands", "VolatilityBands"),
        "Moving average and bands of some standard deviations around it.",
    ),
}


@family(level=2)
def moving_window(rng: Random) -> Draft:
    """Wu et al., Autoformer, 2021 (decomposition by a moving average)."""
    form = rng.choice(tuple(_WINDOWS))
    draft = Draft(rng, ("float32",) if form == "prefix" else ("float32", "float32", "bfloat16"))
    draft.title(*_WINDOWS[form], "Time is the last dimension.")
    draft.size("batch", rng.choice((2, 3, 4, 8, 16, 32)))
    draft.size("channels", rng.choice((1, 3, 7, 8, 16, 21, 32, 64)))
    lengths = (
        (64, 77, 96, 100, 127) if form == "prefix" else (96, 100, 127, 192, 197, 256, 336, 512)
    )
    draft.size("seq", rng.choice(lengths))
    draft.vary("batch", "seq")
    x = draft.normal(("series", "x", "signal", "values"), "batch channels seq")
    if draft.dtype != "float32":
        draft.forward(f"{x} = {x}.float()")
    {
        "pool": _pool,
        "unfold": _unfold,
        "prefix": _prefix,
        "local": _local,
        "exponential": _exponential,
        "bands": _bands,
    }[form](draft, x)
    return draft


def _padded(draft: Draft, x: str, left: int, right: int) -> str:
    border = draft.pick(', mode="replicate"', ', mode="reflect"', "")
    return f"F.pad({x}, ({left}, {right}){border})"


def _pool(draft: Draft, x: str) -> None:
    window = draft.rng.choice((3, 5, 7, 13, 15))
    half = window // 2
    trend = draft.pick(
        f"F.avg_pool1d({_padded(draft, x, half, half)}, {window}, stride=1)",
        f"F.avg_pool1d({x}, {window}, stride=1, padding={half}, count_include_pad=False)",
        f"F.avg_pool1d({_padded(draft, x, window - 1, 0)}, {window}, stride=1)",
    )
    draft.forward(f"trend = {trend}")
    ending = draft.rng.choice(("both", "rest", "gain", "trend"))
    if ending == "both":
        draft.returns = "tuple[torch.Tensor, torch.Tensor]"
        draft.forward(f"return {x} - trend, trend")
    elif ending == "gain":
        draft.arguments_of("channels")
        draft.parameter("gain", "channels 1", 0.2, 1.0)
        gain = "self.gain" if draft.dtype == "float32" else "self.gain.float()"
        draft.forward(f"return trend + {gain} * ({x} - trend)")
    else:
        draft.forward(f"return {f'{x} - trend' if ending == 'rest' else 'trend'}")


def _unfold(draft: Draft, x: str) -> None:
    window = draft.rng.choice((4, 5, 8, 10, 16))
    draft.argument("window", window)
    draft.argument("stride", draft.rng.choice((1, 1, 2, max(2, window // 2))))
    draft.forward(f"windows = {x}.unfold(-1, $window, $stride)")
    form = draft.rng.choice(("mean", "range", "rms", "weighted", "slope"))
    if form == "weighted":
        draft.parameter("taps", "window", 0.3)
        taps = "self.taps" if draft.dtype == "float32" else "self.taps.float()"
        weights = draft.pick(f"torch.softmax({taps}, dim=0)", taps)
        draft.forward(f"return (windows * {weights}).sum(dim=-1)")
    elif form == "slope":
        draft.forward(
            f"steps = torch.arange(windows.shape[-1], device={x}.device) - ($window - 1) / 2",
            "return (windows * steps).sum(dim=-1) / steps.square().sum()",
        )
    else:
        draft.forward(
            "return "
            + {
                "mean": draft.pick("windows.mean(dim=-1)", "windows.sum(dim=-1) / $window"),
                "range": "windows.amax(dim=-1) - windows.amin(dim=-1)",
                "rms": "torch.sqrt(windows.square().mean(dim=-1) + 1e-6)",
            }[form]
        )


def _prefix(draft: Draft, x: str) -> None:
    window = draft.rng.choice((4, 5, 8, 10))
    total = draft.pick("padded.cumsum(dim=-1)", "torch.cumsum(padded, dim=-1)")
    draft.forward(f"padded = F.pad({x}, ({window}, 0))", f"total = {total}")
    draft.forward(f"mean = (total[..., {window}:] - total[..., :-{window}]) / {window}")
    draft.forward(f"return {draft.pick('mean', f'{x} - mean', f'torch.tanh({x} - mean)')}")


def _local(draft: Draft, x: str) -> None:
    window = draft.rng.choice((5, 7, 9, 15))
    draft.argument("eps", draft.rng.choice((1e-3, 1e-2, 1e-1)))
    draft.forward(f"padded = {_padded(draft, x, window // 2, window // 2)}")
    if draft.rng.random() < 0.5:
        draft.forward(f"windows = padded.unfold(-1, {window}, 1)")
        pair = draft.pick(
            "var, mean = torch.var_mean(windows, dim=-1, correction=0)",
            "mean, var = windows.mean(dim=-1), windows.var(dim=-1, correction=0)",
        )
        draft.forward(pair)
    else:
        draft.forward(
            f"mean = F.avg_pool1d(padded, {window}, stride=1)",
            f"second = F.avg_pool1d(padded.square(), {window}, stride=1)",
            "var = (second - mean.square()).clamp(min=0.0)",
        )
    root = draft.pick(
        f"({x} - mean) / torch.sqrt(var + $eps)", f"({x} - mean) * (var + $eps).rsqrt()"
    )
    draft.forward(f"return {root}")
    draft.level = 3


def _exponential(draft: Draft, x: str) -> None:
    window = draft.rng.choice((8, 12, 16))
    draft.arguments_of("channels")
    draft.level = 3
    if draft.rng.random() < 0.5:
        draft.parameter("decay", "1", 0.5)
        decay = "self.decay" if draft.dtype == "float32" else "self.decay.float()"
        draft.arguments.remove("channels")
        draft.forward(
            f"alpha = torch.sigmoid({decay})",
            f"lags = torch.arange({window - 1}, -1, -1, device={x}.device)",
            "kernel = alpha * (1 - alpha) ** lags",
            f"rows = F.pad({x}.flatten(0, 1).unsqueeze(1), ({window - 1}, 0))",
            f"return F.conv1d(rows, kernel.view(1, 1, -1)).view({x}.shape)",
        )
        return
    draft.parameter("decay", "channels 1", 0.5)
    decay = "self.decay" if draft.dtype == "float32" else "self.decay.float()"
    draft.forward(
        f"alpha = torch.sigmoid({decay})",
        f"lags = torch.arange({window - 1}, -1, -1, device={x}.device)",
        "kernel = alpha * (1 - alpha) ** lags",
        f"windows = F.pad({x}, ({window - 1}, 0)).unfold(-1, {window}, 1)",
    )
    product = draft.pick(
        "(windows * kernel.unsqueeze(1)).sum(dim=-1)",
        'torch.einsum("bctk,ck->bct", windows, kernel)',
    )
    draft.forward(f"return {product}")


def _bands(draft: Draft, x: str) -> None:
    window = draft.rng.choice((5, 8, 10, 15))
    draft.argument("width_factor", draft.rng.choice((1.0, 1.5, 2.0)))
    draft.forward(
        f"windows = {_padded(draft, x, window - 1, 0)}.unfold(-1, {window}, 1)",
        "mean = windows.mean(dim=-1)",
        "std = (windows.var(dim=-1, correction=0) + 1e-6).sqrt()",
    )
    form = draft.rng.choice(("bands", "position"))
    draft.level = 3
    if form == "bands":
        draft.returns = "tuple[torch.Tensor, torch.Tensor, torch.Tensor]"
        draft.forward("band = $width_factor * std", "return mean - band, mean, mean + band")
    else:
        draft.forward(f"return ({x} - mean) / ($width_factor * std)")
