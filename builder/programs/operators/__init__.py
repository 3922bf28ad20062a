"""The operator registry, in tables by theme."""

from __future__ import annotations

from builder.programs.operators.registry import OPERATORS, Operator, load_all

load_all()

__all__ = ["OPERATORS", "Operator"]
