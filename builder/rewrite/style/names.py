"""Names for everything in a kernel: parameters, indices, masks, blocks, temporaries."""

from __future__ import annotations

import ast
import builtins
import keyword
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from builder.rewrite.style.distinctions import distinctions
from builder.rewrite.style.inline import all_blocks, target_of
from builder.rewrite.style.places import index_words, load_words, ordinal
from builder.rewrite.style.scopes import Rename, loops_of
from builder.rewrite.style.template_names import template_names
from builder.rewrite.style.words import LONGEST, prefixed, words_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_GENERATED = re.compile(
    r"_?tmp\d+\w*|[xyz]\d+|r\d_\d+|\w+__\d+|[xyz](index|mask|offset)|r\d_(index|mask|base|offset)"
    r"|roffset|rindex|rmask|rnumel|RBLOCK"
)
_PARTS_END = re.compile(r"num_xblocks_(\d+)")
"""The program instance after those of one kernel of several that share a launch."""
_PARTS = re.compile(r"_?tmp\d+_(mean|m2|weight|max|sum)")
"""Running results of Welford's method and of online softmax."""
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_RESERVED = frozenset({"tl", "triton", "libdevice", "torch", *dir(builtins), *keyword.kwlist})

_INDEX_WORDS = {
    "height": "y", "h": "y", "width": "x", "w": "x", "channels": "channel", "c": "channel",
    "batch": "batch", "batch_size": "batch", "b": "batch", "n": "sample", "samples": "sample",
    "length": "token", "seq_len": "token", "t": "token", "s": "token", "tokens": "token",
    "num_tokens": "token", "heads": "head", "num_heads": "head", "n_heads": "head", "h_dim": "lane",
    "rows": "row", "num_rows": "row", "m": "row", "cols": "col", "columns": "col", "k": "inner",
    "d_model": "feature", "dim": "feature", "features": "feature", "hidden": "feature",
    "embed_dim": "feature", "d": "feature", "vocab": "token_id", "vocab_size": "token_id",
    "classes": "label", "num_classes": "label", "groups": "group", "num_groups": "group",
}  # fmt: skip


