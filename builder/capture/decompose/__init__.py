"""Operations without a Triton form in Inductor, written with operations that have one.

Each module holds decompositions of one kind; ``table`` adds them to Inductor's own.  A
decomposition computes what the operation computes, rounding aside; one that cannot (an option, a
size) returns ``NotImplemented``, and the operation stays as it is.
"""

from builder.capture.decompose.table import decompositions

__all__ = ["decompositions"]
