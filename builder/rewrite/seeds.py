"""Seeds of random numbers: Inductor's tensor of them becomes integers that kernels take.

A kernel of Inductor's loads its seed from a tensor that one library call filled (``load_seed`` in
``torch/_inductor/codegen/triton.py``).  Here the kernel takes the seed itself, and the host
computes it from the caller's: no memory, no launch, and the same bits for the same seed.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from builder.errors import RewriteRejected

if TYPE_CHECKING:
    from collections.abc import Sequence

PARAMETER = "seed"
"""Keyword of ``forward`` that takes the seed."""
SEEDS = "seeds"
"""Variable of ``forward`` that holds the seeds of its random calls."""

_OFFSET = re.compile(r"load_seed_offset\d*")
_MAKER = "aten.randint.low_out"
_FOUR_AT_ONCE = {"triton_helpers.rand4x": "tl.rand", "triton_helpers.randn4x": "tl.randn"}


def random_seeds(seed: int | None, count: int) -> list[int]:
    """Seeds of the random calls of one forward, the outputs of SplitMix64, halved to 63 bits.

    The same seed gives the same numbers; None stands for the seed of torch's generator, which
    ``torch.manual_seed`` sets.  Pass another at every step.
    """
    state = torch.initial_seed() if seed is None else seed
    seeds = []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        seeds.append((mixed ^ (mixed >> 31)) >> 1)
    return seeds


@dataclass(frozen=True)
class SeedArguments:
    """Where a kernel's seeds stand among Inductor's call arguments.

    Attributes:
        pointers: positions of the seeds' tensor, which the launcher does not take, unless another
            tensor is in its memory by then.
        numbers: positions of the numbers of seeds, where the launcher takes the seeds.
        names: of the kernel's parameters that are seeds.
    """

    pointers: frozenset[int]
    numbers: frozenset[int]
    names: tuple[str, ...]


def take_seeds(function: ast.FunctionDef) -> SeedArguments:
    """Lets a kernel take its seeds as integers, in place.

    Raises:
        RewriteRejected: ``unknown_construct``: the seeds are read in another way.
    """
    names = [argument.arg for argument in function.args.args]
    offsets = [name for name in names if _OFFSET.fullmatch(name)]
    new_names = {name: f"{PARAMETER}_{n}" if n else PARAMETER for n, name in enumerate(offsets)}
    loads = _SeedLoads(new_names)
    loads.visit(function)
    written, read = _names_used(function)
    odd = sorted((read & loads.pointers) | ((read | written) & set(offsets)))
    if odd:
        raise RewriteRejected(
            "unknown_construct", f"kernel {function.name} uses {', '.join(odd)} for more than seeds"
        )
    pointers = loads.pointers - written
    function.args.args = [item for item in function.args.args if item.arg not in pointers]
    for argument in function.args.args:
        argument.arg = new_names.get(argument.arg, argument.arg)
    return SeedArguments(
        frozenset(names.index(name) for name in pointers),
        frozenset(names.index(name) for name in offsets),
        tuple(new_names.values()),
    )


def _names_used(function: ast.FunctionDef) -> tuple[set[str], set[str]]:
    """The names of where a kernel stores something, and every other name in it."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    places = [call.args[0] for call in calls if ast.unparse(call.func) == "tl.store"]
    stored = {node for place in places for node in ast.walk(place) if isinstance(node, ast.Name)}
    every = {node for node in ast.walk(function) if isinstance(node, ast.Name)}
    return {node.id for node in stored}, {node.id for node in every - stored}


class _SeedLoads(ast.NodeTransformer):
    """``tl.load(in_ptr0 + load_seed_offset)`` becomes ``seed``, wherever its value is used.

    Draws of four numbers at once become plain ones, an element's number is then a function of its
    seed and place alone: Inductor's, since torch 2.13, depend on the shape of the kernel too.
    """

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names
        self._aliases: dict[str, str] = {}
        self.pointers: set[str] = set()

    def visit_Assign(self, node: ast.Assign) -> ast.Assign | None:
        self.generic_visit(node)
        target = node.targets[0]
        if not isinstance(node.value, ast.Name) or node.value.id not in self._names.values():
            return node
        assert isinstance(target, ast.Name)
        self._aliases[target.id] = node.value.id
        return None

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.copy_location(ast.Name(self._aliases.get(node.id, node.id), node.ctx), node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        drawn = _FOUR_AT_ONCE.get(ast.unparse(node.func))
        if drawn is not None:
            function = ast.parse(drawn, mode="eval").body
            return ast.copy_location(ast.Call(function, node.args[:2], []), node)
        place = node.args[0] if node.args else None
        if ast.unparse(node.func) != "tl.load" or not isinstance(place, ast.BinOp):
            return node
        name = ast.unparse(place.right)
        if name not in self._names:
            return node
        self.pointers.add(ast.unparse(place.left))
        return ast.copy_location(ast.Name(self._names[name], ast.Load()), node)


def seed_buffer(call: ast.Call) -> tuple[str, int] | None:
    """The tensor that a call fills with seeds, and how many; None if it does something else."""
    if ast.unparse(call.func) != _MAKER or len(call.args) != 3 or len(call.keywords) != 1:
        return None
    low, high, size = (ast.literal_eval(argument) for argument in call.args)
    limits = torch.iinfo(torch.int64)
    if (low, high) != (limits.min, limits.max) or len(size) != 1:
        return None
    return ast.unparse(call.keywords[0].value), size[0]


def seed_buffers(statements: Sequence[ast.stmt]) -> dict[str, int]:
    """The tensors of seeds that Inductor's ``call`` makes, with their lengths."""
    calls = [
        node.value
        for statement in statements
        for node in ast.walk(statement)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ]
    return dict(found for call in calls if (found := seed_buffer(call)) is not None)
