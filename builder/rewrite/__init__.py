"""From Inductor's module to a standalone Triton module."""

from builder.rewrite.module import TritonModule, triton_module
from builder.rewrite.style import Style

__all__ = ["Style", "TritonModule", "triton_module"]
