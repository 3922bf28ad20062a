"""What a kernel's values are: element type and shape, as far as the text tells.

Triton's own rules (``semantic.py`` of ``triton/language``, ``computation_type_impl`` and
``binary_op_type_checking_impl``), over syntax trees.  Where a rule is missing the answer is
unknown, and what depends on it is left as it stands.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Shape = tuple[str, ...]

INT, FLOAT = "int", "float"
"""Python's numbers, which take the type of what they meet."""

_DTYPES = {
    "tl.float64": "fp64", "tl.float32": "fp32", "tl.float16": "fp16", "tl.bfloat16": "bf16",
    "tl.int64": "i64", "tl.int32": "i32", "tl.int16": "i16", "tl.int8": "i8", "tl.int1": "i1",
    "tl.uint8": "u8", "tl.uint16": "u16", "tl.uint32": "u32", "tl.uint64": "u64",
}  # fmt: skip
_RANKS = ("i1", "i8", "i16", "i32", "i64", "bf16", "fp16", "fp32", "fp64")
_FLOATS = ("bf16", "fp16", "fp32", "fp64")

_TL = {
    "abs", "exp", "exp2", "log", "log2", "sin", "cos", "sqrt", "sqrt_rn", "rsqrt", "sigmoid",
    "floor", "ceil", "fma", "div_rn", "erf", "minimum", "maximum",
}  # fmt: skip
_LIBDEVICE = {
    "exp", "exp2", "expm1", "log", "log1p", "log2", "sqrt", "rsqrt", "tanh", "erf", "erfc", "sin",
    "cos", "tan", "atan", "floor", "ceil", "trunc", "nearbyint", "pow", "fmod", "abs",
}  # fmt: skip
_ELEMENTWISE = frozenset(
    {f"tl.{name}" for name in _TL} | {f"libdevice.{name}" for name in _LIBDEVICE}
    | {"maximum", "minimum"}
)  # fmt: skip
_REDUCTIONS = frozenset(["tl.sum", "tl.max", "tl.min", "reduce_max", "reduce_min"])


@dataclass(frozen=True)
class Kind:
    """Of a value.

    Attributes:
        dtype: Triton's short name, ``int`` or ``float`` for a Python number, None if unknown.
        shape: texts of the sizes, empty for a scalar, None if unknown.
        pointee: what a pointer points to.
    """

    dtype: str | None = None
    shape: Shape | None = None
    pointee: str | None = None


UNKNOWN = Kind()
Kinds = dict[str, Kind]


def signature_kinds(signature: Mapping[str, str]) -> Kinds:
    """Of a kernel's parameters, by Triton's signature (``{"in_ptr0": "*fp32"}``)."""
    kinds: Kinds = {}
    for name, text in signature.items():
        if text.startswith("*"):
            kinds[name] = Kind("ptr", (), text[1:])
        else:
            kinds[name] = Kind(INT if text == "constexpr" else text, ())
    return kinds


def dtype_named(text: str) -> str | None:
    """The short name of ``tl.float32`` and its like."""
    return _DTYPES.get(text)


def promoted(first: str | None, second: str | None, *, divides: bool = False) -> str | None:
    """The type that an operation on two types computes in."""
    if first is None or second is None or "ptr" in (first, second):
        return None
    if first == second:
        narrow = divides and first in ("fp16", "bf16")
        return "fp32" if narrow else first
    for weak, strong in ((first, second), (second, first)):
        if weak == INT and strong in _RANKS and strong != "i1":
            return promoted(strong, strong, divides=divides)
        if weak == FLOAT and strong in _FLOATS:
            return promoted(strong, strong, divides=divides)
    if first not in _RANKS or second not in _RANKS:
        return None
    if {first, second} == {"fp16", "bf16"}:
        return "fp32"
    top = max(first, second, key=_RANKS.index)
    return "fp32" if divides and top in ("fp16", "bf16") else top


def broadcast(*shapes: Shape | None) -> Shape | None:
    """The shape that values of several shapes are brought to."""
    result: list[str] = []
    for shape in shapes:
        if shape is None:
            return None
        width = max(len(result), len(shape))
        one = ["1"] * (width - len(result)) + result
        other = ["1"] * (width - len(shape)) + list(shape)
        result = []
        for a, b in zip(one, other, strict=True):
            if a != b and "1" not in (a, b):
                return None
            result.append(b if a == "1" else a)
    return tuple(result)


def kind_of(node: ast.expr, kinds: Mapping[str, Kind]) -> Kind:
    """The kind of an expression.

    Args:
        node: of a kernel.
        kinds: of the names in it.
    """
    rule = _RULES.get(type(node))
    return rule(node, kinds) if rule is not None else UNKNOWN


