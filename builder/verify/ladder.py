"""The ladder of checks from two texts to a verdict, cheapest first."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from builder.errors import ExecutionError, Rejected, UsageError, VerificationRejected
from builder.programs.load import LoadedProgram, load_program
from builder.verify.compare import is_float, shows_nothing
from builder.verify.compile import compile_launches
from builder.verify.draws import derived_seed, distribution_of, reshape_inputs, reshape_state
from builder.verify.floors import DOT_PRECISIONS
from builder.verify.match import match, same_bits
from builder.verify.memory import let_memory_failures_pass
from builder.verify.modules import (
    anonymous,
    imported_text,
    load_state,
    original_module,
    own_default_dtype,
    summary,
    triton_module,
)
from builder.verify.norm import rounded_up
from builder.verify.runner import (
    Case,
    Original,
    OtherAnswers,
    Run,
    held_tensors,
    run_original,
    run_triton,
)
from builder.verify.static import check_static
from builder.verify.structure import cloned, tensors_in
from builder.verify.substance import computes
from builder.verify.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from builder.capture.targets import Target

ATTEMPTS = 4


@dataclass
class Findings:
    """What is known so far; becomes the verdict."""

    draws: int = 0
    replaced: int = 0
    error: float = 0.0
    floor: float = 0.0
    tolerance: float = 0.0
    deterministic: bool = True
    launches: list[Any] = field(default_factory=list)
    num_kernels: int = 0
    shapes: list[tuple[tuple[int, ...], ...]] = field(default_factory=list)
    resources: dict[str, dict[str, int]] = field(default_factory=dict)

    def verdict(self, kind: str | None = None, reason: str | None = None) -> Verdict:
        names = dict.fromkeys(launch.kernel.__name__ for launch in self.launches)
        return Verdict(
            verified=kind is None,
            kind=kind,
            reason=reason,
            draws=self.draws,
            replaced_draws=self.replaced,
            max_error=rounded_up(self.error),
            floor=self.floor,
            tolerance=rounded_up(self.tolerance),
            deterministic=self.deterministic,
            compiled_targets=tuple(self.resources),
            resources=self.resources,
            kernel_names=tuple(names),
            num_kernels=self.num_kernels,
            input_shapes=tuple(self.shapes),
        )


def verify(
    python_code: str,
    triton_code: str,
    entry_point: str,
    *,
    targets: Sequence[Target],
    draws: int = 3,
    seed: int = 0,
    variants: Sequence[int] = (),
    dot_precision: str = "ieee",
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
        variants: indices into ``get_shape_variants``, each compared once more.
        dot_precision: ``ieee``, or ``tf32`` for a variant whose products are meant to be.

    Returns:
        The verdict; whatever is wrong with the pair is in it and never raised.

    Raises:
        UsageError: no target, no draw, or an unknown precision.
        MemoryError: this machine's memory ran out, which says nothing of the pair.
        RuntimeError: the same, in torch's allocator.
    """
    if not targets or draws < 1 or dot_precision not in DOT_PRECISIONS:
        raise UsageError(
            f"verify needs a target, a draw and a dot precision of {', '.join(DOT_PRECISIONS)}"
        )
    findings = Findings()
    try:
        check_static(triton_code, entry_point)
        with _globals_kept():
            program = load_program(python_code, entry_point)
            with imported_text(triton_code) as text:
                pair = _Pair(program, text, seed, dot_precision, findings, "atomic_" in triton_code)
                pair.compare_draws(draws, variants)
                compiled = compile_launches(findings.launches, targets)
                findings.resources = compiled.resources
    except (Rejected, ExecutionError) as error:
        let_memory_failures_pass(error)
        return findings.verdict(error.kind, anonymous(str(error)))
    except Exception as error:  # noqa: BLE001
        let_memory_failures_pass(error)
        # Never verified by accident: what the checks themselves cannot handle is a failure.
        return findings.verdict("verifier_error", summary(error))
    if not any(computes(ttir) for ttir in compiled.ttir):
        return findings.verdict("no_computation", "the kernels only fill or copy")
    return findings.verdict()


@contextmanager
def _globals_kept() -> Iterator[None]:
    """Leaves the caller's global generator and default dtype as they were."""
    with torch.random.fork_rng(devices=[]), own_default_dtype():
        yield


