"""How single ATen operations run in the float64 reference, and what they do to errors.

Most operations run as they are on float64 arguments.  The exceptions are here: explicit casts round
as written, random draws and the choices of rounding operations are eager's, and a few operations
carry a type or a type's extreme in their arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from builder.verify import bessel
from builder.verify.allowed import names
from builder.verify.floors import EIGHT_BITS, History, Operation, epsilon
from builder.verify.norm import Yardstick
from builder.verify.seams import (
    overload_name,
    packet_name,
    schema_arguments,
    tree_flatten,
    tree_map,
)

Tensor = torch.Tensor
Rule = Callable[[Any, tuple[Any, ...], dict[str, Any], Any], Any]

CASTS = frozenset({"_to_copy", "copy", "copy_"})
DISCONTINUOUS = names(
    "ceil fix floor floor_divide heaviside round sign sgn signbit trunc"
) | frozenset({"fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine"})
MOST_NUDGED = 2.0**-10
DECISIONS = frozenset({"ceil", "floor", "round", "trunc", "gt", "ge", "lt", "le"})
KINKS: dict[str, tuple[int, Callable[[tuple[Any, ...]], tuple[float, ...]]]] = {
    "threshold": (0, lambda args: (args[1],)),
    "hardshrink": (0, lambda args: (-args[1], args[1]) if len(args) > 1 else (-0.5, 0.5)),
    "copysign": (1, lambda _: (0.0,)),
    "atan2": (0, lambda _: (0.0,)),
    "threshold_backward": (1, lambda args: (args[2],)),
    "leaky_relu_backward": (1, lambda _: (0.0,)),
    "rrelu_with_noise_backward": (1, lambda _: (0.0,)),
    "_prelu_kernel_backward": (1, lambda _: (0.0,)),
    "elu_backward": (5, lambda _: (0.0,)),
    "hardtanh_backward": (1, lambda args: (args[2], args[3])),
    "hardsigmoid_backward": (1, lambda _: (-3.0, 3.0)),
    "hardswish_backward": (1, lambda _: (-3.0, 3.0)),
    "hardshrink_backward": (1, lambda args: (-args[2], args[2])),
    "softshrink_backward": (1, lambda args: (-args[2], args[2])),
}
"""What jumps, derivatives most of all: which operand decides, and where, by the operation's
arguments (torch's ``tools/autograd/derivatives.yaml`` and
``aten/src/ATen/native/Activation.cpp``)."""
WHOLE = names(
    "abs add addmm amax amin bmm clamp clamp_max clamp_min cumsum maximum minimum mm mul neg relu "
    "rsub sub sum where"
)
"""What gives integers for integers, and is exact for them."""
SAWTOOTH = frozenset({"fmod", "remainder", "frac"})
UNWRITTEN = names("empty empty_like empty_permuted empty_strided new_empty new_empty_strided")
UNDEFINED = UNWRITTEN | frozenset({"resize_", "set_", "nextafter", "frexp"})
MOVES = names(
    "amax amin as_strided_scatter cat clone constant_pad_nd copy copy_ cummax cummin diag_embed "
    "diagonal_scatter embedding fill_ flip gather index index_copy index_fill index_select "
    "kthvalue lift_fresh masked_fill masked_scatter masked_select max max_pool2d_with_indices "
    "max_pool3d_with_indices max_unpool2d median min msort new_ones new_zeros ones ones_like "
    "permute_copy pixel_shuffle pixel_unshuffle reflection_pad1d reflection_pad2d repeat "
    "repeat_interleave replication_pad1d replication_pad2d roll rot90 scatter select_scatter "
    "slice_scatter sort split_with_sizes_copy stack take topk tril triu unfold_copy unique "
    "upsample_nearest1d upsample_nearest2d upsample_nearest3d where zero_ zeros zeros_like "
    "_to_copy _unsafe_index _unsafe_masked_index adaptive_max_pool2d"
)
DOTS = names(
    "_cdist_forward _convolution _int_mm _scaled_mm _trilinear addbmm addmm addmv addr baddbmm bmm "
    "convolution convolution_backward dot linear lstm mkldnn_rnn_layer mm mv vdot "
    "_weight_int8pack_mm _fused_sdp_choice"
)
NORMS = frozenset({"linalg_vector_norm"})
DOT_PREFIXES = ("_scaled_dot_product", "mkldnn_", "linalg_", "_linalg", "cholesky", "lu_")
TIES_ARE_OPEN = frozenset({"sort", "topk", "kthvalue", "median", "mode"})


def name_of(func: Any) -> str:
    """``aten.add_.Tensor`` is ``add_``."""
    return packet_name(func)


def base_name(func: Any) -> str:
    """The name without the mark of its in-place form (``_to_copy`` keeps its first underscore)."""
    name = name_of(func)
    return name if name in CASTS or name in UNDEFINED else name.rstrip("_")


def wide_type(dtype: torch.dtype) -> torch.dtype:
    """float64 for floats, complex128 for complex numbers, other types as they are."""
    if dtype.is_complex:
        return torch.complex128
    return torch.float64 if dtype.is_floating_point else dtype


def widened(tensor: Tensor) -> Tensor:
    """The tensor's values in ``wide_type``."""
    return tensor.to(wide_type(tensor.dtype))


