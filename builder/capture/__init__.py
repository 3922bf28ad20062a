"""From a program to Inductor's Triton module, for a described GPU."""

from builder.capture.capture import Capture, TensorSpec, capture
from builder.capture.kernels import Kernel
from builder.capture.targets import TARGETS, Target, resolve_targets

__all__ = ["TARGETS", "Capture", "Kernel", "Target", "TensorSpec", "capture", "resolve_targets"]
