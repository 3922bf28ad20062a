"""A Triton module and the questions that it has to answer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from builder.errors import (
    ExecutionError,
    Rejected,
    VerificationRejected,
)
from builder.verify.draws import derived_seed
from builder.verify.findings import Findings, serves_any_size
from builder.verify.match import match, same_bits
from builder.verify.modules import load_state, refuses, triton_module
from builder.verify.protocol import check_protocol
from builder.verify.randomness import check_takes_seed
from builder.verify.runner import Run, run_triton
from builder.verify.structure import tensors_in
from builder.verify.unrun import check_loops, noted_launches, repeated_loops

if TYPE_CHECKING:
    from builder.verify.costs import Costs
    from builder.verify.expected import Outcome
    from builder.verify.findings import Shapes
    from builder.verify.library import LibraryCalls
    from builder.verify.preparation import Prepared, Shape
    from builder.verify.question import Question


WRONG = frozenset({"wrong_values", "wrong_non_finite", "wrong_discrete"})
"""Kinds of rejections for what values a result has."""
SELDOM_WRONG = frozenset({"wrong_non_finite", "wrong_discrete"})
"""Those of which a fault may leave most as they are: what overflows does so now and then."""
TURNS = 2
"""How often what may be bad luck is asked again, to be right each time."""
MORE_TURNS = 8
"""Likewise of what is seldom wrong."""
HARDLY_ANY = 1.0 / 256.0
"""The share of discrete values that a decision may turn by bad luck: near a tie hardly any is."""


class Trial:
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
        self._asked_again = False
        self._wrong: Outcome | None = None
        self._asked: list[tuple[int, Shape, int]] = []
        seed = derived_seed(prepared.seed, "new")
        self.new = triton_module(prepared.program, text, prepared.original, seed)

    def compare_all(self) -> None:
        """Compares all input sets.

        What makes a result depend on the order of instances is a race, memory that nobody wrote, or
        an atomic; the executor watches every run for the first two.  So the second run, which is a
        check on that check, is taken on the first shape variant, which is small, or else on the
        inputs that the program declares, and on every input set if the text uses atomics.  The
        others run once, the second variant in an order that nobody would choose, the rest as
        launched, for an order of one's own takes the executor a third longer, or twice as long.
        """
        for index in range(len(self.prepared)):
            self._compare_set(index)

    def _compare_set(self, index: int) -> None:
        question = self.prepared.question(index, self.costs)
        while not self._is_compared(index, question):
            question = self.prepared.another(index, question, self.costs)

    def compare_others(self) -> None:
        """Compares shapes that the program does not declare; the text may refuse them."""
        covered = set()
        for alternatives in self.prepared.others(self.costs):
            known = len(self.findings.other_launches)
            answered = next((one for one in alternatives if self._compares_other(one)), None)
            if answered is not None and self._covers(answered, known):
                covered.add(answered.draw)
        for index in self.prepared.deferred(covered):
            self._compare_set(index)
        self.findings.generic = self.prepared.generic

    def _covers(self, question: Question, known: int) -> bool:
        """Whether the declared shape need not take a draw that another shape has taken.

        What a loop forgets of where it began shows where it goes round again: of a maximum on large
        numbers, of a mean on shifted ones.

        Args:
            question: the other shape's, answered.
            known: launches on other shapes before it.
        """
        if question.plain:
            return False
        with self.costs.of("executor"):
            again = repeated_loops(self.findings.other_launches[known:])
            return repeated_loops(self.findings.launches) <= again

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

    def check_exactness(self, turn: int = 1) -> None:
        """Holds the errors on all input sets together against eager's.

        Args:
            turn: which other numbers come next.

        Raises:
            VerificationRejected: ``wrong_values``: the module is less exact, and still is where it
                was asked all input sets twice more, with other numbers.
        """
        try:
            self.findings.exactness.check()
        except VerificationRejected:
            if turn > TURNS:
                raise
            self.findings.exactness.times += 1
            for asked in self._asked:
                self._ask_again(*asked, turn)
            self.check_exactness(turn + 1)

    def _ask_again(self, draw: int, shape: Shape, attempt: int, turn: int) -> None:
        question = self.prepared.again(draw, shape, attempt, self.costs, turn)
        if question is None:
            return
        load_state(self.new, question.case.module)
        try:
            self._match(question, self._run(question))
        except VerificationRejected as error:
            if error.kind != "ill_conditioned":
                raise

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
            self._answer(question, None, is_repeated=self.uses_atomics)
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
        is_permuted = index == first_variant + 1 and not is_repeated
        order = _order(question) if is_permuted else None
        try:
            self._answer(question, order, is_repeated=is_repeated)
        except VerificationRejected as error:
            if error.kind == "ill_conditioned" and question.replaceable:
                return False
            raise
        return True

    def _answer(self, question: Question, order: int | None, *, is_repeated: bool) -> None:
        """Compares; where values are wrong the same is asked again and again, with other numbers.

        A right module is beyond what is allowed on one of many thousand input sets: eager is nearer
        than it mostly is; or one decision that rounding makes, as in ``fmod``, moves a mean of
        numbers of one sign by more than where such moves average out; or sums of what the program
        itself draws cancel.  What a fault does, it does to other numbers as well.
        """
        try:
            self._compare(question, order, is_repeated=is_repeated)
        except VerificationRejected as error:
            if self._asked_again or not self._may_be_luck(error, question):
                raise
            self._asked_again = True
            again = self.prepared.again(*_which(question), self.costs)
            if again is None:
                raise
            self._compare(again, order, is_repeated=is_repeated)
            turns = MORE_TURNS if error.kind in SELDOM_WRONG else TURNS
            for turn in range(2, turns + 1):
                self._ask_again(*_which(question), turn)
            self.findings.replaced += 1

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
        if not question.is_apart:
            self._asked.append(_which(question))
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
                averages_out=question.averages_out,
                note=partial(self._note, question),
            )
        self.findings.error = max(self.findings.error, matched.error)
        self.findings.floor = max(self.findings.floor, matched.floor)
        self.findings.tolerance = max(self.findings.tolerance, matched.tolerance)

    def _note(self, question: Question, name: str, outcome: Outcome) -> None:
        if outcome.kind is not None:
            self._wrong = outcome
        if not question.is_apart:
            self.findings.exactness.note(name, outcome)

    def _may_be_luck(self, error: VerificationRejected, question: Question) -> bool:
        """Whether values are wrong, or eager is noise though the program itself drew the inputs."""
        if error.kind == "wrong_discrete" and self._wrong is not None:
            wrong = self._wrong.unexplained
            return wrong is None or int(wrong.sum()) <= HARDLY_ANY * wrong.numel()
        drowned = error.kind == "ill_conditioned" and not question.replaceable
        return drowned or error.kind in WRONG

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


def _which(question: Question) -> tuple[int, Shape, int]:
    """What makes a question of the same kind."""
    return question.draw, question.shape, question.replaced


def _order(question: Question) -> int:
    """The seed of the order of instances."""
    return question.case.seed % (1 << 31)
