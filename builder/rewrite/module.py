"""The Triton module of a pair, assembled from its captured parts."""

from __future__ import annotations

import ast
import copy
import inspect
import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from builder.capture.binding import OUTPUTS
from builder.errors import RewriteRejected
from builder.rewrite import device_functions, seeds
from builder.rewrite.checks import check_functions, constant_check, tensor_check
from builder.rewrite.descriptors import PREPARATION, PREPARE
from builder.rewrite.kernel import StandaloneKernel, called_functions, standalone_kernel
from builder.rewrite.program_class import ProgramParts, program_parts
from builder.rewrite.size_names import constant_names
from builder.rewrite.sizes import SizeNames
from builder.rewrite.style import Style, kernel_words, laid_out, styled
from builder.rewrite.training import training_function
from builder.rewrite.wrapper import forward_body

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from builder.capture.capture import Capture
    from builder.capture.kernels import Kernel
    from builder.rewrite.training import TrainingFunction

_SCALAR = (bool, int, float, str, type(None))


@dataclass(frozen=True)
class TritonModule:
    """A standalone Triton module.

    Attributes:
        text: ``triton_code``.
        kernel_names: names of its kernels, in order.
        kernel_kinds: kind of each.
    """

    text: str
    kernel_names: tuple[str, ...]
    kernel_kinds: tuple[str, ...]


def _source(name: str) -> str:
    return inspect.getsource(getattr(device_functions, name).fn).replace("  # fmt: skip", "")


def _seeds_source() -> str:
    return inspect.getsource(seeds.random_seeds).rstrip()


def _needed_functions(names: Iterable[str]) -> list[str]:
    """Device functions with those they call, in the order of their definition."""
    every = [name for name, value in vars(device_functions).items() if hasattr(value, "fn")]
    needed: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name not in needed:
            needed.add(name)
            tree = ast.parse(_source(name))
            used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
            pending.extend(other for other in every if other in used)
    return [name for name in every if name in needed]


def _device(capture: Capture) -> str:
    if capture.on_device_of is None:
        raise RewriteRejected("no_input", "forward takes no tensor to tell the device; give it one")
    return f"{capture.on_device_of}.device"


def _refusal(test: str, message: str) -> str:
    return f"if {test}:\n    raise ValueError({message!r})"


def _checks(capture: Capture, names: SizeNames) -> list[str]:
    """Statements that refuse what the kernels were not made for."""
    lines = [
        _refusal(f"len({name}) != {length}", f"{name}: expected {length} items")
        for name, length in capture.lengths
    ]
    lines += [*names.reads(), *names.checks()]
    lines += [tensor_check(spec, names) for spec in capture.tensors]
    lines += [constant_check(expression, value) for expression, value in capture.fixed]
    if capture.training is not None:
        mode = "training" if capture.training else "evaluation"
        test = "not self.training" if capture.training else "self.training"
        lines.append(_refusal(test, f"these kernels compute the {mode} mode only"))
    return lines


def _forward(
    capture: Capture,
    parts: ProgramParts,
    kernels: dict[str, StandaloneKernel],
    function: TrainingFunction | None,
) -> str:
    taken = _parameters(parts) | parts.names | _reserved(kernels)
    names = SizeNames(capture.sizes, taken, parts.size_names)
    lines = _checks(capture, names)
    outputs: Mapping[int, ast.expr]
    if function is not None:
        lines += [f"check_frozen({item!r}, {item})" for item in function.frozen]
        lines.append(function.call)
        found = function.outputs.items()
        outputs = {place: ast.parse(text, mode="eval").body for place, text in found}
    else:
        arguments = tuple(ast.unparse(names.renamed(text)) for text in capture.arguments)
        device = _device(capture)
        body = forward_body(
            capture.source,
            arguments,
            kernels,
            device,
            names.spelled(),
            keeps_library_calls=capture.keeps_library_calls,
        )
        lines += [ast.unparse(statement) for statement in body.statements]
        outputs = dict(enumerate(body.outputs))
    result = _substitute_outputs(names.renamed(capture.result), outputs)
    if capture.rebound:
        lines.append(f"result = {result}")
        result = "result"
    lines += [
        f"{name} = {_substitute_outputs(names.renamed(value), outputs)}"
        for name, value in capture.rebound
    ]
    lines.append(f"return {result}")
    indented = "\n".join(lines).replace("\n", "\n        ")
    # What torch computes here must not be recorded, for the kernels' part would be missing.
    decorator = "    @torch.no_grad()\n" if capture.fallback_ops and function is None else ""
    return f"{decorator}    def forward({_signature(capture, parts)}):\n        {indented}"


