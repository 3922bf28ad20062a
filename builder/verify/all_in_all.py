"""Is a float output less exact than eager all in all, though no element is too far off?

Of the errors of a few hundred elements the largest says little, and is allowed twice the largest
of many runs of eager.  Their root mean square is steadier.  Of 3,876 outputs of verified pairs, one
for each input set, ten had more than twice that of eager's first run, which was near by luck, and
one had more (2.2 times) than all runs of eager as written, on inputs that are moved by an ulp too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from builder.verify.expected import EAGER_FACTOR
from builder.verify.floats import FEW_ROUNDINGS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from builder.verify.expected import Expected, Outcome
    from builder.verify.norm import Errors

PART_OF_FLOOR = 1.0 / 16.0
"""Of a floor, what the root mean square of eager's errors is taken for at least."""


def worse_all_in_all(
    found: Outcome, errors: Errors, expected: Expected, samples: Iterable[Expected]
) -> Outcome | None:
    """The failure of an output that passes otherwise, if it is one.

    Args:
        found: how it compares.
        errors: of its elements.
        expected: eager and reference.
        samples: other runs of eager, heard only if the output is worse than the first.
    """
    if expected.history.decided or found.ratio is None or found.ratio <= EAGER_FACTOR:
        return None
    means = [expected.eager_errors.mean, FEW_ROUNDINGS, found.floor * PART_OF_FLOOR]
    alike = (one for one in samples if one.eager.shape == expected.eager.shape)
    means += [one.eager_errors.mean for one in alike if one.as_written and not one.is_blurred]
    times = errors.mean / max(means)
    if times <= EAGER_FACTOR:
        return None
    message = (
        f"the root mean square of the errors is {errors.mean:.3g}; eager's is {max(means):.3g} at "
        "its worst; compute in a wider type"
    )
    return replace(found, kind="wrong_values", message=message, excess=times / EAGER_FACTOR)
