"""The kernels that ``torch2triton bench executor`` runs: PyTorch programs and the Triton of each.

Programs are captured and rewritten when the measurement runs, so that the kernels are the ones a
data set would hold, with their block sizes.  Only where the measurement asks for a given tiling is
the Triton text a written one (``kernels_written``).
"""

from __future__ import annotations

from dataclasses import dataclass

from builder.bench.kernels_written import ATTENTION, MATMUL


@dataclass(frozen=True)
class BenchKernel:
    """One program to measure.

    Attributes:
        name: short, for ``--only``.
        kind: the kernel kind that the program's time is spent in.
        python_code: the program file.
        terms: how many terms a float output sums at most, one after another; bounds how far two
            orders of summation may lie apart.
        in_mean: whether it counts in the geometric mean; kernels with a figure of their own do not.
        triton_code: the Triton file; None where it is captured.
    """

    name: str
    kind: str
    python_code: str
    terms: int
    in_mean: bool = True
    triton_code: str | None = None


def _program(forward: str, shapes: dict[str, tuple[int, ...]], init: str = "") -> str:
    """A program file with that body of ``forward`` on normal inputs of those shapes."""
    names = ", ".join(shapes)
    inputs = ", ".join(f"torch.randn{shape}" for shape in shapes.values())
    built = "".join(f"        {line}\n" for line in init.splitlines())
    body = "".join(f"        {line}\n" for line in forward.splitlines())
    return (
        "import torch\nfrom torch import nn\n\n\n"
        "class Model(nn.Module):\n"
        f"    def __init__(self):\n        super().__init__()\n{built}\n"
        f"    def forward(self, {names}):\n{body}\n\n"
        f"def get_inputs():\n    return [{inputs}]\n\n\n"
        "def get_init_inputs():\n    return []\n"
    )


_CAUSAL = """\
scores = q @ k.transpose(-2, -1) * 0.125
hidden = torch.ones(1024, 1024, dtype=torch.bool, device=q.device).triu(1)
return scores.masked_fill(hidden, float("-inf")).softmax(-1) @ v"""

KERNELS: tuple[BenchKernel, ...] = (
    BenchKernel(
        name="matmul",
        kind="template",
        python_code=_program("return a @ b", {"a": (512, 512), "b": (512, 512)}),
        terms=512,
        in_mean=False,
        triton_code=MATMUL,
    ),
    BenchKernel(
        name="argmax_cumsum",
        kind="scan",
        python_code=_program("return x.argmax(1), x.cumsum(1)", {"x": (16, 500)}),
        terms=500,
        in_mean=False,
    ),
    BenchKernel(
        name="pointwise_chain",
        kind="pointwise",
        python_code=_program(
            'y = torch.nn.functional.gelu(x * 1.5 + y, approximate="tanh")\n'
            "return torch.sigmoid(y) * x - torch.exp(-y * y)",
            {"x": (4096, 4096), "y": (4096, 4096)},
        ),
        terms=16,
    ),
    BenchKernel(
        name="layer_norm",
        kind="reduction",
        python_code=_program(
            "return self.norm(x)", {"x": (4096, 4096)}, "self.norm = nn.LayerNorm(4096)"
        ),
        terms=4096,
    ),
    BenchKernel(
        name="softmax",
        kind="persistent_reduction",
        python_code=_program("return torch.softmax(x, -1)", {"x": (4096, 512)}),
        terms=512,
    ),
    BenchKernel(
        name="cumulative_sum",
        kind="scan",
        python_code=_program("return x.cumsum(-1)", {"x": (256, 512)}),
        terms=512,
    ),
    BenchKernel(
        name="sort",
        kind="sort",
        python_code=_program("return x.sort(-1).values", {"x": (1024, 256)}),
        terms=1,
    ),
    BenchKernel(
        name="attention",
        kind="template",
        python_code=_program(_CAUSAL, dict.fromkeys("qkv", (8, 1024, 64))),
        terms=1024,
        triton_code=ATTENTION,
    ),
    BenchKernel(
        name="convolution",
        kind="template",
        python_code=_program(
            "return self.conv(x)",
            {"x": (16, 64, 56, 56)},
            "self.conv = nn.Conv2d(64, 64, 3, padding=1)",
        ),
        terms=576,
    ),
)
