"""What differs between the versions of PyTorch that captures work with: 2.11, 2.12 and 2.13."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch._inductor.config as inductor_config

if TYPE_CHECKING:
    from collections.abc import Mapping

SINCE: dict[str, tuple[int, int]] = {
    "max_autotune_conv_bwd_weight_backends": (2, 13),
    "max_autotune_conv_bwd_input_backends": (2, 13),
}
"""Settings of Inductor by the version that has them first.

Without the two, the backward pass of a convolution is a library call.
"""


def known(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of Inductor's settings that this version has, ``SINCE`` saying which may be missing."""
    return {
        name: value
        for name, value in settings.items()
        if name not in SINCE or hasattr(inductor_config, name)
    }


NEEDS_VALUES = (
    "not linked with support for cuda",
    "SymIntArrayRef expected to contain only concrete integers",
)
"""What errors say where a size depends on data: since 2.13 without CUDA, and before."""

SPARSE = "wrap sparse Tensor"
"""What Dynamo says of a tensor that is not dense."""

NO_FAKE = ("Torch not compiled with CUDA enabled", "Found no NVIDIA driver")
"""What PyTorch says where tracing would have to run an operation on the described GPU, built
without CUDA and with it.
"""
