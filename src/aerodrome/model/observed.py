"""What a backend sees of an environment: facts at one moment, without judgement."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One long-running process as its cell reports it. `state` is a word of the cell's own table."""

    name: str
    state: str
    pid: int | None
    restarts: int
    status_text: str = ""
    last_exit: str = ""
    """How it ended last, in words; empty when it never did."""

    exited_at: float | None = None
    """When that was, in seconds since 1970."""

    @property
    def is_ready(self) -> bool:
        return self.state == "ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """How far the installation of an Airflow version is. `fraction` is 0..1 or None."""

    done: bool
    detail: str = ""
    fraction: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The facts that a plan is made from."""

    installation: Installation
    database: bool
    files: bool
    """The folders are all there."""

    traces: bool
    """Anything of it is on disk."""

    cell: bool
    leftovers: bool
    """Units run although their cell is dead; a new cell adopts them."""

    bereaved: bool = False
    """A worker has died and Airflow has not been told yet that its tasks died with it."""

    units: tuple[Unit, ...] = ()
    expected_units: frozenset[str] = frozenset()

    @property
    def all_ready(self) -> bool:
        """True when every unit that should run is there and ready."""
        ready = {unit.name for unit in self.units if unit.is_ready}
        return bool(self.expected_units) and self.expected_units <= ready
