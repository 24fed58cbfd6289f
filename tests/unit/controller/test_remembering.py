"""What the loop remembers of an environment goes with it."""

from __future__ import annotations

from types import SimpleNamespace

from aerodrome.controller.remembering import Remembering


def environment(name, identifier):
    return SimpleNamespace(name=name, identifier=identifier)


def test_nothing_of_an_environment_passes_to_the_next_of_its_name():
    remembering = Remembering()
    remembering.of(environment("one", "a")).faults = 2
    assert remembering.of(environment("one", "a")).faults == 2
    assert remembering.of(environment("one", "b")).faults == 0
    assert len(remembering) == 1


def test_what_is_gone_is_forgotten():
    remembering = Remembering()
    for name in ("one", "two"):
        remembering.of(environment(name, name)).faults = 1
    remembering.keep({"two"})
    assert len(remembering) == 1
    assert remembering.of(environment("two", "two")).faults == 1
