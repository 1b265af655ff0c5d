"""Go's text/template, for docker's `--format`.

Takes a template and a document (dicts, lists, plain values), gives text. A field that is not there is an InvalidOption,
as docker refuses it, so that a misspelt name does not look like an empty value. The words of errors are docker's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from pyrt.cli.template_functions import FUNCTIONS, LAZY, CallFailed, Function
from pyrt.cli.template_syntax import Branch, Call, Command, Jump, Literal, Node, Operand, Path, Pipe, Text, parse
from pyrt.cli.template_values import Null, go_type, printed, shown
from pyrt.cli.template_words import wrong

__all__ = ["Template", "compile_template"]


@dataclass(frozen=True, slots=True)
class Template:
    """A template that has been read."""

    text: str
    nodes: Sequence[Node]

    def render(self, document: Any, functions: Mapping[str, Function] = FUNCTIONS) -> str:
        """Fill it in. Raises InvalidOption for a field that is not there, or for what a function cannot do."""
        filling = _Filling(self.text, functions, [("$", document)])
        return "".join(filling.nodes(self.nodes, document))


def compile_template(text: str) -> Template:
    """Read a template. Raises InvalidOption."""
    return Template(text, parse(text, FUNCTIONS))


@dataclass(slots=True)
class _Filling:
    text: str
    functions: Mapping[str, Function]
    variables: list[tuple[str, Any]]
    jumped: str = field(default="")

    def nodes(self, nodes: Iterable[Node], dot: Any) -> Iterator[str]:
        """Give the text of nodes; after a break or continue, which `jumped` tells, no more."""
        for node in nodes:
            match node:
                case Text():
                    yield node.text
                case Jump():
                    self.jumped = node.kind
                case Branch():
                    known = len(self.variables)
                    yield from self._range(node, dot) if node.kind == "range" else self._branch(node, dot)
                    del self.variables[known:]
                case Pipe():
                    value = self._pipe(node, dot)
                    if not node.variables:
                        yield printed(value)
            if self.jumped:
                return

    def _branch(self, branch: Branch, dot: Any) -> Iterator[str]:
        value = self._pipe(branch.pipe, dot)
        inner = value if branch.kind == "with" and value else dot
        yield from self.nodes(branch.body if value else branch.otherwise, inner)

    def _range(self, branch: Branch, dot: Any) -> Iterator[str]:
        pairs = self._pairs(branch.pipe, self._value(branch.pipe, dot))
        names, known, is_empty = branch.pipe.variables, len(self.variables), True
        for key, value in pairs:
            is_empty = False
            for name, each in zip(names, (key, value)[-len(names) :], strict=True) if names else ():
                self._set(name, each, branch.pipe.declares)
            yield from self.nodes(branch.body, value)
            del self.variables[known:]
            jumped, self.jumped = self.jumped, ""
            if jumped == "break":
                break
        if is_empty:
            yield from self.nodes(branch.otherwise, dot)

    def _pairs(self, pipe: Pipe, value: Any) -> Iterable[tuple[Any, Any]]:
        if isinstance(value, Mapping):
            return [(key, value[key]) for key in sorted(value)]
        if isinstance(value, int) and not isinstance(value, bool):
            return ((number, number) for number in range(value))
        if value is None or isinstance(value, (list, tuple, Null)):
            return enumerate(value or ())
        self._fail(pipe.commands[0], f"range can't iterate over {shown(value)}")

    def _pipe(self, pipe: Pipe, dot: Any) -> Any:
        """Give the value of a pipeline, and set its variable."""
        value = self._value(pipe, dot)
        for name in pipe.variables:
            self._set(name, value, pipe.declares)
        return value

    def _set(self, name: str, value: Any, is_new: bool) -> None:
        if is_new:
            self.variables.append((name, value))
            return
        last = max(at for at, (known, _) in enumerate(self.variables) if known == name)
        self.variables[last] = (name, value)

    def _value(self, pipe: Pipe, dot: Any) -> Any:
        piped: tuple[Any, ...] = ()
        for command in pipe.commands:
            piped = (self._command(command, dot, piped),)
        return piped[0]

    def _command(self, command: Command, dot: Any, piped: tuple[Any, ...]) -> Any:
        first, rest = command.operands[0], command.operands[1:]
        if isinstance(first, Call):
            return self._call(first.text, command, rest, dot, piped)
        if isinstance(first, Literal) and first.value is None:
            self._fail(first, "nil is not a command")
        if rest or piped:
            if isinstance(first, Path) and first.fields:
                self._fail(first, f"{first.fields[-1]} is not a method but has arguments")
            self._fail(first, f"can't give argument to non-function {first.text}")
        return self._operand(first, dot)

    def _call(
        self, name: str, command: Command | Call, operands: Sequence[Operand], dot: Any, piped: tuple[Any, ...]
    ) -> Any:
        function = self.functions[name]
        if miscounted := function.miscounted(len(operands) + len(piped)):
            self._fail(command.operands[0] if isinstance(command, Command) else command,
                       f"wrong number of args for {name}: {miscounted}")  # fmt: skip
        values = []
        for at, operand in enumerate(operands):
            value = self._operand(operand, dot)
            self._check(operand, value, function.kind(at))
            if name in LAZY and bool(value) is LAZY[name]:
                return value
            values.append(value)
        for value in piped:
            self._check(command, value, function.kind(len(values)))
        try:
            return function.run(*values, *piped)
        except CallFailed as error:
            self._fail(command, f"error calling {name}: {error}")

    def _check(self, operand: Operand | Command, value: Any, kind: str) -> None:
        """Refuse a value of another kind than a function takes."""
        match kind:
            case "any":
                return
            case "[]string":
                fits = isinstance(value, Null) or (
                    isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value)
                )
            case _:
                fits = go_type(value) == kind
        if not fits and isinstance(operand, Literal):
            self._fail(operand, f"expected {'integer' if kind == 'int' else kind}; found {operand.text}")
        if not fits:
            self._fail(operand, f"wrong type for value; expected {kind}; got {go_type(value)}")

    def _operand(self, operand: Operand, dot: Any) -> Any:
        match operand:
            case Literal():
                return operand.value
            case Call():
                return self._call(operand.text, operand, (), dot, ())
            case Pipe():
                return self._value(operand, dot)
        start = operand.start
        if isinstance(start, Pipe):
            value = self._value(start, dot)
        else:
            value = next(value for name, value in reversed(self.variables) if name == start) if start else dot
        for name in operand.fields:
            value = self._field(operand, value, name)
        return value

    def _field(self, path: Path, value: Any, name: str) -> Any:
        if value is None:
            self._fail(path, f"nil data; no entry for key {name!r}".replace("'", '"'))
        if not isinstance(value, (Mapping, Null)):
            self._fail(path, f"can't evaluate field {name} in type interface {{}}")
        try:
            return value[name]
        except KeyError:
            from difflib import get_close_matches

            near = get_close_matches(name.lower(), {str(key).lower() for key in value}, 1)
            meant = [f"; did you mean .{key}?" for key in value if str(key).lower() in near]
            self._fail(path, f'map has no entry for key "{name}"{"".join(meant[:1])}')

    def _fail(self, node: Operand | Command, why: str) -> NoReturn:
        raise wrong(self.text, node.at, why, place=node.text)
