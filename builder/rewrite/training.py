"""The ``torch.autograd.Function`` of a training pair: both captured graphs, around what is saved.

Its ``forward`` takes the tensors of the forward graph, launches, saves what the backward graph
reads and returns the results that the program returns; its ``backward`` makes the tangents lie as
the kernels expect, launches, and returns a gradient for each argument that needs one.
"""

from __future__ import annotations

import ast
import keyword
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builder.capture.binding import OUTPUTS
from builder.capture.training import TANGENTS
from builder.rewrite.seeds import PARAMETER, SEEDS
from builder.rewrite.wrapper import argument_names, forward_body

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from builder.capture.capture import Capture
    from builder.rewrite.kernel import StandaloneKernel
    from builder.rewrite.wrapper import ForwardBody

CHECK_FROZEN = '''
def check_frozen(name, tensor):
    """Raise ``ValueError`` if a tensor requires a gradient that the kernels do not compute."""
    if torch.is_grad_enabled() and tensor.requires_grad:
        raise ValueError(f"{name} requires a gradient, which these kernels do not compute")
'''

_NO_SECOND = "these kernels have no second derivative; call backward without create_graph=True"
_RESULT = re.compile(rf"{OUTPUTS}\[(\d+)\]")
_BUFFER = re.compile(r"buf\d+")


@dataclass(frozen=True)
class TrainingFunction:
    """The function class and how ``forward`` of the module uses it.

    Attributes:
        name: of the class.
        text: the class.
        call: the statement that applies it.
        outputs: for each result of the forward graph that the program returns, the expression of
            it after the call.
        frozen: expressions of the tensors whose gradients the kernels do not compute.
    """

    name: str
    text: str
    call: str
    outputs: dict[int, str]
    frozen: tuple[str, ...]


def training_function(
    capture: Capture,
    entry_point: str,
    kernels: Mapping[str, StandaloneKernel],
    backward_kernels: Mapping[str, StandaloneKernel],
) -> TrainingFunction:
    """Writes the function class of a capture that has a backward pass.

    Args:
        capture: of the program.
        entry_point: the program's class.
        kernels: standalone kernels of the forward graph by Inductor's name.
        backward_kernels: likewise of the backward graph.

    Raises:
        RewriteRejected: ``unknown_construct`` or ``library_call``.
    """
    assert capture.backward is not None
    launchers = {kernel.launcher for kernel in (*kernels.values(), *backward_kernels.values())}
    names = _argument_names(capture.arguments, launchers)
    texts = " ".join([capture.result, *(value for _, value in capture.rebound)])
    returned = sorted({int(place) for place in _RESULT.findall(texts)})
    writer = _Writer(capture, names, returned)
    body = forward_body(
        capture.source,
        tuple(names.values()),
        kernels,
        f"{_device_of(names)}.device",
        keeps_library_calls=capture.keeps_library_calls,
    )
    name = f"{entry_point}Function"
    seed = [PARAMETER] if capture.stochastic else []
    text = "\n".join(
        [
            f"class {name}(torch.autograd.Function):",
            f'    """``{entry_point}`` and its gradients, by the kernels above."""',
            "",
            *_method(f"forward(ctx, {', '.join([*names.values(), *seed])})", writer.forward(body)),
            "",
            *_method(
                f"backward(ctx, {', '.join(writer.tangents.values())})",
                writer.backward(backward_kernels),
            ),
        ]
    )
    single = len(returned) == 1
    outputs = {place: "output" if single else f"outputs[{n}]" for n, place in enumerate(returned)}
    variable = "output" if single else "outputs"
    return TrainingFunction(
        name=name,
        text=text,
        call=f"{variable} = {name}.apply({', '.join([*names, *seed])})",
        outputs=outputs,
        frozen=_frozen(capture),
    )


def _method(signature: str, lines: Iterable[str]) -> list[str]:
    body = "\n".join(lines).replace("\n", "\n        ")
    return ["    @staticmethod", f"    def {signature}:", f"        {body}"]


def _frozen(capture: Capture) -> tuple[str, ...]:
    """Floating arguments that were not differentiated."""
    assert capture.backward is not None
    differentiated = {gradient.argument for gradient in capture.backward.bound.gradients}
    return tuple(
        spec.expression
        for spec in capture.tensors
        if spec.dtype.startswith(("float", "bfloat", "complex"))
        and spec.expression not in differentiated
    )


