"""One Inductor kernel as a standalone ``@triton.jit`` function and its launcher."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builder.errors import RewriteRejected
from builder.rewrite import device_functions
from builder.rewrite.cooperative import is_cooperative, settle_blocks
from builder.rewrite.descriptors import described
from builder.rewrite.device_functions import FUNCTIONS, KEYWORDS, NEEDLESS_ARGUMENTS
from builder.rewrite.fold import fold
from builder.rewrite.grids import grid_of
from builder.rewrite.helpers import drop_unread_parameters, helper_functions, reachable
from builder.rewrite.launcher import Launch, launch_of, launcher_text
from builder.rewrite.seeds import take_seeds
from builder.rewrite.sizes import is_size
from builder.rewrite.unread import loaded_names, values_only
from builder.rewrite.wide import declare_wide

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from builder.capture.kernels import Kernel

_MAX_NAME = 60
_FLEX = "flex_attention"
"""Its template's name, whatever made the masks that it reads."""


@dataclass(frozen=True)
class StandaloneKernel:
    """A kernel ready to be printed.

    Attributes:
        name: of the kernel function.
        launcher: of the launcher function.
        function: the kernel.
        helpers: functions beside it.
        launch: how it is launched.
        signature: Triton's types of Inductor's parameters.
        functions: names of the device functions it calls.
        dropped: positions of Inductor's call arguments the launcher does not take.
        seeds: positions of numbers of seeds, for which the launcher takes the seeds themselves.
    """

    name: str
    launcher: str
    function: ast.FunctionDef
    helpers: tuple[ast.FunctionDef, ...]
    launch: Launch
    signature: Mapping[str, str]
    functions: frozenset[str]
    dropped: frozenset[int]
    seeds: frozenset[int] = frozenset()

    @property
    def text(self) -> str:
        """The kernel and its launcher, as they stand."""
        parts = [ast.unparse(ast.fix_missing_locations(n)) for n in (*self.helpers, self.function)]
        return "\n\n\n".join([*parts, launcher_text(self)])


def _function(kernel: Kernel) -> ast.FunctionDef:
    for node in ast.parse(kernel.source).body:
        if isinstance(node, ast.FunctionDef) and node.name == kernel.name:
            return node
    raise RewriteRejected("unknown_construct", f"no function {kernel.name} in Inductor's kernel")


class _Standalone(ast.NodeTransformer):
    """Replaces Inductor's helpers by the project's device functions and ``tl``'s own."""

    def __init__(self, kernel: Kernel, renamed: Mapping[str, str]) -> None:
        self._kernel = kernel.name
        self._is_template = kernel.kind == "template"
        self._renamed = renamed

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        owner = ast.unparse(node.value)
        if owner == "triton_helpers":
            return self._helper(node)
        if owner in ("tl_math", "triton_helpers.math", "triton.language"):
            return ast.Attribute(ast.Name("tl", ast.Load()), node.attr, node.ctx)
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        helper = ast.unparse(node.func).removeprefix("triton_helpers.")
        self.generic_visit(node)
        if self._is_template and helper == "tl.load":
            _define(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "to":
            node = _cast_of_size(node, node.func.value)
        if helper == "tl.broadcast_to":
            node = _spread_of_size(node)
        needless = NEEDLESS_ARGUMENTS.get(helper, ())
        node.args = [item for place, item in enumerate(node.args) if place not in needless]
        node.keywords = [item for item in node.keywords if item.arg not in needless]
        for keyword in node.keywords if helper in FUNCTIONS else ():
            keyword.arg = KEYWORDS.get(keyword.arg or "", keyword.arg)
        return node

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self._renamed.get(node.id, node.id), node.ctx)

    def _helper(self, node: ast.Attribute) -> ast.expr:
        name = FUNCTIONS.get(node.attr)
        if name is None:
            raise RewriteRejected(
                "unknown_helper",
                f"kernel {self._kernel}, line {node.lineno}: no standalone form of "
                f"triton_helpers.{node.attr}",
            )
        return ast.Name(name, node.ctx)


_SIZE = re.compile(r"ks\d+|[xyz]numel|r\d_numel")


