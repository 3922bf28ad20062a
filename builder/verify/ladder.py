"""The ladder of checks from two texts to a verdict, cheapest first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from builder.config import DRAWS, MODES
from builder.errors import ExecutionError, Rejected, UsageError, VerificationRejected
from builder.verify.compile import compile_launches, least_specialised
from builder.verify.costs import Costs
from builder.verify.draws import derived_seed
from builder.verify.floors import DOT_PRECISIONS
from builder.verify.match import match, same_bits
from builder.verify.memory import let_memory_failures_pass
from builder.verify.modules import (
    anonymous,
    imported_text,
    load_state,
    refuses,
    summary,
    triton_module,
)
from builder.verify.norm import rounded_up
from builder.verify.preparation import Prepared, Question, prepare
from builder.verify.protocol import check_protocol
from builder.verify.randomness import check_takes_seed
from builder.verify.runner import Run, run_triton
from builder.verify.static import check_static
from builder.verify.structure import tensors_in
from builder.verify.substance import computes
from builder.verify.unrun import noted_launches
from builder.verify.verdict import NO_COMPUTATION, NOT_COMPILED, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from builder.capture.targets import Target


Shapes = tuple[tuple[int, ...], ...]
"""Of the tensors of an input set."""

OTHER_SHAPES = 3
"""Shapes beside that of ``get_inputs`` on which a module that takes any has been compared."""


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
    other_launches: list[Any] = field(default_factory=list)
    large_launches: list[Any] = field(default_factory=list)
    num_kernels: int = 0
    shapes: list[Shapes] = field(default_factory=list)
    refused: list[Shapes] = field(default_factory=list)
    unrun: list[Shapes] = field(default_factory=list)
    generic: bool = False
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
            shape_generic=self.generic and serves_any_size(self.shapes),
            refused_shapes=tuple(self.refused),
            unrun_shapes=tuple(self.unrun),
        )


def serves_any_size(shapes: Sequence[Shapes]) -> bool:
    """Whether input sets show that a module takes any size: see ``Verdict.shape_generic``."""
    others = set(shapes) - {shapes[0]} if shapes else set()
    odd = (
        size % 2 == 1 and size > 1 and size != first
        for shape in others
        for tensor, declared in zip(shape, shapes[0], strict=True)
        for size, first in zip(tensor, declared, strict=True)
    )
    return len(others) >= OTHER_SHAPES and any(odd)


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
        variants: indices into ``get_shape_variants``, each compared once more.
        mode: ``forward``, or ``training`` for a pair whose gradients are compared, too.
        generic: the text is meant for any size: it is compared on all shape variants, and on shapes
            that the program does not declare but takes, where it may refuse with ``ValueError``.
        unrun: input sets of a text for any size that are too large to run, ``None`` for
            ``get_inputs``.  Draws are then taken of the first shape variant that is not, and the
            kernels must compile as they are launched on the large ones.
        dot_precision: ``ieee``, or ``tf32`` for a variant whose products are meant to be.
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

    return _climb(prepared, triton_code, entry_point, targets, dot_precision, costs or Costs())


def judge(
    prepared: Prepared,
    triton_code: str,
    *,
    targets: Sequence[Target],
    dot_precision: str = "ieee",
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
        costs: counts the core-seconds.

    Returns:
        The verdict, the same that ``verify`` gives.

    Raises:
        UsageError: an unknown precision.
        MemoryError: this machine's memory ran out, which says nothing of the pair.
        RuntimeError: the same, in torch's allocator.
    """
    name = prepared.program.entry_point
    return _climb(lambda: prepared, triton_code, name, targets, dot_precision, costs or Costs())


def _climb(
    prepared: Callable[[], Prepared],
    triton_code: str,
    entry_point: str,
    targets: Sequence[Target],
    dot_precision: str,
    costs: Costs,
) -> Verdict:
    if dot_precision not in DOT_PRECISIONS:
        raise UsageError(f"the dot precisions are {', '.join(DOT_PRECISIONS)}")
    findings = Findings()
    try:
        with costs.of("rest"):
            check_static(triton_code, entry_point)
            program = prepared()
            with program.surroundings(), imported_text(triton_code) as text:
                trial = _Trial(program, text, dot_precision, findings, costs)
                trial.uses_atomics = "atomic_" in triton_code
                trial.compare_all()
                trial.compare_others()
                trial.note_unrun()
                with costs.of("compilation"):
                    others = least_specialised(findings.other_launches)
                    every = [*findings.launches, *others, *findings.large_launches]
                    compiled = compile_launches(every, targets)
                findings.resources = compiled.resources
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


