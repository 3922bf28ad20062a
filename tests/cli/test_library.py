"""Pairs with library calls from end to end: refused, or kept, labelled, held to the label."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.dataset.read import read_rejections, read_rows
from tests.cli.command import torch2triton
from tests.cli.test_convert import program

GOOD = program(
    "return torch.linalg.inv_ex(x * 0.1 + self.weight)[0].relu() + 1",
    "return [torch.randn(24, 5, 5)]",
).replace("torch.randn(200)", "9 * torch.eye(5)")


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    (folder / "good.py").write_text(GOOD)
    for choice in ("keep", "reject"):
        arguments = ("--out", folder / choice, "--library-calls", choice)
        torch2triton("convert", folder / "good.py", *arguments)
    return folder


def test_a_kept_call_is_labelled(converted):
    (row,) = read_rows(converted / "keep")
    assert row["triton_only"] is False
    assert row["fallback_ops"] == ["aten.linalg_inv_ex.default"]
    assert "torch.linalg.inv_ex(" in row["triton_code"]


def test_by_default_it_is_a_rejection_that_names_the_option(converted):
    (rejection,) = read_rejections(converted / "reject")
    assert (rejection["stage"], rejection["kind"]) == ("rewrite", "library_call")
    assert "--library-calls keep" in rejection["message"]


def test_a_row_is_verified_again_by_its_label(converted, tmp_path):
    (row,) = read_rows(converted / "keep")
    labels = (row["fallback_ops"], [], [*row["fallback_ops"], "aten.mm.default"])
    rows = [row | {"fallback_ops": label} for label in labels]
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    done = torch2triton("verify", path, "--draws", 1, "--format", "json")
    result = json.loads(done.stdout)
    assert (done.returncode, result["rows"], result["verified"]) == (1, 3, 1)
