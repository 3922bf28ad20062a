"""Programs on fake tensors: nothing of their size is allocated, nothing fake is left behind."""

import resource

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

from builder.errors import ProgramRejected
from builder.programs.fake import fake_program, fake_tensors
from builder.programs.load import load_program
from builder.programs.measure import measure

TEXT = """
import torch
from torch import nn

TABLE = torch.arange(4.0)


class Shifted(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(4, 1 << 14)
        self.half()

    def forward(self, x):
        return self.proj(x + TABLE.half()), x.sum()


def get_inputs():
    return [torch.randn(1 << 24, 4).half()]


def get_shape_variants():
    return [lambda: [torch.randn(8, 4).half()]]
"""


def test_modules_and_inputs_are_fake_and_forward_runs_on_them():
    loaded = load_program(TEXT)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fake = fake_program(loaded)
    module, inputs = fake.make_module(), fake.make_inputs(0)
    with fake_tensors(fake.mode):
        rows, total = fake.run(module, inputs)
    assert rows.shape == (1 << 24, 1 << 14)
    assert rows.dtype == total.dtype == module.proj.weight.dtype == torch.float16
    assert fake.make_inputs(0, 0)[0].shape == (8, 4)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_the_loaded_program_stays_real():
    loaded = load_program(TEXT)
    fake = fake_program(loaded)
    assert isinstance(fake.namespace["TABLE"], FakeTensor)
    assert not isinstance(loaded.namespace["TABLE"], FakeTensor)
    assert nn.Module._apply is not None
    before = nn.Module._apply
    with fake_tensors():
        assert nn.Module._apply is not before
    assert nn.Module._apply is before
    assert not isinstance(torch.zeros(2), FakeTensor)


def test_what_asks_for_values_is_rejected():
    with pytest.raises(ProgramRejected):
        fake_program(load_program(TEXT.replace("(4.0)", "(4.0)\nSIZE = int(TABLE.sum())")))
    asking = TEXT.replace("self.half()", "self.half()\n        self.n = int(TABLE.sum())")
    with pytest.raises(ProgramRejected, match="correct get_init_inputs"):
        fake_program(load_program(asking)).make_module()


def test_measuring_tells_what_comes_out():
    cost = measure(load_program(TEXT))
    assert cost.complete
    assert cost.output_shapes == ((1 << 24, 1 << 14), ())
    assert cost.output_dtypes == ("float16", "float16")
    assert not cost.is_real
    small = TEXT.replace("1 << 14", "1 << 12")
    asking = small.replace("return self", "n = int(x.sum())\n        return self")
    cost = measure(load_program(asking))
    assert not cost.complete
    assert cost.output_shapes == ()


def test_a_small_set_is_measured_in_a_run_and_costs_the_same():
    small = TEXT.replace("1 << 14", "1 << 12")
    asking = small.replace("return self", "n = int(x.sum())\n        return self")
    real = measure(load_program(asking), 0)
    assert real.is_real
    assert real.complete
    assert real.output_shapes == ((8, 1 << 12), ())
    assert torch.isfinite(real.outputs[0]).all()
    plain = measure(load_program(small), 0)
    many = measure(load_program(small.replace("[torch.randn(8,", "[torch.randn(1 << 18,")), 0)
    assert not many.is_real
    assert many.flops - 5 == (plain.flops - 5) << 15  # the table is no larger
