"""The contract of a Triton file, from its text alone."""

import pytest

from builder.errors import VerificationRejected
from builder.verify.static import check_static
from tests.verify.data import counter, histogram, layer_norm, loss, matmul, softmax

GOOD = {
    "Loss": loss.TRITON,
    "Softmax": softmax.TRITON,
    "Norm": layer_norm.TRITON,
    "Linear": matmul.triton("float32"),
    "Counter": counter.TRITON,
    "Histogram": histogram.TRITON,
}


@pytest.mark.parametrize("name", GOOD)
def test_good_file_passes(name):
    found = check_static(GOOD[name], name)
    assert len(found.kernels) == 1
    assert len(found.functions) == 1


def inside_forward(line: str) -> str:
    return loss.TRITON.replace("        return out", f"        {line}\n        return out")


def at_top(line: str) -> str:
    return f"{line}\n{loss.TRITON}"


BAD = {
    "not Python": ("def", "static_syntax"),
    "inductor": (at_top("from torch._inductor.runtime import triton_helpers"), "static_import"),
    "inductor by import": (at_top("import torch._inductor"), "static_import"),
    "torch's C": (at_top("from torch._C import _dynamo"), "static_import"),
    "another package": (at_top("import numpy"), "static_import"),
    "relative": (at_top("from . import helpers"), "static_import"),
    "nested import": (inside_forward("import os"), "static_import"),
    "inductor attribute": (inside_forward("torch._inductor.config"), "static_forbidden_name"),
    "extern kernels": (inside_forward("extern_kernels.mm(pred, target)"), "static_forbidden_name"),
    "exec": (at_top("exec('import os')"), "static_forbidden_name"),
    "getattr": (inside_forward("f = getattr(torch, 'm' + 'm')"), "static_forbidden_name"),
    "no class": (loss.TRITON.replace("LossNew", "LossOld"), "static_missing_class"),
    "no forward": (loss.TRITON.replace("def forward", "def backward"), "static_missing_class"),
    "no kernel": (loss.TRITON.replace("@triton.jit", ""), "static_missing_kernel"),
    "second kernel idle": (
        at_top("import triton\n@triton.jit\ndef idle(x):\n    pass\n"),
        "static_unused_kernel",
    ),
    "launched in forward": (
        inside_forward("loss_kernel[(1,)](pred, target, out, 4, BLOCK=4)"),
        "static_launch_outside_launcher",
    ),
    "descriptor without memory": (
        loss.TRITON.replace("tl.program_id(0)", "tl.make_tensor_descriptor(out, [4], [1], [4])"),
        "static_missing_allocator",
    ),
    "matmul": (inside_forward("torch.matmul(pred, target)"), "static_torch_compute"),
    "operator": (inside_forward("out = pred @ target"), "static_torch_compute"),
    "functional": (inside_forward("nn.functional.relu(out)"), "static_torch_compute"),
    "functional by name": (
        at_top("from torch.nn.functional import relu").replace("return out", "return relu(out)"),
        "static_torch_compute",
    ),
    "clone": (inside_forward("out = out.clone()"), "static_torch_compute"),
    "copy_": (inside_forward("out.copy_(pred)"), "static_torch_compute"),
    "to": (inside_forward("pred = pred.to(torch.float32)"), "static_torch_compute"),
    "contiguous": (inside_forward("pred = pred.contiguous()"), "static_torch_compute"),
    "in a helper": (
        inside_forward("out = helper(out)") + "\n\ndef helper(x):\n    return x.abs()\n",
        "static_torch_compute",
    ),
    "in a method": (
        inside_forward("out = self.helper(out)")
        + "\n    def helper(self, x):\n        return x.abs()\n",
        "static_torch_compute",
    ),
    "submodule": (inside_forward("out = self.layer(out)"), "static_submodule_call"),
    "submodule in a list": (inside_forward("out = self.layers[0](out)"), "static_submodule_call"),
    "nested submodule": (inside_forward("out = self.a.b(out)"), "static_submodule_call"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_file_is_named(name):
    text, kind = BAD[name]
    with pytest.raises(VerificationRejected) as caught:
        check_static(text, "Loss")
    assert caught.value.kind == kind, caught.value.message
    if kind not in ("static_syntax", "static_missing_class", "static_missing_kernel"):
        assert caught.value.message.startswith("line ")


def test_constructor_is_free():
    text = loss.TRITON.replace(
        "    def forward",
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.layer = nn.Linear(4, 4)\n"
        "        self.register_buffer('table', torch.arange(4).float().softmax(0) @ torch.eye(4))\n"
        "        getattr(self, 'layer')\n"
        "    def forward",
    )
    check_static(text, "Loss")


@pytest.mark.parametrize(
    "line",
    [
        "pred = pred.view(-1).reshape(16, 50).t().transpose(0, 1).unsqueeze(0).squeeze(0)",
        "pred = torch.as_strided(pred, (16, 50), (50, 1), pred.storage_offset() + 0)",
        "pred = pred.permute(1, 0).expand(50, 16).narrow(0, 0, 1).select(0, 0)",
        "work = torch.zeros((4,), dtype=torch.float32, device=pred.device).zero_()",
        "work = pred.new_empty((pred.shape[0] * 2 + 1,))",
        "size = math.prod(pred.shape) // 2 + triton.cdiv(pred.numel(), 4) + max(1, pred.dim())",
        "assert pred.is_contiguous() and pred.stride(0) == 50",
        "raise ValueError('{}'.format(pred.dtype))",
    ],
)
def test_allocations_views_and_sizes_are_allowed(line):
    check_static("import math\n" + inside_forward(line), "Loss")


def test_backward_may_make_a_tangent_contiguous():
    text = loss.TRITON + (
        "\n\nclass Function(torch.autograd.Function):\n"
        "    @staticmethod\n"
        "    def backward(ctx, grad):\n"
        "        return grad.contiguous(), None\n"
    )
    check_static(text, "Loss")
    with pytest.raises(VerificationRejected):
        check_static(text.replace("def backward", "def forward"), "Loss")
