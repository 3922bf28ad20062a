"""Dense forms of higher-order operators: right, seen by dispatch modes, nested as compiled ones."""

import pytest
import torch
import torch.nn.functional as F
from torch._higher_order_ops.associative_scan import associative_scan
from torch._higher_order_ops.map import map as map_over
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.utils._python_dispatch import TorchDispatchMode

from builder.programs import higher_order
from builder.programs.higher_order import dense_operators


class Names(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


def dense(function, *inputs):
    names = Names()
    with dense_operators(), names:
        found = function(*inputs)
    assert all(name.startswith(("aten.", "prims.")) for name in names.seen), names.seen
    assert names.seen
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_flex_attention(dtype):
    q, k, v = (torch.randn(2, 3, n, 16).to(dtype) for n in (33, 20, 20))

    def attention(q, k, v):
        mask = create_block_mask(lambda b, h, i, j: i >= j, None, None, 33, 20, device=q.device)
        return flex_attention(q, k, v, score_mod=lambda s, b, h, i, j: s + h, block_mask=mask)

    found = dense(attention, q, k, v)
    mask = torch.ones(33, 20).tril().bool()
    wanted = F.scaled_dot_product_attention(q.double(), k.double(), v.double(), attn_mask=mask)
    assert found.dtype == dtype
    assert torch.allclose(found.double(), wanted, atol=2e-2 if dtype == torch.bfloat16 else 1e-5)


@pytest.mark.parametrize("mode", ["pointwise", "generic"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 2, 7])
def test_associative_scan(mode, reverse, length):
    x = torch.randn(3, length, 2)
    found = dense(
        lambda x: associative_scan(torch.add, x, 1, reverse=reverse, combine_mode=mode), x
    )
    wanted = x.flip(1).cumsum(1).flip(1) if reverse else x.cumsum(1)
    assert torch.allclose(found, wanted, atol=1e-6)
    assert mode == "generic" or found.stride() == x.stride()


def test_nests_of_tensors():
    x = torch.randn(5, 4)
    pair = {"a": x, "b": (x * 2,)}

    def both(left, right):
        return {"a": left["a"] + right["a"], "b": (left["b"][0] + right["b"][0],)}

    found = dense(lambda p: associative_scan(both, p, 0), pair)
    assert torch.allclose(found["b"][0], 2 * x.cumsum(0), atol=1e-5)
    carry, rows = dense(
        lambda x: scan(lambda c, y: ({"h": c["h"] + y}, (c["h"] * y,)), {"h": x[0] * 0}, x), x
    )
    assert torch.allclose(carry["h"], x.sum(0), atol=1e-6)
    assert rows[0].shape == (5, 4)
    assert torch.equal(dense(lambda x: map_over(lambda y: (y + 1, y * 2), x), x)[1], x * 2)


def test_loops_and_branches():
    x = torch.randn(3)
    count = torch.zeros((), dtype=torch.int64)
    found = dense(
        lambda x: while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, y * 2), (count, x)), x
    )
    assert found[0] == 3
    assert torch.equal(found[1], x * 8)
    assert torch.equal(
        dense(lambda x: torch.cond(x.sum() > 1e9, torch.sin, torch.cos, (x,)), x), x.cos()
    )


def test_gradients_flow():
    x = torch.randn(6, requires_grad=True)
    with dense_operators():
        associative_scan(torch.add, x, 0).sum().backward()
    assert x.grad.tolist() == [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]


def test_the_seams_exist_and_are_left_as_they_were():
    key = torch._C.DispatchKey.CompositeExplicitAutograd
    operators = [higher_order._operator(*names) for names in higher_order._OPERATORS]
    assert all(key in operator.py_kernels for operator in operators)
    assert hasattr(higher_order._FLEX, higher_order._WARNS_UNLESS)
    calls = [type(operator).__call__ for operator in operators]
    compile_ = torch.compile
    with dense_operators():
        assert torch.compile is not compile_
    assert torch.compile is compile_
    assert [type(operator).__call__ for operator in operators] == calls
    assert "all" not in vars(higher_order._SCAN)
