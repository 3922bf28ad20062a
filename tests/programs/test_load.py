import textwrap

import pytest
import torch

from builder.errors import ProgramRejected
from builder.programs.load import load_program

GOOD = """
import torch
import torch.nn as nn

SCALE = 3


class Model(nn.Module):
    def __init__(self, size, gain=1.0):
        super().__init__()
        self.gain = gain
        self.weight = nn.Parameter(torch.randn(size))

    def forward(self, x):
        return x * self.weight * self.gain


def get_inputs():
    return [torch.randn(2, SCALE)]
"""


def program(forward="return x * 2.0", init="pass", inputs="return [torch.randn(4)]", extra=""):
    return "\n".join(
        [
            "import torch",
            "from torch import nn",
            "class Model(nn.Module):",
            "    def __init__(self):",
            "        super().__init__()",
            textwrap.indent(init, " " * 8),
            "    def forward(self, x):",
            textwrap.indent(forward, " " * 8),
            "def get_inputs():",
            textwrap.indent(inputs, " " * 4),
            extra,
        ]
    )


def run(text, **kwargs):
    loaded = load_program(text, **kwargs)
    return loaded.run(loaded.make_module(), loaded.make_inputs(0))


def rejection(text, **kwargs):
    with pytest.raises(ProgramRejected) as caught:
        run(text, **kwargs)
    return caught.value


@pytest.mark.parametrize(
    ("given", "gain"),
    [("[3]", 1.0), ("[3, 2.0]", 2.0), ('[[3], {"gain": 4.0}]', 4.0), ('[[], {"size": 3}]', 1.0)],
)
def test_init_inputs_are_positional_or_args_and_kwargs(given, gain):
    loaded = load_program(f"{GOOD}\ndef get_init_inputs():\n    return {given}\n")
    assert loaded.make_module().gain == gain


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        ("[3]", {"size": 3, "gain": 1.0}),
        ("[3, 2.0]", {"size": 3, "gain": 2.0}),
        ('[[3], {"gain": 4.0}]', {"size": 3, "gain": 4.0}),
        ('[[], {"gain": 4.0, "size": 3}]', {"size": 3, "gain": 4.0}),
    ],
)
def test_constructor_arguments_have_names_and_defaults(given, arguments):
    loaded = load_program(f"{GOOD}\ndef get_init_inputs():\n    return {given}\n")
    assert loaded.constructor_arguments() == arguments


def test_constructor_arguments_of_open_signatures():
    text = GOOD.replace("size, gain=1.0", "size, *sizes, gain=1.0, **options")
    loaded = load_program(
        text + '\ndef get_init_inputs():\n    return [[3, 4, 5], {"bias": True}]\n'
    )
    assert loaded.constructor_arguments() == {
        "size": 3,
        "sizes": (4, 5),
        "gain": 1.0,
        "bias": True,
    }


def test_constructor_arguments_without_init_inputs():
    assert load_program(program()).constructor_arguments() == {}


def test_constructor_arguments_are_those_of_the_module_and_leave_the_generator():
    loaded = load_program(
        GOOD + "\ndef get_init_inputs():\n    return [3, torch.rand(()).item()]\n"
    )
    gain = loaded.make_module().gain
    before = torch.random.get_rng_state()
    assert loaded.constructor_arguments()["gain"] == gain
    assert torch.equal(torch.random.get_rng_state(), before)


def test_constructor_arguments_without_a_signature():
    loaded = load_program(program(extra="Model.__signature__ = 'none'"))
    assert loaded.constructor_arguments() == {}


def test_constructor_arguments_that_do_not_fit():
    loaded = load_program(program(extra="def get_init_inputs():\n    return [1, 2]"))
    with pytest.raises(ProgramRejected, match="too many positional arguments") as caught:
        loaded.constructor_arguments()
    assert caught.value.kind == "init_error"


def test_kernelbench_form_without_init_inputs():
    loaded = load_program(program())
    assert loaded.entry_point == "Model"
    assert loaded.num_variants == 0
    inputs = loaded.make_inputs(0)
    assert torch.equal(loaded.run(loaded.make_module(), inputs), inputs[0] * 2.0)


