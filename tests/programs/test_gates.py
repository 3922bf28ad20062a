import pytest

from builder.config import Limits
from builder.errors import ProgramRejected
from builder.programs.gates import check
from builder.programs.load import load_program
from builder.programs.value_gates import check_dependence
from tests.programs.gating import passed, program, rejection


def test_report():
    report = passed(
        "return {'y': self.layer(x), 'sums': [x.sum(), 3, None]}",
        init="self.layer = nn.Linear(3, 5, dtype=torch.bfloat16)",
        inputs="return [torch.randn(4, 3, dtype=torch.bfloat16)]",
    )
    assert report.input_shapes == ((4, 3),)
    assert report.output_shapes == ((4, 5), ())
    assert report.output_dtypes == ("bfloat16", "bfloat16")
    assert 2 * 4 * 3 * 5 <= report.flops <= 2 * 4 * 3 * 5 + 50
    assert report.bytes >= 2 * (4 * 3 + 3 * 5 + 5 + 4 * 5)
    assert report.variant is None


@pytest.mark.parametrize("value", ["'text'", "3", "None", "(x, object())", "x.to_sparse()", "[]"])
def test_not_tensors(value):
    assert rejection(f"return {value}").kind == "not_tensors"


@pytest.mark.parametrize(
    "value", ["x.log()", "x / 0", "x, x.masked_fill(x > 0, float('-inf'))", "(x * 0) / (x * 0)"]
)
def test_not_finite(value):
    error = rejection(f"return {value}")
    assert error.kind == "not_finite"
    assert "of 12 elements" in error.message


@pytest.mark.parametrize("value", ["x + NEXT.pop()", "F.dropout(x) + NEXT.pop()"])
def test_nondeterministic(value):
    error = rejection(f"return {value}", extra="NEXT = list(range(1000))")
    assert error.kind == "nondeterministic"


def test_nondeterministic_names_the_operation():
    error = rejection("return F.dropout(x) + NEXT.pop()", extra="NEXT = list(range(1000))")
    assert "bernoulli" in error.message


@pytest.mark.parametrize(
    "value",
    ["x + torch.rand(4, 3)", "F.dropout(x)", "x * torch.randn_like(x).sign()", "(x, F.dropout(x))"],
)
def test_random_programs_are_marked(value):
    assert passed(f"return {value}").stochastic


@pytest.mark.parametrize("value", ["x.sin()", "F.dropout(x, training=False)", "F.dropout(x, 0.0)"])
def test_others_are_not(value):
    assert not passed(f"return {value}").stochastic


@pytest.mark.parametrize(
    "value", ["torch.rand(4, 3)", "torch.rand_like(x)", "F.dropout(torch.ones_like(x))"]
)
def test_numbers_that_no_input_matters_to_are_constant(value):
    """A new draw changes such an output, but the same draw on other inputs does not."""
    assert rejection(f"return {value}").kind == "constant_output"


def test_an_input_beside_random_numbers_counts_by_itself():
    error = rejection(
        "return F.dropout(x) + torch.rand_like(y)",
        arguments="x, y",
        inputs="return [torch.randn(4, 3), torch.randn(4, 3)]",
    )
    assert error.kind == "ignores_input"
    assert "'y'" in error.message


def test_random_numbers_alone_are_no_dependence():
    with pytest.raises(ProgramRejected) as caught:
        check_dependence(load_program(program("return torch.rand_like(x)")))
    assert caught.value.kind == "constant_output"
    check_dependence(load_program(program("return F.dropout(x)")))


def test_inputs_off_the_seed_are_nondeterministic():
    inputs = "return [torch.randn(4, 3, generator=torch.Generator().manual_seed(NEXT.pop()))]"
    extra = "NEXT = list(range(1000))"
    assert rejection("return x * 2", inputs=inputs, extra=extra).kind == "nondeterministic"


