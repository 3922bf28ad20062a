"""The output folder and its journal: what makes a build resumable.

The journal is ``<out>/.torch2triton/journal.jsonl``.  Its first line is the header (what decides
the bytes of the data set); every other line is one finished item, a row or a rejection, appended
and flushed when the item ends.  A kill can cost the last line at most.
"""

from __future__ import annotations

import bisect
import fcntl
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.errors import OperationFailed, UsageError

if TYPE_CHECKING:
    import io
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
        self._places: dict[int, int] = {}
        self._rows: list[int] = []
        self.header: dict[str, Any] = json.loads(json.dumps({"format": FORMAT, **header}))
        self._writer = self._locked_file()
        self._reader = journal_path(out).open("rb")
        try:
            self._load()
        except BaseException:
            self.close()
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
        return list(self._rows)

    @property
    def num_rows(self) -> int:
        """Number of items that became a row."""
        return len(self._rows)

    def append_row(self, index: int, row: Mapping[str, Any]) -> None:
        """Records that item ``index`` became ``row``."""
        self._append(index, "row", row)

    def append_rejection(self, index: int, rejection: Mapping[str, Any]) -> None:
        """Records that item ``index`` was rejected."""
        self._append(index, "rejection", rejection)

    def rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Index and row of each row, by index."""
        return self._items("row", self._rows)

    def rejections(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Index and rejection of each rejection, by index."""
        return self._items("rejection", sorted(self._places.keys() - set(self._rows)))

    def close(self) -> None:
        """Ends writing and lets another process open the journal."""
        self._reader.close()
        self._writer.close()

    def _items(self, key: str, indices: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in tuple(indices):
            self._reader.seek(self._places[index])
            yield index, json.loads(self._reader.readline())[key]

    def _append(self, index: int, key: str, value: Mapping[str, Any]) -> None:
        if index in self._places:
            raise ValueError(f"item {index} is already in the journal")
        self._note(index, self._write_line({"index": index, key: value}), is_row=key == "row")

    def _note(self, index: int, place: int, *, is_row: bool) -> None:
        self._places[index] = place
        if is_row:
            bisect.insort(self._rows, index)

    def _write_line(self, value: Mapping[str, Any]) -> int:
        rest = memoryview(json.dumps(value, separators=(",", ":")).encode() + b"\n")
        place = self._writer.seek(0, os.SEEK_END)
        try:
            while rest:
                rest = rest[self._writer.write(rest) :]
        except OSError as error:
            self._writer.truncate(place)
            raise OperationFailed(
                f"cannot write in {self._out}: {error.strerror}; what is finished is kept, "
                "make room and run the same command again"
            ) from error
        return place

    def _locked_file(self) -> io.FileIO:
        """The journal, open for appending without a buffer: what is written is in the file."""
        path = journal_path(self._out)
        try:
            path.parent.mkdir(exist_ok=True)
            file = path.open("ab", buffering=0)
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
        end = 0
        for number, line in enumerate(self._reader, start=1):
            if not line.endswith(b"\n"):
                break
            self._load_line(number, end, line)
            end += len(line)
        self._writer.truncate(end)
        if not end:
            self._write_line(self.header)

    def _load_line(self, number: int, place: int, line: bytes) -> None:
        try:
            entry = json.loads(line)
            if number == 1:
                self._check_header(entry)
            else:
                self._load_item(entry, place)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"line {number} of {journal_path(self._out)} is damaged; "
                f"delete {self._out} and build it again"
            ) from error

    def _load_item(self, entry: dict[str, Any], place: int) -> None:
        index = entry["index"]
        if not isinstance(index, int) or ("row" in entry) == ("rejection" in entry):
            raise ValueError("no item")
        if index not in self._places:
            self._note(index, place, is_row="row" in entry)

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
