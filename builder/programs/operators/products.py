"""Matrix products, convolutions, pooling and what works on images."""

from __future__ import annotations

from builder.programs.operators.registry import table

_MLP = "nn.Sequential(nn.Linear({last}, {width}{dt}), nn.ACT(), nn.Linear({width}, {last}{dt}))"

table("product", "wide_last", {
    "linear": ("nn.Linear({last}, {width}{dt})", "nn.Linear({last}, {width}, bias=False{dt})"),
    "linear_square": ("nn.Linear({last}, {last}{dt})",),
    "mlp": (_MLP.replace("ACT", "GELU"), _MLP.replace("ACT", "SiLU"), _MLP.replace("ACT", "ReLU")),
})  # fmt: skip

table("product", "long contract", {
    "matmul": ("{x} @ {y}", "torch.matmul({x}, {y})", "{x}.matmul({y})"),
})  # fmt: skip

table("product", "tokens tokens_like", {
    "bmm_nt": ("{x} @ {y}.transpose(-1, -2) / {x}.shape[-1] ** 0.5",
               "torch.bmm({x}, {y}.transpose(1, 2)) * {x}.shape[-1] ** -0.5",
               'torch.einsum("bid,bjd->bij", {x}, {y}) * {x}.shape[-1] ** -0.5'),
    "bmm_tn": ("{x}.transpose(-1, -2) @ {y} / {x}.shape[1]",
               'torch.einsum("bnd,bne->bde", {x}, {y}) / {x}.shape[1]'),
    "attend": ("torch.softmax({x} @ {y}.transpose(-1, -2) * {x}.shape[-1] ** -0.5, -1) @ {y}",),
})  # fmt: skip

table("product", "float like", {
    "row_dot": ("({x} * {y}).sum(-1)", "({x} * {y}).sum(-1, keepdim=True)",
                'torch.einsum("...d,...d->...", {x}, {y})'),
    "cosine_similarity": ("F.cosine_similarity({x}, {y}, dim=-1)",),
    "mse": ("F.mse_loss({x}, {y})", "({x} - {y}).square().mean()"),
    "l1_loss": ("F.l1_loss({x}, {y})", "({x} - {y}).abs().mean()"),
    "smooth_l1": ("F.smooth_l1_loss({x}, {y})", "F.huber_loss({x}, {y})"),
    "bce_with_logits": ("F.binary_cross_entropy_with_logits({x}, torch.sigmoid({y}))",),
    "kl_div": ('F.kl_div(F.log_softmax({x}, -1), F.softmax({y}, -1), reduction="batchmean")',),
    "soft_cross_entropy": ("-(F.softmax({y}, -1) * F.log_softmax({x}, -1)).sum(-1)",),
    "squared_distance": ("({x} - {y}).pow(2).sum(-1)", "F.pairwise_distance({x}, {y})"),
})  # fmt: skip

table("convolution", "image", {
    "conv2d": ("nn.Conv2d({channels}, {filters}, 3, padding=1{dt})",
               "nn.Conv2d({channels}, {filters}, 1{dt})",
               "nn.Conv2d({channels}, {filters}, 3, padding=1, bias=False{dt})"),
    "strided_conv2d": ("nn.Conv2d({channels}, {filters}, 3, stride=2, padding=1{dt})",),
    "depthwise_conv2d": ("nn.Conv2d({channels}, {channels}, 3, padding=1, groups={channels}{dt})",),
    "dilated_conv2d": ("nn.Conv2d({channels}, {filters}, 3, padding=2, dilation=2{dt})",),
})  # fmt: skip

table("pooling", "image", {
    "max_pool2d": ("F.max_pool2d({x}, 2)", "F.max_pool2d({x}, 3, stride=2, padding=1)",
                   "nn.MaxPool2d(2)", "F.max_pool2d({x}, 3, 1, 1)"),
    "avg_pool2d": ("F.avg_pool2d({x}, 2)", "F.avg_pool2d({x}, 3, stride=1, padding=1)",
                   "nn.AvgPool2d(2)"),
    "global_pool": ("{x}.mean((-2, -1))", "{x}.amax(dim=(2, 3))", "F.adaptive_avg_pool2d({x}, 1)",
                    "{x}.mean((2, 3), keepdim=True)"),
    "upsample_nearest": ("F.interpolate({x}, scale_factor=2)", "nn.Upsample(scale_factor=2)"),
    "upsample_bilinear": ('F.interpolate({x}, scale_factor=2, mode="bilinear")',),
    "reflect_pad": ('F.pad({x}, (1, 1, 1, 1), mode="reflect")', "nn.ReflectionPad2d(1)"),
    "replicate_pad": ('F.pad({x}, (1, 1, 1, 1), mode="replicate")',),
    "channel_shuffle": ("F.channel_shuffle({x}, 2)",
                        "{x}.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)"),
    "unfold_patches": ("F.unfold({x}, 2, stride=2)",),
    "gradient_x": ("{x}[..., :, 1:] - {x}[..., :, :-1]", "torch.diff({x}, dim=-1)"),
    "gradient_y": ("{x}[..., 1:, :] - {x}[..., :-1, :]",),
    "squeeze_excite": ("{x} * torch.sigmoid({x}.mean((2, 3), keepdim=True))",),
    "lp_pool": ("F.avg_pool2d({x}.square(), 2).sqrt()",),
    "local_contrast": ("{x} - F.avg_pool2d({x}, 3, stride=1, padding=1)",),
})  # fmt: skip

table("token", "tokens", {
    "avg_pool1d": ("F.avg_pool1d({x}.transpose(1, 2), 2).transpose(1, 2)",),
    "causal_mean": (
        "{x}.cumsum(1) / torch.arange(1, {x}.shape[1] + 1, device={x}.device)[:, None]",
    ),
    "self_similarity": ("torch.softmax({x} @ {x}.transpose(1, 2) * {x}.shape[-1] ** -0.5, -1)",),
    "token_shift": ("torch.cat([torch.zeros_like({x}[:, :1]), {x}[:, :-1]], dim=1)",
                    "F.pad({x}, (0, 0, 1, 0))[:, :-1]"),
    "positions": ("{x} + torch.arange({x}.shape[1], device={x}.device)[:, None] / {x}.shape[1]",),
    "split_heads": ("{x}.unflatten(-1, (2, -1)).transpose(1, 2)",),
})  # fmt: skip
