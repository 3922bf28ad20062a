"""What a build or a folder holds, as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group

from builder.cli import render

if TYPE_CHECKING:
    from collections.abc import Mapping


def _counts(titles: tuple[str, str], counts: Mapping[str, int]) -> Any:
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return render.table(titles, rows)


def _rejections(rejections: Mapping[str, Mapping[str, int]]) -> Any:
    rows = [
        (stage, kind, count)
        for stage, kinds in sorted(rejections.items())
        for kind, count in sorted(kinds.items())
    ]
    return render.table(("rejected in", "reason", "items"), rows)


def summary_tables(result: Mapping[str, Any]) -> Group:
    """Pairs by family and kernel kind, rejections by stage and reason, and the rate.

    Args:
        result: what ``builder.pipeline.build.build`` returns.
    """
    parts: list[Any] = []
    if result["families"]:
        parts.append(_counts(("family", "pairs"), result["families"]))
        parts.append(_counts(("kernel kind", "pairs"), result["kernel_kinds"]))
    if result["rejections"]:
        parts.append(_rejections(result["rejections"]))
    parts.append(f"{result['pairs']} verified pairs in {result['out']}")
    if result["new_pairs"]:
        rate = result["new_pairs"] / max(result["seconds"], 0.1) * 60
        parts.append(
            f"{result['new_pairs']} of them new, in {result['seconds']:.0f} s: "
            f"{rate:.0f} pairs per minute"
        )
    return Group(*parts)
