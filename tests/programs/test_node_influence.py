"""Results of operators that no output depends on, and probes in a wider type."""

import textwrap

import pytest
import torch

from builder.errors import ProgramRejected
from builder.programs.gates import check
from builder.programs.influence import subject_of
from builder.programs.load import load_program
from builder.programs.synthesise import nodes_of, synthesise

TEXT = """
import torch
from torch import nn


class Drowned(nn.Module):
    def forward(self, x, y):
        product = x @ y.t()
        return BODY


def get_inputs():
    return [torch.randn(24, 16), torch.randn(24, 16)]


def get_init_inputs():
    return []
"""
BODIES = {
    "cut off": "torch.clamp(product * 1e-3, 5.0, 6.0).sum(1, keepdim=True) * x + y",
    "drowned": "x * y + product.sigmoid().mean() * 1e-9",
    "its sign": "torch.clamp(product, 5.0, 6.0) * x.sum() + y.sum()",
}


def loaded(body, dtype="float32"):
    text = TEXT.replace("BODY", body)
    if dtype != "float32":
        text = text.replace("torch.randn(24, 16)", f"torch.randn(24, 16, dtype=torch.{dtype})")
    return load_program(text)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["cut off", "drowned"])
def test_a_result_that_no_output_depends_on_is_refused(name, dtype):
    program = loaded(BODIES[name], dtype)
    assert check(program, strict=True).structure is not None
    with pytest.raises(ProgramRejected) as found:
        check(program, strict=True, nodes=99)
    assert found.value.kind == "idle_node"
    assert "no output depends on result " in found.value.message


def test_results_that_matter_are_let_through():
    assert check(loaded(BODIES["its sign"]), strict=True, nodes=99).flops > 0


def test_a_strict_look_at_narrow_types_is_taken_in_float32():
    program = loaded("product.softmax(-1)", "float16")
    module, inputs = program.make_module(), program.make_inputs(0)
    result = program.run(module, inputs)
    subject = subject_of(program, module, inputs, result, strict=True)
    assert [tensor.dtype for tensor in subject.outputs] == [torch.float32]
    assert subject.epsilon == torch.finfo(torch.float16).eps
    assert not subject.differs([subject.outputs[0] * (1 + 8 * subject.epsilon)])
    assert subject.differs([subject.outputs[0] * (1 + 32 * subject.epsilon)])
    again = subject.rerun(program, module, inputs)
    assert again.dtype == torch.float32
    assert not subject.differs([again])
    plain = subject_of(program, module, inputs, result, strict=False)
    assert plain.result is result
    assert plain.rerun(program, module, inputs).dtype == torch.float16


def test_what_needs_its_own_type_is_looked_at_in_it():
    asking = "product.softmax(-1) if x.dtype == torch.float16 else int('none')"
    program = loaded(asking, "float16")
    module, inputs = program.make_module(), program.make_inputs(0)
    result = program.run(module, inputs)
    assert subject_of(program, module, inputs, result, strict=True).result is result


def test_nodes_are_looked_at_in_graphs_of_operators_only():
    kinds = {synthesise(1, index).source: nodes_of(synthesise(1, index)) for index in range(24)}
    assert {kinds[name] > 0 for name in kinds if "graph" in name} == {True}
    assert {kinds[name] for name in kinds if name == "family:softmax"} <= {0}


def test_what_rounding_decides_is_refused():
    noise = "torch.sin(1e3 * product)"
    assert check(loaded(noise), strict=True).flops > 0
    with pytest.raises(ProgramRejected) as found:
        check(loaded(noise, "bfloat16"), strict=True)
    assert found.value.kind == "ill_conditioned"
    assert check(loaded("torch.sin(product)", "float16"), strict=True).flops > 0


def test_float32_is_held_against_float64():
    assert check(loaded("torch.sin(1e3 * product)"), strict=True).flops > 0
    with pytest.raises(ProgramRejected, match="what float64 gives") as found:
        check(loaded("torch.sin(1e7 * product)"), strict=True)
    assert found.value.kind == "ill_conditioned"
    named = "torch.sin(1e7 * product).matmul(torch.ones(product.shape[-1], 1))"
    assert check(loaded(named), strict=True).flops > 0, "float64 and float32 do not mix there"


def test_state_that_a_run_has_written_is_no_rounding():
    text = """
        import torch
        from torch import nn

        class Tracker(nn.Module):
            def __init__(self):
                super().__init__()
                self.register_buffer("mean", torch.zeros(8))

            def forward(self, x):
                self.mean.mul_(0.5).add_(x.mean(0))
                return x + self.mean

        def get_inputs():
            return [torch.randn(16, 8, dtype=torch.{dtype})]
    """
    for dtype in ("float32", "bfloat16"):
        program = load_program(textwrap.dedent(text).replace("{dtype}", dtype))
        assert check(program, strict=True).flops > 0
