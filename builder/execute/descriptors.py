"""Tensor descriptors that the host makes, as the kernel's text takes them apart."""

from __future__ import annotations

import dataclasses
from typing import Any

from triton.tools.tensor_descriptor import TensorDescriptor

_ROUNDS = "round_f32_to_tf32" in {field.name for field in dataclasses.fields(TensorDescriptor)}
"""Whether a descriptor says that, as since Triton 3.7, beside what lies outside of it."""


def descriptor_parts(rank: int) -> int:
    """How many arguments stand for a descriptor of that rank."""
    return 4 * rank + 2 + _ROUNDS


def opened(argument: Any) -> Any:
    """A descriptor as its arguments: base, sizes, strides, flags, sizes and strides again.

    Anything else comes back as it is.
    """
    if not isinstance(argument, TensorDescriptor):
        return argument
    layout = (*(int(n) for n in argument.shape), *(int(n) for n in argument.strides))
    flags = [argument.padding == "nan"]
    if _ROUNDS:
        flags.append(bool(argument.round_f32_to_tf32))
    return (argument.base, *layout, *flags, *layout)