UNDECLARED_WRITES = {
    "native_batch_norm": ("running_mean", "running_var"),
    "cudnn_batch_norm": ("running_mean", "running_var"),
}
"""Arguments that operations write in training though their schemas do not say so (torch's
``aten/src/ATen/native/native_functions.yaml``)."""


def written_arguments(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[bool]:
    """For each flattened argument, whether the operation writes it."""
    formal = schema_arguments(func)
    by_name = {argument.name: argument for argument in formal}
    pairs = [(formal[i], value) for i, value in enumerate(args)]
    pairs += [(by_name[name], value) for name, value in kwargs.items()]
    is_training = any(argument.name == "training" and value for argument, value in pairs)
    undeclared = UNDECLARED_WRITES.get(base_name(func), ()) if is_training else ()
    marks: list[bool] = []
    for argument, value in pairs:
        is_written = argument.alias_info is not None and argument.alias_info.is_write
        is_written = is_written or argument.name in undeclared
        marks += [is_written] * len(tree_flatten(value)[0])
    return marks


def twin_rule(
    func: Any, args: tuple[Any, ...], out: Any, *, follow: bool, casts_round: bool = True
) -> Rule | None:
    """How the operation runs in float64; None where eager's values stand for the reference.

    Args:
        func: the ATen overload.
        args: the program's own positional arguments.
        out: the program's own result.
        follow: rounding operations decide as eager did.
        casts_round: casts between float types round as written.
    """
    name = base_name(func)
    if name in UNDEFINED or is_random(func, name):
        return None
    if name in CASTS:
        source = args[0] if name == "_to_copy" else args[1]
        if not isinstance(source, Tensor):
            return _number
        rounds = casts_round or not _is_between_floats(source, out)
        return _cast if rounds and source.dtype != out.dtype else _plain
    if follow and name in SAWTOOTH:
        return _sawtooth
    if follow and name_of(func) in KINKS:
        return partial(_on_eager_side, args)
    if follow and (name in DISCONTINUOUS or _has_rounding_mode(func)):
        return None
    return _SPECIAL.get(name, _plain)


def deciding_operand(func: Any) -> int | None:
    """Which argument decides, of an operation that rounds to integers, compares or jumps."""
    name = name_of(func)
    if name in DECISIONS or name in SAWTOOTH:
        return 0
    return KINKS[name][0] if name in KINKS else None


def nudged(operand: Tensor, own: Tensor, epsilons: float) -> Tensor:
    """A decision's operand, moved as far as a right computation may be off.

    That is some epsilons of the program's type, or twice eager's own error, in the norm of
    ``norm``: where digits cancelled (the tail of a GELU), an ulp of the inputs does not tell.

    Args:
        operand: float64.
        own: eager's.
        epsilons: away from zero, if they are positive, or towards it.
    """
    if not operand.is_floating_point() or not operand.numel():
        return operand
    yardstick = Yardstick(operand)
    error = min(yardstick.errors(own).worst, MOST_NUDGED)
    sizes = operand.abs()
    away = torch.maximum(
        sizes * abs(epsilons) * epsilon(own.dtype), 2.0 * error * (sizes + yardstick.scale)
    )
    return operand + operand.sign() * math.copysign(1.0, epsilons) * away


def _is_between_floats(source: Tensor, out: Tensor) -> bool:
    return source.dtype.is_floating_point and out.dtype.is_floating_point


def own_history(func: Any, result: Tensor, inputs: list[Tensor]) -> History:
    """What the operation itself adds to the history of one of its results."""
    name = base_name(func)
    floating = [t for t in inputs if t.dtype.is_floating_point or t.dtype.is_complex]
    if not (result.dtype.is_floating_point or result.dtype.is_complex):
        return History(decided=bool(floating))
    decided = name in DISCONTINUOUS or name in SAWTOOTH or _has_rounding_mode(func)
    decided = decided or name in KINKS
    if name in MOVES:
        finest = min((epsilon(t.dtype) for t in floating), default=0.0)
        if name not in CASTS or epsilon(result.dtype) <= finest:
            return History(decided=decided)
        return _rounded_to(result.dtype, Operation.POINTWISE, decided=decided)
    return _rounded_to(result.dtype, _operation(func, name, inputs), decided=decided)


def _rounded_to(dtype: torch.dtype, operation: Operation, *, decided: bool) -> History:
    beside = None if epsilon(dtype) >= EIGHT_BITS else dtype
    return History(dtype, operation, decided, beside=beside)


def rounds(func: Any) -> bool:
    """Whether an operation may round to its type; what rounds to integers does not."""
    return base_name(func) not in DISCONTINUOUS and not _has_rounding_mode(func)


def keeps_integers(func: Any) -> bool:
    """Whether an operation is exact for integers, and gives some."""
    return base_name(func) in WHOLE


def open_ties(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    """Along which dimension an operation sorts, if it leaves the order of ties open."""
    if name_of(func) not in TIES_ARE_OPEN:
        return None
    formal = [argument.name for argument in schema_arguments(func)]
    given = {**dict(zip(formal, args, strict=False)), **kwargs}
    dim = given.get("dim", -1)
    if given.get("stable") or not isinstance(dim, int) or args[0].dim() == 0:
        return None
    return dim % args[0].dim()


def is_random(func: Any, name: str) -> bool:
    attention = name.startswith("_scaled_dot_product")
    return torch.Tag.nondeterministic_seeded in func.tags and not attention


def _has_rounding_mode(func: Any) -> bool:
    return overload_name(func).endswith("_mode")


def _operation(func: Any, name: str, inputs: list[Tensor]) -> Operation:
    if name in DOTS or (name.startswith(DOT_PREFIXES) and name not in NORMS):
        return Operation.DOT
    if torch.Tag.pointwise in func.tags or not inputs:
        return Operation.POINTWISE
    return Operation.REDUCTION


def _wide_argument(value: Any) -> Any:
    return wide_type(value) if isinstance(value, torch.dtype) else value


def _plain(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], _out: Any) -> Any:
    return func(*tree_map(_wide_argument, args), **tree_map(_wide_argument, kwargs))


def _number(_func: Any, args: Any, _kwargs: Any, out: Any) -> Any:
    """``torch.vmap`` makes tensors of numbers: as written."""
    return torch.scalar_tensor(args[0], dtype=wide_type(out.dtype))


def _cast(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> Any:
    """A change of type: the value rounded to the type as written, carried on in float64."""
    result = _plain(func, args, kwargs, out)
    if not (out.dtype.is_floating_point or out.dtype.is_complex):
        return result
    return result.copy_(result.to(out.dtype))


def _sawtooth(func: Any, args: tuple[Any, ...], _kwargs: dict[str, Any], out: Any) -> Any:
    """A remainder by the quotient that eager found: continuous where the remainder jumps."""
    dividend, divisor = args[0], args[1] if len(args) > 1 else 1.0
    quotient = torch.round((dividend - widened(out)) / divisor)
    result = dividend - quotient * divisor
    return dividend.copy_(result) if name_of(func).endswith("_") else result


def _on_eager_side(
    own: tuple[Any, ...],
    func: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    out: Any,
) -> Any:
    """What has kinks, on that side of each on which eager was."""
    place, kinks = KINKS[name_of(func)]
    if not isinstance(own[place], Tensor):
        return _plain(func, args, kwargs, out)
    eager, operand = widened(own[place]), args[place]
    for kink in kinks(own):
        other = ((operand > kink) != (eager > kink)) | ((operand < kink) != (eager < kink))
        operand = torch.where(other, eager, operand)
    return _plain(func, (*args[:place], operand, *args[place + 1 :]), kwargs, out)


def _softmax(func: Any, args: tuple[Any, ...], _kwargs: dict[str, Any], _out: Any) -> Any:
    """Its last argument asks for a float32 result of float16 input, which float64 refuses."""
    half_to_float = False
    return func(args[0], args[1], half_to_float)


def _nan_to_num(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> Any:
    """Infinities become the extremes of the program's type, not of float64."""
    formal = ("self", "nan", "posinf", "neginf")
    given = {**dict(zip(formal, args, strict=False)), **kwargs}
    limits = torch.finfo(out.dtype)
    top, bottom = given.get("posinf"), given.get("neginf")
    top = limits.max if top is None else top
    bottom = limits.min if bottom is None else bottom
    return func(given["self"], given.get("nan"), top, bottom)


def _bessel(exact: Callable[[Tensor], Tensor]) -> Rule:
    """Of an operation that PyTorch has in float64, but not to its precision."""

    def rule(_func: Any, args: tuple[Any, ...], _kwargs: dict[str, Any], _out: Any) -> Any:
        return exact(args[0].to(torch.float64))

    return rule


_SPECIAL: dict[str, Rule] = {
    "_softmax": _softmax,
    "_log_softmax": _softmax,
    "nan_to_num": _nan_to_num,
    "special_bessel_j0": _bessel(bessel.j0),
    "special_bessel_j1": _bessel(bessel.j1),
    "special_bessel_y0": _bessel(bessel.y0),
    "special_bessel_y1": _bessel(bessel.y1),
}
