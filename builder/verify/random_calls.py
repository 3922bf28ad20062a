"""A program's random ATen calls, answered with the numbers that its Triton module should draw.

Eager's generator cannot equal Philox, so verification puts the module's own numbers into the
program.  Calls are counted in the order in which the program makes them; the call of number n takes
its numbers from seed n (``philox.call_seed``), an element from the counter that is its place in
memory.  From the numbers on, ordinary operations give the call's result, so that the reference has
it in float64.

==========================  ======================================================================
call                        result, of uniform u in [0, 1), normal z, integers r
==========================  ======================================================================
rand, rand_like             u
randn, randn_like           z
randint, randint_like       r in [low, high)
bernoulli                   u < p  (in eager on the CPU every dropout is ``bernoulli_(1 - p)``)
native_dropout              (u < 1 - p) * x / (1 - p), and the mask
uniform_                    u * (high - low) + low
normal, normal_             z * std + mean
exponential_                -log(u) / rate; of u from 1 - epsilon / 2 on, epsilon / 2 / rate
log_normal_                 exp(z * std + mean)
cauchy_                     median + sigma * tan(pi * (u - 1/2))
geometric_                  floor(log1p(-u) / log1p(-p)) + 1
multinomial                 places of the largest of p / exponential; without replacement, or one
rrelu_with_noise            x * (u * (upper - lower) + lower) where x <= 0, else x
==========================  ======================================================================

They are PyTorch's own (``torch/_refs/__init__.py``, ``torch/_decomp/decompositions.py``,
``torch/_decomp/decompositions_for_rng.py``) and those of ``builder/capture/decompose/random.py``.
That each has eager's distribution is tested on every pair (``laws``).  Random numbers have float32
precision, and float64 programs compute on in float64, others in float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from builder.errors import VerificationRejected
from builder.verify import philox
from builder.verify.seams import (
    TorchDispatchMode,
    outside_dispatch_modes,
    packet_name,
    schema_arguments,
    tree_map,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Tensor = torch.Tensor
aten = torch.ops.aten
Given = dict[str, Any]


@dataclass(frozen=True)
class RandomCall:
    """A random call that the program made.

    Attributes:
        func: the ATen overload.
        args: its positional arguments, tensors copied.
        kwargs: its keyword arguments.
    """

    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class RandomCalls(TorchDispatchMode):
    """Answers the random calls of what it encloses.

    Args:
        seed: of the module.
        changed: the number of a call that is answered with other numbers, and which others.
        keeps: whether the calls are kept in ``calls``.

    Attributes:
        count: calls so far.
        calls: the calls, if they are kept.

    Raises:
        VerificationRejected: from the call, ``unknown_random`` or ``random_generator``.
    """

    def __init__(
        self, seed: int, *, changed: tuple[int, int] | None = None, keeps: bool = False
    ) -> None:
        super().__init__()
        self.count = 0
        self.calls: list[RandomCall] = []
        self._seed = seed
        self._changed = changed
        self._keeps = keeps

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not draws(func, args, kwargs):
            return func(*args, **kwargs)
        if self._keeps:
            copied = tree_map(_copied, args)
            self.calls.append(RandomCall(func, copied, kwargs))
        seed = philox.call_seed(self._seed, self.count)
        if self._changed is not None and self.count == self._changed[0]:
            seed += self._changed[1]
        self.count += 1
        return answer(func, args, kwargs, seed)


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def draws(func: Any, args: Sequence[Any], kwargs: Given) -> bool:
    """Whether a call draws random numbers: some only may."""
    if torch.Tag.nondeterministic_seeded not in func.tags:
        return False
    name, given = packet_name(func), arguments(func, args, kwargs)
    if name.startswith("_scaled_dot_product"):
        return bool(given.get("dropout_p"))
    if name == "native_dropout":
        return bool(given["train"]) and 0.0 < given["p"] < 1.0
    if name.startswith("rrelu_with_noise"):
        return bool(given["training"])
    return name != "_fused_sdp_choice"


def arguments(func: Any, args: Sequence[Any], kwargs: Given) -> Given:
    """A call's arguments by name, defaults among them."""
    formal = schema_arguments(func)
    given = {item.name: item.default_value for item in formal if item.has_default_value()}
    given |= {item.name: value for item, value in zip(formal, args, strict=False)}
    return given | kwargs


