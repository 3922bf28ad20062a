"""Limits that the kernel keeps for a step process; the server watches time and memory besides."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

from builder.pipeline.processes import address_space_bytes

FILE_BYTES = 256 << 20
OPEN_FILES = 1024


def apply_limits(memory_bytes: int) -> None:
    """Limit this process and whatever it starts.

    Address space is a second fence behind the watch on resident memory: twice ``memory_bytes`` on
    top of what the process has mapped already, so that memory mapped and hardly touched passes.

    Args:
        memory_bytes: resident bytes that the step may hold.
    """
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, FILE_BYTES)
    _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    _lower(resource.RLIMIT_AS, address_space_bytes() + 2 * memory_bytes)
    # Should the machine run out of memory all the same, let it be this process that goes.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _lower(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))