@pytest.mark.parametrize(
    ("value", "output"),
    [("torch.ones_like(x)", "output "), ("(x, (x * 0 + 1))", r"output[1]"), ("x[:0]", "output ")],
)
def test_constant_output(value, output):
    error = rejection(f"return {value}")
    assert error.kind == "constant_output"
    assert output in error.message


@pytest.mark.parametrize(
    ("value", "passes"),
    [
        ("1 + 1e-7 * x", False),
        ("(1 + 1e-3 * x).bfloat16()", False),
        ("1 + 1e-2 * x", True),
        ("x", True),
    ],
)
def test_a_strict_gate_refuses_one_value_give_or_take_rounding(value, passes):
    text = program(f"return {value}", inputs="return [torch.randn(40, 30)]")
    if passes:
        check_dependence(load_program(text), strict=True)
        return
    with pytest.raises(ProgramRejected) as caught:
        check_dependence(load_program(text), strict=True)
    assert caught.value.kind == "constant_output"
    assert "nearly one value everywhere" in caught.value.message


def test_inputs_that_never_change_make_constant_outputs():
    assert rejection("return x.exp()", inputs="return [torch.ones(4)]").kind == "constant_output"


def test_ignored_input_is_named():
    error = rejection(
        "return x * 2", inputs="return [torch.randn(4), torch.randn(4)]", arguments="x, residual"
    )
    assert error.kind == "ignores_input"
    assert "input 'residual'" in error.message


def test_ignored_mask_and_labels_are_named():
    error = rejection(
        "return x * 2",
        inputs="return [torch.randn(4), torch.rand(4) < 0.5, torch.randint(9, (4,))]",
        arguments="x, mask, labels",
    )
    assert "input 'mask', input 'labels'" in error.message


def test_ignored_element_of_a_container_is_named():
    error = rejection(
        "return x[0] * 2", inputs="return [[torch.randn(4), torch.randn(4)]]", arguments="x"
    )
    assert "input 'x[1]'" in error.message


@pytest.mark.parametrize("count", [1, 6])
def test_ignored_parameter_is_named(count):
    init = "self.p = nn.ParameterList([nn.Parameter(torch.randn(3)) for _ in range(COUNT)])"
    error = rejection(
        "return x * 2" if count == 1 else "return x * (self.p[0] + self.p[1] + sum(self.p[3:]))",
        init=init.replace("COUNT", str(count)),
    )
    assert error.kind == "ignores_input"
    assert f"parameter 'p.{0 if count == 1 else 2}'" in error.message


def test_no_tensor_input():
    error = rejection("return self.w * x", inputs="return [3]", init="self.w = torch.ones(3)")
    assert error.kind == "ignores_input"


@pytest.mark.parametrize(
    ("forward", "inputs", "arguments"),
    [
        ("return x[index]", "return [torch.randn(9, 2), torch.arange(4)]", "x, index"),
        ("return x * mask", "return [torch.randn(4), torch.ones(4).bool()]", "x, mask"),
        ("return x * w", "return [torch.randn(4), torch.ones(4)]", "x, w"),
        ("return x * flag.sum()", "return [torch.randn(4), torch.tensor(True)]", "x, flag"),
        ("return x + (y > 2.9)", "return [torch.randn(4), torch.randn(4)]", "x, y"),
    ],
)
def test_inputs_that_matter_pass(forward, inputs, arguments):
    assert passed(forward, inputs=inputs, arguments=arguments).output_shapes


def test_parameters_that_are_not_differentiable_count():
    init = (
        "self.w = nn.ParameterList("
        "[nn.Parameter(torch.randint(-9, 9, (3,)), requires_grad=False) for _ in range(5)])"
    )
    assert passed("return x * sum(self.w)", init=init).output_shapes == ((4, 3),)


def test_parameters_stay_as_they_were():
    loaded = load_program(program("return x + self.w", init="self.w = nn.Parameter(torch.ones(3))"))
    check(loaded)
    assert loaded.make_module().w.requires_grad


def test_forward_that_writes_to_its_input_passes():
    assert passed("return x.add_(1) * 2").output_shapes == ((4, 3),)


