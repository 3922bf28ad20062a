"""How far a Triton text is from the float64 reference, on the verifier's own draws."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from builder.verify.compare import is_float
from builder.verify.modules import imported_text, load_state, triton_module
from builder.verify.norm import error
from builder.verify.runner import run_triton

if TYPE_CHECKING:
    import torch

    from builder.verify.compare import Expected
    from builder.verify.preparation import Prepared, Question

WORSE_FACTOR = 2.0


def errors_of(prepared: Prepared, triton_code: str) -> dict[str, float] | None:
    """The error of each output, its largest on any input set; None if the text fails somewhere.

    For a float output that is the largest of its elements' errors in the verifier's norm, for a
    discrete one the number of elements that differ from eager's.
    """
    found: dict[str, float] = {}
    try:
        with prepared.surroundings(), imported_text(triton_code) as text:
            new = triton_module(prepared.program, text, prepared.original, 0)
            for index in range(len(prepared)):
                for name, value in _errors(prepared.question(index), new).items():
                    found[name] = max(value, found.get(name, 0.0))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  (any failure to run is the verdict's to name)
        return None
    return found


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


def is_worse(errors: dict[str, float], originals: dict[str, float]) -> bool:
    """Whether the error of any output is more than twice the original's."""
    if errors.keys() != originals.keys():
        return True
    return any(value > WORSE_FACTOR * originals[name] for name, value in errors.items())
