"""Private operators of ATen's, as public functions of torch that run them and nothing else.

What arguments mean is in ``aten/src/ATen/native/SpectralOps.cpp`` and
``BatchLinearAlgebra.cpp``.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_FORWARD_NORMS = ("", "ortho", "forward")
_INVERSE_NORMS = ("forward", "ortho", "")
"""By the number that says what a transform is divided by: nothing, the root of n, n."""


def publicly(operator: str, call: ast.Call) -> ast.Call:
    """A call by a public function, or the same call where there is none.

    Args:
        operator: ``aten._fft_r2c.default``.
        call: its call, positional arguments first.
    """
    write = _WRITERS.get(operator)
    if write is None or call.keywords:
        return call
    found = write(call.args)
    return call if found is None else found


def _constant(node: ast.expr) -> Any:
    return ast.literal_eval(node)


def _made(function: str, tensor: ast.expr, **options: ast.expr | str | None) -> ast.Call:
    values = {
        name: ast.Constant(value) if isinstance(value, str) else value
        for name, value in options.items()
    }
    keywords = [ast.keyword(name, value) for name, value in values.items() if value]
    path = ast.parse(function, mode="eval").body
    return ast.Call(path, [tensor], keywords)


def _norm(number: ast.expr, names: Sequence[str]) -> str | None:
    return names[_constant(number)] or None


def _single(dims: ast.expr) -> ast.expr | None:
    assert isinstance(dims, ast.List)
    return dims.elts[0] if len(dims.elts) == 1 else None


def _real_to_complex(args: Sequence[ast.expr]) -> ast.Call | None:
    tensor, dims, number, half = args
    norm, dim = _norm(number, _FORWARD_NORMS), _single(dims)
    if _constant(half):
        name = "torch.fft.rfft" if dim else "torch.fft.rfftn"
        return _made(name, tensor, dim=dim or dims, norm=norm)
    return _made("torch.fft.fft", tensor, dim=dim, norm=norm) if dim else None


def _complex_to_complex(args: Sequence[ast.expr]) -> ast.Call:
    tensor, dims, number, is_forward = args
    dim = _single(dims)
    kind = "" if _constant(is_forward) else "i"
    norm = _norm(number, _INVERSE_NORMS if kind else _FORWARD_NORMS)
    name = f"torch.fft.{kind}fft" if dim else f"torch.fft.{kind}fftn"
    return _made(name, tensor, dim=dim or dims, norm=norm)


def _complex_to_real(args: Sequence[ast.expr]) -> ast.Call | None:
    tensor, dims, number, size = args
    dim, norm = _single(dims), _norm(number, _INVERSE_NORMS)
    return _made("torch.fft.irfft", tensor, n=size, dim=dim, norm=norm) if dim else None


def _singular_values(args: Sequence[ast.expr]) -> ast.Call | None:
    whole = args[1] if len(args) > 1 else ast.Constant(False)  # noqa: FBT003
    vectors = len(args) < 3 or _constant(args[2])
    return _made("torch.linalg.svd", args[0], full_matrices=whole) if vectors else None


def _eigenvalues(args: Sequence[ast.expr]) -> ast.Call | None:
    lower = args[1] if len(args) > 1 and _constant(args[1]) != "L" else None
    vectors = len(args) < 3 or _constant(args[2])
    return _made("torch.linalg.eigh", args[0], UPLO=lower) if vectors else None


_WRITERS: dict[str, Callable[[Sequence[ast.expr]], ast.Call | None]] = {
    "aten._fft_r2c.default": _real_to_complex,
    "aten._fft_c2c.default": _complex_to_complex,
    "aten._fft_c2r.default": _complex_to_real,
    "aten._linalg_svd.default": _singular_values,
    "aten._linalg_eigh.default": _eigenvalues,
}
