"""Higher-order operators in eager: operators that a program hands functions of its own.

``flex_attention``, ``associative_scan``, ``scan``, ``map``, ``while_loop`` and ``cond`` compile
what they are given even in eager, and the compiled operator hides its steps from dispatch modes.
While a program runs here they take the dense form that PyTorch defines them by, step by step.

Parts of ``torch/_higher_order_ops`` are private; written against torch 2.11 to 2.13, held by
``tests/programs/test_higher_order.py``.
"""

from __future__ import annotations

import contextlib
import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from torch.utils._pytree import tree_leaves, tree_structure, tree_unflatten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PACKAGE = "torch._higher_order_ops"
_FLEX: Any = importlib.import_module("torch.nn.attention.flex_attention")
_WARNS_UNLESS = "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG"  # that it is not compiled
_SCAN: Any = importlib.import_module(f"{_PACKAGE}.associative_scan")
_OPERATORS = (
    ("flex_attention", "flex_attention"),
    ("associative_scan", "associative_scan_op"),
    ("scan", "scan_op"),
    ("while_loop", "while_loop_op"),
    ("cond", "cond_op"),
    ("map", "map_impl"),
)


def _operator(module: str, name: str) -> Any:
    """The package hides some modules behind the operators they define."""
    return getattr(importlib.import_module(f"{_PACKAGE}.{module}"), name)


def _dense(operator: Any) -> Callable[..., Any]:
    kernel = operator.py_kernels[torch._C.DispatchKey.CompositeExplicitAutograd]  # noqa: SLF001
    module = importlib.import_module(kernel.__module__)
    nested = _NESTED.get(operator.name(), _plain)

    def run(_operator: Any, *args: Any, **kwargs: Any) -> Any:
        with _within_modes(module):
            return nested(kernel, *args, **kwargs)

    return run


def _plain(kernel: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return kernel(*args, **kwargs)


@dataclass
class _Noted:
    """A function that notes the nesting of what it returns, which the dense forms lose."""

    function: Callable[..., Any]
    nesting: Any = None

    def __call__(self, *args: Any) -> Any:
        found = self.function(*args)
        self.nesting = tree_structure(found)
        return found


def _associative_scan(
    kernel: Callable[..., Any], combine: Any, xs: Any, additional_inputs: Any
) -> Any:
    """Its results lie in memory as what is scanned does."""
    noted = _Noted(combine)
    results = kernel(noted, xs, additional_inputs)
    if noted.nesting is None:  # of one element, which is not combined
        noted(*xs, *xs, *additional_inputs)
    laid = [torch.empty_like(x).copy_(result) for x, result in zip(xs, results, strict=True)]
    return tree_unflatten(laid, noted.nesting)


def _nested(kernel: Callable[..., Any], function: Any, *args: Any, **kwargs: Any) -> Any:
    noted = _Noted(function)
    results = kernel(noted, *args, **kwargs)
    return tree_unflatten(tree_leaves(results), noted.nesting)


_NESTED: dict[str, Callable[..., Any]] = {
    "associative_scan": _associative_scan,
    "scan": _nested,
    "map_impl": _nested,
}


@contextlib.contextmanager
def _within_modes(module: Any) -> Iterator[None]:
    """Some dense forms refuse to run under a dispatch mode, which is just what is wanted."""
    name = "_get_current_dispatch_mode"
    if not hasattr(module, name):
        yield
        return
    with mock.patch.object(module, name, return_value=None):
        yield


def _as_it_is(function: Any = None, **_: Any) -> Any:
    return function if function is not None else _as_it_is


@contextlib.contextmanager
def on_any_device() -> Iterator[None]:
    """Lets operators take what they refuse on the CPU for want of a code generator.

    These are ``associative_scan`` in its pointwise mode, which asks that of ``all`` its arguments,
    and gradients of ``flex_attention``.
    """
    with (
        mock.patch.object(_SCAN, "all", _yes, create=True),
        mock.patch.object(_FLEX, "_validate_device", _accept),
    ):
        yield


def _accept(*_: Any) -> None:
    """Any device."""


def _yes(_: Any) -> bool:
    return True


@contextlib.contextmanager
def dense_operators() -> Iterator[None]:
    """Runs a program's higher-order operators in their dense form; once inside is enough."""
    if torch.compile is _as_it_is:
        yield
        return
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(torch, "compile", _as_it_is))
        stack.enter_context(mock.patch.object(_FLEX, _WARNS_UNLESS, new=True, create=True))
        stack.enter_context(on_any_device())
        for module, name in _OPERATORS:
            operator = _operator(module, name)
            dense = _dense(operator)
            stack.enter_context(mock.patch.object(type(operator), "__call__", dense))
        yield