def note(statement: ast.stmt, kinds: Kinds) -> None:
    """Enters what a statement defines; what a loop changes keeps its kind, as Triton demands."""
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        kinds[statement.targets[0].id] = kind_of(statement.value, kinds)
    elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        if statement.value is not None:
            kinds[statement.target.id] = kind_of(statement.value, kinds)
    elif isinstance(statement, ast.Assign):
        found = _several(statement.value, kinds)
        for place, name in enumerate(getattr(statement.targets[0], "elts", ())):
            if isinstance(name, ast.Name):
                kinds[name.id] = found[place] if place < len(found) else UNKNOWN
    elif isinstance(statement, ast.For) and isinstance(statement.target, ast.Name):
        kinds[statement.target.id] = Kind("i32", ())


def _several(value: ast.expr, kinds: Mapping[str, Kind]) -> list[Kind]:
    """Of the results of a device function that has several, and types like its arguments'."""
    if not isinstance(value, ast.Call):
        return []
    given = [kind_of(item, kinds) for item in value.args]
    name = ast.unparse(value.func)
    if name == "welford_step":
        return given[1:4]
    if name == "online_softmax_step":
        return given[:2]
    if name in ("welford_reduce", "online_softmax_reduce"):
        count = 3 if name == "welford_reduce" else 2
        axis = value.args[count]
        return [_reduced(ast.Call(value.func, [value, axis], []), one) for one in given[:count]]
    return []


def _name(node: ast.expr, kinds: Mapping[str, Kind]) -> Kind:
    assert isinstance(node, ast.Name)
    return kinds.get(node.id, UNKNOWN)


def _constant(node: ast.expr, _: Mapping[str, Kind]) -> Kind:
    assert isinstance(node, ast.Constant)
    weak = {int: INT, float: FLOAT}.get(type(node.value))
    return Kind(weak, ()) if weak else UNKNOWN


def _binary(node: ast.expr, kinds: Mapping[str, Kind]) -> Kind:
    assert isinstance(node, ast.BinOp)
    left, right = kind_of(node.left, kinds), kind_of(node.right, kinds)
    shape = broadcast(left.shape, right.shape)
    for one in (left, right):
        if one.dtype == "ptr":
            return Kind("ptr", shape, one.pointee)
    divides = isinstance(node.op, (ast.Div, ast.Mod))
    dtype = promoted(left.dtype, right.dtype, divides=divides)
    if isinstance(node.op, ast.Div) and dtype not in (*_FLOATS, FLOAT):
        dtype = None
    if isinstance(node.op, (ast.LShift, ast.RShift, ast.Pow)):
        dtype = None
    return Kind(dtype, shape)


def _unary(node: ast.expr, kinds: Mapping[str, Kind]) -> Kind:
    assert isinstance(node, ast.UnaryOp)
    inner = kind_of(node.operand, kinds)
    return UNKNOWN if isinstance(node.op, ast.Not) else inner


def _compare(node: ast.expr, kinds: Mapping[str, Kind]) -> Kind:
    assert isinstance(node, ast.Compare)
    parts = [kind_of(item, kinds) for item in (node.left, *node.comparators)]
    return Kind("i1", broadcast(*(part.shape for part in parts)))


def _subscript(node: ast.expr, kinds: Mapping[str, Kind]) -> Kind:
    """``[:, None]`` and its like."""
    assert isinstance(node, ast.Subscript)
    inner = kind_of(node.value, kinds)
    items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if inner.shape is None:
        return replace(inner, shape=None)
    old, shape = list(inner.shape), []
    for item in items:
        if isinstance(item, ast.Slice):
            if not old:
                return UNKNOWN
            shape.append(old.pop(0))
        elif isinstance(item, ast.Constant) and item.value is None:
            shape.append("1")
        else:
            return UNKNOWN
    return replace(inner, shape=(*shape, *old))


def _call(node: ast.expr, kinds: Mapping[str, Kind]) -> Kind:
    assert isinstance(node, ast.Call)
    if isinstance(node.func, ast.Attribute) and node.func.attr == "to" and node.args:
        inner = kind_of(node.func.value, kinds)
        return Kind(dtype_named(ast.unparse(node.args[0])), inner.shape)
    name = ast.unparse(node.func)
    rule = _CALLS.get(name)
    if rule is not None:
        return rule(node, kinds)
    given = [kind_of(item, kinds) for item in node.args]
    if name in _ELEMENTWISE and given:
        dtype = given[0].dtype
        for one in given[1:]:
            dtype = promoted(dtype, one.dtype)
        return Kind(dtype, broadcast(*(one.shape for one in given)))
    if name in _REDUCTIONS and given:
        return _reduced(node, given[0])
    return UNKNOWN


def _reduced(node: ast.Call, kind: Kind) -> Kind:
    axis = node.args[1] if len(node.args) > 1 else None
    known = kind.dtype in (*_FLOATS, "i32", "i64")
    if kind.shape is None or not isinstance(axis, ast.Constant) or not isinstance(axis.value, int):
        return Kind(kind.dtype if known else None, None)
    shape = list(kind.shape)
    if axis.value >= len(shape):
        return UNKNOWN
    del shape[axis.value]
    narrow = kind.dtype in ("fp16", "bf16")
    return Kind(kind.dtype if known and not narrow else None, tuple(shape))


