"""The folders below tests/: in which order and process their tests run, and what each of them counted and took."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import pytest
from xdist.scheduler import LoadFileScheduling

import lines as airflow_lines

PRODUCT = "product"
CHANGING = "changing_product"
MORTAL = "mortal_product"
AIRFLOW = "airflow"
EMULATOR = "emulator"
DOOR = "door"

SHARED = {
    "tests/acceptance/test_bad_beginnings.py": CHANGING,
    "tests/acceptance/test_hibernation.py": PRODUCT,
    "tests/acceptance/test_life.py": PRODUCT,
    "tests/acceptance/test_mwaa_hook.py": PRODUCT,
    "tests/acceptance/test_scaling.py": PRODUCT,
    "tests/acceptance/test_terraform.py": PRODUCT,
    "tests/acceptance/test_updates.py": CHANGING,
    "tests/acceptance/test_upgrades.py": CHANGING,
    "tests/acceptance/movielist/test_notes.py": PRODUCT,
    "tests/acceptance/release/test_first_line.py": PRODUCT,
    "tests/acceptance/release/test_lines.py": PRODUCT,
    "tests/browser/test_web_login.py": PRODUCT,
    "tests/faults/test_changes.py": MORTAL,
    "tests/faults/test_deaths.py": MORTAL,
    "tests/faults/test_zones.py": MORTAL,
}
"""Files whose tests ask for what takes long to make → its name. One process runs all files of a name.

An Aerodrome costs a dozen seconds of a processor before its first environment. So there are no more than are needed for
no process to work on alone at the end.
"""

FOLDERS = {
    "tests/acceptance/airflow/": AIRFLOW,
    "tests/integration/aws/": EMULATOR,
    "tests/protocol/aws/": DOOR,
}
"""Folders in which all files share something → its name."""

STAYING = (
    "tests/acceptance/test_hibernation.py",
    "tests/acceptance/test_life.py",
    "tests/acceptance/test_mwaa_hook.py",
    "tests/acceptance/test_scaling.py",
    "tests/acceptance/release/test_lines.py",
    "tests/browser/test_web_login.py",
    "tests/acceptance/airflow/test_environment.py",
    "tests/acceptance/airflow/test_roles.py",
)
"""Files that share environments in what they share. They come last: others are slowed by those environments.

They go from version to version together, so an environment is made once, and ends before the next one's time.
"""

OF_BOTH = "tests/acceptance/test_mwaa_hook.py"
"""Needs the first two of those environments at once, and comes between those who need one."""

FIRST = (
    CHANGING,
    "tests/faults/cell/test_deaths.py",  # needs no Airflow, which the process before this one installs meanwhile
    MORTAL,
    PRODUCT,
    AIRFLOW,
    "tests/acceptance/test_dev.py",
    "tests/acceptance/release/test_requirements.py",
    "tests/acceptance/release/test_verification.py",
    "tests/acceptance/movielens/test_pipeline.py",
    EMULATOR,
    DOOR,
    "tests/contract/test_backend_lives.py",
)
"""What takes longest, in the order in which it begins; what begins last is to be short, or a process would be idle."""

LAST = ("protocol", "unit")
"""Tiers with short files."""

OUTCOMES = ("passed", "failed", "skipped", "error")
"""As pytest's own closing line calls them."""


def tier_of(nodeid: str) -> str:
    """The folder of a test: `tests/unit/cell/test_logs.py::test_x` is of `unit`."""
    return nodeid.partition("tests/")[2].partition("/")[0]


def unit_of(nodeid: str) -> str:
    """What one process runs as a whole: a file, or all files that share something."""
    file = nodeid.partition("::")[0]
    together = [name for folder, name in FOLDERS.items() if file.startswith(folder)]
    return SHARED.get(file) or (together[0] if together else file)


def order(nodeid: str) -> tuple[int, bool, float]:
    """What is to begin first has the lowest."""
    unit, tier, file = unit_of(nodeid), tier_of(nodeid), nodeid.partition("::")[0]
    others = len(FIRST) + (1 + LAST.index(tier) if tier in LAST else 0)
    place = FIRST.index(unit) if unit in FIRST else others
    return (place, True, _turn(nodeid)) if file in STAYING else (place, False, 0)


def _turn(nodeid: str) -> float:
    """When it is the turn of the version that a test names; a half is between the first and the second."""
    if nodeid.startswith(OF_BOTH):
        return 0.5
    named = re.search(r"\[.*?(\d+\.\d+\.\d+)", nodeid)
    known = (*airflow_lines.CHOSEN, *airflow_lines.MAIN)
    return known.index(named[1]) if named and named[1] in known else len(known)


class FilesTogether(LoadFileScheduling):
    """A file's tests run in one process, and so do the tests of files that share something."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


def lines(reports: Iterable[tuple[str, pytest.TestReport]]) -> list[str]:
    """A line for each tier: how many tests ended in which way, and the seconds that they took with their fixtures.

    The seconds are those of all processes together; three of them work at once under `make test`.
    """
    seconds: Counter[str] = Counter()
    counts: Counter[tuple[str, str]] = Counter()
    for outcome, report in reports:
        tier = tier_of(report.nodeid)
        seconds[tier] += report.duration
        counts[tier, outcome] += 1
    return [
        f"{tier:12}{', '.join(f'{counts[tier, each]} {each}' for each in OUTCOMES if counts[tier, each])}"
        f" in {seconds[tier]:.0f} s"
        for tier in sorted(seconds, key=lambda tier: seconds[tier])
    ]