class _Trial:
    """A Triton module and the questions it has to answer."""

    def __init__(
        self,
        prepared: Prepared,
        text: Any,
        dot_precision: str,
        findings: Findings,
        costs: Costs,
    ) -> None:
        self.prepared = prepared
        self.text = text
        self.dot_precision = dot_precision
        self.findings = findings
        self.costs = costs
        self.uses_atomics = False
        seed = derived_seed(prepared.seed, "new")
        self.new = triton_module(prepared.program, text, prepared.original, seed)

    def compare_all(self) -> None:
        """Compares all input sets.

        What makes a result depend on the order of instances is a race, memory that nobody wrote, or
        an atomic; the executor watches every run for the first two.  So the second run, which is a
        check on that check, is taken on the inputs that the program declares, and on every input
        set if the text uses atomics.  The others run once, the first draw and the first shape
        variant among them in an order that nobody would choose, the rest as launched, for an order
        of one's own takes the executor a third longer.
        """
        for index in range(len(self.prepared)):
            question = self.prepared.question(index, self.costs)
            while not self._is_compared(index, question):
                question = self.prepared.another(index, question, self.costs)

    def compare_others(self) -> None:
        """Compares shapes that the program does not declare; the text may refuse them."""
        for alternatives in self.prepared.others(self.costs):
            any(self._compares_other(question) for question in alternatives)
        self.findings.generic = self.prepared.generic

    def note_unrun(self) -> None:
        """Notes how kernels are launched on what is too large to run.

        That the module is right there follows from its being right at other sizes, and only if
        there are enough of them.
        """
        unrun = self.prepared.unrun
        if not unrun:
            return
        if not serves_any_size(self.findings.shapes):
            message = (
                "an input set is too large to run, and the others are fewer than four shapes, or "
                "none has an odd size; add small ones to get_shape_variants"
            )
            raise VerificationRejected("too_large", message)
        with self.prepared.surroundings():
            noted = noted_launches(self.prepared.program, self.text, unrun)
        self.findings.unrun = [found.shapes for found in noted]
        self.findings.large_launches = [launch for found in noted for launch in found.launches]

    def _compares_other(self, question: Question) -> bool:
        """False if the text refuses it, or if it shows nothing."""
        try:
            self._compare(question, None, is_repeated=self.uses_atomics)
        except VerificationRejected as error:
            if refuses(error):
                if _shapes(question) not in self.findings.refused:
                    self.findings.refused.append(_shapes(question))
            elif error.kind != "ill_conditioned":
                raise
            return False
        return True

    def _is_compared(self, index: int, question: Question) -> bool:
        """False if the input set showed nothing and another may."""
        is_repeated = self.uses_atomics or index == 0
        is_permuted = index in (1, self.prepared.draws) and not is_repeated
        order = _order(question) if is_permuted else None
        try:
            self._compare(question, order, is_repeated=is_repeated)
        except VerificationRejected as error:
            if error.kind == "ill_conditioned" and question.replaceable:
                return False
            raise
        return True

    def _compare(self, question: Question, order: int | None, *, is_repeated: bool) -> None:
        case = question.case
        if question.original.random_calls:
            check_takes_seed(self.new)
        load_state(self.new, case.module)
        run = self._run(question, order)
        if not self.findings.launches:
            self.findings.num_kernels = len(run.launches)
        if self.findings.draws < self.prepared.draws:
            self.findings.launches += run.launches
        else:
            self.findings.other_launches += run.launches
        self._match(question, run)
        if case.upstream is not None and not self.findings.draws:
            with self.costs.of("executor"):
                check_protocol(case, self.new)
        if is_repeated:
            self._repeat(question, run)
        self.findings.draws += 1
        self.findings.replaced += question.replaced
        self.findings.shapes.append(_shapes(question))

    def _run(self, question: Question, permute_seed: int | None = None, **options: bool) -> Run:
        with self.costs.of("executor"):
            return run_triton(question.case, self.new, permute_seed=permute_seed, **options)

    def _match(self, question: Question, run: Run) -> None:
        with self.costs.of("comparison"):
            matched = match(
                question.original,
                run,
                question.before,
                question.answers,
                self.dot_precision,
                samples=question.samples,
                noise=question.noise,
            )
        self.findings.error = max(self.findings.error, matched.error)
        self.findings.floor = max(self.findings.floor, matched.floor)
        self.findings.tolerance = max(self.findings.tolerance, matched.tolerance)

    def _differing(self, first: Run, second: Run) -> str | None:
        with self.costs.of("comparison"):
            return same_bits(first, second)

    def _repeat(self, question: Question, run: Run) -> None:
        """A second run, instances in another order and other garbage in fresh memory."""
        seed_given = question.original.random_calls > 0
        again = self._run(question, _order(question), second=True, seed_given=seed_given)
        differing = self._differing(run, again)
        if differing is None:
            return
        if seed_given and self._differing(run, self._run(question, seed_given=True)) is not None:
            message = f"{differing} is another if the seed is an argument, not torch's generator's"
            raise VerificationRejected("seed", message)
        if self._differing(run, self._run(question, second=True)) is not None:
            message = f"{differing} depends on memory that nothing wrote"
            raise VerificationRejected("uninitialised", message)
        if not self.uses_atomics:
            message = f"{differing} depends on the order of program instances"
            raise VerificationRejected("order_dependent", message)
        self._match(question, again)
        self.findings.deterministic = False


def _shapes(question: Question) -> Shapes:
    return tuple(tuple(tensor.shape) for tensor in tensors_in(question.case.inputs))


def _order(question: Question) -> int:
    """The seed of the order of instances."""
    return question.case.seed % (1 << 31)
