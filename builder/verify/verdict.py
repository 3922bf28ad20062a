"""What verification found."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

VERIFIER_VERSION = "33"
NOT_COMPILED = "not_compiled"
NO_COMPUTATION = "no_computation"


@dataclass(frozen=True)
class Verdict:
    """The result of verifying one pair.

    Attributes:
        verified: the pair may call itself verified.
        kind: short snake_case reason of a failure; rejections are counted by it.
        reason: the failure for people.
        draws: input sets that were compared.
        replaced_draws: input sets thrown away because eager was not finite on them.
        max_error: largest error of an output, in the norm of ``compare``, rounded up to a power
            of two.
        floor: largest floor that applied.
        tolerance: largest error that a float output was allowed, rounded up to a power of two.
        deterministic: the same bits with the program instances in another order.
        compiled_targets: targets every kernel compiles for, within their limits.
        resources: per target ``registers`` (a thread, largest kernel), ``shared`` (bytes, largest
            kernel) and ``spills`` (bytes a thread, all kernels).
        kernel_names: names of the kernels that were launched, in order of first launch.
        num_kernels: launches of one forward.
        input_shapes: per input set compared, the shape of each tensor.
        shape_generic: at least three other shapes than that of ``get_inputs`` were compared, one
            with an odd size; none that the program declares was refused.
        refused_shapes: shapes beyond the declared ones that the program takes and the Triton module
            refuses with ``ValueError``.
        unrun_shapes: shapes of declared input sets that are too large to run; ``input_shapes`` then
            has none of them.  The kernels compile as they are launched there.
        verifier_version: changes when a verdict may change.
    """

    verified: bool
    kind: str | None = None
    reason: str | None = None
    draws: int = 0
    replaced_draws: int = 0
    max_error: float = 0.0
    floor: float = 0.0
    tolerance: float = 0.0
    deterministic: bool = True
    compiled_targets: tuple[str, ...] = ()
    resources: dict[str, dict[str, int]] = field(default_factory=dict)
    kernel_names: tuple[str, ...] = ()
    num_kernels: int = 0
    input_shapes: tuple[tuple[tuple[int, ...], ...], ...] = ()
    shape_generic: bool = False
    refused_shapes: tuple[tuple[tuple[int, ...], ...], ...] = ()
    unrun_shapes: tuple[tuple[tuple[int, ...], ...], ...] = ()
    verifier_version: str = VERIFIER_VERSION

    @property
    def agrees(self) -> bool:
        """The module does what the program does, though it may be no pair.

        That is verified, or all but compiled, because nobody named a target, or compiled but found
        to only fill and copy, which is right for a program that does so.  For measurements; nothing
        but ``verified`` may go into data.
        """
        return self.verified or self.kind in (NOT_COMPILED, NO_COMPUTATION)

    def to_json(self) -> str:
        """One line, keys sorted."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Verdict:
        """The inverse of ``to_json``.

        Raises:
            ValueError: the text is no verdict of this version's fields.
        """
        data: dict[str, Any] = json.loads(text)
        names = {f.name for f in fields(cls)}
        if set(data) != names:
            odd = ", ".join(sorted(set(data) ^ names))
            raise ValueError(f"not a verdict ({odd}); verify the pair again with this version")
        data["compiled_targets"] = tuple(data["compiled_targets"])
        data["kernel_names"] = tuple(data["kernel_names"])
        for name in ("input_shapes", "refused_shapes", "unrun_shapes"):
            data[name] = tuple(tuple(tuple(s) for s in one) for one in data[name])
        return cls(**data)
