"""Line wrapping: statements that are too long are broken by Black, one at a time.

Black takes ten times as long for a whole file, nearly all of which is written as it would have it.
"""

from __future__ import annotations

import black

LIMIT = 100
_TARGETS = {black.TargetVersion.PY310}


def wrap(line: str, limit: int = LIMIT) -> list[str]:
    """Breaks a statement that is longer than ``limit`` columns.

    Args:
        line: one statement, or the head of a compound one, indented, without a line break.
        limit: columns.

    Returns:
        The lines; ``[line]`` where it fits.
    """
    if len(line) <= limit:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()))
    mode = black.Mode(line_length=limit - len(indent), target_versions=_TARGETS)
    is_head = line.endswith(":")
    text = black.format_str(line.lstrip() + (" pass" if is_head else ""), mode=mode)
    lines = text.rstrip("\n").split("\n")
    return [indent + part for part in (lines[:-1] if is_head else lines)]
