"""What a variant changes in PyTorch while a program is compiled.

Reaches into private parts of torch 2.11 to 2.13; ``tests/capture/test_variant_seams.py`` fails if
one of them moves.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
import torch._inductor.config as inductor_config
from torch._inductor.choices import InductorChoices
from torch._inductor.select_algorithm import AlgorithmSelectorCache
from torch._inductor.virtualized import V

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from builder.capture.targets import Target
    from builder.capture.variants import Variant

MIN_COOPERATIVE = 128
"""Elements of a reduction that are worth the wait of several blocks for each other."""


@contextlib.contextmanager
def configured(variant: Variant, target: Target) -> Iterator[None]:
    """Inductor in a variant's configuration, for a target."""
    cooperates = staticmethod(_cooperates(target))
    with (
        inductor_config.patch(dict(variant.settings)),
        _products(variant.dot_precision),
        mock.patch.object(InductorChoices, "should_use_cooperative_reduction", cooperates),
        mock.patch.object(AlgorithmSelectorCache, "__call__", _persistent_first),
    ):
        yield


_SELECT = AlgorithmSelectorCache.__call__
_PERSISTENT = "_persistent_tma_"


def _persistent_first(self: Any, name: str, choices: list[Any], *args: Any, **kwargs: Any) -> Any:
    """A persistent template where there is one, which leaves nothing to be timed.

    Inductor offers it beside the plain one, where it is enabled (``torch/_inductor/kernel/mm.py``).
    """
    persistent = [choice for choice in choices if _PERSISTENT in getattr(choice, "name", "")]
    return _SELECT(self, name, persistent or choices, *args, **kwargs)


def _cooperates(target: Target) -> Callable[..., bool]:
    """Whether a reduction is shared by blocks: wherever the target has several for each result.

    Inductor's own rule (``torch/_inductor/choices.py``) waits for tens of thousands of elements a
    result.  How many blocks share one is ``cooperative_reduction``'s rule in
    ``torch/_inductor/runtime/triton_heuristics.py``.
    """

    def decide(*features: Any) -> bool:
        if not inductor_config.triton.cooperative_reductions:
            return False
        numel, reduced = _sizes(features)
        return 2 * numel <= target.multiprocessors and reduced >= MIN_COOPERATIVE

    return decide


def _sizes(features: tuple[Any, ...]) -> tuple[int, int]:
    """Results and elements of each; until torch 2.12 they came in one object."""
    sizes = features[-2:] if len(features) > 1 else (features[0].numel, features[0].reduction_numel)
    numel, reduced = (V.graph.sizevars.optimization_hint(size) for size in sizes)
    return 1 << (int(numel) - 1).bit_length(), int(reduced)


_CUDNN: Any = torch.backends.cudnn
_PRECISIONS: tuple[Any, ...] = (_CUDNN, _CUDNN.conv, _CUDNN.rnn, torch.backends.cuda.matmul)


@contextlib.contextmanager
def _products(precision: str) -> Iterator[None]:
    """Products and convolutions of float32 in ``ieee`` or ``tf32``, whatever the process has set.

    Templates ask by both of PyTorch's interfaces (``torch/backends``): ``allow_tf32``, which
    refuses to answer where it contradicts the newer one, and ``fp32_precision``.  A process may
    have frozen them (``torch.backends.disable_global_flags``); here they are set back.
    """
    before = [flag.fp32_precision for flag in _PRECISIONS]
    older = _allows_tf32()
    changing = torch.backends.__allow_nonbracketed_mutation  # noqa: SLF001
    with changing():
        _CUDNN.allow_tf32 = precision == "tf32"
        torch.backends.cuda.matmul.fp32_precision = precision
        if precision == "tf32":
            for flag in _PRECISIONS:
                flag.fp32_precision = precision
    try:
        yield
    finally:
        with changing():
            _CUDNN.allow_tf32 = older
            for flag, value in zip(_PRECISIONS, before, strict=True):
                flag.fp32_precision = value


def _allows_tf32() -> bool:
    try:
        return bool(_CUDNN.allow_tf32)
    except RuntimeError:  # the process has used the newer interface, which decides
        return False
