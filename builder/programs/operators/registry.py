"""The operator registry: what random graphs are made of.

An operator says what its operands must be (``takes``, see ``needs``) and in which ways people write
it.  What it gives follows from running the text: graphs are built on small probe tensors, so a text
and what is believed of it cannot differ.  In a text ``{x}``, ``{y}`` and ``{z}`` are the operands'
names, and other names in braces attributes (see ``attributes``), drawn for the operand at hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from builder.programs.tables import load_tables

if TYPE_CHECKING:
    from collections.abc import Mapping

OPERANDS = ("x", "y", "z")


@dataclass(frozen=True)
class Operator:
    """One operator.

    Attributes:
        name: unique.
        theme: the table that it stands in: ``activation``, ``reduction``, ...
        takes: names of ``needs``, one for each operand.
        texts: spellings of the expression; of ``nn.Module`` ones what is called in ``forward``.
        modules: constructor calls for ``__init__``; ``{x}`` goes through one of them.
    """

    name: str
    theme: str
    takes: tuple[str, ...]
    texts: tuple[str, ...]
    modules: tuple[str, ...] = ()


OPERATORS: dict[str, Operator] = {}


def table(theme: str, takes: str, rows: Mapping[str, str | tuple[str, ...]]) -> None:
    """Registers operators that take the same.

    Args:
        theme: of all of them.
        takes: needs of the operands, separated by blanks.
        rows: spellings by name; those that begin with ``nn.`` are modules.

    Raises:
        ValueError: there is an operator of one of the names, or a text leaves an operand out.
    """
    needs = tuple(takes.split())
    for name, given in rows.items():
        if name in OPERATORS:
            raise ValueError(f"two operators are called {name!r}")
        texts = (given,) if isinstance(given, str) else given
        for text in texts:
            named = text.startswith("nn.") or all(
                f"{{{o}}}" in text for o in OPERANDS[: len(needs)]
            )
            if not named:
                raise ValueError(f"{text!r} of {name!r} does not name all operands")
        OPERATORS[name] = Operator(
            name,
            theme,
            needs,
            tuple(text for text in texts if not text.startswith("nn.")),
            tuple(text for text in texts if text.startswith("nn.")),
        )


def load_all() -> None:
    """Imports every table of this package and sorts the registry by name."""
    load_tables(OPERATORS, __name__.rpartition(".")[0])
