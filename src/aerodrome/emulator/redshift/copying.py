"""Redshift's COPY as it is written, and what it asks for: a table, objects in S3, and how their lines are to be read.

What is not understood is refused with a sentence, never passed over: a row that is read otherwise than Redshift reads
it would be worse than none. Pure; `objects` reads the lines, `running` writes the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from sqlglot import Token, TokenType

_TEXTS = frozenset({TokenType.STRING, TokenType.BYTE_STRING, TokenType.HEREDOC_STRING})

_SECRETS = frozenset({"credentials", "access_key_id", "secret_access_key", "session_token"})

_SWITCHES = frozenset({"on", "off", "true", "false", "preset"})

S3 = "s3://"


class CopyRefusedError(Exception):
    """A statement is not run; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A COPY from S3."""

    table: tuple[str, ...]
    """Its name, with the schema's before it if that was written."""
    columns: tuple[str, ...] = ()
    """None: all."""
    bucket: str
    prefix: str
    """What the keys of the objects begin with."""
    is_csv: bool = False
    delimiter: str = "|"
    quote: str = '"'
    is_escaped: bool = False
    """A backslash takes the meaning from the character behind it; in CSV it never does."""
    null: str = r"\N"
    """The field that stands for NULL."""
    empty_is_null: bool = False
    """Also for texts; an empty field of any other type always is."""
    header: int = 0
    """Lines at the beginning of each object that are no rows."""
    skips_blank_lines: bool = False
    compression: str = ""

    @property
    def source(self) -> str:
        return f"{S3}{self.bucket}/{self.prefix}"


def load(tokens: Sequence[Token]) -> Load:
    """What the tokens of a COPY ask for.

    Raises:
        CopyRefusedError: something in it is not understood, or cannot be done here.
    """
    return _Reader(tokens).read()


def without_secrets(text: str, tokens: Sequence[Token]) -> str:
    """The text with stars in the place of access keys."""
    at, pieces = 0, []
    for number, token in enumerate(tokens):
        before = [each.text.lower() for each in tokens[max(0, number - 2) : number]]
        word = before[-2:-1] if before[-1:] == ["as"] else before[-1:]
        if token.token_type in _TEXTS and _SECRETS & {*word}:
            pieces += [text[at : token.start], "'***'"]
            at = token.end + 1
    return "".join([*pieces, text[at:]])


