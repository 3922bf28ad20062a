"""Tensor descriptors that the host makes, as the kernel's text takes them apart."""

from __future__ import annotations

from typing import Any

from triton.tools.tensor_descriptor import TensorDescriptor


def descriptor_parts(rank: int) -> int:
    """How many arguments stand for a descriptor of that rank."""
    return 4 * rank + 3


def opened(argument: Any) -> Any:
    """A descriptor as its arguments: base, sizes, strides, two flags, sizes and strides again.

    Anything else comes back as it is.
    """
    if not isinstance(argument, TensorDescriptor):
        return argument
    layout = (*(int(n) for n in argument.shape), *(int(n) for n in argument.strides))
    flags = (argument.padding == "nan", bool(argument.round_f32_to_tf32))
    return (argument.base, *layout, *flags, *layout)
