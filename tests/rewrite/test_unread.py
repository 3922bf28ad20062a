import ast

import pytest
import torch
from torch import nn

from builder.capture.capture import capture
from builder.capture.targets import TARGETS
from builder.rewrite.unread import values_only

KERNEL = """
def kernel(x, out, places, width):
    value = tl.load(x)
    index = tl.arange(0, 8)
    found, found_index = {call}
    tl.store(out, found)
"""
SORT = "sort_with_index(value, index, width, 1, descending=True)"


def rewritten(text: str) -> str:
    function = ast.parse(text).body[0]
    assert isinstance(function, ast.FunctionDef)
    values_only(function, [])
    return ast.unparse(function)


@pytest.mark.parametrize(
    ("call", "alone"),
    [
        (SORT, "sort_values(value, width, 1, descending=True)"),
        ("reduce_max_with_index(value, index, 1)", "reduce_max(value, 1)"),
        ("reduce_min_with_index(value, index, 1)", "reduce_min(value, 1)"),
    ],
)
def test_values_alone_take_no_index_along(call, alone):
    text = rewritten(KERNEL.format(call=call))
    assert f"found = {alone}" in text
    assert "with_index" not in text


def test_an_index_that_is_read_stays():
    text = KERNEL.format(call=SORT) + "    tl.store(places, found_index)\n"
    assert "sort_with_index(value, index, width" in rewritten(text)


def test_a_scan_that_is_no_running_maximum_stays():
    text = KERNEL.format(call="tl.associative_scan((value, index), 1, combine)")
    assert "associative_scan((value, index), 1, combine)" in rewritten(text)


class Running(nn.Module):
    def __init__(self, function, *, both):
        super().__init__()
        self.function, self.both = function, both

    def forward(self, x):
        found = self.function(x, dim=-1)
        return (found.values, found.indices) if self.both else found.values * 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.int32])
@pytest.mark.parametrize("function", [torch.cummax, torch.cummin])
def test_running_extremes_as_inductor_writes_them(function, dtype):
    from builder.rewrite.kernel import standalone_kernel

    x = torch.arange(12 * 64).reshape(12, 64).to(dtype)
    texts = []
    for both in (False, True):
        captured = capture(Running(function, both=both), [x], TARGETS["cuda:90"])
        texts.append(standalone_kernel(captured.kernels[0], set()).text)
    name = "maximum" if function is torch.cummax else "minimum"
    assert f", 1, {name})" in texts[0]
    assert "_combine" not in texts[0]
    assert "_combine" in texts[1]
