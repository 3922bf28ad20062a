"""Where a build's items come from: families, mutants of programs, or files."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from builder.pipeline.messages import Job
from builder.programs.rng import item_rng
from builder.programs.synthesise import family_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.config import BuildConfig
    from builder.programs.program import Program

_VERIFY = "builder.pipeline.stages:verify_pair"


class Stream(Protocol):
    """Where items come from.

    Attributes:
        length: number of items, None if without end.
        header: what decides the bytes, besides versions and configuration.
    """

    length: int | None
    header: dict[str, Any]

    def job(self, index: int) -> Job:
        """The job of one item."""

    def source(self, index: int) -> str:
        """Where the item came from, ``family:<name>`` or ``file:<name>``."""

    def seed(self, index: int) -> int | None:
        """Index of the item's program in the root seed's stream; None for a file."""


def _payload(config: BuildConfig, variant: int) -> dict[str, Any]:
    return {
        "targets": list(config.targets),
        "variants": list(config.variants[: variant + 1]),
        "draws": config.draws,
        "limits": asdict(config.limits),
        "mode": config.mode,
        "style": config.style,
        "library_calls": config.library_calls,
    }


class SeedStream:
    """Programs synthesised from a root seed, without end, each in every variant in turn."""

    def __init__(self, config: BuildConfig) -> None:
        self.length: int | None = None
        self._config = config
        self.header = {"seed": config.seed, "families": sorted(config.families)}

    def job(self, index: int) -> Job:
        program, variant = divmod(index, len(self._config.variants))
        payload = _payload(self._config, variant) | {
            "root_seed": self._config.seed,
            "index": program,
            "families": list(self._config.families),
        }
        return Job(str(index), ("builder.pipeline.stages:make_pair", _VERIFY), payload)

    def source(self, index: int) -> str:
        name = family_at(self._config.seed, self.seed(index), self._config.families)
        return f"family:{name}"

    def seed(self, index: int) -> int:
        return index // len(self._config.variants)


def _file_mark(program: Program) -> str:
    """Name and content of a file: an edited file makes another data set."""
    digest = hashlib.sha256(program.python_code.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{program.source} {program.license} {digest[:16]}"


class FileStream:
    """The user's own programs, each in every variant in turn."""

    def __init__(self, config: BuildConfig, programs: Sequence[Program]) -> None:
        self._config = config
        self._programs = programs
        self.length: int | None = len(programs) * len(config.variants)
        self.header = {"files": [_file_mark(program) for program in programs]}

    def job(self, index: int) -> Job:
        program, variant = divmod(index, len(self._config.variants))
        payload = _payload(self._config, variant) | {"program": asdict(self._programs[program])}
        return Job(str(index), ("builder.pipeline.stages:convert_pair", _VERIFY), payload)

    def source(self, index: int) -> str:
        return self._programs[index // len(self._config.variants)].source

    def seed(self, index: int) -> None:  # noqa: ARG002
        return None


def parent_of(parents: Sequence[Program], root_seed: int, index: int) -> Program:
    """The program that the mutant at ``index`` is made of: in each round each once, shuffled."""
    block, position = divmod(index, len(parents))
    order = list(range(len(parents)))
    item_rng(root_seed, block, "parent order").shuffle(order)
    return parents[order[position]]


class MutantStream:
    """Mutants of programs, without end, each in every variant in turn."""

    def __init__(self, config: BuildConfig, parents: Sequence[Program]) -> None:
        self._config = config
        self._parents = parents
        self.length: int | None = None
        marks = [_file_mark(program) for program in parents]
        self.header = {"seed": config.seed, "parents": marks}

    def job(self, index: int) -> Job:
        program, variant = divmod(index, len(self._config.variants))
        payload = _payload(self._config, variant) | {
            "root_seed": self._config.seed,
            "index": program,
            "program": asdict(self._parent(index)),
        }
        return Job(str(index), ("builder.pipeline.stages:mutate_pair", _VERIFY), payload)

    def source(self, index: int) -> str:
        return self._parent(index).source

    def seed(self, index: int) -> int:
        return index // len(self._config.variants)

    def _parent(self, index: int) -> Program:
        return parent_of(self._parents, self._config.seed, self.seed(index))
