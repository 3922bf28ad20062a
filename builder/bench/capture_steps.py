"""The step of ``bench capture``, as workers run it: one entry of the operator database."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from builder.bench import operators
from builder.capture.capture import Capture, capture
from builder.capture.targets import TARGETS, resolve_targets
from builder.errors import BuilderError, Rejected, VerificationRejected
from builder.pipeline.steps import in_stage
from builder.programs.load import LoadedProgram, load_program
from builder.rewrite import triton_module
from builder.verify import judge, prepare
from builder.verify.compile import compile_launches
from builder.verify.modules import imported_text
from builder.verify.modules import triton_module as new_module
from builder.verify.runner import Case, run_triton

if TYPE_CHECKING:
    from builder.capture.targets import Target
    from builder.execute import Launch
    from builder.verify import Prepared

LOWERED = frozenset({"library_call", "no_kernel"})
"""Rejections of what Inductor did lower, but not to Triton."""


@dataclass
class Found:
    """How far an entry came.

    Attributes:
        valid: eager takes the sample; one that was scaled need not be.
        captured: Inductor lowered it whole.
        with_triton: to at least one Triton kernel.
        triton_only: and to nothing else.
        compiled_all_targets: its kernels compile for every target; one whose device they are too
            large for has kernels of its own.
        verified: it agrees, if it only moves data, too.
        library_verified: it is not Triton only, and agrees with its library calls kept.
        stage: where it ended; empty if it did not.
        reason: why.
        capture_core_s: core-seconds of its capture.
    """

    valid: bool = True
    captured: bool = False
    with_triton: bool = False
    triton_only: bool = False
    compiled_all_targets: bool = False
    verified: bool = False
    library_verified: bool = False
    stage: str = ""
    reason: str = ""
    capture_core_s: float = 0.0


@in_stage("capture")
def warm_up() -> None:
    """Imports the database before processes are forked."""
    operators.listed()


@in_stage("capture")
def examine(payload: dict[str, Any]) -> dict[str, Any]:
    """Captures an entry, compiles it for every target and verifies it.

    Args:
        payload: ``name``, ``scaled``, ``target`` and ``draws``.

    Returns:
        the fields of ``Found``.
    """
    found = Found()
    python_code, entry_point = operators.program(payload["name"], scaled=payload["scaled"])
    try:
        program = load_program(python_code, entry_point, f"{entry_point}.py")
        if payload["scaled"] and not _runs(program):
            return asdict(Found(valid=False))
        captured = _captured(program, payload["target"], found)
        if found.triton_only:
            _prove(program, captured, payload["draws"], found)
        else:
            _prove_kept(program, captured, payload["draws"], found)
    except (Rejected, BuilderError) as error:
        stage = getattr(error, "stage", "program")
        found.stage = found.stage or stage
        kind = getattr(error, "kind", type(error).__name__)
        found.reason = f"{kind}: {error}"
        found.captured = found.captured or kind in LOWERED
    return asdict(found)


def _runs(program: LoadedProgram) -> bool:
    try:
        program.make_module()(*program.make_inputs(0))
    except (RuntimeError, ValueError, IndexError, TypeError):
        return False
    return True


def _captured(program: LoadedProgram, target: str, found: Found) -> Capture:
    module, inputs = program.make_module(), program.make_inputs(0)
    start = time.process_time()
    try:
        captured = capture(module, inputs, resolve_targets([target])[0])
    finally:
        found.capture_core_s = time.process_time() - start
    found.captured = found.with_triton = True
    found.triton_only = not captured.fallback_ops
    if captured.fallback_ops:
        found.stage, found.reason = "capture", f"library_call: {', '.join(captured.fallback_ops)}"
    return captured


def _prove(program: LoadedProgram, captured: Capture, draws: int, found: Found) -> None:
    name = program.entry_point
    found.stage = "rewrite"
    text = _rewritten(program, captured)
    # Whether a sample makes a good pair is another question: op_db has ``zeros_like`` too.
    prepared = prepare(program.python_code, name, draws=draws, must_depend=False)
    found.stage = "compile"
    _compile(prepared, text, captured.target)
    found.compiled_all_targets = True
    found.stage = "verify"
    verdict = judge(prepared, text, targets=())
    found.verified = verdict.agrees
    if verdict.agrees:
        found.stage = ""
    else:
        found.reason = f"{verdict.kind}: {verdict.reason}"


def _prove_kept(program: LoadedProgram, captured: Capture, draws: int, found: Found) -> None:
    """Verifies a module that keeps its library calls; why not is added to the reason."""
    try:
        text = _rewritten(program, replace(captured, keeps_library_calls=True))
        prepared = prepare(program.python_code, program.entry_point, draws=draws, must_depend=False)
    except (Rejected, BuilderError) as error:
        found.reason += f"; kept: {getattr(error, 'kind', type(error).__name__)}: {error}"
        return
    verdict = judge(prepared, text, targets=(), fallback_ops=captured.every_fallback_op)
    found.library_verified = verdict.agrees
    if not verdict.agrees:
        found.reason += f"; kept: {verdict.kind}: {verdict.reason}"


def _rewritten(program: LoadedProgram, captured: Capture) -> str:
    arguments = program.constructor_arguments()
    return triton_module(program.python_code, program.entry_point, captured, arguments).text


def _compile(prepared: Prepared, triton_code: str, captured_for: str) -> None:
    """Compiles all kernels that one run launches, for all targets of the table.

    A product's tiles are chosen for a device, and may be too large for another's shared memory: for
    that one the program is captured again.
    """
    launches = _launches(prepared, triton_code)
    for target in TARGETS.values():
        if target.name == captured_for:
            compile_launches(launches, (target,))
        elif not _compiles(launches, target):
            compile_launches(_launches_for(prepared, target), (target,))


def _compiles(launches: list[Launch], target: Target) -> bool:
    try:
        compile_launches(launches, (target,))
    except VerificationRejected:
        return False
    return True


def _launches_for(prepared: Prepared, target: Target) -> list[Launch]:
    program = prepared.program
    with prepared.surroundings():
        captured = capture(program.make_module(), program.make_inputs(0), target)
    return _launches(prepared, _rewritten(program, captured))


def _launches(prepared: Prepared, triton_code: str) -> list[Launch]:
    with prepared.surroundings(), imported_text(triton_code) as text:
        new = new_module(prepared.program, text, prepared.original, 0)
        case = Case(prepared.original, prepared.program.make_inputs(0), 0)
        return run_triton(case, new).launches
