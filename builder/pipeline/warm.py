"""What a worker does once, so that the processes it forks start warm.

Dynamo, Inductor and Triton import and register much on first use.  A few programs of our own are
captured, rewritten and verified here; no pair's code ever runs in the worker itself.
"""

from __future__ import annotations

import logging
import warnings

import torch

from builder.errors import OperationFailed
from builder.pipeline import stages

_PROGRAM = """
import torch
from torch import nn


class WarmUp(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(32, 48)
        self.conv = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x, image):
        rows = torch.softmax(self.proj(x), -1)
        return rows, rows.argmax(-1), x.sort(-1)[0].cumsum(-1), torch.relu(self.conv(image))


def get_inputs():
    return [torch.randn(24, 32), torch.randn(1, 3, 10, 12)]
"""


def warm_up() -> None:
    """Runs one program through every stage."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    torch.set_grad_enabled(True)
    limits = {"deadline_s": 0.0, "memory_bytes": 0, "work_bytes": 1 << 30, "work_flops": 1 << 40}
    program = {
        "python_code": _PROGRAM,
        "entry_point": "WarmUp",
        "source": "file:warm_up.py",
        "seed": None,
    }
    payload = {
        "program": program,
        "targets": ["cuda:90"],
        "variants": ["default"],
        "mode": "forward",
        "style": "readable",
        "limits": limits,
        "draws": 1,
    }
    made = stages.convert_pair(payload)
    done = made if "rejection" in made else stages.verify_pair(payload | made)
    if "rejection" in done:
        raise OperationFailed(f"the warm-up program fails: {done['rejection']['message']}")
    torch._dynamo.reset()  # noqa: SLF001
