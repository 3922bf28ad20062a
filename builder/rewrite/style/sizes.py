"""Sizes and strides in the arithmetic of indices, by name."""

from __future__ import annotations

import ast
import itertools
import math
from typing import TYPE_CHECKING

from builder.rewrite.style.inline import target_of
from builder.rewrite.style.places import ORDINALS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LEAST = 4
"""Smaller numbers say what they are: a neighbour, a pair, a half."""

_PLURALS = {
    "inner": "INNER_SIZE", "offsets": "NUM_ELEMENTS", "batch": "BATCHES", "y": "HEIGHT",
    "x": "WIDTH",
}  # fmt: skip
_ACCESSES = ("tl.load", "tl.store", "tl.atomic_add")


def name_sizes(function: ast.FunctionDef, sizes: Mapping[int, str]) -> None:
    """Gives the numbers in a named kernel's index arithmetic names, in place.

    Args:
        function: a kernel whose names are given.
        sizes: what the program calls them, by the number.
    """
    namer = _Sizes(function, sizes)
    namer.learn()  # from what the kernel says itself, first
    namer.visit(function)
    constants = [_declared(name, value) for value, name in namer.used.items()]
    place = 1 if ast.get_docstring(function) is not None else 0
    function.body[place:place] = constants


def _declared(name: str, value: int) -> ast.stmt:
    return ast.parse(f"{name}: tl.constexpr = {value}").body[0]


class _Sizes(ast.NodeTransformer):
    def __init__(self, function: ast.FunctionDef, sizes: Mapping[int, str]) -> None:
        self._function = function
        self._taken = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
        self._taken |= {item.arg for item in function.args.args}
        self._known: dict[int, str] = {}
        self._program = {value: name.upper() for value, name in sizes.items() if value >= _LEAST}
        self._blocks = _constants(function)
        self.used: dict[int, str] = {}
        self._own: set[str] = set()
        self._depth = 0

    def learn(self) -> None:
        """Names the extents that the kernel itself compares with and divides by."""
        for name, value in _constants(self._function).items():
            if (name.isupper() and not name.startswith("BLOCK_")) or name.startswith("num_"):
                self._know(value, name)
        for node in ast.walk(self._function):
            for index, extent in _extents(node):
                self._learn(extent, index)

    def _know(self, value: int, name: str) -> None:
        if value >= _LEAST and name.isidentifier():
            self._known.setdefault(value, name)
            self._own.add(name)

    def _learn(self, value: int, index: str) -> None:
        if value < _LEAST or value in self._known:
            return
        plural = _PLURALS.get(index) or f"{index.upper()}S"
        name = self._program.get(value) or plural
        if name in self._taken:
            choices = [f"{word.upper()}_{plural}" for word in ORDINALS[1:]]
            choices = choices if plural.startswith("NUM_") else [f"NUM_{plural}", *choices]
            name = next((item for item in choices if item not in self._taken), name)
        if name not in self._taken:
            self._taken.add(name)
            self._known[value] = name

    def visit_Call(self, node: ast.Call) -> ast.Call:
        if ast.unparse(node.func) in _ACCESSES and node.args:
            self._depth += 1
            node.args[0] = self.visit(node.args[0])
            self._depth -= 1
            node.args[1:] = [self.visit(item) for item in node.args[1:]]
            for keyword in node.keywords:
                keyword.value = self.visit(keyword.value)
            return node
        self.generic_visit(node)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        is_index = _is_index(node.value) or ast.unparse(node.targets[0]).startswith("offsets")
        self._depth += is_index
        node.value = self.visit(node.value)
        self._depth -= is_index
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AnnAssign:
        return node  # a constant itself

    def visit_Compare(self, node: ast.Compare) -> ast.Compare:
        is_extent = any(True for _ in _extents(node))
        self._depth += is_extent
        self.generic_visit(node)
        self._depth -= is_extent
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.BinOp:
        if self._depth and isinstance(node.op, ast.Mult):
            for one, other in ((node.left, node.right), (node.right, node.left)):
                if isinstance(one, ast.Constant) and type(one.value) is int:
                    self._learn_stride(one.value, other)
        elif self._depth and isinstance(node.op, (ast.Mod, ast.FloorDiv)):
            value = getattr(node.right, "value", None)
            if type(value) is int and self._product(value) is None:
                self._learn(value, "inner")
        self.generic_visit(node)
        return node

    def _learn_stride(self, value: int, index: ast.expr) -> None:
        while isinstance(index, ast.Subscript):
            index = index.value
        if value < _LEAST or value in self._known or self._product(value) is not None:
            return
        if isinstance(index, ast.Name) and not index.id.isupper():
            name = self._program.get(value) or f"{index.id.upper()}_STRIDE"
            if name not in self._taken:
                self._taken.add(name)
                self._known[value] = name

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if not self._depth or type(node.value) is not int or node.value < _LEAST:
            return node
        if node.value in self._known:
            return self._name(node.value)
        product = self._product(node.value)
        if product is None:
            return node
        result: ast.expr = self._name(product[0])
        for factor in product[1:]:
            result = ast.BinOp(result, ast.Mult(), self._name(factor))
        return result

    def _name(self, value: int) -> ast.Name:
        name = self._known[value]
        if self._blocks.get(name) != value and name not in self._own:
            self.used.setdefault(value, name)
        return ast.Name(name, ast.Load())

    def _product(self, value: int) -> tuple[int, ...] | None:
        """Two or three known sizes whose product it is."""
        for count in (2, 3):
            for factors in itertools.combinations_with_replacement(sorted(self._known), count):
                if math.prod(factors) == value:
                    return factors
        return None


def _constants(function: ast.FunctionDef) -> dict[str, int]:
    """Numbers that have a name at the top of a function."""
    found: dict[str, int] = {}
    for item in function.body:
        name, value = target_of(item), getattr(item, "value", None)
        if name and isinstance(value, ast.Constant) and type(value.value) is int:
            found[name] = value.value
    return found


def _is_index(value: ast.expr) -> bool:
    """``offsets // 64 % 8`` and its like."""
    operations = [n.op for n in ast.walk(value) if isinstance(n, ast.BinOp)]
    calls = any(isinstance(n, ast.Call) for n in ast.walk(value))
    return not calls and any(isinstance(op, (ast.Mod, ast.FloorDiv)) for op in operations)


def _extents(node: ast.AST) -> Iterator[tuple[str, int]]:
    """An index, and the number that it stays below: ``row < 56``, ``col = offsets % 64``."""
    found: tuple[ast.expr, ast.expr] | None = None
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Lt):
        found = node.left, node.comparators[0]
    elif isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp):
        found = (node.targets[0], node.value.right) if isinstance(node.value.op, ast.Mod) else None
    if found is not None and isinstance(found[0], ast.Name):
        bound = getattr(found[1], "value", None)
        if type(bound) is int:
            yield found[0].id, bound
