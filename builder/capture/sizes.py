"""Sizes as symbols: what tracing with dynamic shapes left in a ``ShapeEnv``.

Everything that touches ``torch.fx.experimental.symbolic_shapes`` is here; written against torch
2.11 to 2.13, held by ``tests/capture/test_sizes.py``.
"""

from __future__ import annotations

import ast
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import mock

import sympy
import torch
import torch._dynamo
import torch.fx.experimental._config as shapes_config
from torch._subclasses import fake_impls
from torch._subclasses.fake_impls import _compute_stride
from torch.utils._sympy.numbers import int_oo
from torch.utils._sympy.printers import PythonPrinter
from torch.utils._sympy.value_ranges import ValueRanges, bound_sympy

from builder.errors import CaptureRejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from torch.fx.experimental.symbolic_shapes import ShapeEnv

Extent = int | str
"""A size, stride or offset: a number, or Python's spelling of one over the names of sizes."""

PREFIX = "_size_"
"""How the names of sizes begin in a capture; the rewriter gives them better ones."""

_NOT_EMPTY = ValueRanges(1, int_oo)
_UNBOUNDED = torch.iinfo(torch.int64).max - 1

_MARKS = {"_dynamo_weak_dynamic_indices", "_has_dynamo_dim_marking"}

_NODES = (
    ast.Expression, ast.Name, ast.Load, ast.Constant, ast.BinOp, ast.UnaryOp, ast.Compare,
    ast.BoolOp, ast.Call, ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod, ast.Pow, ast.USub,
    ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.And, ast.Or, ast.Not,
)  # fmt: skip


@dataclass(frozen=True)
class Size:
    """A size that the kernels take as an argument.

    Attributes:
        name: in the expressions of a capture.
        tensor: the input it is read from.
        rank: of that.
        dim: which of its sizes.
    """

    name: str
    tensor: str
    rank: int
    dim: int

    @property
    def expression(self) -> str:
        """As it is read, ``x.shape[0]``."""
        return f"{self.tensor}.shape[{self.dim}]"


@dataclass(frozen=True)
class Sizes:
    """The sizes of a capture with dynamic shapes; empty for a static one.

    Attributes:
        free: sizes that may have any value the guards allow.
        spelled: each symbol of Inductor's module, over the names of the free sizes.
        guards: conditions that tracing and lowering took for granted, as Python over these names.
    """

    free: tuple[Size, ...] = ()
    spelled: tuple[tuple[str, str], ...] = ()
    guards: tuple[str, ...] = ()


@contextlib.contextmanager
def symbolic_sizes(*, ones: bool) -> Iterator[None]:
    """Tracing inside takes no two sizes for one because they are equal.

    Args:
        ones: sizes may be 1; without, tracing guards against it, and asks their values.
    """
    config: Any = shapes_config  # a module that torch gives a method ``patch``
    with contextlib.ExitStack() as stack:
        stack.enter_context(config.patch(use_duck_shape=False, backed_size_oblivious=ones))
        if ones:
            # Inductor's views would guard against sizes of 1 (``View.create`` in its ``ir.py``).
            stack.enter_context(mock.patch.object(fake_impls, "_compute_stride", _oblivious))
        yield


def _oblivious(old_shape: Any, old_stride: Any, new_shape: Any, **_: Any) -> Any:
    return _compute_stride(old_shape, old_stride, new_shape, size_oblivious=True)


@contextlib.contextmanager
def marked(sizes: Sequence[tuple[torch.Tensor, int]]) -> Iterator[None]:
    """Asks for symbols in the place of sizes of tensors; each may still turn out to be a constant.

    Tracing outside sees nothing of it, though the marks lie on the tensors.
    """
    for tensor, dim in sizes:
        torch._dynamo.maybe_mark_dynamic(tensor, dim)  # noqa: SLF001
    try:
        yield
    finally:
        for tensor, _ in sizes:
            for name in _MARKS & vars(tensor).keys():
                delattr(tensor, name)


def exact(value: Any) -> Any:
    """A size in a form whose ``==`` asks nothing of the ``ShapeEnv``, hence adds no guard."""
    return value.node.expr if isinstance(value, torch.SymInt) else value


def is_known(value: Any) -> bool:
    """Whether a size is a number or a symbol bound to an input, and not one that data decides."""
    return isinstance(value, int) or bool(value.node.has_hint())


def shape_env(values: Iterable[Any]) -> ShapeEnv | None:
    """The ``ShapeEnv`` of the symbols among values; None if there are none."""
    for value in values:
        if isinstance(value, torch.SymInt):
            return value.node.shape_env
    return None


