"""What `aerodrome doctor` says of a machine, as `rendering` shows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much a finding matters: a `fail` stops Aerodrome, or the Airflow version that most people will ask for."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorFinding:
    """One line of the report."""

    subject: str
    level: Level
    found: str
    fix: str = ""
