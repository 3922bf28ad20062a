"""What the host does for kernels that make tensor descriptors (TMA).

A descriptor lies in global memory, which triton asks an allocator for
(``triton.set_allocator``), and the tensor behind it starts at a multiple of 16 bytes ("Tensor Map
Object Management" in NVIDIA's CUDA driver reference).
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PREPARE = "prepare_descriptors"

PREPARATION = f'''
def {PREPARE}(*tensors):
    """Give a kernel memory for descriptors of these tensors, once they are aligned for them."""
    if any(tensor.data_ptr() % 16 for tensor in tensors):
        raise ValueError("expected tensors that start at multiples of 16 bytes; clone the others")
    device = tensors[0].device

    def scratch(size, alignment, stream):
        return torch.empty(size, dtype=torch.int8, device=device)

    triton.set_allocator(scratch)
'''


def described(function: ast.FunctionDef, parameters: Sequence[str]) -> list[str]:
    """The parameters that a kernel makes tensor descriptors of, in order."""
    bases = {
        name.id
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "tl.make_tensor_descriptor"
        for base in (*call.args[:1], *(item.value for item in call.keywords if item.arg == "base"))
        for name in ast.walk(base)
        if isinstance(name, ast.Name)
    }
    other_names = _other_names(function)
    bases |= {other_names[name] for name in bases if name in other_names}
    return [name for name in parameters if name in bases]


def _other_names(function: ast.FunctionDef) -> dict[str, str]:
    """What a template calls its arguments (``A = arg_A``)."""
    return {
        statement.targets[0].id: statement.value.id
        for statement in function.body
        if isinstance(statement, ast.Assign)
        and isinstance(statement.targets[0], ast.Name)
        and isinstance(statement.value, ast.Name)
    }
