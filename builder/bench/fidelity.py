"""Whether a described GPU and a real one of its kind make the compiler write the same kernels."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import triton
from torch.utils import _pytree as pytree

from builder.capture import binding
from builder.capture.dynamic import marked_varying, order_of_hints, varying_sizes
from builder.capture.inductor import compile_for
from builder.capture.kernels import kernel_sources
from builder.capture.targets import TARGETS
from builder.capture.training import Differentiation
from builder.capture.variants import resolve_variants
from builder.config import MODES
from builder.errors import OperationFailed, Rejected
from builder.programs.load import load_program
from builder.programs.synthesise import synthesise

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from builder.capture.dynamic import Varying
    from builder.capture.targets import Target
    from builder.programs.load import LoadedProgram

_DIFFERENCE_LINES = 6


@dataclass(frozen=True)
class FidelityBench:
    """What to compare.

    Attributes:
        programs: how many, the first of the seed's stream.
        seed: of the stream, and of choices among configurations.
        variant: Inductor's configuration.
        mode: ``forward``, or ``training``: backward's kernels are compared, too.
        any_size: sizes that a program's shape variants change become arguments of the kernels.
    """

    programs: int = 100
    seed: int = 0
    variant: str = "default"
    mode: str = MODES[0]
    any_size: bool = False


def real_target() -> Target:
    """The described target of this machine's own GPU.

    Raises:
        OperationFailed: PyTorch sees no GPU, or one that the table does not describe.
    """
    if not torch.cuda.is_available():
        raise OperationFailed("PyTorch sees no GPU; run this where torch.cuda.is_available()")
    properties = torch.cuda.get_device_properties(0)
    if torch.version.hip:
        name = f"hip:{properties.gcnArchName.partition(':')[0]}"
    else:
        name = f"cuda:{properties.major * 10 + properties.minor}"
    if name not in TARGETS:
        raise OperationFailed(
            f"no target describes this GPU, {name}; describe it in builder/capture/targets.py"
        )
    return TARGETS[name]


def measure(bench: FidelityBench, on_done: Callable[[], Any]) -> dict[str, Any]:
    """Captures each program twice, for the described GPU and through the real one.

    Returns:
        ``device``, ``target``, ``torch``, ``triton``, ``programs``; the number of ``kernels``,
        those that only one capture has included; how many are ``identical``, byte for byte, and
        their ``share``; ``differences``: program, kernel and where its texts differ first;
        ``failures``: programs that one of the two captures refused, with its reason.

    Raises:
        OperationFailed: there is no real GPU.
    """
    target = real_target()
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name(0),
        "target": target.name,
        "torch": torch.__version__,
        "triton": triton.__version__,
        "programs": bench.programs,
        "kernels": 0,
        "identical": 0,
        "differences": [],
        "failures": [],
    }
    for index in range(bench.programs):
        _compare(bench, index, target, found)
        on_done()
    found["share"] = found["identical"] / found["kernels"] if found["kernels"] else None
    return found


def _compare(bench: FidelityBench, index: int, target: Target, found: dict[str, Any]) -> None:
    program = synthesise(bench.seed, index)
    try:
        loaded = load_program(program.python_code, program.entry_point)
        described = kernels(loaded, target, bench, described=True)
        real = kernels(loaded, target, bench, described=False)
    except (Rejected, RuntimeError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        found["failures"].append({"program": index, "reason": reason})
        return
    for name in sorted(described.keys() | real.keys()):
        found["kernels"] += 1
        if described.get(name) == real.get(name):
            found["identical"] += 1
        else:
            where = first_difference(described.get(name, ""), real.get(name, ""))
            found["differences"].append({"program": index, "kernel": name, "where": where})


def kernels(
    program: LoadedProgram, target: Target, bench: FidelityBench, *, described: bool
) -> dict[str, str]:
    """Name and text of the kernels that a program becomes."""
    module = program.make_module()
    inputs, varying = _inputs(program, module) if bench.any_size else (program.make_inputs(0), ())
    if not described:
        module, inputs = module.cuda(), pytree.tree_map_only(torch.Tensor, as_laid_out, inputs)
    given = binding.bound_arguments(module.forward, inputs)
    named = [leaf for name in given for leaf in binding.leaves(given[name], name)]
    with marked_varying(named, varying):
        _, record = compile_for(
            module,
            inputs,
            target,
            bench.seed,
            resolve_variants([bench.variant])[0],
            dynamic=bool(varying),
            differentiate=_differentiation(module, inputs) if bench.mode == "training" else None,
            described=described,
        )
    graphs = [record] if record.backward is None else [record, record.backward]
    texts: dict[str, str] = {}
    for number, graph in enumerate(graphs):
        for source in graph.sources:
            found = kernel_sources(source)
            texts |= {f"backward {name}" if number else name: found[name] for name in found}
    return texts


def _inputs(program: LoadedProgram, module: nn.Module) -> tuple[list[Any], tuple[Varying, ...]]:
    """The input set to trace on, and the sizes in which the program's sets differ."""
    variants = (None, *range(program.num_variants))
    sets = [program.make_inputs(0, variant) for variant in variants]
    varying = varying_sizes(module.forward, sets)
    return (sets[order_of_hints(varying)[0]] if varying else sets[0]), varying


def _differentiation(module: nn.Module, inputs: list[Any]) -> Differentiation:
    """Of the parameters and of all inputs that may have a gradient."""
    floating = [leaf for leaf in pytree.tree_leaves(inputs) if _is_floating(leaf)]
    leaves = [*module.parameters(), *(tensor.requires_grad_() for tensor in floating)]
    return Differentiation((str(number), leaf) for number, leaf in enumerate(leaves))


def _is_floating(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor) and leaf.is_floating_point()


def as_laid_out(tensor: torch.Tensor, device: str = "cuda") -> torch.Tensor:
    """A tensor on the GPU, with the strides it has; ``cuda()`` makes a part of another dense."""
    moved = torch.empty_strided(
        tensor.size(), tensor.stride(), dtype=tensor.dtype, device=device
    ).copy_(tensor)
    return moved.requires_grad_(tensor.requires_grad)


def first_difference(described: str, real: str) -> str:
    """The first lines that only one of two texts has, as in a unified difference."""
    lines = difflib.unified_diff(described.splitlines(), real.splitlines(), lineterm="", n=0)
    return "\n".join(list(lines)[3 : 3 + _DIFFERENCE_LINES])
