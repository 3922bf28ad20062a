import ast
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from random import Random

import pytest
import torch

from builder.errors import ProgramRejected
from builder.programs import draft as draft_module
from builder.programs import shapes
from builder.programs import synthesise as synthesis
from builder.programs.families import FAMILIES
from builder.programs.gates import check
from builder.programs.load import load_program
from builder.programs.measure import measure
from builder.programs.render import render
from builder.programs.rng import item_rng
from builder.programs.synthesise import draw_program, family_names, synthesise

SEEDS = range(2)
STOCHASTIC = ("attention_dropout", "dropout_residual", "noisy_sampling")
GRAPHS = tuple(name for name, family in FAMILIES.items() if family.is_steered)
DATA = Path(__file__).parent / "data"


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="module")
def families_alone():
    """What stands around a motif, and large sizes, have tests of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthesis, "SURROUNDED", 0.0)
        patch.setattr(synthesis, "LARGE_SHARE", 0.0)
        patch.setattr(synthesis, "LAYOUTS", 0.0)
        patch.setattr(synthesis, "CONFIGURED", 0.0)
        patch.setattr(synthesis, "SPLICED", 0.0)
        yield


def texts(name, count):
    return [draw_program(name, 0, i).python_code for i in range(count)]


def plain_texts(name, count):
    """The same programs without shape variants."""
    draft = FAMILIES[name].draft
    return [render(draft(item_rng(0, i, f"program:{name}")), variants=False) for i in range(count)]


def test_at_least_32_families():
    assert len(family_names()) >= 32


@pytest.mark.parametrize("name", [name for name in family_names() if name not in GRAPHS])
def test_programs_load_and_pass_the_gates(name):
    for seed in SEEDS:
        program = draw_program(name, 1, seed)
        loaded = load_program(program.python_code, program.entry_point)
        report = check(loaded)
        cost = measure(loaded)
        assert report.too_large == ()
        assert report.flops <= 1_000_000_000
        assert report.bytes <= 4 * 16_000_000
        assert cost.complete
        assert bool(cost.random) == report.stochastic == (name in STOCHASTIC)
        assert program.source == f"family:{name}"
        assert 1 <= program.level <= 4


@pytest.mark.parametrize("name", GRAPHS)
def test_most_random_graphs_pass_the_gates(name):
    kinds = []
    for seed in range(20):
        program = draw_program(name, 1, seed)
        try:
            check(load_program(program.python_code, program.entry_point))
        except ProgramRejected as error:
            kinds.append(error.kind)
    assert len(kinds) <= 5
    assert {*kinds} <= {"constant_output", "ignores_input", "not_finite"}


def test_each_family_is_drawn_as_often_as_its_share_says():
    shares = [family.share for family in FAMILIES.values()]
    assert max(shares) <= 0.08 * sum(shares)
    one_round = [synthesise(5, index).source for index in range(sum(shares))]
    for name, family in FAMILIES.items():
        assert one_round.count(f"family:{name}") == family.share
    named = ("softmax", "layer_norm")  # whose shares are 1
    assert {synthesise(5, index, named).source for index in range(2)} == {
        f"family:{name}" for name in named
    }


@pytest.mark.parametrize("name", family_names())
def test_declared_dtypes_are_those_of_the_tensors(name):
    program = draw_program(name, 2, 0)
    loaded = load_program(program.python_code, program.entry_point)
    held = [*loaded.make_inputs(0), *loaded.make_module().parameters()]
    found = {str(tensor.dtype).removeprefix("torch.") for tensor in held}
    assert found <= set(program.dtypes)


@pytest.mark.parametrize("name", family_names())
def test_programs_differ_from_seed_to_seed(name):
    assert len(set(texts(name, 40))) >= 39


@pytest.mark.parametrize("name", family_names())
def test_forward_names_no_device_and_no_attribute_is_idle(name):
    for text in texts(name, 10):
        assert not re.search(r"cuda|\"cpu\"|'cpu'", text)
        tree = ast.parse(text)
        forward = next(
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and node.name == "forward"
        )
        drawn = re.search(r"torch\.(rand|normal|bernoulli)", ast.unparse(forward))
        assert name in STOCHASTIC or not drawn
        attributes = re.findall(r"^ +self\.(\w+) = ", text, flags=re.MULTILINE)
        assert all(text.count(f"self.{name}") >= 2 for name in attributes), text


@pytest.mark.parametrize("written", [texts, plain_texts])
def test_programs_are_formatted_and_free_of_lint(tmp_path, written):
    for name in family_names():
        for i, text in enumerate(written(name, 10)):
            assert max(map(len, text.splitlines())) <= 100
            (tmp_path / f"{name}_{i}.py").write_text(text)
    ruff = [sys.executable, "-m", "ruff"]
    for command in (
        ["format", "--diff", "--isolated", "--line-length=100"],
        ["check", "--isolated", "--line-length=100", "--select=E,F,I,W,B,PIE"],
    ):
        done = subprocess.run(
            [*ruff, *command, tmp_path], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_family_that_the_documentation_shows_works():
    example = textwrap.dedent(draft_module.__doc__.split("For instance::\n")[1].split("\n``")[0])
    scope = {**vars(shapes), "Draft": draft_module.Draft, "Random": Random}
    exec(example.replace("@family(level=2)\n", ""), scope)
    written = {render(scope["scaled_tanh"](Random(seed))) for seed in range(5)}
    assert len(written) == 5
    for text in written:
        assert check(load_program(text)).output_shapes


def test_types_spellings_and_habits_vary():
    programs = [draw_program("layer_norm", 0, i) for i in range(60)]
    code = [program.python_code for program in programs]
    assert {dtype for p in programs for dtype in p.dtypes} == {"float32", "bfloat16", "float16"}
    assert len({program.entry_point for program in programs}) >= 4
    for spelling in (
        r"nn\.LayerNorm\(",
        r"F\.layer_norm\(",
        r"\.var\(",
        r"torch\.rsqrt\(",
        r'^    """',
        r"^import torch\.nn as nn$",
        r"^from torch import nn$",
        r"super\(\)\.__init__",
        r"super\(\w+, self\)\.__init__",
        r"x: torch\.Tensor",
        r"return \[\[\], \{",
        r"^[A-Z_]+ = \d+$",
        r"^[a-z_]+ = \d+$",
        r"\.half\(\)|\.to\(torch\.float16\)",
        r"dtype=torch\.float16",
    ):
        having = sum(bool(re.search(spelling, text, flags=re.MULTILINE)) for text in code)
        assert 0 < having < len(code), spelling


