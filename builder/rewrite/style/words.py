"""Words for what expressions compute, to name temporaries by."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST = 20

_FUNCTIONS = {
    "exp": "exp", "exp2": "exp", "expm1": "expm1", "log": "log", "log1p": "log1p", "log2": "log",
    "sigmoid": "sigmoid", "tanh": "tanh", "erf": "erf", "sin": "sin", "cos": "cos", "pow": "power",
    "abs": "abs", "floor": "floor", "nearbyint": "rounded", "sqrt": "root", "sqrt_rn": "root",
    "rsqrt": "inverse_root", "div_rn": "ratio", "fma": "fused", "dot": "product",
}  # fmt: skip
_REDUCTIONS = {
    "sum": "sum", "max": "max", "min": "min", "reduce_max": "max", "reduce_min": "min",
    "cumsum": "running_sum", "sort_values": "sorted", "associative_scan": "scan",
}  # fmt: skip
COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Gt: "above", ast.GtE: "at_least", ast.Lt: "below", ast.LtE: "at_most", ast.Eq: "equals",
    ast.NotEq: "differs",
}  # fmt: skip


def words_for(node: ast.expr, names: Mapping[str, str]) -> str:
    """A name for a value; empty for a number.

    Args:
        node: what is computed.
        names: the new names of those in it.
    """
    if isinstance(node, ast.Name):
        return re.sub(r"_(ptr|acc)$", "", names.get(node.id, ""))
    if isinstance(node, ast.Subscript):
        return words_for(node.value, names)
    if isinstance(node, ast.UnaryOp):
        inner = words_for(node.operand, names)
        return inner and _joined("negative", inner) if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.BinOp):
        return _of_operation(node, names)
    if isinstance(node, ast.Compare):
        return _of_comparison(node, names)
    return _of_call(node, names) if isinstance(node, ast.Call) else ""


def _of_operation(node: ast.BinOp, names: Mapping[str, str]) -> str:
    left, right = words_for(node.left, names), words_for(node.right, names)
    one = left or right
    step = _STEPS.get(type(node.op), {}).keys() & _whole_numbers(node)
    if one and step:
        return prefixed(_STEPS[type(node.op)][step.pop()], one)
    if isinstance(node.op, ast.Mult):
        if ast.dump(node.left) == ast.dump(node.right):
            return _joined(one, "squared")
        return _pair(left, "times", right, "product") if left and right else _joined(one, "scaled")
    if isinstance(node.op, ast.Add):
        return _pair(left, "plus", right, "total") if left and right else one
    if isinstance(node.op, ast.Sub):
        if re.search(r"(^|_)(mean|max)$", right):
            return _joined(left, "centered")
        if not left:
            return _joined("one_minus", right)
        return _pair(left, "minus", right, "difference") if right else left
    if isinstance(node.op, ast.Div):
        return _of_quotient(left, right)
    if isinstance(node.op, (ast.BitAnd, ast.BitOr)):
        return "mask"
    return _joined(one, "index")


_STEPS: dict[type[ast.operator], dict[int, str]] = {
    ast.Add: {1: "next"}, ast.Sub: {1: "previous"}, ast.Mult: {2: "double"},
}  # fmt: skip


def _whole_numbers(node: ast.BinOp) -> set[int]:
    """The operands that are whole numbers, as those of indices are."""
    numbers = [getattr(item, "value", None) for item in (node.left, node.right)]
    return {item for item in numbers if type(item) is int}


def prefixed(prefix: str, word: str) -> str:
    """``new_weight``, but ``x_new``: a letter at the end looks like a counter."""
    return f"{prefix}_{word}" if len(word) > 1 else f"{word}_{prefix}"


def _of_quotient(left: str, right: str) -> str:
    if not right:
        if left.endswith("centered_squared_sum"):
            return _joined(left.removesuffix("_centered_squared_sum"), "variance")
        return re.sub(r"_sum$", "_mean", left) if left.endswith("_sum") else _joined(left, "scaled")
    if re.search(r"root|norm|std|scale|sum$", right):
        return _joined(left, "normalized") if left else _joined("inverse", right)
    return _pair(left, "over", right, "ratio") if left else _joined("inverse", right)


def _of_comparison(node: ast.Compare, names: Mapping[str, str]) -> str:
    left, right = words_for(node.left, names), words_for(node.comparators[0], names)
    verb = COMPARISONS.get(type(node.ops[0]), "is")
    if not right and ast.unparse(node.comparators[0]) in ("0", "0.0"):
        signs = {"above": "is_positive", "below": "is_negative", "at_least": "is_not_negative"}
        return _joined(left, signs.get(verb, "is_zero" if verb == "equals" else "is_not_zero"))
    return _pair(left, verb, right, "condition") if right else _joined(left, f"{verb}_limit")


def _of_call(node: ast.Call, names: Mapping[str, str]) -> str:
    function = node.func
    if isinstance(function, ast.Attribute) and function.attr in ("to", "broadcast_to", "reshape"):
        value = node.args[0] if ast.unparse(function.value) == "tl" else function.value
        return words_for(value, names)
    name = ast.unparse(function).rpartition(".")[2]
    given = [words_for(item, names) for item in node.args]
    inner = next(filter(None, given), "")
    if name in ("load", "cast", "max_contiguous", "multiple_of"):
        return _of_place(node.args[0], names) if name == "load" else inner
    if name in _REDUCTIONS:
        return _joined(re.sub(r"_masked$", "", inner), _REDUCTIONS[name])
    if name in ("maximum", "minimum"):
        return _of_extreme(name, node, given)
    if name == "where":
        chosen = next(filter(None, given[1:]), "")
        return chosen if not all(given[1:]) else "selected"
    if name in _FUNCTIONS:
        word = _FUNCTIONS[name]
        if word == "inverse_root" and re.search(r"variance$|squared_mean$", inner):
            return "rstd" if inner.endswith("variance") else "inverse_rms"
        is_suffix = word in ("root", "inverse_root", "abs", "rounded", "floor", "power", "ratio")
        return _joined(inner, word) if is_suffix else _joined(word, inner)
    if name in ("zeros", "full"):
        return "total"
    return name if name.isidentifier() else "value"


def _of_place(place: ast.expr, names: Mapping[str, str]) -> str:
    """A loaded value is called after the tensor."""
    for item in ast.walk(place):
        if isinstance(item, ast.Name) and names.get(item.id, "").endswith("_ptr"):
            return names[item.id].removesuffix("_ptr")
    return "value"


def _of_extreme(name: str, node: ast.Call, given: list[str]) -> str:
    if all(given):
        return "larger" if name == "maximum" else "smaller"
    inner = next(filter(None, given), "")
    is_zero = any(ast.unparse(item) in ("0", "0.0") for item in node.args)
    return _joined(inner, "relu" if is_zero and name == "maximum" else "clamped")


def _pair(left: str, verb: str, right: str, short: str) -> str:
    whole = f"{left}_{verb}_{right}"
    return whole if len(whole) <= LONGEST and whole.count("_") <= 4 else short


def _joined(first: str, second: str) -> str:
    """Two words; of a long one only what it is about."""
    if len(second) == 1:  # a letter at the end looks like a counter
        first, second = second, first
    whole = f"{first}_{second}".strip("_")
    if len(whole) <= LONGEST:
        return whole
    head, tail = first.split("_"), second.split("_")
    return "_".join([head[-1], *tail]) if len(tail) <= len(head) else "_".join([*head, tail[-1]])
