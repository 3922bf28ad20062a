"""Runs the program and the Triton module on one input set and keeps what can be compared."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from builder import execute
from builder.errors import ProgramRejected, VerificationRejected
from builder.programs.higher_order import dense_operators
from builder.verify.draws import derived_seed
from builder.verify.expected import Expected
from builder.verify.gradients import (
    PREFIX,
    Gradients,
    Upstream,
    differentiable,
    differentiate,
    leaves_of,
    tangents,
)
from builder.verify.guard import Guard
from builder.verify.modules import own_default_dtype, triton_errors
from builder.verify.perturb import Jitter, perturb
from builder.verify.random_calls import RandomCalls
from builder.verify.reference import Reference
from builder.verify.seams import outside_dispatch_modes, without_mkldnn
from builder.verify.structure import cloned, flatten, sharing, tensors_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from builder.verify.library import LibraryCalls
    from builder.verify.random_calls import RandomCall

Tensor = torch.Tensor


@dataclass(frozen=True)
class Case:
    """One input set: what both modules start from, never run itself.

    Attributes:
        module: the program's module.
        inputs: arguments of ``forward``.
        seed: of perturbations and of the order of instances.
        upstream: what a training pair is differentiated with; None for one without gradients.
    """

    module: nn.Module
    inputs: list[Any]
    seed: int
    upstream: Upstream | None = None

    @property
    def random_seed(self) -> int:
        """What the random numbers of a forward follow from."""
        return derived_seed(self.seed, "random")


@dataclass
class Run:
    """A finished run of either module.

    Attributes:
        leaves: outputs, flattened.
        nesting: text of the outputs' nesting.
        held: inputs, parameters and buffers by name, after the run.
        shared: per output tensor, whose memory it shares.
        launches: recorded kernel launches; none for the program.
        gradients: those of a training pair.
    """

    leaves: list[Any]
    nesting: str
    held: dict[str, Tensor]
    shared: tuple[str, ...]
    launches: list[Any] = field(default_factory=list)
    gradients: Gradients = field(default_factory=Gradients)

    @property
    def values(self) -> dict[str, Tensor]:
        """Outputs, gradients and held tensors by name."""
        named = {f"output {i}": leaf for i, leaf in enumerate(self.leaves)}
        outputs = {name: leaf for name, leaf in named.items() if isinstance(leaf, Tensor)}
        return {**outputs, **self.gradients.tensors, **self.held}


def held_tensors(module: nn.Module, inputs: Sequence[Any]) -> dict[str, Tensor]:
    """Inputs, then parameters, then buffers, by name."""
    held = {f"input {i}": tensor for i, tensor in enumerate(tensors_in(list(inputs)))}
    held |= {f"parameter {name}": value for name, value in module.named_parameters()}
    held |= {f"buffer {name}": value for name, value in module.named_buffers()}
    return {name: tensor.detach() for name, tensor in held.items()}


def _finished(
    module: nn.Module, inputs: list[Any], out: Any, gradients: Gradients, launches: list[Any]
) -> Run:
    leaves, nesting = flatten(out)
    leaves = [leaf.detach() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    held = held_tensors(module, inputs)
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    shared = sharing(list(held.items()), tensors)
    return Run(leaves, nesting, held, shared, launches, gradients)


@dataclass
class Original:
    """The program's run and its reference.

    Attributes:
        run: the program's.
        expected: the reference of every output, gradient and held tensor, by name.
        random_calls: how often the program drew random numbers.
        has_ties: something was sorted in which elements are equal, and nobody says which of them
            comes first: to which of them a gradient goes is then open.
    """

    run: Run
    expected: dict[str, Expected]
    random_calls: int = 0
    has_ties: bool = False


@dataclass(frozen=True)
class Plan:
    """How the program runs beside its Triton module.

    Attributes:
        own_decisions: see ``Reference``.
        taken_apart: see ``Reference``.
        nudge: see ``Reference``.
        casts_round: see ``Reference``.
        pattern: moves inputs and state by one ulp.
        jitter: moves what operations give by one ulp, at random.
        is_blurred: of narrow types, too.
        changed: see ``RandomCalls``.
    """

    own_decisions: bool = False
    taken_apart: bool = False
    nudge: float = 0.0
    casts_round: bool = True
    pattern: int | None = None
    jitter: int | None = None
    is_blurred: bool = False
    changed: tuple[int, int] | None = None


def run_original(case: Case, plan: Plan = Plan()) -> Original:
    """Runs the program and its float64 reference.

    Args:
        case: module and inputs; copied.
        plan: how.

    Raises:
        ProgramRejected: ``undefined_output``.
        VerificationRejected: ``unknown_random`` or ``random_generator``.
    """
    original = _run_reference(case, plan)
    if original is None:
        with without_mkldnn():
            original = _run_reference(case, plan, last=True)
    assert original is not None
    return original


def _run_reference(case: Case, plan: Plan, *, last: bool = False) -> Original | None:
    """None if mkldnn ran an operation that has no float64 form; without it the parts have."""
    module, inputs = cloned((case.module, case.inputs))
    moved = 0.0
    if plan.pattern is not None:
        moved = perturb(list(held_tensors(module, inputs).values()), plan.pattern, case.seed)
    torch.default_generator.manual_seed(0)
    seed = derived_seed(case.seed, plan.jitter)
    jitter = None if plan.jitter is None else Jitter(seed, narrow=plan.is_blurred)
    reference = Reference(
        own_decisions=plan.own_decisions,
        taken_apart=plan.taken_apart,
        order=derived_seed(case.seed, "order", plan.pattern, plan.jitter),
        nudge=plan.nudge,
        casts_round=plan.casts_round,
        jitter=jitter,
    )
    calls = RandomCalls(case.random_seed, changed=plan.changed)
    differentiated = torch.set_grad_enabled(case.upstream is not None)
    with dense_operators(), differentiated, reference, calls:
        out = module(*inputs)
        gradients = _gradients(case, module, inputs, out, pattern=plan.pattern)
    if not last and any("mkldnn" in name for name in reference.unreferenced):
        return None
    run = _finished(module, inputs, out, gradients, [])
    _reject_unwritten(run, reference)
    expected = {
        name: Expected(
            tensor,
            reference.twin(tensor),
            reference.history(tensor),
            reference.ties.get(tensor.untyped_storage().data_ptr()),
            moved,
            plan.casts_round,
            plan.is_blurred,
        )
        for name, tensor in run.values.items()
    }
    has_ties = any(ties.are_open for ties in reference.ties.values())
    return Original(run, expected, calls.count, has_ties)


def _reject_unwritten(run: Run, reference: Reference) -> None:
    for number, leaf in enumerate(run.leaves):
        if isinstance(leaf, Tensor) and reference.is_unwritten(leaf):
            raise ProgramRejected(
                "undefined_output",
                f"output {number} is memory that nothing wrote, as empty() gives it; fill it",
            )


def random_calls(case: Case) -> list[RandomCall]:
    """The random calls that the program makes on an input set, with their arguments."""
    module, inputs = cloned((case.module, case.inputs))
    calls = RandomCalls(case.random_seed, keeps=True)
    with dense_operators(), torch.no_grad(), calls:
        module(*inputs)
    return calls.calls


def _gradients(
    case: Case,
    module: nn.Module,
    inputs: list[Any],
    out: Any,
    *,
    guard: Guard | None = None,
    pattern: int | None = None,
) -> Gradients:
    """The gradients of a run, none where the case asks for none.

    Args:
        case: says what it is differentiated with.
        module: that ran.
        inputs: its arguments.
        out: what it returned.
        guard: lets tangents be copied.
        pattern: moves tangents by one ulp.
    """
    if case.upstream is None:
        return Gradients()
    outputs = differentiable(out)
    with outside_dispatch_modes():
        given = tangents(case.upstream, outputs)
        if pattern is not None:
            perturb(list(given.values()), pattern, case.upstream.seed)
    if guard is not None:
        guard.let_copy(given.values())
    if not outputs:
        return Gradients({f"{PREFIX}{name}": None for name in leaves_of(module, inputs)})
    return differentiate(outputs, leaves_of(module, inputs), given)


def run_triton(
    case: Case,
    new: nn.Module,
    *,
    permute_seed: int | None = None,
    second: bool = False,
    seed_given: bool = False,
    library: LibraryCalls | None = None,
    left_out: frozenset[str] = frozenset(),
) -> Run:
    """Runs the Triton module on the CPU executor.

    Args:
        case: inputs; copied.
        new: the Triton module, holding the case's state; copied.
        permute_seed: order of the program instances.
        second: the other poison in fresh memory.
        seed_given: the seed of random numbers is an argument of forward, not torch's generator's.
        library: operators that the module may call.
        left_out: names of kernels whose launches do nothing.

    Raises:
        VerificationRejected: ``triton_error``, ``host_compute`` or ``no_launch``.
        ExecutionError: a kernel cannot be run or touches memory that it must not.
    """
    module, inputs = cloned((new, case.inputs))
    options = execute.ExecutionOptions(permute_seed=permute_seed, left_out=left_out)
    guard = Guard(library, second=second)
    torch.default_generator.manual_seed(0 if seed_given else case.random_seed)
    keywords = {"seed": case.random_seed} if seed_given else {}
    with executing(options, guard, differentiated=case.upstream is not None) as trace:
        with triton_errors("forward"):
            out = module(*inputs, **keywords)
        with triton_errors("backward"):
            gradients = _gradients(case, module, inputs, out, guard=guard)
    return _finished(module, inputs, out, gradients, list(trace.launches))


@contextlib.contextmanager
def executing(
    options: execute.ExecutionOptions, guard: Guard, *, differentiated: bool
) -> Iterator[execute.Trace]:
    """Runs Triton modules on the CPU executor, under a guard.

    Raises:
        VerificationRejected: ``host_compute`` or ``no_launch``, on leaving.
    """
    with (
        torch.set_grad_enabled(differentiated),
        own_default_dtype(),
        execute.launches_on_cpu(options) as trace,
        guard,
    ):
        yield trace
    guard.check()
    if not trace.launches:
        raise VerificationRejected("no_launch", "forward launched no kernel")
