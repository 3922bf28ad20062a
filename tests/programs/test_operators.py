"""Every operator of the registry works, in each of its spellings, and is what its name says."""

from dataclasses import replace
from random import Random

import pytest
import torch
from torch.testing._internal.common_methods_invocations import op_db

from builder.programs.compose.composer import Composer
from builder.programs.compose.graphs import PROBES
from builder.programs.compose.values import Sizes, Value
from builder.programs.draft import Draft
from builder.programs.operators import OPERATORS
from builder.programs.operators.registry import table

SETS = {
    "rows hidden": {"rows": (1024, 24, 47, 9), "hidden": (768,) * 4},
    "batch seq hidden": {"batch": (8, 2, 3, 5), "seq": (128, 24, 47, 9), "hidden": (512,) * 4},
    "batch channels height width": {
        "batch": (8, 2, 3, 5), "channels": (32,) * 4, "height": (28, 10, 11, 9),
        "width": (20, 10, 13, 8),
    },
}  # fmt: skip
DTYPES = ("float32", "bfloat16", "float16")
FIRST = {
    "positive": "torch.rand({}) + 0.1",
    "unit": "torch.rand({}) * 0.8 + 0.1",
    "mask": "torch.rand({}) < 0.5",
}


def composer(dims, dtype, seed=0):
    draft = Draft(Random(seed), (dtype,))
    for role, sizes in SETS[dims].items():
        draft.size(role, sizes[0])
        draft.varied[role] = sizes[1:]
    sizes = Sizes({role: (PROBES[role], *column) for role, column in SETS[dims].items()})
    return Composer(Random(seed), draft, sizes)


def applied(operator, dims, dtype, seed=0):
    """The composer and what the operator gives there; None where it does not fit."""
    made = composer(dims, dtype, seed)
    shapes = made.sizes.shapes(dims)
    torch.manual_seed(seed)
    text = FIRST.get(operator.takes[0], "torch.randn({})").format(shapes[0])
    kind = torch.bool if operator.takes[0] == "mask" else getattr(torch, dtype)
    drawn = [eval(text).to(kind) for _ in range(2)]
    first = made.enter(Value(drawn[0], drawn[1], tuple(shapes[1:]), "x"))
    if operator.theme == "join":
        other = made.enter(Value(drawn[1], drawn[0], tuple(shapes[1:]), "y"))
        return made, made.join(operator, (first, other))
    return made, made.apply(operator, first)


def spellings(operator):
    for text in operator.texts:
        yield replace(operator, texts=(text,), modules=())
    for module in operator.modules:
        yield replace(operator, texts=(), modules=(module,))


@pytest.fixture(autouse=True)
def own_generator():
    with torch.random.fork_rng(devices=[]):
        yield


def test_the_registry_is_as_large_as_it_is_meant_to_be():
    assert len(OPERATORS) >= 150
    assert sum(len([*spellings(operator)]) for operator in OPERATORS.values()) > 350
    assert list(OPERATORS) == sorted(OPERATORS)


@pytest.mark.parametrize("name", OPERATORS)
def test_every_spelling_works_on_some_operand_of_every_type_that_it_takes(name):
    operator = OPERATORS[name]
    for spelling in spellings(operator):
        worked = {
            dtype
            for dtype in DTYPES
            for dims in SETS
            for seed in range(4)
            if applied(spelling, dims, dtype, seed)[1] is not None
        }
        wanted = set(DTYPES)
        if any("single" in need for need in operator.takes):
            wanted = {"float32"}
        elif operator.takes == ("narrow",):
            wanted = {"bfloat16", "float16"}
        assert wanted <= worked, spelling


@pytest.mark.parametrize("name", OPERATORS)
def test_shapes_are_those_that_the_program_gives(name):
    """What is believed of sizes is what the text gives on real tensors of those sizes."""
    operator = OPERATORS[name]
    dtype = "bfloat16" if operator.takes[0] == "narrow" else "float32"
    for dims, roles in SETS.items():
        made, value = applied(operator, dims, dtype)
        if value is None or not made.nodes[-1].text.startswith("{"):
            continue
        node = made.nodes[-1]
        for place in (1, 2, 3):
            text = node.text
            for role, sizes in roles.items():
                text = text.replace(f"${role}", str(sizes[place]))
            given = [
                torch.zeros(operand.shapes[place], dtype=operand.dtype) for operand in node.operands
            ]
            names = dict(zip("xyz", given, strict=False))
            code = text.format(x="x", y="y", z="z")
            found = eval(code, {"torch": torch, "F": torch.nn.functional}, names)
            assert tuple(found.shape) == value.shapes[place]


PLAIN = {info.name: info for info in op_db if not info.variant_test_name}


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, operator in OPERATORS.items()
        if name in PLAIN and operator.theme == "unary" and operator.takes != ("unit",)
        if "clamp" not in name
    ],
)
def test_unary_operators_are_those_of_pytorchs_own_database(name):
    x = torch.linspace(0.05, 0.95, 97)
    texts = [text for text in OPERATORS[name].texts if "{" not in text.replace("{x}", "")]
    wanted = PLAIN[name].op(x)
    same = []
    for text in texts:
        found = eval(text.format(x="x"), {"torch": torch}, {"x": x})
        same.append(torch.allclose(found, wanted, rtol=1e-6))
    assert any(same) or not texts


def test_a_text_that_leaves_an_operand_out_is_refused():
    with pytest.raises(ValueError, match="does not name all operands"):
        table("binary", "float broad", {"lost": "torch.sin({x})"})
    with pytest.raises(ValueError, match="two operators"):
        table("unary", "float", {"sin": "torch.sin({x})"})
    assert "lost" not in OPERATORS


def test_what_says_nothing_is_not_kept():
    for text in (
        "{x} * 0.0",
        "torch.ones_like({x})",
        "{x} + 0.0",
        "torch.log(-{x}.abs())",
        "{x} > 9",
    ):
        operator = replace(OPERATORS["sin"], name="t", texts=(text,), modules=())
        made, value = applied(operator, "rows hidden", "float32")
        assert value is None, text
        assert not made.nodes
        assert not made.draft.inputs


def test_nothing_is_added_to_the_program_for_what_does_not_work_out():
    operator = replace(
        OPERATORS["add"], name="t", texts=("torch.cat([{x}[:2], {y}[:, :3]], dim=-2)",)
    )
    for seed in range(8):
        made, value = applied(operator, "rows hidden", "float32", seed)
        assert value is None
        assert not made.draft.inputs
        assert not made.draft.init_lines
