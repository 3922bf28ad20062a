"""Two motifs in one program: what the first gives, a module of the second takes.

Whether the second takes it is found by running both on tensors without data; a pair that does not
fit is given up.
"""

from __future__ import annotations

import ast
import copy
import dataclasses
import re
from typing import TYPE_CHECKING

from builder.programs.draft import Input
from builder.programs.render import literal, render
from builder.programs.surroundings import returned_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from builder.programs.draft import Draft

SHARE = 0.12
"""Of motifs that are tried with a second."""

_MOST_OTHERS = 2  # inputs of the second, besides what the first gives
_MOST_TRIED = 3
_LEAST_DIMS = 2  # a loss is followed by nothing
_LONGEST_DOC = 84
_NORMAL = re.compile(r"torch\.randn\((?P<dims>[^()=]*?)(?:, dtype=torch\.\w+)?\)")
_ROLE = re.compile(r"\$([a-z_][a-z0-9_]*)")
_NAMES = ("tail", "head", "second", "after", "block", "last")
_INPUT_FUNCTIONS = re.compile(r"get_\w+|make_\w+")


def spliced(first: Draft, draws: Iterable[Draft]) -> Draft | None:
    """The program that computes a second motif of what the first computes.

    Args:
        first: stays as it is.
        draws: motifs, which take their sizes from what the first gives; the first that may follow
            and runs is taken.

    Returns:
        None if none does.
    """
    given = _gives(first) if returned_value(first) is not None and not first.helpers else None
    if given is None or len(given) < _LEAST_DIMS:
        return None
    tried = 0
    for second in draws:
        spelled = _resized(first, second, given) if _may_follow(first, second) else None
        definition = _definition(second) if spelled else None
        if spelled and definition:
            joined = _joined(first, second, definition, spelled)
            if _gives(joined) is not None:
                return joined
            tried += 1
            if tried == _MOST_TRIED:
                break
    return None


def _resized(first: Draft, second: Draft, given: tuple[int, ...]) -> dict[str, str] | None:
    """Gives the second the sizes of what it takes.

    Returns:
        how the program spells each of the second's sizes: those that the first has, too, by its
        role, so that they vary together; None if the dimensions differ.
    """
    roles = [part.removeprefix("$") for part in _dims(second)]
    if len(roles) != len(given) or any(role.isdigit() for role in roles):
        return None
    sizes = dict(zip(roles, given, strict=True))
    if [sizes[role] for role in roles] != list(given):
        return None
    second.values |= sizes
    spelled = {role: literal(second.values[role]) for role in second.sizes}
    own = [part.removeprefix("$") for part in _dims(first)]
    for place, role in enumerate(roles):
        same = own[place] if place < len(own) else ""
        names = [same, *first.varied] if same in first.sizes else [*first.varied]
        found = next((name for name in names if first.values[name] == given[place]), None)
        if found is not None:
            spelled[role] = f"${found}"
    return spelled


def _dims(draft: Draft) -> list[str]:
    """The dimensions of the first input with normal values, as its template has them."""
    found = next((m for item in draft.inputs if (m := _NORMAL.search(item.template))), None)
    return [part.strip() for part in found["dims"].split(",")] if found else []


def _may_follow(first: Draft, second: Draft) -> bool:
    """Whether the second takes normal values of the first's type, little else, and gives one
    tensor.
    """
    if second.dtype != first.dtype or second.class_name == first.class_name or second.helpers:
        return False
    if len(second.inputs) > 1 + _MOST_OTHERS or returned_value(second) is None:
        return False
    taken = second.inputs[0]
    return taken.dtype == first.dtype and bool(_NORMAL.search(taken.template))


def _joined(
    first: Draft, second: Draft, definition: list[str], spelled: Mapping[str, str]
) -> Draft:
    joined = copy.deepcopy(first)
    value = returned_value(joined)
    assert value is not None
    name = value if value.isidentifier() else joined.spell(("h", "hidden", "inner", "y", "out"))
    lines = [] if name == value else [f"{name} = {value}"]
    attribute = joined.spell(_NAMES)
    others = [_with_input(joined, second, item, spelled) for item in second.inputs[1:]]
    joined.helper(*definition)
    joined.init(f"self.{attribute} = {second.class_name}()")
    joined.forward_lines[-1:] = [*lines, f"return self.{attribute}({', '.join([name, *others])})"]
    joined.level = min(4, max(first.level or 2, second.level or 2) + 1)
    word, _, rest = second.doc.partition(" ")
    word = word.lower() if word[1:].isalpha() and word[1:].islower() else word
    doc = f"{joined.doc.rstrip('.')}, then {word} {rest}"
    joined.doc = doc if len(doc) <= _LONGEST_DOC else joined.doc
    return joined


def _with_input(joined: Draft, second: Draft, item: Input, spelled: Mapping[str, str]) -> str:
    """Gives the program one more input; its name."""
    name = joined.spell((item.name, f"{item.name}_next", f"other_{item.name}", f"{item.name}_in"))
    template = item.template.replace("$dtype", f"torch.{second.dtype}")
    template = _ROLE.sub(
        lambda found: spelled.get(found[1]) or literal(second.values[found[1]]), template
    )
    joined.inputs.append(Input(name, template, item.dtype))
    return name


def _definition(draft: Draft) -> list[str] | None:
    """Lines of a draft's class, its sizes written out; None if it needs more than that."""
    plain = copy.deepcopy(draft)
    plain.style = dataclasses.replace(draft.style, arguments="hardcoded", constants="none")
    text = render(plain, variants=False)
    body = [node for node in ast.parse(text).body if not _is_left_out(node)]
    if len(body) != 1 or not isinstance(body[0], ast.ClassDef):
        return None
    return text.splitlines()[body[0].lineno - 1 : body[0].end_lineno]


def _is_left_out(node: ast.stmt) -> bool:
    if isinstance(node, ast.FunctionDef):
        return _INPUT_FUNCTIONS.fullmatch(node.name) is not None
    return isinstance(node, (ast.Import, ast.ImportFrom))


def _gives(draft: Draft) -> tuple[int, ...] | None:
    """The shape of its one output, if it runs, on tensors without data, on the declared inputs and
    the last variant.
    """
    from builder.errors import Rejected  # noqa: PLC0415 - only spliced programs need torch
    from builder.programs.load import load_program  # noqa: PLC0415
    from builder.programs.measure import Measured  # noqa: PLC0415

    try:
        loaded = load_program(render(draft), draft.class_name)
        last = loaded.num_variants - 1 if loaded.num_variants else None
        measured = Measured(loaded)
        costs = [measured.cost(variant) for variant in dict.fromkeys((None, last))]
    except (Rejected, SyntaxError):
        return None
    if not all(cost is not None and cost.complete for cost in costs):
        return None
    (shape,) = costs[0].output_shapes  # type: ignore[union-attr]
    return shape
