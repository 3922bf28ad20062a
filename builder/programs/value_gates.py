"""What the gates ask of a program's values.

They are tensors, finite, the same on the same seed, and depend on what the program is given.
"""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from builder.errors import ProgramRejected
from builder.programs.attributes import attribute_images, changed_attributes
from builder.programs.conditioning import check_conditioning
from builder.programs.influence import Subject, subject_of, without_influence
from builder.programs.load import FORWARD_SEED
from builder.programs.narrow import quick_products
from builder.programs.node_influence import Nodes, idle_nodes
from builder.programs.recall import RecallingProgram, recalling
from builder.programs.structure import Structure, is_quick, recorded_run
from builder.programs.tree import aliased, identical, leaves, tensors

if TYPE_CHECKING:
    from builder.programs.load import LoadedProgram
    from builder.programs.measure import Cost

_SCALARS = (bool, int, float, complex, type(None))
_REDRAWS = (1, 2, 3)
_Shapes = tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...], tuple[str, ...]]
_MOSTLY = 0.5
_FEW = 64
"""Elements of an output so small that another draw may well make all of them one value."""
_FLAT = 2.0**-10
"""What the elements of an output differ by, beside their size, where that is all they show."""
_FLAT_STEPS = 4.0  # of the output's type
_SEEDS = (11, 12, 13, 14)
_NAMED = 4  # changed attributes that a message names


def set_name(variant: int | None) -> str:
    return "get_inputs" if variant is None else f"get_shape_variants()[{variant}]"


def check_values(
    loaded: RecallingProgram, variant: int | None, cost: Cost, *, strict: bool, nodes: int = 0
) -> tuple[_Shapes, bool, Structure | None]:
    """The shapes of inputs and outputs, the outputs' types, whether forward is random, and the
    program's structure.
    """
    module, inputs = loaded.make_module(), loaded.make_inputs(0, variant)
    if not tensors(inputs):
        raise ProgramRejected(
            "ignores_input",
            "get_inputs returns no tensor; return the tensors that forward computes on",
        )
    check_aliases(aliased(inputs), set_name(variant))
    with quick_products((*tensors(inputs), *module.parameters())):
        return _check_values(loaded, variant, cost, module, inputs, strict=strict, nodes=nodes)


def _check_values(
    loaded: RecallingProgram,
    variant: int | None,
    cost: Cost,
    module: nn.Module,
    inputs: list[Any],
    *,
    strict: bool,
    nodes: int,
) -> tuple[_Shapes, bool, Structure | None]:
    attributes = attribute_images(module)
    structure: Structure | None = None
    results = Nodes()
    with results if nodes else nullcontext():
        if is_quick(inputs):
            outputs, structure = recorded_run(loaded, module, copy.deepcopy(inputs))
        else:
            outputs = run_on_copies(loaded, module, inputs)
    check_outputs(outputs, "forward")
    _check_attributes(attributes, attribute_images(module))
    if strict:
        _check_uneven(outputs)
    found = tensors(outputs)
    wide = Nodes()
    subject = subject_of(
        loaded, module, inputs, outputs, strict=strict, around=wide if nodes else None
    )
    # What most programs fail at comes first.
    _check_varies(loaded, subject, variant)
    _check_influence(loaded, subject, variant)
    is_random = _check_repeats(loaded, variant, subject, cost)
    if strict and not is_random:
        check_conditioning(loaded, subject, found)
    if nodes:
        total = wide.count if subject.is_wide else results.count
        _check_nodes(idle_nodes(loaded, subject, total, nodes))
    if strict:
        _check_stays_uneven(loaded, variant, outputs)
    shapes = (
        tuple(tuple(tensor.shape) for tensor in tensors(inputs)),
        tuple(tuple(tensor.shape) for tensor in found),
        tuple(str(tensor.dtype).removeprefix("torch.") for tensor in found),
    )
    return shapes, is_random, structure


