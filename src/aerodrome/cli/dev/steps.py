"""What must happen for an environment to be as its folder is: the decision of each round. Pure.

A DAG is an object in the bucket, and the environment follows the bucket by itself. Requirements, plugins, startup
script, options and version are members of the environment: they change by UpdateEnvironment, one change at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum


class EnvironmentFile(StrEnum):
    """The files that are members of an environment; the values are the prefixes of MWAA's names for their members."""

    REQUIREMENTS = "Requirements"
    PLUGINS = "Plugins"
    STARTUP = "StartupScript"

    @property
    def path(self) -> str:
        """The member of the API that says where the file lies."""
        return f"{self.value}S3Path"

    @property
    def version(self) -> str:
        """The member of the API that says which version of it."""
        return f"{self.value}S3ObjectVersion"

    @property
    def key(self) -> str:
        """The object's name."""
        return {"Requirements": "requirements.txt", "Plugins": "plugins.zip", "StartupScript": "startup.sh"}[self.value]


class EnvironmentState(Enum):
    """How the environment is, as far as it decides what may be asked of it."""

    ABSENT = "absent"
    BUSY = "busy"
    SETTLED = "settled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What the folder and the command line say."""

    dags: Mapping[str, str]
    """Path among the DAGs → digest."""

    members: Mapping[EnvironmentFile, str]
    """Digest of each file that there is."""

    options: Mapping[str, str | None] = field(default_factory=dict)
    """Configuration options that were given; None removes one."""

    airflow: str | None = None
    """The Airflow version that was asked for; None = whichever it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """What the bucket holds, and what the environment was last asked to be, whether that worked or not."""

    dags: Mapping[str, str]
    members: Mapping[EnvironmentFile, str] | None
    """None = nothing has been asked for yet."""
    options: Mapping[str, str] = field(default_factory=dict)
    airflow: str | None = None
    state: EnvironmentState


@dataclass(frozen=True, slots=True)
class Put:
    """Put a DAG file into the bucket."""

    path: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a DAG file from the bucket."""

    path: str


@dataclass(frozen=True, slots=True)
class Create:
    """Create the environment."""


@dataclass(frozen=True, slots=True)
class Update:
    """Ask for a change of the environment; at least one of these differs."""

    members: tuple[EnvironmentFile, ...] = ()
    options: Mapping[str, str] | None = None
    """All options, as they must be; None = as they are."""
    airflow: str | None = None


Step = Put | Delete | Create | Update


def decide(wanted: Desired, given: Current) -> list[Step]:
    """The steps, in the order in which they are to be taken.

    Files are put before others are deleted, so that one that moved is never away; and the environment is asked for
    last, so that it finds them.
    """
    steps: list[Step] = [Put(path) for path in sorted(wanted.dags) if wanted.dags[path] != given.dags.get(path)]
    steps += [Delete(path) for path in sorted(given.dags) if path not in wanted.dags]
    match given.state:
        case EnvironmentState.ABSENT if given.members is None or _asks_for_more(wanted, given):
            steps.append(Create())
        case EnvironmentState.SETTLED if _asks_for_more(wanted, given):
            options = merged(wanted.options, given.options)
            steps.append(
                Update(
                    members=_changed(wanted, given),
                    options=options if options != given.options else None,
                    airflow=wanted.airflow if wanted.airflow not in {None, given.airflow} else None,
                )
            )
        case _:
            pass
    return steps


def merged(wanted: Mapping[str, str | None], now: Mapping[str, str]) -> dict[str, str]:
    """The options as they are to be: those that were given, over those that there are."""
    together = {**now, **wanted}
    return {name: value for name, value in together.items() if value is not None}


def _asks_for_more(wanted: Desired, given: Current) -> bool:
    return bool(
        _changed(wanted, given)
        or merged(wanted.options, given.options) != given.options
        or wanted.airflow not in {None, given.airflow}
    )


def _changed(wanted: Desired, given: Current) -> tuple[EnvironmentFile, ...]:
    members = given.members or {}
    return tuple(member for member in EnvironmentFile if wanted.members.get(member) != members.get(member))
