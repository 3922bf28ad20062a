"""The large tier: inputs of hundreds of megabytes, as models in training have them.

Such a program declares small shape variants, too: its kernels take any size and are compared on
those, and must compile as they are launched on the declared inputs.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

    from builder.programs.draft import Draft

LARGE_SHARE = 0.08
"""Of the programs with shape variants."""

_LEAST_BYTES = 320 << 20
_MOST_ELEMENTS = 1 << 30  # of one input; kernels address with 32 bits
_LARGEST = {"batch": 4096, "seq": 8192, "queries": 4096, "keys": 8192, "height": 512, "width": 512}
_LARGEST_OTHER = 1 << 20
_PREFERRED = ("batch", "rows")
_SHAPE = re.compile(r"\(([^()]*\$[^()]*)\)")
_ITEM_BYTES = {"float64": 8, "int64": 8, "float32": 4, "int32": 4, "float16": 2, "bfloat16": 2}


def enlarge(rng: Random, draft: Draft) -> bool:
    """Doubles sizes that vary until the inputs are large; whether they are in the end."""
    before = dict(draft.values)
    while input_bytes(draft) < _LEAST_BYTES:
        able = [role for role in draft.varied if _may_grow(draft, role)]
        if not able or max(_elements(draft), default=0) > _MOST_ELEMENTS // 2:
            draft.values = before
            return False
        weights = [3.0 if role in _PREFERRED else 1.0 for role in able]
        draft.values[rng.choices(able, weights)[0]] *= 2
    return True


def input_bytes(draft: Draft) -> int:
    """What the declared inputs hold, about."""
    sizes = (_ITEM_BYTES.get(item.dtype, 1) for item in draft.inputs)
    return sum(map(math.prod, zip(_elements(draft), sizes, strict=True)))


def _may_grow(draft: Draft, role: str) -> bool:
    return draft.values[role] * 2 <= _LARGEST.get(role, _LARGEST_OTHER)


def _elements(draft: Draft) -> list[int]:
    """Elements of each input, by the shape that its template names first."""
    found = []
    for item in draft.inputs:
        shape = _SHAPE.search(item.template)
        parts = shape.group(1).split(",") if shape else []
        found.append(math.prod(_extent(draft, part.strip()) for part in parts))
    return found


def _extent(draft: Draft, part: str) -> int:
    """A size that a template names, or a product of such; 1 for what is none, such as a type."""
    factors = [factor.strip() for factor in part.split("*")]
    return math.prod(_factor(draft, factor) for factor in factors)


def _factor(draft: Draft, text: str) -> int:
    if text.isdigit():
        return int(text)
    value = draft.values.get(text.removeprefix("$"), 1) if text.startswith("$") else 1
    return value if isinstance(value, int) else 1
