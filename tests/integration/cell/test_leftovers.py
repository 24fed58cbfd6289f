"""A cell is ended without its help: nothing that it began goes on."""

from __future__ import annotations

from aerodrome.backends.local import leftovers
from aerodrome.backends.local.paths import CellPaths
from integration.cell import harness

RUNAWAY = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    print(os.getpid(), flush=True)
    time.sleep(3600)
os.wait()
time.sleep(3600)
"""


def test_what_has_left_its_units_session_ends_too(one_cell) -> None:
    cell = one_cell.start(one_cell.unit("runaway", RUNAWAY))
    runaway = int(harness.until(lambda: one_cell.text("runaway").partition("\n")[0], "the runaway's number"))
    one_cell.seen.add(runaway)

    leftovers.end([CellPaths(one_cell.folder)], None)
    assert [pid for pid in (cell, runaway) if not harness.dead(pid)] == []
