"""Line wrapping: long statements broken at their last bracket pair, one item a line."""

from __future__ import annotations

LIMIT = 100

_PAIRS = {")": "(", "]": "[", "}": "{"}


def wrap(line: str, limit: int = LIMIT) -> list[str]:
    """Breaks a statement that is longer than ``limit`` columns.

    The content of the last bracket pair goes to a line of its own, indented by four; if it does not
    fit there, or is a list, each of its items does, with a trailing comma (as Black and Ruff do).

    Args:
        line: one statement, indented, without a line break.
        limit: columns.

    Returns:
        The lines; ``[line]`` where it fits or has no bracket to break at.
    """
    if len(line) <= limit:
        return [line]
    span = _parameters(line) if line.lstrip().startswith("def ") else _last_pair(line)
    if span is None:
        return [line]
    start, stop = span
    indent = " " * (len(line) - len(line.lstrip()))
    body = line[start + 1 : stop]
    items = split_items(body)
    display = line[start] in "[{" and line[start - 1 : start] in {"", " "}
    if len(indent) + 4 + len(body) <= limit and not display:
        inner = [f"{indent}    {body}"]
    else:
        inner = [part for item in items for part in wrap(f"{indent}    {item},", limit)]
    return [line[: start + 1], *inner, indent + line[stop:]]


def split_items(body: str) -> list[str]:
    """The comma-separated items of a bracket's content, split at the outermost commas only."""
    items, depth, start = [], 0, 0
    for position, char in enumerate(body):
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            items.append(body[start:position].strip())
            start = position + 1
    items.append(body[start:].strip())
    return [item for item in items if item]


def _parameters(line: str) -> tuple[int, int]:
    start = line.index("(")
    closing = (stop for stop in range(start, len(line)) if line[stop] == ")")
    return start, next(stop for stop in closing if _opening(line, stop) == start)


def _last_pair(line: str) -> tuple[int, int] | None:
    """Positions of the last bracket pair with content, counted from the end of the line."""
    stop = max(line.rfind(char) for char in _PAIRS)
    while stop > 0:
        start = _opening(line, stop)
        if stop - start > 1:
            return start, stop
        stop = max(line.rfind(char, 0, start) for char in _PAIRS)
    return None


def _opening(line: str, stop: int) -> int:
    depth = 0
    for position in range(stop, -1, -1):
        depth += (line[position] in ")]}") - (line[position] in "([{")
        if depth == 0:
            return position
    raise ValueError(f"unbalanced brackets: {line}")
