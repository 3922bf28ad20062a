"""Draws of inputs, for tests of their distributions."""

import torch

from builder.verify.distributions import Strength
from builder.verify.domain import domains
from builder.verify.draws import reshape_inputs


def drawn(make, distribution, seed=1, strength=Strength.FULL):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = make()
        torch.manual_seed(seed)
        inputs = make()
    plain = [x.clone() if isinstance(x, torch.Tensor) else x for x in inputs]
    reshape_inputs(inputs, domains(first), distribution, seed, strength)
    return inputs, plain
