"""Which Python expression each argument and result of a compiled graph is.

Arguments are bound by *identity*: the compiled graph is called with the very tensor objects that
the module and its caller hold, in the order Dynamo and AOTAutograd recorded, so no shape is
compared.  Results are bound by storage: every graph result owns its storage, and a returned tensor
lies either on one of those or on an input's.
"""

from __future__ import annotations

import inspect
import keyword
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from builder.capture.sizes import STATIC, SizeReader, exact
from builder.errors import CaptureRejected

OUTPUTS = "_graph_outputs"
"""The name under which expressions speak of what a compiled graph returned."""

_INDEXED = (nn.ModuleList, nn.Sequential, nn.ParameterList)


def _child(owner: Any, expression: str, name: str) -> str:
    if isinstance(owner, _INDEXED) and name.isdigit():
        return f"{expression}[{name}]"
    if isinstance(owner, (nn.ModuleDict, nn.ParameterDict)):
        return f"{expression}[{name!r}]"
    is_plain = name.isidentifier() and not keyword.iskeyword(name)
    return f"{expression}.{name}" if is_plain else f"getattr({expression}, {name!r})"


def module_tensors(module: nn.Module, expression: str = "self") -> Iterator[tuple[str, Any]]:
    """Every tensor a module holds, with the expression that reaches it from ``self``."""
    plain = {key: value for key, value in vars(module).items() if isinstance(value, torch.Tensor)}
    for tensors in (module._parameters, module._buffers, plain):  # noqa: SLF001 - no public pair
        for name, tensor in tensors.items():
            if tensor is not None:
                yield _child(module, expression, name), tensor
    for name, child in module.named_children():
        yield from module_tensors(child, _child(module, expression, name))


def leaves(value: Any, expression: str) -> Iterator[tuple[str, Any]]:
    """The leaves of nested lists, tuples and dicts, with their expressions."""
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from leaves(item, f"{expression}[{index}]")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f"{expression}[{key!r}]")
    else:
        yield expression, value


def bound_arguments(forward: Callable[..., Any], inputs: Sequence[Any]) -> dict[str, Any]:
    """A call's arguments by ``forward``'s own parameters, defaults among them."""
    bound = inspect.signature(forward).bind(*inputs)
    bound.apply_defaults()
    return dict(bound.arguments)


def containers(value: Any, expression: str) -> Iterator[tuple[str, int]]:
    """Every list, tuple and dict among nested arguments, with its length."""
    if isinstance(value, (list, tuple, Mapping)):
        yield expression, len(value)
        keys = value.keys() if isinstance(value, Mapping) else range(len(value))
        for key in keys:
            yield from containers(value[key], f"{expression}[{key!r}]")


def reject_aliases(named: Sequence[tuple[str, Any]]) -> None:
    """Refuses one tensor object under two names: which is which could not be told.

    Raises:
        CaptureRejected: ``aliased_inputs``.
    """
    seen: dict[int, str] = {}
    for expression, value in named:
        if isinstance(value, torch.Tensor):
            other = seen.setdefault(id(value), expression)
            if other != expression:
                raise CaptureRejected(
                    "aliased_inputs",
                    f"{other} and {expression} are one tensor; give each a tensor of its own",
                )