@dataclass(frozen=True)
class Hints:
    """What a kernel works on, in the program's words.

    Attributes:
        parameters: a word for each parameter: of a tensor, or of a size.
        sizes: what the program calls the size of a dimension, by the number.
        result: a word for what it computes.
        others: longer words for parameters, where the first are taken.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[int, str] = field(default_factory=dict)
    result: str = "out"
    others: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Names:
    """The new name of each old one, none given twice.

    Args:
        function: the kernel, simplified.
        hints: the program's words.
        taken: names of functions that the kernel calls.
    """

    def __init__(self, function: ast.FunctionDef, hints: Hints, taken: Iterable[str] = ()) -> None:
        self._function = function
        self._hints = hints
        self.found: dict[str, str] = {}
        stored = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
        self._occurring = stored
        self._is_template = any(name.startswith(("BLOCK_", "idx_")) for name in stored)
        self._template_names = template_names(stored) if self._is_template else {}
        kept = {name for name in stored if not _GENERATED.fullmatch(name)}
        kept -= self._template_names.keys()
        parameters = {item.arg for item in function.args.args}
        self._taken = {*taken, *_RESERVED, *(kept - parameters)}
        self._loops = loops_of(function)
        self._taken_in_loops: dict[int, set[str]] = {}
        self._is_reduction = any(name.startswith("r0_") or name == "R0_BLOCK" for name in stored)
        self._is_tiled = "YBLOCK" in stored
        self._axes: dict[str, str] = {}
        self._positions = load_words(function)
        self._indices = index_words(function)
        self._loaded: dict[str, set[str]] = {}
        self._name_parameters()
        for name in sorted(stored):
            if ends := _PARTS_END.fullmatch(name):
                self._give(name, f"{ordinal(int(ends[1]))}_end")
        for name, word in self._template_names.items():
            if name in stored and name not in parameters:
                self._give(name, word)
        self._name_axes()
        self._name_temporaries()

    def apply(self) -> None:
        """Renames in place."""
        Rename(self.found).visit(self._function)

    # -- parameters ------------------------------------------------------------------------

    def _name_parameters(self) -> None:
        for item in self._function.args.args:
            name = item.arg
            hint = self._hints.parameters.get(name)
            if name in _BLOCKS:
                self._give(name, self._block(name))
            elif re.fullmatch(r"[xyz]numel(_\d+)?|r\d_numel(_\d+)?", name):
                self._give(name, self._count(name))
            elif hint is not None:
                self._give(name, hint, self._hints.others.get(name, ()))

    def _block(self, name: str) -> str:
        axis = _BLOCKS[name]
        if axis == "r0" and not self._occurs("r0_mask") and not self._occurs("r0_offset"):
            return "COLS"  # a row is one block
        if axis == "x" and not self._is_reduction and not self._is_tiled:
            return "BLOCK_SIZE"
        return f"BLOCK_{self._axis(axis).upper()}S"

    def _axis(self, axis: str) -> str:
        if axis == "x":
            if self._is_reduction:
                return "row"
            return "col" if self._is_tiled else "element"
        return {"y": "plane" if self._is_reduction else "row", "z": "slab", "r0": "col"}.get(
            axis, "inner"
        )

    def _count(self, name: str) -> str:
        return f"num_{self._axis(name.partition('numel')[0].strip('_'))}s"

    # -- axes ------------------------------------------------------------------------------

    def _name_axes(self) -> None:
        """Indices, masks and the like of the axes that a kernel runs over."""
        for axis in ("x", "y", "z", "r0_", "r1_"):
            short = axis.strip("_")
            word = self._axis(short)
            is_plain = word == "element"
            for old, new in (
                (f"{axis}index", "offsets" if is_plain else word),
                (f"{axis}mask", "mask" if is_plain else f"{word}_mask"),
                (f"{axis}offset", f"{word}_start"),
                (f"{axis}base", f"{word}_lane"),
                (f"{axis}numel", f"num_{word}s"),
                (f"{axis.upper()}BLOCK", self._block(f"{axis.upper()}BLOCK")),
            ):
                self._axes[old] = new
                if self._occurs(old) and old not in self.found:
                    self._give(old, new)
        self._name_parts()

    def _occurs(self, name: str) -> bool:
        return name in self._occurring

    def _name_parts(self) -> None:
        """Coordinates that are computed of an index: ``x0 = xindex % 64``."""
        parts = [
            (_divisor(statement.value), target, statement.value)
            for block in all_blocks(self._function)
            for statement in block
            if isinstance(statement, ast.Assign)
            and (target := target_of(statement)) is not None
            and re.fullmatch(r"[xyz]\d+|r\d_\d+", target)
        ]
        for rank, (_, target, value) in enumerate(sorted(parts, key=lambda part: part[0])):
            words = _NESTED if self._is_reduction or self._is_tiled else _PLACES
            known = self._extent_word(value)
            self._give(target, known or words[min(rank, len(words) - 1)], words)

    def _extent_word(self, value: ast.expr) -> str | None:
        if not isinstance(value, ast.BinOp) or not isinstance(value.op, ast.Mod):
            return None
        extent = value.right
        word = None
        if isinstance(extent, ast.Constant) and type(extent.value) is int:
            word = self._hints.sizes.get(extent.value)
        elif isinstance(extent, ast.Name):
            word = self.found.get(extent.id)
        return _INDEX_WORDS.get(word.lower()) if word else None

    # -- temporaries -----------------------------------------------------------------------

    def _name_temporaries(self) -> None:
        wanted = self._stored_values()
        for block in _in_order(self._function):
            for statement in block:
                self._name_statement(statement, wanted)
        for node in ast.walk(self._function):
            if isinstance(node, ast.Name) and _GENERATED.fullmatch(node.id):
                self._give(node.id, "value")

    def _stored_values(self) -> dict[str, str]:
        """What is stored is called after where it goes."""
        wanted: dict[str, str] = {}
        for call in ast.walk(self._function):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "tl.store":
                value = call.args[1] if len(call.args) > 1 else None
                place = words_for(_base(call.args[0]), self.found)
                if isinstance(value, ast.Name) and place and place != "value":
                    wanted.setdefault(value.id, place)
        return wanted

    def _name_statement(self, statement: ast.stmt, wanted: Mapping[str, str]) -> None:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Tuple):
            self._name_several(statement.targets[0], statement.value)
            return
        target = target_of(statement)
        if target is None or target in self.found or not _GENERATED.fullmatch(target):
            return
        base, version, _ = target.partition("__")
        known = self._template_names.get(base) or self._axes.get(base)
        value = getattr(statement, "value", None)
        if version and (known or not _GENERATED.fullmatch(base)):
            self._give(target, known or base, self._others(known or base, target, value))
            return
        part = _PARTS.fullmatch(target)
        if part and value is not None and (target.startswith("_") or _is_start(value)):
            self._give(target, f"{part[1]}_acc", [f"running_{part[1]}"])
            return
        if value is None or (target.startswith("_") and _is_start(value)):
            return
        if target.startswith("_"):
            self._name_accumulator(target, value)
            return
        place, word = wanted.get(target), words_for(value, self.found) or "value"
        if target in self._positions:
            word = prefixed(self._positions[target], word)
        others = self._others(word, target, value)
        if place:
            others = [prefixed("new", place), word, *others]
        self._give(target, place or word, others)

    def _name_accumulator(self, target: str, value: ast.expr) -> None:
        taken_in = _added(value, target, self.found) or "total"
        extremes = [word for word in ("max", "min") if f"{word}imum(" in ast.unparse(value)]
        words = ["_".join([taken_in, *extremes, "acc"])]
        words += [f"{word}_acc" for word in _addends(value, target, self.found)]
        self._give(target, words[0], words[1:])

    def _others(self, word: str, target: str, value: ast.expr | None) -> list[str]:
        """Words that tell a value from another, where its own is taken."""
        if value is None:
            return []
        indices = [
            name
            for old in self._indices.get(target, _names_in(value))
            if (name := self.found.get(old, "")) and not name.isupper()
        ]
        if target in self._indices:
            seen = self._loaded.setdefault(word, set())
            new = [name for name in reversed(indices) if name not in seen and len(name) > 1]
            seen |= {*indices}
            by = [f"{word}_by_{name}" for name in new]
            return [*by, f"{word}_again", *(f"{word}_at_{name}" for name in indices)]
        if word == "offsets":
            return [f"{name}_offsets" for name in indices if name != "offsets"]
        return list(distinctions(value, word, self.found))

    def _name_several(self, target: ast.Tuple, value: ast.expr) -> None:
        called = ast.unparse(value.func) if isinstance(value, ast.Call) else ""
        words = next((words for key, words in _RESULTS.items() if key in called), ())
        given = [words_for(item, self.found) for item in getattr(value, "args", ())]
        for place, item in enumerate(target.elts):
            if isinstance(item, ast.Name) and _GENERATED.fullmatch(item.id):
                word = words[place] if place < len(words) else "part"
                self._give(item.id, word, [f"{other}_{word}" for other in given if other])

    def _give(self, old: str, word: str, others: Iterable[str] = ()) -> None:
        """Takes a word, or another, or the first with an ending that tells it from others."""
        if old in self.found:
            return
        word = _tidy(word) or "value"
        stem, is_pointer = _shortened(word.removesuffix("_ptr")), word.endswith("_ptr")
        candidates = [stem, *(_tidy(other).removesuffix("_ptr") for other in others)]
        candidates = [item for item in candidates if item and len(item) <= LONGEST + 8]
        candidates += [f"{stem}_{ending}" for ending in _LETTERS[1:]]
        candidates += [f"{stem}_{number}" for number in range(2, 1000)]
        for candidate in candidates:
            name = f"{candidate}_ptr" if is_pointer else candidate
            if self._take(name, self._loops.get(old)):
                self.found[old] = name
                return

    def _take(self, name: str, loop: int | None) -> bool:
        """Whether a name is free; one that lives in one loop may live in another, too."""
        others = self._taken_in_loops
        if name in self._taken:
            return False
        if loop is None:
            if any(name in names for names in others.values()):
                return False
            self._taken.add(name)
            return True
        if name in others.setdefault(loop, set()):
            return False
        others[loop].add(name)
        return True


def _tidy(word: str) -> str:
    """A word that may begin a name: no digit first, no two underscores in a row."""
    word = re.sub(r"\W+|_+", "_", word).strip("_")
    return re.sub(r"^(\d+_?)+", "", word)


def _names_in(value: ast.expr) -> list[str]:
    names = [node.id for node in ast.walk(value) if isinstance(node, ast.Name)]
    return list(dict.fromkeys(names))


_BLOCKS = {"XBLOCK": "x", "YBLOCK": "y", "ZBLOCK": "z", "R0_BLOCK": "r0", "R1_BLOCK": "r1"}
_PLACES = ("col", "row", "plane", "slab", "outer")
_NESTED = ("inner", "outer", "group", "block", "slab")
_RESULTS: dict[str, tuple[str, ...]] = {
    "welford_step": ("new_mean", "new_deviation", "new_weight"),
    "welford": ("mean", "m2", "weight"),
    "online_softmax_step": ("new_max", "new_sum"),
    "online_softmax": ("row_max", "row_sum"),
    "associative_scan": ("scanned", "scanned_index", "scanned_weight"),
    "sort": ("sorted_values", "order"),
    "max_with_index": ("max_value", "max_index"),
    "min_with_index": ("min_value", "min_index"),
    "with_index": ("value", "index"),
    "mantissa": ("mantissa", "exponent"),
}


def _divisor(value: ast.expr) -> tuple[int, str]:
    """What an index is divided by before its remainder is taken; larger numbers lie further out."""
    is_remainder = isinstance(value, ast.BinOp) and isinstance(value.op, ast.Mod)
    if isinstance(value, ast.BinOp) and is_remainder:
        value = value.left
    if not isinstance(value, ast.BinOp) or not isinstance(value.op, ast.FloorDiv):
        return (int(is_remainder), "")
    divisor = getattr(value.right, "value", None)
    return (divisor, "") if isinstance(divisor, int) else (2, ast.unparse(value.right))


def _in_order(function: ast.FunctionDef) -> list[list[ast.stmt]]:
    """Single statements, as they stand in the text."""
    found: list[list[ast.stmt]] = []

    def walk(block: list[ast.stmt]) -> None:
        for statement in block:
            found.append([statement])
            for name in ("body", "orelse"):
                walk(getattr(statement, name, None) or [])

    walk(function.body)
    return found


def _is_start(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func) in ("tl.zeros", "tl.full")


def _added(value: ast.expr, target: str, names: Mapping[str, str]) -> str:
    """What an accumulator takes in: ``x`` of ``tl.where(mask, acc + x, acc)``."""
    for item in ast.walk(value):
        pair: list[ast.expr] = []
        if isinstance(item, ast.BinOp) and isinstance(item.op, ast.Add):
            pair = [item.left, item.right]
        elif isinstance(item, ast.Call) and len(item.args) == 2:
            pair = item.args
        if pair and isinstance(pair[0], ast.Name) and pair[0].id == target:
            return words_for(pair[1], names)
    return ""


def _addends(value: ast.expr, target: str, names: Mapping[str, str]) -> list[str]:
    """Other words for what an accumulator takes in."""
    found = [words_for(item, names) for item in ast.walk(value) if isinstance(item, ast.BinOp)]
    given = [names[name] for name in _names_in(value) if name != target and name in names]
    return [word for word in (*found, *given) if word and word != "mask"]


def _base(place: ast.expr) -> ast.expr:
    """The pointer of ``ptr + offsets``."""
    while isinstance(place, ast.BinOp):
        place = place.left
    return place


def _shortened(word: str) -> str:
    """A name, or so many of its words as are short enough together."""
    if len(word) <= LONGEST + 8:
        return word
    first, *others = word.split("_")
    for other in others:
        if len(first) + len(other) >= LONGEST:
            break
        first = f"{first}_{other}"
    return first[: LONGEST + 8]
