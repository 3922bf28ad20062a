"""Programs whose declared inputs are too large to run, and kernels too large to launch."""

import re
import resource
from dataclasses import asdict

import pytest
import torch

from builder.capture.targets import TARGETS
from builder.capture.variants import DEFAULT, VARIANTS
from builder.config import Limits
from builder.dataset.schema import make_row
from builder.errors import ProgramRejected, RewriteRejected
from builder.pipeline import making, stages
from builder.pipeline.making import Maker
from builder.programs.load import load_program

H100 = TARGETS["cuda:90"]

CHAIN = """
import torch
from torch import nn


class Chain(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(256))

    def forward(self, x, y):
        h = torch.tanh(x * self.scale) + y.t() * torch.tensor([0.5, 2.0]).sum()
        return torch.sigmoid(h) * x


def make_inputs(n):
    return [torch.randn(n, 256), torch.randn(256, n)]


def get_inputs():
    return make_inputs(1 << 22)


def get_shape_variants():
    return [lambda: make_inputs(64), lambda: make_inputs(33), lambda: make_inputs(17)]
"""

DECLARED = "[4194304, 256]; [256, 4194304]"


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def changed(text, old, new):
    assert old in text
    return text.replace(old, new)


def payload(python_code, mode="forward", variants=("default",)):
    program = {"python_code": python_code, "entry_point": "", "source": "file:x.py", "seed": None}
    return {
        "program": program,
        "targets": ["cuda:90", "hip:gfx942"],
        "variants": list(variants),
        "mode": mode,
        "style": "readable",
        "limits": asdict(Limits()),
        "draws": 6,
    }


def rejection(python_code, **options):
    return stages.convert_pair(payload(python_code, **options))["rejection"]


def test_four_gibibytes_become_a_pair_verified_on_the_variants():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    given = payload(CHAIN)
    made = stages.convert_pair(given)
    assert made["unrun"] == [None]
    assert made["capture"]["bytes_moved"] == 3 * 4 * 256 * (1 << 22) + 4 * 256
    done = stages.verify_pair(given | made)
    verdict = done["verdict"]
    assert verdict["unrun_shapes"] == [DECLARED]
    assert verdict["input_shapes"][:3] == ["[64, 256]; [256, 64]"] * 3
    assert DECLARED not in verdict["input_shapes"]
    assert verdict["compiled_targets"] == ("cuda:90", "hip:gfx942")
    row = make_row(**done)
    assert row["unrun_shapes"] == [DECLARED]
    assert row["shape_generic"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB

    again = given | {name: row[name] for name in ("python_code", "triton_code", "entry_point")}
    again |= {"shape_generic": True, "variant": "default", "unrun_shapes": row["unrun_shapes"]}
    verdict = stages.verdict_of_pair(again)["verdict"]
    assert verdict["verified"], verdict["reason"]
    assert verdict["unrun_shapes"] == (((1 << 22, 256), (256, 1 << 22)),)


def test_more_elements_than_32_bits_count_are_indexed_with_64():
    captured, triton = Maker(
        load_program(changed(CHAIN, "1 << 22", "1 << 24")), H100, 0, too_large=(None,)
    )(DEFAULT)
    assert re.search(r"(?s)_kernel\(.*\bn: tl\.int64.*num_rows: tl\.int64", triton.text)
    assert "to(tl.int64)" in triton.text
    assert not any("2147483647" in guard for guard in captured.sizes.guards)
    small = Maker(load_program(CHAIN), H100, 0, too_large=(None,))(DEFAULT)[1].text
    assert "to(tl.int64)" not in small
    assert ": tl.int64" not in small


def test_a_variant_that_is_too_large_is_not_run():
    code = changed(changed(CHAIN, "1 << 22", "70"), "make_inputs(17)", "make_inputs(1 << 22)")
    made = stages.convert_pair(payload(code))
    assert made["unrun"] == [2]
    assert made["capture"]["shape_generic"]
    verdict = stages.verify_pair(payload(code) | made)["verdict"]
    assert verdict["unrun_shapes"] == [DECLARED]
    assert verdict["input_shapes"][0] == "[70, 256]; [256, 70]"


def test_what_nobody_could_verify_is_too_large_and_says_why():
    without = CHAIN[: CHAIN.index("def get_shape_variants")]
    refused = rejection(without)
    assert refused["kind"] == "too_large"
    assert "get_shape_variants" in refused["message"]
    fixed = changed(
        CHAIN, "return torch", "h = h * 2 if x.shape[0] == 33 else h\n        return torch"
    )
    refused = rejection(fixed)
    assert (refused["stage"], refused["kind"]) == ("program", "too_large")
    assert "fixed_size: " in refused["message"]
    assert "x.shape[0]" in refused["message"]
    refused = rejection(CHAIN, mode="training")
    assert refused["kind"] == "too_large"
    assert "gradients" in refused["message"]


SHARED = """
import torch
from torch import nn


class Planes(nn.Module):
    def forward(self, x, y, z, w):
        return x.t() + y, z.t() * w


def make_inputs(n, m):
    sizes = (n, 2), (2, n), (m, 3), (3, m)
    return [torch.randint(-3, 3, size, dtype=torch.int8) for size in sizes]


def get_inputs():
    return make_inputs(COUNT, 500)


def get_shape_variants():
    return [lambda: make_inputs(40, 30), lambda: make_inputs(33, 7), lambda: make_inputs(5, 64)]
"""


def test_shared_launches_too_long_for_the_grid_are_made_for_the_declared_shape():
    captured, triton = Maker(load_program(changed(SHARED, "COUNT", "20000")), H100, 0)(
        VARIANTS["combo"]
    )
    assert captured.static_reason is None
    assert re.search(r"(?s)grid = \(.*cdiv\(num_rows, BLOCK_ROWS\)", triton.text)
    long = load_program(changed(SHARED, "COUNT", "1 << 24"))  # 65,536 blocks of 256 along y
    captured, triton = Maker(long, H100, 0)(VARIANTS["combo"])
    assert captured.static_reason.startswith("grid: ")
    assert "beyond CUDA's limits" in captured.static_reason
    assert not captured.sizes.free
    assert re.search(r"(?s)grid = \(.*, *\n? *2,?\s*\)", triton.text)


def test_kernels_of_any_size_that_cannot_be_written_are_made_for_the_declared_shape(monkeypatch):
    code = changed(CHAIN, "1 << 22", "70")
    theirs = making.triton_module

    def refuse(text, name, captured, *options):
        if captured.sizes.free:
            raise RewriteRejected("unknown_construct", "line 3 of Inductor's call: s0 = 1")
        return theirs(text, name, captured, *options)

    monkeypatch.setattr(making, "triton_module", refuse)
    captured, _ = Maker(load_program(code), H100, 0)(DEFAULT)
    assert captured.static_reason == "unknown_construct: line 3 of Inductor's call: s0 = 1"
    with pytest.raises(ProgramRejected, match="unknown_construct") as refused:
        Maker(load_program(CHAIN), H100, 0, too_large=(None,))(DEFAULT)
    assert refused.value.kind == "too_large"


def test_a_wrong_text_of_any_size_is_rejected_and_not_made_anew(monkeypatch):
    code = changed(CHAIN, "1 << 22", "70")
    given = payload(code)
    made = stages.convert_pair(given)
    text = made["capture"]["triton_code"]
    made["capture"]["triton_code"] = changed(text, "libdevice.tanh(", "libdevice.sinh(")
    refused = stages.verify_pair(given | made)["rejection"]
    assert (refused["stage"], refused["kind"]) == ("verify", "wrong_values")
