"""Library functions by the names that ``triton.language`` has for them."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from builder.rewrite.style.kinds import KindRewriter

if TYPE_CHECKING:
    from builder.rewrite.style.kinds import Kinds

_SAME = frozenset({"ceil", "cos", "erf", "floor", "log", "log2", "rsqrt", "sin"})
"""What ``tl`` lowers to the same device function for float32 on NVIDIA and AMD.

Not ``exp``, which ``tl`` approximates (``ex2.approx``) where the library is exact to two ulp, nor
``sqrt``.  A kernel without library functions also runs under ``TRITON_INTERPRET=1``.
"""


def name_functions(function: ast.FunctionDef, kinds: Kinds) -> None:
    """``libdevice.rsqrt(x)`` becomes ``tl.rsqrt(x)``, in place.

    Args:
        function: a kernel.
        kinds: of its parameters.
    """
    _Functions(kinds).run(function)


class _Functions(KindRewriter):
    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        owner, _, name = ast.unparse(node.func).rpartition(".")
        if owner == "libdevice" and name in _SAME and self.kind(node.args[0]).dtype == "fp32":
            node.func = ast.parse(f"tl.{name}", mode="eval").body
        return node
