"""From Inductor's module to a standalone Triton module."""

from builder.rewrite.module import TritonModule, triton_module

__all__ = ["TritonModule", "triton_module"]
