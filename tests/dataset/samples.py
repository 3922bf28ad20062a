"""Small rows and data sets for tests."""

from __future__ import annotations

from builder.dataset.journal import Journal, open_output
from builder.dataset.schema import make_rejection, make_row
from builder.dataset.summary import summarise
from builder.dataset.write import finalise

PROGRAM = """\
import torch
from torch import nn


class Shift(nn.Module):
    def forward(self, x):
        return x + {number}


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(4, {number})]
"""

TRITON = """\
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def shift(source, result, count, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(result + index, tl.load(source + index) + {number}, mask=index < count)


class ShiftNew(nn.Module):
    def forward(self, x):
        result = torch.empty_like(x)
        shift[(1,)](x, result, x.numel(), BLOCK=64)
        return result
"""


def program(index: int = 0) -> dict:
    return {
        "python_code": PROGRAM.format(number=index + 1),
        "entry_point": "Shift",
        "source": f"family:family_{index % 3}",
        "seed": index,
        "level": 1,
        "dtypes": ("float32",),
    }


def capture(index: int = 0) -> dict:
    return {
        "triton_code": TRITON.format(number=index + 1),
        "original_triton_code": "# the compiler's text",
        "target": "cuda:90",
        "kernel_kinds": ["pointwise"],
        "aten_ops": ["aten.add.Tensor"],
    }


def verdict() -> dict:
    return {
        "verified": True,
        "kind": None,
        "reason": None,
        "draws": 3,
        "max_error": 3e-7,
        "floor": 1e-6,
        "deterministic": True,
        "compiled_targets": ["cuda:80", "cuda:90"],
        "resources": {"cuda:90": {"registers": 16, "shared": 128, "spills": 0}},
        "kernel_names": ["shift"],
        "num_kernels": 1,
        "input_shapes": ["[4, 8]"],
        "verifier_version": "1",
    }


def row(index: int = 0, **changes: object) -> dict:
    """A whole row; ``changes`` replace fields of the program or the capture."""
    fields = program(index) | {k: v for k, v in changes.items() if k in program()}
    made = capture(index) | {k: v for k, v in changes.items() if k not in program()}
    return make_row(fields, made, verdict())


def rejection(index: int = 0, **changes: object) -> dict:
    fields = {
        "seed": index,
        "source": "family:family_0",
        "stage": "capture",
        "kind": "no_kernel",
        "message": "the graph is a view",
    }
    return make_rejection(**(fields | changes))


def dataset(folder, pairs: int = 3, rejected: int = 1):
    """Writes a finished data set, journal included; returns its rows."""
    out = open_output(folder)
    rows = [row(index) for index in range(pairs)]
    rejections = [rejection(pairs + index) for index in range(rejected)]
    with Journal(out, {"seed": 0}) as journal:
        for made in rows:
            journal.append_row(made["seed"], made)
        for made in rejections:
            journal.append_rejection(made["seed"], made)
    finalise(out, rows, rejections, summarise(rows, rejections))
    return rows
