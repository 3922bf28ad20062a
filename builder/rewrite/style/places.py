"""Words for several loads of one tensor: which neighbour, which element, by which index."""

from __future__ import annotations

import ast
import re
from collections import Counter
from typing import TYPE_CHECKING

from builder.rewrite.style.inline import all_blocks, target_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
_ROWS = {1: ("",), 2: ("top", "bottom"), 3: ("top", "", "bottom")}
_COLS = {1: ("",), 2: ("left", "right"), 3: ("left", "", "right")}
Terms = tuple[tuple[str, int], ...]
"""A sum: factors by their text, the constant under the empty text."""


def ordinal(number: int) -> str:
    """``first`` for 0; ``place_12`` beyond the ninth."""
    return ORDINALS[number] if number < len(ORDINALS) else f"place_{number}"


def load_words(function: ast.FunctionDef) -> dict[str, str]:
    """For each name of a load, what comes before the tensor's name: ``top_left``, ``second``.

    Args:
        function: a kernel, before its names are given.
    """
    loads: dict[str, dict[str, Terms]] = {}
    defined = _definitions(function)
    for block in all_blocks(function):
        for statement in block:
            target = target_of(statement)
            place = _place(getattr(statement, "value", None))
            if target is not None and place is not None:
                base, offsets = _split(place)
                loads.setdefault(base, {})[target] = _terms(offsets, defined)
    words: dict[str, str] = {}
    for found in loads.values():
        if len(set(found.values())) > 1:
            words |= _positions(found)
    return words


def index_words(function: ast.FunctionDef) -> dict[str, tuple[str, ...]]:
    """The old names in the address of each load."""
    defined = _definitions(function)
    found: dict[str, tuple[str, ...]] = {}
    for block in all_blocks(function):
        for statement in block:
            target, place = target_of(statement), _place(getattr(statement, "value", None))
            if target is not None and place is not None:
                texts = [text for text, _ in _terms(_split(place)[1], defined)]
                names = re.findall(r"[A-Za-z_]\w*", " ".join(texts))
                found[target] = tuple(dict.fromkeys(names))
    return found


def _definitions(function: ast.FunctionDef) -> dict[str, ast.expr]:
    """Offsets that several loads share."""
    return {
        target: statement.value
        for block in all_blocks(function)
        for statement in block
        if isinstance(statement, ast.Assign)
        and (target := target_of(statement)) is not None
        and target.startswith("offsets__")
    }


def _place(value: ast.expr | None) -> ast.expr | None:
    """Where a statement loads from, whatever it casts the value to."""
    while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        if ast.unparse(value.func) == "tl.load":
            return value.args[0]
        value = value.func.value if value.func.attr == "to" else None
    return None


def _split(place: ast.expr) -> tuple[str, list[ast.expr]]:
    offsets: list[ast.expr] = []
    while isinstance(place, ast.BinOp):
        offsets.append(place.right)
        place = place.left
    return ast.unparse(place), offsets


def _terms(offsets: Sequence[ast.expr], defined: Mapping[str, ast.expr]) -> Terms:
    total: Counter[str] = Counter()
    for item in offsets:
        for text, factor in _summands(item, defined):
            total[text] += factor
    return tuple(sorted((text, factor) for text, factor in total.items() if factor))


def _summands(
    node: ast.expr, defined: Mapping[str, ast.expr], factor: int = 1
) -> Iterator[tuple[str, int]]:
    if isinstance(node, ast.Name) and node.id in defined:
        yield from _summands(defined[node.id], defined, factor)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
        yield from _summands(node.left, defined, factor)
        yield from _summands(
            node.right, defined, factor if isinstance(node.op, ast.Add) else -factor
        )
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield from _summands(node.operand, defined, -factor)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield "", factor * node.value
    elif (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Mult)
        and isinstance(node.left, ast.Constant)
        and isinstance(node.left.value, int)
    ):
        yield from _summands(node.right, defined, factor * node.left.value)
    else:
        yield ast.unparse(node), factor


def _positions(found: Mapping[str, Terms]) -> dict[str, str]:
    """The place of each load among its neighbours, where they differ by numbers of elements, or of
    elements and of lines of a width that has a name.
    """
    every = [dict(terms) for terms in found.values()]
    keys = {key for terms in every for key in terms}
    varying = {key for key in keys if len({terms.get(key, 0) for terms in every}) > 1}
    lines = sorted(varying - {""})
    if len(lines) > 1 or any(not re.fullmatch(r"ks\d+|\w*numel\w*", key) for key in lines):
        return {}
    width = lines[0] if lines else None
    places = {
        name: (dict(terms).get(width or "-", 0), dict(terms).get("", 0))
        for name, terms in found.items()
    }
    return _words_of(places if width else _folded(places))


def _folded(places: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """Lines of elements that lie next to each other, of what lies along one line."""
    values = sorted({value for _, value in places.values()})
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    lengths = {len(run) for run in runs}
    if len(runs) == 1 and len(values) in (9, 25, 49):
        side = int(len(values) ** 0.5)
        runs = [values[start : start + side] for start in range(0, len(values), side)]
    elif len(lengths) != 1 or lengths == {1}:
        runs = [values]
    where = {v: (y, x) for y, run in enumerate(runs) for x, v in enumerate(run)}
    return {name: where[value] for name, (_, value) in places.items()}


def _words_of(places: Mapping[str, tuple[int, int]]) -> dict[str, str]:
    lines = sorted({y for y, _ in places.values()})
    columns = sorted({x for _, x in places.values()})
    if len(lines) > len(ORDINALS) or len(columns) > len(ORDINALS):
        return {}
    if len(lines) == 1 or len(columns) == 1:
        along = lines if len(lines) > 1 else columns
        return {name: ORDINALS[along.index(at[len(lines) == 1])] for name, at in places.items()}
    name_of = _corner if max(len(lines), len(columns)) <= len(_ROWS) else _crossing
    return {
        name: name_of((lines.index(y), len(lines)), (columns.index(x), len(columns)))
        for name, (y, x) in places.items()
    }


def _corner(line: tuple[int, int], column: tuple[int, int]) -> str:
    """``top_left`` of the first of each, by place and count."""
    words = filter(None, (_ROWS[line[1]][line[0]], _COLS[column[1]][column[0]]))
    return "_".join(words) or "middle"


def _crossing(line: tuple[int, int], column: tuple[int, int]) -> str:
    return f"{ORDINALS[line[0]]}_line_{ORDINALS[column[0]]}"
