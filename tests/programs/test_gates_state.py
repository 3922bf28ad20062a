"""A forward changes no state but its buffers'."""

import pytest
import torch
from torch import nn

from tests.programs.gating import passed, rejection


def test_state_kept_in_globals_sees_no_fake_tensors():
    extra = "CACHE = {}"
    forward = "return x * CACHE.setdefault('w', torch.arange(3.0))"
    assert passed(forward, extra=extra).output_shapes == ((4, 3),)


STATE = {
    "self.step": ("self.step = 0", "self.step += 1; return x.sin() * self.step"),
    "self.cache": ("self.cache = []", "self.cache.append(x); return x * 2"),
    "self.last": ("pass", "self.last = x * 2; return self.last"),
    "self.mean": ("self.mean = torch.ones(3)", "self.mean = x.mean(0); return x - self.mean"),
    "self.total": ("self.total = torch.ones(3)", "self.total += 1; return x * self.total"),
    "self.seen": ("self.seen = {'n': [1, {2}]}", "self.seen['n'][1].add(3); return x * 2"),
    "self.flag": ("self.flag = True", "self.flag = 1; return x * 2"),
    "self.training": ("pass", "self.eval(); return x * 2"),
    "self.part.out_features": (
        "self.part = nn.Linear(3, 3)",
        "self.part.out_features += 1; return self.part(x)",
    ),
}


@pytest.mark.parametrize("name", STATE)
def test_changed_attributes_are_named(name):
    init, forward = STATE[name]
    error = rejection(forward, init=init)
    assert error.kind == "mutates_attributes"
    assert f"forward changes {name}, which" in error.message
    assert "in a buffer" in error.message


def test_a_changed_attribute_of_the_class_is_named():
    error = rejection(
        "self.cache.append(1); return x * 2", extra="Model.cache = [[]]; Model.cache.clear()"
    )
    assert error.kind == "mutates_attributes"
    assert "self.cache" in error.message


def test_a_deleted_attribute_is_named():
    error = rejection("del self.once; return x * 2", init="self.once = 3")
    assert error.kind == "mutates_attributes"


@pytest.mark.parametrize(
    ("init", "forward"),
    [
        ("self.f = nn.BatchNorm1d(3)", "return self.f(x)"),
        (
            "self.register_buffer('n', torch.zeros(())); self.held = [self.n]",
            "self.n += 1; return x * self.n",
        ),
        ("self.register_buffer('n', torch.ones(()))", "self.n = self.n + 1; return x * self.n"),
        ("self.f = nn.utils.weight_norm(nn.Linear(3, 4))", "return self.f(x)"),
        ("self.f = nn.LSTM(3, 4); self.nan = float('nan')", "return self.f(x)"),
        ("self.own = []; self.own.append(self.own)", "return x * 2"),
        ("self.table = torch.ones(3)", "return x * self.table"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_buffers_may_change_and_attributes_be_read(init, forward):
    assert passed(forward, init=init).output_shapes


def test_registries_and_write_counts_are_where_they_were():
    """Fails where torch moves the private parts that attributes.py leans on."""
    assert {"training", "_parameters", "_buffers", "_modules"} <= set(vars(nn.Module()))
    assert "_forward_pre_hooks" in vars(nn.Module())
    tensor = torch.zeros(3)
    before = tensor._version
    tensor[1:].add_(1)
    assert tensor._version == before + 1
