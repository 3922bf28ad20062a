"""Builds a graph of operators, one node after the other, by running each on small tensors.

A node is kept if it runs on the probe and, without data, on every input set, and if what it gives
says something: it is finite, varies, and is none of the values there are.  So every graph is valid
when it is done, and no node is idle by construction.
"""

from __future__ import annotations

import math
import re
import string
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from builder.programs.compose.attributes import Site, Unfit, spelled
from builder.programs.compose.needs import fits
from builder.programs.compose.operands import made
from builder.programs.compose.values import META, Sizes, Value, substituted
from builder.programs.operators.registry import OPERANDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random
    from types import CodeType

    from builder.programs.compose.steering import Chain
    from builder.programs.draft import Draft
    from builder.programs.operators import Operator

MOST_ELEMENTS = 1 << 22
ELEMENTWISE = (
    "activation", "unary", "rounding", "binary", "ternary", "compare", "logic", "select", "cast",
    "normalise",
)  # fmt: skip
"""Themes of operators whose results have the shapes that their operands broadcast to."""
_MOST = {torch.float16: 500.0}
_LARGEST = 1e4
_VARIES = 1e-3
_MOSTLY = 0.85
_ROLE = re.compile(r"\$([a-z_][a-z0-9_]*)")
_FIELDS = string.Formatter()


@dataclass(eq=False)
class Node:
    """One operator at work.

    Attributes:
        operator: which.
        text: the expression, with ``{x}`` and the like for operands and ``$roles`` for sizes.
        operands: in their order.
        value: what it gives.
    """

    operator: Operator
    text: str
    operands: tuple[Value, ...]
    value: Value


@dataclass
class _Trial:
    """What an application would add to the program, done only if it is kept.

    Attributes:
        commits: what is done then, in this order.
        roles: sizes declared for it, which are forgotten otherwise.
    """

    commits: list[Callable[[], None]] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)

    def commit(self) -> None:
        for action in self.commits:
            action()


