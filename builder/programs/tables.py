"""Registries that the modules of a package fill when they are imported."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import MutableMapping


def load_tables(registry: MutableMapping[str, Any], package: str, ending: str = "") -> None:
    """Imports the modules of a package and sorts what they registered by name.

    Args:
        registry: that they fill.
        package: dotted name.
        ending: of the names of those to import.
    """
    folder = importlib.import_module(package).__path__
    for name in sorted(info.name for info in pkgutil.iter_modules(folder)):
        if name.endswith(ending):
            importlib.import_module(f"{package}.{name}")
    ordered = dict(sorted(registry.items()))
    registry.clear()
    registry.update(ordered)
