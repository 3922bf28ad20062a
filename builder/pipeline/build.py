"""The main job: a stream of items in, verified pairs out, in the order of the stream.

The data set holds the first N verified pairs by index and every rejection before the last of them,
whatever the number of workers and however often the build was interrupted.
"""

from __future__ import annotations

import importlib.metadata
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from builder import __version__
from builder.capture.variants import DEFAULT
from builder.config import LIBRARY_CALLS, MODES, STYLES
from builder.dataset.duplicates import Alike
from builder.dataset.journal import Journal, open_output
from builder.dataset.schema import make_rejection, make_row
from builder.dataset.summary import summarise
from builder.dataset.write import finalise
from builder.errors import Interrupted
from builder.pipeline.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from builder.config import BuildConfig
    from builder.pipeline.messages import Job, Outcome
    from builder.pipeline.streams import Stream

PRELOAD = ("torch", "triton", "builder.pipeline.warm")
FRUITLESS = 400
"""Items in a row without one pair after which a build gives up."""


@dataclass(frozen=True)
class Progress:
    """How far a build is: pairs found, items finished."""

    pairs: int
    items: int


def _header(config: BuildConfig, stream: Stream) -> dict[str, Any]:
    versions = {"builder": __version__}
    versions |= {name: importlib.metadata.version(name) for name in ("torch", "triton")}
    settings: dict[str, Any] = {"targets": list(config.targets), "draws": config.draws}
    if config.variants != (DEFAULT.name,):
        settings["variants"] = list(config.variants)
    if config.mode != MODES[0]:
        settings["mode"] = config.mode
    if config.style != STYLES[0]:
        settings["style"] = config.style
    if config.library_calls != LIBRARY_CALLS[0]:
        settings["library_calls"] = config.library_calls
    return versions | settings | {"limits": asdict(config.limits)} | stream.header


class _Run:
    """Which items a build still needs; asked afresh whenever a worker is free."""

    def __init__(self, config: BuildConfig, stream: Stream, journal: Journal) -> None:
        self._config, self._stream, self._journal = config, stream, journal
        self._prefix = 0
        self._last_row = -1
        most = config.most_alike if stream.length is None else None
        self._alike = Alike(most, journal.rows() if most else ())

    @property
    def num_pairs(self) -> int:
        """Rows so far, those left out that are too many of one structure."""
        return self._journal.num_rows - self._alike.excess

    def _advance(self) -> None:
        """Moves to the first item that is not finished; only what lies before it may decide."""
        rows = set(self._journal.row_indices) if self._prefix in self._journal else set()
        while self._prefix in self._journal:
            if self._prefix in rows and self._alike.admits(self._prefix):
                self._last_row = self._prefix
            self._prefix += 1

    def _is_needed(self, index: int) -> bool:
        if self._stream.length is not None:
            return index < self._stream.length
        self._advance()
        if index < max(self._journal.indices, default=-1):
            return True
        fruitless = self._prefix - self._last_row > FRUITLESS
        return self.num_pairs < self._config.pairs and not fruitless

    def jobs(self) -> Iterator[Job]:
        index = 0
        while self._is_needed(index):
            if index not in self._journal:
                yield self._stream.job(index)
            index += 1

    def record(self, outcome: Outcome) -> None:
        index = int(outcome.key)
        rejection = outcome.rejection
        if outcome.value is not None:
            try:
                row = make_row(**outcome.value)
            except ValueError as error:
                rejection = _no_row(error)
            else:
                self._journal.append_row(index, row)
                self._alike.add(index, row)
                return
        rejection = {"source": None} | (rejection or {})
        rejection["source"] = rejection["source"] or self._stream.source(index)
        fields = ("source", "stage", "kind", "message", "deterministic")
        row = make_rejection(
            seed=self._stream.seed(index), **{name: rejection[name] for name in fields}
        )
        self._journal.append_rejection(index, row)

    def kept(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Rows and rejections of the data set: those up to the last of the first N rows."""
        beyond = self._alike.beyond(self._journal.row_indices)
        every = list(self._journal.rows())
        rows = [item for item in every if item[0] not in beyond]
        rejections = list(self._journal.rejections())
        rejections += [(i, self._too_alike(row)) for i, row in every if i in beyond]
        rejections.sort(key=lambda item: item[0])
        if self._stream.length is None:
            rows = rows[: self._config.pairs]
            end = rows[-1][0] if len(rows) == self._config.pairs else self._give_up_index()
            rejections = [item for item in rejections if item[0] <= end]
        return [row for _, row in rows], [rejection for _, rejection in rejections]

    def _too_alike(self, row: dict[str, Any]) -> dict[str, Any]:
        return make_rejection(
            seed=row["seed"],
            source=row["source"],
            stage="program",
            kind="duplicate",
            message=f"{self._alike.most} pairs before it have the same graph of operators; raise "
            "--most-alike to keep it",
        )

    def _give_up_index(self) -> int:
        """Where a build that finds nothing more ends, however many items were under way."""
        self._advance()
        return self._last_row + FRUITLESS


def _no_row(error: ValueError) -> dict[str, Any]:
    return {
        "stage": "verify",
        "kind": "no_row",
        "message": f"the verified pair does not fit a row: {error}",
        "deterministic": True,
    }


def build(
    config: BuildConfig, stream: Stream, on_progress: Callable[[Progress], None]
) -> dict[str, Any]:
    """Runs a stream until the data set is full and writes it.

    Returns:
        ``pairs``, ``rejections`` (stage to kind to count), ``families``, ``kernel_kinds``,
        ``seconds`` (wall clock of this run), ``new_pairs`` (those that this run added) and ``out``.

    Raises:
        UsageError: the folder holds something else or a build of another configuration.
        Interrupted: the user stopped it; what was finished is a valid, smaller data set.
    """
    started = time.monotonic()
    out = open_output(config.out)
    with Journal(out, _header(config, stream)) as journal:
        run = _Run(config, stream, journal)
        before = min(run.num_pairs, config.pairs)
        interrupted = False
        try:
            _run_all(config, run, journal, on_progress)
        except KeyboardInterrupt:
            interrupted = True
        rows, rejections = run.kept()
        new_pairs = max(len(rows) - before, 0)
        summary = summarise(rows, rejections)
        finalise(out, rows, rejections, summary)
    if interrupted:
        raise Interrupted(
            f"stopped; {len(rows)} verified pairs so far are in {config.out}, "
            "run the same command again to go on"
        )
    figures = {"new_pairs": new_pairs, "out": str(config.out)}
    return summary | {"seconds": round(time.monotonic() - started, 1)} | figures


def _run_all(
    config: BuildConfig, run: _Run, journal: Journal, on_progress: Callable[[Progress], None]
) -> None:
    on_progress(Progress(run.num_pairs, len(journal)))
    if next(run.jobs(), None) is None:
        return
    with Supervisor(config.workers, config.limits, PRELOAD) as supervisor:
        for outcome in supervisor.run(run.jobs()):
            run.record(outcome)
            on_progress(Progress(run.num_pairs, len(journal)))
