"""From a loaded program to its Triton: for any size if that can be had, else for its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from builder.capture.capture import Capture, capture
from builder.capture.generic import capture_any_size
from builder.dataset.tokens import count_tokens
from builder.errors import (
    CaptureRejected,
    ExecutionError,
    ProgramRejected,
    Rejected,
    RewriteRejected,
)
from builder.programs.fake import fake_program
from builder.programs.tree import tensors
from builder.rewrite import Style, TritonModule, triton_module
from builder.verify.library import LibraryCalls
from builder.verify.modules import imported_text
from builder.verify.unrun import noted_launches

if TYPE_CHECKING:
    from torch import nn

    from builder.capture.targets import Target
    from builder.capture.variants import Variant
    from builder.programs.load import LoadedProgram

Made = tuple[Capture, TritonModule]

MOST_TOKENS = 16_000
"""Of a Triton file; a longer one teaches nobody."""


@dataclass(frozen=True)
class Maker:
    """Captures and rewrites one program.

    Attributes:
        loaded: the program.
        target: the described GPU.
        seed: of choices among configurations.
        any_size: whether to try for kernels of any size; they need shape variants.
        differentiate: captures the backward pass, too, which is for the declared shape only.
        too_large: input sets that there is no memory for, ``None`` for ``get_inputs``; with any,
            kernels of any size are captured on fake tensors.
        style: how the Triton is written.
        keeps_library_calls: library calls may remain beside the kernels.
    """

    loaded: LoadedProgram
    target: Target
    seed: int
    any_size: bool = True
    differentiate: bool = False
    too_large: tuple[int | None, ...] = ()
    style: Style = Style.READABLE
    keeps_library_calls: bool = False

    def __call__(self, variant: Variant) -> Made:
        """The program in a variant of the compiler.

        Kernels for any size that cannot be had, or not be launched on a declared input set, become
        kernels for the declared shape, and ``static_reason`` says why.

        Raises:
            Rejected: there is no capture for the declared shape either, or no rewriting of it;
                ``too_large``: nobody could verify it.
        """
        if not self.any_size or not self.loaded.num_variants:
            return self._static(variant)
        try:
            return self._any_size(variant)
        except (Rejected, ExecutionError) as refused:
            reason = f"{refused.kind}: {getattr(refused, 'message', refused)}"
        if None in self.too_large:
            raise ProgramRejected(
                "too_large",
                "get_inputs is above the limits, and there are no kernels of any size, which the "
                f"shape variants could verify ({reason}); choose smaller inputs",
            )
        captured, triton = self._static(variant)
        return replace(captured, static_reason=reason), triton

    def _any_size(self, variant: Variant) -> Made:
        if self.differentiate:
            raise CaptureRejected("training", "gradients are captured for the declared shape only")
        make, sets = self._program.make_module, self._sets
        captured = capture_any_size(
            make,
            sets,
            self.target,
            seed=self.seed,
            variant=variant,
            keeps_library_calls=self.keeps_library_calls,
        )
        made = self._rewritten(captured)
        with imported_text(made[1].text) as text:  # a grid may be too large for any GPU
            library = LibraryCalls(captured.every_fallback_op)
            noted_launches(self.loaded, text, [self._largest], library, compared=False)
        return made

    @property
    def _largest(self) -> int | None:
        """The input set with the most elements."""
        sizes = [sum(tensor.numel() for tensor in tensors(inputs)) for inputs in self._sets]
        place = sizes.index(max(sizes))
        return place - 1 if place else None

    @cached_property
    def inputs(self) -> list[Any]:
        """Those of ``get_inputs``, fake ones if they are too large."""
        return (self._program if None in self.too_large else self.loaded).make_inputs(0)

    @cached_property
    def module(self) -> nn.Module:
        """The program's module, which some input set fits into the limits with."""
        return self.loaded.make_module()

    @cached_property
    def _program(self) -> LoadedProgram:
        return fake_program(self.loaded) if self.too_large else self.loaded

    @cached_property
    def _sets(self) -> list[list[Any]]:
        variants = (None, *range(self.loaded.num_variants))
        return [self._program.make_inputs(0, variant) for variant in variants]

    @cached_property
    def _constructor(self) -> dict[str, Any]:
        return self.loaded.constructor_arguments()

    def _static(self, variant: Variant) -> Made:
        return self._rewritten(
            capture(
                self.module,
                self.inputs,
                self.target,
                seed=self.seed,
                variant=variant,
                differentiate=self.differentiate,
                keeps_library_calls=self.keeps_library_calls,
            )
        )

    def _rewritten(self, captured: Capture) -> Made:
        code, name = self.loaded.python_code, self.loaded.entry_point
        made = triton_module(code, name, captured, self._constructor, self.style)
        tokens = count_tokens(made.text)
        if tokens > MOST_TOKENS:
            raise RewriteRejected(
                "too_long", f"the Triton file has {tokens:,} tokens; split the program in two"
            )
        return captured, made