def literal(value: Any) -> str:
    """Python's spelling of a constant, infinities and NaN included."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    return repr(value)


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata  # noqa: SLF001 - identity of the storage object


def _geometry(tensor: torch.Tensor) -> tuple[Any, ...]:
    size, stride = ([exact(n) for n in every] for every in (tensor.size(), tensor.stride()))
    return size, stride, exact(tensor.storage_offset()), tensor.dtype


def is_same(tensor: torch.Tensor, other: Any) -> bool:
    """Whether two tensor objects are the same memory, read in the same way."""
    return (
        isinstance(other, torch.Tensor)
        and _storage(tensor) == _storage(other)
        and _geometry(tensor) == _geometry(other)
    )


def bind_arguments(
    arguments: Sequence[Any], named: Sequence[tuple[str, Any]], reader: SizeReader = STATIC
) -> tuple[str, ...]:
    """The expression of each run-time argument of a compiled graph.

    Raises:
        CaptureRejected: ``unbound_argument``: an argument is neither a tensor of the module nor one
            of the inputs.
    """
    by_identity: dict[int, str] = {}
    for expression, value in named:
        if isinstance(value, torch.Tensor):
            by_identity.setdefault(id(value), expression)
    expressions = []
    for position, argument in enumerate(arguments):
        if not isinstance(argument, torch.Tensor):
            expressions.append(_number(argument, reader))
        elif id(argument) in by_identity:
            expressions.append(by_identity[id(argument)])
        else:
            raise CaptureRejected(
                "unbound_argument",
                f"argument {position} of the compiled graph is a tensor of shape "
                f"{tuple(argument.shape)} that is neither a parameter, a buffer nor an input; "
                "make it one of these",
            )
    return tuple(expressions)


def _number(value: Any, reader: SizeReader) -> str:
    return str(reader.extent(value)) if isinstance(value, torch.SymInt) else literal(value)


def _tuple(values: Sequence[Any], reader: SizeReader) -> str:
    inner = ", ".join(map(str, reader.extents(values)))
    return f"({inner},)" if len(values) == 1 else f"({inner})"


def _tensor_expression(
    tensor: torch.Tensor,
    results: Sequence[Any],
    named: Sequence[tuple[str, Any]],
    reader: SizeReader,
) -> str:
    owners = [(f"{OUTPUTS}[{index}]", owner) for index, owner in enumerate(results)]
    owners += [(expression, owner) for expression, owner in named]
    candidates = [
        (expression, owner)
        for expression, owner in owners
        if isinstance(owner, torch.Tensor) and _storage(owner) == _storage(tensor)
    ]
    for expression, owner in candidates:
        if _geometry(owner) == _geometry(tensor):
            return expression
    if not candidates or candidates[0][1].dtype != tensor.dtype:
        raise CaptureRejected(
            "unbound_output",
            f"an output of shape {tuple(tensor.shape)} lies on no result of the compiled graph; "
            "return tensors that forward computes",
        )
    expression, owner = candidates[0]
    start = ""
    if exact(tensor.storage_offset()) != exact(owner.storage_offset()):
        shift = reader.extent(tensor.storage_offset() - owner.storage_offset())
        # Where a caller's own tensor starts in its storage is not known here.
        start = f", {expression}.storage_offset() + {shift}"
    size, stride = _tuple(tensor.size(), reader), _tuple(tensor.stride(), reader)
    return f"torch.as_strided({expression}, {size}, {stride}{start})"


def rebound(
    before: Sequence[tuple[str, Any]], after: Sequence[tuple[str, Any]]
) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors that a module holds in place of those it held under the same name.

    Raises:
        CaptureRejected: ``mutates_attributes``: it holds more names, or fewer.
    """
    old = dict(before)
    odd = sorted(old.keys() ^ dict(after).keys())
    if odd:
        raise CaptureRejected(
            "mutates_attributes",
            f"forward makes or drops {', '.join(odd)}; register a buffer in __init__",
        )
    for expression, tensor in after:
        if tensor is not old[expression]:
            yield expression, tensor


def bind_result(
    value: Any,
    results: Sequence[Any],
    named: Sequence[tuple[str, Any]],
    reader: SizeReader = STATIC,
) -> str:
    """The expression that rebuilds what ``forward`` returned from ``OUTPUTS`` and the inputs.

    Raises:
        CaptureRejected: ``unsupported_output``: a container or leaf that has no plain spelling.
    """
    if isinstance(value, torch.Tensor):
        return _tensor_expression(value, results, named, reader)
    if isinstance(value, torch.SymInt):
        return _number(value, reader)
    if value is None or isinstance(value, (bool, int, float, str)):
        return literal(value)
    if type(value) in (list, tuple):
        items = [bind_result(item, results, named, reader) for item in value]
        inner = ", ".join(items)
        if isinstance(value, list):
            return f"[{inner}]"
        return f"({inner},)" if items else "()"
    if type(value).__module__ == "torch.return_types":
        items = [bind_result(item, results, named, reader) for item in value]
        return f"torch.return_types.{type(value).__name__}([{', '.join(items)}])"
    if type(value) is dict:
        items = [bind_result(item, results, named, reader) for item in value.values()]
        pairs = (f"{key!r}: {item}" for key, item in zip(value, items, strict=True))
        return "{" + ", ".join(pairs) + "}"
    raise CaptureRejected(
        "unsupported_output",
        f"forward returns a {type(value).__name__}; return tensors in lists, tuples or dicts",
    )
