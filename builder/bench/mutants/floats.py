"""Which values of a kernel are float32: where a rounding to fewer bits can be planted."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from builder.bench.mutants.arguments import layouts
from builder.bench.mutants.source import Source, called, launched, launches, operand, statements

if TYPE_CHECKING:
    from collections.abc import Iterator

_GIVE_FLOATS = ("libdevice.", "tl.exp", "tl.log", "tl.sqrt", "tl.sigmoid", "tl.sin", "tl.cos")
_KEEP_TYPE = (
    "tl.broadcast_to", "tl.sum", "tl.max", "tl.min", "tl.abs", "tl.maximum", "tl.minimum",
    "maximum", "minimum", "reduce_max", "reduce_min", "tl.fma",
)  # fmt: skip
_FLOAT32 = "tl.float32"


def parameter_types(source: Source) -> dict[str, dict[str, str]]:
    """Kernel name to parameter name to the dtype (``torch.float32``) of what is passed there."""
    passed: dict[str, list[str]] = {}
    for function in source.host_functions:
        known = layouts(source, function)
        for call in source.launcher_calls(function):
            texts = [source.segment(item) for item in call.args]
            passed[called(call)] = [known.get(text, ("", ""))[1] for text in texts]
    return {
        launched(call): _by_parameter(source, launcher, call, passed.get(launcher.name, []))
        for launcher in source.launchers
        for call in launches(launcher)
    }


def _by_parameter(
    source: Source, launcher: ast.FunctionDef, call: ast.Call, types: list[str]
) -> dict[str, str]:
    given = dict(zip((item.arg for item in launcher.args.args), types, strict=False))
    kernel = source.functions[launched(call)]
    names = [item.arg for item in kernel.args.args]
    return {
        name: given[item.id]
        for name, item in zip(names, call.args, strict=False)
        if isinstance(item, ast.Name) and item.id in given
    }


def float32_values(source: Source, kernel: ast.FunctionDef) -> Iterator[ast.Assign]:
    """Assignments of a kernel whose value is float32, as far as the text shows."""
    inference = _Inference(parameter_types(source).get(kernel.name, {}))
    for statement in statements(kernel.body):
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            if inference.is_float32(statement.value):
                inference.known.add(name)
                yield statement
            elif isinstance(statement.value, ast.Name):
                inference.alias(name, statement.value.id)
            else:
                inference.known.discard(name)


class _Inference:
    """What is known to be float32 at a point of a kernel."""

    def __init__(self, parameters: dict[str, str]) -> None:
        self.parameters = dict(parameters)
        self.known: set[str] = set()

    def alias(self, name: str, of: str) -> None:
        if of in self.parameters:
            self.parameters[name] = self.parameters[of]

    def is_float32(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Name):
            return node.id in self.known
        if isinstance(node, ast.Subscript):
            return self.is_float32(node.value)
        if isinstance(node, ast.UnaryOp):
            return self.is_float32(node.operand)
        if isinstance(node, ast.BinOp):
            arithmetic = isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.Div))
            return arithmetic and (self.is_float32(node.left) or self.is_float32(node.right))
        return isinstance(node, ast.Call) and self._gives_float32(node)

    def _gives_float32(self, call: ast.Call) -> bool:
        name = called(call)
        if isinstance(call.func, ast.Attribute) and call.func.attr == "to":
            return bool(call.args) and ast.unparse(call.args[0]) == _FLOAT32
        if name == "tl.full":
            return ast.unparse(call.args[-1]) == _FLOAT32
        if name == "tl.load":
            return self.parameters.get(_base(operand(call, 0, "pointer"))) == "torch.float32"
        if name == "tl.where":
            return any(self.is_float32(item) for item in call.args[1:])
        if name.startswith(_GIVE_FLOATS):
            return any(self.is_float32(item) for item in call.args)
        return name in _KEEP_TYPE and self.is_float32(call.args[0])


def _base(node: ast.expr | None) -> str:
    """The leftmost name of a sum of a pointer and offsets."""
    while isinstance(node, ast.BinOp):
        node = node.left
    return node.id if isinstance(node, ast.Name) else ""