class Composer:
    """A graph in the making.

    Args:
        rng: every choice comes from it; probes' values from torch's generator.
        draft: gets inputs, parameters and modules.
        sizes: named sizes.
    """

    def __init__(self, rng: Random, draft: Draft, sizes: Sizes) -> None:
        self.rng = rng
        self.draft = draft
        self.sizes = sizes
        self.dtype = getattr(torch, draft.dtype)
        self.values: list[Value] = []
        self.unused: list[Value] = []
        self.nodes: list[Node] = []
        self._makers: dict[int, Node] = {}

    def enter(self, value: Value) -> Value:
        """Makes a value an operand of what follows."""
        self.values.append(value)
        self.unused.append(value)
        return value

    def apply(self, operator: Operator, first: Value) -> Value | None:
        """Applies an operator to a value and what else it needs; None if it does not work out."""
        if not fits(operator.takes[0], first, first):
            return None
        trial = _Trial()
        try:
            operands = self._operands(operator, first, trial)
        except Unfit:
            return None
        return self._applied(operator, operands, trial)

    def join(self, operator: Operator, operands: tuple[Value, ...]) -> Value | None:
        """Applies an operator to these very values; None if it does not work out."""
        needed = zip(operator.takes, operands, strict=True)
        if not all(fits(need, value, operands[0]) for need, value in needed):
            return None
        return self._applied(operator, operands, _Trial())

    def chain(self, operand: Value, operator: Operator) -> Chain:
        """An operator, what makes an operand of it, and what makes the first operand of that."""
        maker = self._makers.get(id(operand))
        before = self._makers.get(id(maker.operands[0])) if maker else None
        first, second = (node.operator if node else None for node in (before, maker))
        return first, second, operator

    @property
    def ends(self) -> list[Value]:
        """What was computed and nothing reads."""
        computed = {id(node.value) for node in self.nodes}
        return [value for value in self.unused if id(value) in computed]

    def _applied(
        self, operator: Operator, operands: tuple[Value, ...], trial: _Trial
    ) -> Value | None:
        try:
            node = self._node(operator, operands, trial)
        except (Unfit, RuntimeError, ValueError, TypeError, IndexError, NotImplementedError):
            for role in trial.roles:  # the operator does not take such operands
                del self.sizes.columns[role]
            return None
        trial.commit()
        self.nodes.append(node)
        self._makers[id(node.value)] = node
        for operand in node.operands:
            if operand in self.unused:
                self.unused.remove(operand)
            elif operand not in self.values:
                self.values.append(operand)
        return self.enter(node.value)

    # -- operands ----------------------------------------------------------------------------

    def _operands(self, operator: Operator, first: Value, trial: _Trial) -> tuple[Value, ...]:
        operands = [first]
        for need in operator.takes[1:]:
            known = [v for v in self.values if v not in operands and fits(need, v, first)]
            fresh = [v for v in known if v in self.unused]
            if fresh and self.rng.random() < 0.9:
                operands.append(self.rng.choice(fresh))
            elif known and self.rng.random() < 0.5:
                operands.append(self.rng.choice(known))
            else:
                operands.append(self._made(need, first, trial))
        return tuple(operands)

    def _made(self, need: str, first: Value, trial: _Trial) -> Value:
        """A new input or parameter.

        Raises:
            Unfit: none can be made.
        """
        value, commit = made(need, first, self.rng, self.draft, self.sizes)
        trial.commits.append(commit)
        return value

    # -- nodes -------------------------------------------------------------------------------

    def _node(self, operator: Operator, operands: tuple[Value, ...], trial: _Trial) -> Node:
        choices = [*operator.texts, *operator.modules]
        text = self.rng.choice(choices)
        site = Site(operands[0], self.rng, self.sizes, self._declarer(trial), self.draft.dtype)
        pairs = {
            name: spelled(name, site)
            for _, name, _, _ in _FIELDS.parse(text)
            if name and name not in OPERANDS
        }
        kept = {name: f"{{{name}}}" for name in OPERANDS}
        real = text.format(**kept, **{name: pair[0] for name, pair in pairs.items()})
        small = text.format(**kept, **{name: pair[1] for name, pair in pairs.items()})
        if text in operator.modules:
            return self._module_node(operator, operands, real, small, trial)
        return self._checked(operator, real, small, operands)

    def _checked(
        self, operator: Operator, real: str, small: str, operands: tuple[Value, ...]
    ) -> Node:
        """The node, if it says something on the probes and runs on every input set.

        Raises:
            Unfit: it says nothing, or needs too much memory.
        """
        small = self._prepared(small, 0)
        probe = _result(small, [value.probe for value in operands])
        twin = _result(small, [value.twin for value in operands])
        if not self._says_something(probe, twin, operands):
            raise Unfit
        if operator.theme in ELEMENTWISE:
            shapes = _broadcast(operands)
        else:
            shapes = tuple(self._shape(real, operands, place, probe) for place in range(self._sets))
        return Node(operator, real, operands, self._value(probe, twin, shapes))

    @property
    def _sets(self) -> int:
        return len(self.values[0].shapes)

    def _shape(
        self, text: str, operands: tuple[Value, ...], place: int, probe: torch.Tensor
    ) -> tuple[int, ...]:
        found = _result(self._prepared(text, place + 1), [value.empty(place) for value in operands])
        if found.dim() != probe.dim() or found.dtype != probe.dtype:
            raise Unfit
        return tuple(found.shape)

    def _module_node(
        self,
        operator: Operator,
        operands: tuple[Value, ...],
        real: str,
        small: str,
        trial: _Trial,
    ) -> Node:
        x = operands[0]
        module = _called(self._prepared(small, 0)).to(x.dtype)
        if x.dtype != self.dtype and any(True for _ in module.parameters()):
            raise Unfit  # modules have the program's type
        with META:
            empty = _called(self._prepared(real, 1)).to(x.dtype)
        with torch.no_grad():
            probe, twin = module(x.probe), module(x.twin)
            if not self._says_something(probe, twin, operands):
                raise Unfit
            if operator.theme in ELEMENTWISE:
                shapes = x.shapes
            elif isinstance(empty, nn.Linear):
                shapes = tuple((*shape[:-1], empty.out_features) for shape in x.shapes)
            else:
                shapes = tuple(tuple(empty(x.empty(place)).shape) for place in range(self._sets))
        value = self._value(probe, twin, shapes)
        node = Node(operator, "", operands, value)

        def commit() -> None:
            name = self.draft.spell(_module_names(real))
            for role in dict.fromkeys(_ROLE.findall(real.replace("$dt", ""))):
                if role not in self.draft.arguments:
                    self.draft.argument(role)
            self.draft.init(f"self.{name} = {real}")
            node.text = f"self.{name}({{x}})"

        trial.commits.append(commit)
        return node

    def _declarer(self, trial: _Trial) -> Callable[[str, int, int], str]:
        def declare(role: str, real: int, probe: int) -> str:
            """A new size; its role is the first free number of ``role``."""
            taken = sum(known.startswith(role) for known in self.sizes.columns)
            name = f"{role}_{chr(ord('a') + taken)}" if taken else role
            count = len(next(iter(self.sizes.columns.values()))) - 1
            column = (probe, *[real] * count)
            known = self.sizes.role(column)
            if known is not None:
                return known
            self.sizes.columns[name] = column
            trial.roles.append(name)

            def commit() -> None:
                self.draft.size(name, real)

            trial.commits.append(commit)
            return name

        return declare

    def _prepared(self, text: str, place: int) -> str:
        """A text with the sizes of the probe, for place 0, or of an input set."""
        return substituted(self._typed(text), self._numbers(place))

    def _numbers(self, place: int) -> dict[str, int]:
        return {role: column[place] for role, column in self.sizes.columns.items()}

    def _typed(self, text: str) -> str:
        inline = "" if self.draft.dtype == "float32" else f", dtype=torch.{self.draft.dtype}"
        return text.replace("$dtype", f"torch.{self.draft.dtype}").replace("$dt", inline)

    def _value(
        self,
        probe: torch.Tensor,
        twin: torch.Tensor,
        shapes: tuple[tuple[int, ...], ...],
    ) -> Value:
        if any(not 0 < math.prod(shape) <= MOST_ELEMENTS for shape in shapes):
            raise Unfit
        return Value(probe, twin, shapes)

    def _says_something(
        self, probe: torch.Tensor, twin: torch.Tensor, operands: tuple[Value, ...]
    ) -> bool:
        """Whether a result varies, over its elements and with the inputs, and is a new one."""
        if not varies(probe) or not varies(twin) or torch.equal(probe, twin):
            return False
        return not any(_equal(probe, other.probe) for other in (*self.values, *operands))


