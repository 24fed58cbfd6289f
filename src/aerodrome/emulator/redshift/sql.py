"""What is understood of a statement before PostgreSQL gets it: where its parameters are, and whether it is a COPY.

The tokens are sqlglot's, by PostgreSQL's rules of quoting. Nothing here guards anything: a statement that is read
otherwise than PostgreSQL reads it goes there as it is, as a role that may do no harm. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sqlglot import Token, TokenType
from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import TokenError

from aerodrome.emulator.redshift import copying
from aerodrome.emulator.redshift.copying import CopyRefusedError, Load

TRANSACTIONS = frozenset({"abort", "begin", "commit", "end", "release", "rollback", "savepoint", "start"})
"""First words of statements that begin and end transactions."""

LAYOUT = frozenset({"backup", "diststyle", "distkey", "encode", "sortkey"})
"""Words of CREATE TABLE and ALTER TABLE that PostgreSQL does not know. They change no answer, but whoever wrote them
cares how a table lies, so they are refused and not dropped."""

_QUOTED = frozenset({TokenType.STRING, TokenType.IDENTIFIER, TokenType.HEREDOC_STRING, TokenType.BYTE_STRING})


class ParameterError(Exception):
    """The parameters are not those of the statement."""


@dataclass(frozen=True, slots=True)
class Query:
    """A statement for PostgreSQL: `$1` and so on stand for the values, which it takes as it takes literals."""

    text: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """One statement of a request."""

    shown: str
    """The text that is remembered: without secrets."""
    plan: Query | Load | CopyRefusedError


def understand(text: str, parameters: Mapping[str, str]) -> Understood:
    """What the text asks for.

    Raises:
        ParameterError: a parameter is not in the text.
    """
    try:
        tokens = Postgres().tokenize(text)
    except TokenError:
        if parameters:
            raise ParameterError("The statement cannot be read, so its parameters cannot be found.") from None
        return Understood(shown=text, plan=Query(text))
    query = _with_values(text, tokens, parameters)
    try:
        return _planned(text, tokens, query)
    except CopyRefusedError as refusal:
        # Anew, for the one that was raised holds on to all that was looked at.
        return Understood(shown=copying.without_secrets(text, tokens), plan=CopyRefusedError(str(refusal)))


def _planned(text: str, tokens: Sequence[Token], query: Query) -> Understood:
    statement = _one(tokens)
    word = statement[0].text.lower() if statement else ""
    if word == "copy":
        return Understood(shown=copying.without_secrets(text, tokens), plan=copying.load(statement))
    if word in TRANSACTIONS:
        raise CopyRefusedError(
            f"{word.upper()} is not available here: a statement is a transaction of its own, and so are all of a "
            "BatchExecuteStatement together"
        )
    if word == "unload":
        raise CopyRefusedError(
            "UNLOAD is not available here: read the rows by GetStatementResult, or write them yourself"
        )
    if word in {"create", "alter"} and any(token.token_type is TokenType.TABLE for token in statement[1:4]):
        _refuse_layout(statement)
    return Understood(shown=text, plan=query)


def _one(tokens: Sequence[Token]) -> list[Token]:
    """The tokens of the only statement, without the semicolon behind it."""
    ends = [number for number, token in enumerate(tokens) if token.token_type is TokenType.SEMICOLON]
    if not ends:
        return list(tokens)
    if any(token.token_type is not TokenType.SEMICOLON for token in tokens[ends[0] :]):
        raise CopyRefusedError("this is more than one statement: BatchExecuteStatement takes several, each by itself")
    return list(tokens[: ends[0]])


def _refuse_layout(statement: Sequence[Token]) -> None:
    for token, following in zip(statement, [*statement[1:], None], strict=True):
        word = token.text.lower()
        is_call = word == "encode" and following is not None and following.token_type is TokenType.L_PAREN
        if word in LAYOUT and token.token_type not in _QUOTED and not is_call:
            raise CopyRefusedError(
                f"{word.upper()} is a word of Redshift's own: PostgreSQL, which runs the statement here, lays its "
                "tables out by itself. Leave it out"
            )


def _with_values(text: str, tokens: Sequence[Token], parameters: Mapping[str, str]) -> Query:
    """The text with a number in the place of each `:name`; a name that is no parameter's is left as it is."""
    numbers: dict[str, int] = {}
    pieces: list[str] = []
    at = 0
    for colon, name in pairwise(tokens):
        is_one = colon.token_type is TokenType.COLON and name.start == colon.end + 1 and name.text in parameters
        if is_one and name.token_type not in _QUOTED:
            number = numbers.setdefault(name.text, len(numbers) + 1)
            pieces += [text[at : colon.start], f"${number}"]
            at = name.end + 1
    missing = [name for name in parameters if name not in numbers]
    if missing:
        raise ParameterError(f"The statement has no parameter :{missing[0][:100]}.")
    return Query("".join([*pieces, text[at:]]), tuple(parameters[name] for name in numbers))
