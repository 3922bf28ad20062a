# SPDX-License-Identifier: Apache-2.0
"""Box regression loss: generalised IoU plus a Huber term on encoded anchor offsets."""

from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_LOG_SCALE = 0.9


def decode(deltas: Tensor, anchors: Tensor) -> Tensor:
    """Offsets relative to (cx, cy, w, h) anchors, to corners."""
    center = anchors[..., :2] + deltas[..., :2] * anchors[..., 2:]
    size = anchors[..., 2:] * torch.exp(deltas[..., 2:].clamp(max=MAX_LOG_SCALE))
    return torch.cat([center - 0.5 * size, center + 0.5 * size], dim=-1)


def area(boxes: Tensor) -> Tensor:
    x0, y0, x1, y1 = boxes.unbind(-1)
    return (x1 - x0) * (y1 - y0)


def generalized_iou(a: Tensor, b: Tensor, eps: float = 1e-7) -> Tensor:
    top_left = torch.maximum(a[..., :2], b[..., :2])
    bottom_right = torch.minimum(a[..., 2:], b[..., 2:])
    inter = (bottom_right - top_left).clamp(min=0.0).prod(dim=-1)
    union = area(a) + area(b) - inter
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    hull_area = hull.prod(dim=-1)
    return inter / (union + eps) - (hull_area - union) / (hull_area + eps)


class BoxRegressionLoss(nn.Module):
    def __init__(self, delta: float = 0.5, giou_weight: float = 2.0, huber_weight: float = 5.0):
        super().__init__()
        self.delta = delta
        self.giou_weight = giou_weight
        self.huber_weight = huber_weight

    def forward(
        self, deltas: Tensor, target_deltas: Tensor, anchors: Tensor, objectness: Tensor
    ) -> Tuple[Tensor, Tensor]:
        giou = generalized_iou(decode(deltas, anchors), decode(target_deltas, anchors))
        huber = F.huber_loss(deltas, target_deltas, reduction="none", delta=self.delta).mean(-1)
        per_box = self.giou_weight * (1.0 - giou) + self.huber_weight * huber
        weighted = (per_box * objectness).sum(dim=-1) / objectness.sum(dim=-1).clamp(min=1e-3)
        return weighted, giou


def make_inputs(batch, boxes):
    anchors = torch.cat([torch.rand(batch, boxes, 2), 0.05 + 0.3 * torch.rand(batch, boxes, 2)], -1)
    target = 0.4 * torch.randn(batch, boxes, 4)
    deltas = target + 0.3 * torch.randn(batch, boxes, 4)
    return [deltas, target, anchors, torch.rand(batch, boxes)]


def get_inputs():
    return make_inputs(8, 2048)


def get_init_inputs():
    return [0.4]


def get_shape_variants():
    return [lambda b=b, n=n: make_inputs(b, n) for b, n in ((4, 256), (1, 33), (3, 7))]
