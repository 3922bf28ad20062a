"""TTIR text to the executor's IR.

The text is what MLIR prints with locations on, so that every operation ends in ``loc(...)``; that
is what makes one generic rule enough for most operations.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from builder.execute.ir import Block, Function, Module, Operation, Region, Type, find_dead
from builder.execute.locations import Locations
from builder.execute.parse_scaled import scaled_product
from builder.execute.scan import LABEL, NUMBER, STRING, SYMBOL, VALUE, WORD, Scanner

if TYPE_CHECKING:
    from collections.abc import Callable

_RESULT_IS_POINTEE = {"tt.load"}
_RESULT_IS_BIT = {"arith.cmpi", "arith.cmpf"}
_RESULT_IS_LAST = {"arith.select"}
_NO_RESULT = {"tt.store", "tt.assert", "tt.print", "tt.return", "llvm.intr.assume", "scf.yield"}


class Parser(Scanner):
    """Parses one module's text.

    Args:
        text: the module, printed with locations.
        source_file: the kernel's source file; lines are given in it.
    """

    def __init__(self, text: str, source_file: str | None = None) -> None:
        super().__init__(text)
        self.locations = Locations(text, source_file)
        self.types: list[Type] = []
        self.scopes: list[dict[str, tuple[int, ...]]] = []

    def parse(self) -> Module:
        """Raises ExecutionError (``parse``) where the text is not as expected."""
        self.pos = self._module_start()
        functions: dict[str, Function] = {}
        entry: Function | None = None
        while self.peek("tt.func"):
            function, public = self._function()
            functions[function.name] = function
            if public and entry is None:
                entry = function
        if entry is None:
            raise self.error("no public function")
        return Module(entry, functions)

    def _module_start(self) -> int:
        found = re.search(r"^module[^\n]*\{\s*$", self.text, re.MULTILINE)
        if found is None:
            raise self.error("no module")
        return found.end()

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
        raise self.error(f"unknown value %{name}")

    def operand(self) -> int:
        match = self.match(VALUE)
        if match is None:
            raise self.error("expected a value")
        return self._lookup(match.group(1), match.group(2))

    def _operand_list(self, closing: str) -> tuple[int, ...]:
        slots: list[int] = []
        while not self.accept(closing):
            slots.append(self.operand())
            self.accept(",")
        return tuple(slots)

    # Operations

    def _function(self) -> tuple[Function, bool]:
        self.expect("tt.func")
        public = self.accept("public")
        self.accept("private")
        symbol = self.match(SYMBOL)
        if symbol is None:
            raise self.error("expected a function's name")
        self.types, self.scopes = [], [{}]
        self.expect("(")
        arguments = self._function_arguments()
        if self.accept("->"):
            self.type_list()
        if self.accept("attributes"):
            self.expect("{")
            self.attributes()
        self.expect("{")
        body = self._region_body()
        self._location()
        find_dead(body)
        name = symbol.group(1) or symbol.group(2)
        return Function(name, arguments, body, self.types), public

    def _function_arguments(self) -> tuple[int, ...]:
        slots: list[int] = []
        while not self.accept(")"):
            name = self.match(VALUE)
            if name is None:
                raise self.error("expected an argument")
            self.expect(":")
            kind = self.type()
            if self.accept("{"):
                self.attributes()
            if self.peek("loc("):
                self._location()
            slots.extend(self._define(name.group(1), [kind]))
            self.accept(",")
        return tuple(slots)

    def _region_body(self, names: tuple[tuple[str, Type], ...] = ()) -> Region:
        """A region whose brace was just read; ``names`` are arguments of its entry block."""
        self.scopes.append({})
        arguments = tuple(slot for name, kind in names for slot in self._define(name, [kind]))
        region = Region([Block("", arguments)])
        while not self.accept("}"):
            label = self.match(LABEL)
            if label is not None:
                self._block(region, label.group(1))
            else:
                region.blocks[-1].operations.append(self._operation())
        self.scopes.pop()
        return region

    def _block(self, region: Region, label: str) -> None:
        arguments: tuple[int, ...] = ()
        if self.accept("("):
            arguments = self._function_arguments()
        self.expect(":")
        first = region.blocks[0]
        if len(region.blocks) == 1 and not first.operations and not first.label:
            first.label, first.arguments = label, (*first.arguments, *arguments)
        else:
            region.blocks.append(Block(label, arguments))

    def _operation(self) -> Operation:
        names = self._result_names()
        quoted = self.match(STRING)
        if quoted is not None:
            name, parse = quoted.group(1), self._generic
        else:
            name = self.word()
            parse = _SPECIAL.get(name, Parser.plain).__get__(self)
        operation, types = parse(name)
        operation.line = self._location()
        operation.results = self._define_results(name, names, types)
        return operation

    def _result_names(self) -> list[tuple[str, int]]:
        names: list[tuple[str, int]] = []
        while self.peek("%"):
            match = self.match(VALUE)
            if match is None:
                raise self.error("expected a result")
            count = 1
            if self.accept(":"):
                number = self.match(NUMBER)
                count = int(number.group()) if number else 1
            names.append((match.group(1), count))
            if not self.accept(","):
                self.expect("=")
                break
        return names

    def _define_results(
        self, name: str, names: list[tuple[str, int]], types: list[Type]
    ) -> tuple[int, ...]:
        wanted = sum(count for _, count in names)
        if wanted > len(types) == 1:
            types = types * wanted
        if wanted != len(types) and wanted:
            raise self.error(f"{name} gives {wanted} values of {len(types)} types")
        slots: list[int] = []
        for label, count in names:
            slots.extend(self._define(label, types[len(slots) : len(slots) + count]))
        return tuple(slots)

    def _location(self) -> int | None:
        self.expect("loc(")
        return self.locations.line(self.balanced("(", ")"))

    def plain(self, name: str) -> tuple[Operation, list[Type]]:
        """``name %a, %b word key = word {attributes} : types``."""
        operands: list[int] = []
        attributes: dict[str, Any] = {"words": []}
        while not self.peek("loc("):
            if self.peek("%"):
                operands.append(self.operand())
            elif self.accept(":"):
                if not self.peek("%"):  # tt.print has its operands after a colon
                    break
            elif self.accept("->"):
                return Operation(name, tuple(operands), (), attributes), self.type_list()
            else:
                self._plain_item(attributes)
        inputs, outputs = ([], []) if self.peek("loc(") else self._signature()
        operation = Operation(name, tuple(operands), (), attributes)
        return operation, outputs or self._implied(name, inputs)

    def _plain_item(self, attributes: dict[str, Any]) -> None:
        if self.accept("<{") or self.accept("{"):
            attributes.update(self.attributes())
            self.accept(">")
            return
        string = self.match(STRING)
        if string is not None:
            attributes.setdefault("strings", []).append(string.group(1))
            return
        word = self.match(WORD)
        if word is not None:
            if self.accept("="):
                attributes[word.group()] = self.attribute()
            else:
                attributes["words"].append(word.group())
            return
        symbol = self.match(SYMBOL)
        if symbol is not None:
            attributes["callee"] = symbol.group(1) or symbol.group(2)
            return
        number = self.match(NUMBER)
        if number is not None:
            attributes["words"].append(number.group())
            return
        if not any(self.accept(mark) for mark in (",", "[", "]", "(", ")")):
            raise self.error("an unknown notation")

    def _signature(self) -> tuple[list[Type], list[Type]]:
        inputs = self._type_or_short()
        while self.accept("*") or self.accept(","):
            inputs += self._type_or_short()
        outputs = self.type_list() if self.accept("->") or self.accept("to ") else []
        return inputs, outputs

    def _type_or_short(self) -> list[Type]:
        if self.accept("<"):  # MLIR drops the prefix of some types
            self.balanced("<", ">")
            return [Type("!short")]
        return self.type_list()

    def _implied(self, name: str, inputs: list[Type]) -> list[Type]:
        """Result types where the text gives operands' types only."""
        if not inputs or name in _NO_RESULT:
            return []
        if name in _RESULT_IS_POINTEE:
            pointee = inputs[0].pointee
            if pointee is None:
                raise self.error("a load of no pointer")
            return [Type(pointee.element, inputs[0].shape, pointee.pointee)]
        if name in _RESULT_IS_BIT:
            return [inputs[0].with_element("i1")]
        return [inputs[-1] if name in _RESULT_IS_LAST else inputs[0]]

    def _generic(self, name: str) -> tuple[Operation, list[Type]]:
        """``"name"(%a) <{attributes}> ({regions}) {attributes} : (types) -> types``."""
        self.expect("(")
        operands = self._operand_list(")")
        attributes: dict[str, Any] = {"words": []}
        regions: list[Region] = []
        while not self.accept(":"):
            if self.accept("("):
                while not self.accept(")"):
                    self.expect("{")
                    regions.append(self._region_body())
                    self.accept(",")
            else:
                self._plain_item(attributes)
        self.type_list()
        self.expect("->")
        return Operation(name, operands, (), attributes, tuple(regions)), self.type_list()

    def _constant(self, name: str) -> tuple[Operation, list[Type]]:
        if self.accept("{"):
            self.attributes()
        if self.accept("dense<"):
            literal = self.dense()
        else:
            number = self.match(NUMBER)
            literal = number.group() if number else self.word()
        kind = self.type() if self.accept(":") else Type("i1")
        return Operation(name, (), (), {"literal": literal}), [kind]

    def _for(self, name: str) -> tuple[Operation, list[Type]]:
        attributes: dict[str, Any] = {"unsigned": self.accept("unsigned")}
        induction = self._binding()
        lower = self.operand()
        self.expect("to")
        upper = self.operand()
        self.expect("step")
        step = self.operand()
        names, initial = self._carried("iter_args(") if self.accept("iter_args(") else ((), ())
        types = self.type_list() if self.accept("->") else []
        kind = self.type() if self.accept(":") else Type("index")
        self.expect("{")
        body = self._region_body(((induction, kind), *zip(names, types, strict=True)))
        if self.accept("{"):
            attributes.update(self.attributes())
        operands = (lower, upper, step, *initial)
        return Operation(name, operands, (), attributes, (body,)), types

    def _binding(self) -> str:
        match = self.match(VALUE)
        if match is None:
            raise self.error("expected a name")
        self.expect("=")
        return match.group(1)

    def _carried(self, _opening: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
        names: list[str] = []
        initial: list[int] = []
        while not self.accept(")"):
            names.append(self._binding())
            initial.append(self.operand())
            self.accept(",")
        return tuple(names), tuple(initial)

    def _if(self, name: str) -> tuple[Operation, list[Type]]:
        condition = self.operand()
        types = self.type_list() if self.accept("->") else []
        self.expect("{")
        regions = [self._region_body()]
        if self.accept("else") and self.accept("{"):
            regions.append(self._region_body())
        attributes = self.attributes() if self.accept("{") else {}
        return Operation(name, (condition,), (), attributes, tuple(regions)), types

    def _while(self, name: str) -> tuple[Operation, list[Type]]:
        names, initial = self._carried("(") if self.accept("(") else ((), ())
        self.expect(":")
        inputs = self.type_list()
        self.expect("->")
        types = self.type_list()
        self.expect("{")
        before = self._region_body(tuple(zip(names, inputs, strict=True)))
        self.expect("do")
        self.expect("{")
        after = self._region_body()
        given = self.accept("attributes") and self.accept("{")
        attributes = self.attributes() if given else {}
        return Operation(name, initial, (), attributes, (before, after)), types

    def _branch(self, name: str) -> tuple[Operation, list[Type]]:
        operands: tuple[int, ...] = ()
        if self.peek("%"):
            operands = (self.operand(),)
            self.expect(",")
        successors: list[tuple[str, tuple[int, ...]]] = []
        while not self.peek("loc("):
            label = self.match(LABEL)
            if label is None:
                raise self.error("expected a block")
            successors.append((label.group(1), self._successor_arguments()))
            self.accept(",")
        return Operation(name, operands, (), {}, (), tuple(successors)), []

    def _successor_arguments(self) -> tuple[int, ...]:
        slots: list[int] = []
        if self.accept("("):
            while not self.accept(":"):
                slots.append(self.operand())
                self.accept(",")
            while not self.accept(")"):
                self.type_list()
        return tuple(slots)


_SPECIAL: dict[str, Callable[..., tuple[Operation, list[Type]]]] = {
    "arith.constant": Parser._constant,  # noqa: SLF001
    "scf.for": Parser._for,  # noqa: SLF001
    "scf.if": Parser._if,  # noqa: SLF001
    "scf.while": Parser._while,  # noqa: SLF001
    "cf.br": Parser._branch,  # noqa: SLF001
    "cf.cond_br": Parser._branch,  # noqa: SLF001
    "tt.dot_scaled": scaled_product,
}


def parse_ttir(text: str, source_file: str | None = None) -> Module:
    """The IR of a module printed with locations.

    Raises:
        ExecutionError: ``parse``, the text is not what this version of Triton is known to print.
    """
    return Parser(text, source_file).parse()
