"""The reference: each ATen operation of the program a second time, in float64.

``Reference`` is a dispatch mode.  The program runs under it as written, on its own tensors, so it
sees its own types, takes its own branches and gives eager's result.  Beside each *storage* that
the program touches lies a shadow, a flat float64 buffer with one element for each element of the
storage.  An operation runs twice: on the program's tensors, and on views of the shadows with the
same sizes, strides and offsets.  So views and aliases need no rule of their own (they share a
storage, hence a shadow), and an in-place operation on one view shows in every other.

What is not float is not shadowed: masks, indices and integers are eager's, in both runs.  The
reference thereby follows eager's decisions, and its distance to eager measures rounding alone.
With ``own_decisions`` integers are shadowed too and follow from the float64 values: the other
answer that a discrete output may give.

Also recorded, for the floors: the coarsest type and operation behind each storage (``History``),
and index outputs whose order among ties nobody specifies.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from builder.verify import rules
from builder.verify.apart import taken_apart
from builder.verify.floors import History, Operation
from builder.verify.memory import let_memory_failures_pass
from builder.verify.seams import TorchDispatchMode, negated_view, tree_flatten, tree_unflatten

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from builder.verify.perturb import Jitter

Tensor = torch.Tensor


@dataclass
class Shadow:
    """What the reference holds for one storage.

    Attributes:
        storage: kept, so that its address is not given to another while the reference lives.
        dtype: the type through which the program uses it.
        values: float64 (complex128, or the integers' own type), one an element; None where
            eager's own values stand.
        history: what lies behind them.
    """

    storage: torch.UntypedStorage
    dtype: torch.dtype
    values: Tensor | None
    history: History


@dataclass(frozen=True)
class Ties:
    """Where indices came from whose order among equal values is unspecified.

    Attributes:
        eager: what was sorted.
        reference: the same in float64.
        dim: along which dimension.
        history: what lies behind it.
    """

    eager: Tensor
    reference: Tensor
    dim: int
    history: History

    @property
    def are_open(self) -> bool:
        """Whether there are equal elements."""
        return bool((self.eager.sort(self.dim).values.diff(dim=self.dim) == 0).any())


@dataclass
class Call:
    """One operation: its flattened arguments, which of them it writes, and its results."""

    func: Any
    flat: list[Any]
    spec: Any
    written: list[bool]
    results: list[Tensor] = field(default_factory=list)

    @property
    def tensors(self) -> list[Tensor]:
        return [value for value in self.flat if isinstance(value, Tensor)]

    @property
    def changed(self) -> list[Tensor]:
        pairs = zip(self.flat, self.written, strict=True)
        return [value for value, hit in pairs if hit and isinstance(value, Tensor)]


class Reference(TorchDispatchMode):
    """Runs what it encloses as written and, beside it, in float64.

    Args:
        own_decisions: integers and masks follow from float64 values, not from eager.
        nudge: epsilons by which the operand of a rounding to integers, or of a comparison, is
            moved away from zero before it decides; others than eager may be off by some.
        casts_round: as written; without, values keep float64's precision through casts.
        taken_apart: eager runs library operations as several (``apart``).
        order: a seed, of the order in which they take what they add up.
        jitter: moves what eager's operations give, where they round.
    """

    def __init__(
        self,
        *,
        own_decisions: bool = False,
        taken_apart: bool = False,
        order: int = 0,
        nudge: float = 0.0,
        casts_round: bool = True,
        jitter: Jitter | None = None,
    ) -> None:
        super().__init__()
        self.jitter = jitter
        self.own_decisions = own_decisions
        self.nudge = nudge
        self.casts_round = casts_round
        self.taken_apart = taken_apart
        self.order = order
        self.shadows: dict[int, Shadow] = {}
        self.ties: dict[int, Ties] = {}
        self.unreferenced: set[str] = set()
        self._unwritten: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._efficientzerotensor.default:  # noqa: SLF001
            func = torch.ops.aten.zeros.default  # without memory there is no place for a shadow
        flat, spec = tree_flatten((args, kwargs))
        call = Call(func, flat, spec, rules.written_arguments(func, args, kwargs))
        twins = None if func.is_view else self._twin_arguments(call)
        known = set(self.shadows)
        is_apart = self.taken_apart and not func.is_view
        apart = taken_apart(func, args, self.order) if is_apart else None
        out = (apart or func)(*args, **kwargs)
        if func.is_view:
            self._note_new_storages(out)
            return out
        self._second_run(call, twins, out, known)
        return out

    def twin(self, tensor: Tensor) -> Tensor:
        """The reference value of a tensor of the program: float64, integers as they are."""
        return self._view(self._shadow(tensor), tensor).clone()

    def history(self, tensor: Tensor) -> History:
        """What lies behind a tensor of the program."""
        return self._shadow(tensor).history

    def is_unwritten(self, tensor: Tensor) -> bool:
        """Whether a tensor is memory that was allocated and nothing more."""
        return tensor.numel() > 0 and _address(tensor) in self._unwritten

    # -- shadows ---------------------------------------------------------------------------

    def _shadowed(self, dtype: torch.dtype) -> bool:
        return dtype.is_floating_point or dtype.is_complex or self.own_decisions

    def _shadow(self, tensor: Tensor) -> Shadow:
        storage = tensor.untyped_storage()
        shadow = self.shadows.get(storage.data_ptr())
        if shadow is None:
            shadow = self._new_shadow(tensor, History())
        return shadow

    def _new_shadow(self, tensor: Tensor, history: History, *, copy: bool = True) -> Shadow:
        storage = tensor.untyped_storage()
        values = None
        if self._shadowed(tensor.dtype):
            count = storage.nbytes() // tensor.element_size()
            values = _everything(tensor, count) if copy else _blank(tensor.dtype, count)
        shadow = Shadow(storage, tensor.dtype, values, history)
        if storage.nbytes():
            self.shadows[storage.data_ptr()] = shadow
        return shadow

    def _view(self, shadow: Shadow, tensor: Tensor) -> Tensor:
        values = shadow.values
        if values is not None and shadow.dtype != tensor.dtype:
            values = _other_part(values, shadow.dtype, tensor.dtype)
        if values is None:
            return rules.widened(tensor) if self._shadowed(tensor.dtype) else tensor
        view = values.as_strided(tensor.size(), tensor.stride(), tensor.storage_offset())
        view = view.conj() if tensor.is_conj() else view
        return negated_view(view) if tensor.is_neg() else view

    # -- the two runs ----------------------------------------------------------------------

    def _twin_arguments(self, call: Call) -> list[Any]:
        """Views of shadows for the arguments, taken before the program's own run writes them."""
        twins: list[Any] = []
        for value, is_written in zip(call.flat, call.written, strict=True):
            if not isinstance(value, Tensor):
                twins.append(value)
                continue
            view = self._view(self._shadow(value), value)
            twins.append(view.clone() if view is value and is_written else view)
        return twins

    def _second_run(self, call: Call, twins: list[Any] | None, out: Any, known: set[int]) -> None:
        leaves = [leaf for leaf in tree_flatten(out)[0] if isinstance(leaf, Tensor)]
        call.results = [leaf for leaf in leaves if _address(leaf) not in known]
        touched = call.results + call.changed
        if not touched:
            return
        self._unwritten -= set(map(_address, touched))
        if rules.base_name(call.func) in rules.UNWRITTEN:
            self._unwritten |= set(map(_address, call.results))
        before = [self._shadow(tensor).history for tensor in call.tensors]
        wanted = any(self._shadowed(tensor.dtype) for tensor in touched)
        results = self._run_twin(call, twins, out) if wanted and twins is not None else None
        self._store(call, results, out)
        self._write_histories(call, before)
        self._note_ties(call, twins, out)

    def _run_twin(self, call: Call, twins: list[Any], out: Any) -> Any:
        """The operation's result in float64; None where eager's values must stand."""
        args, kwargs = tree_unflatten(twins, call.spec)
        own_args, _ = tree_unflatten(call.flat, call.spec)
        run = rules.twin_rule(
            call.func,
            own_args,
            out,
            follow=not self.own_decisions,
            casts_round=self.casts_round,
        )
        if run is None:
            return None
        place = rules.deciding_operand(call.func) if self.nudge else None
        back = None
        if place is not None and isinstance(args[place], Tensor):
            nudged = rules.nudged(args[place], own_args[place], self.nudge)
            if rules.name_of(call.func) in rules.SAWTOOTH:
                back = args[place] - nudged  # it moves which tooth a value is in, not the value
            args = (*args[:place], nudged, *args[place + 1 :])
        try:
            with _double_by_default():
                result = run(call.func, args, kwargs, out)
                return result if back is None else result + back
        except (RuntimeError, NotImplementedError, TypeError, ValueError, IndexError) as error:
            let_memory_failures_pass(error)
            self.unreferenced.add(str(call.func))
            return None

    def _store(self, call: Call, results: Any, out: Any) -> None:
        """Puts results into new shadows; renews shadows whose values must be eager's."""
        for tensor in call.changed:
            shadow = self._shadow(tensor)
            if results is None or shadow.dtype != tensor.dtype:
                self._new_shadow(tensor, shadow.history)
        twin_leaves = tree_flatten(results)[0] if results is not None else []
        leaves = tree_flatten(out)[0]
        fresh = {_address(tensor) for tensor in call.results}
        made: set[int] = set()
        for index, leaf in enumerate(leaves):
            if not isinstance(leaf, Tensor) or _address(leaf) not in fresh:
                continue
            twin = twin_leaves[index] if index < len(twin_leaves) else None
            usable = twin if isinstance(twin, Tensor) and twin.shape == leaf.shape else None
            if _address(leaf) not in made:
                self._new_shadow(leaf, History(), copy=usable is None)
                made.add(_address(leaf))
            shadow = self._shadow(leaf)
            if usable is not None and shadow.values is not None:
                self._view(shadow, leaf).copy_(usable)

    def _write_histories(self, call: Call, before: Sequence[History]) -> None:
        behind = History()
        for history in before:
            behind = behind.joined(history)
        for tensor in call.results + call.changed:
            shadow = self._shadow(tensor)
            own = rules.own_history(call.func, tensor, call.tensors)
            if own.decided and not behind.is_rounded:
                own = replace(own, decided=False)  # no rounding flips it
            if not behind.is_rounded and own.operation is not Operation.EXACT:
                own = replace(own, is_rounded=not self._is_exact(tensor))
            shadow.history = behind.joined(own)
            if self.jitter is not None and own.operation is not Operation.EXACT:
                self._move(call.func, tensor, behind)

    def _is_exact(self, tensor: Tensor) -> bool:
        """Whether eager's result is the reference, bit for bit."""
        return torch.equal(rules.widened(tensor), self._view(self._shadow(tensor), tensor))

    def _move(self, func: Any, tensor: Tensor, behind: History) -> None:
        """Moves a result where it rounds: neither what a decision rounded to integers nor sums."""
        assert self.jitter is not None
        if rules.rounds(func):
            keeps_integers = behind.decided and rules.keeps_integers(func)
            self.jitter.move(tensor, keeps_integers=keeps_integers)

    def _note_ties(self, call: Call, twins: list[Any] | None, out: Any) -> None:
        args, kwargs = tree_unflatten(call.flat, call.spec)
        dim = rules.open_ties(call.func, args, kwargs)
        if dim is None or twins is None or not isinstance(out, tuple):
            return
        source = args[0]
        history = self._shadow(source).history
        self.ties[_address(out[1])] = Ties(source.clone(), twins[0].clone(), dim, history)

    def _note_new_storages(self, out: Any) -> None:
        """``lift_fresh`` and its like return storages that no operation made."""
        for leaf in tree_flatten(out)[0]:
            if isinstance(leaf, Tensor):
                self._shadow(leaf)


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _everything(tensor: Tensor, count: int) -> Tensor:
    """The whole storage of a tensor, widened, flat."""
    return rules.widened(tensor.detach().as_strided((count,), (1,), 0)).clone()


def _blank(dtype: torch.dtype, count: int) -> Tensor:
    return torch.zeros(count, dtype=rules.wide_type(dtype))


def _other_part(values: Tensor, held: torch.dtype, asked: torch.dtype) -> Tensor | None:
    """Shadow values read through another type: the parts of complex numbers, else nothing."""
    if held.is_complex and asked == held.to_real():
        return torch.view_as_real(values).reshape(-1)
    if asked.is_complex and held == asked.to_real():
        return torch.view_as_complex(values.reshape(-1, 2))
    return None


@contextlib.contextmanager
def _double_by_default() -> Iterator[None]:
    """Integers that an operation turns into floats become float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
