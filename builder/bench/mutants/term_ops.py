"""The operations of TTIR on symbols: integer arithmetic is done, everything else becomes a term."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from builder.bench.mutants.terms import (
    Address,
    Integers,
    Known,
    Term,
    Unprovable,
    Value,
    Words,
    as_words,
    combined,
    in_sequence,
    mixed,
    name_hash,
    prefixes,
    unsigned,
    wrapped,
)

if TYPE_CHECKING:
    from builder.execute.ir import Function, Operation, Region, Type

_COMMUTATIVE = frozenset(
    {
        "arith.addf", "arith.mulf", "arith.addi", "arith.muli", "arith.andi", "arith.ori",
        "arith.xori", "arith.maximumf", "arith.minimumf", "arith.maxnumf", "arith.minnumf",
        "arith.maxsi", "arith.minsi", "arith.maxui", "arith.minui", "math.fma",
    }
)  # fmt: skip
_IDEMPOTENT = frozenset(
    {
        "arith.maximumf", "arith.minimumf", "arith.maxnumf", "arith.minnumf", "arith.maxsi",
        "arith.minsi", "arith.maxui", "arith.minui", "arith.andi", "arith.ori",
    }
)  # fmt: skip
_MIRRORED = {
    "sgt": "slt", "sge": "sle", "ugt": "ult", "uge": "ule", "ogt": "olt", "oge": "ole",
}  # fmt: skip
_SYMMETRIC = frozenset({"eq", "ne", "oeq", "one", "ueq", "une"})
_HINTS = frozenset({"evictionPolicy", "cacheModifier", "cache", "evict", "isVolatile"})
_POINTWISE = frozenset(
    {
        "tt.extern_elementwise", "tt.precise_sqrt", "tt.precise_divf", "tt.clampf", "tt.mulhiui",
        "tt.fp_to_fp", "tt.bitcast", "tt.ptr_to_int", "tt.int_to_ptr",
    }
)  # fmt: skip
_AXES = {"x": 0, "y": 1, "z": 2}


def _divided(a: Integers, b: Integers) -> Integers:
    """Quotients rounded towards zero; a lane that divides by zero has no meaning, and gets 0."""
    safe = np.where(b == 0, 1, b)
    quotient = np.abs(a) // np.abs(safe)
    return np.where(b == 0, 0, np.where((a < 0) != (safe < 0), -quotient, quotient))


_ARITHMETIC: dict[str, Callable[[Integers, Integers], Any]] = {
    "arith.addi": np.add,
    "arith.subi": np.subtract,
    "arith.muli": np.multiply,
    "arith.andi": np.bitwise_and,
    "arith.ori": np.bitwise_or,
    "arith.xori": np.bitwise_xor,
    "arith.maxsi": np.maximum,
    "arith.minsi": np.minimum,
    "arith.divsi": _divided,
    "arith.remsi": lambda a, b: a - _divided(a, b) * b,
    "arith.shli": lambda a, b: np.left_shift(a, np.clip(b, 0, 63)),
    "arith.shrsi": lambda a, b: np.right_shift(a, np.clip(b, 0, 63)),
}
_UNSIGNED: dict[str, Callable[[Integers, Integers], Any]] = {
    "arith.divui": _divided,
    "arith.remui": lambda a, b: a - _divided(a, b) * b,
    "arith.shrui": lambda a, b: np.right_shift(a, np.clip(b, 0, 63)),
    "arith.maxui": np.maximum,
    "arith.minui": np.minimum,
}
_COMPARISONS: dict[str, Callable[[Integers, Integers], Any]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


def pure(
    function: Function, op: Operation, args: list[Value], grid: tuple[int, ...], ids: Integers
) -> list[Value]:
    """The results of an operation that touches no memory and has no control flow.

    Args:
        function: whose slots the operation names.
        op: the operation.
        args: its operands.
        grid: program instances along x, y, z.
        ids: linear program ids, of shape (P,).

    Raises:
        Unprovable: an operation that has no rule here.
    """
    if op.name == "tt.get_program_id":
        axis = _AXES[op.attributes["words"][0]]
        below = int(np.prod(grid[:axis], dtype=np.int64))
        return [Known(ids // below % grid[axis])]
    if op.name == "tt.get_num_programs":
        return [Known(np.full(1, grid[_AXES[op.attributes["words"][0]]], dtype=np.int64))]
    maker = _MAKERS.get(op.name)
    if maker is not None:
        return maker(function, op, args)
    if op.name.startswith(("arith.", "math.")) or op.name in _POINTWISE:
        return [_pointwise(function, op, args)]
    raise Unprovable(op.name)


# -- element by element ------------------------------------------------------------------------


def _pointwise(function: Function, op: Operation, args: list[Value]) -> Value:
    kind = function.types[op.results[0]]
    if op.name == "arith.constant":
        return _constant(op.attributes["literal"], kind)
    if op.name == "arith.select":
        return select(*args)
    if op.name == "tt.bitcast" and isinstance(args[0], Address):
        return _retyped(args[0], kind)
    if all(isinstance(value, Known) for value in args) and not kind.is_float:
        known = _integers(function, op, [value.data for value in args if isinstance(value, Known)])
        if known is not None:
            return Known(wrapped(known, kind.bits))
    return _term(function, op, args, kind)


def _constant(literal: str, kind: Type) -> Value:
    shape = (1,) * (len(kind.shape) + 1)
    if literal.startswith("["):
        raise Unprovable("a constant of several values")
    if kind.is_float:
        return Term(np.full(shape, name_hash("float", kind.element, literal)))
    value = int(literal == "true") if literal in ("true", "false") else int(literal, 0)
    return Known(wrapped(np.full(shape, value, dtype=np.int64), kind.bits))


def _integers(function: Function, op: Operation, args: list[Integers]) -> Any:
    """The result on known integers; None where there is no rule."""
    bits = function.types[op.operands[0]].bits
    if op.name in _ARITHMETIC:
        return _ARITHMETIC[op.name](*args)
    if op.name in _UNSIGNED:
        return _UNSIGNED[op.name](*(unsigned(arg, bits) for arg in args))
    if op.name == "arith.cmpi":
        word = op.attributes["words"][0]
        if word.startswith("u"):
            args = [unsigned(arg, bits) for arg in args]
        return _COMPARISONS[word if word in _COMPARISONS else word[1:]](*args)
    if op.name == "arith.extsi":
        return -args[0] if bits == 1 else args[0]
    if op.name == "arith.extui":
        return unsigned(args[0], bits)
    if op.name in ("arith.trunci", "arith.index_cast"):
        return args[0]
    return None


def _term(function: Function, op: Operation, args: list[Value], kind: Type) -> Value:
    words = [as_words(value) for value in args]
    if kind.element == "i1" and op.name in ("arith.andi", "arith.ori"):
        settled = _settled_logic(op.name, args, words)
        if settled is not None:
            return settled
    name, commutes = _name(function, op), op.name in _COMMUTATIVE
    predicate = op.attributes["words"][0] if op.name in ("arith.cmpf", "arith.cmpi") else None
    if predicate in _MIRRORED:
        words.reverse()
    commutes = commutes or predicate in _SYMMETRIC
    result = combined(name, words, commutes=commutes)
    if op.name in _IDEMPOTENT:
        result = np.where(words[0] == words[1], words[0], result)
    return Term(result)


def _settled_logic(name: str, args: list[Value], words: list[Words]) -> Value | None:
    """``and`` and ``or`` of a condition known in each lane and one that is not."""
    for known, other in ((args[0], words[1]), (args[1], words[0])):
        if isinstance(known, Known):
            passes = known.data != 0 if name == "arith.andi" else known.data == 0
            return Term(np.where(passes, other, as_words(known)))
    return None


def _name(function: Function, op: Operation) -> np.uint64:
    """The operation: name, attributes, element types; not the block's shape."""
    attributes = {k: v for k, v in op.attributes.items() if k not in _HINTS}
    words = attributes.get("words", [])
    attributes["words"] = [_MIRRORED.get(word, word) for word in words]
    types = [function.types[slot].element for slot in (*op.operands, *op.results)]
    return name_hash(op.name, repr(sorted(attributes.items(), key=lambda kv: kv[0])), *types)


