"""Names of a method's buffers, after the program's variables and what the kernels write there."""

from __future__ import annotations

import ast
import builtins
import keyword
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builder.rewrite.style.host import launches, words_of
from builder.rewrite.style.inline import stores_of
from builder.rewrite.style.words import LONGEST
from builder.rewrite.style.written import written_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from builder.capture.origins import Origins
    from builder.rewrite.kernel import StandaloneKernel

_BUFFER = re.compile(r"buf\d+")
_UNNAMED = re.compile(r"buf\d+|saved_\w+|semaphores_\w+|workspace_\w+|ps\d+|primals_\d+")
_OPERATIONS = {
    "add": "total", "iadd": "total", "sub": "difference", "isub": "difference", "mul": "product",
    "imul": "product", "truediv": "quotient", "itruediv": "quotient", "div": "quotient",
    "pow": "power", "neg": "negative", "to": "out", "float": "out", "type": "out", "half": "out",
    "contiguous": "out", "reshape": "out", "view": "out", "getitem": "part", "matmul": "product",
    "linear": "projected", "bmm": "product", "conv2d": "convolved", "conv1d": "convolved",
    "unsqueeze": "out", "permute": "out", "transpose": "out", "expand": "out", "squeeze": "out",
}  # fmt: skip
_COPIES = {"out", "part"}


def name_buffers(
    function: ast.FunctionDef,
    origins: Origins,
    taken: Iterable[str],
    wanted: Mapping[str, str] | None = None,
    kernels: Sequence[StandaloneKernel] = (),
) -> None:
    """Names the buffers of a method after the program's variables, in place.

    A buffer that takes another's memory is the same tensor, and has one name.

    Args:
        function: ``forward`` or ``backward``.
        origins: of the graph.
        taken: names that others have.
        wanted: names that are better than those of the origins.
        kernels: that it launches.
    """
    returned = _returned(function)
    same = _join_copies(function)
    given = {item.arg for item in ast.walk(function) if isinstance(item, ast.arg)}
    used = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    used |= given | {*taken, *dir(builtins), *keyword.kwlist}
    writers = _writers(function, kernels)
    names: dict[str, str] = {}
    for old in _assigned(function):
        group = [old, *same.get(old, ())]
        word = _group_word(group, wanted or {}, origins, returned)
        choices = [*_choices(word, writers.get(old), word in given)]
        names[old] = _unique(choices, used)
        used.add(names[old])
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id in names:
            node.id = names[node.id]


def _group_word(
    group: Sequence[str], wanted: Mapping[str, str], origins: Origins, returned: Sequence[str]
) -> str:
    """The word for a tensor that several buffers are: that of a result, first."""
    found = [word for item in group if (word := wanted.get(item))]
    results = [item for item in group if item in returned]
    found += [_buffer_word(item, origins, returned) for item in (*results, *group)]
    known = [word for word in found if word not in _PLAIN]
    return found[0] if results else (known or found)[0]


_PLAIN = ("scratch", "out", "copied")


def _join_copies(function: ast.FunctionDef) -> dict[str, list[str]]:
    """Reads ``buf0`` for ``buf1 = buf0``, and leaves that out; what each first stands for."""
    stores = stores_of(function)
    roots: dict[str, str] = {}
    kept: list[ast.stmt] = []
    for statement in function.body:
        names = _copy(statement)
        if names is None or any(stores[name] != 1 for name in names):
            kept.append(statement)
            continue
        target, value = names
        roots[target] = roots.get(value, value)
    function.body = kept
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id in roots:
            node.id = roots[node.id]
    found: dict[str, list[str]] = {}
    for name, root in roots.items():
        found.setdefault(root, []).append(name)
    return found


def _copy(statement: ast.stmt) -> tuple[str, str] | None:
    if not isinstance(statement, ast.Assign) or not isinstance(statement.value, ast.Name):
        return None
    target, value = statement.targets[0], statement.value.id
    if not isinstance(target, ast.Name):
        return None
    both = _BUFFER.fullmatch(target.id) and _BUFFER.fullmatch(value)
    return (target.id, value) if both else None