def _signature(capture: Capture, parts: ProgramParts) -> str:
    """The parameters of ``forward``; a random program's also takes a seed."""
    arguments = copy.deepcopy(parts.forward_signature)
    if capture.stochastic:
        arguments.kwonlyargs.append(ast.arg(seeds.PARAMETER))
        arguments.kw_defaults.append(ast.Constant(None))
    return ast.unparse(arguments)


class _Outputs(ast.NodeTransformer):
    def __init__(self, outputs: Mapping[int, ast.expr]) -> None:
        self._outputs = outputs

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        if isinstance(node.value, ast.Name) and node.value.id == OUTPUTS:
            return self._outputs[ast.literal_eval(node.slice)]
        self.generic_visit(node)
        return node


def _substitute_outputs(result: ast.expr, outputs: Mapping[int, ast.expr]) -> str:
    tree = _Outputs(outputs).visit(result)
    if isinstance(tree, ast.Tuple) and tree.elts:
        return ", ".join(map(ast.unparse, tree.elts)) + ("," if len(tree.elts) == 1 else "")
    return ast.unparse(tree)


def _guard_constructor(node: ast.ClassDef, constructor: Mapping[str, Any]) -> None:
    """Lets the constructor refuse other constants than those the kernels hold."""
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            own = {argument.arg for argument in [*item.args.args, *item.args.kwonlyargs]}
            item.body[:0] = [
                ast.parse(constant_check(name, value)).body[0]
                for name, value in constructor.items()
                if name in own and isinstance(value, _SCALAR)
            ]


def _class(
    capture: Capture,
    parts: ProgramParts,
    kernels: dict[str, StandaloneKernel],
    constructor: Mapping[str, Any],
    function: TrainingFunction | None,
) -> str:
    node = parts.new_class
    _guard_constructor(node, constructor)
    original = node.name.removesuffix("New")
    header = ast.unparse(
        ast.ClassDef(node.name, node.bases, node.keywords, [ast.Pass()], node.decorator_list)
    ).rsplit("\n", 1)[0]
    members = [ast.unparse(ast.fix_missing_locations(item)) for item in node.body]
    others = " and, where there is no Triton, by torch" if capture.every_fallback_op else ""
    blocks = [f'    """``{original}`` computed by the kernels above{others}."""']
    blocks += ["    " + member.replace("\n", "\n    ") for member in members]
    blocks.append(_forward(capture, parts, kernels, function))
    return header + "\n" + "\n\n".join(blocks)


def _describes(kernel: StandaloneKernel) -> bool:
    return bool(kernel.launch.described)


def _imports(parts: ProgramParts, libdevice: bool) -> str:
    own = ["import torch", "import triton", "import triton.language as tl"]
    own += [line for line in parts.imports if line not in own]
    if libdevice:
        own.append("from triton.language.extra import libdevice")
    plain = sorted(line for line in own if line.startswith("import "))
    return "\n".join([*plain, *sorted(line for line in own if line not in plain)])


def _reserved(kernels: Mapping[str, StandaloneKernel]) -> set[str]:
    """Names that the statements of ``forward`` use."""
    launchers = {kernel.launcher for kernel in kernels.values()}
    return launchers | {"torch", "triton", "tl", "self", "seed", "result", "min", "max", "len"}


def _parameters(parts: ProgramParts) -> set[str]:
    signature = parts.forward_signature
    given = [*signature.posonlyargs, *signature.args, *signature.kwonlyargs]
    given += [item for item in (signature.vararg, signature.kwarg) if item]
    return {item.arg for item in given}


