"""The algebra of terms: what is taken for equal besides equal expressions.

Operands of commutative operations have no order; maxima and the like are sets (``sets``);
``x + 0`` and ``x * 1`` are ``x``, of integers and of floats (the sign of zero aside); ``|a - b|``
is ``|b - a|``, and so are their squares; a float extended and rounded back is itself, for an
extension is exact.  Selections are in ``choice``.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from builder.bench.proofs.bounds import floor_of, least_sum, settled_lanes
from builder.bench.proofs.constants import COMPARISONS
from builder.bench.proofs.differences import difference
from builder.bench.proofs.poles import (
    DIVISIONS,
    all_numbers,
    has_poles,
    is_masked,
    lies_between,
    without_poles,
)
from builder.bench.proofs.ranges import settled_order
from builder.bench.proofs.saturation import is_cut, saturated, with_clamp
from builder.bench.proofs.sets import IDEMPOTENT, extended, united
from builder.bench.proofs.signs import KEEPS_SIGN
from builder.bench.proofs.sizes import (
    EVEN,
    even_words,
    kept_sizes,
    size_words,
    square_words,
    without_signs,
)
from builder.bench.proofs.terms import (
    NEGATED,
    Known,
    Term,
    Value,
    Words,
    as_words,
    combined,
    constant_words,
    float_constant,
    name_hash,
)
from builder.bench.proofs.zero_factors import factors_of, keeps_zero

if TYPE_CHECKING:
    from builder.execute.ir import Function, Operation, Type

_COMMUTATIVE = frozenset(
    {"arith.addf", "arith.mulf", "arith.addi", "arith.muli", "arith.xori", "math.fma"}
)
_MIRRORED = {
    "sgt": "slt", "sge": "sle", "ugt": "ult", "uge": "ule", "ogt": "olt", "oge": "ole",
}  # fmt: skip
_SYMMETRIC = frozenset({"eq", "ne", "oeq", "one", "ueq", "une"})
_HINTS = frozenset({"evictionPolicy", "cacheModifier", "cache", "evict", "isVolatile"})
_NEUTRAL = {"arith.addf": 0.0, "arith.subf": 0.0, "arith.mulf": 1.0, "arith.divf": 1.0}
_NEUTRAL_INTEGERS = {"arith.addi": 0, "arith.subi": 0, "arith.muli": 1}
_KEEPS_POSITIVE = frozenset({"arith.addf", "arith.mulf"}) | DIVISIONS
_SIGNED = frozenset({"arith.mulf", "arith.divf"})
_POSITIVE = frozenset({"math.absf", "math.exp", "math.exp2", "math.sqrt", "tt.precise_sqrt"})
_LIBRARY_POSITIVE = frozenset({"__nv_fabsf", "__nv_expf", "__nv_exp2f", "__nv_sqrtf", "__nv_erfcf"})
_EXPONENTIALS = frozenset({"math.exp", "math.exp2", "__nv_expf", "__nv_exp2f"})
_FROM_INTEGER = frozenset({"arith.uitofp", "arith.sitofp"})
_REFLEXIVE = frozenset({"eq", "sle", "sge", "ule", "uge"})
_EQUAL = {"oeq": True, "ueq": True, "one": False, "une": False}


def term(
    function: Function, op: Operation, args: list[Value], kind: Type, *, finite: bool
) -> Value:
    """The result of an operation that is not computed."""
    words = [as_words(value) for value in args]
    if kind.element == "i1":
        settled = _settled(function, op, args, words, finite=finite)
        if settled is not None:
            return settled
    own = _by_other_rules(function, op, args, kind, finite=finite)
    if own is not None:
        return own
    hashes = _special(function, op, args, words, kind)
    if hashes is None:
        hashes = _beside_neutral(op, words, _plain(function, op, words))
    elif finite and op.name in ("arith.mulf", "arith.subf"):
        nothing = _vanishes(op, args, words, kind)
        hashes = np.where(nothing, float_constant(kind.element, 0.0), hashes)
    if keeps_zero(op):
        zero = float_constant(kind.element, 0.0)
        hashes = np.where(words[0] == zero, zero, hashes)
    is_finite = all(isinstance(value, Known) or _is_finite(value) for value in args)
    made = Term(
        hashes,
        is_finite,
        positive=_is_positive(op, args),
        numbers=is_finite,
        masked=op.name == "math.absf" and is_masked(args[0]),
        factors=factors_of(op, args, words, finite=finite),
        sizes=kept_sizes(args, hashes),
        least=least_sum(args) if op.name == "arith.addf" else None,
        poles=has_poles(op, args),
    )
    return _beside_infinity(op, args, words, made, kind.element) if finite else made


def _by_other_rules(
    function: Function, op: Operation, args: list[Value], kind: Type, *, finite: bool
) -> Value | None:
    """The result of an operation that is no mere expression of its operands."""
    if op.name in KEEPS_SIGN:
        return _converted(function, op, args[0], kind)
    if op.name in IDEMPOTENT:
        return with_clamp(op.name, args, united(op.name, args, kind, finite=finite))
    if op.name in ("arith.extui", "arith.extsi"):
        source = function.types[op.operands[0]]
        return extended(op.name, operation_name(function, op), args[0], source, kind)
    return None


def _vanishes(op: Operation, args: list[Value], words: list[Words], kind: Type) -> np.ndarray:
    """Where a product of numbers is zero, for a factor is, or a difference, for there is none."""
    if op.name == "arith.subf":
        numbers = all(_is_finite(value) for value in args) and without_poles(args)
        return (words[0] == words[1]) & numbers
    zero, *infinities = (float_constant(kind.element, n) for n in (0.0, math.inf, -math.inf))
    first, second = (
        ~np.isin(word, infinities) & lies_between(value)
        for word, value in zip(words, args, strict=True)
    )
    return ((words[0] == zero) & second) | ((words[1] == zero) & first)


def _beside_infinity(
    op: Operation, args: list[Value], words: list[Words], made: Term, element: str
) -> Term:
    """Lanes that are minus infinity: what finite numbers change nothing of, and ``exp`` takes to 0.

    So a padded or masked lane adds nothing to a sum of exponentials, with a mask or without one.
    """
    low, high = (float_constant(element, number) for number in (-math.inf, math.inf))
    if op.name in ("arith.subf", "arith.addf") and is_masked(args[0]) and lies_between(args[1]):
        is_turned = op.name == "arith.subf" and lies_between(args[0])
        return _sum_beside_infinity(words, made, low, high, is_turned=is_turned)
    is_exponential = op.name in _EXPONENTIALS or op.attributes.get("symbol") in _EXPONENTIALS
    if is_exponential:
        hashes = np.where(words[0] == low, float_constant(element, 0.0), made.hashes)
        hashes = np.where(words[0] == high, high, hashes)
        masked = is_masked(args[0])
        finite = made.finite or (masked and not bool((words[0] == high).any()))
        return replace(
            made, hashes=hashes, finite=finite, numbers=made.numbers or finite, masked=masked
        )
    return made


def _sum_beside_infinity(
    words: list[Words], made: Term, low: np.uint64, high: np.uint64, *, is_turned: bool
) -> Term:
    """Minus infinity and a number; or, turned, a number less minus infinity, which is infinite."""
    numbers = [(word != low) & (word != high) for word in words]
    hashes = np.where((words[0] == low) & numbers[1], low, made.hashes)
    turned = numbers[0] & (words[1] == low) & is_turned
    known = bool(((words[0] != high) & numbers[1] | turned).all())
    hashes = np.where(turned, high, hashes)
    return replace(made, hashes=hashes, masked=known, numbers=made.numbers or known)


def _plain(function: Function, op: Operation, words: list[Words]) -> Words:
    predicate = op.attributes["words"][0] if op.name in ("arith.cmpf", "arith.cmpi") else None
    ordered = words[::-1] if predicate in _MIRRORED else words
    commutes = op.name in _COMMUTATIVE or predicate in _SYMMETRIC
    return combined(operation_name(function, op), ordered, commutes=commutes)


def _special(
    function: Function, op: Operation, args: list[Value], words: list[Words], kind: Type
) -> Words | None:
    """Results for which there is a rule."""
    if op.name == "arith.negf":
        return words[0] ^ NEGATED
    if op.name == "math.absf":
        sizes = combined(operation_name(function, op), [size_words(args[0])])
        zero, infinite, negative = (
            float_constant(kind.element, number) for number in (0.0, math.inf, -math.inf)
        )
        sizes = np.where((words[0] == infinite) | (words[0] == negative), infinite, sizes)
        return np.where(words[0] == zero, zero, sizes)
    if op.name in _FROM_INTEGER:
        is_zero = words[0] == constant_words(np.zeros(1, dtype=np.int64))
        return np.where(is_zero, float_constant(kind.element, 0.0), _plain(function, op, words))
    if op.name not in _NEUTRAL:
        name = str(op.attributes.get("symbol") or op.name)
        return _plain(function, op, even_words(args, name, kind.element)) if name in EVEN else None
    first, second = words
    if op.name == "arith.subf":
        result = difference(operation_name(function, op), first, second, kind.element)
    elif op.name in _SIGNED:
        *unsigned, sign = without_signs(args, words, kind.element)
        result = _plain(function, op, unsigned) ^ sign
    else:
        result = _plain(function, op, words)
    if op.name == "arith.mulf":
        squares = square_words(args[0], kind.element)
        zero = float_constant(kind.element, 0.0)
        result = np.where(first == second, np.where(first == zero, zero, squares), result)
    neutral = float_constant(kind.element, _NEUTRAL[op.name])
    result = np.where(second == neutral, first, result)
    if op.name in ("arith.addf", "arith.mulf"):
        result = np.where(first == neutral, second, result)
    if op.name == "arith.addf":
        negative = float_constant(kind.element, -0.0)
        result = np.where(second == negative, first, result)
        result = np.where(first == negative, second, result)
    return result


def _beside_neutral(op: Operation, words: list[Words], plain: Words) -> Words:
    """Integers, in lanes where one changes nothing, such as the zero of a masked load."""
    if op.name not in _NEUTRAL_INTEGERS:
        return plain
    first, second = words
    neutral = constant_words(np.full(1, _NEUTRAL_INTEGERS[op.name], dtype=np.int64))
    result = np.where(second == neutral, first, plain)
    return np.where(first == neutral, second, result) if op.name in _COMMUTATIVE else result


def sum_words(first: Words, second: Words, element: str) -> Words:
    """The terms of sums, as additions have them, of numbers that may be infinite."""
    name = name_hash("arith.addf", repr([("words", [])]), *[element] * 3)
    result = combined(name, [first, second], commutes=True)
    for words, other in ((first, second), (second, first)):
        result = np.where(words == float_constant(element, 0.0), other, result)
    return result


def _converted(function: Function, op: Operation, value: Value, kind: Type) -> Term:
    """A conversion between float types keeps zero, one and infinities; back is where it was."""
    words = as_words(value) if is_cut(op) else saturated(value, kind.element)
    source = function.types[op.operands[0]].element
    result = combined(operation_name(function, op), [words])
    for number in (0.0, 1.0, float("inf"), float("-inf")):
        same = words == float_constant(source, number)
        result = np.where(same, float_constant(kind.element, number), result)
    exact = value.exact if isinstance(value, Term) else None
    if op.name != "arith.extf" and exact is not None and exact[0] == kind.element:
        result = exact[1]
    is_finite = isinstance(value, Term) and value.finite
    return Term(
        result,
        is_finite,
        masked=is_masked(value),
        positive=_is_positive(op, [value]),
        numbers=is_finite,
        exact=(source, words) if op.name == "arith.extf" else None,
        poles=not without_poles([value]),
    )


def _is_finite(value: Value) -> bool:
    return isinstance(value, Term) and value.finite


def _is_positive(op: Operation, args: list[Value]) -> bool:
    if op.name in _POSITIVE or op.attributes.get("symbol") in _LIBRARY_POSITIVE:
        return True
    if op.name == "arith.mulf" and args[0] is args[1]:
        return True
    positive = all(isinstance(value, Term) and value.positive for value in args)
    if op.name in _KEEPS_POSITIVE:
        return (positive or _never_below(op, args)) and all(_is_finite(value) for value in args)
    return op.name in KEEPS_SIGN and positive


def _never_below(op: Operation, args: list[Value]) -> bool:
    """Whether no operand is below zero, nor divided by minus zero, which a clamp may leave."""
    floors = [floor_of(value) for value in args]
    known = [floor for floor in floors if floor is not None and floor >= 0.0]
    divides = op.name in DIVISIONS
    return len(known) == len(args) and (not divides or known[1] > 0.0)


def _settled(
    function: Function, op: Operation, args: list[Value], words: list[Words], *, finite: bool
) -> Value | None:
    """Conditions that are known though an operand is not."""
    if op.name in ("arith.andi", "arith.ori"):
        for known, other in ((args[0], words[1]), (args[1], words[0])):
            if isinstance(known, Known):
                passes = known.data != 0 if op.name == "arith.andi" else known.data == 0
                return Term(np.where(passes, other, as_words(known)))
    if op.name == "arith.xori":
        return _flipped(args, words)
    if op.name == "arith.cmpi":
        return Term(settled_lanes(function, op, args, _with_itself(function, op, words)))
    if op.name == "arith.cmpf":
        settled = settled_order(op, args, finite=finite)
        if settled is not None:
            return settled
        found = _finite_comparison(function, op, args, words) if finite else None
        return found or _zero_comparison(function, op, args, words)
    return None


def _with_itself(function: Function, op: Operation, words: list[Words]) -> Words:
    """Lanes where an integer is compared with itself, such as a masked load's zero with zero."""
    answer = op.attributes["words"][0] in _REFLEXIVE
    known = constant_words(np.full(1, answer, dtype=np.int64))
    return np.where(words[0] == words[1], known, _plain(function, op, words))


