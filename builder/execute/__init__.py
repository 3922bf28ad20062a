"""The CPU executor: Triton kernels run on torch CPU tensors, and their memory use is checked.

A kernel is compiled to TTIR by Triton's own front end, parsed into a small IR, and run with all
program instances of the grid as one leading axis.
"""

from builder.execute.api import Launch, Trace, launches_noted, launches_on_cpu, run
from builder.execute.options import ExecutionOptions

__all__ = ["ExecutionOptions", "Launch", "Trace", "launches_noted", "launches_on_cpu", "run"]
