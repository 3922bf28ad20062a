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


@pytest.mark.parametrize(
    ("variant", "target", "least"),
    [
        ("tf32", "hip:gfx942", "cuda:80"),
        ("descriptors", "cuda:89", "cuda:90"),
        ("descriptors", "hip:gfx950", "cuda:90"),
    ],
)
def test_a_target_without_the_hardware_is_refused(variant, target, least):
    with pytest.raises(CaptureRejected, match=f"variant {variant} needs {least} or") as caught:
        kernels(variant, target=TARGETS[target])
    assert caught.value.kind == "variant_target"


def test_descriptors_and_shared_launches():
    assert "tl.make_tensor_descriptor(" in kernels("descriptors")[0].source

    class Apart(nn.Module):
        def forward(self, x, y):
            return x.sin(), y.cos()

    shared = kernels("combo", Apart(), [torch.randn(30), torch.randn(41)])
    assert [kernel.kind for kernel in shared] == ["foreach"]
    assert shared[0].combo["num_kernels"] == 2
