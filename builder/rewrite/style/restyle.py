"""From a standalone kernel to a readable one."""

from __future__ import annotations

import ast
import copy
import enum
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from builder.capture.origins import KernelOrigin
from builder.rewrite.fold import fold
from builder.rewrite.style.addresses import order_addresses
from builder.rewrite.style.buffers import name_buffers
from builder.rewrite.style.casts import drop_needless_casts
from builder.rewrite.style.constants import settle_constants
from builder.rewrite.style.docs import describe
from builder.rewrite.style.functions import name_functions
from builder.rewrite.style.host import (
    launches,
    settle_grid,
    size_word,
    wanted_in_backward,
    words_of,
)
from builder.rewrite.style.inline import copy_names, drop_unread, inline_temporaries
from builder.rewrite.style.kernel_names import name_kernels_apart
from builder.rewrite.style.kinds import signature_kinds
from builder.rewrite.style.literals import write_literals
from builder.rewrite.style.names import Hints, Names
from builder.rewrite.style.products import write_products
from builder.rewrite.style.repeats import drop_repeats
from builder.rewrite.style.shared import share_addresses
from builder.rewrite.style.sizes import name_sizes
from builder.rewrite.style.versions import separate_versions
from builder.rewrite.style.words import prefixed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from builder.capture.capture import Capture
    from builder.rewrite.kernel import StandaloneKernel
    from builder.rewrite.launcher import Launch
    from builder.rewrite.style.kinds import Kinds

_POINTER = re.compile(r"(in|out|in_out)_ptr\d+|arg_\w+|\w+_ptr\d*")
_SIZE = re.compile(r"ks\d+")


class Style(enum.Enum):
    """How kernels are written.

    Attributes:
        READABLE: with names, docstrings and comments.
        COMPACT: with names alone.
        RAW: as the compiler wrote them, made standalone.
    """

    READABLE = "readable"
    COMPACT = "compact"
    RAW = "raw"


def styled(
    hosts: Sequence[str],
    kernels: Sequence[StandaloneKernel],
    capture: Capture,
    sizes: Mapping[int, str],
    taken: Iterable[str],
    style: Style,
) -> tuple[list[str], list[StandaloneKernel]]:
    """The classes of a module and its kernels, to be read.

    Args:
        hosts: texts of the classes: the autograd function of a training pair, and the module.
        kernels: standalone, in their order.
        capture: what they come from.
        sizes: what the program calls sizes, by the number.
        taken: names of the module's functions and classes.
        style: how they are written.
    """
    names = {*taken, *(kernel.name for kernel in kernels)}
    trees = [ast.parse(text) for text in hosts]
    _name_buffers(trees, capture, names, kernels)
    by_launcher: dict[str, list[ast.Call]] = {kernel.launcher: [] for kernel in kernels}
    for call in launches(trees, by_launcher):
        by_launcher[ast.unparse(call.func)].append(call)
    kernels = name_kernels_apart(kernels, by_launcher, names)
    by_launcher = {kernel.launcher: [] for kernel in kernels}
    for call in launches(trees, by_launcher):
        by_launcher[ast.unparse(call.func)].append(call)
    kernels = [settle_grid(kernel, by_launcher[kernel.launcher]) for kernel in kernels]
    every = [
        restyled(kernel, by_launcher[kernel.launcher], sizes, sorted(names)) for kernel in kernels
    ]
    if style is Style.READABLE:
        _describe(every, capture)
    return [ast.unparse(tree) for tree in trees], every


def _describe(kernels: Sequence[StandaloneKernel], capture: Capture) -> None:
    backward = capture.backward
    graphs = [(capture.kernels, capture.origins)]
    graphs += [(backward.kernels, backward.origins)] if backward is not None else []
    captured = [(kernel, origins) for found, origins in graphs for kernel in found]
    for kernel, (original, origins) in zip(kernels, captured, strict=True):
        origin = origins.kernels.get(original.name, KernelOrigin())
        describe(kernel, original.kind, origin, origins.lines)
        ast.fix_missing_locations(kernel.function)


def _name_buffers(
    trees: Sequence[ast.Module],
    capture: Capture,
    names: set[str],
    kernels: Sequence[StandaloneKernel],
) -> None:
    methods = {
        (tree, item.name): item
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for item in node.body
        if isinstance(item, ast.FunctionDef) and item.name in ("forward", "backward")
    }
    for (tree, name), method in methods.items():
        if name == "forward":
            name_buffers(method, capture.origins, names, None, kernels)
        elif capture.backward is not None:
            wanted = wanted_in_backward(methods[tree, "forward"], method)
            name_buffers(method, capture.backward.origins, names, wanted, kernels)