def test_seeds_decide_module_and_inputs():
    loaded = load_program(GOOD + "\ndef get_init_inputs():\n    return [3]\n")
    one, same, other = (loaded.make_module(seed).weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(loaded.make_inputs(5)[0], loaded.make_inputs(5)[0])
    assert not torch.equal(loaded.make_inputs(5)[0], loaded.make_inputs(6)[0])


def test_shape_variants():
    extra = "def get_shape_variants():\n    return [lambda: [torch.randn(n)] for n in (3, 5, 8)]"
    loaded = load_program(program(extra=extra.replace("lambda:", "lambda n=n:")))
    assert loaded.num_variants == 3
    assert [loaded.make_inputs(0, i)[0].numel() for i in range(3)] == [3, 5, 8]


@pytest.mark.parametrize(
    ("classes", "named", "found"),
    [
        (("Block", "Model", "Tail"), None, "Model"),
        (("Block", "Tail"), None, "Tail"),
        (("Only",), None, "Only"),
        (("Block", "Model"), "Block", "Block"),
    ],
)
def test_entry_point(classes, named, found):
    text = "import torch\nfrom torch import nn\nfrom torch.nn import Linear\n"
    text += "".join(f"class {name}(nn.Module):\n    pass\n" for name in classes)
    loaded = load_program(text + "def get_inputs():\n    return []\n", named)
    assert loaded.entry_point == found


def test_dataclasses_with_postponed_annotations_load():
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    extra = "@dataclass\nclass Sizes:\n    n: int = 4\n"
    assert load_program(text + program(extra=extra)).entry_point == "Model"


def test_syntax_error_names_line_and_text():
    error = rejection("import torch\n\nx = = 3\n", filename="net.py")
    assert error.kind == "syntax_error"
    assert "net.py, line 3: `x = = 3`" in error.message


def test_null_bytes_are_a_syntax_error():
    assert rejection("x = 1\0").kind == "syntax_error"


@pytest.mark.parametrize("text", ["", "x = 1", "class Model:\n    pass"])
def test_no_class(text):
    error = rejection(text)
    assert error.kind == "missing_class"


def test_unknown_entry_point_lists_what_there_is():
    error = rejection(program(), entry_point="Modle")
    assert error.kind == "missing_class"
    assert "'Modle'" in error.message
    assert "Model" in error.message


def test_unknown_entry_point_of_a_file_without_classes():
    error = rejection("x = 1", entry_point="Net")
    assert error.kind == "missing_class"
    assert error.message == (
        "no nn.Module class 'Net'; the file defines no subclass of nn.Module; "
        "add one with a forward"
    )


def test_missing_get_inputs():
    error = rejection(program().replace("def get_inputs", "def get_data"))
    assert error.kind == "missing_function"
    assert "get_inputs" in error.message


def test_missing_package():
    error = rejection("import torch\nimport no_such_package_here\n")
    assert error.kind == "import_error"
    assert "line 2: `import no_such_package_here`" in error.message
    assert "may import only torch" in error.message


def test_error_in_init():
    error = rejection(program(init="self.weight = torch.randn(count)"))
    assert error.kind == "init_error"
    assert "line 6: `self.weight = torch.randn(count)`: NameError" in error.message


def test_wrong_constructor_arguments():
    error = rejection(program(extra="def get_init_inputs():\n    return [1, 2]"))
    assert error.kind == "init_error"
    assert "TypeError" in error.message


def test_error_in_get_inputs():
    error = rejection(program(inputs="n = 3\nreturn [torch.randn(-n)]"))
    assert error.kind == "inputs_error"
    assert "line 11: `return [torch.randn(-n)]`" in error.message


def test_inputs_that_are_no_list():
    assert rejection(program(inputs="return torch.randn(3)")).kind == "inputs_error"


@pytest.mark.parametrize("layout", ["to_sparse()", "to_sparse_csr()"])
def test_sparse_inputs_are_refused_with_the_way_round(layout):
    error = rejection(program(inputs=f"return [[torch.eye(3).{layout}]]"))
    assert error.kind == "sparse_tensor"
    assert "torch.sparse_" in error.message
    assert "in tensors of their own" in error.message


def test_inputs_of_a_foreign_kind():
    error = rejection(program(inputs="return [object()]"))
    assert error.kind == "inputs_error"
    assert "object" in error.message


def test_inputs_with_a_history():
    inputs = "return [torch.randn(3, requires_grad=True) * 2]"
    assert "detach" in rejection(program(inputs=inputs)).message


def test_error_in_forward_names_the_users_innermost_line():
    text = program(
        forward="return mixed(x)", extra="def mixed(x):\n    return x @ torch.ones(7, 7)"
    )
    error = rejection(text)
    assert error.kind == "forward_error"
    assert "line 12: `return x @ torch.ones(7, 7)`: RuntimeError" in error.message


@pytest.mark.parametrize(
    ("place", "kind"),
    [("init", "init_error"), ("inputs", "inputs_error"), ("forward", "forward_error")],
)
def test_exit_is_a_rejection(place, kind):
    assert rejection(program(**{place: "raise SystemExit(3)"})).kind == kind


def test_exit_at_the_top_is_a_rejection():
    assert rejection("import sys\nsys.exit()\n").kind == "import_error"


def test_interrupt_passes():
    loaded = load_program(program(forward="raise KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        loaded.run(loaded.make_module(), loaded.make_inputs(0))


@pytest.mark.parametrize("place", ["init", "inputs", "forward"])
@pytest.mark.parametrize(
    ("code", "kind"),
    [("raise MemoryError", MemoryError), ("return [torch.empty(1 << 52)]", RuntimeError)],
)
def test_memory_failures_pass(place, code, kind):
    with pytest.raises(kind) as caught:
        run(program(**{place: code}))
    assert kind is MemoryError or "DefaultCPUAllocator: can't allocate" in str(caught.value)


def test_memory_failures_of_the_file_pass():
    with pytest.raises(MemoryError):
        load_program("raise MemoryError")


def test_messages_hold_no_addresses():
    error = rejection(program(forward="raise ValueError(object())"))
    assert "0x..." in error.message
