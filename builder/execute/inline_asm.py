"""Inline PTX of one instruction, which is what code generators use to pin down a rounding."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch

from builder.errors import UnsupportedOperation
from builder.execute.functions import alike_everywhere, square_root
from builder.execute.registry import operation
from builder.execute.rounding import fused_multiply_add
from builder.execute.seams import FROM_E4M3B15, TO_E4M3B15

if TYPE_CHECKING:
    from builder.execute.frame import Frame
    from builder.execute.functions import Function, Tensor
    from builder.execute.ir import Operation

_INSTRUCTION = re.compile(r"\s*([\w.]+)\s+\$0\s*((?:,\s*\$\d+\s*)+);?\s*")
_OPERAND = re.compile(r"\$(\d+)")
_WITHOUT_EFFECT = re.compile(r"\s*griddepcontrol\.(wait|launch_dependents)\s*;\s*(//.*)?\s*")
"""They order whole launches, which run one after another here anyway."""


def from_e4m3b15(value: Tensor) -> Tensor:
    """Bytes of Triton's e4m3 with a bias of 15 to float16, whose bias is the same."""
    bits = value.to(torch.int32) & 0xFF
    return (((bits & 0x7F) << 7) | ((bits & 0x80) << 8)).to(torch.int16).view(torch.float16)


def to_e4m3b15(value: Tensor) -> Tensor:
    """Float16 to bytes: magnitudes end at 1.75, NaN too; halves are rounded up."""
    bits = value.contiguous().view(torch.int16).to(torch.int32) & 0xFFFF
    magnitude = (bits & 0x7FFF).clamp(max=0x3F00)
    return ((((magnitude * 2 + 0x80) >> 8) & 0x7F) | ((bits >> 8) & 0x80)).to(torch.int8)


_CUSTOM: dict[str, Function] = {FROM_E4M3B15: from_e4m3b15, TO_E4M3B15: to_e4m3b15}
_PTX: dict[str, Function] = {
    "abs": torch.abs,
    "add": torch.add,
    "cos": torch.cos,
    "div": torch.div,
    "ex2": alike_everywhere(torch.exp2),
    "fma": fused_multiply_add,
    "lg2": torch.log2,
    "max": torch.fmax,
    "min": torch.fmin,
    "mov": torch.clone,
    "mul": torch.mul,
    "neg": torch.neg,
    "rcp": torch.reciprocal,
    "rsqrt": torch.rsqrt,
    "sin": torch.sin,
    "sqrt": square_root,
    "sub": torch.sub,
    "tanh": torch.tanh,
}
_MODIFIERS = frozenset({"approx", "full", "ftz", "rn", "f32", "f64", "b32", "b64"})


def _function(assembly: str) -> tuple[Function, list[int]] | None:
    """What an instruction computes, and of which operands; None where it is not known."""
    if assembly in _CUSTOM:
        return _CUSTOM[assembly], [0]
    match = _INSTRUCTION.fullmatch(assembly)
    if match is None:
        return None
    name, *modifiers = match.group(1).split(".")
    if name not in _PTX or not _MODIFIERS.issuperset(modifiers):
        return None
    return _PTX[name], [int(number) - 1 for number in _OPERAND.findall(match.group(2))]


@operation("tt.elementwise_inline_asm")
def elementwise_inline_asm(frame: Frame, op: Operation, args: list[Any]) -> Tensor:
    assembly = op.attributes["strings"][0]
    if not op.operands and _WITHOUT_EFFECT.fullmatch(assembly):
        return torch.zeros(1, dtype=torch.int32)
    found = _function(assembly)
    if found is None or op.attributes.get("packed_element") != 1 or len(op.results) != 1:
        raise UnsupportedOperation(
            f"tt.elementwise_inline_asm {assembly!r}",
            kernel=frame.machine.kernel_name,
            line=op.line,
        )
    function, order = found
    return function(*(args[number] for number in order)).to(frame.result_kind(op).dtype)
