"""The ladder of checks from two texts to a verdict, cheapest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from builder.config import DRAWS, MODES
from builder.errors import ExecutionError, Rejected, UsageError, VerificationRejected
from builder.verify.compile import compile_launches, computing, least_specialised
from builder.verify.costs import Costs
from builder.verify.draws import derived_seed
from builder.verify.findings import Findings, serves_any_size
from builder.verify.floors import DOT_PRECISIONS
from builder.verify.library import LibraryCalls
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
from builder.verify.preparation import Prepared, prepare
from builder.verify.protocol import check_protocol
from builder.verify.randomness import check_takes_seed
from builder.verify.runner import Run, run_triton
from builder.verify.static import check_static
from builder.verify.structure import tensors_in
from builder.verify.substance import computes
from builder.verify.unrun import check_loops, noted_launches
from builder.verify.verdict import NO_COMPUTATION, NOT_COMPILED, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from builder.capture.targets import Target
    from builder.verify.findings import Shapes
    from builder.verify.question import Question


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
                trial = _Trial(program, text, terms.dot_precision, library, findings, costs)
                trial.uses_atomics = "atomic_" in triton_code
                trial.compare_all()
                trial.compare_others()
                findings.exactness.check()
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


class _Trial:
    """A Triton module and the questions it has to answer."""

    def __init__(
        self,
        prepared: Prepared,
        text: Any,
        dot_precision: str,
        library: LibraryCalls,
        findings: Findings,
        costs: Costs,
    ) -> None:
        self.library = library
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
        check on that check, is taken on the first shape variant, which is small, or else on the
        inputs that the program declares, and on every input set if the text uses atomics.  The
        others run once, the first draw in an order that nobody would choose, the rest as launched,
        for an order of one's own takes the executor a third longer.
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
            noted = noted_launches(self.prepared.program, self.text, unrun, self.library)
        check_loops(noted, [*self.findings.launches, *self.findings.other_launches])
        self.findings.unrun = [found.shapes for found in noted]
        self.findings.large_launches = [launch for found in noted for launch in found.launches]

    def check_library(self, computing: frozenset[str]) -> None:
        """Holds a label of library calls against the runs.

        Args:
            computing: names of the kernels that compute.

        Raises:
            VerificationRejected: ``library_label``; ``idle_kernels``: the library calls give the
                same results without these kernels.
        """
        self.library.check_called()
        if not self.library.names or not computing:
            return
        for index in range(len(self.prepared)):
            question = self.prepared.question(index, self.costs)
            load_state(self.new, question.case.module)
            if self._matters(question, computing):
                return
        message = "the library calls give the same results where the kernels do nothing"
        raise VerificationRejected("idle_kernels", message)

    def _matters(self, question: Question, kernels: frozenset[str]) -> bool:
        run = self._run(question)
        try:
            idle = self._run(question, left_out=kernels)
        except (Rejected, ExecutionError):
            return True
        return self._differing(run, idle) is not None

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
        first_variant = self.prepared.draws
        repeated = first_variant if first_variant < len(self.prepared) else 0
        is_repeated = self.uses_atomics or index == repeated
        is_permuted = index == 1 and not is_repeated
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
                check_protocol(case, self.new, self.library)
        if is_repeated:
            self._repeat(question, run)
        self.findings.draws += 1
        self.findings.replaced += question.replaced
        self.findings.shapes.append(_shapes(question))

    def _run(self, question: Question, permute_seed: int | None = None, **options: Any) -> Run:
        case, library = question.case, self.library
        with self.costs.of("executor"):
            return run_triton(case, self.new, permute_seed=permute_seed, library=library, **options)

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
        self.findings.exactness.note(matched.beyond, matched.ratios)

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
