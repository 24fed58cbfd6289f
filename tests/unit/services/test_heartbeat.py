from __future__ import annotations

from aerodrome.services import heartbeat


def test_who_beats_is_not_silent(tmp_path):
    file, now = tmp_path / "beat", [100.0]
    assert heartbeat.silent(file, lambda: now[0]) == 0
    heartbeat.begin(file, lambda: now[0])
    now[0] = 131.5
    assert heartbeat.silent(file, lambda: now[0]) == 31.5
    heartbeat.beat(file, lambda: now[0])
    assert heartbeat.silent(file, lambda: now[0]) == 0


def test_a_beat_of_before_the_machine_started_tells_nothing(tmp_path):
    file = tmp_path / "beat"
    heartbeat.begin(file, lambda: 5000.0)
    assert heartbeat.silent(file, lambda: 10.0) == 0


def test_what_is_silent_at_several_looks_hangs():
    silence = heartbeat.Silence()
    long = heartbeat.SILENCE + 1
    seen = [silence.hangs(seconds) for seconds in (0, long, long, 0, long, long, long, long)]
    assert seen == [False] * 6 + [True, False]
