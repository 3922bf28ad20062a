"""The Triton of a few programs, as it is shipped: what a change of the rewriter changes.

``UPDATE_GOLDEN=1 pytest tests/rewrite/test_golden.py`` writes the files anew; read the difference.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import triton

from builder.bench.readability import readability
from builder.capture.targets import resolve_targets
from builder.capture.variants import DEFAULT, VARIANTS
from builder.pipeline.making import Maker
from builder.programs.load import load_program
from builder.verify import verify

from .golden.programs import PROGRAMS

FOLDER = Path(__file__).parent / "golden"
WRITTEN_BY = ("2.13.0", "3.7.1", (3, 11))
"""Versions of torch, triton and Python (which prints syntax trees) whose texts the files hold."""

HOPPER = resolve_targets(("cuda:90",))


def made(name):
    entry_point, python_code, _ = PROGRAMS[name]
    loaded = load_program(python_code, entry_point, f"{name}.py")
    variant = VARIANTS["combo"] if name.endswith("combo") else DEFAULT
    return Maker(loaded, HOPPER[0], seed=1, differentiate="training" in name)(variant)


@pytest.mark.parametrize("name", PROGRAMS)
def test_golden(name):
    entry_point, python_code, kind = PROGRAMS[name]
    captured, triton_module = made(name)
    path = FOLDER / f"{name}.triton.py"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(triton_module.text)
    torch_version = torch.__version__.partition("+")[0]
    if (torch_version, triton.__version__, sys.version_info[:2]) == WRITTEN_BY:
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


INTERPRETED = """
import runpy, sys
import torch
from triton.runtime.driver import driver
from builder.execute.seams import InertDriver

driver._active = InertDriver()
program = runpy.run_path(sys.argv[1])
module = runpy.run_path(sys.argv[2])
arguments = program["get_init_inputs"]()
old = program[sys.argv[3]](*arguments)
new = module[sys.argv[3] + "New"](*arguments)
new.load_state_dict(old.state_dict())
torch.manual_seed(0)
inputs = program["get_inputs"]()
mine = [item.detach().clone() for item in inputs]
with torch.no_grad():
    torch.testing.assert_close(new(*mine), old(*inputs), rtol=1e-4, atol=1e-5)
"""


NUMPY = tuple(map(int, np.__version__.split(".")[:2]))
INTERPRETER_LOOPS = pytest.mark.skipif(
    triton.__version__.startswith("3.6") and NUMPY >= (2, 4),
    reason="Triton 3.6's interpreter makes a loop's bounds numbers in a way that numpy 2.4 refuses",
)


@pytest.mark.parametrize(
    "name",
    [
        "bias_gelu",
        pytest.param("rms_norm", marks=INTERPRETER_LOOPS),
        "running_mean",
        "momentum_step",
    ],
)
def test_a_module_without_library_functions_runs_under_tritons_interpreter(name, tmp_path):
    entry_point, python_code, _ = PROGRAMS[name]
    text = (FOLDER / f"{name}.triton.py").read_text()
    assert "libdevice" not in text
    program, module = tmp_path / "program.py", tmp_path / "module.py"
    # An interpreter takes a second for a few rows.
    for path, content in ((program, python_code), (module, text)):
        path.write_text(content.replace("make_inputs(256)", "make_inputs(3)"))
    done = subprocess.run(
        [sys.executable, "-c", INTERPRETED, str(program), str(module), entry_point],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
