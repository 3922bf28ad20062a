"""Runs a build with a progress bar and prints its summary; shared by ``build`` and ``convert``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from builder.cli.output import EXIT_FAILED, EXIT_OK, Output
from builder.cli.summary import summary_tables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from builder.config import BuildConfig
    from builder.pipeline.build import Progress
    from builder.pipeline.streams import Stream


def run_build(config: BuildConfig, stream: Stream, output: Output, total: int) -> int:
    """Runs the stream to its end.

    Args:
        config: of the build.
        stream: its items.
        output: where results go.
        total: pairs of ``build``, items of ``convert``: the length of the bar.
    """
    from builder.dataset.read import read_rejections  # noqa: PLC0415 - --help stays fast
    from builder.pipeline.build import build  # noqa: PLC0415

    label, unit = ("building", "pair") if stream.length is None else ("converting", "file")
    with output.progress(total, label, unit) as bar:
        spoken = 0

        def show(progress: Progress) -> None:
            nonlocal spoken
            done = progress.pairs if stream.length is None else progress.items
            bar.update(min(done, total) - bar.n)
            bar.set_postfix(rejected=progress.items - progress.pairs)
            if bar.disable and done * 10 // total > spoken:
                spoken = done * 10 // total
                output.note(f"{label}: {done} of {total}")

        result = build(config, stream, show)
    if stream.length is not None:
        for rejection in read_rejections(config.out):
            name = rejection["source"].removeprefix("file:")
            output.note(f"{name}: {rejection['kind']}: {rejection['message']}")
    output.result(result, summary_tables(result), quiet=str(config.out))
    if stream.length is None and result["pairs"] < config.pairs:
        why = refusals(list(read_rejections(config.out)))
        output.error(f"gave up after {result['pairs']} of {config.pairs} pairs; {why}")
        return EXIT_FAILED
    if result["pairs"] == 0:
        output.error("no pair was verified; the rejections say why")
        return EXIT_FAILED
    return EXIT_OK


def refusals(rejections: Sequence[Mapping[str, Any]]) -> str:
    """What most of the last programs were refused for: what no pair can meet, it may be.

    Args:
        rejections: of a build, in its order.
    """
    from builder.pipeline.build import FRUITLESS  # noqa: PLC0415 - --help stays fast

    last = rejections[-FRUITLESS:]
    (kind, count), *_ = Counter(one["kind"] for one in last).most_common()
    message = next(one["message"] for one in reversed(last) if one["kind"] == kind)
    return f"of the last {len(last)} programs {count} were refused as {kind}, such as: {message}"
