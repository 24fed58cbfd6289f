"""What Airflow cannot run with in another version: held even where a requirements.txt lifts the constraints.

`overlay` holds uv to it. The versions are the lock's. MWAA holds the same packages in its essential constraints. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from aerodrome.release.failures import REQUIREMENTS_CONFLICT, ReleaseError, at
from aerodrome.release.requirements import Requirements

_NAMES = frozenset(
    """
    apache-airflow apache-airflow-core apache-airflow-task-sdk billiard celery flask flask-appbuilder flask-babel
    flask-bcrypt flask-caching flask-jwt-extended flask-limiter flask-login flask-session flask-sqlalchemy flask-wtf
    fluent-logger gevent greenlet gunicorn kombu sqlalchemy sqlalchemy-jsonfield sqlalchemy-utils statsd vine watchtower
    """.split()  # noqa: SIM905 - thirty quoted words are harder to read
)
"""As on MWAA: Airflow, its web framework, its queue, its database, its logs and metrics."""

_OURS = frozenset({"apache-airflow-providers-celery", "apache-airflow-providers-fab"})
"""Providers that our workers and our sign-in are written for."""


@dataclass(frozen=True)
class BasePackage:
    """An installed package of the version, and what it needs."""

    name: str
    version: str
    needs: Sequence[str]
    """Requirements, as its metadata have them."""


def pins(base: Mapping[str, str]) -> dict[str, str]:
    """The installed packages that must stay as they are."""
    return {name: version for name, version in base.items() if name in _NAMES | _OURS}


def judge(
    base: Sequence[BasePackage], replaced: Mapping[str, str], requirements: Requirements, *, python: str
) -> tuple[str, ...]:
    """Notes on installed packages that ask for other versions than those that replace theirs (name to version).

    Raises ReleaseError if an essential package asks so, or if an essential package is to be replaced.
    """
    held = pins({each.name: each.version for each in base})
    for name, other in replaced.items():
        if name in held:
            raise _refused(requirements, name, f"{name} {other} would replace {name} {held[name]}, which Airflow "
                                               "cannot run without")  # fmt: skip
    notes = []
    for owner in base:
        if owner.name in replaced:
            continue
        for need in _needs(owner, python):
            name = str(canonicalize_name(need.name))
            version = replaced.get(name)
            if version is None or _fits(need, version):
                continue
            told = f"{owner.name} {owner.version}, which Airflow comes with, needs {need}"
            if owner.name in held:
                raise _refused(requirements, name, f"{name} {version} is asked for, and {told}")
            notes.append(f"{told}, and {name} is {version} by your requirements")
    return tuple(notes)


def _needs(owner: BasePackage, python: str) -> list[Requirement]:
    found = []
    for text in owner.needs:
        try:
            need = Requirement(text)
        except InvalidRequirement:
            continue
        here = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
        if need.marker is None or need.marker.evaluate(here):
            need.marker, need.extras = None, set()
            found.append(need)
    return found


def _fits(need: Requirement, version: str) -> bool:
    return version == OF_A_URL or need.specifier.contains(version, prereleases=True)


OF_A_URL = "of that URL"
"""Stands for the version of a source, which is not known before the source is built."""


def _refused(requirements: Requirements, name: str, what: str) -> ReleaseError:
    requirement = requirements.by_name.get(name)
    place = at(requirement.file, requirement.line) if requirement else "requirements.txt"
    return ReleaseError(
        f"{place}: {what}", code=REQUIREMENTS_CONFLICT,
        file=requirement.file if requirement else None, line=requirement.line if requirement else None, package=name,
    )  # fmt: skip
