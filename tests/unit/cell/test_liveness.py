"""When a unit counts as hung: in virtual time, on machines that sleep, stall and work for others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.cell import liveness
from aerodrome.cell.liveness import Observation, Pulse

BEAT = 5.0
LIVING = st.sampled_from("RSD")


def watched(sights: list[tuple[Observation, float]], pulse: Pulse = Pulse(beats=True)) -> Pulse:  # noqa: B008 - never changed
    for sight, seconds in sights:
        pulse = liveness.looked(pulse, sight, seconds)
    return pulse


def sight(*, beat: bool = False, trouble: str = "", state: str = "S") -> Observation:
    return Observation(beat, trouble, state)


def looks(seconds: float, **seen: object) -> list[tuple[Observation, float]]:
    """One look a second for so long."""
    return [(sight(**seen), 1.0)] * round(seconds)  # type: ignore[arg-type]


def test_a_unit_that_beats_lives():
    pulse = watched([*looks(BEAT - 1), (sight(beat=True), 1.0)] * 100)
    assert liveness.verdict(pulse) == ""
    assert not liveness.is_doubtful(pulse)


def test_silence_is_shown_and_then_ends_the_unit():
    doubtful = watched(looks(liveness.SHOWN_AFTER))
    assert (liveness.is_doubtful(doubtful), liveness.verdict(doubtful)) == (True, "")
    assert "no sign of life for 30 s" in liveness.verdict(watched(looks(liveness.SILENT_AFTER)))


def test_one_beat_ends_a_silence():
    pulse = watched([*looks(liveness.SILENT_AFTER - 1), (sight(beat=True), 1.0), *looks(liveness.SILENT_AFTER - 1)])
    assert liveness.verdict(pulse) == ""


def test_a_unit_that_never_beats_is_not_missed():
    pulse = watched(looks(10_000), Pulse())
    assert (liveness.verdict(pulse), liveness.is_doubtful(pulse)) == ("", False)


@pytest.mark.parametrize("beats", [True, False])
def test_a_stopped_process_is_told_and_ended_whether_it_beats_or_not(beats):
    assert liveness.is_doubtful(watched(looks(3, state="T"), Pulse(beats=beats)))
    pulse = watched(looks(liveness.STOPPED_AFTER, state="T"), Pulse(beats=beats))
    assert "stopped by a signal" in liveness.verdict(pulse)


def test_a_process_that_goes_on_was_not_stopped():
    almost = looks(liveness.STOPPED_AFTER - 1, state="T")
    assert liveness.verdict(watched([*almost, *looks(1), *almost], Pulse())) == ""


def computing(seconds: float, since: float, share: float = 1.0) -> list[tuple[Observation, float]]:
    """One look a second at a silent unit that uses this share of a processor."""
    return [(sight(state="R")._replace(computed=since + share * (second + 1)), 1.0) for second in range(round(seconds))]


def test_what_computes_without_a_beat_has_less_time():
    first = (sight(beat=True)._replace(computed=1000.0), 1.0)
    assert liveness.verdict(watched([first, *computing(liveness.COMPUTED_AFTER - 1, 1000.0)])) == ""
    assert "in which it computed" in liveness.verdict(watched([first, *computing(liveness.COMPUTED_AFTER, 1000.0)]))
    assert liveness.verdict(watched([first, *computing(liveness.COMPUTED_AFTER, 1000.0, share=0.5)])) == ""


def test_what_many_threads_computed_between_two_beats_is_no_silence():
    first = (sight(beat=True)._replace(computed=1000.0), 1.0)
    assert liveness.verdict(watched([first, *computing(BEAT - 1, 1000.0, share=64.0)])) == ""


def test_what_an_adopted_unit_computed_before_does_not_count():
    assert liveness.verdict(watched(computing(liveness.COMPUTED_AFTER, 1e6, share=0.5))) == ""


def test_a_debugger_may_stop_a_process():
    assert liveness.verdict(watched(looks(10_000, state="t"))) == ""


def test_what_waits_in_the_kernel_is_waited_for():
    assert liveness.verdict(watched(looks(10_000, state="D"))) == ""


def test_a_complaint_of_its_own_watchdog_ends_it_at_once():
    pulse = watched([(sight(beat=True, trouble="stuck"), 1.0)])
    assert liveness.verdict(pulse) == "hung: stuck"


@given(st.floats(0, 1e6), st.integers(0, 9))
def test_a_sleep_of_the_machine_or_of_the_cell_is_no_silence(slept, before):
    pulse = watched([*looks(before), (sight(), slept), *looks(5)])
    assert liveness.verdict(pulse) == ""


@given(st.lists(st.tuples(LIVING, st.floats(1, 60)), min_size=1, max_size=60))
def test_a_loaded_machine_delays_beats_and_looks_alike(rounds):
    """Each look is late by up to a minute; a beat comes with every tenth."""
    seen = [(sight(beat=number % 10 == 9, state=state), late) for number, (state, late) in enumerate(rounds)]
    assert liveness.verdict(watched(seen)) == ""


ANY = st.tuples(st.builds(sight, beat=st.booleans(), state=st.sampled_from("RSDTt")), st.floats(0, 4))


@given(st.lists(ANY, max_size=100), st.floats(0, 1e6))
def test_no_living_unit_is_ended_before_its_time(sights, total):
    """Whatever is seen: the end needs thirty silent seconds, or fewer that it computed for, or stopped ones."""
    pulse, silent, stopped, computed = Pulse(), 0, 0, 0.0
    for one, more in sights:
        total += more
        pulse = liveness.looked(pulse, one._replace(computed=total), 1.0)
        silent, computed = (0, 0.0) if one.beat else (silent + 1, computed + more)
        stopped = stopped + 1 if one.state == "T" else 0
        if liveness.verdict(pulse):
            busy = min(silent, computed) >= liveness.COMPUTED_AFTER
            assert busy or silent >= liveness.SILENT_AFTER or stopped >= liveness.STOPPED_AFTER
