"""Training pairs from end to end: made, verified again, and refused where there is none."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.dataset.read import read_rejections, read_rows
from tests.cli.command import torch2triton
from tests.cli.test_convert import program

GOOD = program("return torch.tanh(x * self.weight)", "return [torch.randn(24, 200)]")
FIXED = GOOD.replace("torch.randn(200))", "torch.randn(200), requires_grad=False)")


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    (folder / "files").mkdir()
    (folder / "files" / "good.py").write_text(GOOD)
    (folder / "files" / "fixed.py").write_text(FIXED)
    done = torch2triton("convert", folder / "files", "--out", folder / "out", "--mode", "training")
    assert done.returncode == 0, done.stderr
    return folder / "out"


def test_a_file_becomes_a_training_pair(converted):
    (row,) = read_rows(converted)
    assert row["mode"] == "training"
    assert "class ModelFunction(torch.autograd.Function)" in row["triton_code"]
    assert row["original_triton_code"].count("async_compile.wait(globals())") == 2
    assert row["num_kernels"] == 2


def test_what_cannot_be_differentiated_is_a_rejection(converted):
    (rejection,) = read_rejections(converted)
    assert (rejection["stage"], rejection["kind"]) == ("program", "nothing_differentiable")
    assert "requires_grad_()" in rejection["message"]


def test_a_row_is_verified_again_by_its_mode(converted, tmp_path):
    (row,) = read_rows(converted)
    layout = "grad_output = grad_output.contiguous()"
    texts = [
        row["triton_code"].replace(layout, new)
        for new in (layout, "pass", "grad_output = torch.zeros_like(grad_output)")
    ]
    rows = [row | {"triton_code": text} for text in texts]
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    done = torch2triton("verify", path, "--draws", 2, "--format", "json")
    result = json.loads(done.stdout)
    assert done.returncode == 1
    assert (result["rows"], result["verified"]) == (3, 1)
