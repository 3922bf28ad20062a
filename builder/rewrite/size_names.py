"""What a program calls the sizes of its inputs: ``batch`` of ``torch.randn(batch, seq, 64)``."""

from __future__ import annotations

import ast
import keyword
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FACTORIES = ("empty", "full", "normal", "ones", "rand", "randint", "randn", "randperm", "zeros")


def size_names(python_code: str, inputs: Sequence[str]) -> dict[tuple[str, int], str]:
    """Names of the inputs' sizes, where ``get_inputs`` calls a function of sizes.

    Args:
        python_code: the program.
        inputs: ``forward``'s parameters, in the order of the inputs.

    Returns:
        by input and dimension; empty where the program makes its inputs in another way.
    """
    tree = ast.parse(python_code)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    maker = functions.get(_called(functions.get("get_inputs")))
    if maker is None:
        return {}
    sizes = {argument.arg for argument in maker.args.args}
    found: dict[tuple[str, int], str] = {}
    for name, value in zip(inputs, _returned(maker), strict=False):
        for dim, extent in enumerate(_shape(value)):
            if isinstance(extent, ast.Name) and extent.id in sizes:
                spelled = extent.id.lower()
                if not keyword.iskeyword(spelled):
                    found[name, dim] = spelled
    return found


def constant_names(python_code: str) -> dict[int, str]:
    """What a program calls numbers that it names once, at the top of its file: sizes mostly."""
    found: dict[int, str] = {}
    for item in ast.parse(python_code).body:
        if isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
            value = item.value.value if isinstance(item.value, ast.Constant) else None
            if type(value) is int:
                found.setdefault(value, item.targets[0].id)
    return found


def _called(function: ast.FunctionDef | None) -> str:
    """The function whose result a function returns."""
    last = function.body[-1] if function is not None else None
    value = last.value if isinstance(last, ast.Return) else None
    return ast.unparse(value.func) if isinstance(value, ast.Call) else ""


def _returned(maker: ast.FunctionDef) -> Iterator[ast.expr]:
    """The expression of each input."""
    assigned = {
        ast.unparse(item.targets[0]): item.value
        for item in maker.body
        if isinstance(item, ast.Assign)
    }
    last = maker.body[-1]
    if isinstance(last, ast.Return) and isinstance(last.value, (ast.List, ast.Tuple)):
        for value in last.value.elts:
            yield assigned.get(ast.unparse(value), value)


def _shape(value: ast.expr) -> Sequence[ast.expr]:
    """The sizes that an expression gives to the first tensor that it makes."""
    for node in ast.walk(value):
        if (
            not isinstance(node, ast.Call)
            or ast.unparse(node.func).split(".")[-1] not in _FACTORIES
        ):
            continue
        listed = [item for item in node.args if isinstance(item, (ast.Tuple, ast.List))]
        return listed[0].elts if listed else node.args
    return ()
