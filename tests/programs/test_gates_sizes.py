"""What a program costs, and what is too large."""

import resource

import pytest

from builder.config import Limits
from builder.programs.load import load_program
from tests.programs.gating import passed, program, rejection


def test_too_many_operations():
    error = rejection(
        "return x @ x", inputs="return [torch.randn(64, 64)]", limits=Limits(work_flops=100_000)
    )
    assert error.kind == "too_large"
    assert "get_shape_variants" in error.message


@pytest.mark.parametrize(
    ("forward", "inputs", "init"),
    [
        ("return x.sum()", "return [torch.randn(1 << 20, 1 << 20)]", "pass"),
        ("return (x[:, None] * x).mean()", "return [torch.randn(1 << 20)]", "pass"),
        (
            "return self.w(x)",
            "return [torch.randn(4, 1 << 20)]",
            "self.w = nn.Linear(1 << 20, 1 << 20)",
        ),
    ],
)
def test_terabytes_are_rejected_without_allocating(forward, inputs, init):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert rejection(forward, inputs=inputs, init=init).kind == "too_large"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


VARIANTS = "def get_shape_variants():\n    return [lambda n=n: [torch.randn(n, n)] for n in (%s)]"


def test_a_smaller_variant_saves_a_large_program():
    report = passed(
        "return x.relu()",
        inputs="return [torch.randn(1 << 15, 1 << 15)]",
        extra=VARIANTS % "1 << 14, 8, 5",
    )
    assert report.variant == 1
    assert report.too_large == (None, 0)
    assert report.input_shapes == ((8, 8),)


def test_every_variant_is_run():
    error = rejection("return x[2] * 2", extra=VARIANTS % "4, 3, 2")
    assert error.kind == "forward_error"


def test_a_forward_that_needs_values_is_checked_for_real():
    report = passed("return x * (2 if x.sum() > 0 else 3)")
    assert report.output_shapes == ((4, 3),)


@pytest.mark.parametrize("cast", ["self.half()", "self.to(torch.bfloat16)"])
def test_casts_of_modules_are_measured(cast):
    from builder.programs.measure import measure

    init = f"self.f = nn.Sequential(nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5)); {cast}; self.eval()"
    dtype = "torch.half" if "half" in cast else "torch.bfloat16"
    inputs = f"return [torch.randn(2, 3, 4, 4, dtype={dtype})]"
    cost = measure(load_program(program("return self.f(x)", inputs=inputs, init=init)))
    assert cost is not None
    assert cost.complete


def test_fake_tensors_still_count_storages_and_random_operations():
    """Fails where torch moves the private parts that measure.py leans on."""
    from builder.programs.measure import measure

    text = program("return torch.rand_like(x).view(3, 4) + 1", inputs="return [torch.ones(4, 3)]")
    cost = measure(load_program(text))
    assert cost is not None
    assert cost.complete
    assert cost.random == ("rand_like",)
    assert cost.bytes == 3 * 48
    assert cost.flops == 24
