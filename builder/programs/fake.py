"""Programs on fake tensors: modules and inputs of any size, and no memory for their data.

What leans on private parts of torch for it is here: ``torch._subclasses``'s ``FakeTensorMode`` and
``Module._apply``, as they are in torch 2.11 to 2.13.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from builder.programs.load import FORWARD_SEED, LoadedProgram, load_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "FakeProgram",
    "FakeTensorMode",
    "MetaProgram",
    "fake_program",
    "fake_tensors",
    "meta_program",
]


def _apply(module: nn.Module, fn: Callable[[torch.Tensor], torch.Tensor]) -> nn.Module:
    """``Module._apply`` that makes new parameters.

    Torch's own swaps fake parameters in place, which fails where the fake mode remembers them.
    """
    for child in module.children():
        child._apply(fn)  # noqa: SLF001
    for name, parameter in list(module.named_parameters(recurse=False)):
        setattr(module, name, nn.Parameter(fn(parameter), requires_grad=parameter.requires_grad))
    for name, buffer in list(module.named_buffers(recurse=False)):
        setattr(module, name, fn(buffer))
    return module


@contextlib.contextmanager
def fake_tensors(mode: FakeTensorMode | None = None) -> Iterator[FakeTensorMode]:
    """Tensors made inside have a geometry and no data; real ones may take part."""
    with (
        mock.patch.object(nn.Module, "_apply", _apply),
        mode or FakeTensorMode(allow_non_fake_inputs=True) as active,
    ):
        yield active


@dataclass(frozen=True)
class FakeProgram(LoadedProgram):
    """A program whose modules and inputs are fake.

    Its ``forward`` is to be run inside ``fake_tensors(program.mode)``.

    Attributes:
        mode: that all of them belong to.
    """

    mode: FakeTensorMode

    def make_module(self, seed: int = 0) -> nn.Module:
        """As ``LoadedProgram.make_module``."""
        with fake_tensors(self.mode):
            return super().make_module(seed)

    def make_inputs(self, seed: int, variant: int | None = None) -> list[Any]:
        """As ``LoadedProgram.make_inputs``."""
        with fake_tensors(self.mode):
            return super().make_inputs(seed, variant)


def fake_program(loaded: LoadedProgram) -> FakeProgram:
    """The program on fake tensors.

    Its text is executed once more, so that no fake tensor stays in the globals of the loaded one.

    Raises:
        ProgramRejected: the kinds of loading; code that asks values of tensors raises there, too.
    """
    with fake_tensors() as mode:
        again = load_program(loaded.python_code, loaded.entry_point, loaded.filename)
    return FakeProgram(**vars(again), mode=mode)


@dataclass(frozen=True)
class MetaProgram(LoadedProgram):
    """A program whose tensors are on the device ``meta``: geometry alone, and quickly.

    Fake tensors know more, such as values of constants, and take several times as long.
    """

    def make_module(self, seed: int = 0) -> nn.Module:
        """As ``LoadedProgram.make_module``."""
        with torch.device("meta"):
            return super().make_module(seed)

    def make_inputs(self, seed: int, variant: int | None = None) -> list[Any]:
        """As ``LoadedProgram.make_inputs``."""
        with torch.device("meta"):
            return super().make_inputs(seed, variant)

    def run(self, module: nn.Module, inputs: list[Any], seed: int = FORWARD_SEED) -> Any:
        """As ``LoadedProgram.run``."""
        with torch.device("meta"):
            return super().run(module, inputs, seed)


def meta_program(loaded: LoadedProgram) -> MetaProgram:
    """The program on the device ``meta``; its text is executed once more.

    Raises:
        ProgramRejected: the kinds of loading; code that asks values of tensors raises there, too.
    """
    with torch.device("meta"):
        again = load_program(loaded.python_code, loaded.entry_point, loaded.filename)
    return MetaProgram(**vars(again))
