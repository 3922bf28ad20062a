"""A random program through the commands: marked, verified again, and its faults found."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.dataset.read import read_rejections, read_rows
from tests.cli.command import torch2triton

PROGRAM = """import torch
import torch.nn.functional as F
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(60)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x):
        return {result}


def get_inputs():
    return [torch.randn(24, 60)]
"""

FILES = {
    "residual.py": PROGRAM.format(result="x + self.dropout(self.norm(x))"),
    "plain.py": PROGRAM.format(result="self.norm(x.sin())").replace("0.2", "0.0"),
    "alone.py": PROGRAM.format(result="self.norm(torch.rand_like(x))"),
    "order.py": PROGRAM.format(result="self.norm(x[torch.randperm(24)])"),
}  # fmt: skip


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("random")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    out = folder / "out"
    done = torch2triton("convert", folder, "--out", out, "--format", "quiet")
    assert done.returncode == 0, done.stderr
    return out


def test_random_rows_are_marked(converted):
    marks = {row["source"]: row["stochastic"] for row in read_rows(converted)}
    assert marks == {"file:plain.py": False, "file:residual.py": True}


def test_what_is_no_pair_says_why(converted):
    kinds = {row["source"]: row["kind"] for row in read_rejections(converted)}
    assert kinds == {"file:alone.py": "constant_output", "file:order.py": "unknown_random"}


def verdicts(row, tmp_path, *change):
    text = row["triton_code"]
    for old, new in change:
        assert old in text
        text = text.replace(old, new)
    file = tmp_path / "pairs.parquet"
    pq.write_table(pa.Table.from_pylist([row | {"triton_code": text}]), file)
    done = torch2triton("verify", file, "--format", "json")
    return done.returncode, json.loads(done.stdout)["failed"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ((), None),
        ((("tl.rand(seed, ", "tl.rand(seed + 1, "),), "wrong_values"),
        ((("random_seeds(seed, 1)", "random_seeds(None, 1)"),), "seed"),
    ],
)
def test_a_row_is_verified_again_from_its_text(converted, tmp_path, change, reason):
    row = next(row for row in read_rows(converted) if row["stochastic"])
    status, failed = verdicts(row, tmp_path, *change)
    assert status == (0 if reason is None else 1)
    assert [item["reason"].partition(":")[0] for item in failed] == ([reason] if reason else [])
