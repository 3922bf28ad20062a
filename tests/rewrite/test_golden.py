"""The Triton of a few programs, as it is shipped: what a change of the rewriter changes.

``UPDATE_GOLDEN=1 pytest tests/rewrite/test_golden.py`` writes the files anew; read the difference.
"""

import os
from pathlib import Path

import pytest
import torch
import triton

from builder.bench.readability import readability
from builder.capture.targets import resolve_targets
from builder.capture.variants import DEFAULT
from builder.pipeline.making import Maker
from builder.programs.load import load_program
from builder.verify import verify

from .golden.programs import PROGRAMS

FOLDER = Path(__file__).parent / "golden"
WRITTEN_BY = ("2.13.0", "3.7.1")
"""Versions of torch and triton whose texts the files hold."""

HOPPER = resolve_targets(("cuda:90",))


def made(name):
    entry_point, python_code, _ = PROGRAMS[name]
    loaded = load_program(python_code, entry_point, f"{name}.py")
    return Maker(loaded, HOPPER[0], seed=1, differentiate="training" in name)(DEFAULT)


@pytest.mark.parametrize("name", PROGRAMS)
def test_golden(name):
    entry_point, python_code, kind = PROGRAMS[name]
    captured, triton_module = made(name)
    path = FOLDER / f"{name}.triton.py"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(triton_module.text)
    if (torch.__version__.partition("+")[0], triton.__version__) == WRITTEN_BY:
        assert triton_module.text == path.read_text()
    assert kind in triton_module.kernel_kinds
    figures = readability(triton_module.text)
    assert (figures.standalone, figures.leftover) == (True, ())
    verdict = verify(
        python_code,
        triton_module.text,
        entry_point,
        targets=HOPPER,
        draws=2,
        mode="training" if captured.backward else "forward",
        generic=bool(captured.sizes.free),
    )
    assert verdict.verified, verdict.reason
