"""What a build or a folder holds, in counts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Name under which pairs made from a user's own files are counted among the families.
USER_FILES = "user_files"


def summarise(
    rows: Iterable[Mapping[str, Any]], rejections: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """Counts of pairs and rejections.

    Returns:
        ``pairs``: int; ``rejections``: stage to kind to count; ``families``: family to pairs
        (pairs without one under ``user_files``); ``kernel_kinds``: kind to the pairs that have a
        kernel of it.  Every mapping is sorted by name.
    """
    families: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for row in rows:
        families[row.get("family") or USER_FILES] += 1
        kinds.update(set(row.get("kernel_kinds") or ()))
    return {
        "pairs": families.total(),
        "rejections": count_rejections(rejections),
        "families": dict(sorted(families.items())),
        "kernel_kinds": dict(sorted(kinds.items())),
    }


def count_rejections(rejections: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Stage to kind to count, sorted by name."""
    counts = Counter((rejection["stage"], rejection["kind"]) for rejection in rejections)
    stages: dict[str, dict[str, int]] = {}
    for (stage, kind), count in sorted(counts.items()):
        stages.setdefault(stage, {})[kind] = count
    return stages
