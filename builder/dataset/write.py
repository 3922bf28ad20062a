"""Writes the finished data set: Parquet shards and the card.

The card is the mark of a finished data set: it is removed before the first shard changes and
written last, so that a folder with a card holds one complete set of shards.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from builder.dataset.card import render_card
from builder.dataset.journal import STATE_FOLDER
from builder.dataset.schema import REJECTION_SCHEMA, SCHEMA
from builder.errors import OperationFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

#: Rows of one shard.
SHARD_ROWS = 1000
CARD_NAME = "README.md"


def finalise(
    out: Path,
    rows: Iterable[Mapping[str, Any]],
    rejections: Iterable[Mapping[str, Any]],
    summary: Mapping[str, Any],
) -> None:
    """Writes shards and card; what was there before is replaced only when all is written.

    Rows come out in seed order, those without a seed (a user's files) last, as they came.  The
    bytes depend on the arguments and on pyarrow's version alone.

    Args:
        out: the output folder, from ``open_output``.
        rows: what ``make_row`` made.
        rejections: what ``make_rejection`` made.
        summary: of ``summarise``; printed on the card.

    Raises:
        OperationFailed: the files cannot be written; what is finished stays in the journal.
    """
    staging = out / STATE_FOLDER / "staging"
    ordered = sorted(rows, key=_seed_order)
    refused = sorted(rejections, key=_seed_order)
    try:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        staged = [
            *_write_shards(staging, "data/train", ordered, SCHEMA),
            *_write_shards(staging, "rejections/rejections", refused, REJECTION_SCHEMA),
        ]
        (staging / CARD_NAME).write_text(render_card(ordered, summary), encoding="utf-8")
        _publish(staging, out, [*staged, CARD_NAME])
        shutil.rmtree(staging)
    except OSError as error:
        raise OperationFailed(
            f"cannot write the data set in {out}: {error.strerror or error}; what is finished is "
            "kept, remove the cause and run the same command again"
        ) from error


def _seed_order(row: Mapping[str, Any]) -> tuple[bool, int]:
    seed = row.get("seed")
    return (True, 0) if seed is None else (False, seed)


def _write_shards(
    staging: Path, prefix: str, rows: Sequence[Mapping[str, Any]], schema: pa.Schema
) -> list[str]:
    """Writes the shards below ``staging``; returns their names.  No row gives one empty shard."""
    count = max(1, -(-len(rows) // SHARD_ROWS))
    names = [f"{prefix}-{number:05d}-of-{count:05d}.parquet" for number in range(count)]
    for number, name in enumerate(names):
        part = rows[number * SHARD_ROWS : (number + 1) * SHARD_ROWS]
        path = staging / name
        path.parent.mkdir(exist_ok=True)
        _write_shard(path, part, schema)
    return names


def _write_shard(path: Path, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> None:
    with pq.ParquetWriter(
        path, schema, compression="zstd", compression_level=9, version="2.6"
    ) as writer:
        # `datasets` cannot load a row group of no rows, but a file without any row group it can.
        if rows:
            writer.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=schema))


def _publish(staging: Path, out: Path, names: list[str]) -> None:
    """Moves the staged files into place, the card last; removes shards of an earlier run."""
    (out / CARD_NAME).unlink(missing_ok=True)
    for folder in ("data", "rejections"):
        (out / folder).mkdir(exist_ok=True)
        for stale in (out / folder).iterdir():
            if f"{folder}/{stale.name}" not in names:
                stale.unlink()
    for name in names:
        (staging / name).replace(out / name)
