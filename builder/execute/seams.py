"""The one place of this room that touches private parts of Triton and torch.

Known to hold for triton 3.6 and 3.7 and torch 2.11 to 2.13: ``JITFunction.run``, ``_pack_args``,
``params`` and ``cache_key``; ``create_function_from_signature``; ``Autotuner.run``;
``make_backend``; ``CUDABackend.make_ttir`` and ``get_codegen_implementation``;
``ASTSource.make_ir``; ``JITFunction.parse`` and ``src``; ``DriverConfig._active``;
``core.builtin``; ``torch.utils._python_dispatch``; ``UntypedStorage._cdata``;
``OpOverload._schema``; ``torch.multiprocessing.reductions.StorageWeakRef``.
"""

from __future__ import annotations

import ast
import contextlib
import os
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from triton._C.libtriton import ir
from triton.backends.amd.compiler import HIPOptions
from triton.backends.compiler import GPUTarget
from triton.backends.driver import DriverBase
from triton.compiler.compiler import ASTSource, make_backend
from triton.language import core
from triton.runtime.autotuner import Autotuner
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction, create_function_from_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["StorageWeakRef", "TorchDispatchMode"]

with contextlib.suppress(ImportError):
    # Triton imports this at the first launch; here it is imported once, before workers fork.
    import triton.experimental.gluon.nvidia.hopper  # noqa: F401

TARGET = GPUTarget("cuda", 90, 32)
_NO_DESCRIPTORS = 80
"""A capability for which TTIR's passes turn tensor descriptors into pointers."""
_FOREIGN_OPTIONS = frozenset(field.name for field in fields(HIPOptions))


@dataclass(frozen=True)
class Binding:
    """One launch's arguments, specialised as Triton does it.

    Attributes:
        arguments: parameter name to value, defaults filled in.
        signature: parameter name to Triton's type, ``constexpr`` for constants.
        constants: path of a parameter to its constant.
        attributes: path of a parameter to its attributes (divisibility).
        options: what the launch said beyond the parameters.
        key: equal for launches with the same TTIR; None where no key can tell.
    """

    arguments: dict[str, Any]
    signature: dict[str, Any]
    constants: dict[tuple[int, ...], Any]
    attributes: dict[tuple[int, ...], Any]
    options: dict[str, Any]
    key: tuple[Any, ...] | None = None


@lru_cache(maxsize=1)
def _backend() -> Any:
    return make_backend(TARGET)


_BINDERS_LIMIT = 1024
_PACKED_LIMIT = 1024
_PLAIN = (int, float, str, type(None))
_packed: dict[tuple[Any, ...], tuple[Any, Any, Any]] = {}
_binders: dict[int, tuple[JITFunction, Any]] = {}


def _binder(kernel: JITFunction) -> Any:
    known = _binders.get(id(kernel))
    if known is None or known[0] is not kernel:
        if len(_binders) >= _BINDERS_LIMIT:
            _binders.clear()
        binder = create_function_from_signature(kernel.signature, kernel.params, _backend())
        known = _binders[id(kernel)] = (kernel, binder)
    return known[1]