def select(condition: Value, left: Value, right: Value) -> Value:
    """One of two values, lane by lane.

    Raises:
        Unprovable: a selection between addresses in different storages.
    """
    if isinstance(left, Address) and isinstance(right, Address):
        if (left.storage, left.itemsize) != (right.storage, right.itemsize):
            raise Unprovable("a selection between addresses")
        chosen = select(condition, left.offset, right.offset)
        assert not isinstance(chosen, Address)
        return left.with_offset(chosen)
    if isinstance(condition, Known):
        takes = condition.data != 0
        if isinstance(left, Known) and isinstance(right, Known):
            return Known(np.where(takes, left.data, right.data))
        return Term(np.where(takes, as_words(left), as_words(right)))
    ours, theirs = as_words(left), as_words(right)
    chosen_words = combined(name_hash("select"), [as_words(condition), ours, theirs])
    return Term(np.where(ours == theirs, ours, chosen_words))


def _retyped(address: Address, kind: Type) -> Address:
    assert kind.pointee is not None
    if kind.pointee.itemsize != address.itemsize:
        raise Unprovable("an address of elements of another size")
    return address


# -- shapes ------------------------------------------------------------------------------------


def _viewed(value: Value, view: Callable[[Any], Any]) -> Value:
    if isinstance(value, Known):
        return Known(view(value.data))
    if isinstance(value, Term):
        return Term(view(value.hashes))
    offset = _viewed(value.offset, view)
    assert not isinstance(offset, Address)
    return value.with_offset(offset)


