"""Do the kernels compute anything, or only fill and copy?

Read off the TTIR: a kernel computes if a value that it stores comes from arithmetic.  Arithmetic on
floats, reductions, scans, products and atomics always count (nobody computes addresses with them);
arithmetic on integers counts if it lies between a load and a store's value, so that neither index
arithmetic nor a table of constants does.  Casts, selects by an index mask and moves do not count.
"""

from __future__ import annotations

import re

_ALWAYS = re.compile(
    r"\barith\.(addf|subf|mulf|divf|remf|negf|maxnumf|minnumf|maximumf|minimumf|cmpf)\b"
    r'|\bmath\.\w+|"?\btt\.(reduce|scan|dot|dot_scaled|atomic_rmw|atomic_cas|extern_elementwise'
    r"|histogram|precise_sqrt|precise_divf|clampf|mulhiui)\b"
)
_INTEGER = re.compile(
    r"\barith\.(addi|subi|muli|divsi|divui|remsi|remui|andi|ori|xori|shli|shrsi|shrui|maxsi|minsi"
    r"|maxui|minui|cmpi|ceildivsi|floordivsi)\b"
)
_RESULT = re.compile(r"^\s*(%[\w-]+(?::\d+)?(?:, %[\w-]+)*)\s*=\s*(.*)$")
_NAME = re.compile(r"%[\w-]+")


def computes(ttir: str) -> bool:
    """Whether the kernel stores anything that it computed."""
    if _ALWAYS.search(ttir):
        return True
    return _stores_integer_arithmetic(ttir.splitlines())


def _stores_integer_arithmetic(lines: list[str]) -> bool:
    """Names are not scoped by region, which may find too much but misses nothing."""
    made = _definitions(lines)
    behind_load = _closure(made, {n for n, body in made.items() if "tt.load" in body})
    for line in lines:
        stored = re.match(r"\s*tt\.store %[\w-]+(?:#\d+)?, (%[\w-]+)", line)
        if stored and _computed(stored.group(1), made, behind_load):
            return True
    return False


def _definitions(lines: list[str]) -> dict[str, str]:
    made: dict[str, str] = {}
    for line in lines:
        match = _RESULT.match(line)
        if match:
            for name in _NAME.findall(match.group(1)):
                made[name] = made.get(name, "") + " " + match.group(2)
    return made


def _closure(made: dict[str, str], start: set[str]) -> set[str]:
    """All names that depend on the start."""
    found = set(start)
    grew = True
    while grew:
        more = {
            n for n, body in made.items() if n not in found and found & set(_NAME.findall(body))
        }
        found |= more
        grew = bool(more)
    return found


def _computed(name: str, made: dict[str, str], behind_load: set[str]) -> bool:
    """Whether integer arithmetic on loaded values lies behind a name; loads are not crossed."""
    pending, seen = [name], set()
    while pending:
        current = pending.pop()
        body = made.get(current, "")
        if current in seen or "tt.load" in body:
            continue
        seen.add(current)
        if "scf." in body:
            return True
        operands = _NAME.findall(body)
        if _INTEGER.search(body) and behind_load & set(operands):
            return True
        pending += operands
    return False
