"""What tells a value from another that would be called alike: its operands, its type, its use."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from builder.rewrite.style.words import COMPARISONS, prefixed, words_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TYPES = {
    "float64": "double", "float32": "float", "float16": "half", "bfloat16": "half",
    "int64": "long", "int32": "int", "int16": "short", "int8": "byte", "int1": "flag",
    "uint8": "byte", "uint16": "short", "uint32": "bits", "uint64": "long_bits",
}  # fmt: skip
_VERBS: dict[type[ast.operator], str] = {
    ast.Add: "plus", ast.Sub: "minus", ast.Mult: "times", ast.Div: "over", ast.FloorDiv: "over",
    ast.Mod: "modulo", ast.BitAnd: "and", ast.BitOr: "or", ast.BitXor: "xor",
}  # fmt: skip
_FILLS = {"0": "zero", "0.0": "zero", "False": "zero", "float('-inf')": "lowest",
          "float('inf')": "highest", "1": "one", "1.0": "one"}  # fmt: skip


def distinctions(value: ast.expr, word: str, names: Mapping[str, str]) -> Iterator[str]:
    """Other names for a value, the plainest first.

    Args:
        value: what is computed.
        word: the name that another value has.
        names: the new names of those in it.
    """
    if isinstance(value, ast.Call):
        yield from _of_call(value, word, names)
    elif isinstance(value, ast.Subscript):
        yield f"{word}_{_spread(value)}"
    elif isinstance(value, ast.UnaryOp):
        yield f"negative_{word}" if isinstance(value.op, ast.USub) else f"not_{word}"
    elif isinstance(value, ast.Compare):
        verb = COMPARISONS.get(type(value.ops[0]), "is")
        yield from _pairs(value.left, verb, value.comparators[0], names)
    elif isinstance(value, ast.BinOp):
        yield from _of_operation(value, word, names)


def _of_operation(value: ast.BinOp, word: str, names: Mapping[str, str]) -> Iterator[str]:
    if isinstance(value.op, ast.BitAnd):
        yield from _mask_words(value, names)
    number = next(
        (item.value for item in (value.left, value.right) if isinstance(item, ast.Constant)), None
    )
    if number is None:
        yield from _pairs(value.left, _VERBS.get(type(value.op), "with"), value.right, names)
    if number == 1 and isinstance(value.op, (ast.Add, ast.Sub)):
        yield prefixed("next" if isinstance(value.op, ast.Add) else "previous", word)
    if number == 0.5 and isinstance(value.op, ast.Mult):
        yield prefixed("half", word)
    kinds = {ast.Mult: "scaled", ast.Div: "scaled", ast.Add: "shifted", ast.Sub: "shifted"}
    if number is not None and type(value.op) in kinds:
        yield f"{word}_{kinds[type(value.op)]}"


def _mask_words(value: ast.expr, names: Mapping[str, str]) -> Iterator[str]:
    """``row_col_mask`` of ``(row < rows) & col_mask``."""
    subjects: dict[str, None] = {}
    for part in _conjuncts(value):
        word = _CONDITION.sub("", words_for(_subject(part), names))
        if word and word != "mask":
            subjects.setdefault(word)
    listed = list(subjects)
    for count in range(min(1, len(listed)), len(listed) + 1):
        if count:
            yield f"{'_'.join(listed[:count])}_mask"
    if len(listed) > 1:
        yield f"{listed[0]}_{listed[-1]}_mask"


_CONDITION = re.compile(r"_(mask|is_\w+|(below|above|at_most|at_least)_\w+)$")


def _subject(part: ast.expr) -> ast.expr:
    """What a condition is about."""
    while isinstance(part, ast.Subscript):
        part = part.value
    if not isinstance(part, ast.Compare):
        return part
    return part.comparators[0] if isinstance(part.left, ast.Constant) else part.left


def _conjuncts(value: ast.expr) -> Iterator[ast.expr]:
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitAnd):
        yield from _conjuncts(value.left)
        yield from _conjuncts(value.right)
    else:
        yield value


def _of_call(value: ast.Call, word: str, names: Mapping[str, str]) -> Iterator[str]:
    function, name = value.func, ast.unparse(value.func).rpartition(".")[2]
    args = value.args
    if name in ("to", "cast") and args:
        inner = args[0] if name == "cast" else getattr(function, "value", args[0])
        yield from _cast_words(inner, ast.unparse(args[-1]).rpartition(".")[2], word, names)
    elif name in ("broadcast_to", "reshape", "expand_dims"):
        yield f"{word}_block"
    elif name == "where" and len(args) == 3:
        yield from _choices(args[1], args[2], word, names)
    else:
        found = [item for item in (_tail(arg, names) for arg in args) if item]
        for given in found:
            if given != word:
                yield f"{name}_of_{given}" if name.isidentifier() else f"{word}_of_{given}"
        if len(found) > 1:
            yield f"{name}_of_{found[0]}_and_{found[1]}"


def _cast_words(inner: ast.expr, dtype: str, word: str, names: Mapping[str, str]) -> Iterator[str]:
    if not isinstance(inner, ast.Name):
        yield from distinctions(inner, word, names)
    if dtype in _TYPES:
        yield f"{word}_{_TYPES[dtype]}"


def _choices(one: ast.expr, other: ast.expr, word: str, names: Mapping[str, str]) -> Iterator[str]:
    """``x_or_zero`` of ``tl.where(condition, x, 0.0)``."""
    for first, second in ((one, other), (other, one)):
        fill = _FILLS.get(ast.unparse(second))
        chosen = _tail(first, names)
        if fill is not None and chosen:
            yield f"{chosen}_or_{fill}"
            yield f"{words_for(first, names)}_or_{fill}"
            return
    left, right = _tail(one, names), _tail(other, names)
    if left and right:
        yield f"{left}_or_{right}"
    yield f"chosen_{word}" if not word.startswith("selected") else f"chosen_{left or right}"


def _pairs(left: ast.expr, verb: str, right: ast.expr, names: Mapping[str, str]) -> Iterator[str]:
    whole = words_for(left, names), words_for(right, names)
    short = _tail(left, names), _tail(right, names)
    for first, second in ((whole[0], short[1]), (short[0], whole[1]), short, whole):
        if first and second:
            yield f"{first}_{verb}_{second}"
    if short[0] and not whole[1]:
        yield f"{short[0]}_{verb}_{_number(right)}"


def _number(node: ast.expr) -> str:
    return "one" if ast.unparse(node) in ("1", "1.0") else "limit"


def _tail(node: ast.expr, names: Mapping[str, str]) -> str:
    """What a long name is about: its last word, with the one before it where that is needed."""
    words = words_for(node, names).split("_")
    last = words[-1]
    needs_more = len(words) > 1 and last in _VAGUE
    return "_".join(words[-2:]) if needs_more else last


_VAGUE = frozenset(
    {"scaled", "sum", "max", "min", "mean", "mask", "squared", "index", "root", "power", "relu",
     "positive", "zero", "centered", "normalized", "abs", "rounded", "int", "float", "long"}
)  # fmt: skip


def _spread(value: ast.Subscript) -> str:
    """``[:, None]`` makes a column of a vector, ``[None, :]`` a row."""
    return "column" if re.search(r": *, *None", ast.unparse(value.slice)) else "line"
