"""Inputs that are not contiguous, or have heavy tails."""

from random import Random

import pytest
import torch

from builder.programs.draft import Draft
from builder.programs.layouts import vary_layout
from builder.programs.load import load_program
from builder.programs.render import render
from builder.programs.synthesise import synthesise

SHAPES = {"n": (24,), "n hidden": (24, 48), "n seq hidden": (24, 7, 48), "n c h w": (24, 6, 5, 9)}
SIZES = {"n": 24, "seq": 7, "hidden": 48, "c": 6, "h": 5, "w": 9}


def drawn(dims, seed, *lines):
    draft = Draft(Random(seed))
    draft.title(("Scaled",), "Scales.")
    for role in dims.split():
        draft.size(role, SIZES[role])
    x = draft.normal("tokens", dims, scale=1.5 if seed % 3 else 1.0)
    draft.forward(*(lines or (f"return {x} * 2.0",)))
    return draft, vary_layout(Random(seed), draft)


@pytest.mark.parametrize("dims", SHAPES)
def test_shapes_and_types_stay_and_layouts_or_tails_differ(dims):
    kinds = set()
    for seed in range(40):
        draft, found = drawn(dims, seed)
        assert found
        (x,) = load_program(render(draft), "Scaled").make_inputs(0)
        assert tuple(x.shape) == SHAPES[dims]
        assert x.dtype == getattr(torch, draft.dtype)
        plain = x.is_contiguous()
        last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
        heavy = plain and bool((x.float().abs() > 12).any())
        sliced = not plain and x.untyped_storage().nbytes() > x.nbytes
        kinds.add("heavy" if heavy else "sliced" if sliced else "last" if last else str(plain))
    wanted = {"n": {"True"}, "n c h w": {"last", "False", "sliced"}}.get(dims, {"False", "sliced"})
    assert kinds - {"heavy", "True"} == wanted - {"True"}
    assert kinds & {"heavy", "True"}


def test_what_asks_for_contiguous_tensors_is_left_alone():
    draft, found = drawn("n hidden", 3, "return tokens.view(-1)")
    assert not found
    assert draft.inputs[0].template.startswith(("torch.randn($n, $hidden", "(torch", "1.5", "(1.5"))


def test_a_share_of_the_stream_has_such_inputs():
    words = ("chunk(", ".mT", "channels_last", ".pow(3)", ").transpose(", "[..., :")
    texts = [synthesise(3, index).python_code for index in range(260)]
    inputs = [[line for line in text.splitlines() if "torch.randn(" in line] for text in texts]
    found = [any(word in line for line in lines for word in words) for lines in inputs]
    assert 0.08 < sum(found) / len(found) < 0.25
