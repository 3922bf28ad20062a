"""Names that tell kernels of the same operations apart: by what they are handed."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from builder.rewrite.style.host import words_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from builder.rewrite.kernel import StandaloneKernel

_MOST = 60
_COUNTED = re.compile(r"(.+)_\d+_kernel")


def name_kernels_apart(
    kernels: Sequence[StandaloneKernel], calls: Mapping[str, Sequence[ast.Call]], taken: set[str]
) -> list[StandaloneKernel]:
    """Kernels with names in place of counters: ``conv_weight_kernel`` for ``conv_2_kernel``.

    Args:
        kernels: standalone.
        calls: launches by launcher, which are renamed in place; their tensors have names.
        taken: names of the module; the new ones are added.
    """
    names = {kernel.name for kernel in kernels}
    result: list[StandaloneKernel] = []
    for kernel in kernels:
        counted = _COUNTED.fullmatch(kernel.name)
        if counted is not None and f"{counted[1]}_kernel" in names:
            first = calls.get(f"launch_{counted[1]}", ())
            words = _words(calls[kernel.launcher], first)
            result.append(_renamed(kernel, counted[1], words, calls[kernel.launcher], taken))
        else:
            result.append(kernel)
    return result


def _renamed(
    kernel: StandaloneKernel,
    base: str,
    words: Sequence[str],
    calls: Sequence[ast.Call],
    taken: set[str],
) -> StandaloneKernel:
    for word in words:
        name, launcher = f"{base}_{word}_kernel", f"launch_{base}_{word}"
        if not {name, launcher} & taken and len(name) <= _MOST + len("_kernel"):
            break
    else:
        return kernel
    taken |= {name, launcher}
    for call in calls:
        call.func = ast.Name(launcher, ast.Load())
    old = kernel.name.removesuffix("_kernel")
    helpers = {item.name: item.name.replace(old, f"{base}_{word}", 1) for item in kernel.helpers}
    for function in (kernel.function, *kernel.helpers):
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and node.id in helpers:
                node.id = helpers[node.id]
        function.name = helpers.get(function.name, function.name)
    kernel.function.name = name
    return replace(kernel, name=name, launcher=launcher)


def _words(calls: Sequence[ast.Call], others: Sequence[ast.Call]) -> list[str]:
    """Of the tensors that a kernel is handed; first those that the other kernel is not."""
    mine, theirs = (
        [words[0] for item in (found[0].args if found else ()) if (words := words_of(item))]
        for found in (calls, others)
    )
    long = [word for word in mine if len(word) > 1]
    return sorted(long, key=lambda word: word in theirs)
