"""The functions that Inductor writes beside a kernel: combines of scans, parts of a template.

They become functions of the new module, under names of their own; what they are handed and do not
read is left out.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from builder.rewrite.unread import loaded_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from builder.capture.kernels import Kernel


def helper_functions(kernel: Kernel, name: str) -> tuple[list[ast.FunctionDef], dict[str, str]]:
    """The functions beside a kernel, and their names in the new module.

    Args:
        kernel: as captured.
        name: the kernel's own new name, ``..._kernel``.
    """
    functions = [
        node
        for node in ast.parse(kernel.source).body
        if isinstance(node, ast.FunctionDef) and node.name != kernel.name
    ]
    base = name.removesuffix("_kernel")
    if kernel.kind == "template":
        return functions, {node.name: f"{base}_{node.name}" for node in functions}
    names = {node.name: f"{base}_combine{index or ''}" for index, node in enumerate(functions)}
    return functions, names


def reachable(
    function: ast.FunctionDef, helpers: Sequence[ast.FunctionDef]
) -> list[ast.FunctionDef]:
    """The helpers that a kernel names, and those that they name, in their order."""
    by_name = {helper.name: helper for helper in helpers}
    reached: set[str] = set()
    pending: list[ast.FunctionDef] = [function]
    while pending:
        found = (loaded_names(pending.pop()) & by_name.keys()) - reached
        reached |= found
        pending += [by_name[name] for name in sorted(found)]
    return [helper for helper in helpers if helper.name in reached]


def drop_unread_parameters(
    function: ast.FunctionDef,
    helpers: Sequence[ast.FunctionDef],
    tidy: Callable[[ast.FunctionDef], None],
) -> None:
    """Removes parameters of helpers that nothing reads, and what calls hand to them, in place.

    Args:
        function: the kernel.
        helpers: the functions it calls.
        tidy: removes assignments that have become unread from a function.
    """
    group = [function, *helpers]
    callees = [helper for helper in helpers if _is_only_called(helper, group)]
    while sum(_drop_from(helper, group) for helper in callees):
        for member in group:
            tidy(member)


def _calls(name: str, group: Sequence[ast.FunctionDef]) -> list[ast.Call]:
    return [
        node
        for member in group
        for node in ast.walk(member)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
    ]


def _is_only_called(helper: ast.FunctionDef, group: Sequence[ast.FunctionDef]) -> bool:
    """Whether no reduction or scan is handed the helper itself."""
    names = [node for member in group for node in ast.walk(member) if isinstance(node, ast.Name)]
    return len(_calls(helper.name, group)) == sum(node.id == helper.name for node in names)


def _drop_from(helper: ast.FunctionDef, group: Sequence[ast.FunctionDef]) -> bool:
    """Whether there was anything to drop."""
    arguments = helper.args
    unread = [item.arg for item in arguments.args if item.arg not in loaded_names(helper)]
    for name in unread:
        position = [item.arg for item in arguments.args].index(name)
        _drop_parameter(arguments, position)
        for call in _calls(helper.name, group):
            if position < len(call.args):
                del call.args[position]
            call.keywords = [keyword for keyword in call.keywords if keyword.arg != name]
    return bool(unread)


def _drop_parameter(arguments: ast.arguments, position: int) -> None:
    """Removes a parameter with its default; defaults belong to the last parameters."""
    default = position - (len(arguments.args) - len(arguments.defaults))
    if default >= 0:
        del arguments.defaults[default]
    del arguments.args[position]
