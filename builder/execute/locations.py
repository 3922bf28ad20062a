"""MLIR locations to lines of the kernel's source file."""

from __future__ import annotations

import re

_DEFINITION = re.compile(r"^(#loc\d*) = loc\((.*)\)$", re.MULTILINE)
_REFERENCE = re.compile(r"#loc\d*")
_PLACE = re.compile(r'"((?:[^"\\]|\\.)*)":(\d+):\d+')
_CALL = re.compile(r"callsite\((#loc\d*) at (#loc\d*)\)")


class Locations:
    """Answers, for what stands inside ``loc(...)``, the innermost line in the source file.

    Args:
        text: a module printed with locations.
        source_file: the file whose lines count; without it the outermost line does.
    """

    def __init__(self, text: str, source_file: str | None) -> None:
        self._definitions = dict(_DEFINITION.findall(text))
        self._source_file = source_file
        self._places: dict[str, tuple[tuple[str, int], ...]] = {}

    def line(self, location: str) -> int | None:
        places = self.places(location)
        own = [line for name, line in places if name == self._source_file]
        if own:
            return own[0]
        return places[-1][1] if places else None

    def places(self, location: str) -> tuple[tuple[str, int], ...]:
        """File and line of the operation, then of each caller outwards."""
        known = self._places.get(location)
        if known is None:
            known = self._places[location] = self._resolve(location)
        return known

    def _resolve(self, location: str) -> tuple[tuple[str, int], ...]:
        call = _CALL.fullmatch(location)
        if call is not None:
            return self.places(call.group(1)) + self.places(call.group(2))
        place = _PLACE.match(location)
        if place is not None:
            return ((place.group(1), int(place.group(2))),)
        for reference in _REFERENCE.findall(location):
            if reference != location or reference in self._definitions:
                inner = self._definitions.get(reference, "unknown")
                return self.places(inner)
        return ()