class SizeReader:
    """Reads sizes, and at last the guards, of one ``ShapeEnv``.

    Args:
        env: None where nothing is symbolic.
        named: the symbolic inputs with their expressions, in the order of ``forward``.
    """

    def __init__(self, env: ShapeEnv | None, named: Sequence[tuple[str, torch.Tensor]]) -> None:
        self._env = env
        self._free: dict[sympy.Symbol, Size] = {}
        self._fixed: dict[sympy.Symbol, sympy.Integer] = {}
        for expression, tensor in named if env is not None else ():
            for dim, extent in enumerate(tensor.size()):
                symbol = exact(extent)
                if isinstance(symbol, sympy.Symbol) and symbol not in self._free:
                    name = f"{PREFIX}{len(self._free)}"
                    self._free[symbol] = Size(name, expression, tensor.dim(), dim)
        for _, tensor in named if env is not None else ():
            self._fix((*tensor.stride(), tensor.storage_offset()))

    def _fix(self, values: Iterable[Any]) -> None:
        """Takes what is no expression of sizes for a constant: the strides of a part of a tensor.

        Whether other input sets have the same is for ``capture_any_size`` to see.
        """
        for value in values:
            symbol = exact(value)
            if isinstance(symbol, sympy.Symbol) and symbol not in self._free:
                self._fixed[symbol] = sympy.Integer(value.node.hint)

    def extent(self, value: Any) -> Extent:
        """A size as a number or as text.

        Raises:
            CaptureRejected: ``unknown_size``: it has no plain spelling over the inputs' sizes.
        """
        if not isinstance(value, torch.SymInt):
            return int(value)
        expression = exact(value).xreplace(self._fixed)
        return int(expression) if expression.is_number else self._text(expression)

    def extents(self, values: Iterable[Any]) -> tuple[Extent, ...]:
        return tuple(self.extent(value) for value in values)

    def sizes(self) -> Sizes:
        """What is known in the end; to be asked for after lowering, which adds guards."""
        if self._env is None or not self._free:
            return Sizes()
        spelled = {str(symbol): self._replaced(symbol) for symbol in self._env.var_to_sources}
        return Sizes(
            free=tuple(self._free.values()),
            spelled=tuple(sorted((name, self._text(e)) for name, e in spelled.items())),
            guards=(*self._ranges(), *map(self._text, self._conditions())),
        )

    def _replaced(self, expression: sympy.Expr) -> sympy.Expr:
        assert self._env is not None
        return self._env.replace(expression).xreplace(self._fixed)

    def _text(self, expression: sympy.Basic) -> str:
        names = {
            symbol: sympy.Symbol(size.name, integer=True, positive=True)
            for symbol, size in self._free.items()
        }
        unbound = sorted(map(str, expression.free_symbols - set(names)))
        text = PythonPrinter().doprint(expression.xreplace(names))
        if unbound or not _is_plain(text):
            raise CaptureRejected(
                "unknown_size",
                f"the size {expression} is no integer expression of the inputs' sizes",
            )
        return text

    # -- guards ----------------------------------------------------------------------------

    def _bounds(self) -> dict[sympy.Symbol, ValueRanges[sympy.Expr]]:
        """Of each free size; nobody verifies what an empty tensor gives, so none is empty."""
        assert self._env is not None
        return {symbol: self._env.var_to_range[symbol] & _NOT_EMPTY for symbol in self._free}

    def _ranges(self) -> Iterator[str]:
        for symbol, bounds in self._bounds().items():
            yield f"{self._free[symbol].name} >= {int(bounds.lower)}"
            if bounds.upper < _UNBOUNDED:
                yield f"{self._free[symbol].name} <= {int(bounds.upper)}"

    def _conditions(self) -> list[sympy.Basic]:
        """Guards that ranges do not imply, the strictest of each kind."""
        assert self._env is not None
        every = [self._replaced(guard.expr) for guard in self._env.guards]
        open_ones = [guard for guard in dict.fromkeys(every) if not self._holds(guard)]
        return [g for g in open_ones if not any(self._implies(o, g) for o in open_ones)]

    def _holds(self, guard: sympy.Basic) -> bool:
        if guard in (True, sympy.true):
            return True
        bounds = bound_sympy(guard, self._bounds())
        return bounds.is_singleton() and bounds.lower in (True, sympy.true)

    def _implies(self, one: sympy.Basic, other: sympy.Basic) -> bool:
        """Whether ``b <= n`` follows from ``a <= n`` because a is never less than b."""
        if one == other or not (isinstance(one, sympy.Le) and isinstance(other, sympy.Le)):
            return False
        return one.rhs == other.rhs and _is_dominated(other.lhs, one.lhs)


def _is_dominated(small: sympy.Expr, large: sympy.Expr) -> bool:
    """Whether a product of sizes, each at least 1, divides another; or is zero beside it."""
    if small.is_zero:
        return bool(large.is_nonnegative)
    quotient = sympy.cancel(large / small)
    powers = quotient.as_powers_dict()
    factors = [base for base in powers if base.is_number]
    return all(powers[base] > 0 for base in powers if not base.is_number) and all(
        base >= 1 for base in [sympy.Mul(*(f ** powers[f] for f in factors))]
    )


STATIC = SizeReader(None, ())
"""Reads numbers; for captures of one shape."""


def _is_plain(text: str) -> bool:
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except SyntaxError:
        return False
    calls = [ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)]
    constants = [node.value for node in nodes if isinstance(node, ast.Constant)]
    return (
        all(isinstance(node, _NODES) for node in nodes)
        and all(name in ("min", "max") for name in calls)
        and all(isinstance(value, int) for value in constants)
    )


def evaluate(expression: Extent, sizes: Mapping[str, int]) -> int:
    """The value of an extent or a guard for given sizes."""
    if isinstance(expression, int):
        return expression
    return int(eval(expression, {"__builtins__": {}, "min": min, "max": max}, dict(sizes)))  # noqa: S307