def check_dependence(
    loaded: LoadedProgram, variant: int | None = None, *, strict: bool = False
) -> None:
    """Refuses a program whose results show nothing of what it is given.

    Random numbers are the same in all its runs, so that none of them passes for an input.

    Args:
        loaded: the program.
        variant: the input set to look at, ``None`` for ``get_inputs``.
        strict: as for ``check``.

    Raises:
        ProgramRejected: ``constant_output`` or ``ignores_input``, or the kinds of loading where
            user code raises.
    """
    loaded = recalling(loaded)
    with torch.no_grad():
        module, inputs = loaded.make_module(), loaded.make_inputs(0, variant)
        outputs = run_on_copies(loaded, module, inputs)
        if strict:
            _check_uneven(outputs)
        subject = subject_of(loaded, module, inputs, outputs, strict=strict)
        _check_varies(loaded, subject, variant)
        _check_influence(loaded, subject, variant)


def _check_influence(loaded: LoadedProgram, subject: Subject, variant: int | None) -> None:
    idle = without_influence(loaded, subject, variant, varied=True)
    if idle:
        raise ProgramRejected(
            "ignores_input",
            f"no output depends on {', '.join(idle)}; use it in forward or remove it",
        )


def _check_nodes(idle: list[str]) -> None:
    if idle:
        message = f"no output depends on {idle[0]}; use it, or remove the operator"
        raise ProgramRejected("idle_node", message)


def run_on_copies(
    loaded: LoadedProgram, module: nn.Module, inputs: list[Any], seed: int = FORWARD_SEED
) -> Any:
    """One forward on copies of the inputs, which it may write to."""
    return loaded.run(module, copy.deepcopy(inputs), seed)


def check_aliases(paths: tuple[str, str] | None, where: str) -> None:
    if paths is not None:
        raise ProgramRejected(
            "aliased_inputs",
            f"{where} returns one tensor as input{paths[0]} and input{paths[1]}; give each "
            "argument a tensor of its own",
        )


def _check_attributes(before: dict[str, Any], after: dict[str, Any]) -> None:
    changed = changed_attributes(before, after)
    if changed:
        listed = ", ".join(f"self.{name}" for name in changed[:_NAMED])
        raise ProgramRejected(
            "mutates_attributes",
            f"forward changes {listed}, which the Triton module would lose; keep the state in a "
            "buffer (self.register_buffer) or do without",
        )


def check_outputs(outputs: Any, where: str) -> None:
    found = list(leaves(outputs))
    for path, leaf in found:
        if isinstance(leaf, _SCALARS):
            continue
        if not isinstance(leaf, torch.Tensor) or leaf.layout is not torch.strided:
            kind = str(leaf.layout) if isinstance(leaf, torch.Tensor) else type(leaf).__name__
            raise ProgramRejected(
                "not_tensors",
                f"{where}: output{path} is a {kind}; return dense tensors, or lists, tuples or "
                "dicts of them",
            )
    if not tensors(outputs):
        raise ProgramRejected("not_tensors", f"{where} gives no tensor; return at least one")
    for path, leaf in found:
        if isinstance(leaf, torch.Tensor) and not _finite(leaf):
            raise ProgramRejected(
                "not_finite",
                f"{where}: output{path} holds {_first_bad(leaf)}; scale the inputs, or guard the "
                "division, logarithm, square root or fully masked row it comes from",
            )


def _finite(tensor: torch.Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex()) or bool(
        torch.isfinite(tensor).all()
    )


def _first_bad(tensor: torch.Tensor) -> str:
    count = int((~torch.isfinite(tensor)).sum())
    kind = "NaN" if bool(torch.isnan(tensor).any()) else "infinity"
    return f"{kind} ({count} of {tensor.numel()} elements are not finite)"