def _zero_comparison(
    function: Function, op: Operation, args: list[Value], words: list[Words]
) -> Term | None:
    """Lanes where zero, such as what a masked load leaves, is compared with a constant."""
    predicate = op.attributes["words"][0]
    zero = float_constant(function.types[op.operands[0]].element, 0.0)
    for place, other in ((0, 1), (1, 0)):
        constant = getattr(args[other], "constant", None)
        is_zero = words[place] == zero
        if constant is None or predicate not in COMPARISONS or not bool(is_zero.any()):
            continue
        pair = (0.0, constant) if place == 0 else (constant, 0.0)
        answers = constant_words(np.asarray(COMPARISONS[predicate](*pair), dtype=np.int64))
        return Term(np.where(is_zero, answers, _plain(function, op, words)))
    return None


def _flipped(args: list[Value], words: list[Words]) -> Value | None:
    """``not`` twice is nothing, and of a constant the other one."""
    for known, other in ((args[0], words[1]), (args[1], words[0])):
        if isinstance(known, Known) and bool((known.data == 1).all()):
            false, true = (constant_words(np.full(1, n, dtype=np.int64)) for n in (0, 1))
            flipped = np.where(other == true, false, other ^ NEGATED)
            return Term(np.where(other == false, true, flipped))
    return None


