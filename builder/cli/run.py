"""Runs a build with a progress bar and prints its summary; shared by ``build`` and ``convert``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.cli.output import EXIT_FAILED, EXIT_OK, Output
from builder.cli.summary import summary_tables

if TYPE_CHECKING:
    from builder.config import BuildConfig
    from builder.pipeline.build import Progress, Stream


def run_build(config: BuildConfig, stream: Stream, output: Output, total: int) -> int:
    """Runs the stream to its end.

    Args:
        config: of the build.
        stream: its items.
        output: where results go.
        total: pairs of ``build``, items of ``convert``: the length of the bar.
    """
    from builder.pipeline.build import build  # noqa: PLC0415 - --help stays fast

    label, unit = ("building", "pair") if stream.length is None else ("converting", "file")
    with output.progress(total, label, unit) as bar:

        def show(progress: Progress) -> None:
            done = progress.pairs if stream.length is None else progress.items
            bar.update(min(done, total) - bar.n)
            bar.set_postfix(rejected=progress.items - progress.pairs)

        result = build(config, stream, show)
    output.result(result, summary_tables(result), quiet=str(config.out))
    if result["pairs"] == 0:
        output.error("no pair was verified; the rejections above and in the output folder say why")
        return EXIT_FAILED
    if stream.length is None and result["pairs"] < config.pairs:
        output.warn(
            f"gave up after {result['pairs']} of {config.pairs} pairs: nothing but rejections"
        )
    return EXIT_OK
