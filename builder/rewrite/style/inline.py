"""Temporaries that are read once are written where they are read."""

from __future__ import annotations

import ast
from collections import Counter
from typing import TYPE_CHECKING

from builder.rewrite.unread import loaded_names

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_OPERATIONS = 7
"""In one expression; longer ones are hard to read."""
_LONGEST = 84

_IMPURE = frozenset(
    {"load", "store", "atomic_add", "atomic_max", "atomic_min", "atomic_cas", "atomic_xchg"}
)
_WHOLE = frozenset(
    {"sum", "max", "min", "reduce_max", "reduce_min", "dot", "associative_scan", "cumsum"}
)
"""Calls that deserve a line of their own."""


def inline_temporaries(function: ast.FunctionDef) -> None:
    """Works in place.

    A temporary moves to its only reader if it loads nothing, is not read in a loop below its
    definition, and nothing in between changes what it is made of.

    Args:
        function: a kernel.
    """
    stores, reads = stores_of(function), reads_of(function)
    for block in all_blocks(function):
        _inline_in(block, stores, reads)


def drop_unread(function: ast.FunctionDef) -> None:
    """Removes assignments that nothing reads, in loops, too, and branches that do nothing.

    Works in place.
    """
    for node in ast.walk(function):
        if isinstance(node, ast.If) and all(isinstance(item, ast.Pass) for item in node.orelse):
            node.orelse = []
    while True:
        used = loaded_names(function)
        dropped = [_drop_from(block, used) for block in all_blocks(function)]
        if not any(dropped):
            return


def substitute(node: ast.AST, values: dict[str, ast.expr]) -> None:
    """Writes values in the place of names that are read, in place."""
    _Substitute(values).visit(node)


def all_blocks(function: ast.FunctionDef) -> list[list[ast.stmt]]:
    """All lists of statements of a function."""
    found: list[list[ast.stmt]] = []
    pending: list[list[ast.stmt]] = [function.body]
    while pending:
        block = pending.pop()
        found.append(block)
        for statement in block:
            pending += [
                inner for field in ("body", "orelse") if (inner := getattr(statement, field, None))
            ]
    return found


def _drop_from(block: list[ast.stmt], used: set[str]) -> bool:
    kept = [
        statement
        for statement in block
        if (target := target_of(statement)) is None or target in used or not _is_pure(statement)
    ]
    changed = len(kept) < len(block) and bool(kept)
    if changed:
        block[:] = kept
    return changed


def target_of(statement: ast.stmt) -> str | None:
    """The one name that a statement assigns."""
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return statement.target.id
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id
    return None


def _is_pure(node: ast.AST) -> bool:
    """Whether evaluating it writes nothing, which may be left out; a load may be, too."""
    return not any(
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in _IMPURE - {"load"}
        for call in ast.walk(node)
    )


def stores_of(node: ast.AST) -> Counter[str]:
    """How often each name is assigned; a parameter is, by the caller."""
    names = [
        item.id
        for item in ast.walk(node)
        if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store)
    ]
    return Counter([*names, *(item.arg for item in ast.walk(node) if isinstance(item, ast.arg))])


def reads_of(node: ast.AST) -> Counter[str]:
    """How often each name is read."""
    return Counter(
        item.id
        for item in ast.walk(node)
        if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Load)
    )


def copy_names(function: ast.FunctionDef) -> None:
    """``x3 = xindex``: the name itself is read, where neither ever changes; in place."""
    stores = stores_of(function)
    renamed: dict[str, ast.expr] = {}
    for block in all_blocks(function):
        for statement in block:
            target = target_of(statement)
            if target is None or stores[target] != 1:
                continue
            value = getattr(statement, "value", None)
            if isinstance(value, ast.Name) and stores[value.id] == 1:
                renamed[target] = value
    renamed |= _copies_in_loops(function, stores)
    _Substitute(renamed).visit(function)


