"""The figures of ``bench programs``, and the check that shares nothing with the gates."""

import json
import math
from xml.etree import ElementTree as ET

import pytest

from builder.bench.programs.bench import LEAST, MOST, missed
from builder.bench.programs.diversity import (
    divergence,
    growth,
    trace_counts,
    trigram_entropy,
    vendi,
)
from builder.bench.programs.pictures import bars, line
from builder.bench.programs.recheck import faults
from builder.programs.load import load_program
from tests.cli.command import torch2triton

PROGRAM = """
import torch
from torch import nn


class Program(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(8))

    def forward(self, x, y):
        return x * self.scale, (x + y).tanh()


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(4, 8), torch.randn(4, 8)]
"""


def found(old="", new=""):
    assert old in PROGRAM
    return faults(load_program(PROGRAM.replace(old, new), "Program", "program.py"))


def test_a_good_program_has_no_faults():
    assert found() == []


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("(x + y).tanh()", "x.tanh()", ["insensitive input 1"]),
        ("x * self.scale", "x", ["insensitive parameter scale"]),
        ("(x + y).tanh()", "torch.ones_like(x + y)",
         ["constant output 1", "insensitive input 1", "insensitive output 1"]),
        ("(x + y).tanh()", "(1e6 * (x + y)).sigmoid().mul(0).add(1)",
         ["constant output 1", "insensitive input 1", "insensitive output 1"]),
        ("(x + y).tanh()", "(x + y).log()", ["not finite output 1"]),
    ],
)  # fmt: skip
def test_planted_faults_are_found(old, new, wanted):
    assert found(old, new) == wanted


def test_divergence_is_none_for_equal_shares_and_one_for_disjoint_ones():
    assert divergence({"a": 1, "b": 3}, {"a": 10, "b": 30}) == pytest.approx(0.0)
    assert divergence({"a": 1}, {"b": 5}) == pytest.approx(1.0)
    assert divergence({"a": 1, "b": 1}, {"a": 1}) == pytest.approx(
        0.5 * (0.5 * math.log2(0.5 / 0.75) + 0.5 * math.log2(0.5 / 0.25))
        + 0.5 * math.log2(1 / 0.75)
    )
    assert divergence({}, {"a": 1}) == 1.0


def test_traces_are_of_forward_operators_in_place_ones_folded():
    counts = trace_counts()
    assert counts["add"] == 18243 + 3512 + 1
    assert not any("backward" in name or name.endswith("_") for name in counts)


def test_variety():
    assert vendi([[("a", "b")]] * 5) == pytest.approx(1.0)
    assert vendi([[(str(n), "b")] for n in range(5)]) == pytest.approx(5.0)
    assert trigram_entropy([["a", "b", "c"], ["a", "b", "d"]]) == pytest.approx(1.0)
    assert trigram_entropy([["a", "b"]]) == 0.0
    assert growth(["a", "b", "a", "c", "c"], 2) == [2, 3]


def test_figures_beyond_their_limits_are_named():
    good = {**LEAST, **MOST, "rechecked": {"not finite": 0, "constant": 0, "insensitive": 0}}
    assert missed(good) == []
    bad = good | {"yield": 0.69, "trace_divergence": 0.26}
    bad["rechecked"] = good["rechecked"] | {"constant": 2}
    assert missed(bad) == [
        "yield 0.69, at least 0.7",
        "trace_divergence 0.26, at most 0.25",
        "constant 2, none",
    ]


def test_the_command_reports_what_is_drawn():
    run = torch2triton(
        "bench", "programs", "--seeds", "6", "--recheck", "3", "--families", "layer_norm,softmax",
        "--workers", "1", "--format", "json",
    )  # fmt: skip
    assert run.returncode == 1  # two families are no variety
    result = json.loads(run.stdout)
    assert result["seeds"] == 6
    assert result["accepted"] >= 4
    assert result["largest_family_share"] >= 0.5
    assert result["rechecked"] == {
        "programs": 3, "not finite": 0, "constant": 0, "insensitive": 0, "faults": [],
    }  # fmt: skip
    assert sum(result["gates"].values()) == 6 - result["accepted"]
    assert 0 < result["trace_divergence"] < 1
    assert result["programs_per_second_per_core"] > 0


def test_workers_change_nothing_and_the_report_has_pictures(tmp_path):
    results = []
    for workers in ("1", "4"):
        run = torch2triton(
            "bench", "programs", "--seeds", "140", "--recheck", "0", "--families",
            "softmax,elementwise_graph", "--workers", workers, "--format", "json",
            "--html", str(tmp_path / f"{workers}.html"),
        )  # fmt: skip
        assert run.returncode == 1
        results.append(json.loads(run.stdout))
        assert results[-1].pop("programs_per_second_per_core") > 0
        assert set(results[-1].pop("core_seconds")) == {"draw", "gates", "structure"}
    assert results[0] == results[1]
    text = (tmp_path / "4.html").read_text()
    body = text[text.index("<table>") : text.index("</html>")]
    tree = ET.fromstring(f"<body>{body}</body>")
    assert len(tree.findall("svg")) >= 5
    names = [item.text for item in tree.iter("text")]
    assert {"family:softmax", "float32", "draw"} <= set(names)


def test_pictures_are_to_scale():
    tree = ET.fromstring(bars({"a < b": 50, "c": 100, "none": 0}))
    widths = [float(item.get("width")) for item in tree.iter("rect")]
    assert widths[0] == 2 * widths[1]
    assert widths[2] == 0
    assert [item.text for item in tree.iter("text")] == ["c", "100", "a < b", "50", "none", "0"]
    (curve,) = ET.fromstring(line([10, 20, 30])).iter("polyline")
    points = [tuple(map(float, point.split(","))) for point in curve.get("points").split()]
    assert points[1][0] - points[0][0] == points[2][0] - points[1][0]
    assert points[0][1] - points[1][1] == pytest.approx(points[1][1] - points[2][1], abs=0.11)


def test_a_report_in_a_folder_that_is_not_there_is_refused_at_once():
    run = torch2triton("bench", "programs", "--html", "/nowhere/at/all.html")
    assert run.returncode == 2
    assert "there is no folder /nowhere/at; create it first" in run.stderr


LOOKUP = """
import torch
from torch import nn


class Lookup(nn.Module):
    def forward(self, x, positions):
        return x[positions]


def get_inputs():
    return [torch.randn(2, 8), torch.randint(COUNT, (2,))]


def get_init_inputs():
    return []
"""


def test_indices_that_come_out_the_same_are_drawn_again():
    assert faults(load_program(LOOKUP.replace("COUNT", "2"))) == []
    same = LOOKUP.replace("torch.randint(COUNT, (2,))", "torch.tensor([1, 0])")
    assert faults(load_program(same)) == ["insensitive input 1"]
