"""Loads a program file: executes its text and hands out modules and inputs.

Only ever called within a worker process: the text is the user's and does what it likes.
KernelBench's form (``class Model``, ``get_inputs``, ``get_init_inputs``, module constants) is
a program file, too.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import linecache
import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, MappingProxyType, ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from builder.errors import SPARSE_ADVICE, BuilderError, ProgramRejected
from builder.programs.higher_order import dense_operators

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

FORWARD_SEED = 0x5EED
_MESSAGE_LIMIT = 400
_ALLOCATION_FAILED = "DefaultCPUAllocator: can't allocate memory"


@dataclass(frozen=True)
class LoadedProgram:
    """A program file after execution.

    Attributes:
        entry_point: name of the module's class.
        namespace: the globals of the executed file.
        python_code: its text.
        filename: name of the file in tracebacks and messages.
    """

    entry_point: str
    namespace: dict[str, Any]
    python_code: str
    filename: str

    @property
    def num_variants(self) -> int:
        """Number of input sets of ``get_shape_variants``; 0 where it is not defined."""
        return len(self._variants())

    def make_module(self, seed: int = 0) -> nn.Module:
        """Constructs the module with the global generator at ``seed``.

        Raises:
            ProgramRejected: ``init_error``.
        """
        torch.default_generator.manual_seed(seed)
        with self.user_code("init_error", "correct get_init_inputs or __init__"):
            args, kwargs = self._init_inputs()
            module = self.namespace[self.entry_point](*args, **kwargs)
        if not isinstance(module, nn.Module):
            raise ProgramRejected(
                "init_error", f"{self.entry_point}(...) gives no nn.Module; correct its __new__"
            )
        return module

    def constructor_arguments(self) -> dict[str, Any]:
        """Names and values of the constructor's parameters, defaults included.

        ``*args`` is a tuple under its name, ``**kwargs`` are merged by their own names, ``self`` is
        left out.  Random values are those of ``make_module(0)``; the global generator stays as it
        was.

        Returns:
            The arguments in the signature's order; empty where Python gives no signature.

        Raises:
            ProgramRejected: ``init_error``.
        """
        try:
            signature = inspect.signature(self.namespace[self.entry_point])
        except (TypeError, ValueError):
            return {}
        with (
            torch.random.fork_rng(devices=[]),
            self.user_code("init_error", "correct get_init_inputs or __init__"),
        ):
            torch.default_generator.manual_seed(0)
            args, kwargs = self._init_inputs()
            bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        found: dict[str, Any] = {}
        for name, value in bound.arguments.items():
            merged = signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
            found.update(value if merged else {name: value})
        return found

    def make_inputs(self, seed: int, variant: int | None = None) -> list[Any]:
        """Draws the inputs with the global generator at ``seed``.

        Args:
            seed: a new seed gives new inputs.
            variant: index into ``get_shape_variants``; ``None`` for ``get_inputs``.

        Raises:
            ProgramRejected: ``inputs_error`` or ``sparse_tensor``.
        """
        name = "get_inputs" if variant is None else f"get_shape_variants()[{variant}]"
        draw = self.namespace["get_inputs"] if variant is None else self._variants()[variant]
        torch.default_generator.manual_seed(seed)
        with self.user_code("inputs_error", f"correct {name}"):
            inputs = draw()
        if not isinstance(inputs, (list, tuple)):
            raise ProgramRejected(
                "inputs_error",
                f"{name} returns {type(inputs).__name__}; return the list of forward's arguments",
            )
        for value in inputs:
            _check_input(value, name)
        return list(inputs)

    def run(self, module: nn.Module, inputs: list[Any], seed: int = FORWARD_SEED) -> Any:
        """``module(*inputs)`` with the global generator at ``seed``, so that it can be repeated.

        Raises:
            ProgramRejected: ``forward_error``.
        """
        torch.default_generator.manual_seed(seed)
        with self.user_code("forward_error", "correct forward or get_inputs"), dense_operators():
            return module(*inputs)

    @contextmanager
    def user_code(self, kind: str, advice: str) -> Iterator[None]:
        """Turns what the user's code raises into a rejection that names the line.

        Failures to allocate memory, and interrupts, pass unchanged.
        """
        with _rejecting(kind, advice, self.filename, self.python_code):
            yield

    def _init_inputs(self) -> tuple[list[Any], dict[str, Any]]:
        return _args_and_kwargs(self.namespace.get("get_init_inputs", list)())

    def _variants(self) -> list[Callable[[], Any]]:
        if "get_shape_variants" not in self.namespace:
            return []
        with self.user_code("inputs_error", "correct get_shape_variants"):
            variants = self.namespace["get_shape_variants"]()
        if not isinstance(variants, (list, tuple)) or not all(map(callable, variants)):
            raise ProgramRejected(
                "inputs_error", "get_shape_variants must return a list of functions like get_inputs"
            )
        return list(variants)


def load_program(
    python_code: str,
    entry_point: str | None = None,
    filename: str = "<program>",
    code: CodeType | None = None,
    given: Mapping[str, Any] = MappingProxyType({}),
) -> LoadedProgram:
    """Executes a program file and finds its entry point.

    Args:
        python_code: the text.
        entry_point: name of the module's class; ``None`` takes ``Model``, or else the only subclass
            of ``nn.Module`` that the file defines, or else the last.
        filename: shown in messages.
        code: executed instead of the text, which is what messages then quote.
        given: globals that it finds.

    Raises:
        ProgramRejected: ``syntax_error``, ``import_error``, ``missing_class``,
            ``missing_function``.
    """
    code = code or _compiled(python_code, filename)
    lines = python_code.splitlines(keepends=True)
    linecache.cache[filename] = (len(python_code), None, lines, filename)
    module = ModuleType(f"program_{hashlib.sha256(python_code.encode()).hexdigest()[:16]}")
    module.__dict__.update(given)
    sys.modules[module.__name__] = module  # dataclasses and pickling look a class's module up
    with _rejecting("import_error", _IMPORT_ADVICE, filename, python_code):
        exec(code, module.__dict__)
    name = _resolved(module, entry_point)
    if not callable(module.__dict__.get("get_inputs")):
        raise ProgramRejected(
            "missing_function",
            f"{filename}: no get_inputs; define it to return forward's arguments",
        )
    return LoadedProgram(name, module.__dict__, python_code, filename)


_IMPORT_ADVICE = "the file must run by itself and may import only torch, math and typing"


@functools.lru_cache(maxsize=4)
@functools.lru_cache(maxsize=64)
def _compiled(text: str, filename: str) -> Any:
    try:
        return compile(text, filename, "exec", dont_inherit=True)
    except SyntaxError as error:
        where = _place(error.lineno, text)
        message = f"{filename}{where}: {error.msg}; correct the line"
        raise ProgramRejected("syntax_error", message) from error
    except (ValueError, RecursionError, MemoryError) as error:
        message = f"{filename}: cannot be compiled: {error or type(error).__name__}"
        raise ProgramRejected("syntax_error", f"{message}; give plain Python text") from error


def _resolved(module: ModuleType, entry_point: str | None) -> str:
    defined = [
        name
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, nn.Module)
        and value.__module__ == module.__name__
    ]
    if entry_point is not None:
        found = vars(module).get(entry_point)
        if isinstance(found, type) and issubclass(found, nn.Module):
            return entry_point
        wanted = f"no nn.Module class {entry_point!r}; "
    else:
        wanted = ""
    if not defined:
        raise ProgramRejected(
            "missing_class",
            f"{wanted}the file defines no subclass of nn.Module; add one with a forward",
        )
    if entry_point is not None:
        raise ProgramRejected(
            "missing_class", f"{wanted}name one that the file defines: {', '.join(defined)}"
        )
    return "Model" if "Model" in defined else defined[-1]


def _args_and_kwargs(given: Any) -> tuple[list[Any], dict[str, Any]]:
    """``[list, dict]`` is args and kwargs, any other list is positional."""
    if not isinstance(given, (list, tuple)):
        raise TypeError(f"get_init_inputs returns {type(given).__name__}, not a list")
    if len(given) == 2 and isinstance(given[0], (list, tuple)) and isinstance(given[1], dict):
        return list(given[0]), dict(given[1])
    return list(given), {}


def _check_input(value: Any, name: str) -> None:
    if isinstance(value, (list, tuple)):
        for part in value:
            _check_input(part, name)
    elif isinstance(value, dict):
        for part in value.values():
            _check_input(part, name)
    elif not (value is None or isinstance(value, (torch.Tensor, bool, int, float, complex))):
        raise ProgramRejected(
            "inputs_error",
            f"{name} returns a {type(value).__name__}; return only tensors, numbers, bools, None "
            "and lists, tuples or dicts of these",
        )
    elif isinstance(value, torch.Tensor) and value.layout is not torch.strided:
        raise ProgramRejected(
            "sparse_tensor", f"{name} returns a tensor of layout {value.layout}; {SPARSE_ADVICE}"
        )
    elif isinstance(value, torch.Tensor) and not value.is_leaf:
        raise ProgramRejected(
            "inputs_error", f"{name} returns a tensor with a gradient history; detach it"
        )


# --- whose line it was ----------------------------------------------------------------------


@contextmanager
def _rejecting(kind: str, advice: str, filename: str, text: str) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, BuilderError):
        raise
    except BaseException as error:  # SystemExit, too: a program must not end its worker
        if _out_of_memory(error):
            raise
        where = _place(_user_line(error.__traceback__, filename), text)
        raise ProgramRejected(kind, f"{filename}{where}: {_summary(error)}; {advice}") from error


def _out_of_memory(error: BaseException) -> bool:
    """The worker's limit, not the program's fault: whoever set the limit judges."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and _ALLOCATION_FAILED in str(error)
    )


def _user_line(traceback: TracebackType | None, filename: str) -> int | None:
    """Line of the innermost frame that lies in the user's file."""
    line = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == filename:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def _place(line: int | None, text: str) -> str:
    if line is None:
        return ""
    lines = text.splitlines()
    source = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    return f", line {line}: `{source}`" if source else f", line {line}"


def _summary(error: BaseException) -> str:
    """Type and first line of the message, without addresses, which differ from run to run."""
    first = (str(error).strip().splitlines() or [""])[0]
    first = re.sub(r"0x[0-9a-fA-F]+", "0x...", first)[:_MESSAGE_LIMIT].rstrip(" .;")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
