"""From a loaded program to its Triton: for any size if that can be had, else for its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from builder.capture.capture import Capture, capture
from builder.capture.generic import capture_any_size
from builder.errors import CaptureRejected, Rejected
from builder.rewrite import TritonModule, triton_module

if TYPE_CHECKING:
    from torch import nn

    from builder.capture.targets import Target
    from builder.capture.variants import Variant
    from builder.programs.load import LoadedProgram

Made = tuple[Capture, TritonModule]


@dataclass(frozen=True)
class Maker:
    """Captures and rewrites one program.

    Attributes:
        loaded: the program.
        target: the described GPU.
        seed: of choices among configurations.
        any_size: whether to try for kernels of any size; they need shape variants.
        differentiate: captures the backward pass, too, which is for the declared shape only.
    """

    loaded: LoadedProgram
    target: Target
    seed: int
    any_size: bool = True
    differentiate: bool = False

    def __call__(self, variant: Variant) -> Made:
        """The program in a variant of the compiler.

        A capture for any size that fails becomes one for the declared shape, which says why in
        ``static_reason``.

        Raises:
            Rejected: there is no capture for the declared shape either, or no rewriting of it.
        """
        if not self.any_size or not self.loaded.num_variants:
            return self._static(variant)
        try:
            return self._any_size(variant)
        except Rejected as rejected:
            reason = f"{rejected.kind}: {rejected.message}"
        captured, triton = self._static(variant)
        return replace(captured, static_reason=reason), triton

    def _any_size(self, variant: Variant) -> Made:
        if self.differentiate:
            raise CaptureRejected("training", "gradients are captured for the declared shape only")
        make, sets = self.loaded.make_module, self._sets
        captured = capture_any_size(make, sets, self.target, seed=self.seed, variant=variant)
        return self._rewritten(captured)

    @cached_property
    def inputs(self) -> list[Any]:
        """Those of ``get_inputs``."""
        return self.loaded.make_inputs(0)

    @cached_property
    def _sets(self) -> list[list[Any]]:
        variants = range(self.loaded.num_variants)
        return [self.inputs, *(self.loaded.make_inputs(0, variant) for variant in variants)]

    @cached_property
    def _module(self) -> nn.Module:
        return self.loaded.make_module()

    @cached_property
    def _constructor(self) -> dict[str, Any]:
        return self.loaded.constructor_arguments()

    def _static(self, variant: Variant) -> Made:
        return self._rewritten(
            capture(
                self._module,
                self.inputs,
                self.target,
                seed=self.seed,
                variant=variant,
                differentiate=self.differentiate,
            )
        )

    def _rewritten(self, captured: Capture) -> Made:
        code, name = self.loaded.python_code, self.loaded.entry_point
        return captured, triton_module(code, name, captured, self._constructor)
