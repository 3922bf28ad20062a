"""The ATen operators that a Triton text is labelled to call beside its kernels.

A label is a promise to who reads the data: the text calls these operators and no other, and each of
them.  What the kernels contribute to the results must matter, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from builder.capture.library import can_be_kept, spellings
from builder.errors import VerificationRejected

if TYPE_CHECKING:
    from collections.abc import Iterable


class LibraryCalls:
    """The operators of a label, and which of them have been called.

    Args:
        names: as ``fallback_ops`` has them: ``aten.mm.out``.

    Raises:
        VerificationRejected: ``library_call``: one that no pair may call.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names = frozenset(names)
        self._called: set[str] = set()
        unfit = sorted(name for name in self.names if not can_be_kept(name))
        if unfit:
            raise VerificationRejected(
                "library_call",
                f"no pair may call {', '.join(unfit)}: it must be an operator of ATen's that draws "
                "no numbers and gives tensors; label such alone",
            )

    @property
    def paths(self) -> frozenset[str]:
        """How a text may write them: ``torch.mm``, ``torch.ops.aten.mm.out``."""
        return frozenset(path for name in self.names for path in spellings(name))

    def admits(self, func: Any) -> bool:
        """Whether an ATen overload is labelled; it counts as called."""
        name = str(func)
        if name not in self.names:
            return False
        self._called.add(name)
        return True

    def check_called(self) -> None:
        """Refuses a label that names more than the text calls.

        Raises:
            VerificationRejected: ``library_label``.
        """
        idle = sorted(self.names - self._called)
        if idle:
            message = f"the label names {', '.join(idle)}, which nothing calls; leave it out"
            raise VerificationRejected("library_label", message)
