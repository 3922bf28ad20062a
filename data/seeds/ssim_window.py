# SPDX-License-Identifier: Apache-2.0
"""Structural similarity with a uniform window: local moments through average pooling."""

import torch
import torch.nn as nn
import torch.nn.functional as F

WINDOW = 7
DYNAMIC_RANGE = 1.0
C1 = (0.01 * DYNAMIC_RANGE) ** 2
C2 = (0.03 * DYNAMIC_RANGE) ** 2


def local_mean(x):
    return F.avg_pool2d(
        x, kernel_size=WINDOW, stride=1, padding=WINDOW // 2, count_include_pad=False
    )


class WindowedSSIM(nn.Module):
    """Mean similarity and mean contrast-structure term per image, channels weighted."""

    def __init__(self, channels: int = 3):
        super().__init__()
        self.channel_logits = nn.Parameter(0.5 * torch.randn(channels))

    def forward(self, prediction: torch.Tensor, target: torch.Tensor):
        mu_x, mu_y = local_mean(prediction), local_mean(target)
        # centring on the global mean first keeps E[x^2] - E[x]^2 well conditioned
        offset = target.mean(dim=(2, 3), keepdim=True)
        x, y = prediction - offset, target - offset
        cx, cy = mu_x - offset, mu_y - offset
        var_x = local_mean(x * x) - cx * cx
        var_y = local_mean(y * y) - cy * cy
        cov = local_mean(x * y) - cx * cy

        luminance = (2.0 * mu_x * mu_y + C1) / (mu_x.square() + mu_y.square() + C1)
        contrast = (2.0 * cov + C2) / (var_x + var_y + C2)
        weights = torch.softmax(self.channel_logits, dim=0).view(1, -1, 1, 1)
        ssim = (weights * luminance * contrast).sum(dim=1).mean(dim=(1, 2))
        return ssim, contrast.mean(dim=(1, 2, 3))


def image_pair(batch, height, width):
    clean = torch.rand(batch, 3, height, width)
    noisy = (clean + 0.2 * torch.randn_like(clean)).clamp(0.0, 1.0)
    return [noisy, clean]


def get_inputs():
    return image_pair(4, 96, 96)


def get_init_inputs():
    return [3]


def get_shape_variants():
    return [
        lambda: image_pair(2, 28, 28),
        lambda: image_pair(1, 33, 15),
        lambda: image_pair(3, 8, 12),
    ]
