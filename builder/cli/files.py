"""Program files that commands are given."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from builder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from builder.programs.program import Program

_TAG = re.compile(r"SPDX-License-Identifier:\s*([A-Za-z0-9.+() -]+?)\s*$", re.MULTILINE)
UNKNOWN = "NOASSERTION"


def programs_in(paths: Iterable[Path], spdx: str | None) -> list[Program]:
    """The programs of Python files, folders searched, in the order given, then by name.

    Args:
        paths: files and folders.
        spdx: licence of all of them; None takes what ``SPDX-License-Identifier`` says in a file.

    Raises:
        UsageError: there is none, or one cannot be read.
    """
    return [_program(name, path, spdx) for name, path in _files(paths)]


def _files(paths: Iterable[Path]) -> list[tuple[str, Path]]:
    """Name and path of each Python file."""
    found: dict[Path, str] = {}
    for path in paths:
        if path.is_dir():
            for file in sorted(path.rglob("*.py")):
                if file.name != "__init__.py":
                    found.setdefault(file.resolve(), file.relative_to(path).as_posix())
        elif path.suffix != ".py":
            raise UsageError(f"{path} is no Python file; name .py files, or folders that hold some")
        else:
            found.setdefault(path.resolve(), path.name)
    if not found:
        raise UsageError("no Python file there; name .py files, or folders that hold some")
    return [(name, path) for path, name in found.items()]


def _program(name: str, path: Path, spdx: str | None) -> Program:
    from builder.programs.program import Program  # noqa: PLC0415 - --help stays fast

    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    tag = _TAG.search(text)
    licence = spdx or (tag.group(1) if tag else UNKNOWN)
    return Program(
        python_code=text, entry_point="", source=f"file:{name}", seed=None, license=licence
    )


def _checked(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"[A-Za-z0-9.+() -]+", value):
        raise click.BadParameter("give an SPDX identifier such as MIT or Apache-2.0")
    return value


license_option = click.option(
    "--license",
    "spdx",
    default=None,
    show_default=f"what SPDX-License-Identifier says in a file, or {UNKNOWN}",
    metavar="SPDX",
    callback=_checked,
    help="Licence of the files, recorded in each row.",
)
