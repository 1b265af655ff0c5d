"""The syntax of Go's text/template: from text to nodes, with text/template's own words for what is wrong.

`define`, `template` and `block` are left out: no format on a command line has a second template to call.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Any, NoReturn

from pyrt.cli.template_words import Token, constant, quoted, scan, wrong

__all__ = ["Branch", "Call", "Command", "Jump", "Literal", "Node", "Operand", "Path", "Pipe", "Text", "parse"]

MAX_DEPTH = 60
_CONTROL = frozenset({"if", "range", "with"})
_LEFT_OUT = frozenset({"block", "define", "template"})


@dataclass(frozen=True, slots=True)
class Text:
    """Text as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant; of nil the value is None."""

    at: int
    text: str
    value: Any


@dataclass(frozen=True, slots=True)
class Call:
    """The name of a function."""

    at: int
    text: str


@dataclass(frozen=True, slots=True)
class Path:
    """Fields of a value: of dot (""), of a variable (`$x`), or of what a pipeline in brackets gives."""

    at: int
    text: str
    start: str | Pipe
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Command:
    """A function or value, and what it is called with."""

    at: int
    text: str
    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Pipe:
    """Commands, each of which takes the value of the one before as its last operand, and the variables that are set."""

    at: int
    text: str
    commands: tuple[Command, ...]
    variables: tuple[str, ...] = ()
    declares: bool = False


Operand = Literal | Call | Path | Pipe


@dataclass(frozen=True, slots=True)
class Branch:
    """An if, range or with, what is in it, and what is after its else."""

    kind: str
    pipe: Pipe
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Jump:
    """A break or continue."""

    kind: str


Node = Text | Pipe | Branch | Jump


def parse(text: str, functions: Container[str]) -> tuple[Node, ...]:
    """Read a template that may call these functions. Raises InvalidOption."""
    return _Parser(text, functions).template()


class _Parser:
    def __init__(self, text: str, functions: Container[str]) -> None:
        self._text = text
        self._functions = functions
        self._tokens = list(scan(text))
        self._at = 0
        self._variables = ["$"]
        self._loops = 0
        self._depth = 0

    def template(self) -> tuple[Node, ...]:
        nodes, end = self._nodes(())
        assert end == "EOF"
        return nodes

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._next
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _fail(self, why: str, at: int | None = None) -> NoReturn:
        raise wrong(self._text, self._next.at if at is None else at, why)

    def _nodes(self, ends: tuple[str, ...]) -> tuple[tuple[Node, ...], str]:
        """Read until one of `ends`, of which the keyword is taken and its action not closed, or until the end."""
        nodes: list[Node] = []
        while True:
            token = self._take()
            if token.kind == "EOF":
                if ends:
                    self._fail("unexpected EOF")
                return tuple(nodes), "EOF"
            if token.kind == "text":
                nodes += [Text(token.text)] if token.text else []
                continue
            word = self._next.text if self._next.kind == "word" else ""
            if word in ("else", "end"):
                if word not in ends:
                    self._fail(f"expected end; found {{{{{word}}}}}" if ends else f"unexpected {{{{{word}}}}}")
                self._take()
                return tuple(nodes), word
            nodes.append(self._action(word))

    def _action(self, word: str) -> Node:
        if word in _LEFT_OUT:
            self._fail(f"{{{{{word}}}}} is not known here")
        if word in ("break", "continue"):
            if not self._loops:
                self._fail(f"{{{{{word}}}}} outside {{{{range}}}}")
            self._take()
            self._close(word)
            return Jump(word)
        return self._control() if word in _CONTROL else self._pipe("command", "close")

    def _control(self) -> Branch:
        """Read an if, range or with to its end; `else if` is one within the else, and shares the end."""
        kind, known = self._take().text, len(self._variables)
        self._deeper()
        pipe = self._pipe(kind, "close")
        self._loops += kind == "range"
        body, end = self._nodes(("else", "end"))
        self._loops -= kind == "range"
        otherwise: tuple[Node, ...] = ()
        if end == "else" and kind != "range" and self._next.text == kind:
            otherwise = (self._control(),)
        else:
            self._close(end)
            if end == "else":
                otherwise, end = self._nodes(("end",))
                self._close(end)
        del self._variables[known:]
        self._depth -= 1
        return Branch(kind, pipe, body, otherwise)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(f"nested more than {MAX_DEPTH} deep")

    def _close(self, context: str) -> None:
        if self._next.kind != "close":
            self._fail(f"unexpected {quoted(self._next.text)} in {context}")
        self._take()

    def _pipe(self, context: str, end: str) -> Pipe:
        start = self._next.at
        variables, declares = self._declared(context)
        commands: list[Command] = []
        while self._next.kind != "close" and self._next.text != ")":
            commands.append(self._command())
        if (self._next.kind == "close") != (end == "close"):
            self._fail("unexpected right paren" if end == "close" else "unclosed left paren")
        if not commands:
            self._fail(f"missing value for {context}")
        for stage, command in enumerate(commands[1:], 2):
            if isinstance(command.operands[0], Literal) or command.operands[0].text == ".":
                self._fail(f"non executable command in pipeline stage {stage}")
        self._take()
        if declares:
            self._variables += variables
        text = " | ".join(command.text for command in commands)
        return Pipe(start, text, tuple(commands), variables, declares)

    def _declared(self, context: str) -> tuple[tuple[str, ...], bool]:
        """Read `$x :=`, `$x =`, and of a range `$i, $e :=`; what is none of them is the first operand's token again."""
        before, names = self._at, list[Token]()
        while self._next.kind == "variable":
            names.append(self._take())
            if self._next.text == "," and len(names) < (2 if context == "range" else 1):
                self._take()
                continue
            break
        if self._next.text == ",":
            self._fail(f"too many declarations in {context}")
        if self._next.text not in (":=", "="):
            if len(names) > 1:
                self._fail(f"unexpected {quoted(self._next.text)} in range")
            self._at = before
            return (), False
        declares = self._take().text == ":="
        if not declares:
            for name in names:
                self._known(name)
        return tuple(name.text for name in names), declares

    def _command(self) -> Command:
        operands: list[Operand] = []
        start = self._next.at
        while True:
            token = self._next
            if operands and not token.is_spaced and token.kind != "close" and token.text not in ("|", ")"):
                self._fail(f"unexpected {'<.>' if token.kind == 'dot' else quoted(token.text)} in operand")
            operand = self._operand()
            if operand is not None:
                operands.append(operand)
                continue
            if not operands:
                self._fail(f"unexpected {quoted(token.text)} in command")
            if token.text == "|":
                self._take()
            elif token.kind != "close" and token.text != ")":
                self._fail(f"unexpected {quoted(token.text)} in operand")
            return Command(start, " ".join(each.text for each in operands), tuple(operands))

    def _operand(self) -> Operand | None:
        token = self._next
        if token.kind == "mark":
            return self._fields(token.at, self._bracket()) if token.text == "(" else None
        if token.kind == "close":
            return None
        self._take()
        if token.kind == "field":
            return self._fields(token.at, "", token.text)
        if token.kind == "variable":
            self._known(token)
            return self._fields(token.at, token.text, token.text)
        operand = self._constant(token)
        if self._next.kind in ("field", "dot") and not self._next.is_spaced:
            why = "<.> in operand" if token.kind == "dot" else f". after term {quoted(token.text)}"
            self._fail(f"unexpected {why}")
        return operand

    def _bracket(self) -> Pipe:
        self._take()
        self._deeper()
        pipe = self._pipe("parenthesized pipeline", ")")
        self._depth -= 1
        return pipe

    def _fields(self, at: int, start: str | Pipe, text: str | None = None) -> Operand:
        """Read the fields that follow without a space."""
        fields = [text[1:]] if text and not start else []
        shown = f"({start.text})" if isinstance(start, Pipe) else text or ""
        has_more = False
        while self._next.kind == "field" and not self._next.is_spaced:
            token = self._take()
            at, has_more = at if has_more else token.at, True
            fields.append(token.text[1:])
            shown += token.text
        return Path(at, shown, start, tuple(fields))

    def _known(self, token: Token) -> None:
        if token.text not in self._variables:
            self._fail(f"undefined variable {quoted(token.text)}", token.at)

    def _constant(self, token: Token) -> Operand:
        match token.kind:
            case "dot":
                return Path(token.at, ".", "", ())
            case "string" | "char" | "number":
                return Literal(token.at, token.text, constant(token, self._text))
            case "word" if token.text in ("true", "false", "nil"):
                return Literal(token.at, token.text, {"true": True, "false": False}.get(token.text))
        if token.text not in self._functions:
            self._fail(f"function {quoted(token.text)} not defined", token.at)
        return Call(token.at, token.text)
