"""Which of a forward's own results have no influence on any output.

Where every input and parameter reaches an output, operators in between may still be idle: a product
that a softmax of large numbers drowns, a branch that a clamp cuts off.  A fault in a kernel would
not show there.
"""

from __future__ import annotations

import copy
from random import Random
from typing import TYPE_CHECKING, Any
from zlib import crc32

import torch
from torch.overrides import TorchFunctionMode

from builder.errors import ProgramRejected
from builder.programs.tree import tensors

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.programs.influence import Subject
    from builder.programs.load import LoadedProgram

_TYPES = (torch.float32, torch.float16, torch.bfloat16)
_NO_NODES = frozenset((
    "__get__", "__set__", "arange", "as_tensor", "contiguous", "detach", "empty", "empty_like",
    "expand", "full", "full_like", "linspace", "new_full", "new_ones", "new_zeros", "ones",
    "ones_like", "permute", "reshape", "scalar_tensor", "tensor", "to", "transpose", "unsqueeze",
    "view", "zeros", "zeros_like",
))  # fmt: skip
"""What makes a constant, or another view or type of what there is."""


def idle_nodes(loaded: LoadedProgram, subject: Subject, total: int, count: int) -> list[str]:
    """Results of torch functions that other values of them change no output of, the first at most.

    Args:
        loaded: the program.
        subject: its run; its module's buffers may be updated.
        total: how many results there are.
        count: how many to look at, drawn by a hash of the program's text.
    """
    rng = Random(crc32(loaded.python_code.encode()))  # noqa: S311
    for place in rng.sample(range(total), min(count, total)):
        exchange = Nodes(place)
        try:
            with exchange:
                found = tensors(loaded.run(subject.module, copy.deepcopy(subject.inputs)))
        except ProgramRejected:
            continue  # it did not like the values, so it looked at them
        if not subject.differs(found):
            return [f"result {place + 1} of {total}, of {exchange.name}"]
    return []


class Nodes(TorchFunctionMode):
    """Counts the floating results of torch functions, and may give one of them other values.

    These are its own in reverse, with noise: what only scales or shifts is not taken away by a norm
    behind it.

    Args:
        place: of the one to change.

    Attributes:
        count: how many there were.
        name: of the function whose result was changed.
    """

    def __init__(self, place: int | None = None) -> None:
        super().__init__()
        self.place = place
        self.count = 0
        self.name = ""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **kwargs or {})
        name = getattr(func, "__name__", "")
        if not _is_node(name, result, args):
            return result
        self.count += 1
        if self.count - 1 != self.place:
            return result
        self.name = name
        return _exchanged(result)


def _is_node(name: str, result: Any, args: Any) -> bool:
    """Whether a result is a floating tensor that was not there before."""
    if name in _NO_NODES or not isinstance(result, torch.Tensor) or not result.numel():
        return False
    return result.dtype in _TYPES and not any(result is tensor for tensor in tensors(args))


def _exchanged(result: torch.Tensor) -> torch.Tensor:
    values = result.detach().float()
    finite = values[torch.isfinite(values)]
    size = float(torch.linalg.vector_norm(finite)) / max(finite.numel(), 1) ** 0.5
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(values.shape, generator=generator) * 0.25 * size
    return (values.flatten().flip(0).reshape(values.shape) * 1.25 + noise).to(result.dtype)
