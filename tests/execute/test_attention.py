"""Fused attention after the tutorial's description, forward and backward, against torch."""

import pytest
import torch
import triton
import triton.language as tl

from builder.execute import ExecutionOptions, launches_on_cpu


@triton.jit
def attend(
    total, peak, out, q, k, v, low, high, i, n, scale, D: tl.constexpr, TN: tl.constexpr,
    CAUSAL: tl.constexpr,
):  # fmt: skip
    """Rows ``i`` of the scores against columns from ``low`` to ``high``, with a running maximum."""
    for start in tl.range(low, high, TN):
        j = start + tl.arange(0, TN)
        place = j[:, None] * D + tl.arange(0, D)[None, :]
        keys = tl.load(k + place, j[:, None] < n, other=0.0)
        scores = tl.dot(q, keys.T) * scale
        allowed = j[None, :] < n
        if CAUSAL:
            allowed = allowed & (i[:, None] >= j[None, :])
        scores = tl.where(allowed, scores, -1.0e6)
        higher = tl.maximum(peak, tl.max(scores, 1))
        powers = tl.math.exp2(scores - higher[:, None])
        shrink = tl.math.exp2(peak - higher)
        total = total * shrink + tl.sum(powers, 1)
        values = tl.load(v + place, j[:, None] < n, other=0.0)
        out = tl.dot(powers.to(values.dtype), values, out * shrink[:, None])
        peak = higher
    return total, peak, out


@triton.jit
def attention_forward(
    q, k, v, out, logs, n, scale, D: tl.constexpr, TM: tl.constexpr, TN: tl.constexpr,
    CAUSAL: tl.constexpr,
):  # fmt: skip
    """Full blocks left of the diagonal first, then those on it, which need the mask."""
    head = tl.program_id(1).to(tl.int64) * n * D
    first = tl.program_id(0) * TM
    i = first + tl.arange(0, TM)
    place = i[:, None] * D + tl.arange(0, D)[None, :]
    rows = tl.load(q + head + place, i[:, None] < n, other=0.0)
    peak = tl.full([TM], -float("inf"), tl.float32)
    total, result = tl.zeros([TM], tl.float32) + 1e-30, tl.zeros([TM, D], tl.float32)
    scale *= 1.4426950408889634
    whole = first if CAUSAL else n
    total, peak, result = attend(
        total, peak, result, rows, k + head, v + head, 0, whole, i, n, scale, D, TN, CAUSAL=False
    )
    if CAUSAL:
        total, peak, result = attend(
            total, peak, result, rows, k + head, v + head, first, min(first + TM, n), i, n, scale,
            D, TN, CAUSAL=True,
        )  # fmt: skip
    tl.store(logs + tl.program_id(1) * n + i, peak + tl.math.log2(total), i < n)
    tl.store(out + head + place, (result / total[:, None]).to(out.dtype.element_ty), i[:, None] < n)


@triton.jit
def attention_backward(
    q, k, v, out, d_out, logs, dq, dk, dv, n, scale, D: tl.constexpr, T: tl.constexpr,
    CAUSAL: tl.constexpr,
):  # fmt: skip
    """One block of keys an instance; what it owes to each query is added atomically."""
    head = tl.program_id(1) * n * D
    j = tl.program_id(0) * T + tl.arange(0, T)
    across = tl.arange(0, D)[None, :]
    inside = j[:, None] < n
    keys = tl.load(k + head + j[:, None] * D + across, inside, other=0.0)
    values = tl.load(v + head + j[:, None] * D + across, inside, other=0.0)
    key_sum, value_sum = tl.zeros([T, D], tl.float32), tl.zeros([T, D], tl.float32)
    for start in range(tl.program_id(0) * T if CAUSAL else 0, n, T):
        i = start + tl.arange(0, T)
        place, here = head + i[:, None] * D + across, i[:, None] < n
        rows = tl.load(q + place, here, other=0.0)
        upstream = tl.load(d_out + place, here, other=0.0)
        delta = tl.sum(upstream * tl.load(out + place, here, other=0.0), 1)
        log = tl.load(logs + tl.program_id(1) * n + i, i < n, other=0.0)
        scores = tl.dot(rows, keys.T, input_precision="ieee") * (scale * 1.4426950408889634)
        allowed = (j[None, :] < n) & here
        if CAUSAL:
            allowed = allowed & (i[:, None] >= j[None, :])
        powers = tl.where(allowed, tl.math.exp2(scores - log[:, None]), 0.0)
        value_sum = tl.dot(powers.T, upstream, value_sum, input_precision="ieee")
        slope = powers * (tl.dot(upstream, values.T, input_precision="ieee") - delta[:, None])
        key_sum = tl.dot(slope.T, rows, key_sum, input_precision="ieee")
        owed = tl.dot(slope, keys, input_precision="ieee") * scale
        tl.atomic_add(dq + place, owed, here, sem="relaxed")
    tl.store(dk + head + j[:, None] * D + across, key_sum * scale, inside)
    tl.store(dv + head + j[:, None] * D + across, value_sum, inside)


def expected_attention(q, k, v, causal):
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)


@pytest.mark.parametrize("permute_seed", [None, 5])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_attention_forward(causal, dtype, permute_seed):
    n, d = 77, 32
    q, k, v = (torch.randn(2, 3, n, d).to(dtype) for _ in range(3))
    with launches_on_cpu(ExecutionOptions(permute_seed=permute_seed)):
        out, logs = torch.empty_like(q), torch.empty(6, n)
        attention_forward[(triton.cdiv(n, 32), 6)](
            q, k, v, out, logs, n, d**-0.5, D=d, TM=32, TN=16, CAUSAL=causal
        )
    expected = expected_attention(q.double(), k.double(), v.double(), causal)
    tolerance = {torch.float16: 3e-3, torch.bfloat16: 3e-2, torch.float32: 5e-3}[dtype]
    assert torch.allclose(out.double(), expected, atol=tolerance)


@pytest.mark.parametrize("permute_seed", [None, 5])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_backward(causal, permute_seed):
    n, d = 53, 16
    q, k, v = (torch.randn(1, 2, n, d, dtype=torch.float64, requires_grad=True) for _ in range(3))
    d_out = torch.randn(1, 2, n, d)
    reference = expected_attention(q, k, v, causal)
    reference.backward(d_out.double())
    scores = (q @ k.mT).detach() * d**-0.5
    if causal:
        scores = scores.masked_fill(~torch.ones(n, n).tril().bool(), -torch.inf)
    logs = (scores.logsumexp(-1) / torch.log(torch.tensor(2.0).double())).float().contiguous()
    with launches_on_cpu(ExecutionOptions(permute_seed=permute_seed)):
        narrow = [t.detach().float() for t in (q, k, v, reference)]
        dq, (dk, dv) = torch.zeros(1, 2, n, d), (torch.empty(1, 2, n, d) for _ in range(2))
        attention_backward[(triton.cdiv(n, 16), 2)](
            *narrow, d_out, logs, dq, dk, dv, n, d**-0.5, D=d, T=16, CAUSAL=causal
        )
    for grad, tensor in ((dq, q), (dk, k), (dv, v)):
        assert torch.allclose(grad.double(), tensor.grad, atol=1e-4)
