"""The step of ``bench programs``, as workers run it: a run of seeds, examined one by one."""

from __future__ import annotations

import math
import time
from typing import Any

import torch

from builder.bench.programs.recheck import faults
from builder.config import Limits
from builder.errors import Rejected
from builder.pipeline.steps import in_stage
from builder.programs.gates import check
from builder.programs.load import load_program
from builder.programs.structure import structure_of
from builder.programs.synthesise import nodes_of, synthesise

STAGES = ("draw", "gates", "structure")


@in_stage("programs")
def examine(payload: dict[str, Any]) -> dict[str, Any]:
    """Draws, loads and checks programs.

    Args:
        payload: ``root_seed``, ``start`` and ``stop`` of the indices, ``families``, and
            ``rechecked``: the first indices, below which what passes is checked another way.

    Returns:
        ``programs``, one for each index, and ``seconds``, core-seconds by stage.
    """
    torch.set_num_threads(1)
    spent = dict.fromkeys(STAGES, 0.0)
    families = tuple(payload["families"])
    found = []
    for index in range(payload["start"], payload["stop"]):
        one = _examined(payload["root_seed"], index, families, spent)
        if one["kind"] is None and index < payload["rechecked"]:
            one["faults"] = faults(one.pop("loaded"), one["set"])
        one.pop("loaded", None)
        found.append(one)
    return {"programs": found, "seconds": spent}


def _examined(
    root_seed: int, index: int, families: tuple[str, ...], spent: dict[str, float]
) -> dict[str, Any]:
    started = time.process_time()
    program = synthesise(root_seed, index, families)
    drawn = time.process_time()
    spent["draw"] += drawn - started
    found: dict[str, Any] = {"source": program.source, "level": program.level, "kind": None}
    try:
        loaded = load_program(program.python_code, program.entry_point, f"program {index}")
        report = check(loaded, Limits(), strict=True, nodes=nodes_of(program), is_drawn=True)
    except Rejected as error:
        return found | {"kind": error.kind, "message": error.message}
    finally:
        spent["gates"] += time.process_time() - drawn
    passed = time.process_time()
    structure = report.structure or structure_of(loaded, report.probed)
    spent["structure"] += time.process_time() - passed
    return found | {
        "loaded": loaded,
        "set": report.probed,
        "calls": structure.calls,
        "pairs": structure.pairs,
        "fingerprint": structure.fingerprint,
        "polymorphic": loaded.num_variants > 0,
        "dtypes": program.dtypes,
        "elements": max(map(math.prod, report.input_shapes), default=0),
        "outputs": len(report.output_shapes),
    }
