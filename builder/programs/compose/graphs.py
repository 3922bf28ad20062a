"""Draws whole graphs: sizes, how long, which operators, what is returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from builder.programs.compose.composer import Composer
from builder.programs.compose.steering import Steering, uses_of
from builder.programs.compose.values import Sizes, Value
from builder.programs.compose.writing import Writer
from builder.programs.operators import OPERATORS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from builder.programs.compose.steering import Use
    from builder.programs.draft import Draft


PROBES = {
    "batch": 3, "seq": 6, "hidden": 16, "rows": 5, "columns": 14, "channels": 8, "height": 7,
    "width": 9, "heads": 4, "head_dim": 12, "classes": 11,
}  # fmt: skip
_ATTEMPTS = 12
_MOST_OUTPUTS = 4
_LEVELS = ((1, 1), (6, 2), (16, 3))
_REFUSED = 60
COMMON = {
    "linear": 100.0, "linear_square": 30.0, "matmul": 32.0, "bmm_nt": 40.0, "bmm_tn": 24.0,
    "mlp": 8.0, "conv2d": 70.0, "strided_conv2d": 16.0, "depthwise_conv2d": 8.0,
    "batch_norm": 90.0, "add": 75.0, "mul": 14.0, "sum": 44.0, "relu": 26.0, "layer_norm": 26.0,
    "div": 5.0, "cat": 8.0, "gelu": 5.0, "silu": 5.0, "softmax": 8.0, "mean": 3.0, "sigmoid": 2.0,
    "leaky_relu": 2.0, "hardswish": 2.0, "max_pool2d": 3.0, "avg_pool2d": 2.0, "stack": 3.0,
    "pad": 3.0, "clone": 6.0,
}  # fmt: skip
"""Weights of operators; about as much more than others as real models call them more often."""
_JOINS = ("add", "mul", "gate", "cat", "maximum", "add_mean", "scale_by_mean")


def level_of(nodes: int) -> int:
    """1 for one operator, 2 for a fusion, 3 for a block, 4 for a small network."""
    return next((level for most, level in _LEVELS if nodes <= most), 4)


def draw_graph(
    rng: Random,
    draft: Draft,
    dims: str,
    count: int,
    weights: Mapping[str, float],
    used: Mapping[Use, int],
) -> None:
    """Fills a draft with a random graph.

    Args:
        rng: every choice comes from it.
        draft: with the sizes of ``dims`` declared, and varied where they vary.
        dims: roles of the first input's dimensions.
        count: operators to apply.
        weights: of themes of operators; those that are not named have 1.
        used: what earlier programs have used, see ``Steering``.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.getrandbits(62))
        sizes = _sizes(draft)
        composer = Composer(rng, draft, sizes)
        pool = "images" if len(dims.split()) == 4 else "tokens"
        composer.enter(_first(draft, sizes, pool, dims))
        _grow(rng, composer, count, weights, used)
        outputs = _outputs(rng, composer)
    draft.level = level_of(len(composer.nodes))
    for node in composer.nodes:
        chains = [composer.chain(operand, node.operator) for operand in node.operands]
        draft.uses += uses_of(chains, draft.dtype)
    _title(rng, draft, composer)
    Writer(rng, draft, composer.nodes, outputs).write()


def _sizes(draft: Draft) -> Sizes:
    sets = 4 if draft.varied else 1
    columns = {}
    for role in draft.sizes:
        real = draft.values[role]
        others = draft.varied.get(role, (real,) * 3)
        columns[role] = (PROBES.get(role, 10), real, *(others if sets > 1 else ()))
    return Sizes(columns)


def _first(draft: Draft, sizes: Sizes, pool: str, dims: str) -> Value:
    name = draft.normal(pool, dims)
    shapes = sizes.shapes(dims)
    dtype = getattr(torch, draft.dtype)
    drawn = [torch.randn(shapes[0]).to(dtype) for _ in range(2)]
    return Value(drawn[0], drawn[1], tuple(shapes[1:]), name)


def _grow(
    rng: Random,
    composer: Composer,
    count: int,
    weights: Mapping[str, float],
    used: Mapping[Use, int],
) -> None:
    operators = list(OPERATORS.values())
    prior = [COMMON.get(one.name, 1.0) * weights.get(one.theme, 1.0) for one in operators]
    steering = Steering(operators, prior, composer.draft.dtype, used)
    refused = 0
    while len(composer.nodes) < count and refused < _REFUSED:
        operator, operand = rng.choices(operators, steering.weights)[0], _operand(rng, composer)
        if rng.random() >= steering.chance(composer.chain(operand, operator)):
            continue
        if composer.apply(operator, operand) is None:
            refused += 1


def _operand(rng: Random, composer: Composer) -> Value:
    """Mostly what nothing reads yet, and of that the latest."""
    pool = composer.unused if rng.random() < 0.85 else composer.values
    return pool[-1] if rng.random() < 0.6 else rng.choice(pool)


def _outputs(rng: Random, composer: Composer) -> list[Value]:
    """What nothing reads; of too many, two are made one until few are left."""
    wanted = min(_MOST_OUTPUTS, 1 + int(rng.expovariate(1.4)))
    for _ in range(_ATTEMPTS):
        left = composer.ends
        if len(left) <= wanted or not _join(rng, composer, left):
            break
    return composer.ends


def _join(rng: Random, composer: Composer, left: list[Value]) -> bool:
    """Makes one of two values, if some operator can."""
    pairs = [(one, other) for one in left for other in left if one is not other]
    rng.shuffle(pairs)
    for pair in pairs:
        for name in rng.sample(_JOINS, len(_JOINS)):
            if composer.join(OPERATORS[name], pair) is not None:
                return True
    return False


def _title(rng: Random, draft: Draft, composer: Composer) -> None:
    """A class name and a description out of what it does."""
    ops = [node.operator.name for node in composer.nodes]
    chosen = list(dict.fromkeys(ops))[-3:] if ops else ["identity"]
    words = ["".join(part.capitalize() for part in name.split("_")) for name in chosen[:2]]
    suffix = rng.choice(("", "", "Block", "Layer", "Fusion", "Head", "Mixer"))
    spoken = [name.replace("_", " ") for name in chosen]
    doc = f"{', '.join(spoken[:-1])} and {spoken[-1]}" if len(spoken) > 1 else spoken[0]
    draft.title(("".join(words) + suffix,), f"{doc[0].upper()}{doc[1:]}.")
