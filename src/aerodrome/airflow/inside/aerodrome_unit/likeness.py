"""Which options Airflow has read, and whether another configuration gives the same answers.

A process that imported Airflow with one configuration may be forked for an environment with another one, as long as no
option that was read until then differs. Imports nothing of Airflow: the control plane asks the same question before it
chooses the process (`aerodrome.airflow.priming`).
"""

from __future__ import annotations

import configparser
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

READ_AGAIN = frozenset({
    ("api", "base_url"), ("celery", "broker_url"), ("celery", "result_backend"),
})  # fmt: skip
"""Options that differ between all environments, and that `prelude` has Airflow read again after the fork."""


@contextmanager
def noted(reads: set[tuple[str, str]]) -> Iterator[None]:
    """Add each option that any configuration is asked for meanwhile, as (section, option), to `reads`."""
    parser: Any = configparser.RawConfigParser
    before = {name: getattr(parser, name) for name in ("get", "has_option")}

    def noting(found: Any) -> Any:
        def ask(self: Any, section: str, option: str, *more: Any, **named: Any) -> Any:
            reads.add((str(section).lower(), str(option).lower()))
            return found(self, section, option, *more, **named)

        return ask

    for name, found in before.items():
        setattr(parser, name, noting(found))
    try:
        yield
    finally:
        for name, found in before.items():
            setattr(parser, name, found)


def difference(one: str, other: str, reads: Iterable[tuple[str, str]]) -> str:
    """The first option for which a process that has read these of `one` cannot go on with `other`; empty = none.

    An option that `other` does not have at all counts too: it would stay as it is in `one`.
    """
    known, wanted = _options(one), _options(other)
    fixed = set(reads) - READ_AGAIN
    for name in sorted(known.keys() | wanted.keys()):
        if known.get(name) != wanted.get(name) and (name in fixed or name not in wanted):
            return ".".join(name)
    return ""


def _options(text: str) -> dict[tuple[str, str], str]:
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return {
        (section.lower(), option): value for section in parser.sections() for option, value in parser.items(section)
    }