def varies(tensor: torch.Tensor) -> bool:
    """Whether a result is finite, of a usual size, and not the same nearly everywhere."""
    if tensor.dtype == torch.bool:
        share = float(tensor.float().mean())
        return 0.05 < share < 0.95 or tensor.numel() == 1
    if not tensor.is_floating_point():
        return tensor.numel() == 1 or bool((tensor != tensor.flatten()[0]).any())
    values = tensor.double()
    if not bool(torch.isfinite(values).all()):
        return False
    top = float(values.abs().amax())
    if top > _MOST.get(tensor.dtype, _LARGEST) or top < _VARIES:
        return False
    if values.numel() < 2:
        return True
    most_common = values.flatten().mode().values
    return (
        float(values.std()) > _VARIES * top
        and float((values == most_common).double().mean()) < _MOSTLY
    )


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    same_kind = one.shape == other.shape and one.dtype == other.dtype
    return same_kind and torch.equal(one, other)


@lru_cache(maxsize=4096)
def _compiled(text: str) -> CodeType:
    return compile(text, "<operator>", "eval")


def _result(text: str, given: list[torch.Tensor]) -> torch.Tensor:
    """What a text of the registry gives for its operands.

    Raises:
        Unfit: something else than a tensor.
    """
    code = _compiled(text.format(**{name: name for name in OPERANDS}))
    with torch.no_grad():
        found = eval(code, dict(_GLOBALS), dict(zip(OPERANDS, given, strict=False)))  # noqa: S307
    if not isinstance(found, torch.Tensor):
        raise Unfit
    return found


def _broadcast(operands: tuple[Value, ...]) -> tuple[tuple[int, ...], ...]:
    """The shapes that operands broadcast to."""
    sets = zip(*(value.shapes for value in operands), strict=True)
    return tuple(tuple(torch.broadcast_shapes(*shapes)) for shapes in sets)


def _called(text: str) -> Any:
    return eval(_compiled(text), dict(_GLOBALS))  # noqa: S307 - a text of the registry


_GLOBALS: dict[str, Any] = {"torch": torch, "F": functional, "nn": nn}
_MODULE_NAMES = {
    "Linear": ("proj", "fc", "linear", "dense", "to_out", "lift", "mix"),
    "Sequential": ("mlp", "ffn", "feed_forward", "block"),
    "Conv2d": ("conv", "conv1", "filter", "stem", "spatial"),
    "LayerNorm": ("norm", "ln", "layer_norm", "pre_norm"),
    "BatchNorm2d": ("bn", "batch_norm", "norm"),
    "GroupNorm": ("gn", "group_norm", "norm"),
}


def _module_names(text: str) -> tuple[str, ...]:
    kind = text.removeprefix("nn.").partition("(")[0]
    if kind in _MODULE_NAMES:
        return _MODULE_NAMES[kind]
    if "Pool" in kind:
        return ("pool", "downsample")
    if "Norm" in kind:
        return ("norm", "normalise")
    return ("act", "activation", "nonlinearity", "gate")
