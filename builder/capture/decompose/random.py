"""Random operations by the draws that Inductor has: uniform, normal, integers.

The draws are float32, whatever the type that is asked for; what follows from them is computed in
that type, or in float32 where it is narrower, and rounded last.  ``builder/verify/random_calls.py``
has the same formulas once more, to answer the program with: change both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

Tensor = torch.Tensor
aten = torch.ops.aten


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _uniform_like(x: Tensor) -> Tensor:
    """In [0, 1), in the order in which the elements of ``x`` lie in memory."""
    return torch.rand_like(x, dtype=_wide(x.dtype))


def _normal_like(x: Tensor) -> Tensor:
    return torch.randn_like(x, dtype=_wide(x.dtype))


def native_dropout(x: Tensor, p: float, train: bool | None) -> Any:
    """``aten.native_dropout``: kept where a uniform draw is below ``1 - p``, as in ``bernoulli``.

    Inductor's own keeps what is above ``p``; both of eager's forms are then answered alike.
    """
    if not train or p == 0.0:
        return x.clone(), torch.ones_like(x, dtype=torch.bool)
    if p == 1.0:
        return torch.zeros_like(x), torch.zeros_like(x, dtype=torch.bool)
    keep = torch.rand_like(x, dtype=torch.float32) < 1.0 - p
    return keep * x * (1.0 / (1.0 - p)), keep


def bernoulli_p(x: Tensor, p: float = 0.5, **_generator: Any) -> Any:
    """``aten.bernoulli.p``: one with probability ``p``, of the shape of ``x``."""
    return (torch.rand_like(x, dtype=torch.float32) < p).to(x.dtype).contiguous()


def bernoulli(x: Tensor, **_generator: Any) -> Any:
    """``aten.bernoulli``: one with the probabilities in ``x``."""
    return (_uniform_like(x) < x).to(x.dtype).contiguous()


def bernoulli_tensor(x: Tensor, p: Tensor, **_generator: Any) -> Any:
    """``aten.bernoulli.Tensor``: one with the probabilities in ``p``, of the shape of ``x``."""
    return (torch.rand_like(x, dtype=_wide(p.dtype)) < p).to(x.dtype)


def uniform(x: Tensor, low: float = 0.0, high: float = 1.0, **_generator: Any) -> Any:
    """``aten.uniform``: uniform in [low, high), of the shape of ``x``."""
    return (_uniform_like(x) * (high - low) + low).to(x.dtype)


def normal_functional(x: Tensor, mean: float = 0.0, std: float = 1.0, **_generator: Any) -> Any:
    """``aten.normal_functional``: normal, of the shape of ``x``."""
    return (_normal_like(x) * std + mean).to(x.dtype)


def normal_tensors(mean: Any, std: Any = 1.0, **_generator: Any) -> Any:
    """``aten.normal`` with tensors of means, deviations or both."""
    if isinstance(mean, Tensor) and isinstance(std, Tensor):
        mean, std = torch.broadcast_tensors(mean, std)
    model = mean if isinstance(mean, Tensor) else std
    return (_normal_like(model) * std + mean).to(model.dtype).contiguous()


def normal_floats(
    mean: float,
    std: float,
    size: Sequence[int],
    *,
    generator: Any = None,
    dtype: torch.dtype | None = None,
    device: Any = None,
    **_layout: Any,
) -> Any:
    """``aten.normal.float_float``: normal, of a size."""
    if generator is not None:
        return NotImplemented
    dtype = dtype or torch.get_default_dtype()
    z = torch.randn(size, dtype=_wide(dtype), device=device)
    return (z * std + mean).to(dtype)


def rrelu(
    x: Tensor,
    _noise: Tensor,
    lower: float = 0.125,
    upper: float = 1.0 / 3.0,
    training: bool = False,
    _generator: Any = None,
) -> Any:
    """``aten.rrelu_with_noise_functional``: a slope for each element that is not positive."""
    if not training:
        return aten.leaky_relu.default(x, (lower + upper) / 2), x.new_empty(0)
    slope = uniform(x, lower, upper)
    is_left = x <= 0
    return torch.where(is_left, x * slope, x).contiguous(), torch.where(is_left, slope, 1.0)


def multinomial(x: Tensor, count: int, replacement: bool = False, **_generator: Any) -> Any:
    """``aten.multinomial``: the places of the largest of ``x / exponential``, as eager has it.

    Of one sample, or of several that are drawn without replacement.
    """
    if replacement and count > 1:
        return NotImplemented
    race = x / aten.exponential.default(x)
    return race.argmax(-1, keepdim=True) if count == 1 else torch.topk(race, count).indices


DECOMPOSITIONS = {
    aten.native_dropout.default: native_dropout,
    aten.bernoulli.p: bernoulli_p,
    aten.bernoulli.default: bernoulli,
    aten.bernoulli.Tensor: bernoulli_tensor,
    aten.uniform.default: uniform,
    aten.normal_functional.default: normal_functional,
    aten.normal.Tensor_float: normal_tensors,
    aten.normal.float_Tensor: normal_tensors,
    aten.normal.Tensor_Tensor: normal_tensors,
    aten.normal.float_float: normal_floats,
    aten.multinomial.default: multinomial,
    aten.rrelu_with_noise_functional.default: rrelu,
}
