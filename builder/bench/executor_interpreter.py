"""Answers to the library calls that Triton's interpreter raises for.

Private parts of ``triton.runtime.interpreter``, written against triton 3.7, held by
``tests/bench/test_executor.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from triton import language as tl
from triton.language.extra import libdevice
from triton.runtime.interpreter import TensorHandle

if TYPE_CHECKING:
    from collections.abc import Callable

FUNCTIONS: dict[str, Callable[..., torch.Tensor]] = {
    "erf": torch.erf,
    "exp": torch.exp,
    "exp2": torch.exp2,
    "log": torch.log,
    "rsqrt": torch.rsqrt,
    "sqrt": torch.sqrt,
    "tanh": torch.tanh,
}


def answer_library_calls() -> None:
    """Replace the functions of ``libdevice``, which have no body under the interpreter."""
    for name, function in FUNCTIONS.items():
        setattr(libdevice, name, _elementwise(function))


def _elementwise(function: Callable[..., torch.Tensor]) -> Any:
    def run(*values: tl.tensor) -> tl.tensor:
        kind = values[0].type
        result = function(*(torch.as_tensor(value.handle.data) for value in values))
        return tl.tensor(TensorHandle(result.numpy(), kind.scalar), kind)

    return run
