"""Sizes that a kernel takes as 64-bit integers.

Triton makes a 32-bit parameter of each number that fits, and products of two sizes, a stride say,
then overflow where tensors have more than 2^31 elements.  Inductor declares the parameters' types
itself (``signature_of`` in ``torch/_inductor/codegen/triton_utils.py``), and guards against such
tensors where it indexes with 32 bits.
"""

from __future__ import annotations

import ast
import re

WIDE = "tl.int64"
_NUMEL = re.compile(r"[xyz]numel(_\d+)?|r\d_numel(_\d+)?")


def declare_wide(function: ast.FunctionDef) -> None:
    """Annotates the sizes of a kernel that indexes with 64 bits; before its decorators go."""
    wide = {name for name, kind in _signature(function).items() if kind == "i64"}
    if not (any(map(_NUMEL.fullmatch, wide)) or _is_wide_template(function)):
        return
    for item in function.args.args:
        if item.arg in wide and item.annotation is None:
            item.annotation = ast.parse(WIDE, mode="eval").body


def _signature(function: ast.FunctionDef) -> dict[str, str]:
    """The types that Inductor's decorator says the parameters have."""
    found: dict[str, str] = {}
    nodes = [node for item in function.decorator_list for node in ast.walk(item)]
    for node in nodes:
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "signature":
                    found |= ast.literal_eval(value)
    return found


def _is_wide_template(function: ast.FunctionDef) -> bool:
    lines = (ast.unparse(node) for node in function.body if isinstance(node, ast.AnnAssign))
    return any(line.startswith("INDEX_DTYPE") and line.endswith(WIDE) for line in lines)
