"""Inputs as they are handed on in real models: not contiguous, or with heavy tails.

A projection's output is split, heads are transposed, images keep their channels last, and some
activations are far larger than the rest (Dettmers et al. 2022, "LLM.int8()").
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

    from builder.programs.draft import Draft

SHARE = 0.15
"""Of the programs that are not of the large tier."""

_NORMAL = re.compile(r"torch\.randn\((?P<dims>[^()]*?)(?P<dtype>, dtype=torch\.\w+)?\)")
_IMAGE = 4  # dimensions


def vary_layout(rng: Random, draft: Draft) -> bool:
    """Gives one of the inputs with normal values another layout, or heavy tails, in place.

    Returns:
        whether there is such an input.
    """
    if any(".view(" in line for line in draft.forward_lines):
        return False  # which asks for contiguous tensors
    able = [place for place, item in enumerate(draft.inputs) if _NORMAL.search(item.template)]
    if not able:
        return False
    place = rng.choice(able)
    item = draft.inputs[place]
    text = _NORMAL.sub(lambda found: _other(rng, found), item.template, count=1)
    draft.inputs[place] = replace(item, template=text)
    return True


def _other(rng: Random, found: re.Match[str]) -> str:
    """Another way to draw as many normal values."""
    dims = [part.strip() for part in found["dims"].split(",")]
    options = [f"{found[0]}.pow(3)"]
    if len(dims) > 1:
        options += [_transposed(rng, dims, found["dtype"] or "")] * 2
        options += [_sliced(rng, dims, found["dtype"] or "")] * 2
    if len(dims) == _IMAGE:
        last = "memory_format=torch.channels_last"
        options += [f"{found[0]}.to({last})", f"{found[0]}.contiguous({last})"] * 2
    return rng.choice(options)


def _transposed(rng: Random, dims: list[str], dtype: str) -> str:
    """The last two dimensions, or of heads the middle two, change places in memory."""
    first = -3 if len(dims) == _IMAGE and rng.random() < 0.7 else -2
    swapped = list(dims)
    swapped[first], swapped[first + 1] = dims[first + 1], dims[first]
    names = f"{first % len(dims)}, {first % len(dims) + 1}"
    ways = [f".transpose({names})"]
    if first == -2:
        ways += [".transpose(-2, -1)", ".mT"]
    return f"torch.randn({', '.join(swapped)}{dtype}){rng.choice(ways)}"


def _sliced(rng: Random, dims: list[str], dtype: str) -> str:
    """A part of the last dimension, as of a projection that gives several tensors at once."""
    count, size = rng.choice((2, 3)), dims[-1]
    whole = f"torch.randn({', '.join([*dims[:-1], f'{count} * {size}'])}{dtype})"
    if rng.random() < 0.5:
        return f"{whole}[..., :{size}]"
    return f"{whole}.chunk({count}, dim=-1)[{rng.randrange(count)}]"
