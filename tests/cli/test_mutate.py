"""Mutants through the commands: as files, and as pairs."""

import json
from pathlib import Path

from builder.dataset.read import read_rejections, read_rows
from tests.cli.command import torch2triton

SEEDS = Path(__file__).parents[2] / "data" / "seeds"
CHOSEN = [SEEDS / "softcapped_attention.py", SEEDS / "lion_update.py"]
BRANCHING = """import torch
from torch import nn


class Branching(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return torch.sin(x)
        return torch.cos(x)


def get_inputs():
    return [torch.randn(8, 20)]
"""


def test_mutants_are_files_with_their_history(tmp_path):
    branching = tmp_path / "branching.py"
    branching.write_text(BRANCHING)
    runs = []
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        ran = torch2triton(
            "mutate", *CHOSEN, branching, "--count", 9, "--seed", 4, "--out", out,
            "--workers", workers, "--format", "json",
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        told = json.loads(ran.stdout)
        assert told["mutants"] + told["rejections"] == 9
        assert told["mutants"] >= 5
        assert ran.stderr.count("branching.py, line 7: `if x.sum() > 0:` decides") == 3
        runs.append({path.name: path.read_text() for path in out.iterdir()})
    assert runs[0] == runs[1]
    told = [json.loads(line) for line in runs[0].pop("mutants.jsonl").splitlines()]
    assert {item["file"] for item in told} == set(runs[0])
    for item in told:
        assert item["edits"]
        assert item["license"] == "Apache-2.0"
        assert item["parent"].split("@")[0] in {path.name for path in CHOSEN}
    assert len(set(runs[0].values())) == len(runs[0]) >= 5


def test_a_build_of_mutants_records_their_parents(tmp_path):
    out = tmp_path / "out"
    ran = torch2triton("build", "--pairs", 3, "--from", CHOSEN[1], "--out", out, "--seed", 1)
    assert ran.returncode == 0, ran.stderr
    rows = read_rows(out)
    assert len(rows) == 3
    for row in rows:
        assert row["verified"]
        assert row["source"] == "file:lion_update.py"
        assert row["parent"].startswith("lion_update.py@")
        assert row["edits"]
        assert row["license"] == "Apache-2.0"
        assert row["family"] is None
    assert len({row["python_code"] for row in rows}) == 3
    assert all(item["source"] == "file:lion_update.py" for item in read_rejections(out))


def test_contradictory_sources_are_refused(tmp_path):
    out = tmp_path / "out"
    for arguments, words in (
        (("--from", CHOSEN[0], "--families", "softmax"), "leave one out"),
        (("--license", "MIT"), "--license is of the files of --from"),
        (("--from", tmp_path), "no Python file there"),
    ):
        ran = torch2triton("build", "--pairs", 1, "--out", out, *arguments)
        assert ran.returncode == 2
        assert words in ran.stderr
        assert not out.exists()