def _finite_comparison(
    function: Function, op: Operation, args: list[Value], words: list[Words]
) -> Value | None:
    """A finite value equals itself, and no infinity; an infinite constant does."""
    predicate = op.attributes["words"][0]
    if predicate not in _EQUAL:
        return _infinite_order(function, op, args, words)
    shape = np.broadcast_shapes(words[0].shape, words[1].shape)
    if all_numbers(args) and bool((words[0] == words[1]).all()):
        return Known(np.full(shape, int(_EQUAL[predicate]), dtype=np.int64))
    element = function.types[op.operands[0]].element
    for constant, other in ((0, 1), (1, 0)):
        is_infinite = [
            bool((words[constant] == float_constant(element, number)).all())
            for number in (math.inf, -math.inf)
        ]
        if any(is_infinite) and lies_between(args[other]):
            same = np.broadcast_to(words[0] == words[1], shape)
            return Known(np.where(same, _EQUAL[predicate], not _EQUAL[predicate]).astype(np.int64))
    return None


def _infinite_order(
    function: Function, op: Operation, args: list[Value], words: list[Words]
) -> Value | None:
    """Finite values lie between the infinities; an infinite constant may be one of them."""
    predicate = op.attributes["words"][0]
    element = function.types[op.operands[0]].element
    if predicate not in ("olt", "ole", "ogt", "oge"):
        return None
    low, high = (0, 1) if predicate in ("olt", "ole") else (1, 0)
    same = predicate in ("ole", "oge")
    for place, number, answer in (
        (low, -math.inf, True), (high, math.inf, True),
        (low, math.inf, False), (high, -math.inf, False),
    ):  # fmt: skip
        is_infinite = bool((words[place] == float_constant(element, number)).all())
        if is_infinite and lies_between(args[1 - place]):
            shape = np.broadcast_shapes(words[0].shape, words[1].shape)
            equal = np.broadcast_to(words[0] == words[1], shape)
            return Known(np.where(equal, same, answer).astype(np.int64))
    return None


def operation_name(function: Function, op: Operation) -> np.uint64:
    """The operation: name, attributes, element types; not the block's shape."""
    attributes = {k: v for k, v in op.attributes.items() if k not in _HINTS}
    words = attributes.get("words", [])
    attributes["words"] = [_MIRRORED.get(word, word) for word in words]
    types = [function.types[slot].element for slot in (*op.operands, *op.results)]
    return name_hash(op.name, repr(sorted(attributes.items(), key=lambda kv: kv[0])), *types)