def _is_of_sizes(value: ast.expr) -> bool:
    names = {item.id for item in ast.walk(value) if isinstance(item, ast.Name)}
    sizes = {name for name in names if _SIZE.fullmatch(name)}
    return bool(sizes) and is_size(value, sizes)


def _is_quotient(value: ast.expr) -> bool:
    """Whether a value is one number of sizes divided by another, of which one may be constant."""
    if not isinstance(value, ast.BinOp) or not isinstance(value.op, ast.Div):
        return False
    sides = (value.left, value.right)
    return any(map(_is_of_sizes, sides)) and all(
        _is_of_sizes(side) or isinstance(side, ast.Constant) for side in sides
    )


def _spread_of_size(node: ast.Call) -> ast.Call:
    """A size that is 1 is a constant to the compiler, which cannot be broadcast."""
    value, shape = node.args[:2]
    if not _is_of_sizes(value):
        return node
    spread, dtype = (ast.parse(text, mode="eval").body for text in ("tl.full", "tl.int64"))
    return ast.Call(spread, [shape, value, dtype], [])


def _cast_of_size(node: ast.Call, value: ast.expr) -> ast.Call:
    """A size that is 1 is a constant to the compiler, which has no method ``to``."""
    if not (_is_of_sizes(value) or _is_quotient(value)):
        return node
    return ast.Call(ast.parse("tl.cast", mode="eval").body, [value, *node.args], node.keywords)


def _define(load: ast.Call) -> None:
    """What a mask leaves out is zero: a product adds it up, and Inductor does not say so where it
    fused what comes before the product into the template.
    """
    given = {keyword.arg for keyword in load.keywords}
    mask = load.args[1] if len(load.args) > 1 else None
    is_masked = "mask" in given or (mask is not None and ast.unparse(mask) != "None")
    if is_masked and "other" not in given and len(load.args) < 3:
        load.keywords.append(ast.keyword("other", ast.Constant(0)))


def _constant_sizes(function: ast.FunctionDef) -> dict[str, int]:
    """Parameters the body overwrites at once with a constant (``xnumel = 385``)."""
    parameters = {argument.arg for argument in function.args.args}
    sizes = {}
    for statement in function.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            value = getattr(statement.value, "value", None)
            if name in parameters and isinstance(value, int):
                sizes[name] = value
    return sizes


def _check_constants(function: ast.FunctionDef, kernel: Kernel) -> None:
    """Refuses a kernel whose configuration leaves a block size open (tiles in three dimensions)."""
    for item in function.args.args:
        is_constant = item.annotation is not None and "constexpr" in ast.unparse(item.annotation)
        if is_constant and item.arg not in kernel.constants:
            raise RewriteRejected(
                "missing_block_size",
                f"kernel {kernel.name}: Inductor's configuration has no {item.arg}; "
                "choose another variant",
            )


def _standalone_helpers(
    function: ast.FunctionDef, helpers: Sequence[ast.FunctionDef]
) -> list[ast.FunctionDef]:
    """The helpers that a kernel needs, without what they do not."""
    for helper in helpers:
        fold(helper)
        _drop_unused(helper)
        helper.decorator_list = [ast.parse("triton.jit", mode="eval").body]
    needed = reachable(function, helpers)
    drop_unread_parameters(function, needed, _drop_unused)
    return needed


def _drop_unread(function: ast.FunctionDef, positions: Sequence[str]) -> frozenset[int]:
    """Removes a template's arguments that its kernel does not read; their positions."""
    read = loaded_names(function)
    unread = {name for name in positions if name.startswith(("arg_", "ws_"))} - read
    function.args.args = [item for item in function.args.args if item.arg not in unread]
    return frozenset(index for index, item in enumerate(positions) if item in unread)


def _called(functions: Sequence[ast.FunctionDef]) -> set[str]:
    """The device functions that are called by name, or handed to a reduction or a scan."""
    names = {n.id for one in functions for n in ast.walk(one) if isinstance(n, ast.Name)}
    return names & {name for name, value in vars(device_functions).items() if hasattr(value, "fn")}


def called_functions(kernel: StandaloneKernel) -> set[str]:
    """The device functions that a kernel calls."""
    return _called([*kernel.helpers, kernel.function])


