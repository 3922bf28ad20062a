"""Sizes that a kernel takes as 64-bit integers.

Triton makes a 32-bit parameter of each argument that fits, and products of two sizes, a stride
say, then overflow where the tensors have more than 2^31 elements.  Inductor declares the parameters'
types itself (``signature_of`` in ``torch/_inductor/codegen/triton_utils.py``).
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDE = "tl.int64"


def declare_wide(function: ast.FunctionDef) -> None:
    """Annotates the parameters that Inductor declares as ``i64``; before decorators are dropped."""
    wide = set(_declared_wide(function))
    for item in function.args.args:
        if item.arg in wide and item.annotation is None:
            item.annotation = ast.parse(WIDE, mode="eval").body


def _declared_wide(function: ast.FunctionDef) -> Iterator[str]:
    for decorator in function.decorator_list:
        for node in ast.walk(decorator):
            if isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if _text(key) == "signature" and isinstance(value, ast.Dict):
                        yield from _wide_names(value)


def _wide_names(signature: ast.Dict) -> Iterator[str]:
    for name, kind in zip(signature.keys, signature.values, strict=True):
        if _text(kind) == "i64":
            yield _text(name)


def _text(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
