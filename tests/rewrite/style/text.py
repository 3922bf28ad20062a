"""Functions from text and back."""

import ast
import textwrap


def parsed(text, signature="x_ptr, y_ptr, n, XBLOCK: tl.constexpr"):
    body = textwrap.indent(textwrap.dedent(text).strip(), "    ")
    return ast.parse(f"def kernel({signature}):\n{body}\n").body[0]


def body(function):
    ast.fix_missing_locations(function)
    return [line.removeprefix("    ") for line in ast.unparse(function).splitlines()[1:]]
