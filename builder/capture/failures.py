"""What an exception of ``torch.compile`` becomes: a rejection that names the construct."""

from __future__ import annotations

import re

from builder.capture.versions import NEEDS_VALUES, NO_FAKE, SPARSE
from builder.errors import SPARSE_ADVICE, CaptureRejected, Rejected

_MESSAGE_LINES = 3
_NOISE = re.compile(
    r"\s*(?:Hint:|Developer debug context|Set TORCHDYNAMO_VERBOSE|While executing|"
    r"from user code|For more details|Original traceback).*",
    re.DOTALL,
)
_USER_LINE = re.compile(r'File "[^"]*?([^"/]+)", line (\d+), in (?!__)\w+')
_DATA_DEPENDENT = re.compile(r"[Cc]ould not guard on data-dependent expression (\S+)")


def rejection(error: Exception) -> Rejected:
    """The rejection for what Dynamo, AOTAutograd or Inductor raised."""
    inner = getattr(error, "inner_exception", None)  # of what Dynamo's backend raised
    if isinstance(inner, Rejected):
        return inner
    return _known(str(error)) or _other(error)


def _known(text: str) -> CaptureRejected | None:
    """For what has a way round, or at least a name."""
    if "NoValidChoicesError" in text:
        return CaptureRejected(
            "no_template",
            f"Inductor has no Triton template for this {_operation(r'target: ([^ ]+)', text)}; "
            "write it with operations that Inductor turns into Triton",
        )
    if SPARSE in text:
        return CaptureRejected(
            "sparse_tensor", f"{_user_line(text)}forward has a sparse tensor; {SPARSE_ADVICE}"
        )
    operation = _operation(r"target=torch\.ops\.([\w.]+)", text)
    if any(sign in text for sign in NEEDS_VALUES) or _DATA_DEPENDENT.search(text):
        return CaptureRejected(
            "needs_values",
            f"{_user_line(text)}{operation} needs real values, for a shape or a decision that "
            "depends on data perhaps; write it with fixed shapes (a mask and torch.where)",
        )
    if any(sign in text for sign in NO_FAKE):
        return CaptureRejected(
            "untraceable",
            f"{_user_line(text)}{operation} can only be run, by a library, and not be traced; "
            "compute it outside of forward, and hand it the result",
        )
    return None


def _other(error: Exception) -> CaptureRejected:
    name = type(error).__name__
    kind = "graph_break" if "Unsupported" in name or "UserError" in name else "compiler_error"
    return CaptureRejected(
        kind, f"{_user_line(str(error))}{_summary(error)}; write forward so that it traces whole"
    )


def _operation(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found.group(1) if found else "an operation"


def _summary(error: BaseException) -> str:
    """The first lines of an error, without the compiler's advice to its own developers."""
    text = _NOISE.sub("", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[:_MESSAGE_LINES]) or type(error).__name__


def _user_line(text: str) -> str:
    """Where in the program tracing ended, as Dynamo tells it."""
    _, _, traceback = text.partition("from user code")
    places = _USER_LINE.findall(traceback)
    return "{}, line {}: ".format(*places[-1]) if places else ""
