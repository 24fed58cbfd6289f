"""What a startup script does that works in another way here than on MWAA, in sentences with the line. Pure.

`startup` calls it with what `inside/startup.bash` noticed, and with what the script exported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from aerodrome.release import url_credentials
from aerodrome.release.failures import at

NAME = "startup.sh"

MOST = 20
"""Notes of one script."""

_LONGEST = 100
"""Characters of a command that are shown."""

_TESTS = ("[", "((", "test ", "let ", "read ", "grep ", "false")
"""Beginnings of commands that may say no without having failed."""

_PIP = re.compile(r"\bpip3?\s+install\b")
_NOTHING = re.compile(r"(\"\"|'')?\s*(;|#|$)")


def of(text: str, noticed: Sequence[str], variables: Mapping[str, str], refused: Sequence[str]) -> list[str]:
    """The notes on one run. `noticed` are kind, line and words with tabs between; user code may have forged them."""
    notes = [f"{NAME} sets what it must not, so that has no effect: {', '.join(refused)}"] if refused else []
    told: set[tuple[str, str]] = set()
    before = ""
    for each in noticed:
        kind, _, rest = each.partition("\t")
        line, _, words = rest.partition("\t")
        is_same = kind == "failed" and words == before  # a function and its call fail by one command
        before = words
        if line.isdecimal() and not is_same and (sentence := _sentence(kind, words)) and (kind, line) not in told:
            told.add((kind, line))
            notes.append(f"{at(NAME, int(line))}: {sentence}")
    for name, value in variables.items():
        line_of = _assigned(text, name)
        if not value and line_of is not None:
            notes.append(f"{at(NAME, line_of)}: {name} is exported and empty")
    return notes


def not_kept(text: str, path: str) -> str:
    """The note on a file or folder that is lost after the script."""
    name = path.rpartition("/")[2]
    line = next((number for number, line in enumerate(text.splitlines(), 1) if name in line), None)
    return f"{at(NAME, line)}: {shown(path)} is not kept; write below ${{AIRFLOW_HOME}}, under a name of its own"


def bounded(notes: Sequence[str]) -> tuple[str, ...]:
    """At most so many of the notes, each once."""
    each = tuple(dict.fromkeys(notes))
    more = len(each) - MOST
    return (*each[:MOST], f"{NAME}: {more} more notes of this kind") if more > 0 else each


def shown(text: str) -> str:
    """One line of somebody's script for people, without credentials in addresses."""
    line = url_credentials.hide(" ".join(text.split()))
    clean = "".join(letter for letter in line if letter.isprintable())
    return clean if len(clean) <= _LONGEST else f"{clean[:_LONGEST]}…"


def _sentence(kind: str, words: str) -> str | None:
    if kind == "failed":
        status, _, command = words.partition(" ")
        if command.startswith(_TESTS):
            return None
        more = "; packages are installed by requirements.txt" if _PIP.search(command) else ""
        return f"`{shown(command)}` ended with exit code {shown(status)}, and the script went on{more}"
    if kind == "pip":
        return (
            f"`pip install {shown(words)}` does nothing here: write the packages into requirements.txt, or install "
            "them into a virtual environment below ${AIRFLOW_HOME}"
        )
    if kind == "packages":
        return f"`{shown(words)}` does nothing here: have the packages installed on the machine that Aerodrome runs on"
    if kind == "sudo":
        return f"`{shown(words)}` runs without root's rights"
    return None


def _assigned(text: str, name: str) -> int | None:
    """The line that gives the variable a value other than nothing."""
    for number, line in enumerate(text.splitlines(), 1):
        found = re.search(rf"\b{re.escape(name)}=", line)
        if found and not line.lstrip().startswith("#"):
            return None if _NOTHING.match(line[found.end() :]) else number
    return None
