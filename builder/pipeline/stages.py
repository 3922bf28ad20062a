"""The steps of one item, as the workers run them: each in a process of its own.

``make_pair`` and ``convert_pair`` run a program and write its Triton; ``verify_pair`` sees nothing
but the two texts.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import torch

from builder.capture.generic import sizes_of
from builder.capture.sizes import evaluate
from builder.capture.targets import resolve_targets
from builder.capture.variants import dot_precision_of, resolve_variants
from builder.config import Limits
from builder.errors import Rejected, VerificationRejected
from builder.pipeline.making import Maker
from builder.pipeline.steps import in_stage
from builder.pipeline.variants import distinct
from builder.programs.differentiation import check_gradients
from builder.programs.gates import GateReport, check
from builder.programs.load import load_program
from builder.programs.mutate.draw import draw_mutant
from builder.programs.program import Program
from builder.programs.structure import structure_of
from builder.programs.synthesise import nodes_of, synthesise
from builder.rewrite import Style
from builder.verify import Verdict, verify
from builder.verify.unrun import unrun_sets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.capture.capture import Capture
    from builder.programs.load import LoadedProgram
    from builder.rewrite import TritonModule


_TOO_FEW = "compared on fewer than three other shapes, or on none with an odd size"


def _pair(program: Program, payload: dict[str, Any], filename: str) -> dict[str, Any]:
    """Gates, captures and rewrites one program."""
    loaded = load_program(program.python_code, program.entry_point or None, filename)
    report = check(
        loaded,
        Limits(**payload["limits"]),
        strict=program.seed is not None,
        nodes=nodes_of(program),
        is_drawn=program.seed is not None and program.parent is None,
    )
    is_trained = payload["mode"] == "training"
    if is_trained and report.variant is None:
        check_gradients(loaded)
    target = resolve_targets(payload["targets"])[0]
    maker = Maker(
        loaded,
        target,
        _capture_seed(payload),
        differentiate=is_trained,
        too_large=report.too_large,
        style=Style(payload["style"]),
        keeps_library_calls=payload.get("library_calls") == "keep",
    )
    captured, triton = distinct(maker, resolve_variants(payload["variants"]))
    dtypes = program.dtypes or tuple(sorted({spec.dtype for spec in captured.tensors}))
    fields = asdict(program) | {"entry_point": loaded.entry_point, "dtypes": dtypes}
    sizes = sizes_of(captured, maker.module.forward, maker.inputs)
    return {
        "program": fields,
        "capture": _capture_fields(captured, triton, report, sizes)
        | {"structure": _structure(loaded, report)},
        "unrun": list(report.too_large) if captured.sizes.free else [],
    }


def _structure(loaded: LoadedProgram, report: GateReport) -> str | None:
    """Hash of the program's graph; None where it cannot be had without values of tensors."""
    try:
        return (report.structure or structure_of(loaded, report.probed)).fingerprint
    except (Rejected, RuntimeError, NotImplementedError):
        return None


def _capture_seed(payload: dict[str, Any]) -> int:
    """Spreads launch configurations over the items of a stream, and over streams."""
    item = f"{payload.get('root_seed', 0)}/{payload.get('index', 0)}/capture"
    return int.from_bytes(hashlib.sha256(item.encode()).digest()[:6], "big")


def _capture_fields(
    captured: Capture, triton: TritonModule, report: GateReport, sizes: Mapping[str, int]
) -> dict[str, Any]:
    backward = captured.backward
    return {
        "mode": "training" if backward else "forward",
        "triton_code": triton.text,
        "original_triton_code": whole_source(captured),
        "target": captured.target,
        "variant": captured.variant,
        "kernel_names": list(triton.kernel_names),
        "kernel_kinds": list(triton.kernel_kinds),
        "num_kernels": len(triton.kernel_names),
        "aten_ops": sorted({*captured.aten_ops, *(backward.aten_ops if backward else ())}),
        "triton_only": not captured.every_fallback_op,
        "fallback_ops": list(captured.every_fallback_op),
        "stochastic": captured.stochastic,
        "flops": (report.declared or report).flops,
        "bytes_moved": _bytes_moved(captured, report, sizes),
        "shape_generic": bool(captured.sizes.free),
        "static_reason": captured.static_reason,
    }


