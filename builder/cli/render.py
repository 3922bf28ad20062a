"""Tables and text for people: what ``rich`` is used for, and what keeps foreign text harmless."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from rich.console import RenderableType

#: Columns of a table that goes to a file or a pipe, unless COLUMNS says otherwise.
PIPE_WIDTH = 140

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class _PipeConsole(Console):
    """A console that leaves a broken pipe to its caller."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


def console() -> Console:
    """A console on stdout that takes text literally and cuts nothing in a pipe."""
    columns = os.environ.get("COLUMNS", "")
    pipe_width = int(columns) if columns.isdigit() and int(columns) else PIPE_WIDTH
    width = None if sys.stdout.isatty() else pipe_width
    return _PipeConsole(markup=False, highlight=False, emoji=False, width=width)


def plain(view: RenderableType) -> str:
    """A view as text without colours, as wide as it needs to be."""
    text = io.StringIO()
    Console(file=text, markup=False, highlight=False, emoji=False, width=10_000).print(view)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def printable(text: str) -> str:
    """The text with control characters (terminal escapes among them) made visible."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def one_line(text: str) -> str:
    """The text on one line, printable."""
    return printable(" ".join(text.split()))


def table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """A table; columns of numbers are set to the right."""
    cells = [list(row) for row in rows]
    view = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for position, title in enumerate(titles):
        numbers = bool(cells) and all(_is_number(row[position]) for row in cells)
        view.add_column(title, justify="right" if numbers else "left", overflow="fold")
    for row in cells:
        view.add_row(*map(cell, row))
    return view


def facts(data: Mapping[str, Any]) -> Table:
    """Names and values, one a line."""
    view = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    view.add_column(no_wrap=True)
    view.add_column(overflow="fold")
    for name, value in data.items():
        view.add_row(printable(str(name)), cell(value))
    return view


def cell(value: Any) -> str:
    """A value as text: thousands grouped, lists joined, nothing for None."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{printable(str(name))} {cell(item)}" for name, item in value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(map(cell, value))
    return printable(str(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