def test_most_programs_declare_shape_variants():
    code = [text for name in family_names() for text in texts(name, 3)]
    having = sum("get_shape_variants" in text for text in code)
    assert 0.6 * len(code) <= having < len(code)


def test_the_switch_changes_the_inputs_functions_alone():
    for name in family_names():
        for plain, varied in zip(plain_texts(name, 10), texts(name, 10), strict=True):
            assert "make_inputs" not in plain
            classes = [text[text.index("class ") :] for text in (plain, varied)]
            bodies = [re.split(r"\n\n\n", text)[0] for text in classes]
            assert bodies[0] == bodies[1]
            assert ("get_shape_variants" in varied) == (plain != varied)


def test_nearly_all_families_vary_shapes():
    having = [name for name in family_names() if "get_shape_variants" in "".join(texts(name, 5))]
    assert 10 * len(having) >= 9 * len(family_names())


@pytest.mark.parametrize("name", ["layer_norm", "softmax"])
def test_declared_variants_pass_the_gates(name):
    text = next(text for text in texts(name, 20) if "get_shape_variants" in text)
    loaded = load_program(text)
    assert loaded.num_variants == 3
    assert check(loaded).too_large == ()


def test_variants_are_three_different_sizes_one_of_them_odd():
    code = "".join(text for name in family_names() for text in texts(name, 3))
    blocks = re.findall(
        r"def get_shape_variants\(\):\n    return \[\n(.*?)\n    \]", code, re.DOTALL
    )
    assert len(blocks) > 50
    for block in blocks:
        sizes = [
            tuple(map(int, call.split(", "))) for call in re.findall(r"make_inputs\((.*?)\)", block)
        ]
        assert len(set(sizes)) == 3
        assert min(map(min, sizes)) >= 2
        assert any(all(n % 2 for n in one) for one in sizes)


def test_sizes_are_realistic_and_of_every_kind():
    sizes = [
        int(number)
        for i in range(4 * (len(family_names()) - len(GRAPHS)))
        for number in re.findall(r"\b\d{2,5}\b", synthesise(0, i).python_code)
    ]
    for kind in (
        [n for n in sizes if n & (n - 1) == 0],
        [n for n in sizes if n % 2],
        [n for n in sizes if n in {31, 127, 197, 257, 509, 577, 769, 1021, 2039}],
        [n for n in sizes if n in {768, 384, 1536, 3072}],
    ):
        assert len(kind) > 20


@pytest.mark.parametrize(
    ("file", "parameters"),
    [("relative_loss.py", []), ("layer_norm_beta_first.py", ["beta", "gamma"])],
)
def test_fixed_programs_pass_the_gates(file, parameters):
    loaded = load_program((DATA / file).read_text(), filename=file)
    check(loaded)
    assert list(loaded.make_module().state_dict()) == parameters


def test_fixed_programs_notice_swapped_arguments():
    loss = load_program((DATA / "relative_loss.py").read_text())
    module, (pred, target) = loss.make_module(), loss.make_inputs(0)
    assert not torch.allclose(module(pred, target), module(target, pred))
    norm = load_program((DATA / "layer_norm_beta_first.py").read_text())
    module, inputs = norm.make_module(), norm.make_inputs(0)
    before = module(*inputs)
    module.beta, module.gamma = module.gamma, module.beta
    assert not torch.allclose(before, module(*inputs), atol=0.1)
