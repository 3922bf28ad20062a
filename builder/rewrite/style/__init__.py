"""Kernels as an expert writes them: what the compiler left over goes, and everything has a name.

One pass a file, over syntax trees, in the order of ``simplify``; then ``names``.  No pass changes
what a kernel computes.
"""

from builder.rewrite.style.kernel_words import kernel_words
from builder.rewrite.style.layout import laid_out
from builder.rewrite.style.restyle import Style, styled

__all__ = ["Style", "kernel_words", "laid_out", "styled"]
