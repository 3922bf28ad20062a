"""What a pair must not share by accident: seeds, defaults and the memory of the machine."""

import pytest
import torch

from builder.capture.targets import resolve_targets
from builder.verify import Verdict, verify
from tests.verify.data import loss

HOPPER = resolve_targets(["cuda:90"])


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def with_constructor(*lines: str, factor: str) -> tuple[str, str]:
    """The loss pair, both with a constructor, the program's result times a factor."""
    init = "".join(f"        {line}\n" for line in ("super().__init__()", *lines))
    init = f"    def __init__(self):\n{init}\n    def forward"
    python = loss.PYTHON.replace("    def forward", init, 1)
    python = python.replace("return (target", f"return {factor} * (target", 1)
    return python, loss.TRITON.replace("    def forward", init, 1)


def checked(python: str, triton: str) -> Verdict:
    return verify(python, triton, "Loss", targets=HOPPER, draws=1)


def test_random_plain_attribute_is_found():
    python, triton = with_constructor("self.alpha = float(torch.rand(()))", factor="self.alpha")
    torch.manual_seed(0)
    captured = float(torch.rand(()))
    for value in (f"{captured!r}", "1.0"):
        text = triton.replace("(target - pred)", f"{value} * (target - pred)")
        assert checked(python, text).kind == "wrong_values"


def test_both_drawing_the_same_attribute_is_found():
    python, triton = with_constructor("self.alpha = float(torch.rand(()))", factor="self.alpha")
    text = triton.replace("out_ptr, n, BLOCK: ", "out_ptr, n, alpha, BLOCK: ")
    text = text.replace("(target - pred) /", "alpha * (target - pred) /")
    text = text.replace(
        "def launch_loss(pred, target, out)", "def launch_loss(pred, target, out, a)"
    )
    text = text.replace("out, n, BLOCK=256", "out, n, a, BLOCK=256")
    text = text.replace(
        "launch_loss(pred, target, out)\n", "launch_loss(pred, target, out, self.alpha)\n"
    )
    assert checked(python, text).kind == "wrong_values"
    fixed = "self.alpha = float(torch.rand(()))", "self.alpha = 0.75"
    verdict = checked(python.replace(*fixed), text.replace(*fixed))
    assert verdict.verified, verdict.reason


def test_random_buffer_outside_of_the_state_is_found():
    line = 'self.register_buffer("table", torch.rand(3), persistent=False)'
    python, triton = with_constructor(line, factor="1.0")
    verdict = checked(python, triton)
    assert verdict.kind == "mutated"
    assert "table" in (verdict.reason or "")
    line = 'self.register_buffer("table", torch.rand(3))'
    python, triton = with_constructor(line, factor="1.0")
    verdict = checked(python, triton)
    assert verdict.verified, verdict.reason


def test_triton_text_has_torch_s_default_dtype():
    python = loss.PYTHON.replace(
        "\n\nclass", "\ntorch.set_default_dtype(torch.float64)\n\nclass", 1
    )
    assert "set_default_dtype" in python
    python = python.replace("randn(16, 50)", "randn(16, 50, dtype=torch.float32)")
    text = loss.TRITON.replace(
        "torch.empty_like(pred)", "torch.empty(pred.shape, dtype=torch.get_default_dtype())"
    )
    text += "\n\nTABLE = torch.ones(2)\nCHECKED = {torch.float32: 1}[TABLE.dtype]\n"
    verdict = checked(python, text)
    assert verdict.verified, verdict.reason
    assert torch.get_default_dtype() == torch.float32


ALLOCATOR = 'RuntimeError("[enforce fail] DefaultCPUAllocator: can\'t allocate memory: 9 bytes")'
FAILURES = {"MemoryError('none left')": MemoryError, ALLOCATOR: RuntimeError}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("place", ["program", "program's constructor", "forward", "constructor"])
def test_lack_of_memory_is_no_verdict(place, failure):
    python, triton = with_constructor("self.width = 1", factor="1.0")
    lines = {
        "program": ("        return 1.0 *", f"        raise {failure}\n        return 1.0 *"),
        "forward": ("        return out", f"        raise {failure}\n        return out"),
        "constructor": ("self.width = 1", f"raise {failure}"),
    }
    change = lines[place.rpartition(" ")[2]]
    if "program" in place:
        assert change[0] in python
        python = python.replace(*change)
    else:
        assert change[0] in triton
        triton = triton.replace(*change)
    with pytest.raises(FAILURES[failure]):
        checked(python, triton)


def test_lack_of_memory_in_the_compiler_is_no_verdict(monkeypatch):
    def fail(*args, **options):
        raise MemoryError

    monkeypatch.setattr("builder.verify.compile.compile_source", fail)
    with pytest.raises(MemoryError):
        checked(loss.PYTHON, loss.TRITON)


def test_other_runtime_errors_are_verdicts():
    text = loss.TRITON.replace("return out", "raise RuntimeError('memory')")
    assert checked(loss.PYTHON, text).kind == "triton_error"
