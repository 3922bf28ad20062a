"""PyTorch's own operator database as programs: one for each entry, on its largest sample.

``torch.testing._internal.common_methods_invocations.op_db`` (torch 2.11 to 2.13) is private; its
entries have ``sample_inputs``, which draws with the global generator.  It needs ``expecttest``.
"""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch.utils import _pytree as pytree

from builder.errors import OperationFailed

SCALED_ELEMENTS = 4096
"""What the largest tensor of a scaled sample has at least."""

_HOLE = object()
_DRAWS = 64
_PROGRAM = '''"""``{name}`` of PyTorch's operator database."""

import torch
from torch import nn

from builder.bench.operators import Entry

ENTRY = Entry({name!r}, {scaled}, {needs_grad})


class {entry_point}(nn.Module):
    def forward(self, tensors):
        return ENTRY(tensors)


def get_init_inputs():
    return []


def get_inputs():
    return [ENTRY.tensors()]
'''


@dataclass(frozen=True)
class Listed:
    """An entry of the database.

    Attributes:
        name: the operator's, with its variant after a colon.
        has_gradient: autograd supports it.
    """

    name: str
    has_gradient: bool


def listed() -> list[Listed]:
    """The entries that take float32 on the CPU, in the database's order.

    Raises:
        OperationFailed: the database cannot be imported.
    """
    return [
        Listed(name, bool(operator.supports_autograd)) for name, operator in _operators().items()
    ]


def program(name: str, *, scaled: bool = False, needs_grad: bool = False) -> tuple[str, str]:
    """An entry's program file and the name of its class.

    Args:
        name: of an entry.
        scaled: all dimensions are multiplied, until a tensor has ``SCALED_ELEMENTS``; not every
            operator takes that.
        needs_grad: the inputs that the database differentiates require gradients.
    """
    words = re.findall(r"[A-Za-z0-9]+", name)
    entry_point = "Op" + "".join(word[:1].upper() + word[1:] for word in words)
    text = _PROGRAM.format(name=name, scaled=scaled, needs_grad=needs_grad, entry_point=entry_point)
    return text, entry_point


class Entry:
    """One operator with what its largest sample holds besides tensors.

    Args:
        name: of an entry.
        scaled: see ``program``.
        needs_grad: see ``program``.

    Raises:
        OperationFailed: it has no sample of that kind.
    """

    def __init__(self, name: str, scaled: bool, needs_grad: bool) -> None:
        self._listed = _operators()[name]
        self._scaled = scaled
        self._needs_grad = needs_grad
        state = random.getstate()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            random.seed(0)  # samples draw constants with it
            samples = self._samples()
        random.setstate(state)
        if not samples:
            raise OperationFailed(f"{name} has no sample; leave it out")
        self._place = max(range(len(samples)), key=lambda place: _rank(samples[place]))
        self._form = _form(samples[self._place])
        leaves, self._spec = pytree.tree_flatten(_arguments(samples[self._place]))
        self._constants = [_HOLE if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
        self._operator = self._listed.op

    def tensors(self) -> list[torch.Tensor]:
        """The tensors of a fresh sample, drawn with the global generator.

        A sample without any has one that only tells the device.

        Raises:
            OperationFailed: no sample that is drawn has the largest one's form.
        """
        leaves = pytree.tree_leaves(_arguments(self._redrawn()))
        given = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        found = [leaf.detach() for leaf in given]
        if not found:
            return [torch.ones(1)]
        if self._scaled:
            factor = _factor(max(found, key=torch.numel))
            found = [_enlarged(tensor, factor) for tensor in found]
        return [
            tensor.requires_grad_(leaf.requires_grad)
            for tensor, leaf in zip(found, given, strict=True)
        ]

    def __call__(self, tensors: list[torch.Tensor]) -> Any:
        """The operator's result."""
        remaining = iter(tensors)
        leaves = [next(remaining) if leaf is _HOLE else leaf for leaf in self._constants]
        first, args, kwargs = pytree.tree_unflatten(leaves, self._spec)
        return self._operator(first, *args, **kwargs)

    def _redrawn(self) -> Any:
        """A fresh sample of the same form; some entries leave out those that come out unusable."""
        for _ in range(_DRAWS):
            samples = self._samples()
            for sample in (*samples[self._place : self._place + 1], *samples):
                if _form(sample) == self._form:
                    return sample
        raise OperationFailed(
            f"{self._listed.name} drew no sample like its largest in {_DRAWS} times; leave it out"
        )

    def _samples(self) -> list[Any]:
        grad = self._needs_grad
        samples = self._listed.sample_inputs(
            "cpu", torch.float32, requires_grad=grad, set_seed=False
        )
        return list(samples)


def _arguments(sample: Any) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    return sample.input, tuple(sample.args), dict(sample.kwargs)


def _form(sample: Any) -> tuple[Any, ...]:
    """Nesting, shapes and constants; numbers that may be drawn are left out."""
    leaves, spec = pytree.tree_flatten(_arguments(sample))
    return spec, *map(_form_of_leaf, leaves)


def _form_of_leaf(leaf: Any) -> Any:
    if isinstance(leaf, torch.Tensor):
        return leaf.dtype, leaf.layout, leaf.shape
    return leaf if isinstance(leaf, int | str | None) else type(leaf)


def _elements(sample: Any) -> int:
    leaves = pytree.tree_leaves(_arguments(sample))
    return sum(leaf.numel() for leaf in leaves if isinstance(leaf, torch.Tensor))


def _rank(sample: Any) -> tuple[int, bool]:
    """The largest is taken, and of those that are as large a dropout that drops something."""
    drops = sample.kwargs.get("training", False) and 0.0 < sample.kwargs.get("p", 0.0) < 1.0
    return _elements(sample), bool(drops)


def _called(operator: Any, *args: Any, **kwargs: Any) -> Any:
    return operator(*args, **kwargs)


def _factor(tensor: torch.Tensor) -> int:
    """By how much each dimension has to grow."""
    if not tensor.numel() or not tensor.dim():
        return 1
    return math.ceil((SCALED_ELEMENTS / tensor.numel()) ** (1 / tensor.dim()))


def _enlarged(tensor: torch.Tensor, factor: int) -> torch.Tensor:
    """All dimensions so many times as large, with the same elements in another order.

    A sparse tensor stays as it is: nothing takes it anyhow.
    """
    if not tensor.dim() or factor == 1 or tensor.layout is not torch.strided:
        return tensor
    whole = tensor.repeat(*[factor] * tensor.dim())
    if not tensor.is_floating_point():
        return whole
    return whole.reshape(-1)[torch.randperm(whole.numel())].reshape(whole.shape)


@lru_cache(maxsize=1)
def _operators() -> dict[str, Any]:
    try:
        from torch.testing._internal import common_methods_invocations as database  # noqa: PLC0415
    except ImportError as error:
        raise OperationFailed(
            f"PyTorch's operator database cannot be imported ({error}); pip install expecttest"
        ) from error
    # Tests seed around a random operation, which no compiler traces; the operation is the same.
    vars(database)["wrapper_set_seed"] = _called
    found = {}
    for operator in database.op_db:
        if torch.float32 in operator.dtypes:
            variant = f":{operator.variant_test_name}" if operator.variant_test_name else ""
            found[f"{operator.name}{variant}"] = operator
    return found
