"""TTIR text to the executor's IR.

The text is what MLIR prints with locations on, so that every operation ends in ``loc(...)``; that
is what makes one generic rule enough for most operations.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from builder.errors import ExecutionError
from builder.execute.ir import Block, Function, Module, Operation, Region, Type, find_dead
from builder.execute.locations import Locations

_SPACE = re.compile(r"(?:\s+|//[^\n]*)*")
_VALUE = re.compile(r"%([\w$.\-]+)(?:#(\d+))?")
_WORD = re.compile(r"[A-Za-z_][\w.$]*")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_NUMBER = re.compile(r"-?(?:0x[0-9A-Fa-f]+|\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)")
_LABEL = re.compile(r"\^(\w+)")
_SYMBOL = re.compile(r'@(?:([\w.$\-]+)|"([^"]*)")')
_SIZES = re.compile(r"(?:\d+x)*")
_SCALAR = re.compile(r"(?:bf|[if]|index)\w*")

_RESULT_IS_POINTEE = {"tt.load"}
_RESULT_IS_BIT = {"arith.cmpi", "arith.cmpf"}
_RESULT_IS_LAST = {"arith.select"}
_NO_RESULT = {"tt.store", "tt.assert", "tt.print", "tt.return", "llvm.intr.assume", "scf.yield"}


class Parser:
    """Parses one module's text.

    Args:
        text: the module, printed with locations.
        source_file: the kernel's source file; lines are given in it.
    """

    def __init__(self, text: str, source_file: str | None = None) -> None:
        self.text = text
        self.pos = 0
        self.locations = Locations(text, source_file)
        self.types: list[Type] = []
        self.scopes: list[dict[str, tuple[int, ...]]] = []

    def parse(self) -> Module:
        """Raises ExecutionError (``parse``) where the text is not as expected."""
        self.pos = self._module_start()
        functions: dict[str, Function] = {}
        entry: Function | None = None
        while self._peek("tt.func"):
            function, public = self._function()
            functions[function.name] = function
            if public and entry is None:
                entry = function
        if entry is None:
            raise self._error("no public function")
        return Module(entry, functions)

    def _module_start(self) -> int:
        found = re.search(r"^module[^\n]*\{\s*$", self.text, re.MULTILINE)
        if found is None:
            raise self._error("no module")
        return found.end()

    # Characters

    def _skip(self) -> None:
        match = _SPACE.match(self.text, self.pos)
        if match is not None:
            self.pos = match.end()

    def _peek(self, literal: str) -> bool:
        self._skip()
        return self.text.startswith(literal, self.pos)

    def _accept(self, literal: str) -> bool:
        if self._peek(literal):
            self.pos += len(literal)
            return True
        return False

    def _expect(self, literal: str) -> None:
        if not self._accept(literal):
            raise self._error(f"expected {literal!r}")

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        self._skip()
        match = pattern.match(self.text, self.pos)
        if match is not None:
            self.pos = match.end()
        return match

    def _word(self) -> str:
        match = self._match(_WORD)
        if match is None:
            raise self._error("expected a word")
        return match.group()

    def _error(self, message: str) -> ExecutionError:
        line = self.text[self.text.rfind("\n", 0, self.pos) + 1 :].partition("\n")[0]
        return ExecutionError(
            "parse", f"cannot read the kernel's TTIR: {message} at {line.strip()!r}"
        )

    def _balanced(self, opening: str, closing: str) -> str:
        """The text inside a bracket pair whose opening was just read."""
        start, depth = self.pos, 1
        while depth:
            char = self.text[self.pos]
            if char == '"':
                match = _STRING.match(self.text, self.pos)
                if match is None:
                    raise self._error("an unclosed string")
                self.pos = match.end()
                continue
            depth += (char == opening) - (char == closing)
            self.pos += 1
        return self.text[start : self.pos - 1]

    # Values

    def _define(self, name: str, types: list[Type]) -> tuple[int, ...]:
        first = len(self.types)
        self.types.extend(types)
        slots = tuple(range(first, first + len(types)))
        self.scopes[-1][name] = slots
        return slots

    def _lookup(self, name: str, index: str | None) -> int:
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name][int(index or 0)]
        raise self._error(f"unknown value %{name}")

    def _operand(self) -> int:
        match = self._match(_VALUE)
        if match is None:
            raise self._error("expected a value")
        return self._lookup(match.group(1), match.group(2))

    def _operand_list(self, closing: str) -> tuple[int, ...]:
        slots: list[int] = []
        while not self._accept(closing):
            slots.append(self._operand())
            self._accept(",")
        return tuple(slots)

    # Types

    def _type(self) -> Type:
        self._skip()
        if self._accept("tensor<"):
            return self._tensor_type()
        if self._accept("!tt.ptr<"):
            pointee = self._type()
            self._balanced("<", ">")
            return Type("ptr", (), pointee)
        if self._accept("!tt.tensordesc<"):
            described = self._type()
            self._balanced("<", ">")
            return Type("desc", (), described)
        if self._accept("!"):
            word = self._word()
            if self._accept("<"):
                self._balanced("<", ">")
            return Type(f"!{word}")
        match = self._match(_SCALAR)
        if match is None:
            raise self._error("expected a type")
        return Type(match.group())

    def _tensor_type(self) -> Type:
        sizes = self._match(_SIZES)
        shape = tuple(int(size) for size in sizes.group().split("x")[:-1]) if sizes else ()
        element = self._type()
        self._balanced("<", ">")
        return Type(element.element, shape, element.pointee)

    def _type_list(self) -> list[Type]:
        """``T``, ``T, T`` or ``(T, T)``, possibly ``()``."""
        types: list[Type] = []
        if self._accept("("):
            while not self._accept(")"):
                types.append(self._type())
                self._accept(",")
            return types
        types.append(self._type())
        while self._accept(","):
            types.append(self._type())
        return types

    # Attributes

    def _attributes(self) -> dict[str, Any]:
        """The inside of ``{...}``, whose brace was just read."""
        attributes: dict[str, Any] = {}
        while not self._accept("}"):
            quoted = self._match(_STRING)
            key = quoted.group(1) if quoted else self._word()
            attributes[key] = self._attribute() if self._accept("=") else True
            self._accept(",")
        return attributes

    def _attribute(self) -> Any:
        string = self._match(_STRING)
        if string is not None:
            return string.group(1)
        if self._accept("array<"):
            _, _, numbers = self._balanced("<", ">").partition(":")
            return tuple(_number(n) for n in numbers.split(",") if n.strip())
        if self._accept("["):
            return self._balanced("[", "]")
        if self._accept("dense<"):
            literal = self._dense()
            if self._accept(":"):
                self._type()
            return literal
        number = self._match(_NUMBER)
        if number is not None:
            if self._accept(":"):
                self._type()
            return _number(number.group())
        return self._opaque_attribute()

    def _opaque_attribute(self) -> Any:
        if self._accept("#"):
            word = self._word()
            return self._balanced("<", ">") if self._accept("<") else word
        symbol = self._match(_SYMBOL)
        if symbol is not None:
            return symbol.group(1) or symbol.group(2)
        word = self._word()
        return {"true": True, "false": False}.get(word, word)

    def _dense(self) -> str:
        return self._balanced("<", ">")

    # Operations

    def _function(self) -> tuple[Function, bool]:
        self._expect("tt.func")
        public = self._accept("public")
        self._accept("private")
        symbol = self._match(_SYMBOL)
        if symbol is None:
            raise self._error("expected a function's name")
        self.types, self.scopes = [], [{}]
        self._expect("(")
        arguments = self._function_arguments()
        if self._accept("->"):
            self._type_list()
        if self._accept("attributes"):
            self._expect("{")
            self._attributes()
        self._expect("{")
        body = self._region_body()
        self._location()
        find_dead(body)
        name = symbol.group(1) or symbol.group(2)
        return Function(name, arguments, body, self.types), public

    def _function_arguments(self) -> tuple[int, ...]:
        slots: list[int] = []
        while not self._accept(")"):
            name = self._match(_VALUE)
            if name is None:
                raise self._error("expected an argument")
            self._expect(":")
            kind = self._type()
            if self._accept("{"):
                self._attributes()
            if self._peek("loc("):
                self._location()
            slots.extend(self._define(name.group(1), [kind]))
            self._accept(",")
        return tuple(slots)

    def _region_body(self, names: tuple[tuple[str, Type], ...] = ()) -> Region:
        """A region whose brace was just read; ``names`` are arguments of its entry block."""
        self.scopes.append({})
        arguments = tuple(slot for name, kind in names for slot in self._define(name, [kind]))
        region = Region([Block("", arguments)])
        while not self._accept("}"):
            label = self._match(_LABEL)
            if label is not None:
                self._block(region, label.group(1))
            else:
                region.blocks[-1].operations.append(self._operation())
        self.scopes.pop()
        return region

    def _block(self, region: Region, label: str) -> None:
        arguments: tuple[int, ...] = ()
        if self._accept("("):
            arguments = self._function_arguments()
        self._expect(":")
        first = region.blocks[0]
        if len(region.blocks) == 1 and not first.operations and not first.label:
            first.label, first.arguments = label, (*first.arguments, *arguments)
        else:
            region.blocks.append(Block(label, arguments))

    def _operation(self) -> Operation:
        names = self._result_names()
        quoted = self._match(_STRING)
        if quoted is not None:
            name, parse = quoted.group(1), self._generic
        else:
            name = self._word()
            parse = _SPECIAL.get(name, Parser._plain).__get__(self)
        operation, types = parse(name)
        operation.line = self._location()
        operation.results = self._define_results(name, names, types)
        return operation

    def _result_names(self) -> list[tuple[str, int]]:
        names: list[tuple[str, int]] = []
        while self._peek("%"):
            match = self._match(_VALUE)
            if match is None:
                raise self._error("expected a result")
            count = 1
            if self._accept(":"):
                number = self._match(_NUMBER)
                count = int(number.group()) if number else 1
            names.append((match.group(1), count))
            if not self._accept(","):
                self._expect("=")
                break
        return names

    def _define_results(
        self, name: str, names: list[tuple[str, int]], types: list[Type]
    ) -> tuple[int, ...]:
        wanted = sum(count for _, count in names)
        if wanted > len(types) == 1:
            types = types * wanted
        if wanted != len(types) and wanted:
            raise self._error(f"{name} gives {wanted} values of {len(types)} types")
        slots: list[int] = []
        for label, count in names:
            slots.extend(self._define(label, types[len(slots) : len(slots) + count]))
        return tuple(slots)

    def _location(self) -> int | None:
        self._expect("loc(")
        return self.locations.line(self._balanced("(", ")"))

    def _plain(self, name: str) -> tuple[Operation, list[Type]]:
        """``name %a, %b word key = word {attributes} : types``."""
        operands: list[int] = []
        attributes: dict[str, Any] = {"words": []}
        while not self._peek("loc("):
            if self._peek("%"):
                operands.append(self._operand())
            elif self._accept(":"):
                break
            else:
                self._plain_item(attributes)
        inputs, outputs = ([], []) if self._peek("loc(") else self._signature()
        operation = Operation(name, tuple(operands), (), attributes)
        return operation, outputs or self._implied(name, inputs)

    def _plain_item(self, attributes: dict[str, Any]) -> None:
        if self._accept("<{") or self._accept("{"):
            attributes.update(self._attributes())
            self._accept(">")
            return
        string = self._match(_STRING)
        if string is not None:
            attributes.setdefault("strings", []).append(string.group(1))
            return
        word = self._match(_WORD)
        if word is not None:
            if self._accept("="):
                attributes[word.group()] = self._attribute()
            else:
                attributes["words"].append(word.group())
            return
        symbol = self._match(_SYMBOL)
        if symbol is not None:
            attributes["callee"] = symbol.group(1) or symbol.group(2)
            return
        number = self._match(_NUMBER)
        if number is not None:
            attributes["words"].append(number.group())
            return
        if not any(self._accept(mark) for mark in (",", "[", "]", "(", ")")):
            raise self._error("an unknown notation")

    def _signature(self) -> tuple[list[Type], list[Type]]:
        inputs = self._type_or_short()
        while self._accept("*") or self._accept(","):
            inputs += self._type_or_short()
        outputs = self._type_list() if self._accept("->") or self._accept("to ") else []
        return inputs, outputs

    def _type_or_short(self) -> list[Type]:
        if self._accept("<"):  # MLIR drops the prefix of some types
            self._balanced("<", ">")
            return [Type("!short")]
        return self._type_list()

    def _implied(self, name: str, inputs: list[Type]) -> list[Type]:
        """Result types where the text gives operands' types only."""
        if not inputs or name in _NO_RESULT:
            return []
        if name in _RESULT_IS_POINTEE:
            pointee = inputs[0].pointee
            if pointee is None:
                raise self._error("a load of no pointer")
            return [Type(pointee.element, inputs[0].shape, pointee.pointee)]
        if name in _RESULT_IS_BIT:
            return [inputs[0].with_element("i1")]
        return [inputs[-1] if name in _RESULT_IS_LAST else inputs[0]]

    def _generic(self, name: str) -> tuple[Operation, list[Type]]:
        """``"name"(%a) <{attributes}> ({regions}) {attributes} : (types) -> types``."""
        self._expect("(")
        operands = self._operand_list(")")
        attributes: dict[str, Any] = {"words": []}
        regions: list[Region] = []
        while not self._accept(":"):
            if self._accept("("):
                while not self._accept(")"):
                    self._expect("{")
                    regions.append(self._region_body())
                    self._accept(",")
            else:
                self._plain_item(attributes)
        self._type_list()
        self._expect("->")
        return Operation(name, operands, (), attributes, tuple(regions)), self._type_list()

    def _constant(self, name: str) -> tuple[Operation, list[Type]]:
        if self._accept("{"):
            self._attributes()
        if self._accept("dense<"):
            literal = self._dense()
        else:
            number = self._match(_NUMBER)
            literal = number.group() if number else self._word()
        kind = self._type() if self._accept(":") else Type("i1")
        return Operation(name, (), (), {"literal": literal}), [kind]

    def _for(self, name: str) -> tuple[Operation, list[Type]]:
        attributes: dict[str, Any] = {"unsigned": self._accept("unsigned")}
        induction = self._binding()
        lower = self._operand()
        self._expect("to")
        upper = self._operand()
        self._expect("step")
        step = self._operand()
        names, initial = self._carried("iter_args(") if self._accept("iter_args(") else ((), ())
        types = self._type_list() if self._accept("->") else []
        kind = self._type() if self._accept(":") else Type("index")
        self._expect("{")
        body = self._region_body(((induction, kind), *zip(names, types, strict=True)))
        if self._accept("{"):
            attributes.update(self._attributes())
        operands = (lower, upper, step, *initial)
        return Operation(name, operands, (), attributes, (body,)), types

    def _binding(self) -> str:
        match = self._match(_VALUE)
        if match is None:
            raise self._error("expected a name")
        self._expect("=")
        return match.group(1)

    def _carried(self, _opening: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
        names: list[str] = []
        initial: list[int] = []
        while not self._accept(")"):
            names.append(self._binding())
            initial.append(self._operand())
            self._accept(",")
        return tuple(names), tuple(initial)

    def _if(self, name: str) -> tuple[Operation, list[Type]]:
        condition = self._operand()
        types = self._type_list() if self._accept("->") else []
        self._expect("{")
        regions = [self._region_body()]
        if self._accept("else"):
            self._expect("{")
            regions.append(self._region_body())
        attributes = self._attributes() if self._accept("{") else {}
        return Operation(name, (condition,), (), attributes, tuple(regions)), types

    def _while(self, name: str) -> tuple[Operation, list[Type]]:
        names, initial = self._carried("(") if self._accept("(") else ((), ())
        self._expect(":")
        inputs = self._type_list()
        self._expect("->")
        types = self._type_list()
        self._expect("{")
        before = self._region_body(tuple(zip(names, inputs, strict=True)))
        self._expect("do")
        self._expect("{")
        after = self._region_body()
        attributes = {}
        if self._accept("attributes"):
            self._expect("{")
            attributes = self._attributes()
        return Operation(name, initial, (), attributes, (before, after)), types

    def _branch(self, name: str) -> tuple[Operation, list[Type]]:
        operands: tuple[int, ...] = ()
        if self._peek("%"):
            operands = (self._operand(),)
            self._expect(",")
        successors: list[tuple[str, tuple[int, ...]]] = []
        while not self._peek("loc("):
            label = self._match(_LABEL)
            if label is None:
                raise self._error("expected a block")
            successors.append((label.group(1), self._successor_arguments()))
            self._accept(",")
        return Operation(name, operands, (), {}, (), tuple(successors)), []

    def _successor_arguments(self) -> tuple[int, ...]:
        slots: list[int] = []
        if self._accept("("):
            while not self._accept(":"):
                slots.append(self._operand())
                self._accept(",")
            while not self._accept(")"):
                self._type_list()
        return tuple(slots)


_SPECIAL: dict[str, Callable[..., tuple[Operation, list[Type]]]] = {
    "arith.constant": Parser._constant,  # noqa: SLF001
    "scf.for": Parser._for,  # noqa: SLF001
    "scf.if": Parser._if,  # noqa: SLF001
    "scf.while": Parser._while,  # noqa: SLF001
    "cf.br": Parser._branch,  # noqa: SLF001
    "cf.cond_br": Parser._branch,  # noqa: SLF001
}


def _number(text: str) -> int | float:
    text = text.strip()
    if text in ("true", "false"):
        return int(text == "true")
    if re.fullmatch(r"-?(0x[0-9A-Fa-f]+|\d+)", text):
        return int(text, 0)
    return float(text)


def parse_ttir(text: str, source_file: str | None = None) -> Module:
    """The IR of a module printed with locations.

    Raises:
        ExecutionError: ``parse``, the text is not what this version of Triton is known to print.
    """
    return Parser(text, source_file).parse()
