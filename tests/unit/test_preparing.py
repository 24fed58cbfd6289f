"""The installations that tests need end by standing still, and not by taking long."""

from __future__ import annotations

import disk


def test_a_slow_installation_goes_on_and_one_that_stands_still_ends():
    now = [0.0]
    going = disk.Progress(lambda: now[0])
    for done in range(100):
        now[0] += disk.STANDSTILL
        going.report("compile", done, 100)
        assert not going.stands_still()
    now[0] += disk.STANDSTILL
    going.report("compile", 99, 100)
    assert not going.stands_still()
    now[0] += 1
    assert going.stands_still()


def test_while_another_process_installs_nobody_gives_up():
    now = [0.0]
    going = disk.Progress(lambda: now[0])
    for _ in range(10):
        now[0] += disk.STANDSTILL
        going.report("wait", 0, 0)
        assert not going.stands_still()
