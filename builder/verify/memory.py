"""Failures of the machine's memory, which say nothing of a pair."""

from __future__ import annotations

_ALLOCATOR = "DefaultCPUAllocator: can't allocate memory"


def memory_failure(error: BaseException) -> BaseException | None:
    """The failed allocation behind an error, if there is one.

    Args:
        error: any error; those it was raised from or while handling count.

    Returns:
        A ``MemoryError`` or the ``RuntimeError`` of torch's allocator; None if memory was not it.
    """
    seen: set[int] = set()
    behind: BaseException | None = error
    while behind is not None and id(behind) not in seen:
        seen.add(id(behind))
        is_allocator = isinstance(behind, RuntimeError) and _ALLOCATOR in str(behind)
        # Python's own compiler says so of a text that is nested too deeply, on any machine.
        if getattr(behind, "kind", None) == "syntax_error":
            return None
        if isinstance(behind, MemoryError) or is_allocator:
            return behind
        behind = behind.__cause__ or behind.__context__
    return None


def let_memory_failures_pass(error: BaseException) -> None:
    """Raises the failed allocation behind an error; does nothing for other errors.

    Raises:
        MemoryError: memory ran out.
        RuntimeError: memory ran out in torch's allocator.
    """
    found = memory_failure(error)
    if found is not None:
        raise found
