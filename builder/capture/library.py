"""The library calls of an Inductor module: which ATen operators they run, and how they are spelled.

Inductor calls what it makes no Triton of by the operator (``torch.ops.aten.linalg_inv_ex.default``,
``aten.index_put_``), or through ``extern_kernels``, a table of functions that mostly are operators'
(``ExternKernelChoice`` in ``torch/_inductor/kernel``).  That is private to torch; written against
torch 2.11 to 2.13, held by ``tests/capture/test_library.py``.
"""

from __future__ import annotations

import ast
import functools
import re
import types
from typing import TYPE_CHECKING, Any

import torch
from torch._ops import OpOverload

from builder.capture.randomness import makes_seeds

if TYPE_CHECKING:
    from collections.abc import Sequence

_PREFIXES = ("extern_kernels.", "torch.ops.", "aten.", "inductor_ops.")
_EXTERN = frozenset(
    {
        "mm", "addmm", "bmm", "baddbmm", "_int_mm", "_scaled_mm", "_grouped_mm",
        "_scaled_grouped_mm", "_weight_int8pack_mm", "convolution",
    }
)  # fmt: skip
"""Of ``extern_kernels``, the functions that are an operator's of the same name."""

VIEWS = frozenset(
    f"aten.{name}.default"
    for name in (
        "as_strided",
        "diagonal",
        "permute",
        "unsqueeze",
        "view_as_complex",
        "view_as_real",
    )
)
"""Operators that Inductor leaves to torch, of complex tensors, and that compute nothing."""

_COMPLEX = re.compile(r"\b(complex(32|64|128)|view_as_complex)\b")

ITEM = "aten._local_scalar_dense.default"
"""A number that the host waits for."""

_COMPOSED = {
    "aten._fft_r2c.default": ("torch.fft.fft", "torch.fft.rfft", "torch.fft.rfftn"),
    "aten._fft_c2c.default": (
        "torch.fft.fft", "torch.fft.fftn", "torch.fft.ifft", "torch.fft.ifftn",
    ),
    "aten._fft_c2r.default": ("torch.fft.irfft",),
    "aten._linalg_svd.default": ("torch.linalg.svd",),
    "aten._linalg_eigh.default": ("torch.linalg.eigh",),
}  # fmt: skip
"""Public functions that run a private operator and nothing else; see ``rewrite.spelling``."""

_PUBLIC_PARTS = (("linalg_", torch.linalg), ("special_", torch.special))
_PLAIN_OVERLOADS = frozenset({"default", "out", "Tensor"})
_UNFIT = frozenset({"from_file", "set_", "resize_", "resize_as_"})
"""Operators on files and storages, which are no computation."""


def is_library_call(node: ast.AST) -> bool:
    """Whether a node of Inductor's ``call`` computes without a kernel of its own."""
    return (
        isinstance(node, ast.Call)
        and ast.unparse(node.func).startswith(_PREFIXES)
        and not makes_seeds(node)
    )


def operator_name(node: ast.Call) -> str:
    """``aten.mm.out`` for ``extern_kernels.mm(a, b, out=c)``.

    What is no operator of ATen's keeps Inductor's name.
    """
    written = ast.unparse(node.func)
    name = written.removeprefix("torch.ops.")
    if name.startswith("extern_kernels."):
        function = name.removeprefix("extern_kernels.")
        has_out = any(keyword.arg == "out" for keyword in node.keywords)
        name = f"aten.{function}.{'out' if has_out else 'default'}"
        return name if function in _EXTERN else written
    if name.startswith("aten.") and name.count(".") == 1:
        name += ".default"
    return name if name.startswith("aten.") else written


def library_calls(module: str) -> tuple[str, ...]:
    """The operators that an Inductor module calls besides its kernels, sorted, views aside."""
    nodes = [node for node in ast.walk(ast.parse(module)) if isinstance(node, ast.Call)]
    found = {operator_name(node) for node in nodes if is_library_call(node)}
    if any(isinstance(node.func, ast.Attribute) and node.func.attr == "item" for node in nodes):
        found.add(ITEM)
    return tuple(sorted(found - VIEWS))


@functools.cache
def overload(name: str) -> OpOverload | None:
    """The operator of a name such as ``aten.mm.out``; None if ATen has no such."""
    parts = name.split(".")
    if len(parts) != 3 or parts[0] != "aten":
        return None
    found: Any = getattr(getattr(torch.ops.aten, parts[1], None), parts[2], None)
    return found if isinstance(found, OpOverload) else None


def num_results(name: str) -> int:
    """How many results an operator has."""
    found = overload(name)
    return len(found._schema.returns) if found is not None else 0  # noqa: SLF001


def is_random(name: str) -> bool:
    """Whether an operator draws from torch's generator."""
    found = overload(name)
    return found is not None and torch.Tag.nondeterministic_seeded in found.tags


def can_be_kept(name: str) -> bool:
    """Whether a pair may call an operator beside its kernels.

    It must be one of ATen's, and give tensors or nothing; numbers that torch draws can be had in no
    other way, so nothing could be compared.
    """
    found = overload(name)
    if found is None or is_random(name) or name.split(".")[1] in _UNFIT:
        return False
    results = (str(item.type) for item in found._schema.returns)  # noqa: SLF001
    return all(text in ("Tensor", "List[Tensor]") for text in results)


def spelled(name: str) -> str:
    """How a program writes an operator: ``torch.linalg.inv_ex``, or else its name in full."""
    return _public(name) or f"torch.ops.{name}"


def spellings(name: str) -> frozenset[str]:
    """All ways in which a Triton file may write an operator."""
    return frozenset({spelled(name), f"torch.ops.{name}", *_COMPOSED.get(name, ())})


@functools.cache
def _public(name: str) -> str | None:
    """A builtin function of torch with the operator's own arguments; None if there is none."""
    _, function, kind = name.split(".")
    if kind not in _PLAIN_OVERLOADS or function.startswith("_"):
        return None
    for prefix, module in _PUBLIC_PARTS:
        short = function.removeprefix(prefix)
        if short != function and _is_builtin(module, short):
            return f"{module.__name__}.{short}"
    return f"torch.{function}" if _is_builtin(torch, function) else None


def _is_builtin(module: Any, name: str) -> bool:
    return isinstance(getattr(module, name, None), types.BuiltinFunctionType)


def way_round(calls: Sequence[str], module: str = "") -> str:
    """What to do instead of such library calls."""
    if _COMPLEX.search(module) or any("complex" in call for call in calls):
        return "keep the real and the imaginary part of complex numbers in tensors of their own"
    if any("fft" in call for call in calls):
        return "a Fourier transform is Triton only as a product with the matrix of its factors"
    if any("linalg" in call or "cholesky" in call for call in calls):
        return "factorise and solve outside of forward, and hand it the result"
    return "write it with operations that Inductor turns into Triton"
