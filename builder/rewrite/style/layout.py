"""The module's text, formatted."""

from __future__ import annotations

import black

from builder.rewrite.style.docs import comments_written

WIDTH = 100

_MODE = black.Mode(line_length=WIDTH, target_versions={black.TargetVersion.PY310})


def laid_out(text: str) -> str:
    """Formats a module, at most ``WIDTH`` columns where its expressions can be split."""
    return black.format_str(comments_written(text), mode=_MODE)
