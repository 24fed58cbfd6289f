"""What uv says when it cannot resolve or install a user's requirements, read for who is at fault and where. Pure.

`overlay` calls `refusal`. uv explains itself in sentences. A sentence that is not understood is passed on as part of
the tail, so a new wording of uv's costs only detail.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from aerodrome import errors
from aerodrome.release import failures, url_credentials, uv_output
from aerodrome.release.failures import ReleaseError, at
from aerodrome.release.requirement_line import Requirement
from aerodrome.release.requirements import Requirements

_TAIL = 14

_MOST_LETTERS = 20_000
"""Of the beginning, and again of the end of what uv printed; its explanations have some thousands."""

_LONGEST_WORD = 128
_LONG_WORD = re.compile(rf"[A-Za-z0-9._-]{{{_LONGEST_WORD},}}")

_NEEDS_BUILD = ("building from source is disabled", "Building source distributions is disabled")

_NAMED = r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?:\[[^\]]*\])?"
_SPEC = r"((?:[<>=!~]=?|===)[^\s]*)?"
_DEPENDS = re.compile(rf"{_NAMED}{_SPEC} depends? on {_NAMED}{_SPEC}")
_REQUIRE = re.compile(rf"(?:you require|and) {_NAMED}((?:[<>=!~]=?|===)[^\s]+)")
_ROOT = re.compile(rf"you require {_NAMED}")
_UNKNOWN = re.compile(rf"{_NAMED}{_SPEC} was not found in the (?:package registry|provided package locations)")
_NO_VERSION = re.compile(rf"there (?:is|are) no versions? of {_NAMED}{_SPEC}")
_BUILD = re.compile(r"Failed to (?:build|download and build|generate package metadata for) `?([\w.-]+?)(?:==| @|`)")
_NEEDS_PYTHON = re.compile(rf"{_NAMED}{_SPEC} requires Python ([^\s,]+(?:,[^\s,]+)*)")
_USED_PYTHON = re.compile(r"Using (?:C?Python) ([\d.]+)")
_PYTHON = re.compile(r"current Python version \(([\d.]+)\) does not satisfy Python([^\s,]+(?:,[^\s,]+)*)")
_WHEELS = re.compile(rf"{_NAMED}{_SPEC} has no (?:usable )?wheels|{_NAMED}{_SPEC} has no wheels with a matching")
_STATUS = re.compile(r"HTTP status (?:client|server) error \((\d{3}[^)]*)\) for url \(([^)]+)\)")
_URL = re.compile(r"https?://[^\s)`]+")


def needs_build(lines: Sequence[str]) -> bool:
    """Whether uv failed only because it was not allowed to build a package from source."""
    text = "\n".join(lines)
    return any(sign in text for sign in _NEEDS_BUILD)


def refusal(
    lines: Sequence[str], requirements: Requirements, base: Mapping[str, str], pins: Mapping[str, str] | None = None
) -> errors.AerodromeError:
    """The error for a failed uv.

    `base` is what the Airflow version holds, `pins` what Airflow's constraints say (None: they were not applied);
    normalised names and versions.
    """
    lines = [requirements.hide(url_credentials.hide(line.rstrip())) for line in _bounded(lines)]
    tail = tuple(line for line in lines if line)[-_TAIL:]
    text = re.sub(r"\s+", " ", "\n".join(lines))
    reading = _UvOutput(requirements, base, pins or {}, text, tail)
    return (
        reading.machine() or reading.index() or reading.unknown() or reading.python() or reading.conflict()
        or reading.build() or reading.otherwise()
    )  # fmt: skip


def _bounded(lines: Sequence[str]) -> list[str]:
    """The beginning and the end of what uv printed, without endless words: a package's program may print anything.

    Whoever looks for names in a word takes time by the square of its length.
    """
    lines = list(lines)  # it may be a queue, which has no slices
    first = list(_as_many(lines))
    last = list(_as_many(lines[: len(first) - 1 : -1] if first else lines[::-1]))
    return [*first, *reversed(last)]


def _as_many(lines: Iterable[str]) -> Iterator[str]:
    left = _MOST_LETTERS
    for line in lines:
        cut = _LONG_WORD.sub(lambda word: word[0][:_LONGEST_WORD], line)
        left -= len(cut)
        if left < 0:
            return
        yield cut


class _UvOutput:
    """One text of uv's. Each method recognises one kind of failure, and returns None if it is another."""

    def __init__(
        self,
        requirements: Requirements,
        base: Mapping[str, str],
        pins: Mapping[str, str],
        text: str,
        tail: tuple[str, ...],
    ) -> None:
        self._requirements = requirements
        self._base = base
        self._held = {**pins, **base}
        self._text = text
        self._tail = tail

    def machine(self) -> errors.AerodromeError | None:
        if any(sign in self._text for sign in uv_output.NO_SPACE):
            return self._failed(
                "no space is left on the disk for the packages; free some, or ask who runs this machine"
            )
        if "Hash mismatch" in self._text:
            culprit = self._mentioned()
            return self._failed(f"{_named(culprit)} the index served other bytes than --hash names", culprit)
        return None

    def index(self) -> errors.AerodromeError | None:
        """An index that cannot be asked: the user must mend the user's own; the machine's is worth another try."""
        status = _STATUS.search(self._text)
        unreachable = any(sign in self._text for sign in uv_output.NETWORK)
        if status is None and not unreachable:
            return None
        url = status[2] if status else next(iter(_URL.findall(self._text)), "")
        what = (
            f"answers {status[1]}"
            if status
            else f"cannot be reached ({self._tail[-1].strip().removeprefix('cause: ')})"
        )
        for line in (self._requirements.index, *self._requirements.extra_indexes):
            if line is not None and _host(url) == _host(line.text):
                sentence = f"{at(line.file, line.number)}: the package index {what}; check its URL"
                return self._error(failures.REQUIREMENTS_INSTALL_FAILED, sentence, line.file, line.number)
        direct = next(
            (each for each in self._requirements.requested if each.direct and url and url in each.shown), None
        )
        if direct is not None or (status and not status[1].startswith(("429", "5"))):
            return self._failed(f"{_named(direct)} {url_credentials.hide(url)} {what}", direct)
        sentence = f"the requirements could not be installed: the package index {what}"
        return errors.RetryError(sentence, delay=uv_output.NETWORK_DELAY)

    def unknown(self) -> ReleaseError | None:
        found = _UNKNOWN.search(self._text)
        if found:
            culprit = self._requirement(found[1]) or self._root()
            needed = (
                ""
                if culprit is None or culprit.name == canonicalize_name(found[1])
                else f", which {culprit.name} needs"
            )
            return self._failed(f"{_named(culprit)} no package {found[1]}{needed} is known to {self._asked()}", culprit)
        found = _NO_VERSION.search(self._text)
        name = canonicalize_name(found[1]) if found else ""
        if found is None or name in self._held or "depends on" in self._text:
            return None
        culprit = self._requirement(name) or self._root()
        return self._failed(f"{_named(culprit)} {self._asked()} has no {found[1]}{found[2] or ''}", culprit)

    def python(self) -> ReleaseError | None:
        found = _PYTHON.search(self._text)
        if found:
            return self._other_python(found[2], found[1], self._mentioned())
        found = _NEEDS_PYTHON.search(self._text)
        if found:
            used = _USED_PYTHON.search(self._text)
            return self._other_python(
                found[3], used[1] if used else "another", self._requirement(found[1]) or self._root()
            )
        wheels = _WHEELS.search(self._text)
        if wheels is None:
            return None
        culprit = self._requirement(wheels[1] or wheels[3]) or self._root()
        return self._failed(
            f"{_named(culprit)} {_what(culprit)} has no wheel for this Python and this kind of machine", culprit
        )

    def _other_python(self, needed: str, used: str, culprit: Requirement | None) -> ReleaseError:
        sentence = (
            f"{_named(culprit)} {_what(culprit)} needs Python {needed.rstrip('.')}, and the environment runs {used}"
        )
        return self._failed(sentence, culprit)

    def conflict(self) -> ReleaseError | None:
        if "No solution found" not in self._text:
            return None
        culprit = self._root()
        for owner, _, name, spec in _DEPENDS.findall(self._text):
            version = self._held.get(canonicalize_name(name))
            if version is not None and spec and not _allows(spec, version):
                culprit = self._requirement(owner) or culprit
                sentence = f"{_named(culprit)} {owner} needs {name}{spec.rstrip('.,')}, and {self._theirs(name)}"
                return self._conflict(sentence, culprit, name)
        for name, spec in _REQUIRE.findall(self._text):
            version = self._held.get(canonicalize_name(name))
            asked = self._requirement(name)
            if version is not None and asked is not None and (asked.direct or not _allows(spec, version)):
                sentence = f"{_named(asked)} {asked.shown} is asked for, and {self._theirs(name)}"
                return self._conflict(sentence, asked, name)
        asked = self._twice() or culprit
        both = [f"{each.shown} ({at(each.file, each.line)})" for each in self._all(asked.name)] if asked else []
        sentence = f"{_named(asked)} {' and '.join(both)} exclude each other" if len(both) > 1 else (
            f"{_named(asked)} {_what(asked)} cannot be installed together with the other requirements"
        )  # fmt: skip
        return self._conflict(sentence, asked, asked.name if asked else None)

    def _theirs(self, name: str) -> str:
        found = canonicalize_name(name)
        says = "comes with" if found in self._base else "has in its constraints"
        return f"Airflow {says} {name} {self._held[found]}"

    def build(self) -> ReleaseError | None:
        found = _BUILD.search(self._text)
        if found is None:
            return None
        culprit = self._requirement(found[1]) or self._mentioned()
        return self._failed(
            f"{_named(culprit)} {found[1]} could not be built from source; the last lines say why", culprit
        )

    def otherwise(self) -> ReleaseError:
        culprit = self._mentioned()
        why = next((line.removeprefix("error: ") for line in self._tail if line.startswith("error: ")), "uv failed")
        return self._failed(f"{_named(culprit)} {why}", culprit)

    def _conflict(self, sentence: str, culprit: Requirement | None, package: str | None) -> ReleaseError:
        file, line = (culprit.file, culprit.line) if culprit else (None, None)
        return self._error(failures.REQUIREMENTS_CONFLICT, sentence, file, line, package)

    def _failed(self, sentence: str, culprit: Requirement | None = None) -> ReleaseError:
        file, line, name = (culprit.file, culprit.line, culprit.name) if culprit else (None, None, None)
        return self._error(failures.REQUIREMENTS_INSTALL_FAILED, sentence, file, line, name)

    def _error(
        self, code: str, sentence: str, file: str | None, line: int | None, package: str | None = None
    ) -> ReleaseError:
        return ReleaseError(sentence.strip(), code=code, file=file, line=line, package=package, tail=self._tail)

    def _asked(self) -> str:
        if self._requirements.no_index:
            return "the wheels at hand (--no-index)"
        line = self._requirements.index
        return f"the package index of {at(line.file, line.number)}" if line else "the package index"

    def _all(self, name: str) -> list[Requirement]:
        return [each for each in (*self._requirements.requested, *self._requirements.constraints) if each.name == name]

    def _requirement(self, name: str) -> Requirement | None:
        return self._requirements.by_name.get(canonicalize_name(name))

    def _root(self) -> Requirement | None:
        """The user's own requirement at the end of an explanation."""
        return next((culprit for name in _ROOT.findall(self._text) if (culprit := self._requirement(name))), None)

    def _twice(self) -> Requirement | None:
        return next(
            (w for name in _ROOT.findall(self._text) if (w := self._requirement(name)) and len(self._all(w.name)) > 1),
            None,
        )

    def _mentioned(self) -> Requirement | None:
        words = {canonicalize_name(word) for word in re.findall(_NAMED, self._text)}
        return self._root() or next((each for each in self._requirements.requested if each.name in words), None)


def _allows(spec: str, version: str) -> bool:
    try:
        return SpecifierSet(spec.rstrip(".,")).contains(Version(version), prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return True


def _named(culprit: Requirement | None) -> str:
    return f"{at(culprit.file, culprit.line)}:" if culprit else "requirements.txt:"


def _what(culprit: Requirement | None) -> str:
    return culprit.shown if culprit else "a package"


def _host(url: str) -> str:
    found = re.match(r"https?://(?:[^/@]*@)?([^/]+)", url)
    return found[1].lower() if found else ""
