"""The step of ``bench rewrite``, as workers run it: one program, rewritten in two styles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from builder.capture.targets import resolve_targets
from builder.capture.variants import dot_precision_of, resolve_variants
from builder.config import Limits
from builder.pipeline.making import Maker
from builder.pipeline.stages import whole_source
from builder.pipeline.steps import in_stage
from builder.programs.gates import sets_above
from builder.programs.load import load_program
from builder.rewrite import Style, triton_module
from builder.verify import judge, prepare

if TYPE_CHECKING:
    from builder.capture.capture import Capture
    from builder.verify import Prepared, Verdict


@in_stage("rewrite")
def rewrite_both(payload: dict[str, Any]) -> dict[str, Any]:
    """Whether a program's Triton agrees with it before and after it is made readable.

    Args:
        payload: ``python_code``, ``entry_point``, ``mode``, ``variant``, ``seed`` and ``draws``.

    Returns:
        ``before`` and ``after``, ``reason`` where they differ, and of the pair as it is made now
        ``triton_code``, ``original_triton_code`` and ``shape_generic``.
    """
    loaded = load_program(payload["python_code"], payload["entry_point"], "program.py")
    target = resolve_targets(("cuda:90",))[0]
    is_trained = payload["mode"] == "training"
    too_large = sets_above(loaded, Limits())
    maker = Maker(
        loaded,
        target,
        payload["seed"],
        differentiate=is_trained,
        too_large=too_large,
        keeps_library_calls=True,
    )
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
        unrun=too_large if captured.sizes.free else (),
    )
    before, after = (_judged(prepared, text, captured) for text in (raw.text, readable.text))
    return {
        "before": before.agrees,
        "after": after.agrees,
        "reason": f"{after.kind}: {after.reason}",
        "triton_code": readable.text,
        "original_triton_code": whole_source(captured),
        "shape_generic": after.shape_generic,
    }


def _judged(prepared: Prepared, text: str, captured: Capture) -> Verdict:
    precision = dot_precision_of(captured.variant)
    return judge(
        prepared,
        text,
        targets=(),
        dot_precision=precision,
        fallback_ops=captured.every_fallback_op,
    )
