"""Triton kernels for ``GatedUnit``."""

import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def sigmoid_mul_kernel(x_ptr, gate_ptr, gain_ptr, out_ptr, BLOCK_SIZE: tl.constexpr):
    """Compute ``out`` from ``x``, ``gate`` and ``gain``: sigmoid mul.

    PyTorch::

        return x * torch.sigmoid(gate) * self.gain

    Each program instance handles ``BLOCK_SIZE`` elements.
    """
    INNER_SIZE: tl.constexpr = 256
    offsets = tl.program_id(0) * BLOCK_SIZE + tl.arange(0, BLOCK_SIZE)
    x = tl.load(x_ptr + offsets)
    gate = tl.load(gate_ptr + offsets)
    gain = tl.load(gain_ptr + offsets % INNER_SIZE)
    tl.store(out_ptr + offsets, x * tl.sigmoid(gate) * gain)


def launch_sigmoid_mul(x, gate, gain, out):
    """Launch ``sigmoid_mul_kernel``."""
    BLOCK_SIZE = 256
    grid = (triton.cdiv(16384, BLOCK_SIZE),)
    sigmoid_mul_kernel[grid](x, gate, gain, out, BLOCK_SIZE=BLOCK_SIZE, num_warps=4)


@triton.jit
def sigmoid_mul_sum_sigmoid_backward_kernel(
    grad_output_ptr, x_ptr, gate_ptr, gain_ptr, out_ptr, grad_x_ptr, grad_gate_ptr,
    BLOCK_ROWS: tl.constexpr
):
    """Compute ``out``, ``grad_x``, ``grad_gate`` from ``grad_output``, ``x``, ``gate`` and
    ``gain``: sigmoid mul sum sigmoid backward.

    PyTorch::

        return x * torch.sigmoid(gate) * self.gain

    Each program instance handles ``BLOCK_ROWS`` rows, all columns at once.
    """
    ROWS: tl.constexpr = 256
    COLS: tl.constexpr = 64
    row = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)[:, None]
    row_mask = row < ROWS
    col = tl.arange(0, COLS)[None, :]
    offsets = col * ROWS + row
    grad_output = tl.load(grad_output_ptr + offsets, mask=row_mask, other=0.0)
    x = tl.load(x_ptr + offsets, mask=row_mask, other=0.0)
    gate = tl.load(gate_ptr + offsets, mask=row_mask, other=0.0)
    gain = tl.load(gain_ptr + row, mask=row_mask)
    sigmoid_gate = tl.sigmoid(gate)
    out = tl.sum(tl.where(row_mask, grad_output * (x * sigmoid_gate), 0), 1)[:, None]
    product = grad_output * gain
    grad_x = product * sigmoid_gate
    grad_gate = product * x * (sigmoid_gate * (1.0 - sigmoid_gate))
    tl.store(grad_x_ptr + offsets, grad_x, mask=row_mask)
    tl.store(grad_gate_ptr + offsets, grad_gate, mask=row_mask)
    tl.store(out_ptr + row, out, mask=row_mask)


def launch_sigmoid_mul_sum_sigmoid_backward(grad_output, x, gate, gain, out, grad_x, grad_gate):
    """Launch ``sigmoid_mul_sum_sigmoid_backward_kernel``."""
    BLOCK_ROWS = 32
    grid = (triton.cdiv(256, BLOCK_ROWS),)
    sigmoid_mul_sum_sigmoid_backward_kernel[grid](
        grad_output, x, gate, gain, out, grad_x, grad_gate, BLOCK_ROWS=BLOCK_ROWS, num_warps=8
    )


def check_tensor(name, tensor, size, dtype):
    """Raise ``ValueError`` unless a tensor is laid out as the kernels below expect."""
    if tuple(tensor.shape) != size or tensor.dtype != dtype:
        found = f"{tensor.dtype} of {tuple(tensor.shape)}"
        raise ValueError(f"{name}: expected {dtype} of shape {size}, got {found}")
    if not tensor.is_contiguous():
        raise ValueError(f"{name}: expected to be contiguous, got strides {tensor.stride()}")


class GatedUnitFunction(torch.autograd.Function):
    """``GatedUnit`` and its gradients, by the kernels above."""

    @staticmethod
    def forward(ctx, gate, x, gain):
        out = torch.empty((64, 256), dtype=torch.float32, device=gate.device)
        launch_sigmoid_mul(x, gate, gain, out)
        ctx.save_for_backward(gate, x, gain)
        return out

    @staticmethod
    def backward(ctx, grad_output):
        if torch.is_grad_enabled():
            raise RuntimeError(
                "these kernels have no second derivative; call backward without create_graph=True"
            )
        gate, x, gain = ctx.saved_tensors
        grad_output = grad_output.contiguous()
        out = torch.empty((1, 256), dtype=torch.float32, device=grad_output.device)
        grad_x = torch.empty((64, 256), dtype=torch.float32, device=grad_output.device)
        grad_gate = torch.empty((64, 256), dtype=torch.float32, device=grad_output.device)
        launch_sigmoid_mul_sum_sigmoid_backward(grad_output, x, gate, gain, out, grad_x, grad_gate)
        return (
            grad_gate if ctx.needs_input_grad[0] else None,
            grad_x if ctx.needs_input_grad[1] else None,
            torch.as_strided(out, (256,), (1,)) if ctx.needs_input_grad[2] else None,
        )


class GatedUnitNew(nn.Module):
    """``GatedUnit`` computed by the kernels above."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(256))

    def forward(self, x, gate):
        check_tensor("gate", gate, (64, 256), torch.float32)
        check_tensor("x", x, (64, 256), torch.float32)
        check_tensor("self.gain", self.gain, (256,), torch.float32)
        output = GatedUnitFunction.apply(gate, x, self.gain)
        return output
