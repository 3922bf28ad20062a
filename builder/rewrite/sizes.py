"""Sizes in the new module: their names, how they are read, and what is asked of them."""

from __future__ import annotations

import ast
import copy
import re
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from builder.capture.sizes import Extent, Size, Sizes

_LONGEST_CHECK = 60
_MOST = re.compile(r"<= 2147483647\b")
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod)
_PRIMES = ((101, 103, 107, 109, 113, 127), (131, 137, 139, 149, 151, 157))
"""Sizes to compare expressions at; two that agree on both are taken to be equal."""


class SizeNames:
    """The names that the new module gives to the sizes of a capture.

    Args:
        sizes: of the capture.
        taken: names that others have.
        known: what the program calls the size of an input, by the input and the dimension.
    """

    def __init__(
        self,
        sizes: Sizes,
        taken: Iterable[str],
        known: Mapping[tuple[str, int], str] = MappingProxyType({}),
    ) -> None:
        self._sizes = sizes
        used = set(taken)
        self._names: dict[str, str] = {}
        for size in sizes.free:
            name = known.get((size.tensor, size.dim)) or _name(size.expression)
            while name in used:
                name += "_"
            used.add(name)
            self._names[size.name] = name

    def spelled(self) -> dict[str, ast.expr]:
        """Each symbol of Inductor's module."""
        return {name: self.renamed(text) for name, text in self._sizes.spelled}

    def renamed(self, text: str) -> ast.expr:
        """An expression of the capture in the module's own names."""
        tree = ast.parse(text, mode="eval").body
        return simplified(_Renamed(self._names).visit(tree))

    def text(self, extents: Sequence[Extent]) -> str:
        """A tuple of sizes or strides."""
        inner = ", ".join(ast.unparse(self.renamed(str(extent))) for extent in extents)
        return f"({inner},)" if len(extents) == 1 else f"({inner})"

    def reads(self) -> list[str]:
        """Statements that read the sizes from the inputs."""
        lines: list[str] = []
        for tensor, rank in dict.fromkeys((size.tensor, size.rank) for size in self._sizes.free):
            message = f"{tensor}: expected {rank} dimension" + "s" * (rank > 1)
            lines.append(f"if {tensor}.dim() != {rank}:\n    raise ValueError({message!r})")
        for tensor in dict.fromkeys(size.tensor for size in self._sizes.free):
            lines += self._read([size for size in self._sizes.free if size.tensor == tensor])
        return lines

    def _read(self, sizes: Sequence[Size]) -> list[str]:
        """Of one tensor; its first sizes at once."""
        names = [self._names[size.name] for size in sizes]
        if len(sizes) > 1 and [size.dim for size in sizes] == list(range(len(sizes))):
            part = "" if len(sizes) == sizes[0].rank else f"[:{len(sizes)}]"
            return [f"{', '.join(names)} = {sizes[0].tensor}.shape{part}"]
        return [f"{name} = {size.expression}" for name, size in zip(names, sizes, strict=True)]

    def checks(self) -> list[str]:
        """Statements that refuse sizes which the kernels were not made for."""
        conditions = [self.renamed(guard) for guard in self._sizes.guards]
        groups: list[list[ast.expr]] = []
        for condition in conditions:
            texts = [ast.unparse(item) for item in (*groups[-1], condition)] if groups else []
            if groups and len(" and ".join(texts)) <= _LONGEST_CHECK:
                groups[-1].append(condition)
            else:
                groups.append([condition])
        return [self._check(group) for group in groups]

    def _check(self, conditions: Sequence[ast.expr]) -> str:
        # Joined as text: ``ast.unparse`` puts the third operand of an ``and`` in parentheses.
        text = _MOST.sub(r"< 2**31", " and ".join(map(_operand, conditions)))
        read = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
        found = ", ".join(f"{{{name}=}}" for name in self._names.values() if name in read)
        test = f"not {text}" if len(conditions) == 1 else f"not ({text})"
        message = f'f"expected {text}, got {found}"'
        return f"if {test}:\n    raise ValueError({message})"


