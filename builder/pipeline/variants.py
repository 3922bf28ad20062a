"""One program in one variant, refused where another variant gives the same kernels."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from builder.capture.variants import DEFAULT
from builder.errors import CaptureRejected, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from builder.capture.capture import Capture
    from builder.capture.variants import Variant
    from builder.rewrite import TritonModule

Made = tuple["Capture", "TritonModule"]


def distinct(make: Callable[[Variant], Made], variants: Sequence[Variant]) -> Made:
    """The program in the last of some variants.

    Args:
        make: captures and rewrites the program in a variant.
        variants: in the order of the build, up to the one that is asked for.

    Raises:
        CaptureRejected: ``same_kernels``: an earlier variant gives the same kernels with the same
            launches.
        Rejected: whatever ``make`` raises for the last variant.
    """
    *earlier, asked = variants
    made = _made(make, asked)
    kernels = kernels_and_launchers(made[1].text)
    for other in earlier:
        try:
            text = make(other)[1].text
        except Rejected:
            continue
        if kernels_and_launchers(text) == kernels:
            raise CaptureRejected(
                "same_kernels", f"variant {asked.name} gives the kernels of variant {other.name}"
            )
    return made


def _made(make: Callable[[Variant], Made], variant: Variant) -> Made:
    try:
        return make(variant)
    except Rejected as error:
        if variant.name == DEFAULT.name or variant.name in error.message:
            raise
        raise type(error)(error.kind, f"variant {variant.name}: {error.message}") from error


def kernels_and_launchers(triton_code: str) -> tuple[str, ...]:
    """The functions of a Triton file, formatted alike: kernels, launches and their constants."""
    functions = (n for n in ast.parse(triton_code).body if isinstance(n, ast.FunctionDef))
    return tuple(ast.unparse(function) for function in functions)
