"""What stands before and after a motif: operators on an input, and on what is returned.

Only the text is looked at, so a motif is left alone where that may not be enough: several results,
results that are no floating-point numbers, inputs whose values have a meaning, or decisions that a
rounding flips.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from builder.programs.operators import OPERATORS
from builder.programs.spelling import with_close_powers

if TYPE_CHECKING:
    from collections.abc import Collection
    from random import Random

    from builder.programs.draft import Draft, Input

SHARE = 0.75
"""Of motifs that get some."""

_AFTER = 0.8
_BEFORE = 0.5
_MORE = 0.4
_MOST = 4
_FLOATS = ("float32", "bfloat16", "float16")
_NUMBERS = {
    "slope": ("0.01", "0.1", "0.2"),
    "bound": ("1.0", "2.0", "3.0", "6.0"),
    "scale": ("0.5", "0.7071", "0.1", "1.5"),
    "alpha": ("0.5", "1.0", "1.5"),
    "offset": ("0.1", "0.25", "0.5"),
}
_FIELD = re.compile(r"\{(\w+)\}")
_USUAL = {
    "relu": 12.0, "gelu": 4.0, "silu": 4.0, "sigmoid": 2.0, "tanh": 2.0, "scale": 5.0, "shift": 8.0,
    "abs": 0.3, "clamp": 0.3, "clamp_max": 0.3, "softshrink": 0.2,
}  # fmt: skip
_UNBOUNDED = {"cosh", "sinh", "exp", "exp2", "expm1", "cube", "square", "squared_relu", "softplus"}
_KINKED = {
    "relu", "relu6", "hardtanh", "leaky_relu", "positive_part", "abs", "clamp", "clamp_max",
    "hardsigmoid", "hardswish", "softshrink", "selu", "elu", "celu",
}  # fmt: skip
"""What they do to numbers of one sign is little or nothing."""
_JUMPS = {"threshold", "hardshrink", "sign", "round", "floor", "ceil", "trunc", "heaviside"}
"""What a rounding before them turns into a step is right on either side, and shows nothing."""
_ONE_SIGN = re.compile(
    r"softmax|sigmoid|loss|square|exp\(|norm|abs|\*\* ?2|var\(|std\(|dist|relu|sum"
)
_NO_FLOAT = re.compile(r"arg(max|min)|\.indices|int(8|32|64)|\.long\(|bool|unique|bucketize")
_DECIDES = re.compile(
    r"round|floor|ceil|trunc|sign|sort|topk|arg(max|min)|median|kthvalue|searchsorted|bucketize|"
    r"one_hot|[<>=]=|[<>] |cummax|cummin|unique|heaviside|mode\("
)
_WRITES = re.compile(r"\w_\(|[-+*/]=|\.data\b")


def surround(rng: Random, draft: Draft) -> bool:
    """Adds operators before and after what a draft computes; whether it could."""
    before = rng.random() < _BEFORE
    after = not before or rng.random() < _AFTER
    changed = False
    if before:
        changed |= _precede(rng, draft)
    if after:
        changed |= _follow(rng, draft)
    return changed


def _precede(rng: Random, draft: Draft) -> bool:
    """Operators on one of the inputs."""
    text = "\n".join(draft.forward_lines)
    able = [item for item in draft.inputs if _is_activation(item)]
    if not able or _DECIDES.search(text) or _WRITES.search(text):
        return False
    name = rng.choice(able).name
    steps = [_applied(rng, name, _UNBOUNDED) for _ in range(_count(rng, _MOST // 2))]
    draft.forward_lines[:0] = [f"{name} = {step}" for step in steps]
    return True


def _is_activation(item: Input) -> bool:
    return item.dtype in _FLOATS and "randn" in item.template


def _follow(rng: Random, draft: Draft) -> bool:
    """Operators on the result."""
    lines, value = draft.forward_lines, returned_value(draft)
    if value is None:
        return False
    name = value if value.isidentifier() else draft.spell(("y", "out", "result", "output", "h"))
    lines[-1:] = [] if name == value else [f"{name} = {value}"]
    left_out = _KINKED if _ONE_SIGN.search("\n".join(lines[-2:])) else set()
    steps = [_applied(rng, name, left_out) for _ in range(_count(rng, _MOST))]
    lines += [f"{name} = {step}" for step in steps[:-1]] + [f"return {steps[-1]}"]
    return True


def returned_value(draft: Draft) -> str | None:
    """What ``forward`` returns, if that is one floating tensor, and in its last line."""
    lines = draft.forward_lines
    returning = [line for line in lines if line.lstrip().startswith("return ")]
    if not returning or returning != [lines[-1]] or lines[-1].startswith(" "):
        return None
    value = lines[-1].removeprefix("return ")
    if draft.returns != "torch.Tensor" or not _is_one(value) or _NO_FLOAT.search("\n".join(lines)):
        return None
    return value


def _is_one(value: str) -> bool:
    """Whether an expression is one value, and no tuple of several."""
    try:
        return not isinstance(ast.parse(value.replace("$", ""), mode="eval").body, ast.Tuple)
    except SyntaxError:
        return False


def _count(rng: Random, most: int) -> int:
    count = 1
    while count < most and rng.random() < _MORE:
        count += 1
    return count


def _applied(rng: Random, name: str, left_out: Collection[str]) -> str:
    """An operator at work on a value."""
    names = [op for op in _SINGLE if op not in left_out]
    chosen = rng.choices(names, [_USUAL.get(op, 1.0) for op in names])[0]
    text = rng.choice(_SINGLE[chosen])
    numbers = {field: rng.choice(values) for field, values in _NUMBERS.items()}
    return with_close_powers(text.format(x=name, **numbers))


def _texts(name: str) -> list[str]:
    """The spellings of an operator that need nothing but numbers."""
    known = {"x", *_NUMBERS}
    texts = OPERATORS[name].texts
    return [text for text in texts if set(_FIELD.findall(text)) <= known]


_SINGLE = {
    name: _texts(name)
    for name, operator in OPERATORS.items()
    if operator.theme in ("activation", "unary")
    and name not in _JUMPS
    and operator.takes in (("float",), ("moderate",))
    and _texts(name)
}
