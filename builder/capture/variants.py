"""The variant table: named configurations of Inductor that give other Triton for one program.

Settings are those of ``torch/_inductor/config.py`` in torch 2.11 to 2.13, where each is described;
``tests/capture/test_variants.py`` fails if one is gone.  A variant of your own is one more entry:

    VARIANTS["small"] = Variant("small", "fuses eight nodes at most", {"max_fusion_size": 8})
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from builder.errors import CaptureRejected, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from builder.capture.targets import Target

ALL = "all"
"""Names every variant of the table, in its order."""


@dataclass(frozen=True)
class Variant:
    """A named configuration of Inductor.

    Attributes:
        name: as users write it, and as rows carry it.
        changes: what it changes in the code, for people.
        settings: Inductor's settings, over those of every capture.
        dot_precision: ``ieee``, or ``tf32`` for matrix products of float32.
        attention: ``math``, or ``flex`` for one fused kernel.
        rank: how many places down the ranked tile configurations of a template it goes.
        capability: least CUDA compute capability of its targets; None for any target.
    """

    name: str
    changes: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    dot_precision: str = "ieee"
    attention: str = "math"
    rank: int = 0
    capability: tuple[int, int] | None = None

    def check(self, target: Target) -> None:
        """Refuses a target that has not what the variant needs.

        Raises:
            CaptureRejected: ``variant_target``.
        """
        if self.capability is None:
            return
        if target.backend != "cuda" or target.capability < self.capability:
            least = "cuda:{}{}".format(*self.capability)
            raise CaptureRejected(
                "variant_target",
                f"variant {self.name} needs {least} or newer, not {target.name}; "
                "choose another variant or target",
            )


DEFAULT = Variant("default", "Inductor's own choices")

VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        DEFAULT,
        Variant(
            "looped",
            "reductions loop over blocks of a row instead of holding the row",
            {"triton.persistent_reductions": False},
        ),
        Variant(
            "unsplit",
            "one kernel reduces all of it, where another would join partial results",
            {"split_reductions": False, "triton.mix_order_reduction": False},
        ),
        Variant(
            "cooperative",
            "the blocks of a launch share a reduction and wait for each other inside the kernel",
            {"triton.cooperative_reductions": True},
        ),
        Variant(
            "unfused",
            "no two steps share a kernel; a step is a chain of operations on one tensor",
            {
                "max_fusion_size": 1,
                "realize_reads_threshold": 1,
                "realize_opcount_threshold": 0,
                "realize_acc_reads_threshold": 0,
                "epilogue_fusion": False,
                "prologue_fusion": False,
            },
        ),
        Variant(
            "tiled",
            "index spaces are tiled in as many dimensions as they have, three at most",
            {
                "triton.prefer_nd_tiling": True,
                "triton.max_tiles": 3,
                "triton.tile_reductions": True,
            },
        ),
        Variant("flat", "index spaces are one-dimensional", {"triton.max_tiles": 1}),
        Variant(
            "block_pointers",
            "memory is reached through block pointers with boundary checks",
            {"triton.use_block_ptr": True},
        ),
        Variant(
            "descriptors",
            "memory is reached through tensor descriptors (TMA)",
            {"triton.use_tensor_descriptor": True, "assume_aligned_inputs": True},
            capability=(9, 0),
        ),
        Variant(
            "persistent",
            "matrix products stay on their multiprocessors and load by tensor descriptors (TMA)",
            {"triton.enable_persistent_tma_matmul": True, "assume_aligned_inputs": True},
            capability=(9, 0),
        ),
        Variant(
            "combo",
            "independent kernels share one launch (horizontal fusion, as foreach)",
            {"combo_kernels": True},
        ),
        Variant(
            "tiles",
            "templates take the tile configuration that is ranked next",
            rank=1,
        ),
        Variant("flex", "attention is one fused kernel, flex attention's", attention="flex"),
        Variant(
            "tf32",
            "large float32 matrix products and convolutions round their operands to tf32",
            dot_precision="tf32",
            capability=(8, 0),
        ),
    )
}


def resolve_variants(names: Iterable[str]) -> tuple[Variant, ...]:
    """The variants of those names, in the order given, duplicates dropped; ``all`` names each.

    Raises:
        UsageError: a name is not in the table, or there is none.
    """
    given = [other for name in names for other in (VARIANTS if name == ALL else (name,))]
    unknown = sorted(set(given) - set(VARIANTS))
    if unknown or not given:
        wrong = f"unknown variant {', '.join(unknown)}" if unknown else "no variant named"
        raise UsageError(f"{wrong}; choose from {', '.join(VARIANTS)}, {ALL}")
    return tuple(VARIANTS[name] for name in dict.fromkeys(given))


def dot_precision_of(name: str) -> str:
    """The precision of matrix products in a variant; ``ieee`` where the table has it not."""
    return VARIANTS.get(name, DEFAULT).dot_precision
