"""From a program to Inductor's Triton module, for a described GPU (``capture.capture``)."""

from builder.capture.targets import TARGETS, Target, resolve_targets

__all__ = ["TARGETS", "Target", "resolve_targets"]