def whole_source(captured: Capture) -> str:
    """Inductor's text: one module for each graph."""
    if captured.backward is None:
        return captured.source
    return f"{captured.source}\n\n# --- the backward graph ---\n\n{captured.backward.source}"


def _bytes_moved(captured: Capture, report: GateReport, sizes: Mapping[str, int]) -> int | None:
    """Bytes of every argument read once and every output written once, the least there can be.

    None where what ``get_inputs`` gives is too large to be had, and asks values of tensors.
    """
    outputs = report.declared or report
    if not outputs.output_shapes:
        return None
    moved = [
        (tuple(evaluate(extent, sizes) for extent in spec.size), spec.dtype)
        for spec in captured.tensors
    ]
    moved += list(zip(outputs.output_shapes, outputs.output_dtypes, strict=True))
    return sum(math.prod(size) * getattr(torch, dtype).itemsize for size, dtype in moved)


def _verdict_fields(verdict: Verdict) -> dict[str, Any]:
    """What of a verdict goes into a row; the module's own list of kernels stands there already."""
    fields = asdict(verdict)
    for name in ("kernel_names", "num_kernels", "replaced_draws"):
        del fields[name]
    return fields | {
        name: ["; ".join(map(str, map(list, one))) for one in getattr(verdict, name)]
        for name in ("input_shapes", "refused_shapes", "unrun_shapes")
    }


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


@in_stage("program")
def mutate_pair(payload: dict[str, Any]) -> dict[str, Any]:
    """The pair of a mutant of a file, not yet verified."""
    parent = Program(**payload["program"])
    try:
        program = draw_mutant(parent, payload["root_seed"], payload["index"])
        return _pair(program, payload, parent.source.removeprefix("file:"))
    except Rejected as rejected:
        return _labelled(rejected, parent.source)


@in_stage("program")
def mutate_file(payload: dict[str, Any]) -> dict[str, Any]:
    """A mutant of a file that passes the gates, and no pair of it."""
    parent = Program(**payload["program"])
    program = draw_mutant(parent, payload["root_seed"], payload["index"])
    loaded = load_program(program.python_code, program.entry_point, "mutant.py")
    check(loaded, Limits(**payload["limits"]), strict=True)
    return {"program": asdict(program)}


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
        generic=captured["shape_generic"],
        unrun=payload["unrun"],
        dot_precision=dot_precision_of(captured["variant"]),
        mode=payload["mode"],
        fallback_ops=captured["fallback_ops"],
    )
    if not verdict.verified:
        rejection = VerificationRejected(verdict.kind or "unverified", verdict.reason or "")
        return _labelled(rejection, program["source"])
    if captured["shape_generic"] and not verdict.shape_generic:
        captured = captured | {"static_reason": _TOO_FEW}
    return {"program": program, "capture": captured, "verdict": _verdict_fields(verdict)}


@in_stage("verify")
def verdict_of_pair(payload: dict[str, Any]) -> dict[str, Any]:
    """The verdict on a row of a data set, from its text alone.

    Which input sets are too large to run is measured anew, where the row says that some are.
    """
    limits = Limits(**payload["limits"])
    texts = payload["python_code"], payload["entry_point"]
    unrun = unrun_sets(*texts, limits) if payload["unrun_shapes"] else ()
    verdict = verify(
        payload["python_code"],
        payload["triton_code"],
        payload["entry_point"],
        targets=resolve_targets(payload["targets"]),
        draws=payload["draws"],
        generic=payload["shape_generic"],
        unrun=unrun,
        dot_precision=dot_precision_of(payload["variant"]),
        mode=payload["mode"],
        fallback_ops=payload.get("fallback_ops", ()),
    )
    if verdict.verified and payload["shape_generic"] and not verdict.shape_generic:
        verdict = replace(verdict, verified=False, kind="not_generic", reason=_TOO_FEW)
    return {"verdict": asdict(verdict)}
