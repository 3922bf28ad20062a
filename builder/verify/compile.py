"""Does every launch compile for a target, and does the object fit the device?

The compiler checks shared memory, threads and registers only when a kernel is launched, on a
device.  Here each recorded launch is compiled for each described target, and the figures of the
object are held against the target table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from builder.errors import VerificationRejected
from builder.verify.memory import let_memory_failures_pass
from builder.verify.seams import ASTSource, captured_diagnostics, compile_source, fresh_compilation
from builder.verify.substance import computes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.capture.targets import Target
    from builder.execute import Launch

REGISTER_GRANULE = 8


@dataclass(frozen=True)
class Resources:
    """What one compiled kernel takes.

    Attributes:
        registers: 32-bit registers a thread.
        shared: bytes of shared memory a block.
        spills: bytes a thread that registers were spilled to.
        threads: threads a block.
        tensor_memory: columns of tensor memory a block.
    """

    registers: int
    shared: int
    spills: int
    threads: int
    tensor_memory: int


@dataclass(frozen=True)
class Compilation:
    """All launches compiled for all targets.

    Attributes:
        resources: target name -> totals, as ``Verdict.resources`` has them.
        ttir: the TTIR of each distinct launch, compiled for the first target.
    """

    resources: dict[str, dict[str, int]]
    ttir: tuple[str, ...]


def compile_launches(launches: Sequence[Launch], targets: Sequence[Target]) -> Compilation:
    """Compiles each distinct launch once for each target and checks the device's limits.

    Raises:
        VerificationRejected: ``compile_error`` if a kernel does not compile;
            ``shared_memory``, ``threads``, ``registers`` or ``tensor_memory`` if the object is too
            large for the device.
    """
    distinct = distinct_launches(launches)
    resources: dict[str, dict[str, int]] = {}
    ttir: list[str] = []
    for target in targets:
        compiled = [compile_launch(launch, target) for launch in distinct]
        used = [resource for resource, _ in compiled]
        for launch, resource in zip(distinct, used, strict=True):
            check_limits(launch.kernel.__name__, resource, target)
        resources[target.name] = {
            "registers": max((r.registers for r in used), default=0),
            "shared": max((r.shared for r in used), default=0),
            "spills": sum(r.spills for r in used),
        }
        ttir = ttir or [text for _, text in compiled]
    return Compilation(resources, tuple(ttir))


def distinct_launches(launches: Sequence[Launch]) -> list[Launch]:
    """The launches that differ in more than their grid, in order."""
    return list({_identity(launch): launch for launch in reversed(launches)}.values())[::-1]


def computing(launches: Sequence[Launch], compiled: Compilation) -> frozenset[str]:
    """Names of the kernels that compute something; of all of them if nothing was compiled."""
    distinct = distinct_launches(launches)
    if not compiled.ttir:
        return frozenset(launch.kernel.__name__ for launch in distinct)
    pairs = zip(distinct, compiled.ttir, strict=True)
    return frozenset(launch.kernel.__name__ for launch, ttir in pairs if computes(ttir))


def least_specialised(launches: Sequence[Launch]) -> list[Launch]:
    """Of each kernel the launch whose arguments tell the compiler least.

    What a divisible size or one of 1 adds is left to it: nothing else may be assumed for others.
    """
    chosen: dict[int, Launch] = {}
    for launch in launches:
        known = chosen.setdefault(id(launch.kernel), launch)
        if _knowledge(launch) < _knowledge(known):
            chosen[id(launch.kernel)] = launch
    return list(chosen.values())


def _knowledge(launch: Launch) -> int:
    return len(launch.attrs) + len(launch.constants)


def _identity(launch: Launch) -> str:
    mappings = (launch.signature, launch.constants, launch.attrs, launch.options)
    parts = [sorted((repr(k), repr(v)) for k, v in mapping.items()) for mapping in mappings]
    return repr((id(launch.kernel), parts))


def compile_launch(launch: Launch, target: Target) -> tuple[Resources, str]:
    """Compiles one launch; its resources and its TTIR.

    Raises:
        VerificationRejected: ``compile_error``.
    """
    if target.backend == "hip" and "inline_asm_elementwise" in launch.kernel.src:
        # LLVM would end the process on instructions that it does not know.
        message = (
            f"{launch.kernel.__name__} has inline assembly, which may be another vendor's, and is "
            f"not compiled for {target.name}; write it with tl or libdevice"
        )
        raise VerificationRejected("compile_error", message)
    source = ASTSource(launch.kernel, launch.signature, launch.constants, launch.attrs)
    diagnostics: list[str] = []
    try:
        with captured_diagnostics() as diagnostics, fresh_compilation() as report:
            compiled = compile_source(source, target=target.gpu_target, options=launch.options)
    except Exception as error:
        let_memory_failures_pass(error)
        name = launch.kernel.__name__
        message = f"{name} does not compile for {target.name}: {_cause(error, diagnostics)}"
        raise VerificationRejected("compile_error", message) from error
    read = _nvidia_resources if target.backend == "cuda" else _amd_resources
    return read(compiled, report.getvalue(), target), compiled.asm["ttir"]


def _cause(error: Exception, diagnostics: Sequence[str]) -> str:
    """The compiler's first diagnostic, else the last line of the exception."""
    found = [line for line in diagnostics if ": error: " in line]
    lines = found[:1] or str(error).strip().splitlines()[-1:] or [repr(error)]
    return lines[0]