def _load(node: ast.Call, kinds: Mapping[str, Kind]) -> Kind:
    place = kind_of(node.args[0], kinds)
    pointee = place.pointee
    return Kind("i8" if pointee == "i1" else pointee, place.shape)


def shape_text(node: ast.expr) -> Shape | None:
    """The sizes of a list or tuple of them."""
    if isinstance(node, (ast.List, ast.Tuple)):
        return tuple(ast.unparse(item) for item in node.elts)
    return None


def _filled(node: ast.Call, _: Mapping[str, Kind]) -> Kind:
    texts = [ast.unparse(item) for item in node.args]
    texts += [ast.unparse(item.value) for item in node.keywords if item.arg == "dtype"]
    return Kind(dtype_named(texts[-1]), shape_text(node.args[0]))


def _spread(node: ast.Call, kinds: Mapping[str, Kind]) -> Kind:
    shape = shape_text(node.args[1]) if len(node.args) > 1 else None
    return replace(kind_of(node.args[0], kinds), shape=shape)


def _chosen(node: ast.Call, kinds: Mapping[str, Kind]) -> Kind:
    given = [kind_of(item, kinds) for item in node.args]
    if len(given) != 3:
        return UNKNOWN
    return Kind(promoted(given[1].dtype, given[2].dtype), broadcast(*(one.shape for one in given)))


def _arange(node: ast.Call, _: Mapping[str, Kind]) -> Kind:
    return Kind("i32", (ast.unparse(node.args[-1]),))


def _cast(node: ast.Call, kinds: Mapping[str, Kind]) -> Kind:
    return Kind(dtype_named(ast.unparse(node.args[1])), kind_of(node.args[0], kinds).shape)


def _product(node: ast.Call, kinds: Mapping[str, Kind]) -> Kind:
    """Of two blocks, in float32 unless they are integers or it is said otherwise."""
    shapes = [kind_of(item, kinds).shape for item in node.args[:2]]
    given = {item.arg: ast.unparse(item.value) for item in node.keywords}
    dtype = dtype_named(given["out_dtype"]) if "out_dtype" in given else None
    if len(shapes) != 2 or any(shape is None or len(shape) != 2 for shape in shapes):
        return Kind(dtype)
    (rows, _), (_, columns) = shapes  # type: ignore[misc]
    return Kind(dtype, (rows, columns))


def _least(node: ast.Call, kinds: Mapping[str, Kind]) -> Kind:
    given = [kind_of(item, kinds) for item in node.args]
    dtype = given[0].dtype
    for one in given[1:]:
        dtype = promoted(dtype, one.dtype)
    return Kind(dtype, broadcast(*(one.shape for one in given)))


def _random(node: ast.Call, kinds: Mapping[str, Kind]) -> Kind:
    return Kind("fp32", kind_of(node.args[1], kinds).shape)


def _scalar(_: ast.Call, __: Mapping[str, Kind]) -> Kind:
    return Kind("i32", ())


def _hinted(node: ast.Call, kinds: Mapping[str, Kind]) -> Kind:
    return kind_of(node.args[0], kinds)


_CALLS: dict[str, Callable[[ast.Call, Mapping[str, Kind]], Kind]] = {
    "sort_values": lambda node, kinds: kind_of(node.args[0], kinds),
    "float": lambda _, __: Kind(FLOAT, ()),
    "max": _least,
    "min": _least,
    "tl.arange": _arange,
    "tl.broadcast_to": _spread,
    "tl.cast": _cast,
    "tl.dot": _product,
    "tl.full": _filled,
    "tl.zeros": _filled,
    "tl.load": _load,
    "tl.max_contiguous": _hinted,
    "tl.multiple_of": _hinted,
    "tl.num_programs": _scalar,
    "tl.program_id": _scalar,
    "tl.rand": _random,
    "tl.randn": _random,
    "tl.where": _chosen,
}
_RULES: dict[type[ast.expr], Callable[[ast.expr, Mapping[str, Kind]], Kind]] = {
    ast.Name: _name,
    ast.Constant: _constant,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.Compare: _compare,
    ast.Subscript: _subscript,
    ast.Call: _call,
}


class KindRewriter(ast.NodeTransformer):
    """Rewrites a kernel's expressions statement by statement, with the kinds known at each.

    Args:
        kinds: of the parameters.
    """

    def __init__(self, kinds: Kinds) -> None:
        self.kinds = dict(kinds)

    def run(self, function: ast.FunctionDef) -> None:
        """Rewrites a function in place."""
        self._block(function.body)

    def kind(self, node: ast.expr) -> Kind:
        return kind_of(node, self.kinds)

    def _block(self, block: list[ast.stmt]) -> None:
        for statement in block:
            for field, value in ast.iter_fields(statement):
                if isinstance(value, ast.expr) and field != "target":
                    setattr(statement, field, self.visit(value))
            note(statement, self.kinds)
            for inner in (getattr(statement, "body", None), getattr(statement, "orelse", None)):
                if inner:
                    self._block(inner)