def _full(array: Any, kind: Type) -> Any:
    return np.broadcast_to(array, (array.shape[0], *kind.shape))


def _make_range(_function: Function, op: Operation, _args: list[Value]) -> list[Value]:
    start, end = op.attributes["start"], op.attributes["end"]
    return [Known(np.arange(start, end, dtype=np.int64)[None])]


def _splat(function: Function, op: Operation, args: list[Value]) -> list[Value]:
    rank = len(function.types[op.results[0]].shape)
    return [_viewed(args[0], lambda a: a.reshape(a.shape[0], *(1,) * rank))]


def _unsplat(_function: Function, _op: Operation, args: list[Value]) -> list[Value]:
    return [_viewed(args[0], lambda a: a.reshape(a.shape[0]))]


def _same(_function: Function, _op: Operation, args: list[Value]) -> list[Value]:
    return [args[0]]


def _expand_dims(_function: Function, op: Operation, args: list[Value]) -> list[Value]:
    return [_viewed(args[0], lambda a: np.expand_dims(a, op.attributes["axis"] + 1))]


def _trans(_function: Function, op: Operation, args: list[Value]) -> list[Value]:
    order = [0, *(axis + 1 for axis in op.attributes["order"])]
    return [_viewed(args[0], lambda a: a.transpose(order))]


def _reshape(function: Function, op: Operation, args: list[Value]) -> list[Value]:
    source, target = function.types[op.operands[0]], function.types[op.results[0]]
    return [_viewed(args[0], lambda a: _full(a, source).reshape(a.shape[0], *target.shape))]


def _split(function: Function, op: Operation, args: list[Value]) -> list[Value]:
    kind = function.types[op.operands[0]]
    return [_viewed(args[0], lambda a, i=i: _full(a, kind)[..., i]) for i in (0, 1)]


def _join(function: Function, op: Operation, args: list[Value]) -> list[Value]:
    full = [_full(as_words(v), function.types[op.operands[0]]) for v in args]
    return [Term(np.stack(np.broadcast_arrays(*full), axis=-1))]