def _copies_in_loops(function: ast.FunctionDef, stores: Counter[str]) -> dict[str, ast.expr]:
    """Names that are given the same other name wherever that is assigned."""
    values: dict[str, list[tuple[int, str]]] = {}
    assigned: dict[str, list[int]] = {}
    for number, block in enumerate(all_blocks(function)):
        for statement in block:
            target, value = target_of(statement), getattr(statement, "value", None)
            if target is not None:
                assigned.setdefault(target, []).append(number)
            if target is not None and isinstance(value, ast.Name):
                values.setdefault(target, []).append((number, value.id))
    found: dict[str, ast.expr] = {}
    for target, copies in values.items():
        names = {name for _, name in copies}
        source = min(names)
        places = [number for number, _ in copies]
        is_same = len(names) == 1 and len(copies) == stores[target] == stores[source]
        if is_same and stores[target] > 1 and places == assigned.get(source):
            found[target] = ast.Name(source, ast.Load())
    return found


class _Substitute(ast.NodeTransformer):
    def __init__(self, values: dict[str, ast.expr]) -> None:
        self._values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        value = self._values.get(node.id) if isinstance(node.ctx, ast.Load) else None
        while isinstance(value, ast.Name) and value.id in self._values:
            value = self._values[value.id]
        return node if value is None else value


class _Line:
    """A statement of a block with what is asked of it again and again."""

    def __init__(self, statement: ast.stmt) -> None:
        self.statement = statement
        self.reads = reads_of(statement)
        self.stored = {
            node.id
            for node in ast.walk(statement)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        self.weight = _weight(statement)
        self.length = len(ast.unparse(statement))
        self.is_block = hasattr(statement, "body")

    def take(self, other: _Line, target: str) -> None:
        """Reads another line's value in the place of its target."""
        assert isinstance(other.statement, ast.Assign)
        _Substitute({target: other.statement.value}).visit(self.statement)
        self.reads = self.reads + other.reads
        del self.reads[target]
        self.weight += other.weight
        self.length += other.length - 2 * len(target)


def _inline_in(block: list[ast.stmt], stores: Counter[str], reads: Counter[str]) -> None:
    lines = [_Line(statement) for statement in block]
    gone: set[int] = set()
    for index, line in enumerate(lines):
        target = target_of(line.statement)
        if target is None or not isinstance(line.statement, ast.Assign):
            continue
        if stores[target] != 1 or reads[target] != 1 or not is_movable(line.statement.value):
            continue
        if _is_mean(line.statement.value, lines[:index]):
            continue
        place = _reader(lines, index, target)
        if place is not None and _fits(lines[place], line):
            lines[place].take(line, target)
            gone.add(index)
    block[:] = [line.statement for index, line in enumerate(lines) if index not in gone]


def _is_mean(value: ast.expr, before: Sequence[_Line]) -> bool:
    """Whether a value is a sum over a number, which deserves its name."""
    if not isinstance(value, ast.BinOp) or not isinstance(value.op, ast.Div):
        return False
    if not isinstance(value.left, ast.Name) or not isinstance(value.right, ast.Constant):
        return False
    name = value.left.id
    return any(
        target_of(line.statement) == name and "tl.sum(" in ast.unparse(line.statement)
        for line in before
    )


def is_movable(value: ast.expr, *, whole: bool = False) -> bool:
    """Whether a value may be computed elsewhere: loads stay where they are.

    Args:
        value: an expression.
        whole: so may what works on a whole block, which otherwise has a line of its own.
    """
    calls = [node.func for node in ast.walk(value) if isinstance(node, ast.Call)]
    names = {call.attr if isinstance(call, ast.Attribute) else ast.unparse(call) for call in calls}
    return not names & (_IMPURE if whole else _IMPURE | _WHOLE)


def _reader(lines: Sequence[_Line], index: int, target: str) -> int | None:
    """The statement of the same block that reads the target; None if it may not move there."""
    made_of = set(lines[index].reads)
    for place in range(index + 1, len(lines)):
        if lines[place].reads[target]:
            return None if lines[place].is_block else place
        if lines[place].stored & made_of:
            return None
    return None


def _fits(reader: _Line, line: _Line) -> bool:
    return reader.weight + line.weight <= MOST_OPERATIONS and (
        reader.length + line.length <= _LONGEST
    )


def _weight(node: ast.AST) -> int:
    kinds = (ast.BinOp, ast.Call, ast.Compare, ast.UnaryOp)
    return sum(isinstance(item, kinds) for item in ast.walk(node))
