"""Changed operators, comparisons, functions and constants."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from builder.bench.mutants.registry import mutation
from builder.bench.mutants.source import Candidate, Source, called, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "+",
    ast.Div: "*",
    ast.FloorDiv: "%",
    ast.Mod: "//",
    ast.BitAnd: "|",
    ast.BitOr: "&",
    ast.BitXor: "|",
    ast.LShift: ">>",
    ast.RShift: "<<",
}
COMPARISONS: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Lt: ("<=", ">"),
    ast.LtE: ("<", ">="),
    ast.Gt: (">=", "<"),
    ast.GtE: (">", "<="),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
}
FUNCTIONS = {
    "tl.sum": "tl.max",
    "tl.max": "tl.min",
    "tl.min": "tl.max",
    "tl.maximum": "tl.minimum",
    "tl.minimum": "tl.maximum",
    "maximum": "tl.minimum",
    "minimum": "tl.maximum",
    "tl.argmax": "tl.argmin",
    "tl.argmin": "tl.argmax",
    "tl.abs": "-",
    "tl.sigmoid": "tl.exp",
    "tl.sqrt_rn": "tl.rsqrt",
    "tl.sqrt": "tl.rsqrt",
    "tl.rsqrt": "tl.sqrt",
    "tl.exp": "tl.exp2",
    "tl.exp2": "tl.exp",
    "tl.log": "tl.log2",
    "tl.log2": "tl.log",
    "tl.sin": "tl.cos",
    "tl.cos": "tl.sin",
    "libdevice.exp": "libdevice.exp2",
    "libdevice.exp2": "libdevice.exp",
    "libdevice.expm1": "libdevice.exp",
    "libdevice.log1p": "libdevice.log",
    "libdevice.log": "libdevice.log1p",
    "libdevice.log2": "libdevice.log",
    "libdevice.tanh": "libdevice.erf",
    "libdevice.erf": "libdevice.tanh",
    "libdevice.rsqrt": "libdevice.sqrt",
    "libdevice.sqrt": "libdevice.rsqrt",
    "libdevice.floor": "libdevice.ceil",
    "libdevice.ceil": "libdevice.floor",
    "libdevice.nearbyint": "libdevice.floor",
    "libdevice.rint": "libdevice.floor",
    "libdevice.sin": "libdevice.cos",
    "libdevice.cos": "libdevice.sin",
    "reduce_max": "tl.min",
    "reduce_min": "tl.max",
}


@mutation("changed operator")
def changed_arithmetic(source: Source) -> Iterator[Candidate]:
    """``a + b`` becomes ``a - b``, and so on."""
    for function in source.device_functions:
        for node in walk(function, ast.BinOp):
            sign = ARITHMETIC.get(type(node.op))
            if sign is None:
                continue
            text = f"({source.segment(node.left)}) {sign} ({source.segment(node.right)})"
            yield Candidate(function.name, node.lineno, (source.replace(node, f"({text})"),))


@mutation("changed operator")
def changed_comparison(source: Source) -> Iterator[Candidate]:
    """``a < b`` becomes ``a <= b`` or ``a > b``, and so on."""
    for function in source.device_functions:
        for node in walk(function, ast.Compare):
            left, right = source.segment(node.left), source.segment(node.comparators[0])
            for sign in COMPARISONS.get(type(node.ops[0]), ()):
                text = f"({left}) {sign} ({right})"
                yield Candidate(function.name, node.lineno, (source.replace(node, f"({text})"),))


@mutation("changed operator")
def changed_function(source: Source) -> Iterator[Candidate]:
    """``exp`` becomes ``exp2``, a sum a maximum, and so on."""
    for function in source.device_functions:
        for node in walk(function, ast.Call):
            other = FUNCTIONS.get(called(node))
            if other is not None:
                edits = (source.replace(node.func, other),)
                yield Candidate(function.name, node.lineno, edits)


@mutation("changed operator")
def dropped_negation(source: Source) -> Iterator[Candidate]:
    """``-x`` becomes ``x``, ``~x`` becomes ``x``."""
    for function in source.device_functions:
        for node in walk(function, ast.UnaryOp):
            if not isinstance(node.operand, ast.Constant):
                edits = (source.replace(node, f"({source.segment(node.operand)})"),)
                yield Candidate(function.name, node.lineno, edits)


@mutation("changed constant")
def changed_value_constant(source: Source) -> Iterator[Candidate]:
    """A floating constant is doubled, negated, moved by one or made zero."""
    for function in source.device_functions:
        for node in walk(function, ast.Constant):
            value = node.value
            if not isinstance(value, float) or _is_masked_value(node, function):
                continue
            others = (2.0 * value, -value, value + 1.0, 0.0, value * 1.0625)
            for other in dict.fromkeys(o for o in others if o != value):
                text = repr(other) if other >= 0 else f"({other!r})"
                yield Candidate(function.name, node.lineno, (source.replace(node, text),))


@mutation("changed constant")
def changed_integer_constant(source: Source) -> Iterator[Candidate]:
    """An integer in an expression moves by one."""
    for function in source.device_functions:
        for node in walk(function, ast.BinOp):
            for side in (node.left, node.right):
                if isinstance(side, ast.Constant) and type(side.value) is int:
                    for other in (side.value + 1, side.value - 1):
                        edits = (source.replace(side, f"({other})"),)
                        yield Candidate(function.name, node.lineno, edits)


def _is_masked_value(node: ast.Constant, function: ast.FunctionDef) -> bool:
    """Whether it is the ``other`` of a load, which ``changed_other`` changes."""
    calls = (call for call in walk(function, ast.Call) if called(call) == "tl.load")
    return any(item.value is node for call in calls for item in call.keywords)