@dataclass(frozen=True)
class _Writer:
    """The first launch that is handed a buffer.

    Attributes:
        words: of the kernel's name.
        result: what it writes there: ``max``, ``indices``; empty if that is not plain.
        source: a word for what it reads, where that is one tensor.
    """

    words: str
    result: str
    source: str


def _writers(function: ast.FunctionDef, kernels: Sequence[StandaloneKernel]) -> dict[str, _Writer]:
    by_launcher = {kernel.launcher: kernel for kernel in kernels}
    found: dict[str, _Writer] = {}
    for call in launches([function], by_launcher):
        kernel = by_launcher[ast.unparse(call.func)]
        results = written_words(kernel.function)
        words = re.sub(r"_\d+$", "", kernel.name.removesuffix("_kernel"))
        pairs = list(zip(kernel.launch.parameters, call.args, strict=False))
        read = [
            words_of(item)
            for name, item in pairs
            if name not in results and kernel.signature.get(name, "*").startswith("*")
        ]
        source = read[0][0] if len(read) == 1 and read[0] else ""
        for name, item in pairs:
            if isinstance(item, ast.Name):
                found.setdefault(item.id, _Writer(words, results.get(name, ""), source))
    return found


def _choices(word: str, writer: _Writer | None, is_given: bool) -> Iterator[str]:
    """Names for a buffer, the best first."""
    if writer is None:
        yield word
        return
    if word in ("scratch", "copied"):
        yield from _unnamed_choices(writer)
    yield word
    if is_given:
        yield f"new_{word}" if len(word) > 1 else f"{word}_new"
    parts = writer.words.split("_")
    yield from (f"{word}_{ending}" for ending in (writer.result, f"{parts[-1]}_{writer.result}"))
    yield from (f"{'_'.join(parts[-count:])}_{word}" for count in range(1, len(parts) + 1))
    yield f"{writer.source}_{word}"


def _unnamed_choices(writer: _Writer) -> Iterator[str]:
    if writer.source and writer.result and not _BUFFER.fullmatch(writer.source):
        yield f"{writer.source}_{writer.result}"
    if writer.source and writer.words.startswith("copy") and not _BUFFER.fullmatch(writer.source):
        yield f"{writer.source}_copy"
    parts = writer.words.split("_")
    ending = writer.result or "out"
    for count in range(len(parts), 0, -1):
        yield f"{'_'.join(parts[-count:])}_{ending}"


def _assigned(function: ast.FunctionDef) -> list[str]:
    found = [
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]
    return [name for name in dict.fromkeys(found) if _UNNAMED.fullmatch(name)]


def _returned(function: ast.FunctionDef) -> list[str]:
    results = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    return [n.id for value in results if value for n in ast.walk(value) if isinstance(n, ast.Name)]


def _buffer_word(old: str, origins: Origins, returned: Sequence[str]) -> str:
    if not _BUFFER.fullmatch(old):
        return re.sub(r"_?\d+(_\d+)*$", "", old.removeprefix("saved_")) or "saved"
    traced = origins.buffers.get(old)
    if traced is None:
        return "out" if old in returned else "scratch"
    word = re.sub(r"(_\d+)+$", "", traced).strip("_")
    if old in returned:
        return "out" if word in _OPERATIONS else word
    plain = _OPERATIONS.get(word, word)
    return plain if plain not in _COPIES else "copied"


def _unique(choices: Sequence[str], used: set[str]) -> str:
    short = [word for word in choices if not word.endswith("_") and len(word) <= LONGEST + 4]
    word = short[0] if short else "buffer"
    if word in dir(builtins) or keyword.iskeyword(word):
        word = f"{word}_out"
        short.insert(0, word)
    candidates = [*short, *(f"{word}_{letter}" for letter in "bcdefghijklmnopqrstuvwxyz")]
    candidates += [f"{word}_{number}" for number in range(27, 1000)]
    return next(item for item in candidates if item not in used)