def check_limits(name: str, used: Resources, target: Target) -> None:
    """Holds a compiled kernel against its device.

    Raises:
        VerificationRejected: it takes more than one block may have.
    """
    granules = -(-used.registers // REGISTER_GRANULE)
    limits = (
        ("shared_memory", used.shared, target.shared_memory, "bytes of shared memory"),
        ("threads", used.threads, target.max_threads_per_block, "threads"),
        (
            "registers",
            granules * REGISTER_GRANULE * used.threads,
            target.registers,
            "registers",
        ),
        (
            "tensor_memory",
            used.tensor_memory,
            target.tensor_memory_columns,
            "columns of tensor memory",
        ),
    )
    for kind, amount, limit, unit in limits:
        if amount > limit:
            message = f"{name} takes {amount} {unit} a block; {target.name} has {limit}"
            raise VerificationRejected(kind, message)


def _nvidia_resources(compiled: Any, report: str, target: Target) -> Resources:
    metadata = compiled.metadata
    return Resources(
        registers=_figure(r"Used (\d+) registers", report),
        shared=metadata.shared or 0,
        spills=_figure(r"(\d+) bytes spill stores", report),
        threads=metadata.num_warps * target.warp_size,
        tensor_memory=metadata.tmem_size or 0,
    )


def _amd_resources(compiled: Any, _report: str, target: Target) -> Resources:
    metadata, assembly = compiled.metadata, compiled.asm["amdgcn"]
    return Resources(
        registers=_figure(r"\.vgpr_count:\s+(\d+)", assembly),
        shared=max(metadata.shared or 0, _figure(r"\.group_segment_fixed_size:\s+(\d+)", assembly)),
        spills=4 * _figure(r"\.vgpr_spill_count:\s+(\d+)", assembly),
        threads=metadata.num_warps * target.warp_size,
        tensor_memory=0,
    )


def _figure(pattern: str, text: str) -> int:
    """The largest number that the pattern finds.

    Raises:
        VerificationRejected: ``no_resource_report`` if it finds none, so that a compiler whose
            report changed is not taken for one that uses nothing.
    """
    found = [int(number) for number in re.findall(pattern, text)]
    if not found:
        message = f"the compiler's report has no {pattern!r}; see builder/verify/seams.py"
        raise VerificationRejected("no_resource_report", message)
    return max(found)
