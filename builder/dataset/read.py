"""Reads the rows of a data set, ours or of KernelBook's form."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from builder.dataset.journal import journal_path
from builder.dataset.write import CARD_NAME
from builder.errors import UsageError

if TYPE_CHECKING:
    import os

#: Columns without which a file holds no pairs.
NEEDED = ("entry_point", "python_code", "triton_code")

_SHARD = re.compile(r"train-(\d{5})-of-(\d{5})\.parquet")


def read_rows(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The pairs of a data set folder or of one Parquet file, in order.

    Args:
        path: a folder that a build wrote, or a ``.parquet`` file with at least the columns
            ``entry_point``, ``python_code`` and ``triton_code``.

    Raises:
        UsageError: it is missing, unfinished or unreadable, or lacks a needed column.
    """
    return [row for file in pair_files(Path(path)) for row in _read_file(file)]


def read_rejections(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The rejections of a data set folder, in order; none where it has none."""
    files = sorted((Path(folder) / "rejections").glob("rejections-*.parquet"))
    return [row for file in files for row in _table(file).to_pylist()]


def pair_files(path: Path) -> list[Path]:
    """The Parquet files that hold the pairs of a folder or file, in order.

    Raises:
        UsageError: there are none, or some are missing.
    """
    try:
        path.stat()
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
        reason = "does not exist" if isinstance(error, FileNotFoundError) else reason
        raise UsageError(f"{path} {reason}; give a data set folder or a .parquet file") from error
    return _shards(path) if path.is_dir() else [path]


def _shards(folder: Path) -> list[Path]:
    found = {
        (int(match[1]), int(match[2])): file
        for file in (folder / "data").glob("train-*.parquet")
        if (match := _SHARD.fullmatch(file.name))
    }
    interrupted = journal_path(folder).exists() and not (folder / CARD_NAME).exists()
    if interrupted:
        raise UsageError(
            f"the build in {folder} is not finished; run the same build command again first"
        )
    if not found:
        raise UsageError(
            f"{folder} is no data set: it has no data/train-*.parquet; "
            "give the folder that `torch2triton build` wrote"
        )
    total = max(of for _, of in found)
    missing = [number for number in range(total) if (number, total) not in found]
    if missing or len(found) != total:
        raise UsageError(f"{folder} lacks shards or holds those of two builds; build it again")
    return [found[key] for key in sorted(found)]


def _read_file(file: Path) -> list[dict[str, Any]]:
    table = _table(file)
    missing = [name for name in NEEDED if name not in table.column_names]
    if missing:
        raise UsageError(
            f"{file} has no column {', '.join(missing)}; "
            f"pairs need {', '.join(NEEDED[:-1])} and {NEEDED[-1]}"
        )
    _check_texts(table, file)
    return table.to_pylist()


def _check_texts(table: pa.Table, file: Path) -> None:
    for name in NEEDED:
        kind = table.schema.field(name).type
        is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        if not is_text or table.column(name).null_count:
            raise UsageError(f"column {name} of {file} is not text in every row; fix the file")


def _table(file: Path) -> pa.Table:
    try:
        return pq.ParquetFile(file).read()
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise UsageError(
            f"{file} cannot be read as Parquet ({reason}); "
            "give a data set folder or a .parquet file"
        ) from error
