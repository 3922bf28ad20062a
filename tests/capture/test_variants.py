"""The variant table: every setting exists, and changes the code as it says."""

import pytest
import torch
import torch._inductor.config as inductor_config
import torch.nn.functional as F
from torch import nn

from builder.capture.capture import capture
from builder.capture.targets import TARGETS
from builder.capture.variants import DEFAULT, VARIANTS, dot_precision_of, resolve_variants
from builder.errors import CaptureRejected, UsageError

H100 = TARGETS["cuda:90"]


class Norm(nn.Module):
    def forward(self, x):
        return F.gelu(F.layer_norm(x, (300,)))


class Product(nn.Module):
    def forward(self, x, y):
        return x @ y


def kernels(variant, module=None, inputs=None, target=H100):
    inputs = inputs or [torch.randn(64, 300)]
    captured = capture(module or Norm(), inputs, target, variant=VARIANTS[variant])
    assert captured.variant == variant
    return captured.kernels


@pytest.mark.parametrize("name", list(VARIANTS))
def test_every_setting_is_one_of_inductors(name):
    variant = VARIANTS[name]
    assert variant.name == name
    assert variant.changes
    known = inductor_config.get_config_copy()
    assert set(variant.settings) <= set(known)
    changed = {key for key, value in variant.settings.items() if known[key] != value}
    assert changed == set(variant.settings), "a setting that is the default says nothing"


def test_names_resolve_in_order_and_all_means_each():
    assert [v.name for v in resolve_variants(["flat", "default", "flat"])] == ["flat", "default"]
    assert [v.name for v in resolve_variants(["all"])] == list(VARIANTS)
    assert next(iter(VARIANTS)) == DEFAULT.name


@pytest.mark.parametrize("names", [["lopped"], []])
def test_unknown_names_list_the_known_ones(names):
    with pytest.raises(UsageError, match=r"variant .*; choose from default, looped, .*all"):
        resolve_variants(names)


def test_a_reduction_holds_its_row_or_loops_over_it():
    assert [k.kind for k in kernels("default")] == ["persistent_reduction"]
    assert [k.kind for k in kernels("looped")] == ["reduction"]


def test_an_unsplit_reduction_is_one_kernel():
    tall = [torch.randn(8192, 64)]

    class Columns(nn.Module):
        def forward(self, x):
            return x.sum(0)

    assert len(kernels("default", Columns(), tall)) == 2
    assert len(kernels("unsplit", Columns(), tall)) == 1


def test_steps_share_no_kernel():
    assert len(kernels("default")) == 1
    assert len(kernels("unfused")) > 3


def test_block_pointers_reach_memory():
    assert "tl.make_block_ptr(" not in kernels("default")[0].source
    assert "tl.make_block_ptr(" in kernels("block_pointers")[0].source


def test_tilings_have_other_dimensions():
    class Transposed(nn.Module):
        def forward(self, x, y):
            return x.t() + y

    inputs = [torch.randn(256, 512), torch.randn(512, 256)]
    assert kernels("flat", Transposed(), inputs)[0].grid_type == "Grid1D"
    assert kernels("tiled", Transposed(), inputs)[0].grid_type == "Grid2D"


def test_products_take_another_tile_and_tf32_is_asked_for():
    inputs = [torch.randn(256, 512), torch.randn(512, 640)]
    default, other, rounded = (
        kernels(name, Product(), inputs)[0] for name in ("default", "tiles", "tf32")
    )
    assert "ALLOW_TF32 : tl.constexpr = False" in default.source
    assert "ALLOW_TF32 : tl.constexpr = True" in rounded.source
    assert "ALLOW_TF32 : tl.constexpr = False" in other.source
    assert other.source != default.source
    assert (dot_precision_of("tf32"), dot_precision_of("looped")) == ("tf32", "ieee")
    assert dot_precision_of("somebody's own") == "ieee"


@pytest.mark.parametrize("precision", ["none", "ieee", "tf32"])
def test_the_precision_of_the_process_does_not_matter_and_is_left(precision):
    flags = (torch.backends.cudnn.conv, torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [flag.fp32_precision for flag in flags]
    inputs = [torch.randn(2, 16, 9, 9), torch.randn(32, 16, 3, 3)]

    class Convolution(nn.Module):
        def forward(self, x, weight):
            return F.conv2d(x, weight)

    try:
        torch.backends.cuda.matmul.fp32_precision = precision
        for name, allowed in (("default", False), ("tf32", True)):
            kernel = next(k for k in kernels(name, Convolution(), inputs) if k.kind == "template")
            assert f"ALLOW_TF32 : tl.constexpr = {allowed}" in kernel.source
        assert torch.backends.cuda.matmul.fp32_precision == precision
        assert [flag.fp32_precision for flag in flags[:2]] == before[:2]
    finally:
        torch.backends.cuda.matmul.fp32_precision = before[2]


@pytest.mark.parametrize("target", ["hip:gfx942"])
def test_a_target_without_the_hardware_is_refused(target):
    with pytest.raises(CaptureRejected, match="variant tf32 needs cuda:80 or newer") as caught:
        kernels("tf32", Product(), [torch.randn(32, 32)] * 1, TARGETS[target])
    assert caught.value.kind == "variant_target"
