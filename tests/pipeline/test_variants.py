"""Variants of one program: a row for each that differs, a rejection for each that does not."""

import pytest

from builder.capture.variants import VARIANTS
from builder.cli.options import variant_names
from builder.config import BuildConfig
from builder.dataset.read import read_rejections, read_rows
from builder.errors import CaptureRejected, RewriteRejected, UsageError
from builder.pipeline.build import build
from builder.pipeline.streams import FileStream, SeedStream
from builder.pipeline.variants import distinct, kernels_and_launchers
from builder.programs.program import Program
from builder.rewrite import TritonModule
from tests.cli.command import torch2triton

NAMES = ("default", "looped", "flat", "unfused")
PROGRAM = '''
import torch
from torch import nn

class Scores(nn.Module):
    """A product and its softmax."""

    def forward(self, x, y):
        return torch.softmax(x @ y, -1)

def get_inputs():
    return [torch.randn(33, 48), torch.randn(48, 70)]
'''


def module_of(text):
    return TritonModule(text=text, kernel_names=(), kernel_kinds=())


def test_a_variant_is_compared_with_those_before_it():
    texts = {
        "default": "def k():\n    return 1",
        "looped": "def k(): return 2",
        "flat": "def k():\n\n    return 2\n",
    }

    def make(variant):
        return variant.name, module_of(texts[variant.name])

    chosen = [VARIANTS[name] for name in texts]
    assert distinct(make, chosen[:1])[0] == "default"
    assert distinct(make, chosen[:2])[0] == "looped"
    with pytest.raises(CaptureRejected, match="variant flat gives the kernels of variant looped"):
        distinct(make, chosen)


def test_a_variant_that_fails_names_itself_and_others_do_not_count():
    def make(variant):
        if variant.name == "default":
            raise RewriteRejected("unknown_grid", "kernel k: no launcher")
        return variant.name, module_of("def k(): pass")

    pair = [VARIANTS["default"], VARIANTS["looped"]]
    assert distinct(make, pair)[0] == "looped"
    with pytest.raises(RewriteRejected, match=r"^kernel k"):
        distinct(make, pair[:1])
    with pytest.raises(RewriteRejected, match=r"^variant looped: kernel k") as caught:
        distinct(lambda _: make(VARIANTS["default"]), pair)
    assert caught.value.kind == "unknown_grid"


def test_constants_of_a_launch_count_and_the_class_does_not():
    text = "def launch():\n    XBLOCK = {}\n\n\nclass New:\n    size = {}\n"
    functions = kernels_and_launchers(text.format(8, 8))
    assert functions == kernels_and_launchers(text.format(8, 9))
    assert functions != kernels_and_launchers(text.format(16, 8))


def test_each_program_comes_in_every_variant():
    config = BuildConfig(pairs=4, out="unused", seed=5, variants=("default", "looped"))
    stream = SeedStream(config)
    jobs = [stream.job(index) for index in range(4)]
    assert [job.payload["index"] for job in jobs] == [0, 0, 1, 1]
    assert [job.payload["variants"][-1] for job in jobs] == ["default", "looped"] * 2
    assert [stream.seed(index) for index in range(4)] == [0, 0, 1, 1]
    assert stream.source(2) == stream.source(3)


def test_names_of_the_command_line():
    assert variant_names(["looped, flat", "looped"]) == ("looped", "flat")
    with pytest.raises(UsageError, match="unknown variant lopped"):
        variant_names(["lopped"])


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    out = tmp_path_factory.mktemp("variants") / "out"
    program = Program(python_code=PROGRAM, entry_point="", source="file:s.py", seed=None)
    config = BuildConfig(pairs=len(NAMES), out=out, variants=NAMES, workers=1)
    build(config, FileStream(config, [program]), lambda _: None)
    return out


def test_a_row_for_each_variant_that_differs(converted):
    rows = {row["variant"]: row for row in read_rows(converted)}
    assert set(rows) == {"default", "looped", "unfused"}
    assert len({row["pair_id"] for row in rows.values()}) == 3
    assert len({row["program_fingerprint"] for row in rows.values()}) == 1
    assert "persistent_reduction" in rows["default"]["kernel_kinds"]
    assert "persistent_reduction" not in rows["looped"]["kernel_kinds"]
    (refused,) = read_rejections(converted)
    assert refused["kind"] == "same_kernels"
    assert refused["message"] == "variant flat gives the kernels of variant default"


def test_the_command_refuses_a_name_it_has_not(tmp_path):
    (tmp_path / "s.py").write_text(PROGRAM)
    result = torch2triton("convert", tmp_path / "s.py", "--out", tmp_path / "o", "--variants", "lo")
    assert result.returncode == 2
    assert "unknown variant lo; choose from default, looped" in result.stderr