@pytest.mark.parametrize(
    ("inputs", "arguments", "paths"),
    [
        ("y = torch.randn(4); return [y, y]", "x, y", "input[0] and input[1]"),
        ("y = torch.randn(4); return [[y, y.clone()], y]", "x, y", "input[0][0] and input[1]"),
    ],
)
def test_one_tensor_as_two_inputs(inputs, arguments, paths):
    error = rejection("return y * 2", inputs=inputs, arguments=arguments)
    assert error.kind == "aliased_inputs"
    assert paths in error.message
    assert "a tensor of its own" in error.message


STRICT = {
    "bias before a softmax": "torch.softmax(x + self.p.sum(), -1)",
    "scale before a norm": "F.normalize(x * self.p.sum().exp(), dim=-1)",
    "what saturates": "torch.tanh(x * 1e-3 + 50 + self.p)",
    "what a large sum swallows": "x * 1e4 + self.p * 1e-2",
    "noise of rounding": "(x + self.p.mean()).std(-1)",
}


@pytest.mark.parametrize("text", STRICT.values(), ids=STRICT.keys())
def test_a_strict_gate_asks_for_more_than_noise(text):
    init = "self.p = nn.Parameter(torch.randn(3))"
    loaded = load_program(program(f"return {text}", init=init))
    with pytest.raises(ProgramRejected, match=r"no output depends on parameter 'p'|one value"):
        check(loaded, strict=True)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_strict_gate_lets_narrow_types_pass_and_leaves_the_module_alone(dtype):
    init = (
        "self.f = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.LayerNorm(8))\n"
        f"        self.to(torch.{dtype})"
    )
    text = program("return self.f(x)", f"return [torch.randn(16, 8, dtype=torch.{dtype})]", init)
    report = check(load_program(text), strict=True)
    assert report.output_dtypes == (dtype,)


def test_inputs_that_are_drawn_from_elsewhere_are_found_though_they_are_kept():
    text = program("return x * self.s", "return [torch.randn(4, 3) + next(COUNT)]", "self.s = 2.0")
    text = "import itertools\nCOUNT = itertools.count()\n" + text
    with pytest.raises(ProgramRejected, match="two runs on the same seed differ"):
        check(load_program(text))


def test_a_module_that_a_set_has_written_to_is_not_used_for_the_next():
    init = "self.register_buffer('seen', torch.zeros(0))"
    forward = (
        "assert self.seen.numel() in (0, len(x))\n"
        "        self.seen = x[:, 0].clone()\n        return x * 2"
    )
    extra = (
        "def get_shape_variants():\n"
        "    return [lambda: [torch.randn(2, 3)], lambda: [torch.randn(3, 3)]]"
    )
    assert check(load_program(program(forward, init=init, extra=extra))).probed == 0


def test_only_of_a_drawn_program_one_input_set_stands_for_all():
    text = program(
        "return x * torch.arange(3.0)",
        extra="def get_shape_variants():\n    return [lambda: [torch.randn(2, 5)]]",
    )
    mutant = load_program(
        text.replace("torch.randn(2, 5)]]", "torch.randn(2, 3)], lambda: [torch.randn(9, 5)]]")
    )
    with pytest.raises(ProgramRejected) as caught:
        check(mutant, strict=True)
    assert "get_shape_variants" in str(caught.value) or caught.value.kind == "forward_error"
    assert check(mutant, strict=True, is_drawn=True).probed == 0


def test_sets_of_as_many_elements_in_other_proportions_are_measured():
    inputs = "return [torch.randn(512, 8, 16)]"
    variants = """

def get_shape_variants():
    return [lambda: [torch.randn(1, 4096, 16)], lambda: [torch.randn(512, 8, 8)]]
"""
    text = program("return (x @ x.transpose(1, 2)).softmax(-1).sum(-1)", inputs=inputs) + variants
    limits = Limits(work_bytes=16 << 20)
    assert check(load_program(text), limits).too_large == (0,)
