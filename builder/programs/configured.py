"""Control flow on configuration: a step that a constructor's argument chooses, or leaves out.

The program is the same with and without: what the argument is given takes the step as it stood.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

    from builder.programs.draft import Draft

SHARE = 0.2
"""Of programs that get some, where a line of theirs can be chosen by an argument."""

_CHOICE = 0.5
_MORE = 0.3
_ACTIVATIONS = {
    "relu": "F.relu({x})",
    "gelu": "F.gelu({x})",
    "silu": "F.silu({x})",
    "tanh": "torch.tanh({x})",
    "sigmoid": "torch.sigmoid({x})",
    "softplus": "F.softplus({x})",
    "mish": "F.mish({x})",
}
_ACTIVATED = re.compile(r"(\w+) = (?:F|torch)\.(\w+)\((\w+)\)")
_SCALED = re.compile(r"(\w+) = (?:\1 [*/] \d[\d.]*|\d[\d.]* \* \1)")
_SHIFTED = re.compile(r"(\w+) = (?:\1 [+-] \d[\d.]*|\d[\d.]* \+ \1)")
_CALLED = re.compile(r"(\w+) = (?:F|torch)\.(?:\w+)\(\1(?:, -?\d[\d.]*)*\)")
_CHOICES = ("activation", "act", "act_name", "nonlinearity")
_FLAGS = (
    (_SCALED, ("use_scale", "rescale", "scaled")),
    (_SHIFTED, ("use_shift", "add_offset", "shifted")),
    (_CALLED, ("use_activation", "activate", "apply_act", "transform")),
)


def configure(rng: Random, draft: Draft) -> bool:
    """Lets an argument choose one of the lines of ``forward``; whether there was one."""
    if draft.style.arguments == "hardcoded":
        return False
    lines = list(enumerate(draft.forward_lines))
    activated = [(place, found) for place, line in lines if (found := _activation(line))]
    if activated and rng.random() < _CHOICE:
        place, found = rng.choice(activated)
        draft.forward_lines[place : place + 1] = _chosen(rng, draft, *found)
        return True
    optional = [
        (place, line, words)
        for place, line in lines
        for pattern, words in _FLAGS
        if pattern.fullmatch(line)
    ]
    if not optional:
        return False
    place, line, words = rng.choice(optional)
    role = _free(rng, draft, words)
    draft.argument(role, value=True)
    draft.forward_lines[place : place + 1] = [f"if ${role}:", f"    {line}"]
    return True


def _free(rng: Random, draft: Draft, words: tuple[str, ...]) -> str:
    """A role that no attribute has for its name."""
    text = "\n".join((*draft.init_lines, *draft.forward_lines))
    free = [w for w in words if w not in draft.values and f"self.{w}" not in text]
    return rng.choice(free or [f"{words[0]}_mode"])


def _activation(line: str) -> tuple[str, str, str] | None:
    """Target, name and operand of a line that applies an activation."""
    found = _ACTIVATED.fullmatch(line)
    return (found[1], found[2], found[3]) if found and found[2] in _ACTIVATIONS else None


def _chosen(rng: Random, draft: Draft, target: str, name: str, operand: str) -> list[str]:
    """The line as one of several branches, of which the last has no name."""
    others = rng.sample([other for other in _ACTIVATIONS if other != name], 2)
    branches = [name, others[0], *(others[1:] if rng.random() < _MORE else ())]
    role = _free(rng, draft, _CHOICES)
    draft.argument(role, name)
    lines = []
    for place, branch in enumerate(branches):
        word = "if" if not place else "elif"
        is_last = place == len(branches) - 1
        lines.append("else:" if is_last else f'{word} ${role} == "{branch}":')
        lines.append(f"    {target} = {_ACTIVATIONS[branch].format(x=operand)}")
    return lines