def answer(func: Any, args: Sequence[Any], kwargs: Given, seed: int) -> Any:
    """The result of a random call on the numbers of a seed, in place where the call is.

    Raises:
        VerificationRejected: ``unknown_random`` or ``random_generator``.
    """
    given = arguments(func, args, kwargs)
    name = packet_name(func)
    law = _LAWS.get(name.rstrip("_"))
    if law is None or "out" in given:
        raise VerificationRejected(
            "unknown_random",
            f"the program draws by {func}, for which no Triton is known; draw by rand, randn, "
            "randint, bernoulli, dropout or what follows from these",
        )
    if given.get("generator") is not None:
        raise VerificationRejected(
            "random_generator", f"{func} has a generator of its own; use torch's default one"
        )
    result = law(_Numbers(seed), given)
    if not name.endswith("_"):
        return result
    target = given["self"]
    return target.copy_(result)


@dataclass(frozen=True)
class _Numbers:
    """The numbers of a call, laid out like a tensor: counters follow its memory."""

    seed: int

    def uniform(self, like: Tensor) -> Tensor:
        (drawn,) = self._drawn(like, lambda words: [philox.uniform(words[0])])
        return _cast(drawn, _wide(like.dtype))

    def normal(self, like: Tensor) -> Tensor:
        pair = self._drawn(like, lambda words: [philox.uniform(word) for word in words[:2]])
        return _cast(philox.normal(*pair), _wide(like.dtype))

    def integers(self, like: Tensor, low: int, high: int) -> Tensor:
        (drawn,) = self._drawn(like, lambda words: [philox.integers(words[0], words[1], low, high)])
        return _cast(drawn, like.dtype)

    def _drawn(self, like: Tensor, law: Callable[[Tensor], list[Tensor]]) -> list[Tensor]:
        """Outside of all modes: to the reference these numbers are given."""
        with outside_dispatch_modes():
            parts = zip(*map(law, philox.words(self.seed, like.numel())), strict=True)
            return [torch.cat(part).as_strided(like.size(), like.stride()) for part in parts]


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """As one operation: under a mode ``Tensor.to`` is another, whose parts the next mode misses."""
    if tensor.dtype == dtype:
        return tensor
    result: Tensor = aten._to_copy.default(tensor, dtype=dtype)  # noqa: SLF001
    return result


def _contiguous(tensor: Tensor) -> Tensor:
    """As eager lays some results out, whatever their arguments' layout."""
    if tensor.is_contiguous():
        return tensor
    return tensor.clone(memory_format=torch.contiguous_format)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _layout(tensor: Tensor, dtype: torch.dtype | None = None, memory_format: Any = None) -> Tensor:
    """What a result that is like a tensor looks like: dense, dimensions ordered as there."""
    kept = torch.preserve_format if memory_format is None else memory_format
    with outside_dispatch_modes():
        meta = torch.empty_strided(tensor.size(), tensor.stride(), device="meta")
        return torch.empty_like(meta, dtype=dtype or tensor.dtype, memory_format=kept)


def _result(given: Given, default: torch.dtype | None = None) -> Tensor:
    """The layout of the result of ``rand`` or ``rand_like``."""
    dtype = given.get("dtype")
    if not isinstance(dtype, torch.dtype):
        dtype = None
    if "self" in given:
        return _layout(given["self"], dtype, given.get("memory_format"))
    with outside_dispatch_modes():
        chosen = dtype or default or torch.get_default_dtype()
        return torch.empty(given["size"], dtype=chosen, device="meta")


def _rand(numbers: _Numbers, given: Given) -> Tensor:
    like = _result(given)
    return _cast(numbers.uniform(like), like.dtype)


def _randn(numbers: _Numbers, given: Given) -> Tensor:
    like = _result(given)
    return _cast(numbers.normal(like), like.dtype)


def _randint(numbers: _Numbers, given: Given) -> Tensor:
    return numbers.integers(_result(given, torch.int64), given.get("low", 0), given["high"])


