"""The steps of one item, as the workers run them: each in a process of its own.

``make_pair`` and ``convert_pair`` run a program and write its Triton; ``verify_pair`` sees nothing
but the two texts.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict
from typing import Any

import torch

from builder.capture.capture import Capture, capture
from builder.capture.targets import resolve_targets
from builder.capture.variants import Variant, dot_precision_of, resolve_variants
from builder.config import Limits
from builder.errors import ProgramRejected, Rejected, VerificationRejected
from builder.pipeline.steps import in_stage
from builder.pipeline.variants import distinct
from builder.programs.differentiation import check_gradients
from builder.programs.gates import GateReport, check
from builder.programs.load import load_program
from builder.programs.program import Program
from builder.programs.synthesise import synthesise
from builder.rewrite import TritonModule, triton_module
from builder.verify import Verdict, verify


def _pair(program: Program, payload: dict[str, Any], filename: str) -> dict[str, Any]:
    """Gates, captures and rewrites one program."""
    loaded = load_program(program.python_code, program.entry_point or None, filename)
    report = check(loaded, Limits(**payload["limits"]))
    if report.variant is not None:
        raise ProgramRejected(
            "too_large", "get_inputs is above the limits and one capture serves one shape only"
        )
    is_trained = payload["mode"] == "training"
    if is_trained:
        check_gradients(loaded)
    target = resolve_targets(payload["targets"])[0]
    module, inputs = loaded.make_module(), loaded.make_inputs(0)
    constructor = loaded.constructor_arguments()

    def make(variant: Variant) -> tuple[Capture, TritonModule]:
        captured = capture(
            module,
            inputs,
            target,
            seed=_capture_seed(payload),
            variant=variant,
            differentiate=is_trained,
        )
        return captured, triton_module(
            program.python_code, loaded.entry_point, captured, constructor
        )

    captured, triton = distinct(make, resolve_variants(payload["variants"]))
    dtypes = program.dtypes or tuple(sorted({spec.dtype for spec in captured.tensors}))
    fields = asdict(program) | {"entry_point": loaded.entry_point, "dtypes": dtypes}
    return {"program": fields, "capture": _capture_fields(captured, triton, report)}


def _capture_seed(payload: dict[str, Any]) -> int:
    """Spreads launch configurations over the items of a stream, and over streams."""
    item = f"{payload.get('root_seed', 0)}/{payload.get('index', 0)}/capture"
    return int.from_bytes(hashlib.sha256(item.encode()).digest()[:6], "big")


def _capture_fields(captured: Capture, triton: TritonModule, report: GateReport) -> dict[str, Any]:
    backward = captured.backward
    return {
        "mode": "training" if backward else "forward",
        "triton_code": triton.text,
        "original_triton_code": _whole_source(captured),
        "target": captured.target,
        "variant": captured.variant,
        "kernel_names": list(triton.kernel_names),
        "kernel_kinds": list(triton.kernel_kinds),
        "num_kernels": len(triton.kernel_names),
        "aten_ops": sorted({*captured.aten_ops, *(backward.aten_ops if backward else ())}),
        "stochastic": captured.stochastic,
        "flops": report.flops,
        "bytes_moved": _bytes_moved(captured, report),
    }


def _whole_source(captured: Capture) -> str:
    """Inductor's text: one module for each graph."""
    if captured.backward is None:
        return captured.source
    return f"{captured.source}\n\n# --- the backward graph ---\n\n{captured.backward.source}"


def _bytes_moved(captured: Capture, report: GateReport) -> int:
    """Bytes of every argument read once and every output written once, the least there can be."""
    sizes = [(spec.size, spec.dtype) for spec in captured.tensors]
    sizes += list(zip(report.output_shapes, report.output_dtypes, strict=True))
    return sum(math.prod(size) * getattr(torch, dtype).itemsize for size, dtype in sizes)


def _verdict_fields(verdict: Verdict) -> dict[str, Any]:
    """What of a verdict goes into a row; the module's own list of kernels stands there already."""
    fields = asdict(verdict)
    for name in ("kernel_names", "num_kernels", "replaced_draws"):
        del fields[name]
    shapes = ["; ".join(map(str, map(list, one))) for one in verdict.input_shapes]
    return fields | {"input_shapes": shapes}


def _labelled(rejected: Rejected, source: str) -> dict[str, Any]:
    return {
        "rejection": {
            "stage": rejected.stage,
            "kind": rejected.kind,
            "message": rejected.message,
            "deterministic": True,
            "source": source,
        }
    }


@in_stage("program")
def make_pair(payload: dict[str, Any]) -> dict[str, Any]:
    """The pair at ``index`` of a root seed's stream, not yet verified."""
    program = synthesise(
        payload["root_seed"], payload["index"], tuple(payload["families"]), payload["mode"]
    )
    try:
        return _pair(program, payload, f"{program.entry_point}.py")
    except Rejected as rejected:
        return _labelled(rejected, program.source)


@in_stage("program")
def convert_pair(payload: dict[str, Any]) -> dict[str, Any]:
    """The pair of a user's own file, not yet verified."""
    program = Program(**payload["program"])
    try:
        return _pair(program, payload, program.source.removeprefix("file:"))
    except Rejected as rejected:
        return _labelled(rejected, program.source)


@in_stage("verify")
def verify_pair(payload: dict[str, Any]) -> dict[str, Any]:
    """Passes a pair on with its verdict, or rejects it."""
    program, captured = payload["program"], payload["capture"]
    verdict = verify(
        program["python_code"],
        captured["triton_code"],
        program["entry_point"],
        targets=resolve_targets(payload["targets"]),
        draws=payload["draws"],
        dot_precision=dot_precision_of(captured["variant"]),
        mode=payload["mode"],
    )
    if not verdict.verified:
        rejection = VerificationRejected(verdict.kind or "unverified", verdict.reason or "")
        return _labelled(rejection, program["source"])
    return {"program": program, "capture": captured, "verdict": _verdict_fields(verdict)}


@in_stage("verify")
def verdict_of_pair(payload: dict[str, Any]) -> dict[str, Any]:
    """The verdict on a row of a data set, from its text alone."""
    verdict = verify(
        payload["python_code"],
        payload["triton_code"],
        payload["entry_point"],
        targets=resolve_targets(payload["targets"]),
        draws=payload["draws"],
        dot_precision=dot_precision_of(payload["variant"]),
        mode=payload["mode"],
    )
    return {"verdict": asdict(verdict)}
