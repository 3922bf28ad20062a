"""Library calls that stay: Inductor's calls of ATen operators, as a person writes them.

A result of several tensors becomes an assignment to several names, and what Inductor asserts of the
layout of a result becomes a check, for the kernels are made for it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from builder.capture.library import (
    VIEWS,
    can_be_kept,
    is_library_call,
    num_results,
    operator_name,
    overload,
    spelled,
)
from builder.rewrite.spelling import publicly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHECK_LAYOUT = '''
def check_layout(name, tensor, size, stride):
    """Raise ``ValueError`` unless a library laid its result out as the kernels expect."""
    is_same = all(n < 2 or a == b for n, a, b in zip(size, tensor.stride(), stride))
    if tuple(tensor.shape) != size or not is_same:
        found = f"{tuple(tensor.shape)} with strides {tensor.stride()}"
        raise ValueError(f"{name}: expected {size} with strides {stride}, got {found}")
'''


@dataclass
class Results:
    """What becomes of the results of library calls.

    Attributes:
        parts: the names that the parts of a result get, by its name and their place.
        renamed: the other name that a result gets at once, and the only one it is read by.
    """

    parts: dict[str, dict[int, str]] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)

    @property
    def settled(self) -> set[str]:
        """Names whose assignments the library call makes itself."""
        return {name for parts in self.parts.values() for name in parts.values()} | {
            *self.renamed.values()
        }


def results_of(function: ast.FunctionDef) -> Results:
    """How the results of the library calls of Inductor's ``call`` are read."""
    assigned = list(_assignments(function))
    made = {name: value for name, value in assigned if is_library_call(value)}
    reads: dict[str, int] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            reads[node.id] = reads.get(node.id, 0) + 1
    found = Results()
    for name, call in made.items():
        assert isinstance(call, ast.Call)
        parts = {place: target for target, value in assigned if (place := _part(value, name)) >= 0}
        others = [t for t, v in assigned if isinstance(v, ast.Name) and v.id == name]
        count = num_results(operator_name(call))
        if parts and len(parts) == reads.get(name) and max(parts) < count > 1:
            found.parts[name] = parts
        elif len(others) == reads.get(name) == 1:
            found.renamed[name] = others[0]
    return found


def _assignments(function: ast.FunctionDef) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value


def _part(value: ast.expr, name: str) -> int:
    """The place of ``name[place]``, -1 for anything else."""
    is_part = (
        isinstance(value, ast.Subscript)
        and isinstance(value.value, ast.Name)
        and value.value.id == name
        and isinstance(value.slice, ast.Constant)
        and isinstance(value.slice.value, int)
    )
    return value.slice.value if is_part else -1  # type: ignore[attr-defined]


def is_view(node: ast.Call) -> bool:
    """Whether a call takes a view and computes nothing."""
    return operator_name(node) in VIEWS


def is_kept(node: ast.Call) -> bool:
    """Whether a pair may make a call."""
    return is_view(node) or can_be_kept(operator_name(node))


def standalone_call(
    node: ast.Call, device: str, translate: Callable[[ast.expr], ast.expr]
) -> ast.Call:
    """A library call in terms of the new module.

    Args:
        node: Inductor's call of an operator.
        device: expression of the device that the module is on.
        translate: turns an expression over Inductor's names into one over the module's.
    """

    def argument(item: ast.expr) -> ast.expr:
        if isinstance(item, ast.List):
            return ast.List([argument(one) for one in item.elts], ast.Load())
        if isinstance(item, ast.Tuple):
            return ast.Tuple([argument(one) for one in item.elts], ast.Load())
        text = ast.unparse(item)
        if text.startswith(("device(", "torch.device(")):
            return ast.parse(device, mode="eval").body
        if text.startswith(("torch.", "float(")):
            return item
        return translate(item)

    function = ast.parse(spelled(operator_name(node)), mode="eval").body
    keywords = [ast.keyword(item.arg, argument(item.value)) for item in node.keywords]
    call = ast.Call(function, [argument(item) for item in node.args], keywords)
    return publicly(operator_name(node), call)


def checked_operator(node: ast.Call) -> str | None:
    """The operator whose result's layout a call of ``assert_size_stride`` checks.

    None for an input, whose layout ``forward`` has checked, and for a view, whose layout follows.
    """
    label = node.args[3] if len(node.args) > 3 else None
    name = label.value if isinstance(label, ast.Constant) else None
    operator = str(name).removeprefix("torch.ops.")
    return operator if overload(operator) is not None and operator not in VIEWS else None


def target_of(name: str, call: ast.Call, results: Results) -> ast.expr:
    """What the result of a library call is assigned to."""
    parts = results.parts.get(name)
    if parts is None:
        return ast.Name(results.renamed.get(name, name), ast.Store())
    places = range(num_results(operator_name(call)))
    names = [ast.Name(parts.get(place, "_"), ast.Store()) for place in places]
    return ast.Tuple(list(names), ast.Store())
