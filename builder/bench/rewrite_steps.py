"""The step of ``bench rewrite``, as workers run it: one program, rewritten in two styles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from builder.capture.targets import resolve_targets
from builder.capture.variants import dot_precision_of, resolve_variants
from builder.errors import Rejected
from builder.pipeline.making import Maker
from builder.pipeline.steps import in_stage
from builder.programs.load import load_program
from builder.rewrite import Style, triton_module
from builder.verify import judge, prepare

if TYPE_CHECKING:
    from builder.capture.capture import Capture
    from builder.verify import Prepared


@in_stage("rewrite")
def rewrite_both(payload: dict[str, Any]) -> dict[str, Any]:
    """Whether a program's Triton agrees with it before and after it is made readable.

    Args:
        payload: ``python_code``, ``entry_point``, ``mode``, ``variant``, ``seed`` and ``draws``.

    Returns:
        ``before`` and ``after``, and ``reason`` where they differ.
    """
    loaded = load_program(payload["python_code"], payload["entry_point"], "program.py")
    target = resolve_targets(("cuda:90",))[0]
    is_trained = payload["mode"] == "training"
    maker = Maker(loaded, target, payload["seed"], differentiate=is_trained)
    captured, readable = maker(resolve_variants((payload["variant"],))[0])
    raw = triton_module(
        payload["python_code"],
        payload["entry_point"],
        captured,
        loaded.constructor_arguments(),
        Style.RAW,
    )
    prepared = prepare(
        payload["python_code"],
        payload["entry_point"],
        draws=payload["draws"],
        mode=payload["mode"],
        generic=bool(captured.sizes.free),
    )
    before, _ = _agrees(prepared, raw.text, captured)
    after, reason = _agrees(prepared, readable.text, captured)
    return {"before": before, "after": after, "reason": reason}


def _agrees(prepared: Prepared, text: str, captured: Capture) -> tuple[bool, str]:
    precision = dot_precision_of(captured.variant)
    try:
        verdict = judge(prepared, text, targets=(), dot_precision=precision)
    except Rejected as rejected:
        return False, str(rejected)
    return verdict.agrees, f"{verdict.kind}: {verdict.reason}"