# -- along an axis -----------------------------------------------------------------------------


def _lanes(function: Function, op: Operation, args: list[Value]) -> Words:
    """Per element the hash of all operands there, at full size."""
    words = [as_words(value) for value in args]
    full = _full(combined(name_hash("lane"), words), function.types[op.operands[0]])
    return np.asarray(full)


def _reduce(function: Function, op: Operation, args: list[Value]) -> list[Value]:
    total = in_sequence(_lanes(function, op, args), op.attributes["axis"] + 1)
    region = region_hash(function, op.regions[0])
    return [
        Term(combined(name_hash("reduce", int(region), number), [total]))
        for number in range(len(op.results))
    ]


def _scan(function: Function, op: Operation, args: list[Value]) -> list[Value]:
    lanes = _lanes(function, op, args)
    reverse = bool(op.attributes.get("reverse"))
    sums = prefixes(lanes, op.attributes["axis"] + 1, reverse=reverse)
    region = region_hash(function, op.regions[0])
    return [
        Term(combined(name_hash("scan", int(region), reverse, number), [sums]))
        for number in range(len(op.results))
    ]


def _dot(function: Function, op: Operation, args: list[Value]) -> list[Value]:
    left = _full(as_words(args[0]), function.types[op.operands[0]])
    right = _full(as_words(args[1]), function.types[op.operands[1]])
    rows = np.expand_dims(in_sequence(left, left.ndim - 1), -1)
    columns = np.expand_dims(in_sequence(right, right.ndim - 2), -2)
    return [Term(combined(_name(function, op), [rows, columns, as_words(args[2])]))]


def _gather(function: Function, op: Operation, args: list[Value]) -> list[Value]:
    axis = op.attributes["axis"] + 1
    source = _full(as_words(args[0]), function.types[op.operands[0]])
    index = args[1]
    if isinstance(index, Known):
        places = _full(index.data, function.types[op.operands[1]])
        count = max(source.shape[0], places.shape[0])
        source, places = (np.broadcast_to(a, (count, *a.shape[1:])) for a in (source, places))
        places = np.clip(places, 0, source.shape[axis] - 1)
        return [Term(np.take_along_axis(source, places, axis))]
    everything = np.expand_dims(in_sequence(source, axis), axis)
    return [Term(combined(name_hash("gather", axis), [everything, as_words(index)]))]


def region_hash(function: Function, region: Region) -> np.uint64:
    """The structure of a region that is applied to elements, its own names left out.

    Raises:
        Unprovable: it has several blocks, or uses values from outside.
    """
    if len(region.blocks) != 1:
        raise Unprovable("a region of several blocks")
    known: dict[int, Words] = {
        slot: mixed(np.full(1, name_hash("argument", number)))
        for number, slot in enumerate(region.entry.arguments)
    }
    parts: list[Value] = []
    for op in region.entry.operations:
        try:
            args: list[Value] = [Term(known[slot]) for slot in op.operands]
        except KeyError:
            raise Unprovable("a region that uses values from outside") from None
        if op.name.endswith(".return"):
            parts = args
            continue
        value = _pointwise(function, op, args)
        known[op.results[0]] = as_words(value).reshape(1)
    return np.uint64(combined(name_hash("region"), [as_words(part) for part in parts])[0])


_MAKERS: dict[str, Callable[[Any, Any, list[Value]], list[Value]]] = {
    "tt.make_range": _make_range,
    "tt.splat": _splat,
    "tt.unsplat": _unsplat,
    "tt.broadcast": _same,
    "tt.expand_dims": _expand_dims,
    "tt.trans": _trans,
    "tt.reshape": _reshape,
    "tt.split": _split,
    "tt.join": _join,
    "tt.reduce": _reduce,
    "tt.scan": _scan,
    "tt.dot": _dot,
    "tt.gather": _gather,
}
