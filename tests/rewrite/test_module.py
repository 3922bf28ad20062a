"""From program to standalone module, executed: what generators of such pairs get silently wrong."""

import ast

import pytest
import torch

from builder.capture.capture import capture
from builder.capture.generic import capture_any_size
from builder.capture.targets import TARGETS
from builder.errors import RewriteRejected
from builder.execute import launches_on_cpu
from builder.programs.load import load_program
from builder.rewrite import triton_module

H100 = TARGETS["cuda:90"]


def rewritten(python_code, tmp_path):
    """The loaded program, its Triton module's text and that module's namespace."""
    loaded = load_program(python_code)
    captured = capture(loaded.make_module(), loaded.make_inputs(0), H100)
    text = triton_module(python_code, loaded.entry_point, captured).text
    return loaded, text, namespace_of(text, tmp_path)


def namespace_of(text, tmp_path):
    path = tmp_path / "triton_code.py"
    path.write_text(text)
    namespace = {"__name__": "triton_code", "__file__": str(path)}
    exec(compile(text, str(path), "exec"), namespace)
    return namespace


def outputs_of_both(loaded, namespace, seed=1):
    old = loaded.make_module()
    args = loaded.namespace.get("get_init_inputs", list)()
    new = namespace[f"{loaded.entry_point}New"](*args)
    new.load_state_dict(old.state_dict())
    inputs = loaded.make_inputs(seed)
    with torch.no_grad(), launches_on_cpu():
        return old(*inputs), new(*inputs)


RELATIVE_LOSS = """
import torch
from torch import nn

class RelativeLoss(nn.Module):
    def forward(self, pred, target):
        return ((target - pred) / (1 + pred.abs())).mean()

def get_inputs():
    return [torch.randn(64, 96), torch.randn(64, 96)]
"""

BETA_FIRST = """
import torch
from torch import nn

class LayerNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.beta = nn.Parameter(torch.randn(width))
        self.gamma = nn.Parameter(torch.randn(width))

    def forward(self, x):
        centred = x - x.mean(-1, keepdim=True)
        variance = centred.square().mean(-1, keepdim=True)
        return centred * torch.rsqrt(variance + 1e-5) * self.gamma + self.beta

def get_inputs():
    return [torch.randn(33, 200)]

def get_init_inputs():
    return [200]
"""

STRUCTURED = """
import torch
from torch import nn

class Step(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(8))
        self.scale = nn.ParameterList([torch.full((8,), 2.0), torch.full((8,), 3.0)])

    def forward(self, state, x, *, power: int = 2, mask=None):
        state["m"].mul_(0.9).add_(x * self.scale[0])
        self.calls += x.sum(0)
        powers = x.clamp(min=0) ** power * self.scale[1]
        return {"out": [powers, state["m"]], "t": x.t(), "n": power}

def get_inputs():
    return [{"m": torch.randn(6, 8)}, torch.randn(6, 8)]
"""


@pytest.mark.parametrize("program", [RELATIVE_LOSS, BETA_FIRST])
def test_arguments_of_equal_shape_are_not_swapped(program, tmp_path):
    loaded, _, namespace = rewritten(program, tmp_path)
    old, new = outputs_of_both(loaded, namespace)
    torch.testing.assert_close(new, old, rtol=1e-5, atol=1e-5)


def test_nested_outputs_mutation_and_buffers(tmp_path):
    loaded, _, namespace = rewritten(STRUCTURED, tmp_path)
    old_module, new_module = loaded.make_module(), namespace["StepNew"]()
    new_module.load_state_dict(old_module.state_dict())
    old_inputs, new_inputs = loaded.make_inputs(3), loaded.make_inputs(3)
    with torch.no_grad(), launches_on_cpu():
        old, new = old_module(*old_inputs), new_module(*new_inputs)
    torch.testing.assert_close(new["out"], old["out"])
    torch.testing.assert_close(new_inputs[0]["m"], old_inputs[0]["m"])
    torch.testing.assert_close(new_module.calls, old_module.calls)
    assert new["out"][1] is new_inputs[0]["m"]
    assert new["t"].data_ptr() == new_inputs[1].data_ptr()
    assert new["n"] == 2