def restyled(
    kernel: StandaloneKernel,
    calls: Sequence[ast.Call],
    sizes: Mapping[int, str],
    taken: Sequence[str] = (),
) -> StandaloneKernel:
    """A kernel with the same results, to be read.

    Args:
        kernel: standalone.
        calls: launches of it.
        sizes: what the program calls sizes, by the number.
        taken: names of functions of the module.
    """
    helpers = tuple(_restyled_helper(helper) for helper in kernel.helpers)
    function = copy.deepcopy(kernel.function)
    simplify(function, signature_kinds(kernel.signature))
    words, others = _parameter_words(kernel, calls)
    hints = Hints(words, sizes, others=others)
    called = {*taken, *(helper.name for helper in kernel.helpers)}
    names = Names(function, hints, called)
    names.apply()
    name_sizes(function, sizes)
    order_addresses(function)
    ast.fix_missing_locations(function)
    launch = _renamed(kernel.launch, names.found)
    return replace(kernel, function=function, helpers=helpers, launch=launch)


_GIVEN = re.compile(r"(in|out|in_out)_ptr\d+")
_OPERAND = re.compile(r"arg(\d+)_(\d+)")


def _restyled_helper(helper: ast.FunctionDef) -> ast.FunctionDef:
    """A function beside a kernel: how a scan combines two elements, a part of a template."""
    function = copy.deepcopy(helper)
    simplify(function, {})
    found = [match for item in function.args.args if (match := _OPERAND.fullmatch(item.arg))]
    has_one = all(match.group(2) == "0" for match in found)
    words = {}
    for match in found:
        side = ("left", "right")[min(int(match.group(1)), 1)]
        part = ("value", "index", "weight")[min(int(match.group(2)), 2)]
        words[match.group()] = side if has_one else f"{side}_{part}"
    words |= {item.arg: "captured_ptr" for item in function.args.args if _GIVEN.fullmatch(item.arg)}
    Names(function, Hints(words), [helper.name]).apply()
    return ast.fix_missing_locations(function)


def simplify(function: ast.FunctionDef, kinds: Kinds) -> None:
    """Leaves out what says nothing, in place.

    Args:
        function: a kernel, or a function beside one.
        kinds: of its parameters, as far as they are known.
    """
    separate_versions(function)
    settle_constants(function)
    fold(function)
    drop_needless_casts(function, kinds)
    write_literals(function, kinds)
    write_products(function, kinds)
    name_functions(function, kinds)
    copy_names(function)
    drop_unread(function)
    drop_repeats(function)
    inline_temporaries(function)
    drop_unread(function)
    share_addresses(function)
    ast.fix_missing_locations(function)


def _parameter_words(
    kernel: StandaloneKernel, calls: Sequence[ast.Call]
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """What the launcher's parameters are called, from what the first launch hands over; and longer
    words, where these are taken.
    """
    words: dict[str, str] = {}
    options: dict[str, list[str]] = {}
    given = calls[0].args if calls else ()
    for name, argument in zip(kernel.launch.parameters, given, strict=False):
        if kernel.signature.get(name, "").startswith("*") or _POINTER.fullmatch(name):
            options[name] = words_of(argument) or ["tensor"]
        elif _SIZE.fullmatch(name):
            words[name] = size_word(argument) or "extent"
    for name, choices in options.items():
        others = {item[0] for key, item in options.items() if key != name}
        fitting = [choice for choice in choices if choice not in others] or choices[-1:]
        words[name] = f"{fitting[0]}_ptr"
    longer = {
        name: [f"{item}_ptr" for item in (*choices, prefixed("new", choices[0]))]
        for name, choices in options.items()
    }
    return words, longer


def _renamed(launch: Launch, names: Mapping[str, str]) -> Launch:
    def text(expression: str) -> str:
        return re.sub(r"[A-Za-z_]\w*", lambda m: names.get(m.group(), m.group()), expression)

    return replace(
        launch,
        parameters=tuple(names.get(item, item) for item in launch.parameters),
        constants=tuple(names.get(item, item) for item in launch.constants),
        settings={names.get(key, key): value for key, value in launch.settings.items()},
        described=tuple(names.get(item, item) for item in launch.described),
        grid=tuple(map(text, launch.grid)),
    )
