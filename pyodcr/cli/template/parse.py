"""From pieces to nodes: a recursive descent, one function a rule of text/template's grammar."""

from __future__ import annotations

from collections.abc import Mapping

from pyodcr.cli.template.functions import FUNCTIONS, LAZY
from pyodcr.cli.template.nodes import Call, Chain, Field, If, Literal, Node, Operand, Pipe, Range, Text, Variable, With
from pyodcr.cli.template.tokens import Kind, Piece, Token, invalid, pieces

BLOCKS: Mapping[str, type[If | With | Range]] = {"if": If, "with": With, "range": Range}
CONSTANTS = {"true": True, "false": False, "nil": None}
UNSUPPORTED = ("define", "template", "block", "break", "continue")


def parse(text: str, *, begin: int = 0, spaces: str = " ") -> tuple[Node, ...]:
    """The nodes of ``text`` from ``begin`` on; plain spaces become ``spaces``, ``\\t`` and ``\\n`` what they mean."""
    return _Blocks(list(pieces(text, begin)), spaces).template()


class _Blocks:
    """The structure: text, actions, and blocks that end."""

    def __init__(self, found: list[Piece], spaces: str) -> None:
        self._pieces = found
        self._at = 0
        self._spaces = spaces

    def template(self) -> tuple[Node, ...]:
        body, closing = self._until_keyword()
        if closing is not None:
            raise invalid(f"unexpected {{{{{closing.word}}}}}", closing.position)
        return body

    def _until_keyword(self) -> tuple[tuple[Node, ...], _Action | None]:
        """Nodes up to an ``else`` or ``end``, which is returned too (None: the text is over)."""
        body: list[Node] = []
        while self._at < len(self._pieces):
            piece = self._pieces[self._at]
            self._at += 1
            if not piece.tokens:
                body.append(Text(self._plain(piece.text)))
                continue
            action = _Action(piece)
            if action.word in ("else", "end"):
                return tuple(body), action
            if action.word in BLOCKS:
                body.append(self._block(action))
            elif action.word in UNSUPPORTED:
                raise invalid(f"{{{{{action.word}}}}} is not supported", action.position)
            else:
                body.append(action.whole_pipe())
        return tuple(body), None

    def _block(self, opening: _Action) -> Node:
        keyword = opening.next().text
        kind = BLOCKS[keyword]
        pipe = opening.whole_pipe()
        body, closing = self._until_keyword()
        otherwise: tuple[Node, ...] = ()
        if closing is not None and closing.word == "else":
            closing.next()
            if closing.word in ("if", "with"):  # `else if` shares its end with the block it belongs to
                return kind(pipe, body, (self._block(closing),))
            closing.expect_end()
            otherwise, closing = self._until_keyword()
        if closing is None:
            raise invalid(f"{{{{{keyword}}}}} without {{{{end}}}}", opening.position)
        if closing.word == "else":
            raise invalid("a second {{else}}", closing.position)
        closing.next()
        closing.expect_end()
        return kind(pipe, body, otherwise)

    def _plain(self, text: str) -> str:
        return text.replace(" ", self._spaces).replace(r"\t", "\t").replace(r"\n", "\n")


class _Action:
    """What stands between one pair of braces."""

    def __init__(self, piece: Piece) -> None:
        self._tokens = piece.tokens
        self._at = 0
        self.position = piece.position

    @property
    def word(self) -> str:
        token = self._tokens[self._at]
        return token.text if token.kind is Kind.WORD else ""

    def next(self) -> Token:
        token = self._tokens[self._at]
        if token.kind is not Kind.END:
            self._at += 1
        return token

    def _is_sign(self, *signs: str) -> bool:
        token = self._tokens[self._at]
        return token.kind is Kind.SIGN and token.text in signs

    def expect_end(self) -> None:
        token = self._tokens[self._at]
        if token.kind is not Kind.END:
            raise invalid(f"unexpected {token.text!r}", token.position)

    def whole_pipe(self) -> Pipe:
        pipe = self._pipe()
        self.expect_end()
        return pipe

    def _pipe(self) -> Pipe:
        position = self._tokens[self._at].position
        names, declares = self._declaration()
        commands: list[Operand | Call] = []
        while True:
            commands.append(self._command(piped=bool(commands)))
            if not self._is_sign("|"):
                break
            self.next()
        return Pipe(tuple(commands), names, declares, position)

    def _declaration(self) -> tuple[tuple[str, ...], bool]:
        """``$a :=``, ``$a =`` or ``$i, $e :=``; if it is none of them, nothing is taken."""
        start, names = self._at, list[str]()
        while self._tokens[self._at].kind is Kind.VARIABLE:
            names.append(self.next().text[1:])
            if self._is_sign(":=", "="):
                declares = self.next().text == ":="
                return tuple(names), declares
            if not self._is_sign(","):
                break
            self.next()
        self._at = start
        return (), False

    def _command(self, *, piped: bool) -> Operand | Call:
        token = self._tokens[self._at]
        if token.kind is Kind.WORD and token.text not in CONSTANTS:
            if token.text not in FUNCTIONS and token.text not in LAZY:
                raise invalid(
                    f'there is no function "{token.text}"',
                    token.position,
                    hint=f"functions: {', '.join(sorted({*FUNCTIONS, *LAZY}))}; a field begins with a dot",
                )
            self.next()
            return Call(token.text, self._arguments(), token.position)
        operand = self._operand()
        arguments = self._arguments()
        if not arguments and not piped:
            return operand
        if isinstance(operand, Field | Variable | Chain):
            return Call(operand, arguments, token.position)
        raise invalid(f"{token.text} is not a function", token.position)

    def _arguments(self) -> tuple[Operand, ...]:
        found: list[Operand] = []
        while True:
            token = self._tokens[self._at]
            if token.kind is Kind.END or self._is_sign("|", ")"):
                return tuple(found)
            found.append(self._operand())

    def _operand(self) -> Operand:
        token = self.next()
        match token.kind:
            case Kind.LITERAL:
                return Literal(token.value)
            case Kind.WORD if token.text in CONSTANTS:
                return Literal(CONSTANTS[token.text])
            case Kind.WORD if token.text in FUNCTIONS or token.text in LAZY:
                call = Call(token.text, (), token.position)
                return Pipe((call,), (), declares=False, position=token.position)
            case Kind.DOT:
                return Field((), token.position)
            case Kind.FIELD:
                return Field((token.text[1:], *self._path()), token.position)
            case Kind.VARIABLE:
                return Variable(token.text[1:], self._path(), token.position)
            case Kind.SIGN if token.text == "(":
                return self._parenthesised(token)
            case Kind.END:
                raise invalid("missing value", token.position)
        raise invalid(f"unexpected {token.text!r}", token.position)

    def _parenthesised(self, opening: Token) -> Operand:
        inner = self._pipe()
        if not self._is_sign(")"):
            raise invalid("unclosed parenthesis", opening.position)
        self.next()
        path = self._path()
        return Chain(inner, path, opening.position) if path else inner

    def _path(self) -> tuple[str, ...]:
        """Fields that follow without a space between."""
        names: list[str] = []
        while self._tokens[self._at].kind is Kind.FIELD and not self._tokens[self._at].is_spaced:
            names.append(self.next().text[1:])
        return tuple(names)
