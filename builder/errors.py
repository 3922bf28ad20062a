"""Every error class of the package.

Errors arise in three places and are treated in three ways:

* ``UsageError``: the user asked for something that cannot be done.  The command line prints one
  line and exits with status 2; nothing has been written.
* ``OperationFailed``: a command was used rightly but could not finish (no network, no token, a
  failed row).  One line, exit status 1.
* ``Rejected``: a program, capture or pair is no good.  Workers catch it where the stage ends and
  turn it into a row of ``rejections`` (stage, kind, message); a build goes on.

A message ends with what to do, wherever there is something to do.
"""

from __future__ import annotations

SPARSE_ADVICE = (
    "kernels take dense tensors; keep its indices and its values in tensors of their own, or call "
    "to_dense() on it"
)
"""The way round a sparse tensor."""


class BuilderError(Exception):
    """Base of all errors that this package raises on purpose."""


class UsageError(BuilderError):
    """Wrong arguments or an unusable folder; exit status 2."""


class OperationFailed(BuilderError):
    """A rightly used command that could not finish; exit status 1."""


class Interrupted(BuilderError):
    """The user stopped the run; what was finished is kept."""


class Rejected(BuilderError):
    """A program, capture or pair that is no good: data, not a crash.

    Args:
        kind: short snake_case reason, stable across versions; rows are counted by it.
        message: what happened, with the user's own line where one is known.
    """

    stage = "program"

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class ProgramRejected(Rejected):
    """The PyTorch program breaks the program contract or is trivial."""

    stage = "program"


class CaptureRejected(Rejected):
    """``torch.compile`` gave no Triton module for the program."""

    stage = "capture"


class RewriteRejected(Rejected):
    """Inductor's module contains a construct the rewriter does not know."""

    stage = "rewrite"


class VerificationRejected(Rejected):
    """The Triton module is not proven equal to the program."""

    stage = "verify"


class WorkerRejected(Rejected):
    """The worker that ran an item was killed or died."""

    stage = "worker"


class ExecutionError(BuilderError):
    """A kernel could not be run on the CPU executor.

    Args:
        kind: short snake_case reason.
        message: what happened.
        kernel: name of the kernel, where known.
        line: line of the kernel's source file, where known.
    """

    def __init__(
        self, kind: str, message: str, *, kernel: str | None = None, line: int | None = None
    ) -> None:
        place = ":".join(str(part) for part in (kernel, line) if part is not None)
        super().__init__(f"{place}: {message}" if place else message)
        self.kind = kind
        self.kernel = kernel
        self.line = line


class UnsupportedOperation(ExecutionError):
    """The executor does not know an operation of the kernel's TTIR."""

    def __init__(
        self, operation: str, *, kernel: str | None = None, line: int | None = None
    ) -> None:
        super().__init__(
            "unsupported_operation",
            f"the executor does not know the operation {operation!r}",
            kernel=kernel,
            line=line,
        )
        self.operation = operation


class MemoryFault(ExecutionError):
    """A kernel read or wrote memory it must not.

    ``kind`` is ``out_of_bounds``, ``uninitialised_read``, ``race`` or ``poison``.
    """
