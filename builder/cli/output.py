"""What every command prints, and how it ends.

Data goes to stdout; progress, notes, warnings and errors go to stderr.  ``--format`` chooses how
data looks: ``human`` (tables), ``json`` (one object) or ``quiet`` (the essentials, one a line).
Errors end a command with one line and the exit status of their class (see ``builder.errors``).
"""

from __future__ import annotations

import functools
import io
import json
import math
import os
import sys
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from builder.cli import render
from builder.errors import BuilderError, Interrupted, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rich.console import RenderableType

FORMATS = ("human", "json", "quiet")
#: Set to 1 to see the traceback of an unexpected error.
DEBUG_VARIABLE = "TORCH2TRITON_DEBUG"

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 0, 1, 2, 130, 141


class Output:
    """Where a command's words go.

    Args:
        mode: one of ``FORMATS``.
    """

    def __init__(self, mode: str = "human") -> None:
        self.mode = mode

    def result(
        self,
        data: Mapping[str, Any],
        human: RenderableType | None = None,
        quiet: str | Iterable[str] = (),
    ) -> None:
        """Prints the command's result on stdout.

        Args:
            data: the whole result; one JSON object in ``json`` mode.
            human: what ``human`` mode shows, text as it is; names and values of ``data`` if None.
            quiet: the line or lines of ``quiet`` mode; none by default.
        """
        if self.mode == "json":
            _write(json.dumps(_jsonable(data), allow_nan=False))
        elif self.mode == "quiet":
            for line in (quiet,) if isinstance(quiet, str) else quiet:
                _write(render.printable(line))
        elif isinstance(human, str):
            _write(human)
        else:
            render.console().print(render.facts(data) if human is None else human)

    def note(self, message: str) -> None:
        """A line about how things go; not in ``quiet`` mode."""
        if self.mode != "quiet":
            _say(message)

    def warn(self, message: str) -> None:
        """A line about something the user should know."""
        _say(f"warning: {message}")

    def error(self, message: str) -> None:
        """The one line of an error."""
        _say(f"error: {message}")

    def progress(self, total: int | None = None, label: str = "", unit: str = "it") -> tqdm[Any]:
        """A progress bar on stderr; silent in ``json`` and ``quiet`` mode and without a terminal.

        Args:
            total: number of steps, None if unknown.
            label: what is being done.
            unit: what one step is, e.g. ``pair``.
        """
        silent = self.mode != "human" or not sys.stderr.isatty()
        return tqdm(total=total, desc=label, unit=unit, file=sys.stderr, disable=silent)


def with_output(function: Callable[..., int | None]) -> Callable[..., None]:
    """Gives a click command the option ``--format``, an ``output`` and the rules for errors.

    The function takes ``output`` (an ``Output``) as a keyword beside its own parameters, and
    returns an exit status, None for 0.
    """

    @click.option(
        "--format",
        "mode",
        type=click.Choice(FORMATS),
        default="human",
        show_default=True,
        help="How results look on stdout; all else goes to stderr.",
    )
    @functools.wraps(function)
    def wrapper(*args: Any, mode: str, **kwargs: Any) -> None:
        output = Output(mode)
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        sys.exit(_status(output, functools.partial(function, *args, output=output, **kwargs)))

    return wrapper


def _status(output: Output, run: Callable[[], int | None]) -> int:
    """Runs a command and turns how it ended into an exit status and at most one line."""
    try:
        status = run()
        sys.stdout.flush()
    except click.ClickException:
        raise
    except BrokenPipeError:
        return _reader_is_gone()
    except KeyboardInterrupt:
        output.error("interrupted")
        return EXIT_INTERRUPTED
    except BuilderError as error:
        output.error(str(error))
        return _status_of(error)
    except Exception as error:  # noqa: BLE001 - the outermost handler
        return _unexpected(output, error)
    return EXIT_OK if status is None else status


def _status_of(error: BuilderError) -> int:
    if isinstance(error, Interrupted):
        return EXIT_INTERRUPTED
    return EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED


def _unexpected(output: Output, error: Exception) -> int:
    if os.environ.get(DEBUG_VARIABLE, "0") not in {"", "0"}:
        traceback.print_exception(error)
    output.error(
        f"unexpected {type(error).__name__}: {error} (set {DEBUG_VARIABLE}=1 to see the traceback)"
    )
    return EXIT_FAILED


def _reader_is_gone() -> int:
    """Lets the interpreter's last flush succeed after the reader of a pipe left."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_BROKEN_PIPE


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _say(message: str) -> None:
    """One line on stderr, above the progress bar if there is one."""
    tqdm.write(render.one_line(message), file=sys.stderr)


def _jsonable(value: Any) -> Any:
    """The value with what JSON lacks replaced: null for NaN and infinity, text for other types."""
    if isinstance(value, Mapping):
        return {str(name): _jsonable(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, type(None))) else str(value)
