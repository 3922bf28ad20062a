"""The program's half of a verification: its input sets, its results and their reference.

It depends on the program alone, so many Triton texts can be judged by one preparation.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from builder.config import DRAWS
from builder.errors import Rejected, UsageError, VerificationRejected
from builder.programs.load import LoadedProgram, load_program
from builder.programs.value_gates import check_dependence
from builder.verify.costs import Costs
from builder.verify.declared import DeclaredIntegers
from builder.verify.distributions import Strength
from builder.verify.domain import Domain, domains
from builder.verify.draws import (
    DISTRIBUTIONS,
    derived_seed,
    distribution_of,
    has_gentle,
    reshape_inputs,
)
from builder.verify.gradients import Upstream, upstream_of
from builder.verify.input_sets import LARGE, OF_LARGEST, OF_OTHERS, Shape, draws_apart, input_sets
from builder.verify.memory import let_memory_failures_pass
from builder.verify.modules import original_module, own_default_dtype
from builder.verify.noise import shows_nothing
from builder.verify.question import Question, asked, check_decisions, filled, is_finite, run_program
from builder.verify.randomness import check_randomness
from builder.verify.runner import (
    Case,
    Original,
)
from builder.verify.shapes import OtherShape, other_shapes
from builder.verify.state import has_matrix, reshape_state
from builder.verify.structure import cloned, tensors_in
from builder.verify.vanishing import vanishes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from builder.verify.declared import Bounds

Attempt = Strength | None
PLAIN: tuple[Attempt, ...] = (None,) * 4


def prepare(
    python_code: str,
    entry_point: str,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    variants: Sequence[int] = (),
    must_depend: bool = True,
    mode: str = "forward",
    generic: bool = False,
    unrun: Sequence[int | None] = (),
    costs: Costs | None = None,
) -> Prepared:
    """Loads a program, to judge Triton texts by it.

    Runs the program's text in the calling process, which should be a fresh one.

    Args:
        python_code: the program file.
        entry_point: its class.
        draws: input sets of ``get_inputs``, some of which shape variants take.
        seed: of the draws; the same seed gives the same input sets.
        variants: indices into ``get_shape_variants``, an input set each.
        must_depend: a program whose outputs are constant, or ignore an input, is rejected.
        mode: ``forward``, or ``training`` to compare gradients, too.
        generic: all of them, and shapes beside those that the program declares.
        unrun: input sets of a generic pair that are too large to run, ``None`` for ``get_inputs``,
            in whose place draws are then taken from the first shape variant that is not.
        costs: counts the core-seconds.

    Raises:
        Rejected: the program does not load or cannot be constructed, or every set is too large.
        UsageError: no draw.
    """
    if draws < 1:
        raise UsageError("verification needs at least one draw")
    costs = costs or Costs()
    with costs.of("rest"):
        chosen = None if generic else tuple(variants)
        made = Prepared(python_code, entry_point, draws, seed, chosen, mode, tuple(unrun))
    made.must_depend = must_depend
    return made


class Prepared:
    """A program with its input sets, each run when it is first asked for, and kept.

    Attributes:
        program: the loaded program.
        original: its module as constructed.
        seed: of the draws.
        base: the input set that draws are taken of: ``None``, for ``get_inputs``, if it can be run.
        unrun: input sets that are too large to run.
        draws: input sets that ``base`` gives.
        must_depend: whether a program is rejected whose results do not depend on what it is given.
        mode: ``forward`` or ``training``.
        generic: there are questions beside those of the input sets, see ``others``.
        keeps: whether input sets and results stay for the next text; without, one is held at a
            time, as a program of the largest allowed size needs.
    """

    def __init__(
        self,
        python_code: str,
        entry_point: str,
        draws: int,
        seed: int,
        variants: tuple[int, ...] | None,
        mode: str = "forward",
        unrun: tuple[int | None, ...] = (),
    ) -> None:
        self.seed = seed
        self.mode = mode
        self.generic = variants is None
        self.keeps = True
        self.must_depend = True
        self.unrun = unrun
        self._known: dict[int, Question] = {}
        self._default_dtype = torch.float32
        self._first_is_finite = True
        with self.surroundings():
            self.program: LoadedProgram = load_program(python_code, entry_point)
            # Three seeds, capture's included: what state_dict lacks must not agree by accident.
            self.original: nn.Module = original_module(self.program, derived_seed(seed, "original"))
            self.base: int | None
            self.base, *others = _runnable(self.program, variants, unrun)
            self._first_inputs = self._inputs(seed, self.base)
            self._domains = domains(self._first_inputs)
        matrix = has_matrix(self.original)
        apart = draws_apart(self._domains, python_code, has_matrix=matrix) if draws >= DRAWS else ()
        self._sets = input_sets(draws, self.base, others, apart)
        self._deferred: list[tuple[int, Shape]] = []
        if self.generic:
            away = (LARGE, *apart)
            self._deferred = [(draw, self.base) for draw, _ in self._sets if draw in away]
            self._sets = [one for one in self._sets if one[0] not in away]
        self.draws = sum(shape == self.base for _, shape in self._sets)

    def __len__(self) -> int:
        """Input sets, draws first, then shape variants."""
        return len(self._sets)

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """The program's own default dtype inside; the caller's generator and dtype outside."""
        with torch.random.fork_rng(devices=[]), own_default_dtype(self._default_dtype):
            try:
                yield
            finally:
                self._default_dtype = torch.get_default_dtype()

    def evaluate(self, costs: Costs | None = None) -> None:
        """Runs the program on all input sets now, before processes are forked to judge texts.

        Raises:
            Rejected: see ``question``.
        """
        for index in range(len(self)):
            self.question(index, costs)

    def question(self, index: int, costs: Costs | None = None) -> Question:
        """An input set with the program's answer.

        Raises:
            VerificationRejected: ``program_error`` if the program fails on the first input set;
                ``no_usable_draw`` if it gives nothing to compare with on any of several.
            ProgramRejected: ``constant_output`` or ``ignores_input``; its results are the same
                whatever it is given, so that agreeing with them shows nothing. Or ``unstable``: it
                compares or sorts numbers that are equal but for rounding.
        """
        known = self._known.get(index)
        if known is not None:
            return known
        costs = costs or Costs()
        with costs.of("rest"), self.surroundings():
            made = self._question(index, costs)
        if self.keeps:
            self._known[index] = made
        return made

    def another(self, index: int, question: Question, costs: Costs | None = None) -> Question:
        """A milder input set in the place of one that shows nothing; it is not kept.

        Raises:
            VerificationRejected: ``no_usable_draw``.
        """
        costs = costs or Costs()
        with costs.of("rest"), self.surroundings():
            return self._question(index, costs, question.replaced + 1)

    def again(
        self, draw: int, shape: Shape, attempt: int, costs: Costs, turn: int = 1
    ) -> Question | None:
        """A question like another with other numbers, if there are any to use; it is not kept.

        Args:
            draw: that of the other.
            shape: likewise.
            attempt: how many input sets were thrown away before the other.
            costs: counts the core-seconds.
            turn: which other numbers.
        """
        return self._tried(draw, shape, costs, attempt, turn)

    def others(self, costs: Costs | None = None) -> Iterator[Iterator[Question]]:
        """Questions of shapes that no input set has, as far as the program takes them.

        Of each group one is to be answered.  They are none of those that ``len`` counts, and are
        not kept.
        """
        costs = costs or Costs()
        apart = [draw for draw, _ in self._deferred if draw != LARGE]
        for number, alternatives in enumerate(self._other_shapes()):
            distribution = OF_OTHERS[number % len(OF_OTHERS)]
            yield self._askable((DISTRIBUTIONS.index(distribution), 0), alternatives, costs)
            for draw in apart if distribution == OF_LARGEST else ():
                yield self._askable((draw,), alternatives, costs)

    def _askable(
        self, draws: Sequence[int], shapes: Sequence[Shape], costs: Costs
    ) -> Iterator[Question]:
        asked = (self._tried(draw, shape, costs) for shape in shapes for draw in draws)
        return (question for question in asked if question is not None)

    def deferred(self, covered: Collection[int]) -> list[int]:
        """Questions of draws that other shapes were to take, as far as none has.

        Args:
            covered: draws that other shapes have taken.
        """
        draws = [draw for draw, _ in self._deferred]
        return [len(self) + place for place, draw in enumerate(draws) if draw not in covered]

    def _tried(
        self, draw: int, shape: Shape, costs: Costs, attempt: int = 0, turn: int = 0
    ) -> Question | None:
        """None if the program does not take the shape."""
        with costs.of("rest"), self.surroundings():
            try:
                return self._attempted(draw, shape, costs, attempt, turn)
            except VerificationRejected:
                return None

    def _other_shapes(self) -> list[tuple[OtherShape, ...]]:
        if not self.generic:
            return []
        tensors, bounds = [], []
        for shape in dict.fromkeys(shape for _, shape in self._sets):
            with self.surroundings(), DeclaredIntegers() as declared:
                tensors.append(tensors_in(self._inputs(self.seed, shape)))
            known = {place: declared.bounds(tensor) for place, tensor in enumerate(tensors[-1])}
            bounds.append({place: found for place, found in known.items() if found is not None})
        return other_shapes(tensors, bounds)

    def declared_bounds(self, index: int) -> dict[str, Bounds]:
        """The bounds of an input set's integers, by the input's name, as far as they follow from
        how the program makes them.
        """
        draw, variant = self._sets[index]
        with self.surroundings(), DeclaredIntegers() as declared:
            inputs = self._inputs(derived_seed(self.seed, "declared", draw, variant), variant)
        found = {f"input {n}": declared.bounds(t) for n, t in enumerate(tensors_in(inputs))}
        return {name: bounds for name, bounds in found.items() if bounds is not None}

    # -- input sets ------------------------------------------------------------------------

    def _inputs(self, seed: int, variant: Shape) -> list[Any]:
        with torch.no_grad():
            if isinstance(variant, OtherShape):
                return variant.applied(self.program.make_inputs(seed, self.base))
            return self.program.make_inputs(seed, variant)

    def _question(self, index: int, costs: Costs, first_attempt: int = 0) -> Question:
        """The input set with a program run that is finite; others are replaced."""
        draw, variant = (*self._sets, *self._deferred)[index]
        if draw == 0 and variant == self.base:
            case = Case(self.original, self._first_inputs, self.seed, self._upstream(self.seed, 0))
            original = run_program(case, costs)
            self._first_is_finite = is_finite(original.run)
            with costs.of("reference"):
                if self.must_depend:
                    check_dependence(self.program, self.base)
                if original.random_calls:
                    check_randomness(case, original, must_be_seen=self.must_depend)
            question = asked(case, original, costs, shape=variant)
            if self.must_depend:
                check_decisions(question)
            return question
        return self._attempted(draw, variant, costs, first_attempt)

    def _attempted(
        self, draw: int, variant: Shape, costs: Costs, first_attempt: int, turn: int = 0
    ) -> Question:
        first = self._domains
        if variant != self.base and draw:
            first = domains(self._inputs(self.seed, variant))
        attempts = _attempts(draw, first)
        for attempt in range(first_attempt, len(attempts)):
            case = self._case(draw, variant, attempt, attempts, first, turn)
            try:
                case = filled(case, costs)
                original = run_program(case, costs)
            except Rejected as error:
                let_memory_failures_pass(error)
                continue
            plain = not draw or attempts[attempt] is None
            sharp = attempts[attempt] is Strength.FULL and attempts[attempt + 1] is Strength.GENTLE
            if self._is_usable(original, plain=plain, sharp=sharp):
                return asked(case, original, costs, attempt, plain=plain, draw=draw, shape=variant)
        message = f"eager is finite and near float64 on none of {len(attempts)} input sets"
        raise VerificationRejected("no_usable_draw", message)

    def _is_usable(self, original: Original, *, plain: bool, sharp: bool) -> bool:
        """Whether eager is finite, unless it is not even on draw 0, and no mere rounding noise.

        Nor may a gradient depend on which of equal elements comes first.

        Where it has to be sharp, no element may be.
        """
        if self._first_is_finite and not is_finite(original.run):
            return False
        if original.has_ties and original.run.gradients.values:
            return False
        gradients = original.run.gradients.values
        return not any(
            shows_nothing(expected, plain=plain, sharp=sharp)
            and not (name in gradients and vanishes(expected))
            for name, expected in original.expected.items()
        )

    def _case(
        self,
        draw: int,
        variant: Shape,
        attempt: int,
        attempts: Sequence[Attempt],
        first: Sequence[Domain],
        turn: int,
    ) -> Case:
        """The last attempt has the module as constructed."""
        turns = ("turn", turn) if turn else ()
        seed = derived_seed(self.seed, "draw", draw, variant, attempt, *turns)
        strength = attempts[attempt]
        distribution = "plain" if strength is None else distribution_of(draw)
        with DeclaredIntegers() as declared:
            inputs = self._inputs(seed, variant)
        reshape_inputs(inputs, first, distribution, seed, strength or Strength.FULL)
        if distribution != "plain":
            declared.put_ends(inputs, first, seed)
        module = cloned(self.original)
        if attempt < len(attempts) - 1:
            state_seed = derived_seed(seed, "state")
            reshape_state(module, distribution, state_seed, strength or Strength.FULL)
        return Case(module, inputs, seed, self._upstream(seed, draw))

    def _upstream(self, seed: int, draw: int) -> Upstream | None:
        return upstream_of(seed, draw) if self.mode == "training" else None


def _attempts(draw: int, first: Sequence[Domain]) -> tuple[Attempt, ...]:
    """Ever milder; at last plain inputs."""
    between = (Strength.GENTLE,) if has_gentle(first, distribution_of(draw)) else ()
    return (Strength.FULL, *between, Strength.MILD, *PLAIN)


def _runnable(
    program: LoadedProgram, variants: Sequence[int] | None, unrun: Sequence[int | None]
) -> list[int | None]:
    """The input sets to run, the first of which draws are taken of; all variants for ``None``.

    Raises:
        VerificationRejected: ``too_large``: there is none.
    """
    every = (None, *(range(program.num_variants) if variants is None else variants))
    found = [variant for variant in every if variant not in unrun]
    if not found:
        raise VerificationRejected("too_large", "every input set is too large to run")
    return found