def _argument_names(expressions: Sequence[str], taken: set[str]) -> dict[str, str]:
    """A name for each argument of the forward graph: ``norm_weight`` for ``self.norm.weight``."""
    used = {"ctx", "torch", "triton", "tl", "libdevice", "output", "outputs", PARAMETER, SEEDS}
    used |= taken
    names: dict[str, str] = {}
    for expression in expressions:
        words = re.sub(r"\W+", "_", expression.removeprefix("self.")).strip("_")
        name = words if words.isidentifier() and not keyword.iskeyword(words) else f"arg_{words}"
        while name in used or _BUFFER.fullmatch(name) or name.startswith(("saved_", "grad_output")):
            name += "_"
        used.add(name)
        names[expression] = name
    return names


def _device_of(names: Mapping[str, str]) -> str:
    outside = [name for expression, name in names.items() if not expression.startswith("self.")]
    return (outside or list(names.values()))[0]


class _Writer:
    """Statements of both methods.

    Args:
        capture: of a program with its backward pass.
        names: of the forward graph's arguments, by expression.
        returned: results of the forward graph that the program returns.
    """

    def __init__(self, capture: Capture, names: Mapping[str, str], returned: Sequence[int]) -> None:
        assert capture.backward is not None
        backward = capture.backward
        self._takes_seed = capture.stochastic
        self._keeps_library_calls = capture.keeps_library_calls
        self._backward = backward
        self._names = names
        self._returned = returned
        single = len(returned) == 1
        self.tangents = {
            place: "grad_output" if single else f"grad_output_{n}"
            for n, place in enumerate(returned)
        }
        count = len(backward.bound.arguments)
        inductors = argument_names(backward.source) if backward.source else map(str, range(count))
        saved = zip(backward.bound.arguments, inductors, strict=True)
        self._saved = {
            expression: names.get(expression) or f"saved_{name}"
            for expression, name in saved
            if not expression.startswith(TANGENTS)
        }

    def forward(self, body: ForwardBody) -> list[str]:
        """Launches, saves and returns."""
        results = [ast.unparse(output) for output in body.outputs]
        lines = [ast.unparse(statement) for statement in body.statements]
        kept = [self._names.get(item) or results[_place(item)] for item in self._saved]
        if kept:
            lines.append(f"ctx.save_for_backward({', '.join(kept)})")
        differentiable = {tangent.result for tangent in self._backward.bound.tangents}
        outputs = {place: results[place] for place in self._returned}
        for number, place in enumerate(self._returned):
            if place not in differentiable and not outputs[place].isidentifier():
                lines.append(f"output_{number} = {outputs[place]}")
                outputs[place] = f"output_{number}"
        fixed = [outputs[place] for place in self._returned if place not in differentiable]
        if fixed:
            lines.append(f"ctx.mark_non_differentiable({', '.join(fixed)})")
        lines.append(f"return {', '.join(outputs.values())}")
        return lines

    def backward(self, kernels: Mapping[str, StandaloneKernel]) -> list[str]:
        """Lays the tangents out, launches and returns the gradients that are needed."""
        bound = self._backward.bound
        lines = ["if torch.is_grad_enabled():", f"    raise RuntimeError({_NO_SECOND!r})"]
        if self._saved:
            comma = "," if len(self._saved) == 1 else ""
            lines.append(f"{', '.join(self._saved.values())}{comma} = ctx.saved_tensors")
        lines += [
            self._laid_out(tangent.result, tangent.memory_format) for tangent in bound.tangents
        ]
        places = {f"{TANGENTS}[{place}]": name for place, name in self.tangents.items()}
        arguments = tuple((self._saved | places)[item] for item in bound.arguments)
        results = [arguments[place] if place is not None else "None" for place in bound.handed_on]
        if self._backward.source:
            device = f"{self.tangents[bound.tangents[0].result]}.device"
            body = forward_body(
                self._backward.source,
                arguments,
                kernels,
                device,
                keeps_library_calls=self._keeps_library_calls,
            )
            lines += [ast.unparse(statement) for statement in body.statements]
            results = [ast.unparse(output) for output in body.outputs]
        found = {gradient.argument: gradient.result for gradient in bound.gradients}
        lines.append("return (")
        for number, expression in enumerate(self._names):
            place = found.get(expression)
            value = "None"
            if place is not None:
                value = f"{results[place]} if ctx.needs_input_grad[{number}] else None"
            lines.append(f"    {value},")
        if self._takes_seed:
            lines.append("    None,")
        return [*lines, ")"]

    def _laid_out(self, place: int, memory_format: str) -> str:
        name = self.tangents[place]
        given = (
            "" if memory_format == "contiguous_format" else f"memory_format=torch.{memory_format}"
        )
        return f"{name} = {name}.contiguous({given})"


def _place(expression: str) -> int:
    match = _RESULT.fullmatch(expression)
    assert match is not None
    return int(match.group(1))
