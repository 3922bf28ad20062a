"""Operators that reduce or scan a dimension."""

from __future__ import annotations

from builder.programs.operators.registry import table

_MINMAX = (
    "({x} - {x}.amin({dim}, keepdim=True)) / "
    "({x}.amax({dim}, keepdim=True) - {x}.amin({dim}, keepdim=True) + 1e-3)"
)

table("reduction", "long", {
    "sum": ("{x}.sum({dim})", "torch.sum({x}, {dim})", "{x}.sum({dim}, keepdim=True)"),
    "mean": ("{x}.mean({dim})", "torch.mean({x}, dim={dim})", "{x}.mean({dim}, keepdim=True)"),
    "amax": ("{x}.amax({dim})", "torch.amax({x}, {dim}, keepdim=True)", "{x}.max({dim}).values"),
    "amin": ("{x}.amin({dim})", "torch.amin({x}, {dim}, keepdim=True)", "{x}.min({dim})[0]"),
    "logsumexp": ("torch.logsumexp({x}, {dim})", "{x}.logsumexp({dim}, keepdim=True)"),
    "norm": ("torch.linalg.vector_norm({x}, dim={dim})", "{x}.norm(dim={dim}, keepdim=True)"),
    "l1_norm": ("{x}.abs().sum({dim})", "torch.linalg.vector_norm({x}, 1, {dim})"),
    "mean_square": ("{x}.square().mean({dim}, keepdim=True)", "({x} ** 2).mean({dim})"),
    "sum_all_but_first": ("{x}.flatten(1).sum(1)", "{x}.flatten(1).mean(-1)"),
})  # fmt: skip

table("reduction", "single_long", {
    "var": ("{x}.var({dim})", "torch.var({x}, {dim}, unbiased=False)",
            "{x}.var({dim}, correction=0, keepdim=True)"),
    "std": ("{x}.std({dim})", "torch.std({x}, {dim}, keepdim=True)"),
    "spread": ("{x}.amax({dim}) - {x}.amin({dim})",),
    "argmax": ("{x}.argmax({dim})", "torch.argmax({x}, dim={dim})"),
    "argmin": ("{x}.argmin({dim})", "torch.argmin({x}, dim={dim})"),
    "count_above": ("({x} > {offset}).sum({dim})", "torch.count_nonzero({x} > {offset}, {dim})"),
    "prod": ("torch.prod(torch.tanh({x}) + 1.0, {dim})", "(1 + 0.1 * torch.tanh({x})).prod({dim})"),
})  # fmt: skip

table("scan", "single_long", {
    "cumsum": ("{x}.cumsum({dim})", "torch.cumsum({x}, {dim})"),
    "cumprod": ("torch.cumprod(torch.sigmoid({x}), {dim})",),
    "cummax": ("torch.cummax({x}, {dim}).values", "torch.cummax({x}, {dim})[0]"),
    "cummin": ("torch.cummin({x}, {dim}).values",),
    "logcumsumexp": ("torch.logcumsumexp({x}, {dim})",),
    "diff": ("torch.diff({x}, dim={dim})",),
})  # fmt: skip

table("normalise", "float", {
    "softmax": ("torch.softmax({x}, {dim})", "F.softmax({x}, dim={dim})", "{x}.softmax({dim})"),
    "log_softmax": ("F.log_softmax({x}, dim={dim})", "torch.log_softmax({x}, {dim})"),
    "softmin": ("F.softmin({x}, dim={dim})", "torch.softmax(-{x}, {dim})"),
    "normalize": ("F.normalize({x}, dim={dim})",
                  "{x} / {x}.norm(dim={dim}, keepdim=True).clamp(min=1e-6)"),
    "centre": ("{x} - {x}.mean({dim}, keepdim=True)",),
    "rms_normalise": ("{x} * torch.rsqrt({x}.pow(2).mean({dim}, keepdim=True) + 1e-5)",),
    "minmax_scale": (_MINMAX,),
    "divide_by_sum": ("{x}.abs() / ({x}.abs().sum({dim}, keepdim=True) + 1e-3)",),
})  # fmt: skip

table("normalise", "wide_last", {
    "layer_norm": ("F.layer_norm({x}, {x}.shape[-1:])", "F.layer_norm({x}, ({last},))",
                   "nn.LayerNorm({last}{dt})"),
    "rms_norm": ("F.rms_norm({x}, ({last},))", "F.rms_norm({x}, ({last},), eps=1e-6)"),
})  # fmt: skip

table("normalise", "image", {
    "batch_norm": ("nn.BatchNorm2d({channels}{dt})",),
    "instance_norm": ("F.instance_norm({x})", "nn.InstanceNorm2d({channels})"),
    "group_norm": ("F.group_norm({x}, {groups})", "nn.GroupNorm({groups}, {channels}{dt})"),
})  # fmt: skip

table("sort", "single_long", {
    "topk": ("torch.topk({x}, {few}, dim={dim}).values", "{x}.topk({few}, dim={dim})[0]"),
    "sort": ("torch.sort({x}, dim={dim}).values", "{x}.sort({dim}, descending=True)[0]"),
    "argsort": ("torch.argsort({x}, dim={dim}, stable=True)",),
    "kthvalue": ("torch.kthvalue({x}, {few}, dim={dim}).values",),
    "median": ("{x}.median({dim}).values", "torch.median({x}, dim={dim})[0]"),
})  # fmt: skip
