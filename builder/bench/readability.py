"""Figures of a Triton file's text: is it standalone, short, and named by people."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from dataclasses import dataclass

from builder.dataset.tokens import count_tokens

LEFTOVER = re.compile(
    r"_?tmp\d+|in_ptr\d+|out_ptr\d+|in_out_ptr\d+|buf\d+|primals_\d+|arg\d+_\d+|xindex|r0_\d+"
)
"""Identifiers that a compiler gives."""

_COUNTER = re.compile(r".*(\d|_[b-z])")
"""A letter at the end counts, too: ``total_b`` is the second ``total``."""
_KNOWN = re.compile(r"m2|log1p|log2|exp2|atan2|int8|beta1|beta2")
"""Names that end in a number which counts nothing: functions, types, Adam's constants."""
_IMPORTS = {"torch", "triton", "math", "typing"}
_FOREIGN = ("_inductor", "extern_kernels", "async_compile", "reinterpret_tensor", "raw_stream")
_LAYOUT = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENDMARKER, tokenize.ENCODING,
}  # fmt: skip


@dataclass(frozen=True)
class Readability:
    """Of a text.

    Attributes:
        standalone: it imports torch, triton, math and typing only, and uses nothing of Inductor's.
        lines: without blanks, comments and docstrings.
        tokens: of Python's tokenizer.
        leftover: identifiers that a compiler gave.
        identifiers: different names that it binds.
        counters: those of them that end in a counter.
    """

    standalone: bool
    lines: int
    tokens: int
    leftover: tuple[str, ...]
    identifiers: int
    counters: tuple[str, ...]


def readability(text: str) -> Readability:
    """Measures a Triton file.

    Raises:
        SyntaxError: the text is no Python.
    """
    tree = ast.parse(text)
    names = bound_names(tree)
    every = names | {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return Readability(
        standalone=_is_standalone(tree, text),
        lines=code_lines(text),
        tokens=count_tokens(text),
        leftover=tuple(sorted(name for name in every if LEFTOVER.fullmatch(name))),
        identifiers=len(names),
        counters=tuple(sorted(name for name in names if _is_counter(name))),
    )


def _is_counter(name: str) -> bool:
    return bool(_COUNTER.fullmatch(name)) and not _KNOWN.fullmatch(name)


def bound_names(tree: ast.AST) -> set[str]:
    """What a text gives names to: functions, parameters, variables."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def _is_standalone(tree: ast.Module, text: str) -> bool:
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add((node.module or "").split(".")[0])
    return modules <= _IMPORTS and not any(word in text for word in _FOREIGN)


def code_lines(text: str) -> int:
    """Lines that hold a token of code; a docstring is none."""
    docstrings = _docstring_lines(ast.parse(text))
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def _docstring_lines(tree: ast.Module) -> set[int]:
    lines: set[int] = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                lines.update(range(value.lineno, (value.end_lineno or value.lineno) + 1))
    return lines
