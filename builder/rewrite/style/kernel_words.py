"""Names of kernels, from the operations they fuse."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.capture.capture import Capture

MOST_WORDS = 4

_RENAMED = {
    "mm": "matmul", "bmm": "batched_matmul", "addmm": "linear", "baddbmm": "batched_matmul",
    "convolution": "conv", "_softmax": "softmax", "_log_softmax": "log_softmax", "rsub": "sub",
    "max_pool2d_with_indices": "max_pool2d", "native_group_norm": "group_norm",
    "native_layer_norm": "layer_norm", "_native_batch_norm_legit_functional": "batch_norm",
    "_native_batch_norm_legit_no_training": "batch_norm", "native_dropout": "dropout",
    "linalg_vector_norm": "norm", "constant_pad_nd": "pad", "_adaptive_avg_pool2d": "avg_pool2d",
    "amax": "max", "amin": "min", "clamp_min": "clamp", "clamp_max": "clamp", "index": "gather",
    "_unsafe_index": "gather", "_unsafe_index_put": "scatter", "index_put": "scatter",
    "prepare_softmax_online": "softmax", "pow": "power", "_to_copy": "", "t": "", "view": "",
    "_unsafe_view": "", "expand": "", "clone": "", "unsqueeze": "", "squeeze": "", "permute": "",
    "transpose": "", "alias": "", "detach": "", "slice": "", "select": "", "reshape": "",
    "scalar_tensor": "", "full_like": "", "zeros_like": "", "ones_like": "", "full": "",
    "lift_fresh": "", "copy": "", "split": "", "split_with_sizes": "", "unbind": "", "stack": "cat",
    "arange": "", "iota": "", "zeros": "", "ones": "", "empty": "", "new_zeros": "",
}  # fmt: skip

_TEMPLATES = frozenset({"matmul", "batched_matmul", "linear", "conv"})


def kernel_words(capture: Capture) -> dict[str, str]:
    """A name for each kernel, by Inductor's: ``layer_norm_gelu``."""
    origins = dict(capture.origins.kernels)
    if capture.backward is not None:
        origins |= capture.backward.origins.kernels
    found = {name: _words(origin.operations) for name, origin in origins.items()}
    for name, words in found.items():
        if words in _TEMPLATES and name.startswith("triton_poi_"):
            found[name] = f"copy_for_{words}"  # lays an operand out for the template
    return {name: words for name, words in found.items() if words}


def _words(operations: Sequence[str]) -> str:
    plain = [_RENAMED.get(item, item) for item in (name.rstrip("_") for name in operations)]
    words = list(dict.fromkeys(re.sub(r"\W+|^_+", "", word) for word in plain if word))
    if len(words) > MOST_WORDS:
        words = [*words[: MOST_WORDS - 1], words[-1]]
    return "_".join(words) or ("copy" if operations else "")