REBOUND = """
import torch
from torch import nn

class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("old", torch.zeros(33))
        self.register_buffer("new", torch.ones(33))

class Swap(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Inner()
        self.register_buffer("best", torch.zeros(5, 33))

    def forward(self, x):
        self.inner.old, self.inner.new = self.inner.new, x.mean(0) + self.inner.old
        self.best = torch.maximum(self.best, x[:5]).relu()[:, :]
        return x - self.inner.old, self.best

def get_inputs():
    return [torch.randn(64, 33)]
"""


def test_buffers_that_forward_replaces(tmp_path):
    loaded, _, namespace = rewritten(REBOUND, tmp_path)
    old_module, new_module = loaded.make_module(), namespace["SwapNew"]()
    with torch.no_grad(), launches_on_cpu():
        for seed in (3, 4, 5):
            (inputs,) = loaded.make_inputs(seed)
            old, new = old_module(inputs), new_module(inputs)
            torch.testing.assert_close(new, old)
            torch.testing.assert_close(new_module.state_dict(), old_module.state_dict())
    assert new_module.best is new[1]


def test_nothing_but_torch_and_triton_is_imported(tmp_path):
    _, text, _ = rewritten(BETA_FIRST, tmp_path)
    modules = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert modules <= {"torch", "triton", "math", "typing"}
    assert "_inductor" not in text
    assert "extern_kernels" not in text
    assert "cuda" not in text


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([torch.zeros(33, 199)], "x: expected torch.float32 of shape"),
        ([torch.zeros(33, 200, dtype=torch.float16)], "got torch.float16"),
        ([torch.zeros(200, 33).t()], "expected to be contiguous"),
    ],
)
def test_a_tensor_the_kernels_do_not_fit_is_refused(inputs, message, tmp_path):
    _, _, namespace = rewritten(BETA_FIRST, tmp_path)
    module = namespace["LayerNormNew"](200)
    with pytest.raises(ValueError, match=message), launches_on_cpu():
        module(*inputs)


def test_a_constant_the_kernels_were_made_for_is_checked(tmp_path):
    program = STRUCTURED.replace("torch.randn(6, 8)]", "torch.randn(6, 8)]")
    program = program.replace("*, power", "power").replace("(6, 8)]\n", "(6, 8), 3]\n")
    loaded, _, namespace = rewritten(program, tmp_path)
    state, x, power = loaded.make_inputs(0)
    assert power == 3
    with pytest.raises(ValueError, match="power is fixed to 3"), launches_on_cpu():
        namespace["StepNew"]()(state, x, 2)


def test_the_same_capture_gives_the_same_text(tmp_path):
    first, second = (rewritten(STRUCTURED, tmp_path)[1] for _ in range(2))
    assert first == second


UNUSUAL = """
import torch
from torch import nn

class Unusual(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(48))

    def forward(this, outputs, *rest, scale=2.0):
        return outputs[0] * this.weight * scale, outputs[1] + rest[0]

def get_inputs():
    return [[torch.randn(33, 48), torch.randn(33, 48)], torch.randn(48)]
"""


def test_unusual_names_of_parameters(tmp_path):
    loaded, _, namespace = rewritten(UNUSUAL, tmp_path)
    old, new = outputs_of_both(loaded, namespace)
    torch.testing.assert_close(new, old)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def get_inputs", "def tl(n):\n    return torch.randn(n)\n\ndef get_inputs"),
        ("def get_inputs", "def launch_mul(n):\n    return torch.randn(n)\n\ndef get_inputs"),
        ("outputs", "buf0"),
        ("outputs", "check_tensor"),
    ],
)
def test_names_that_would_hide_others_are_rejected(old, new, tmp_path):
    program = UNUSUAL.replace(old, new)
    if new.startswith("def "):
        program = program.replace("torch.randn(48))", f"{new[4:].split('(')[0]}(48))", 1)
    with pytest.raises(RewriteRejected) as caught:
        rewritten(program, tmp_path)
    assert caught.value.kind == "name_clash"


