"""Every name of Triton's language is tested here, or is no operation of a running kernel.

A new version of Triton that adds a name fails this: write its test, then list it.
"""

import importlib
import inspect
import re

import pytest
import triton
import triton.language as tl

MODULES = {
    name: importlib.import_module(f"tests.execute.language.test_{name}")
    for name in (
        "control", "elementwise", "memory", "products", "random", "reductions", "shapes", "types",
    )
}  # fmt: skip

NO_OPERATION = {
    "core": "a module; its functions are those of the language",
    "extra": "a package; test_libdevice.py has its functions",
    "math": "a module; its functions are those of the language",
    "random": "a module; its functions are those of the language",
    "semantic": "the compiler's module that checks operands",
    "standard": "a module; its functions are those of the language",
    "str_to_ty": "used by the compiler to read a signature",
    "float8e4b8": "AMD's type: Triton refuses it for the target that kernels are lowered for",
    "float8e5b16": "AMD's type: Triton refuses it for the target that kernels are lowered for",
}

TENSOR_METHODS = {
    "T", "item", "logical_and", "logical_or", "to",
}  # fmt: skip
"""Members of `tl.tensor` that are no functions of the language; test_methods.py has them."""


SINCE_3_7 = {"squeeze", "to_tensor", "unsqueeze"}


def test_every_name_of_the_language_is_accounted_for():
    names = {name for name in dir(tl) if not name.startswith("_")}
    covered = set().union(*(module.COVERED for module in MODULES.values()))
    missing = SINCE_3_7 if triton.__version__.startswith("3.6.") else set()
    assert (covered | set(NO_OPERATION)) - missing == names
    assert not covered & set(NO_OPERATION)


@pytest.mark.parametrize("module", MODULES)
def test_names_are_used_where_they_are_said_to_be(module):
    text = inspect.getsource(MODULES[module])
    body = text[text.index("# fmt: skip") :] if "# fmt: skip" in text else text
    unused = [
        name for name in MODULES[module].COVERED
        if not re.search(rf"\b(tl\.|\.){name}\b", body) and name not in IMPLICIT
    ]  # fmt: skip
    assert not unused


IMPLICIT = {
    "constexpr_type": "the type of a constant",
    "slice": "what stands for `:`",
    "tensor": "what every block is",
    "tensor_descriptor": "what `make_tensor_descriptor` gives",
    "tensor_descriptor_type": "the type of that",
    "tuple_type": "the type of a tuple",
    "void": "the type of a function without a result",
}
"""Names that a kernel need not write to use them."""


def test_every_method_of_a_block_is_accounted_for():
    methods = {name for name in dir(tl.tensor) if not name.startswith("_")}
    names = {name for name in dir(tl) if not name.startswith("_")}
    assert methods - names == TENSOR_METHODS


def test_every_function_of_the_math_module_is_one_of_the_language():
    public = {n for n in dir(tl.math) if not n.startswith("_")} - {"List", "T", "core", "wraps"}
    assert public <= {name for name in dir(tl) if not name.startswith("_")}
