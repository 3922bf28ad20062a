"""The step of ``bench capture`` for training pairs, as workers run it: one entry's gradients."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from builder.bench import operators
from builder.capture.capture import capture
from builder.capture.targets import resolve_targets
from builder.errors import BuilderError, Rejected
from builder.pipeline.steps import in_stage
from builder.programs.differentiation import check_gradients
from builder.programs.load import load_program
from builder.rewrite import triton_module
from builder.verify import judge, prepare


@dataclass
class FoundBackward:
    """How far the training pair of an entry came.

    Attributes:
        captured: both graphs were lowered to Triton alone.
        verified: the pair agrees, gradients included, if it only moves data, too.
        stage: where it ended, ``backward capture`` for instance; empty if it did not.
        reason: why.
    """

    captured: bool = False
    verified: bool = False
    stage: str = ""
    reason: str = ""


@in_stage("backward")
def examine_backward(payload: dict[str, Any]) -> dict[str, Any]:
    """Captures an entry's forward and backward graphs and verifies the pair.

    Args:
        payload: ``name``, ``scaled``, ``target`` and ``draws``.

    Returns:
        the fields of ``FoundBackward``.
    """
    found = FoundBackward()
    name = payload["name"]
    text, entry_point = operators.program(name, scaled=payload["scaled"], needs_grad=True)
    try:
        _follow(text, entry_point, payload, found)
    except (Rejected, BuilderError) as error:
        found.stage = f"backward {getattr(error, 'stage', 'program')}"
        found.reason = f"{getattr(error, 'kind', type(error).__name__)}: {error}"
    return asdict(found)


def _follow(
    python_code: str, entry_point: str, payload: dict[str, Any], found: FoundBackward
) -> None:
    program = load_program(python_code, entry_point, f"{entry_point}.py")
    check_gradients(program)
    (target,) = resolve_targets([payload["target"]])
    captured = capture(program.make_module(), program.make_inputs(0), target, differentiate=True)
    arguments = program.constructor_arguments()
    text = triton_module(python_code, entry_point, captured, arguments).text
    found.captured = True
    prepared = prepare(
        python_code, entry_point, draws=payload["draws"], must_depend=False, mode="training"
    )
    verdict = judge(prepared, text, targets=(target,))
    found.verified = verdict.agrees
    if not verdict.agrees:
        found.stage, found.reason = "backward verify", f"{verdict.kind}: {verdict.reason}"
