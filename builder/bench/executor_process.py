"""One step of the executor's measurement, in a process of its own.

``python -m builder.bench.executor_process STEP KERNEL FOLDER`` with a step of ``STEPS``.  The steps
meet in the folder: ``capture`` writes the Triton file, ``executor`` and ``interpreter`` run it on
equal inputs and each leaves its outputs and its figures.
"""

from __future__ import annotations

import importlib.util
import json
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from builder.bench.kernels import KERNELS, BenchKernel
from builder.programs.load import LoadedProgram, load_program

if TYPE_CHECKING:
    from types import ModuleType

    from torch import nn

#: Runs of the executor, each with a lowering of its own; the median is the figure.
RUNS = 5
_SEED = 0


def capture(kernel: BenchKernel, folder: Path) -> None:
    """Write the Triton file, captured as for a data set unless it is a written one."""
    text = kernel.triton_code or _captured(kernel)
    (folder / "triton.py").write_text(text, encoding="utf-8")


def _captured(kernel: BenchKernel) -> str:
    from builder.capture.capture import capture as capture_program  # noqa: PLC0415 - heavy
    from builder.capture.targets import TARGETS  # noqa: PLC0415
    from builder.rewrite import triton_module  # noqa: PLC0415

    program = _load(kernel)
    module, inputs = program.make_module(_SEED), program.make_inputs(_SEED)
    captured = capture_program(module, inputs, TARGETS["cuda:90"], seed=_SEED)
    arguments = program.constructor_arguments()
    return triton_module(kernel.python_code, program.entry_point, captured, arguments).text


def executor(kernel: BenchKernel, folder: Path) -> None:
    """Run on the executor, memory checks on; times are the median of ``RUNS``.

    Each run imports the text anew, so it includes Triton's front end, parsing and everything that
    a first launch does.  One small launch before, which loads Triton's libraries, is not counted.
    """
    from builder.execute import launches_on_cpu  # noqa: PLC0415 - not under the interpreter
    from builder.execute.lower import forget_programs  # noqa: PLC0415

    program = _load(kernel)
    _first_launch(folder)
    outputs: list[torch.Tensor] = []
    cold, warm = [], []
    for _ in range(RUNS):
        outputs.clear()
        forget_programs()
        module, inputs = _triton_module(program, folder)
        with launches_on_cpu():
            outputs[:], seconds = _timed(module, inputs)
            cold.append(seconds)
            outputs[:], seconds = _timed(module, inputs)
            warm.append(seconds)
    figures = {"seconds": statistics.median(cold), "warm_seconds": statistics.median(warm)}
    _leave(folder, "executor", outputs, figures)


def interpreter(kernel: BenchKernel, folder: Path) -> None:
    """Run once under ``TRITON_INTERPRET=1``."""
    from builder.bench.executor_interpreter import answer_library_calls  # noqa: PLC0415

    answer_library_calls()
    program = _load(kernel)
    module, inputs = _triton_module(program, folder)
    outputs, seconds = _timed(module, inputs)
    _leave(folder, "interpreter", outputs, {"seconds": seconds})


def _load(kernel: BenchKernel) -> LoadedProgram:
    return load_program(kernel.python_code, "Model", f"{kernel.name}.py")


def _triton_module(program: LoadedProgram, folder: Path) -> tuple[nn.Module, list[Any]]:
    """The Triton module with the program's state, and inputs; the same in every process."""
    module: nn.Module = _imported(folder / "triton.py").ModelNew()
    module.load_state_dict(program.make_module(_SEED).state_dict())
    return module, program.make_inputs(_SEED)


def _imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_SMALL = """\
import triton
import triton.language as tl


@triton.jit
def first_kernel(out_ptr, BLOCK: tl.constexpr):
    place = tl.arange(0, BLOCK)
    tl.store(out_ptr + place, place.to(tl.float32))
"""


def _first_launch(folder: Path) -> None:
    from builder.execute import run  # noqa: PLC0415

    path = folder / "first.py"
    path.write_text(_SMALL, encoding="utf-8")
    run(_imported(path).first_kernel, 1, torch.empty(16), BLOCK=16)


def _timed(module: nn.Module, inputs: list[Any]) -> tuple[list[torch.Tensor], float]:
    started = time.process_time()
    with torch.no_grad():
        out = module(*inputs)
    seconds = time.process_time() - started
    return list(out) if isinstance(out, (list, tuple)) else [out], seconds


def _leave(folder: Path, step: str, outputs: list[torch.Tensor], figures: dict[str, float]) -> None:
    torch.save([output.contiguous() for output in outputs], folder / f"{step}.pt")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    text = json.dumps(figures | {"peak_memory_bytes": peak})
    (folder / f"{step}.json").write_text(text, encoding="utf-8")


STEPS = {"capture": capture, "executor": executor, "interpreter": interpreter}


def main(step: str, name: str, folder: str) -> None:
    """Run a step of the kernel of that name."""
    torch.set_num_threads(1)
    kernel = next(kernel for kernel in KERNELS if kernel.name == name)
    STEPS[step](kernel, Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
