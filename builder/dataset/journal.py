"""The output folder and its journal: what makes a build resumable.

The journal is ``<out>/.torch2triton/journal.jsonl``.  Its first line is the header (what decides
the bytes of the data set); every other line is one finished item, a row or a rejection, appended
and flushed when the item ends.  A kill can cost the last line at most.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from builder.errors import OperationFailed, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from typing_extensions import Self

#: Folder in the output that holds the journal and files being written.
STATE_FOLDER = ".torch2triton"
JOURNAL_NAME = "journal.jsonl"
#: Version of the journal's own form; part of every header.
FORMAT = 1

_SHARD = re.compile(r"(train|rejections)-\d{5}-of-\d{5}\.parquet")
_SHARD_FOLDERS = {"data": "train", "rejections": "rejections"}


def journal_path(out: Path) -> Path:
    return out / STATE_FOLDER / JOURNAL_NAME


def open_output(out: str | os.PathLike[str]) -> Path:
    """Checks that ``out`` is new, empty or a build's own folder, and makes it if it is new.

    Raises:
        UsageError: it holds something else, is a file, or cannot be written; nothing was written.
    """
    folder = Path(out)
    try:
        if folder.is_symlink() and not folder.exists():
            raise UsageError(f"{folder} is a link that leads nowhere; choose another folder")
        if folder.exists():
            _check_existing(folder)
        else:
            _check_writable(_first_existing(folder))
            folder.mkdir(parents=True)
    except OSError as error:
        raise UsageError(f"cannot use {folder}: {error.strerror}; choose another folder") from error
    return folder


def _check_existing(folder: Path) -> None:
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder; choose another --out")
    _check_writable(folder)
    strangers = sorted(_strangers(folder))
    if not strangers:
        return
    named = ", ".join(strangers[:3]) + (", ..." if len(strangers) > 3 else "")
    raise UsageError(
        f"{folder} holds something else ({named}); choose a new or empty folder for --out"
    )


def _check_writable(folder: Path) -> None:
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder; choose another --out")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"no permission to write in {folder}; choose another --out")


def _first_existing(folder: Path) -> Path:
    return next(parent for parent in folder.absolute().parents if parent.exists())


def _strangers(folder: Path) -> Iterator[str]:
    """Names in the folder that no build has written there."""
    ours = journal_path(folder).is_file()
    for entry in folder.iterdir():
        if not ours:
            if entry.name != STATE_FOLDER or not _is_bare_state(entry):
                yield entry.name
        elif entry.name in _SHARD_FOLDERS:
            yield from _foreign_shards(entry)
        elif entry.name not in {"README.md", STATE_FOLDER}:
            yield entry.name


def _is_bare_state(state: Path) -> bool:
    """Whether a build was killed before its journal had a name."""
    return state.is_dir() and not state.is_symlink() and not any(state.iterdir())


def _foreign_shards(folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        yield folder.name
        return
    for entry in folder.iterdir():
        match = _SHARD.fullmatch(entry.name)
        if match is None or match[1] != _SHARD_FOLDERS[folder.name]:
            yield f"{folder.name}/{entry.name}"


class Journal:
    """The open journal of one build; one process at a time may hold it.

    Rows stay on disk: only their places are in memory.  Use it as a context manager.

    Args:
        out: the output folder, from ``open_output``.
        header: what decides the bytes of the data set (versions, seed, targets, families, draws
            and so on), as a JSON object.  Not the number of pairs or workers: a later run may
            change those.

    Raises:
        UsageError: another build holds the journal, it is damaged, or it was begun with another
            header.
    """

    def __init__(self, out: Path, header: Mapping[str, Any]) -> None:
        self._out = out
        self._places: dict[int, tuple[int, bool]] = {}
        self.header: dict[str, Any] = json.loads(json.dumps({"format": FORMAT, **header}))
        self._file = self._locked_file()
        try:
            self._load()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, index: int) -> bool:
        return index in self._places

    @property
    def indices(self) -> frozenset[int]:
        """Indices of all finished items."""
        return frozenset(self._places)

    @property
    def row_indices(self) -> list[int]:
        """Indices of the items that became a row, ascending."""
        return sorted(index for index, (_, is_row) in self._places.items() if is_row)

    def append_row(self, index: int, row: Mapping[str, Any]) -> None:
        """Records that item ``index`` became ``row``."""
        self._append(index, "row", row)

    def append_rejection(self, index: int, rejection: Mapping[str, Any]) -> None:
        """Records that item ``index`` was rejected."""
        self._append(index, "rejection", rejection)

    def rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Index and row of each row, by index."""
        return self._items("row", is_row=True)

    def rejections(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Index and rejection of each rejection, by index."""
        return self._items("rejection", is_row=False)

    def close(self) -> None:
        """Ends writing and lets another process open the journal."""
        self._file.close()

    def _items(self, key: str, *, is_row: bool) -> Iterator[tuple[int, dict[str, Any]]]:
        for index, (place, of_row) in sorted(self._places.items()):
            if of_row == is_row:
                self._file.seek(place)
                yield index, json.loads(self._file.readline())[key]

    def _append(self, index: int, key: str, value: Mapping[str, Any]) -> None:
        if index in self._places:
            raise ValueError(f"item {index} is already in the journal")
        place = self._write_line({"index": index, key: value})
        self._places[index] = place, key == "row"

    def _write_line(self, value: Mapping[str, Any]) -> int:
        line = json.dumps(value, separators=(",", ":")).encode() + b"\n"
        place = self._file.seek(0, os.SEEK_END)
        try:
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            raise OperationFailed(
                f"cannot write in {self._out}: {error.strerror}; what is finished is kept, "
                "make room and run the same command again"
            ) from error
        return place

    def _locked_file(self) -> BinaryIO:
        path = journal_path(self._out)
        try:
            path.parent.mkdir(exist_ok=True)
            file = path.open("a+b")
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise UsageError(
                f"another build is writing to {self._out}; wait for it or choose another --out"
            ) from error
        return file

    def _load(self) -> None:
        self._file.seek(0)
        end = 0
        for number, line in enumerate(self._file, start=1):
            if not line.endswith(b"\n"):
                break
            self._load_line(number, end, line)
            end += len(line)
        self._file.truncate(end)
        if not end:
            self._write_line(self.header)

    def _load_line(self, number: int, place: int, line: bytes) -> None:
        try:
            entry = json.loads(line)
            if number == 1:
                self._check_header(entry)
            else:
                self._places.setdefault(int(entry["index"]), (place, "row" in entry))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"line {number} of {journal_path(self._out)} is damaged; "
                f"delete {self._out} and build it again"
            ) from error

    def _check_header(self, found: dict[str, Any]) -> None:
        names = sorted(found.keys() | self.header.keys())
        differing = [name for name in names if found.get(name) != self.header.get(name)]
        if differing:
            details = ", ".join(
                f"{name} {_brief(found.get(name))} there, {_brief(self.header.get(name))} now"
                for name in differing
            )
            raise UsageError(
                f"{self._out} was built with another configuration ({details}); "
                "use the same one to go on with it, or another --out"
            )


def _brief(value: Any) -> str:
    if isinstance(value, list):
        value = ",".join(map(str, value)) or "all"
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
