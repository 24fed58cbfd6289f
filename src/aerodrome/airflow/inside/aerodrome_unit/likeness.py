"""Which options Airflow has read, and whether another configuration gives the same answers.

A process that imported Airflow with one configuration may be forked for an environment with another one, as long as no
option that was read until then differs. Imports nothing of Airflow: the control plane asks the same question before it
chooses the process (`aerodrome.airflow.priming`).
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

READ_AGAIN = frozenset({
    ("api", "base_url"), ("celery", "broker_url"), ("celery", "result_backend"),
})  # fmt: skip
"""Options that differ between all environments, and that `prelude` has Airflow read again after the fork."""

READ_BY_UNITS = frozenset({("database", "sql_alchemy_conn"), ("traces", "otel_on")})
"""Options that differ between roles, and that `prelude` has Airflow read again in each unit."""

ALL = "*"
"""In the place of an option's name: every option of the section; of the section's too: every option there is."""

MASKING = "mask_secrets"
"""Airflow's functions of that name read secrets to hide them from logs. Each unit has them called once more."""


@contextmanager
def noted(reads: set[tuple[str, str]], path: str) -> Iterator[None]:
    """Add each option that is asked for meanwhile, as (section, option), to `reads`.

    What counts are questions to parsers that have read the file at `path`, or a text of which nobody says where it is
    from. Airflow has others, of its own defaults.
    """
    parser: Any = configparser.RawConfigParser
    knowing: dict[int, Any] = {}  # parsers have no hash
    before = {name: getattr(parser, name) for name in (*_READERS, *_QUESTIONS)}

    def learning(name: str, found: Any) -> Any:
        def read(self: Any, *words: Any, **named: Any) -> Any:
            if name != "read" or _names(path, *words, **named):
                knowing[id(self)] = self
            return found(self, *words, **named)

        return read

    def noting(names: Any, found: Any) -> Any:
        def ask(self: Any, *words: Any, **named: Any) -> Any:
            if id(self) in knowing and not _is_masking():
                reads.add(names(*words, **named))
            return found(self, *words, **named)

        return ask

    for name in _READERS:
        setattr(parser, name, learning(name, before[name]))
    for name, names in _QUESTIONS.items():
        setattr(parser, name, noting(names, before[name]))
    try:
        yield
    finally:
        for name, found in before.items():
            setattr(parser, name, found)


def _one(section: str, option: str, *_: Any, **__: Any) -> tuple[str, str]:
    return str(section).lower(), str(option).lower()


def _whole(section: Any = ALL, *_: Any, **__: Any) -> tuple[str, str]:
    return (str(section).lower() if isinstance(section, str) else ALL), ALL


_READERS = ("read", "read_file", "read_string", "read_dict")

_QUESTIONS = {
    "get": _one, "has_option": _one, "items": _whole, "options": _whole, "has_section": _whole, "sections": _whole,
}  # fmt: skip
"""Every way to ask a parser, that of its sections as mappings included, which ask in these."""


def _names(path: str, filenames: Any, *_: Any, **__: Any) -> bool:
    """Whether the file is among those that `RawConfigParser.read` is to read."""
    files = [filenames] if isinstance(filenames, (str, bytes, os.PathLike)) else filenames
    return any(os.path.realpath(os.fsdecode(file)) == os.path.realpath(path) for file in files)


def _is_masking() -> bool:
    """Whether the question is one of such a function, and not of a module that is imported meanwhile."""
    frame: Any = sys._getframe(2)  # noqa: SLF001 - who asks is known from nothing else
    while frame is not None and frame.f_code.co_name not in {MASKING, "<module>"}:
        frame = frame.f_back
    return frame is not None and frame.f_code.co_name == MASKING


def difference(one: str, other: str, reads: Iterable[tuple[str, str]]) -> str:
    """The first option for which a process that has read these of `one` cannot go on with `other`; empty = none.

    An option that `other` does not have at all counts too: it would stay as it is in `one`.
    """
    known, wanted = _options(one), _options(other)
    fixed = set(reads) - READ_AGAIN
    for name in sorted(known.keys() | wanted.keys()):
        if known.get(name) != wanted.get(name) and (_is_among(name, fixed) or name not in wanted):
            return ".".join(name)
    return ""


def overridden(text: str, variables: Mapping[tuple[str, str], str], reads: Iterable[tuple[str, str]]) -> str:
    """The first option that was read of the text, and that variables set to something else; empty = none."""
    known, fixed = _options(text), set(reads)
    return next(
        (".".join(name) for name in sorted(variables) if variables[name] != known.get(name) and _is_among(name, fixed)),
        "",
    )


def of_roles(shared: str, roles: Iterable[str], reads: Iterable[tuple[str, str]]) -> str:
    """The first option that was read and that single roles have otherwise than all share, as secrets are; empty = none.

    Its value would be that of nobody, in every environment.
    """
    known = _options(shared)
    fixed = set(reads) - READ_AGAIN - READ_BY_UNITS
    own = {name for text in roles for name, value in _options(text).items() if known.get(name) != value}
    return next((".".join(name) for name in sorted(own - READ_BY_UNITS) if _is_among(name, fixed)), "")


def _is_among(name: tuple[str, str], fixed: Iterable[tuple[str, str]]) -> bool:
    return not {name, (name[0], ALL), (ALL, ALL)}.isdisjoint(fixed)


def _options(text: str) -> dict[tuple[str, str], str]:
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return {
        (section.lower(), option): value for section in parser.sections() for option, value in parser.items(section)
    }