def _operand(condition: ast.expr) -> str:
    """A condition as ``not`` and ``and`` take it."""
    text = ast.unparse(condition)
    return f"({text})" if isinstance(condition, ast.BoolOp) else text


def _name(expression: str) -> str:
    owner, dim = expression.removesuffix("]").split(".shape[")
    return f"{re.sub(r'[^a-zA-Z0-9]+', '_', owner).strip('_')}_size{dim}"


class _Renamed(ast.NodeTransformer):
    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self._names.get(node.id, node.id), node.ctx)


def simplified(node: ast.expr) -> ast.expr:
    """The rounded-up quotients that Inductor writes out, as ``triton.cdiv``."""
    result: ast.expr = _CeilingDivisions().visit(copy.deepcopy(node))
    return result


class _CeilingDivisions(ast.NodeTransformer):
    """``(n + 31) // 32`` becomes ``triton.cdiv(n, 32)``."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        top, divisor = node.left, node.right
        if not isinstance(node.op, ast.FloorDiv) or not isinstance(divisor, ast.Constant):
            return node
        less = ast.dump(ast.Constant(int(ast.unparse(divisor)) - 1))
        if not isinstance(top, ast.BinOp) or not isinstance(top.op, ast.Add):
            return node
        for one, other in ((top.left, top.right), (top.right, top.left)):
            if ast.dump(one) == less:
                cdiv = ast.Attribute(ast.Name("triton", ast.Load()), "cdiv", ast.Load())
                return ast.Call(cdiv, [other, divisor], [])
        return node


def are_equal(one: Sequence[ast.expr], other: Sequence[ast.expr]) -> bool:
    """Whether two tuples of sizes are the same for all sizes, as far as samples show."""
    names = sorted({n.id for e in (*one, *other) for n in ast.walk(e) if isinstance(n, ast.Name)})
    names = [name for name in names if name not in ("min", "max", "triton")]
    if len(names) > len(_PRIMES[0]):
        return False
    samples = [dict(zip(names, primes, strict=False)) for primes in _PRIMES]
    return len(one) == len(other) and all(
        _evaluate(a, sample) == _evaluate(b, sample)
        for sample in samples
        for a, b in zip(one, other, strict=True)
    )


def contiguous_strides(size: Sequence[ast.expr]) -> list[ast.expr]:
    """Strides, in elements, of a dense row-major tensor; a size of 0 counts as 1."""
    strides: list[ast.expr] = []
    step: ast.expr = ast.Constant(1)
    for extent in reversed(size):
        strides.append(step)
        if not (isinstance(extent, ast.Constant) and extent.value in (0, 1)):
            step = ast.BinOp(step, ast.Mult(), extent)
    return strides[::-1]


def _evaluate(node: ast.expr, sizes: Mapping[str, int]) -> int:
    scope = {"__builtins__": {}, "min": min, "max": max, "triton": _Triton}
    return int(eval(ast.unparse(node), scope, dict(sizes)))  # noqa: S307 - our own expression


class _Triton:
    @staticmethod
    def cdiv(numerator: int, divisor: int) -> int:
        return -(-numerator // divisor)


def is_size(node: ast.expr, names: Iterable[str]) -> bool:
    """Whether an expression of Inductor's is integer arithmetic over known sizes."""
    if isinstance(node, ast.Name):
        return node.id in names
    if isinstance(node, ast.Constant):
        return type(node.value) is int
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub) and is_size(node.operand, names)
    if isinstance(node, ast.BinOp):
        known = isinstance(node.op, _OPERATORS)
        return known and is_size(node.left, names) and is_size(node.right, names)
    if isinstance(node, ast.Call):
        is_extreme = ast.unparse(node.func) in ("min", "max") and not node.keywords
        return is_extreme and all(is_size(item, names) for item in node.args)
    return False
