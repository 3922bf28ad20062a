"""The ``math`` dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from builder.execute.functions import (
    Function,
    Tensor,
    alike_everywhere,
    count_leading_zeros,
    count_trailing_zeros,
    population_count,
    power,
    round_half_away,
    square_root,
)
from builder.execute.registry import operation
from builder.execute.rounding import fused_multiply_add

if TYPE_CHECKING:
    from builder.execute.frame import Frame
    from builder.execute.ir import Operation

_MATH: dict[str, Function] = {
    "abs": torch.abs,
    "ceil": torch.ceil,
    "cos": torch.cos,
    "erf": torch.erf,
    "exp": torch.exp,
    "exp2": alike_everywhere(torch.exp2),
    "expm1": torch.expm1,
    "floor": torch.floor,
    "fma": fused_multiply_add,
    "log": torch.log,
    "log1p": torch.log1p,
    "log2": torch.log2,
    "log10": torch.log10,
    "pow": power,
    "rsqrt": torch.rsqrt,
    "sin": torch.sin,
    "sqrt": square_root,
    "tan": torch.tan,
    "tanh": torch.tanh,
    "trunc": torch.trunc,
}

for _alias, _target in {
    "absf": "abs", "absi": "abs", "powf": "pow", "fpowi": "pow", "precise_sqrt": "sqrt",
}.items():  # fmt: skip
    _MATH[_alias] = _MATH[_target]
_MATH |= {
    "roundeven": torch.round,
    "round": round_half_away,
    "ctpop": population_count,
    "ctlz": count_leading_zeros,
    "cttz": count_trailing_zeros,
    "copysign": torch.copysign,
    "atan2": alike_everywhere(torch.atan2),
}


def _register(name: str, function: Function) -> None:
    @operation(name)
    def run(_frame: Frame, _op: Operation, args: list[Any]) -> Tensor:
        return function(*args)


for _name, _function in _MATH.items():
    _register(f"math.{_name}", _function)
_register("tt.precise_sqrt", square_root)
