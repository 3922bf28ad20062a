"""Memory as integers of an element's size, and selections of elements."""

from __future__ import annotations

from typing import Any

import numpy as np

WORDS = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}

Array = np.ndarray[Any, Any]
Selection = slice | Array
"""Element numbers of a buffer: a slice where they are consecutive."""


def gather(array: Array, selection: Selection) -> Array:
    return array[selection] if isinstance(selection, slice) else array.take(selection)