def _bernoulli(numbers: _Numbers, given: Given) -> Tensor:
    x = given["self"]
    p: Any = given.get("p", x)
    like = _layout(x, _wide(p.dtype) if isinstance(p, Tensor) else torch.float32)
    drawn = _cast(numbers.uniform(like) < p, x.dtype)
    return drawn if isinstance(p, Tensor) and p is not x else _contiguous(drawn)


def _native_dropout(numbers: _Numbers, given: Given) -> tuple[Tensor, Tensor]:
    x, p = given["input"], given["p"]
    keep = numbers.uniform(_layout(x, torch.float32)) < 1.0 - p
    return keep * x * (1.0 / (1.0 - p)), keep


def _uniform(numbers: _Numbers, given: Given) -> Tensor:
    x, low, high = given["self"], given["from"], given["to"]
    return _cast(numbers.uniform(_layout(x)) * (high - low) + low, x.dtype)


def _normal(numbers: _Numbers, given: Given) -> Tensor:
    mean, std = given["mean"], given["std"]
    like = _normal_layout(given, mean, std)
    return _contiguous(_cast(numbers.normal(like) * std + mean, like.dtype))


def _normal_layout(given: Given, mean: Any, std: Any) -> Tensor:
    tensors = [part for part in (mean, std) if isinstance(part, Tensor)]
    if "self" in given:
        return _layout(given["self"])
    if not tensors:
        return _result(given)
    if len(tensors) == 1:
        return _layout(tensors[0])
    with outside_dispatch_modes():
        return _layout(torch.broadcast_tensors(*tensors)[0])


def _exponential(numbers: _Numbers, given: Given) -> Tensor:
    x = given["self"]
    return _cast(_waiting_time(numbers.uniform(_layout(x)), given["lambd"]), x.dtype)


def _waiting_time(u: Tensor, rate: float) -> Tensor:
    least = torch.finfo(u.dtype).eps / 2
    ends = torch.full_like(u, -least)
    logarithm = torch.where(u >= 1.0 - least, ends, torch.log(u))
    return -1.0 / rate * logarithm


def _multinomial(numbers: _Numbers, given: Given) -> Tensor:
    x, count = given["self"], given["num_samples"]
    if given["replacement"] and count > 1:
        raise VerificationRejected(
            "unknown_random", "multinomial with replacement has no Triton; draw each sample anew"
        )
    race = x / _cast(_waiting_time(numbers.uniform(_layout(x)), 1.0), x.dtype)
    if count == 1:
        return torch.argmax(race, -1, keepdim=True)
    return torch.topk(race, count).indices


def _log_normal(numbers: _Numbers, given: Given) -> Tensor:
    z = numbers.normal(_layout(given["self"]))
    return _cast(torch.exp(given["std"] * z + given["mean"]), given["self"].dtype)


def _cauchy(numbers: _Numbers, given: Given) -> Tensor:
    u = numbers.uniform(_layout(given["self"]))
    value = given["median"] + given["sigma"] * torch.tan(math.pi * (u - 0.5))
    return _cast(value, given["self"].dtype)


def _geometric(numbers: _Numbers, given: Given) -> Tensor:
    u = numbers.uniform(_layout(given["self"]))
    trials = torch.floor(torch.log1p(-u) / math.log1p(-given["p"])) + 1
    return _cast(trials, given["self"].dtype)


def _rrelu(numbers: _Numbers, given: Given) -> Tensor:
    x, low, high = given["self"], given["lower"], given["upper"]
    slope = _cast(numbers.uniform(_layout(x)) * (high - low) + low, x.dtype)
    is_left = x <= 0
    given["noise"].copy_(torch.where(is_left, slope, torch.ones_like(slope)))
    return _contiguous(torch.where(is_left, x * slope, x))


_LAWS: dict[str, Callable[[_Numbers, Given], Any]] = {
    "bernoulli": _bernoulli,
    "cauchy": _cauchy,
    "exponential": _exponential,
    "geometric": _geometric,
    "log_normal": _log_normal,
    "multinomial": _multinomial,
    "native_dropout": _native_dropout,
    "normal": _normal,
    "rand": _rand,
    "rand_like": _rand,
    "randint": _randint,
    "randint_like": _randint,
    "randn": _randn,
    "randn_like": _randn,
    "rrelu_with_noise": _rrelu,
    "uniform": _uniform,
}
