"""The module's text, formatted."""

from __future__ import annotations

import re

import black

from builder.rewrite.style.docs import comments_written
from builder.rewrite.style.grouping import grouped

WIDTH = 100

_NAMED_VALUE = re.compile(r"\b(\w+)=\{\1!r\}")
"""What becomes of ``{n=}`` on its way through a syntax tree."""
_MESSAGE = re.compile(r'( +)(f"expected .*, )(got .*")')
_CONDITIONS = re.compile(r" +if not \(.+ and .+\):")
_ENCLOSED = re.compile(r"(?<= and )\(((?:(?! or )[^()])+ [<>=!]+ (?:(?! or )[^()])+)\)")
"""A third operand of ``and``, a comparison, which ``ast.unparse`` puts in parentheses."""
_MODE = black.Mode(line_length=WIDTH, target_versions={black.TargetVersion.PY310})


def laid_out(text: str) -> str:
    """Formats a module, at most ``WIDTH`` columns where its expressions can be split."""
    text = _NAMED_VALUE.sub(r"{\1=}", comments_written(text))
    text = _CONDITIONS.sub(lambda test: _ENCLOSED.sub(r"\1", test[0]), text)
    lines = grouped(black.format_str(text, mode=_MODE), WIDTH).splitlines()
    return "".join(
        f"{_MESSAGE.sub(_in_two, line) if len(line) > WIDTH else line}\n" for line in lines
    )


def _in_two(message: re.Match[str]) -> str:
    indent, first, last = message.groups()
    return f'{indent}{first}"\n{indent}f"{last}'
