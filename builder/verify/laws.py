"""Do the numbers that a program's random calls are answered with have the law of eager's?

Each call is made many times in both ways, with its own arguments, and the two samples are compared
by the test of Kolmogorov and Smirnov (Smirnov, "Table for estimating the goodness of fit of
empirical distributions", 1948).  Where elements have parameters of their own, both samples are of
the same mixture.  Everything follows from seeds, so that a verdict does not change.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from builder.errors import VerificationRejected
from builder.verify import philox
from builder.verify.random_calls import answer
from builder.verify.seams import packet_name
from builder.verify.structure import cloned, tensors_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from builder.verify.random_calls import RandomCall

Tensor = torch.Tensor

SAMPLE = 1 << 14
"""Elements that are compared, at least while the calls are few enough."""
MOST_CALLS = 1 << 12
DISTANCE = 3.5
"""What the distance may be, in units of ``sqrt((n + m) / (n * m))``.

Two samples of one law are farther apart with a probability of ``2 * exp(-2 * 3.5^2)``, 5e-11.
"""


def check_laws(calls: Sequence[RandomCall], seed: int) -> None:
    """Compares the law of each call's answers with eager's.

    Args:
        calls: of one run of the program.
        seed: of both samples.

    Raises:
        VerificationRejected: ``wrong_distribution``.
    """
    for index, call in enumerate(calls):
        own = _sample(partial(_answered, call, seed))
        theirs = _sample(partial(_drawn, call, seed))
        if not own.numel():
            continue
        apart = distance(own, theirs)
        allowed = DISTANCE * math.sqrt(2.0 / own.numel())
        if apart > allowed:
            raise VerificationRejected(
                "wrong_distribution",
                f"random call {index}, {call.func}: its distribution is {apart:.3f} from eager's, "
                f"{allowed:.3f} are allowed; draw by another operation",
            )


def distance(first: Tensor, second: Tensor) -> float:
    """The largest difference of two samples' distribution functions, from 0 to 1."""
    first, second = first.double().sort().values, second.double().sort().values
    places = torch.cat([first, second])
    shares = [
        torch.searchsorted(sample, places, right=True) / sample.numel()
        for sample in (first, second)
    ]
    return float((shares[0] - shares[1]).abs().max())


def _sample(drawn: Callable[[int], Tensor]) -> Tensor:
    """Elements of as many calls as it takes."""
    parts = [drawn(0)]
    wanted = math.ceil(SAMPLE / max(parts[0].numel(), 1))
    parts += [drawn(n) for n in range(1, min(wanted, MOST_CALLS))]
    return torch.cat(parts)[: 4 * SAMPLE]


def _answered(call: RandomCall, seed: int, number: int) -> Tensor:
    args, kwargs = cloned((call.args, call.kwargs))
    return _values(call, answer(call.func, args, kwargs, philox.call_seed(seed, number)))


def _drawn(call: RandomCall, seed: int, number: int) -> Tensor:
    args, kwargs = cloned((call.args, call.kwargs))
    torch.default_generator.manual_seed(seed + number)
    return _values(call, call.func(*args, **kwargs))


def _values(call: RandomCall, result: Any) -> Tensor:
    """What was drawn: the mask of a dropout, the result of any other call."""
    tensors = tensors_in(result)
    drawn = tensors[-1] if packet_name(call.func) == "native_dropout" else tensors[0]
    return drawn.reshape(-1)
