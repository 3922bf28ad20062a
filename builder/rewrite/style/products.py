"""Matrix products as Triton's documentation writes them."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from builder.rewrite.style.kinds import KindRewriter

if TYPE_CHECKING:
    from builder.rewrite.style.kinds import Kinds


def write_products(function: ast.FunctionDef, kinds: Kinds) -> None:
    """Names the precision of products of float32, and leaves out defaults; in place.

    ``allow_tf32`` is deprecated (``dot`` in Triton's ``core.py``): False is
    ``input_precision="ieee"``, which says nothing of other types.
    """
    _Products(kinds).run(function)


class _Products(KindRewriter):
    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        if ast.unparse(node.func) != "tl.dot":
            return node
        operands = {self.kind(item).dtype for item in node.args[:2]}
        node.keywords = [
            new for item in node.keywords if (new := _keyword(item, operands)) is not None
        ]
        return node


def _keyword(item: ast.keyword, operands: set[str | None]) -> ast.keyword | None:
    value = ast.unparse(item.value)
    if item.arg == "allow_tf32" and value in ("True", "False"):
        if operands <= {"fp16", "bf16", "i8"} or value == "True":
            return None if operands <= {"fp16", "bf16", "i8"} else _precision("tf32")
        return _precision("ieee")
    if item.arg == "out_dtype" and value == "tl.float32":
        return None
    return item


def _precision(name: str) -> ast.keyword:
    return ast.keyword("input_precision", ast.Constant(name))
