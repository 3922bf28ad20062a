"""From a draft to the text of a program file."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any

from builder.programs.wrap import LIMIT, wrap

if TYPE_CHECKING:
    from builder.programs.draft import Draft, Input

_ROLE = re.compile(r"\$([a-z_][a-z0-9_]*)")

Block = list[str]

DECLARE_VARIANTS = True
"""Whether programs define ``get_shape_variants`` where their draft varies sizes."""


def render(draft: Draft, *, variants: bool = DECLARE_VARIANTS, differentiated: bool = False) -> str:
    """The program file: formatted, importing only what it uses, ending with a line break.

    Args:
        draft: what a family filled in.
        variants: whether sizes that the draft varies become ``get_shape_variants``; without it they
            are sizes like all others.
        differentiated: whether floating inputs require gradients.
    """
    return _Renderer(draft, variants, differentiated).text()


def literal(value: Any) -> str:
    """A constant as people write it: ``1e-5``, not ``1e-05``."""
    if isinstance(value, str):
        return f'"{value}"'
    return re.sub(r"e([+-])0(\d)", r"e\1\2", repr(value))


class _Renderer:
    def __init__(self, draft: Draft, variants: bool, differentiated: bool = False) -> None:
        self.draft = draft
        self.differentiated = differentiated
        self.varied = draft.varied if variants else {}
        self.style = draft.style
        self.hardcoded = self.style.arguments == "hardcoded" or not draft.arguments

    def text(self) -> str:
        blocks = [self._helper(lines) for lines in self.draft.helpers]
        blocks.append(self._class())
        functions = [self._init_inputs(), *self._inputs()]
        if not self.style.init_first:
            functions = [*functions[1:], functions[0]]
        constants = self._constants("\n".join(line for block in functions for line in block))
        if constants:
            blocks.insert(0 if self.style.constants_first else len(blocks), constants)
        blocks.extend(functions)
        body = "\n\n\n".join("\n".join(block) for block in blocks)
        return f"{self._imports(body)}{_gap(blocks[0])}{body}\n"

    # --- the parts ---------------------------------------------------------------------------

    def _imports(self, body: str) -> str:
        plain, named = ["import torch"], list[str]()
        if re.search(r"\bnn\.", body):
            (named if self.style.short_imports else plain).append(
                "from torch import nn" if self.style.short_imports else "import torch.nn as nn"
            )
        if re.search(r"\bF\.", body):
            plain.append("import torch.nn.functional as F")
        standard = "import math\n\n" if re.search(r"\bmath\.", body) else ""
        return standard + "\n".join([*plain, *named])

    def _helper(self, lines: Block) -> Block:
        return [part for line in lines for part in wrap(line)]

    def _class(self) -> Block:
        lines = [f"class {self.draft.class_name}(nn.Module):", *self._docstring()]
        constructor = self._constructor()
        if constructor:
            lines += [*constructor, ""]
        names = [item.name for item in self.draft.inputs]
        if self.style.annotate:
            names = [f"{name}: torch.Tensor" for name in names]
        returns = f" -> {self.draft.returns}" if self.style.annotate else ""
        lines += wrap(f"    def forward(self, {', '.join(names)}){returns}:")
        return lines + self._body(self.draft.forward_lines, self._in_forward)

    def _docstring(self) -> Block:
        if not self.style.docstring or not self.draft.doc:
            return []
        if self.style.docstring == 1 or not self.draft.details:
            return [f'    """{self.draft.doc}"""', ""]
        return [f'    """{self.draft.doc}', "", f"    {self.draft.details}", '    """', ""]

    def _constructor(self) -> Block:
        body = [*self._stored(), *self.draft.init_lines]
        if not body:
            return []
        cast = not self.style.inline_dtype and self.draft.dtype != "float32"
        if cast and self._has_parameters():
            body.append(self._cast())
        if self.draft.eval_mode:
            body.append("self.eval()")
        parent = f"super({self.draft.class_name}, self)" if self.style.old_super else "super()"
        head = f"    def __init__({', '.join(['self', *self._signature()])}):"
        return [*wrap(head), f"        {parent}.__init__()", *self._body(body, self._in_init)]

    def _cast(self) -> str:
        short = {"float16": "self.half()", "bfloat16": "self.bfloat16()"}[self.draft.dtype]
        return short if len(self.draft.class_name) % 2 else f"self.to(torch.{self.draft.dtype})"

    def _signature(self) -> list[str]:
        if self.hardcoded:
            return []
        parts = []
        for role in self._ordered_arguments():
            value = self.draft.values[role]
            part = self.draft.names[role]
            if self.style.annotate:
                part += f": {_annotation(value)}"
            if self._defaulted(role):
                part += f" = {literal(value)}" if self.style.annotate else f"={literal(value)}"
            parts.append(part)
        return parts

    def _stored(self) -> Block:
        """``self.eps = eps`` for the arguments that ``forward`` uses."""
        if self.hardcoded:
            return []
        used = set(_ROLE.findall("\n".join(self.draft.forward_lines)))
        names = [self.draft.names[role] for role in self._ordered_arguments() if role in used]
        return [f"self.{name} = {name}" for name in names]

    def _init_inputs(self) -> Block:
        given = [role for role in self._ordered_arguments() if not self._defaulted(role)]
        if self.hardcoded:
            given = []
        values = [self._in_inputs(f"${role}") for role in given]
        text = f"[{', '.join(values)}]"
        if self.style.arguments == "keywords" and given:
            pairs = zip(given, values, strict=True)
            entries = ", ".join(f'"{self.draft.names[role]}": {value}' for role, value in pairs)
            text = f"[[], {{{entries}}}]"
        return ["def get_init_inputs():", *wrap(f"    return {text}")]

    def _inputs(self) -> list[Block]:
        body = self._drawing()
        if not self.varied:
            return [["def get_inputs():", *body]]
        names = [self.draft.names[role] for role in self.varied]
        sets = zip(*self.varied.values(), strict=True)
        calls = [f"make_inputs({', '.join(map(str, sizes))})" for sizes in sets]
        own = ", ".join(str(self.draft.values[role]) for role in self.varied)
        return [
            [f"def make_inputs({', '.join(names)}):", *body],
            ["def get_inputs():", f"    return make_inputs({own})"],
            [
                "def get_shape_variants():",
                "    return [",
                *(f"        lambda: {call}," for call in calls),
                "    ]",
            ],
        ]

    def _drawing(self) -> Block:
        drawn = [(item.name, self._input(item)) for item in self.draft.inputs]
        inline = f"    return [{', '.join(text for _, text in drawn)}]"
        if self.style.inline_inputs and len(inline) <= LIMIT:
            return [inline]
        lines = [part for name, text in drawn for part in wrap(f"    {name} = {text}")]
        return [*lines, *wrap(f"    return [{', '.join(name for name, _ in drawn)}]")]

    def _input(self, item: Input) -> str:
        text = self._in_inputs(item.template)
        if not self.differentiated or not item.dtype.startswith(("float", "bfloat")):
            return text
        is_call = isinstance(ast.parse(text, mode="eval").body, ast.Call)
        return f"{text if is_call else f'({text})'}.requires_grad_()"

    def _constants(self, functions: str) -> Block:
        """Module constants for the sizes that the functions name."""
        if self.style.constants == "none":
            return []
        used = [role for role in self.draft.sizes if role not in self.varied]
        return [
            f"{self._constant(role)} = {literal(self.draft.values[role])}"
            for role in used
            if re.search(rf"\b{self._constant(role)}\b(?!\")", functions)
        ]

    # --- spelling of roles -------------------------------------------------------------------

    def _body(self, lines: Block, spelled: Any) -> Block:
        return [part for line in lines for part in wrap(f"        {spelled(line)}".rstrip())]

    def _in_init(self, line: str) -> str:
        return self._substitute(line, lambda role: self.draft.names[role])

    def _in_forward(self, line: str) -> str:
        return self._substitute(line, lambda role: f"self.{self.draft.names[role]}")

    def _in_inputs(self, template: str) -> str:
        def spelled(match: re.Match[str]) -> str:
            role = match[1]
            if role in self.varied:
                return self.draft.names[role]
            if role in self.draft.sizes and self.style.constants != "none":
                return self._constant(role)
            return literal(self.draft.values[role])

        return _ROLE.sub(spelled, self._typed(template))

    def _substitute(self, line: str, attribute: Any) -> str:
        def spelled(match: re.Match[str]) -> str:
            role = match[1]
            if role in self.draft.arguments and not self.hardcoded:
                return str(attribute(role))
            return literal(self.draft.values[role])

        # a literal stands next to a slice's colon, a name apart from it
        return re.sub(r": (\d+)\]", r":\1]", _ROLE.sub(spelled, self._typed(line)))

    def _typed(self, text: str) -> str:
        inline = self.style.inline_dtype and self.draft.dtype != "float32"
        text = text.replace("$dtype", f"torch.{self.draft.dtype}")
        return text.replace("$dt", f", dtype=torch.{self.draft.dtype}" if inline else "")

    def _constant(self, role: str) -> str:
        name = self.draft.names[role]
        return name.upper() if self.style.constants == "upper" else name

    def _ordered_arguments(self) -> list[str]:
        """Arguments with defaults come last."""
        return sorted(self.draft.arguments, key=self._defaulted)

    def _defaulted(self, role: str) -> bool:
        return self.style.defaults and role not in self.draft.sizes

    def _has_parameters(self) -> bool:
        text = "\n".join(self.draft.init_lines)
        return "nn.Parameter" in text or bool(
            re.search(r"nn\.(Linear|Conv|.*Norm|Embedding)", text)
        )


def _annotation(value: Any) -> str:
    return type(value).__name__


def _gap(first: Block) -> str:
    """Blank lines after the imports: two before a definition, one before constants."""
    return "\n\n\n" if first[0].startswith(("def ", "class ", "@")) else "\n\n"
