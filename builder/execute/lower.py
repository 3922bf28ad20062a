"""A kernel and its launch arguments to the executor's IR, cached by specialisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from triton.compiler.errors import CompilationError
from triton.runtime.jit import JITFunction

from builder.errors import ExecutionError
from builder.execute import seams
from builder.execute.descriptors import descriptor_parts
from builder.execute.memo import forget_memos
from builder.execute.parse import parse_ttir

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.execute.ir import Module

_CACHE_LIMIT = 512
_programs: dict[tuple[Any, ...], Program] = {}


@dataclass(frozen=True, eq=False)
class Program:
    """A kernel, specialised.

    Attributes:
        module: its IR.
        name: the kernel's name.
        parameters: paths of the parameters that are arguments of the entry function, in order.
        roots: what may point where, see ``provenance``.
    """

    module: Module
    name: str
    parameters: tuple[tuple[str, tuple[int, ...]], ...]


def lower(kernel: JITFunction, binding: seams.Binding) -> Program:
    """The program for a launch.

    Raises:
        ExecutionError: ``compile``, Triton's front end rejects the kernel; ``parse``.
    """
    key = binding.key or _key(kernel, binding)
    known = _programs.get(key)
    if known is None:
        if len(_programs) >= _CACHE_LIMIT:
            _programs.clear()
        known = _programs[key] = _lower(kernel, binding)
    return known


def forget_programs() -> None:
    """Lower every kernel anew from now on."""
    _programs.clear()
    forget_memos()


def _key(kernel: JITFunction, binding: seams.Binding) -> tuple[Any, ...]:
    """What TTIR depends on, where a launch has no key of its own, which is quicker to tell.

    Which arguments are divisible by 16 matters to later passes alone.
    """
    constants = [(path, _text(value)) for path, value in sorted(binding.constants.items())]
    options = sorted((name, str(value)) for name, value in binding.options.items())
    return (
        kernel.cache_key,
        str(binding.signature),
        str(constants),
        str(options),
    )


def _text(value: Any) -> str:
    return value.cache_key if isinstance(value, JITFunction) else f"{type(value).__name__} {value}"


def _lower(kernel: JITFunction, binding: seams.Binding) -> Program:
    try:
        text = seams.lower(kernel, binding)
    except CompilationError as error:
        raise ExecutionError(
            "compile",
            f"Triton's front end rejects it: {_explained(error)}",
            kernel=kernel.__name__,
        ) from error
    module = parse_ttir(text, seams.source_file(kernel))
    parameters = tuple(
        (name, path)
        for name, kind in binding.signature.items()
        for path, leaf in _leaves(kind)
        if leaf != "constexpr"
    )
    if len(parameters) != len(module.entry.arguments):
        raise ExecutionError(
            "parse", "parameters and arguments differ in number", kernel=kernel.__name__
        )
    return Program(module, kernel.__name__, parameters)


def _explained(error: BaseException) -> str:
    """The message of an error and of what caused it, innermost last."""
    parts = [str(error)]
    while error.__cause__ is not None:
        error = error.__cause__
        parts.append(str(error) or type(error).__name__)
    return "\n".join(dict.fromkeys(parts))


def _leaves(kind: Any, path: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], str]]:
    if isinstance(kind, (tuple, list)):
        for number, part in enumerate(kind):
            yield from _leaves(part, (*path, number))
    elif kind.startswith("tensordesc<"):
        for number in range(descriptor_parts(kind.count(",") + 1)):
            yield (*path, number), kind
    else:
        yield path, kind
