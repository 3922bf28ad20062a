"""Run as a process of its own by ``doctor``: tries torch, the GPU and each target's compiler.

Prints one JSON object a line, so that what was found before a crash of native code is known:
``{"targets": [...]}``, ``{"gpus": [...]}``, then ``{"target": name, "bytes": size}`` or
``{"target": name, "error": reason}``.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import triton
import triton.language as tl

from builder.capture.targets import TARGETS

if TYPE_CHECKING:
    from builder.capture.targets import Target


@triton.jit
def _add_one(source, result, count, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202, N803
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = index < count
    tl.store(result + index, tl.load(source + index, mask=inside) + 1.0, mask=inside)


def compile_for(target: Target) -> int:
    """Bytes of the object that a small kernel compiles to.

    Raises:
        RuntimeError: no object came out.
    """
    source = triton.compiler.ASTSource(
        _add_one,
        {"source": "*fp32", "result": "*fp32", "count": "i32", "BLOCK": "constexpr"},
        constexprs={"BLOCK": 128},
    )
    compiled = triton.compile(source, target=target.gpu_target)
    binary = compiled.asm.get("hsaco" if target.backend == "hip" else "cubin")
    if not binary:
        raise RuntimeError("the compiler gave no object")
    return len(binary)


def gpus() -> list[str]:
    """Names of the GPUs that torch can use."""
    import torch  # noqa: PLC0415 - the targets are tried even if torch cannot be imported

    if not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]


def main() -> None:
    """Prints what was found, line by line."""
    _say({"targets": list(TARGETS)})
    try:
        _say({"gpus": gpus()})
    except Exception as error:  # noqa: BLE001 - reported, whatever it is
        _say({"torch_error": f"{type(error).__name__}: {error}"})
    for name, target in TARGETS.items():
        _say({"target": name, **_tried(target)})


def _tried(target: Target) -> dict[str, Any]:
    try:
        return {"bytes": compile_for(target)}
    except Exception as error:  # noqa: BLE001 - reported, whatever it is
        return {"error": f"{type(error).__name__}: {error}"}


def _say(fact: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
