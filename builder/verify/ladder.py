"""The ladder of checks from two texts to a verdict, cheapest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from builder.config import DRAWS, MODES
from builder.errors import ExecutionError, Rejected, UsageError
from builder.verify.compile import compile_launches, computing, least_specialised
from builder.verify.costs import Costs
from builder.verify.findings import Findings
from builder.verify.floors import DOT_PRECISIONS
from builder.verify.library import LibraryCalls
from builder.verify.memory import let_memory_failures_pass
from builder.verify.modules import (
    anonymous,
    imported_text,
    summary,
)
from builder.verify.preparation import Prepared, prepare
from builder.verify.static import check_static
from builder.verify.substance import computes
from builder.verify.trial import Trial
from builder.verify.verdict import NO_COMPUTATION, NOT_COMPILED, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from builder.capture.targets import Target


def verify(
    python_code: str,
    triton_code: str,
    entry_point: str,
    *,
    targets: Sequence[Target],
    draws: int = DRAWS,
    seed: int = 0,
    variants: Sequence[int] = (),
    mode: str = "forward",
    generic: bool = False,
    unrun: Sequence[int | None] = (),
    dot_precision: str = "ieee",
    fallback_ops: Sequence[str] = (),
    costs: Costs | None = None,
) -> Verdict:
    """Decides whether the Triton text computes what the program text computes.

    Runs both texts in the calling process, which should be a fresh one.

    Args:
        python_code: the program file.
        triton_code: the Triton file.
        entry_point: the program's class; the Triton file has ``<entry_point>New``.
        targets: every kernel must compile for each of them, within its limits.
        draws: input sets of ``get_inputs`` to compare.
        seed: of the draws; the same seed gives the same verdict.
        variants: indices into ``get_shape_variants``, an input set each, of which the first take
            draws from ``get_inputs``.
        mode: ``forward``, or ``training`` for a pair whose gradients are compared, too.
        generic: the text is meant for any size: it is compared on all shape variants, and on shapes
            that the program does not declare but takes, where it may refuse with ``ValueError``.
        unrun: input sets of a text for any size that are too large to run, ``None`` for
            ``get_inputs``.  Draws are then taken of the first shape variant that is not, and the
            kernels must compile as they are launched on the large ones.
        dot_precision: ``ieee``, or ``tf32`` for a variant whose products are meant to be.
        fallback_ops: the ATen operators that the text calls beside its kernels, no other and each
            of them: ``aten.mm.out``.
        costs: counts the core-seconds.

    Returns:
        The verdict; whatever is wrong with the pair is in it and never raised.

    Raises:
        UsageError: no target, no draw, an unknown precision or mode, or sets that are not run of a
            text for one shape.
        MemoryError: this machine's memory ran out, which says nothing of the pair.
        RuntimeError: the same, in torch's allocator.
    """
    if not targets or draws < 1:
        raise UsageError("verify needs a target and a draw")
    if mode not in MODES:
        raise UsageError(f"the modes are {', '.join(MODES)}")
    if unrun and not generic:
        raise UsageError("only a pair that takes any size is verified without a declared input set")

    def prepared() -> Prepared:
        made = prepare(
            python_code,
            entry_point,
            draws=draws,
            seed=seed,
            variants=variants,
            mode=mode,
            generic=generic,
            unrun=unrun,
            costs=costs,
        )
        made.keeps = False
        return made

    terms = _Terms(targets, dot_precision, fallback_ops)
    return _climb(prepared, triton_code, entry_point, terms, costs or Costs())


def judge(
    prepared: Prepared,
    triton_code: str,
    *,
    targets: Sequence[Target],
    dot_precision: str = "ieee",
    fallback_ops: Sequence[str] = (),
    costs: Costs | None = None,
) -> Verdict:
    """Decides whether a Triton text computes what a prepared program computes.

    Runs the text in the calling process: fork one for each text.

    Args:
        prepared: the program.
        triton_code: the Triton file.
        targets: as for ``verify``.  With none nothing is compiled for a device, and the verdict on
            a text that is right otherwise is not verified but ``not_compiled``
            (``Verdict.agrees``): only ``verify``'s promise may be written into data.
        dot_precision: as for ``verify``.
        fallback_ops: as for ``verify``.
        costs: counts the core-seconds.

    Returns:
        The verdict, the same that ``verify`` gives.

    Raises:
        UsageError: an unknown precision.
        MemoryError: this machine's memory ran out, which says nothing of the pair.
        RuntimeError: the same, in torch's allocator.
    """
    name = prepared.program.entry_point
    terms = _Terms(targets, dot_precision, fallback_ops)
    return _climb(lambda: prepared, triton_code, name, terms, costs or Costs())


@dataclass(frozen=True)
class _Terms:
    """What a text is held to; see ``verify``."""

    targets: Sequence[Target]
    dot_precision: str
    fallback_ops: Sequence[str]


def _climb(
    prepared: Callable[[], Prepared],
    triton_code: str,
    entry_point: str,
    terms: _Terms,
    costs: Costs,
) -> Verdict:
    targets = terms.targets
    if terms.dot_precision not in DOT_PRECISIONS:
        raise UsageError(f"the dot precisions are {', '.join(DOT_PRECISIONS)}")
    findings = Findings()
    try:
        with costs.of("rest"):
            library = LibraryCalls(terms.fallback_ops)
            check_static(triton_code, entry_point, library)
            program = prepared()
            with program.surroundings(), imported_text(triton_code) as text:
                trial = Trial(program, text, terms.dot_precision, library, findings, costs)
                trial.uses_atomics = "atomic_" in triton_code
                trial.compare_all()
                trial.compare_others()
                trial.check_exactness()
                trial.note_unrun()
                with costs.of("compilation"):
                    others = least_specialised(findings.other_launches)
                    every = [*findings.launches, *others, *findings.large_launches]
                    compiled = compile_launches(every, targets)
                findings.resources = compiled.resources
                trial.check_library(computing(every, compiled))
    except (Rejected, ExecutionError) as error:
        let_memory_failures_pass(error)
        return findings.verdict(error.kind, anonymous(str(error)))
    except Exception as error:  # noqa: BLE001
        let_memory_failures_pass(error)
        # Never verified by accident: what the checks themselves cannot handle is a failure.
        return findings.verdict("verifier_error", summary(error))
    if not targets:
        return findings.verdict(NOT_COMPILED, "agrees with the program; compiled for no target")
    if not any(computes(ttir) for ttir in compiled.ttir):
        return findings.verdict(NO_COMPUTATION, "the kernels only fill or copy")
    return findings.verdict()
