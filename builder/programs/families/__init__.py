"""The family registry: every parametrised motif from which programs are drawn."""

from __future__ import annotations

from builder.programs.families.registry import FAMILIES, Family, load_all

load_all()

__all__ = ["FAMILIES", "Family"]