class _Pair:
    """The two modules and the input sets they are compared on."""

    def __init__(
        self,
        program: LoadedProgram,
        text: Any,
        seed: int,
        dot_precision: str,
        findings: Findings,
        uses_atomics: bool,
    ) -> None:
        self.program = program
        self.seed = seed
        self.dot_precision = dot_precision
        self.findings = findings
        self.uses_atomics = uses_atomics
        # Three seeds, capture's included: what state_dict lacks must not agree by accident.
        self.original = original_module(program, derived_seed(seed, "original"))
        self.new = triton_module(program, text, self.original, derived_seed(seed, "new"))
        self.first_inputs = self._inputs(seed, None)
        self.first_is_finite = True

    def compare_draws(self, draws: int, variants: Sequence[int]) -> None:
        for draw in range(draws):
            self._compare(*self._draw(draw, None))
        for variant in variants:
            self._compare(*self._draw(0, variant))

    def _inputs(self, seed: int, variant: int | None) -> list[Any]:
        with torch.no_grad():
            return self.program.make_inputs(seed, variant)

    # -- input sets ------------------------------------------------------------------------

    def _draw(self, draw: int, variant: int | None) -> tuple[Case, Original]:
        """The next case with a program run that is finite; others are replaced."""
        if draw == 0 and variant is None:
            case = Case(self.original, self.first_inputs, self.seed)
            original = run_program(case)
            self.first_is_finite = is_finite(original.run)
            return case, original
        for attempt in range(ATTEMPTS):
            case = self._case(draw, variant, attempt)
            try:
                original = run_program(case)
            except Rejected as error:
                let_memory_failures_pass(error)
                self.findings.replaced += 1
                continue
            if self._is_usable(original):
                return case, original
            self.findings.replaced += 1
        message = f"eager is finite and near float64 on none of {ATTEMPTS} input sets"
        raise VerificationRejected("no_usable_draw", message)

    def _is_usable(self, original: Original) -> bool:
        """Whether eager is finite, unless it is not even on draw 0, and no mere rounding noise."""
        if self.first_is_finite and not is_finite(original.run):
            return False
        return not any(shows_nothing(expected) for expected in original.expected.values())

    def _case(self, draw: int, variant: int | None, attempt: int) -> Case:
        """Attempts grow milder: the last has plain inputs and the module as constructed."""
        seed = derived_seed(self.seed, "draw", draw, variant, attempt)
        is_plain = attempt > 1 or variant is not None
        distribution = "plain" if is_plain else distribution_of(draw)
        inputs = self._inputs(seed, variant)
        reshape_inputs(inputs, self.first_inputs, distribution, seed, mild=attempt > 0)
        module = cloned(self.original)
        if attempt < ATTEMPTS - 1:
            reshape_state(module, distribution, derived_seed(seed, "state"))
        return Case(module, inputs, seed)

    # -- one input set ---------------------------------------------------------------------

    def _compare(self, case: Case, original: Original) -> None:
        load_state(self.new, case.module)
        before = held_tensors(case.module, case.inputs)
        run = run_triton(case, self.new)
        if not self.findings.launches:
            self.findings.num_kernels = len(run.launches)
        self.findings.launches += run.launches
        self._match(case, original, run, before)
        self._repeat(case, original, run, before)
        self.findings.draws += 1
        self.findings.shapes.append(tuple(tuple(t.shape) for t in tensors_in(case.inputs)))

    def _match(
        self, case: Case, original: Original, run: Run, before: dict[str, torch.Tensor]
    ) -> None:
        matched = match(original, run, before, OtherAnswers(case), self.dot_precision)
        self.findings.error = max(self.findings.error, matched.error)
        self.findings.floor = max(self.findings.floor, matched.floor)
        self.findings.tolerance = max(self.findings.tolerance, matched.tolerance)

    def _repeat(
        self, case: Case, original: Original, run: Run, before: dict[str, torch.Tensor]
    ) -> None:
        """A second run, instances in another order and other garbage in fresh memory."""
        order = case.seed % (1 << 31)
        again = run_triton(case, self.new, permute_seed=order, second=True)
        differing = same_bits(run, again)
        if differing is None:
            return
        other_memory = run_triton(case, self.new, second=True)
        if same_bits(run, other_memory) is not None:
            message = f"{differing} depends on memory that nothing wrote"
            raise VerificationRejected("uninitialised", message)
        if not self.uses_atomics:
            message = f"{differing} depends on the order of program instances"
            raise VerificationRejected("order_dependent", message)
        self._match(case, original, again, before)
        self.findings.deterministic = False


def run_program(case: Case) -> Original:
    """Runs the program on a case.

    Raises:
        VerificationRejected: ``program_error``.
    """
    try:
        return run_original(case)
    except Exception as error:
        let_memory_failures_pass(error)
        message = f"the program fails: {summary(error)}"
        raise VerificationRejected("program_error", message) from error


def is_finite(run: Run) -> bool:
    """Whether all floating outputs and changed buffers are finite."""
    tensors: list[nn.Parameter | torch.Tensor] = [
        leaf for leaf in run.leaves if isinstance(leaf, torch.Tensor)
    ]
    wide = [
        t.to(torch.complex128 if t.dtype.is_complex else torch.float64)
        for t in tensors
        if is_float(t.dtype)
    ]
    return all(bool(torch.isfinite(t).all()) for t in wide)
