"""Reads the small parts of TTIR text: words, types, attributes."""

from __future__ import annotations

import re
from typing import Any

from builder.errors import ExecutionError
from builder.execute.ir import Type

SPACE = re.compile(r"(?:\s+|//[^\n]*)*")
VALUE = re.compile(r"%([\w$.\-]+)(?:#(\d+))?")
WORD = re.compile(r"[A-Za-z_][\w.$]*")
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
NUMBER = re.compile(r"-?(?:0x[0-9A-Fa-f]+|\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)")
LABEL = re.compile(r"\^(\w+)")
SYMBOL = re.compile(r'@(?:([\w.$\-]+)|"([^"]*)")')
_BEFORE_WORDS = frozenset(" \t\r\n/")
_PLAIN_TENSOR = re.compile(r"tensor<(?:\d+x)*(?:\w+|!tt\.ptr<\w+(?:, \d+)?>)>")
_SIZES = re.compile(r"(?:\d+x)*")
_SCALAR = re.compile(r"(?:bf|[if]|index)\w*")


class Scanner:
    """A position in a text, and what can be read from there.

    Args:
        text: a module as MLIR prints it.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.pos = 0
        self._types: dict[str, Type] = {}

    # Characters

    def skip(self) -> None:
        if self.text[self.pos : self.pos + 1] not in _BEFORE_WORDS:
            return
        match = SPACE.match(self.text, self.pos)
        if match is not None:
            self.pos = match.end()

    def peek(self, literal: str) -> bool:
        self.skip()
        return self.text.startswith(literal, self.pos)

    def accept(self, literal: str) -> bool:
        if self.text[self.pos : self.pos + 1] in _BEFORE_WORDS:
            self.skip()
        found = self.text.startswith(literal, self.pos)
        if found:
            self.pos += len(literal)
        return found

    def expect(self, literal: str) -> None:
        if not self.accept(literal):
            raise self.error(f"expected {literal!r}")

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        self.skip()
        match = pattern.match(self.text, self.pos)
        if match is not None:
            self.pos = match.end()
        return match

    def word(self) -> str:
        match = self.match(WORD)
        if match is None:
            raise self.error("expected a word")
        return match.group()

    def error(self, message: str) -> ExecutionError:
        line = self.text[self.text.rfind("\n", 0, self.pos) + 1 :].partition("\n")[0]
        return ExecutionError(
            "parse", f"cannot read the kernel's TTIR: {message} at {line.strip()!r}"
        )

    def balanced(self, opening: str, closing: str) -> str:
        """The text inside a bracket pair whose opening was just read."""
        start, depth = self.pos, 1
        while depth:
            char = self.text[self.pos]
            if char == '"':
                match = STRING.match(self.text, self.pos)
                if match is None:
                    raise self.error("an unclosed string")
                self.pos = match.end()
                continue
            depth += (char == opening) - (char == closing)
            self.pos += 1
        return self.text[start : self.pos - 1]

    # Types

    def type(self) -> Type:
        match = self.match(_PLAIN_TENSOR)
        if match is not None:
            return self._known_type(match)
        if self.accept("tensor<"):
            return self._tensor_type()
        if self.accept("!tt.ptr<"):
            pointee = self.type()
            self.balanced("<", ">")
            return Type("ptr", (), pointee)
        if self.accept("!tt.tensordesc<"):
            described = self.type()
            self.balanced("<", ">")
            return Type("desc", (), described)
        if self.accept("!"):
            word = self.word()
            if self.accept("<"):
                self.balanced("<", ">")
            return Type(f"!{word}")
        match = self.match(_SCALAR)
        if match is None:
            raise self.error("expected a type")
        return Type(match.group())

    def _known_type(self, match: re.Match[str]) -> Type:
        """The type of a text that was just read, of which a module has many and few different."""
        known = self._types.get(match.group())
        if known is None:
            self.pos = match.start() + len("tensor<")
            known = self._types[match.group()] = self._tensor_type()
            if self.pos != match.end():
                raise self.error("an unknown type")
        return known

    def _tensor_type(self) -> Type:
        sizes = self.match(_SIZES)
        shape = tuple(int(size) for size in sizes.group().split("x")[:-1]) if sizes else ()
        element = self.type()
        self.balanced("<", ">")
        return Type(element.element, shape, element.pointee)

    def type_list(self) -> list[Type]:
        """``T``, ``T, T`` or ``(T, T)``, possibly ``()``."""
        types: list[Type] = []
        if self.accept("("):
            while not self.accept(")"):
                types.append(self.type())
                self.accept(",")
            return types
        types.append(self.type())
        while self.accept(","):
            types.append(self.type())
        return types

    # Attributes

    def attributes(self) -> dict[str, Any]:
        """The inside of ``{...}``, whose brace was just read."""
        attributes: dict[str, Any] = {}
        while not self.accept("}"):
            quoted = self.match(STRING)
            key = quoted.group(1) if quoted else self.word()
            attributes[key] = self.attribute() if self.accept("=") else True
            self.accept(",")
        return attributes

    def attribute(self) -> Any:
        string = self.match(STRING)
        if string is not None:
            return string.group(1)
        if self.accept("array<"):
            _, _, numbers = self.balanced("<", ">").partition(":")
            return tuple(number_of(n) for n in numbers.split(",") if n.strip())
        if self.accept("["):
            return self.balanced("[", "]")
        if self.accept("dense<"):
            literal = self.dense()
            if self.accept(":"):
                self.type()
            return literal
        number = self.match(NUMBER)
        if number is not None:
            if self.accept(":"):
                self.type()
            return number_of(number.group())
        return self._opaque_attribute()

    def _opaque_attribute(self) -> Any:
        if self.accept("#"):
            word = self.word()
            return self.balanced("<", ">") if self.accept("<") else word
        symbol = self.match(SYMBOL)
        if symbol is not None:
            return symbol.group(1) or symbol.group(2)
        word = self.word()
        return {"true": True, "false": False}.get(word, word)

    def dense(self) -> str:
        return self.balanced("<", ">")


def number_of(text: str) -> int | float:
    text = text.strip()
    if text in ("true", "false"):
        return int(text == "true")
    if re.fullmatch(r"-?(0x[0-9A-Fa-f]+|\d+)", text):
        return int(text, 0)
    return float(text)