CONFIGURED = """
import torch
from torch import nn

class Scaled(nn.Module):
    def __init__(self, width, scale=2.0, *, signed=True):
        super().__init__()
        self.norm = nn.BatchNorm1d(width)
        self.scale = scale

    def forward(self, x, shift=0.5, mask=None):
        return self.norm(x) * self.scale + shift

def get_inputs():
    return [torch.randn(32, 48)]

def get_init_inputs():
    return [[48], {"scale": 3.0}]
"""


@pytest.mark.parametrize(
    ("arguments", "call", "message"),
    [
        ({"scale": 2.0}, {}, "scale is fixed to 3.0"),
        ({"scale": 3.0, "signed": False}, {}, "signed is fixed to True"),
        ({"scale": 3.0}, {"shift": 1.0}, "shift is fixed to 0.5"),
        ({"scale": 3.0}, {"mask": 0}, "mask is fixed to None"),
    ],
)
def test_other_constants_than_the_captured_ones_are_refused(arguments, call, message, tmp_path):
    loaded = load_program(CONFIGURED)
    captured = capture(loaded.make_module(), loaded.make_inputs(0), H100)
    constructor = loaded.constructor_arguments()
    text = triton_module(CONFIGURED, "Scaled", captured, constructor).text
    path = tmp_path / "triton_code.py"
    path.write_text(text)
    namespace = {}
    exec(compile(text, str(path), "exec"), namespace)
    with pytest.raises(ValueError, match=message), launches_on_cpu():
        namespace["ScaledNew"](48, **arguments)(*loaded.make_inputs(0), **call)
    module = namespace["ScaledNew"](48, scale=3.0).eval()
    with pytest.raises(ValueError, match="training mode only"), launches_on_cpu():
        module(*loaded.make_inputs(0))


ANY_SIZE = """
import torch
from torch import nn

class Blend(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(48, 40))

    def forward(self, x, y):
        scores = torch.softmax(x @ self.weight, dim=1) + y
        return scores, scores.sum(1), y.transpose(0, 1)

def make_inputs(batch, seq):
    return [torch.randn(batch, seq, 48), torch.randn(batch, seq, 40)]

def get_inputs():
    return make_inputs(4, 70)

def get_shape_variants():
    return [lambda: make_inputs(2, 33), lambda: make_inputs(3, 5), lambda: make_inputs(5, 64)]
"""


def rewritten_for_any_size(tmp_path, python_code=ANY_SIZE):
    loaded = load_program(python_code)
    sets = [loaded.make_inputs(0, variant) for variant in (None, 0, 1, 2)]
    captured = capture_any_size(loaded.make_module, sets, H100)
    text = triton_module(python_code, loaded.entry_point, captured).text
    return loaded, text, namespace_of(text, tmp_path)


def test_one_module_serves_every_size(tmp_path):
    loaded, text, namespace = rewritten_for_any_size(tmp_path)
    assert "70" not in text
    old = loaded.make_module()
    new = namespace["BlendNew"]()
    new.load_state_dict(old.state_dict())
    for batch, seq in ((4, 70), (2, 33), (3, 5), (5, 64), (7, 31), (1, 65), (40, 2)):
        inputs = loaded.namespace["make_inputs"](batch, seq)
        with torch.no_grad(), launches_on_cpu():
            torch.testing.assert_close(new(*inputs), old(*inputs))


def test_sizes_that_the_kernels_were_not_made_for_are_refused(tmp_path):
    loaded, _, namespace = rewritten_for_any_size(tmp_path)
    new, make_inputs = namespace["BlendNew"](), loaded.namespace["make_inputs"]
    x, y = make_inputs(4, 6)
    for wrong, message in (
        ([x, y[:, 1:]], r"y: expected torch.float32 of shape \(4, 6, 40\)"),
        ([x[0], y], "x: expected 3 dimensions"),
        ([x[..., 1:], y], r"x: expected torch.float32 of shape \(4, 6, 48\)"),
        ([x.transpose(0, 1), y.transpose(0, 1)], "x: expected to be contiguous"),
        (make_inputs(4, 0), r"seq >= \d.*got .*seq=0"),
    ):
        with pytest.raises(ValueError, match=message):
            new(*wrong)
