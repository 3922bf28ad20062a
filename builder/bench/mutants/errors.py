"""How far a Triton text is from the float64 reference, on the verifier's own draws.

A text that computes the same in real numbers, or in another precision, is another text only if it
is less exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from builder.verify.compare import is_float
from builder.verify.expected import EAGER_FACTOR
from builder.verify.modules import imported_text, load_state, triton_module
from builder.verify.norm import error
from builder.verify.runner import run_triton

if TYPE_CHECKING:
    import torch

    from builder.verify.compare import Expected
    from builder.verify.preparation import Prepared
    from builder.verify.question import Question

WORSE_FACTOR = 2.0


@dataclass
class Exactness:
    """The errors of a text.

    For a float output an error is the largest of its elements' in the verifier's norm, for a
    discrete one the number of elements that differ from eager's.

    Attributes:
        largest: the error of each output, on the input set where it is largest.
        times_eager: the largest error of a float output on an input set beside eager's own there,
            infinite beside none.
        has_floats: some output is one of floats.
        decides_otherwise: a discrete output has elements that are not eager's.
    """

    largest: dict[str, float] = field(default_factory=dict)
    times_eager: float = 0.0
    has_floats: bool = False
    decides_otherwise: bool = False

    def within_eager(self, *, agrees: bool) -> bool:
        """On no input set is an output's error more than what the rule of comparison allows.

        That is twice eager's, without regard to floors: such a text is right by definition.
        Decisions, which rounding flips, tell that of no text by themselves.

        Args:
            agrees: the text passes, so that where it decides otherwise than eager that is right.
        """
        if self.decides_otherwise and not (agrees and self.has_floats):
            return False
        return self.times_eager <= EAGER_FACTOR


def errors_of(prepared: Prepared, triton_code: str) -> Exactness | None:
    """The errors of a text; None if it fails somewhere."""
    found = Exactness()
    try:
        with prepared.surroundings(), imported_text(triton_code) as text:
            new = triton_module(prepared.program, text, prepared.original, 0)
            for index in range(len(prepared)):
                question = prepared.question(index)
                for name, value in _errors(question, new).items():
                    found.largest[name] = max(value, found.largest.get(name, 0.0))
                    _note(found, value, question.original.expected[name])
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  (any failure to run is the verdict's to name)
        return None
    return found


def _note(found: Exactness, value: float, expected: Expected) -> None:
    """Enters the error of an output beside eager's."""
    if is_float(expected.eager.dtype):
        times = _times(value, expected.eager_errors.worst)
        found.times_eager, found.has_floats = max(found.times_eager, times), True
    else:
        found.decides_otherwise |= value > 0.0


def _times(value: float, eager: float) -> float:
    if not value:
        return 0.0
    return value / eager if eager else math.inf


def _errors(question: Question, new: torch.nn.Module) -> dict[str, float]:
    load_state(new, question.case.module)
    run = run_triton(question.case, new)
    return {
        name: _error(value, question.original.expected[name])
        for name, value in run.values.items()
        if name in question.original.expected
    }


def _error(actual: torch.Tensor, expected: Expected) -> float:
    if actual.shape != expected.eager.shape or actual.dtype != expected.eager.dtype:
        return math.inf
    if not is_float(actual.dtype):
        return float((actual != expected.eager).sum())
    largest = error(actual, expected.reference)
    return math.inf if math.isnan(largest) else largest


def is_worse(mutant: Exactness, original: Exactness) -> bool:
    """Whether the error of any output is more than twice the original's."""
    errors, originals = mutant.largest, original.largest
    if errors.keys() != originals.keys():
        return True
    return any(value > WORSE_FACTOR * originals[name] for name, value in errors.items())