def _check_repeats(
    loaded: RecallingProgram, variant: int | None, subject: Subject, cost: Cost
) -> bool:
    """A second construction from the same seed, with the generator elsewhere during forward.

    Returns:
        whether forward draws random numbers, by torch's generator and nothing else.
    """
    if _repeats(loaded, variant, subject, FORWARD_SEED + 1):
        return False
    if _repeats(loaded, variant, subject, FORWARD_SEED):
        return True
    drawn = f" (forward calls {', '.join(cost.random)})" if cost.random else ""
    raise ProgramRejected(
        "nondeterministic",
        f"two runs on the same seed differ{drawn}; draw random numbers with torch's global "
        "generator, and keep no state outside of buffers",
    )


def _repeats(loaded: RecallingProgram, variant: int | None, subject: Subject, seed: int) -> bool:
    """Whether a forward with the generator at a seed gives these outputs once more."""
    module, inputs = loaded.make_module(), loaded.fresh_inputs(0, variant)
    again = subject.rerun(loaded, module, inputs, seed)
    first, second = list(leaves(subject.result)), list(leaves(again))
    return [path for path, _ in first] == [path for path, _ in second] and all(
        _same(a, b) for (_, a), (_, b) in zip(first, second, strict=True)
    )


def _check_uneven(outputs: Any) -> None:
    """No output has (nearly) one value everywhere, nor has a small one at more than half."""
    for path, leaf in leaves(outputs):
        if not isinstance(leaf, torch.Tensor) or leaf.numel() < 2:
            continue
        flat = leaf.flatten()
        common = flat.mode().values if _is_small(leaf) and leaf.is_floating_point() else flat[0]
        share = float((flat == common).double().mean())
        if share == 1.0 or (_is_small(leaf) and share > _MOSTLY):
            where = "everywhere" if share == 1.0 else "nearly everywhere"
            raise ProgramRejected(
                "constant_output",
                f"output{path} has one value {where}; return what differs by place",
            )
        _check_flatness(path, leaf)


def _check_flatness(path: str, leaf: torch.Tensor) -> None:
    """The elements of a large output differ by more than what rounding leaves of them."""
    if _is_small(leaf) or not leaf.is_floating_point():
        return
    values = leaf.double()
    size = torch.linalg.vector_norm(values)
    spread = torch.linalg.vector_norm(values - values.mean())
    if spread <= max(_FLAT, _FLAT_STEPS * torch.finfo(leaf.dtype).eps) * size:
        raise ProgramRejected(
            "constant_output",
            f"output{path} is nearly one value everywhere ({values.mean():.6g}, give or take "
            f"{spread / leaf.numel() ** 0.5:.2g}), whatever is computed before; return what "
            "differs by place",
        )


def _is_small(tensor: torch.Tensor) -> bool:
    return tensor.numel() <= _FEW


def _check_stays_uneven(loaded: LoadedProgram, variant: int | None, outputs: Any) -> None:
    """Small outputs have more than one value for other parameters and inputs, too."""
    if not any(1 < tensor.numel() <= _FEW for tensor in tensors(outputs)):
        return
    for seed in _SEEDS:
        module = loaded.make_module(seed)
        fresh = run_on_copies(loaded, module, loaded.make_inputs(seed, variant))
        check_outputs(fresh, "forward")
        _check_uneven(fresh)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return identical(a, b)
    return type(a) is type(b) and (a == b or a != a)  # noqa: PLR0124 - NaN


def _check_varies(loaded: LoadedProgram, subject: Subject, variant: int | None) -> None:
    """Every output changes with some fresh draw of the inputs."""
    first = dict(leaves(subject.result))
    constant = [path for path, leaf in first.items() if isinstance(leaf, torch.Tensor)]
    for seed in _REDRAWS:
        inputs = loaded.make_inputs(seed, variant)
        fresh = dict(leaves(subject.rerun(loaded, subject.module, inputs)))
        constant = [path for path in constant if path in fresh and _same(first[path], fresh[path])]
        if not constant:
            return
    raise ProgramRejected(
        "constant_output",
        f"output{constant[0]} is the same for every draw of get_inputs; return what depends on the "
        "inputs, and draw them with torch's global generator",
    )