@dataclass
class _Reader:
    """Goes through the tokens once."""

    tokens: Sequence[Token]
    at: int = 1
    found: dict[str, Any] = field(default_factory=dict)

    def read(self) -> Load:
        table = self._name()
        columns = self._columns()
        if self._word() != "from":
            _refuse("only a COPY from S3 is understood here: COPY table FROM 's3://bucket/key'")
        bucket, _, prefix = self._location().partition("/")
        while self.at < len(self.tokens):
            self._option(self._word())
        if not self.found.get("is_csv"):
            self.found.pop("quote", None)
        elif self.found.get("is_escaped"):
            _refuse("CSV and ESCAPE exclude each other: a quote within quotes is written twice")
        else:
            self.found.setdefault("delimiter", ",")
        return Load(table=table, columns=columns, bucket=bucket, prefix=prefix, **self.found)

    def _name(self) -> tuple[str, ...]:
        parts = [self._identifier()]
        while self._follows(TokenType.DOT):
            parts.append(self._identifier())
        if len(parts) > 2:  # noqa: PLR2004 - schema and table
            _refuse("a table of another database cannot be filled from here")
        return tuple(parts)

    def _columns(self) -> tuple[str, ...]:
        found: list[str] = []
        if self._follows(TokenType.L_PAREN):
            found.append(self._identifier())
            while self._follows(TokenType.COMMA):
                found.append(self._identifier())
            if not self._follows(TokenType.R_PAREN):
                _refuse("the list of columns does not end")
        return tuple(found)

    def _location(self) -> str:
        text = self._text("FROM")
        if not text.startswith(S3) or not text.removeprefix(S3).partition("/")[2]:
            _refuse(f"FROM must name objects in S3, such as '{S3}bucket/key'")
        return text.removeprefix(S3)

    def _option(self, word: str) -> None:
        if word == "format":
            self._may("as")
            word = self._word()
            if word not in _FORMATS:
                _refuse(f"the format {word.upper()[:50]} is not understood here; CSV and delimited text are")
        option = _OPTIONS.get(word)
        if option is None:
            _refuse(f"the option {word.upper()[:50]} is not understood here")
        option(self, word)

    def _next(self) -> Token:
        if self.at >= len(self.tokens):
            _refuse("the statement ends too early")
        self.at += 1
        return self.tokens[self.at - 1]

    def _follows(self, kind: TokenType) -> bool:
        is_next = self.at < len(self.tokens) and self.tokens[self.at].token_type is kind
        self.at += is_next
        return is_next

    def _may(self, *words: str) -> None:
        """Pass over one of the words, if it is next."""
        if self.at < len(self.tokens) and self.tokens[self.at].text.lower() in words:
            self.at += 1

    def _word(self) -> str:
        token = self._next()
        if token.token_type in _TEXTS or token.token_type is TokenType.IDENTIFIER:
            _refuse(f"{token.text[:50]!r} stands where a word was expected")
        return str(token.text).lower()

    def _identifier(self) -> str:
        token = self._next()
        if token.token_type is TokenType.IDENTIFIER:
            return str(token.text)
        name = str(token.text).lower()
        if token.token_type in _TEXTS or not name.replace("_", "a").isalnum():
            _refuse(f"{token.text[:50]!r} stands where a name was expected")
        return name

    def _text(self, word: str) -> str:
        self._may("as")
        token = self._next()
        if token.token_type not in _TEXTS:
            _refuse(f"a text in quotes is expected behind {word.upper()}")
        return str(token.text)

    def character(self, word: str) -> None:
        """DELIMITER, QUOTE."""
        text = {r"\t": "\t"}.get(given := self._text(word), given)
        if len(text) != 1 or not text.isascii() or text in "\r\n\0\\":
            _refuse(f"{word.upper()} must be one character")
        self.found[word] = text

    def csv(self, _word: str) -> None:
        self.found["is_csv"] = True

    def compressed(self, word: str) -> None:
        self.found["compression"] = word

    def header(self, word: str) -> None:
        self.found["header"] = self._number(word)

    def null(self, word: str) -> None:
        self.found["null"] = self._text(word)

    def flag(self, word: str) -> None:
        self.found[_FLAGS[word]] = True

    def role(self, word: str) -> None:
        """Whoever the role may be: the emulator's objects are everybody's."""
        self._may("as")
        if self.at < len(self.tokens) and self.tokens[self.at].text.lower() == "default":
            self.at += 1
        else:
            self._text(word)

    def text(self, word: str) -> None:
        """Something that makes no difference here, whatever it is."""
        self._text(word)

    def switch(self, _word: str) -> None:
        """How a table is compressed and measured, which PostgreSQL sees to by itself."""
        self._may(*_SWITCHES)

    def automatic(self, word: str) -> None:
        if self._text(word).lower() != "auto":
            _refuse(f"{word.upper()} can only be 'auto' here")

    def encoding(self, word: str) -> None:
        self._may("as")
        if str(self._next().text).lower().replace("-", "") != "utf8":
            _refuse(f"{word.upper()} can only be UTF8 here")

    def errors(self, word: str) -> None:
        if self._number(word):
            _refuse(f"{word.upper()} can only be 0 here: a row that cannot be loaded ends the COPY")

    def count(self, word: str) -> None:
        self._number(word)

    def nothing(self, _word: str) -> None:
        """WITH, which other words follow."""

    def _number(self, word: str) -> int:
        self._may("as")
        token = self._next()
        text = "" if token.token_type in _TEXTS else str(token.text)
        if not text.isascii() or not text.isdecimal() or len(text) > 9:  # noqa: PLR2004 - arbitrary, and enough
            _refuse(f"a whole number is expected behind {word.upper()}")
        return int(text)


_FLAGS = {"emptyasnull": "empty_is_null", "escape": "is_escaped", "ignoreblanklines": "skips_blank_lines"}

_FORMATS = frozenset({"csv", "delimiter"})

_OPTIONS: Mapping[str, Callable[[_Reader, str], None]] = {
    "csv": _Reader.csv,
    "delimiter": _Reader.character,
    "quote": _Reader.character,
    "ignoreheader": _Reader.header,
    "null": _Reader.null,
    "gzip": _Reader.compressed,
    "bzip2": _Reader.compressed,
    **dict.fromkeys(_FLAGS, _Reader.flag),
    "iam_role": _Reader.role,
    **dict.fromkeys(sorted(_SECRETS), _Reader.text),
    "with": _Reader.nothing,
    "region": _Reader.text,
    "encoding": _Reader.encoding,
    "dateformat": _Reader.automatic,
    "timeformat": _Reader.automatic,
    "compupdate": _Reader.switch,
    "statupdate": _Reader.switch,
    "comprows": _Reader.count,
    "maxerror": _Reader.errors,
}


def _refuse(sentence: str) -> NoReturn:
    raise CopyRefusedError(f"COPY: {sentence}")