def bind(kernel: JITFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Binding:
    """Bind and specialise arguments.

    Raises:
        TypeError: they do not fit the kernel's parameters.
        KeyError: an option that no backend knows.
    """
    for hook in kernel.pre_run_hooks:
        hook(*args, **kwargs)
    binder = _binder(kernel)
    bound, specialisation, options = binder(*args, **kwargs)
    lowered = _key(binder, bound, specialisation, options)
    if lowered is None:
        return Binding(bound, *_pack(kernel, kwargs, bound, specialisation, options), options)
    key = lowered, tuple(attribute for _, attribute, *_ in specialisation)
    packed = _packed.get(key)
    if packed is None:
        if len(_packed) >= _PACKED_LIMIT:
            _packed.clear()
        packed = _packed[key] = _pack(kernel, kwargs, bound, specialisation, options)
    return Binding(bound, *packed, dict(options), lowered)


def _pack(
    kernel: JITFunction,
    kwargs: dict[str, Any],
    bound: dict[str, Any],
    specialisation: list[Any],
    options: dict[str, Any],
) -> tuple[Any, Any, Any]:
    """Signature, constants and attributes."""
    known = {
        name: value
        for name, value in kwargs.items()
        if name in bound or name not in _FOREIGN_OPTIONS or hasattr(_defaults(), name)
    }
    _, signature, constants, attributes = kernel._pack_args(  # noqa: SLF001
        _backend(), known, bound, specialisation, options
    )
    return signature, constants, attributes


def _key(
    binder: Any, bound: dict[str, Any], specialisation: list[Any], options: dict[str, Any]
) -> tuple[Any, ...] | None:
    """What TTIR depends on: the kernel, which a binder is of, types, constants and options.

    None if some constant cannot be told by its text.
    """
    told: list[Any] = [binder]
    for value, (kind, attribute, *_) in zip(bound.values(), specialisation, strict=True):
        if not isinstance(kind, str) or not isinstance(attribute, _PLAIN):
            return None
        told.append((kind, repr(value)) if kind == "constexpr" else kind)
    told.extend((name, repr(value)) for name, value in options.items())
    return tuple(told) if all(isinstance(value, _PLAIN) for value in options.values()) else None


class _Unread:
    """Stands for a tensor where only its type and its place count."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.dtype = tensor.dtype
        self._place = int(tensor.storage_offset()) * tensor.element_size()

    def data_ptr(self) -> int:
        return self._place


def unread(argument: Any) -> Any:
    """What a launch is told of an argument, for tensors that have no memory."""
    return _Unread(argument) if isinstance(argument, torch.Tensor) else argument


@lru_cache(maxsize=1)
def _defaults() -> Any:
    return _backend().parse_options({})


FROM_E4M3B15 = "from e4m3b15 $0, $1"
TO_E4M3B15 = "to e4m3b15 $0, $1"


@core.builtin
def _convert_e4m3b15(value: Any, target: Any, _rounding: Any = None, _semantic: Any = None) -> Any:
    """Triton converts this type with whole programs of inline PTX; here one word says it."""
    upward = value.type.scalar.is_fp8e4b15()
    if value.type.scalar.is_fp32():
        value = value.to(core.float16, fp_downcast_rounding="rtz", _semantic=_semantic)
    result = core.inline_asm_elementwise(
        FROM_E4M3B15 if upward else TO_E4M3B15,
        "=r,r",
        [value],
        dtype=core.float16 if upward else core.float8e4b15,
        is_pure=True,
        pack=1,
        _semantic=_semantic,
    )
    narrow = not upward or target.scalar.is_fp16()
    return result if narrow else result.to(core.float32, _semantic=_semantic)


def lower(kernel: JITFunction, binding: Binding) -> str:
    """TTIR of a kernel, printed with locations, device assertions kept.

    Nothing is said of the arguments' divisibility: it changes no operation of TTIR.

    Raises:
        triton.compiler.errors.CompilationError: the front end rejects the kernel.
    """
    backend = _backend()
    given = {k: v for k, v in binding.options.items() if hasattr(_defaults(), k)}
    options = backend.parse_options({**given, "debug": True, "sanitize_overflow": False})
    context = _context(os.getpid())
    source = ASTSource(kernel, binding.signature, binding.constants, {})
    implementation = backend.get_codegen_implementation(options)
    implementation |= {"convert_custom_types": _convert_e4m3b15}
    with mock.patch.object(JITFunction, "parse", lambda function: _parsed(function.src)):
        module = source.make_ir(TARGET, options, implementation, backend.get_module_map(), context)
    text: str = backend.make_ttir(module, {}, options, _NO_DESCRIPTORS).str()
    return text


@cache
def _context(_process: int) -> Any:
    """MLIR's context of this process: to make one takes a fifth of a small kernel's front end.

    That of the process it was forked from is left alone, for its threads are not here.
    """
    context = ir.context()
    ir.load_dialects(context)
    _backend().load_dialects(context)
    return context


@lru_cache(maxsize=512)
def _parsed(source: str) -> ast.Module:
    """A function's tree; the front end, which asks for it at every call, leaves it as it is."""
    return ast.parse(source)


def source_file(kernel: JITFunction) -> str:
    name: str = kernel.fn.__code__.co_filename
    return name


class InertDriver(DriverBase):
    """Answers what launchers ask of a driver; launches nothing."""

    def __init__(self) -> None:
        super().__init__()

    @classmethod
    def is_active(cls) -> bool:
        return True

    def map_python_to_cpp_type(self, ty: str) -> str:
        return ty

    def get_current_target(self) -> GPUTarget:
        return TARGET

    def get_current_device(self) -> int:
        return 0

    def set_current_device(self, device: int) -> None:
        """There is only one."""

    def get_current_stream(self, _device: int = 0) -> int:
        return 0

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def utils(self) -> InertDriver:
        return self

    def get_device_properties(self, _device: int = 0) -> dict[str, int]:
        """What persistent kernels ask before they choose a grid; figures of an H100."""
        return {
            "max_shared_mem": 227 << 10,
            "max_num_regs": 65536,
            "multiprocessor_count": 132,
            "warpSize": 32,
        }

    def get_benchmarker(self) -> Any:
        return lambda call, **_: call() or [0.0, 0.0, 0.0]


def _run_first_configuration(self: Autotuner, *args: Any, **kwargs: Any) -> Any:
    """An autotuned kernel with nothing to measure on takes its first configuration."""
    self.nargs = dict(zip(self.arg_names, args, strict=False))
    config = self.configs[0]
    everything = {**self.nargs, **kwargs, **config.all_kwargs()}
    if config.pre_hook is not None:
        config.pre_hook(everything)
    self.pre_hook(everything, reset_only=True)
    self.best_config = config
    result = self.fn.run(*args, **kwargs, **config.all_kwargs())
    self.nargs = None
    return result


@contextlib.contextmanager
def launches_go_to(launch: Callable[..., None]) -> Iterator[None]:
    """While active ``launch(kernel, grid, args, kwargs)`` stands for every launch.

    The previous state is restored on leaving, whatever happened inside.
    """

    def run(self: JITFunction, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
        if not warmup:
            launch(self, grid, args, kwargs)

    before = driver._active  # noqa: SLF001
    driver.set_active(InertDriver())
    try:
        with (
            mock.patch.object(JITFunction, "run", run),
            mock.patch.object(Autotuner, "run", _run_first_configuration),
        ):
            yield
    finally:
        driver._active = before  # noqa: SLF001


def storage_key(storage: torch.UntypedStorage) -> int:
    """Identifies a storage among those that are alive."""
    key: int = storage._cdata  # noqa: SLF001
    return key


def schema_of(function: Any) -> Any:
    """The schema of an ATen operation: its name, and which arguments it writes."""
    return function._schema  # noqa: SLF001


def without_modes() -> contextlib.AbstractContextManager[Any]:
    """Torch as it is without any dispatch mode."""
    context: contextlib.AbstractContextManager[Any] = _disable_current_modes()
    return context
