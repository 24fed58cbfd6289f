from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from aerodrome.sidecar.metrics import aggregation, statsd
from aerodrome.sidecar.metrics.aggregation import MINUTE, Aggregation
from aerodrome.sidecar.metrics.statsd import Stat

START = 1_800_000_000.0 - 1_800_000_000.0 % MINUTE


def measured(found):
    return {(each.name, each.minute): each.values for each in found}


@given(st.lists(st.tuples(st.integers(0, 299), st.sampled_from("ab"), st.sampled_from(["success", "failed"]))))
def test_each_finished_task_is_counted_in_its_minute_and_once(finished):
    sums, expected, counted = Aggregation(3), Counter(), Counter()
    taken = []
    for number, (second, dag, state) in enumerate(sorted(finished)):
        sums.add(Stat(f"ti.finish,dag_id={dag},task_id=t,state={state}", "c", 1.0), START + second)
        expected[dag, state, START + second // MINUTE * MINUTE] += 1
        taken += sums.take(START + second, is_early=number % 3 == 0)
    taken += sums.take(START + 400)
    for each in taken:
        known = dict(each.dimensions)
        counted[known["DAG"], known["State"], each.minute] += sum(value * n for value, n in each.values.items())
    assert counted == expected
    assert sums.take(START + 800) == []


def test_timers_are_in_the_unit_of_the_metric_and_gauges_move():
    sums = Aggregation(3)
    for stat in statsd.read(
        b"airflow.dag_processing.last_duration,file_name=d:1500|ms\nairflow.task.duration,dag_id=d,task_id=t:1500|ms\n"
        b"airflow.executor.open_slots:5|g\nairflow.executor.open_slots:-2|g\nairflow.ti.finish,dag_id=d,task_id=t,"
        b"state=failed:0|c",
        "airflow",
    ):
        sums.add(stat, START)
    assert measured(sums.take(START + 60)) == {
        ("DAGFileProcessingLastDuration", START): {1.5: 1},
        ("TaskInstanceDuration", START): {1500.0: 1},
        ("OpenSlots", START): {5.0: 1, 3.0: 1},
    }


def test_series_are_bounded_and_what_is_dropped_is_counted(monkeypatch):
    monkeypatch.setattr(aggregation, "MOST_SERIES", 10)
    sums = Aggregation(3)
    for number in range(30):
        sums.add(Stat(f"dagrun.schedule_delay,dag_id=d{number}", "ms", 1.0), START)
    for number in range(10_000):
        sums.add(Stat("dagrun.schedule_delay,dag_id=d1", "ms", float(number)), START)
    found = sums.take(START + 60)
    assert (len(found), sums.dropped) == (10, 20)
    assert max(len(each.values) for each in found) <= 50
    sums.add(Stat("dagrun.schedule_delay,dag_id=d25", "ms", 1.0), START + 60)
    assert len(sums.take(START + 120)) == 1


def test_a_thousand_dags_find_room():
    sums = Aggregation(3)
    for number in range(1000):
        sums.add(Stat(f"dag_processing.last_duration,file_name=dag_{number}", "ms", 1.0), START)
        sums.add(Stat(f"dag_processing.last_run.seconds_ago,file_name=dag_{number}", "g", 1.0), START)
        sums.add(Stat(f"dagrun.schedule_delay,dag_id=dag_{number}", "ms", 1.0), START)
    assert (len(sums.take(START + 60)), sums.dropped) == (3000, 0)


def test_a_clock_that_is_set_back_a_little_makes_no_new_minute():
    sums = Aggregation(3)
    for second in (61, 59, 62):
        sums.add(Stat("scheduler_heartbeat", "c", 1.0), START + second)
    assert measured(sums.take(START + 120)) == {("SchedulerHeartbeat", START + 60): {1.0: 3}}


@given(st.binary(max_size=300))
def test_whatever_dag_code_sends_is_read_or_passed_over(packet):
    sums = Aggregation(3)
    for stat in statsd.read(b"airflow." + packet, "airflow"):
        sums.add(stat, START)


def test_what_is_no_metric_is_passed_over():
    lines = ["a:1|s", "a:nan|g", "a:inf|ms", "a:1", "a:1|c|@0", "a:2|c|@0.5"]
    packet = "\n".join(["other.a:1|c", *(f"airflow.{line}" for line in lines)])
    assert list(statsd.read(packet.encode(), "airflow")) == [Stat("a", "c", 4.0)]