def _check_names(
    parts: ProgramParts, kernels: Sequence[StandaloneKernel], functions: Iterable[str]
) -> None:
    """Refuses a program whose own names would hide those of the new module, or the reverse.

    Raises:
        RewriteRejected: ``name_clash``.
    """
    launchers = {kernel.launcher for kernel in kernels}
    parameters = _parameters(parts)
    ours = {"triton", "tl", "libdevice", "check_tensor", "check_constant", "check_layout", PREPARE}
    ours |= {"random_seeds"}
    ours |= {*functions, *launchers}
    ours |= {kernel.name for kernel in kernels}
    checks = {"check_tensor", "check_constant", "check_layout"}
    hidden = parameters & (launchers | checks | {"torch"})
    if any(kernel.seeds for kernel in kernels):
        hidden |= parameters & {seeds.PARAMETER, seeds.SEEDS, "random_seeds"}
    hidden |= {name for name in parameters if re.fullmatch(r"buf\d+", name)}
    clashes = sorted(hidden | (parts.names & ours))
    if clashes:
        raise RewriteRejected(
            "name_clash",
            f"the program's {', '.join(clashes)} would hide names of the Triton module; rename",
        )


def triton_module(
    python_code: str,
    entry_point: str,
    capture: Capture,
    constructor: Mapping[str, Any] = MappingProxyType({}),
    style: Style = Style.READABLE,
) -> TritonModule:
    """Rewrites a capture into a standalone module that needs only torch and triton.

    Args:
        python_code: the program.
        entry_point: its class.
        capture: of that program.
        constructor: names and values of the arguments the captured module was built with.
        style: how its kernels are written.

    Raises:
        RewriteRejected: Inductor's module contains something that has no rule.
    """
    parts = program_parts(python_code, entry_point)
    taken = set(device_functions.FUNCTIONS.values())
    words = kernel_words(capture) if style is not Style.RAW else {}
    kernels = _standalone(capture.kernels, taken, words)
    backward = capture.backward
    of_backward = backward.kernels if backward is not None else ()
    backward_kernels = _standalone(of_backward, taken, words)
    every = [*kernels.values(), *backward_kernels.values()]
    function = (
        training_function(capture, entry_point, kernels, backward_kernels) if backward else None
    )
    needed = _needed_functions(name for kernel in every for name in kernel.functions)
    own_names = [*needed, *([function.name, "check_frozen"] if function else [])]
    _check_names(parts, every, own_names)
    hosts = [function.text] if function else []
    hosts.append(_class(capture, parts, kernels, constructor, function))
    if style is not Style.RAW:
        names = {*parts.names, *own_names, *_reserved({k.name: k for k in every})}
        hosts, every = styled(hosts, every, capture, constant_names(python_code), names, style)
        needed = _needed_functions(name for kernel in every for name in called_functions(kernel))
    functions = [_source(name).rstrip() for name in needed]
    kernel_texts = [kernel.text for kernel in every]
    libdevice = any("libdevice." in text for text in (*functions, *kernel_texts))
    sections = [
        f'"""Triton kernels for ``{entry_point}``."""',
        _imports(parts, libdevice),
        *functions,
        *kernel_texts,
        *check_functions(hosts),
        *([PREPARATION.strip()] if any(map(_describes, every)) else []),
        *([_seeds_source()] if capture.stochastic else []),
        *parts.definitions,
        *hosts,
    ]
    text = sections[0] + "\n\n" + "\n\n\n".join(sections[1:]) + "\n"
    return TritonModule(
        text=text if style is Style.RAW else laid_out(text),
        kernel_names=tuple(kernel.name for kernel in every),
        kernel_kinds=tuple(kernel.kind for kernel in (*capture.kernels, *of_backward)),
    )


def _standalone(
    kernels: Sequence[Kernel], taken: set[str], words: Mapping[str, str]
) -> dict[str, StandaloneKernel]:
    return {
        kernel.name: standalone_kernel(kernel, taken, words.get(kernel.name)) for kernel in kernels
    }