def _is_unused_assignment(statement: ast.stmt, used: set[str]) -> bool:
    if isinstance(statement, ast.Assign):
        target = statement.targets[0]
    elif isinstance(statement, ast.AnnAssign):
        target = statement.target
    else:
        return False
    return isinstance(target, ast.Name) and target.id not in used


class _Updates(ast.NodeTransformer):
    """Removes ``name += value`` in loops where nothing else reads the name."""

    def __init__(self, used: set[str]) -> None:
        self._used = used

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AugAssign | None:
        is_dead = isinstance(node.target, ast.Name) and node.target.id not in self._used
        return None if is_dead else node

    def visit_For(self, node: ast.For) -> ast.For:
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node


def _drop_unused(function: ast.FunctionDef) -> None:
    """Removes assignments at the top level, and updates, whose name nothing reads."""
    while True:
        used = loaded_names(function)
        _Updates(used).visit(function)
        kept = [item for item in function.body if not _is_unused_assignment(item, used)]
        if len(kept) == len(function.body):
            return
        function.body = kept


def _names(kernel: Kernel, taken: set[str], given: str | None) -> tuple[str, str]:
    match = re.match(r"triton_[a-z]+_(?:fused_)?(.*?)_?\d+$", kernel.name)
    words = (match.group(1) if match else "") or kernel.kind
    words = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:_MAX_NAME].rstrip("_")
    words = _FLEX if kernel.kind == "template" and _FLEX in words else given or words
    base, counter = words, 1
    while f"{base}_kernel" in taken:
        counter += 1
        base = f"{words}_{counter}"
    taken.add(f"{base}_kernel")
    return f"{base}_kernel", f"launch_{base}"


def _decorator(seeds: Sequence[str]) -> str:
    """One compilation serves all seeds."""
    return f"triton.jit(do_not_specialize={list(seeds)!r})" if seeds else "triton.jit"


_SIGNATURE = re.compile(r"'signature': (\{[^}]*\})")


def _signature(kernel: Kernel) -> dict[str, str]:
    """Triton's types of a kernel's parameters, from ``triton_meta``."""
    found = _SIGNATURE.search(kernel.source)
    return ast.literal_eval(found.group(1)) if found else {}


def standalone_kernel(
    kernel: Kernel, taken: set[str], words: str | None = None
) -> StandaloneKernel:
    """Rewrites one kernel.

    Args:
        kernel: as captured.
        taken: kernel names in use; the new one is added.
        words: what it computes, for its name; Inductor's name says it, without them.

    Raises:
        RewriteRejected: ``unknown_helper``, ``unknown_grid``, ``unknown_construct``.
    """
    function = _function(kernel)
    name, launcher = _names(kernel, taken, words)
    sizes = _constant_sizes(function)
    positions = [argument.arg for argument in function.args.args]
    seeds = take_seeds(function)
    dropped = frozenset(index for index, item in enumerate(positions) if item in sizes)
    function.args.args = [item for item in function.args.args if item.arg not in sizes]
    function.name = name
    declare_wide(function)
    function.decorator_list = [ast.parse(_decorator(seeds.names), mode="eval").body]
    helpers, renamed = helper_functions(kernel, name)
    transform = _Standalone(kernel, renamed)
    if is_cooperative(kernel):
        settle_blocks(function, kernel)
    transform.visit(function)
    fold(function)
    for helper in helpers:
        helper.name = renamed[helper.name]
        transform.visit(helper)
    values_only(function, helpers)
    _drop_unused(function)
    helpers = _standalone_helpers(function, helpers)
    dropped |= _drop_unread(function, positions)
    parameters = [item.arg for item in function.args.args if item.arg not in kernel.constants]
    _check_constants(function, kernel)
    bases = described(function, parameters)
    return StandaloneKernel(
        name=name,
        launcher=launcher,
        function=function,
        helpers=tuple(helpers),
        launch=launch_of(kernel, parameters, bases, grid_of(kernel, sizes)),
        signature=_signature(kernel),
        functions=frozenset(_called([*helpers, function])),
        dropped=dropped | seeds.pointers,
        seeds=seeds.numbers,
    )
