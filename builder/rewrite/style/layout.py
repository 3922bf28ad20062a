"""The module's text, formatted."""

from __future__ import annotations

import re

import black

from builder.rewrite.style.docs import comments_written

WIDTH = 100

_NAMED_VALUE = re.compile(r"\b(\w+)=\{\1!r\}")
"""What becomes of ``{n=}`` on its way through a syntax tree."""
_MODE = black.Mode(line_length=WIDTH, target_versions={black.TargetVersion.PY310})


def laid_out(text: str) -> str:
    """Formats a module, at most ``WIDTH`` columns where its expressions can be split."""
    return black.format_str(_NAMED_VALUE.sub(r"{\1=}", comments_written(text)), mode=_MODE)
