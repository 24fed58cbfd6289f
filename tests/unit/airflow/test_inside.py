"""The parts inside Airflow's processes that need no Airflow."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import select
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import jwt
import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from aerodrome.airflow.inside.aerodrome_auth import permissions
from aerodrome.airflow.inside.aerodrome_auth.token import TokenVerifier
from aerodrome.airflow.inside.aerodrome_unit import (
    children,
    dag_code,
    notices,
    notify,
    roles,
    scheduler_pace,
    task_supervision,
    triggerer_pace,
    unreadable_sources,
)
from aerodrome.model.roles import AirflowRole

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def write(path, key, kid="k1"):
    document = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
    path.write_text(json.dumps({"keys": [{**document, "kid": kid}]}))


def token(*, key=KEY, kid="k1", **changes):
    now = int(time.time())
    claims = {"sub": "me", "role": "Op", "aud": "env:x", "iss": "aerodrome", "iat": now, "nbf": now, "exp": now + 60}
    claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": kid} if kid else None)


@pytest.fixture
def gateway(tmp_path):
    write(tmp_path / "jwks.json", KEY)
    return TokenVerifier(str(tmp_path / "jwks.json"), "aerodrome", "env:x")


def test_the_gateways_token_names_user_and_role(gateway):
    assert gateway.identify(token()) == ("me", "Op")


@pytest.mark.parametrize(
    "changes",
    [
        {"key": OTHER}, {"kid": "k2"}, {"kid": None}, {"aud": "env:y"}, {"aud": None}, {"iss": "x"}, {"iss": None},
        {"exp": 1}, {"exp": None}, {"iat": None}, {"nbf": None}, {"nbf": 9_999_999_999}, {"sub": None}, {"sub": ""},
        {"role": None}, {"role": "Root"}, {"role": "admin"},
    ],
)  # fmt: skip
def test_any_other_is_refused(gateway, changes):
    with pytest.raises(jwt.InvalidTokenError):
        gateway.identify(token(**changes))


@pytest.mark.parametrize("algorithm", ["HS256", "HS512", "none"])
def test_other_algorithms_are_refused(gateway, algorithm):
    forged = jwt.encode(
        {"sub": "me"}, "" if algorithm == "none" else "s" * 64, algorithm=algorithm, headers={"kid": "k1"}
    )
    with pytest.raises(jwt.InvalidTokenError, match="algorithm"):
        gateway.identify(forged)


@given(st.text(max_size=60))
def test_garbage_is_refused(text):
    with pytest.raises(jwt.InvalidTokenError):
        TokenVerifier("/nowhere", "aerodrome", "env:x").identify(text)


def test_a_replaced_key_file_is_read_again(gateway, tmp_path):
    gateway.identify(token())
    write(tmp_path / "new", OTHER, "k2")
    (tmp_path / "new").rename(tmp_path / "jwks.json")
    assert gateway.identify(token(key=OTHER, kid="k2")) == ("me", "Op")
    with pytest.raises(jwt.InvalidTokenError):
        gateway.identify(token())


def test_without_keys_everything_is_refused(tmp_path):
    with pytest.raises(jwt.InvalidTokenError, match="keys"):
        TokenVerifier(str(tmp_path / "absent"), "aerodrome", "env:x").identify(token())


WHAT = sorted({name.partition(".")[0] for name in permissions.NEEDED} | {"unheard_of"})


@given(st.sampled_from(WHAT), st.sampled_from(["GET", "POST", "PUT", "DELETE"]), st.sampled_from([None, "XCOM", "RUN"]))
def test_a_higher_role_may_do_what_a_lower_one_may(what, method, detail):
    answers = [permissions.allowed(role, what, method, detail) for role in permissions.LEVELS]
    assert answers == sorted(answers)
    assert not answers[0]
    assert answers[-1]


@pytest.mark.parametrize(
    ("role", "what", "method", "expected"),
    [
        ("Viewer", "dag", "GET", True),
        ("Viewer", "dag", "PUT", False),
        ("User", "dag", "POST", True),
        ("User", "connection", "GET", False),
        ("Op", "connection", "DELETE", True),
        ("Viewer", "pool", "GET", True),
        ("Viewer", "configuration", "GET", False),
        ("Op", "view", "GET", False),
        ("Public", "dag", "GET", False),
        ("Root", "dag", "GET", False),
    ],
)
def test_the_roles_are_those_of_airflow_2(role, what, method, expected):
    assert permissions.allowed(role, what, method) is expected


def test_what_is_unknown_is_for_admin_alone():
    assert [role for role in permissions.LEVELS if permissions.allowed(role, "unheard_of", "GET")] == ["Admin"]
    assert [role for role in permissions.LEVELS if permissions.sees(role, "UNHEARD_OF")] == ["Admin"]


@given(st.floats(0, 1e6), st.floats(0.1, 10))
def test_the_scheduler_never_rests_longer_than_configured(quiet, longest):
    assert min(scheduler_pace.SHORTEST, longest) <= scheduler_pace.rest(quiet, longest) <= longest


class Executor:
    def __init__(self):
        self.running = set()


class Runner:
    """As much of Airflow's scheduler as the pace touches."""

    def __init__(self):
        self._scheduler_idle_sleep_time = 0.5
        self.executors = [Executor()]


@pytest.fixture
def paced(monkeypatch):
    """A scheduler with our pace, the ear that it has, and the module of its class."""
    module = SimpleNamespace(time=time)
    monkeypatch.setitem(sys.modules, Runner.__module__, module)
    ear = SimpleNamespace(heard_at=notices.NEVER, wait=lambda seconds: seconds)
    return scheduler_pace.attentive(Runner, ear)(), ear, module


def test_an_idle_scheduler_rests_as_configured_and_a_busy_one_shorter(paced):
    runner, _, _ = paced
    assert runner._scheduler_idle_sleep_time == 0.5
    runner.executors[0].running.add("task")
    assert runner._scheduler_idle_sleep_time == scheduler_pace.SHORTEST
    runner.executors[0].running.clear()
    assert runner._scheduler_idle_sleep_time == 0.5


def test_a_scheduler_that_was_told_of_a_run_rests_shorter_for_a_while(paced):
    runner, ear, module = paced
    ear.heard_at = time.monotonic()
    assert runner._scheduler_idle_sleep_time == scheduler_pace.SHORTEST
    ear.heard_at -= 60
    assert runner._scheduler_idle_sleep_time == 0.5
    assert module.time.sleep(3) == 3  # it is the ear that waits
    assert module.time.monotonic is time.monotonic


@pytest.fixture
def triggers():
    """Airflow's class of triggers with our pace; in `rows` its table, in `looks` what looked through it."""
    rows, looks = [], []

    class Trigger:
        @classmethod
        def assign_unassigned(cls, triggerer, capacity, *, queues=None):
            looks.append(("assign", triggerer, capacity, queues))

        @classmethod
        def ids_for_triggerer(cls, triggerer):
            looks.append(("ids", triggerer))
            return list(rows)

        @classmethod
        def clean_unused(cls):
            looks.append("clean")

    triggerer_pace.look_only_if_there_are_any(Trigger, lambda: bool(rows))
    return Trigger, rows, looks


def one_round(trigger):
    trigger.assign_unassigned(7, 1000, queues=None)
    found = trigger.ids_for_triggerer(7)
    trigger.clean_unused()
    return found


def test_a_triggerer_without_triggers_looks_through_no_table(triggers):
    trigger, _, looks = triggers
    assert one_round(trigger) == []
    assert looks == []


def test_a_triggerer_looks_in_the_very_round_in_which_there_is_a_trigger(triggers):
    trigger, rows, looks = triggers
    one_round(trigger)
    rows.append(3)
    assert one_round(trigger) == [3]
    assert looks == [("assign", 7, 1000, None), ("ids", 7), "clean"]
    rows.clear()
    assert one_round(trigger) == []
    assert len(looks) == 3


def test_a_triggerer_of_airflow_2_which_cleans_first_cleans_at_its_start(triggers):
    trigger, _, looks = triggers
    trigger.clean_unused()
    assert looks == ["clean"]


class Connection:
    """As much of psycopg2's as the ear touches, on one end of a pair of sockets."""

    def __init__(self, channel):
        self.channel = channel
        self.near, self.far = socket.socketpair()
        self.notifies = []
        self.closed = False

    def fileno(self):
        return self.near.fileno()

    def poll(self):
        if not self.near.recv(10):
            raise OSError("the server has ended")
        self.notifies.append("news")

    def close(self):
        self.near.close()
        self.closed = True


def test_an_ear_hears_a_notice_and_outlives_its_connection():
    made = []

    def connect(channel):
        made.append(Connection(channel))
        return made[-1]

    ear = notices.NoticeListener("news", connect)
    ear.wait(0)
    assert (len(made), made[0].channel, ear.heard_at) == (1, "news", notices.NEVER)
    made[0].far.send(b"x")
    ear.wait(60)
    assert ear.heard_at > notices.NEVER
    assert made[0].notifies == []
    made[0].far.close()
    ear.wait(60)
    assert made[0].closed
    ear.wait(0)
    assert len(made) == 1  # not again so soon
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.send(b"x")
        ear.wait(60, reader.fileno())


def test_an_ear_without_a_database_waits_all_the_same():
    def connect(channel):
        raise OSError(channel)

    began = time.monotonic()
    notices.NoticeListener("news", connect).wait(0.05)
    assert time.monotonic() - began >= 0.05


def test_a_dag_processor_looks_when_its_sockets_or_a_notice_say_so(monkeypatch):
    heard = []
    monkeypatch.setattr(notices, "NoticeListener", lambda _: SimpleNamespace(wait=lambda *words: heard.append(words)))

    class Manager:
        selector = SimpleNamespace(fileno=lambda: 7)
        _processors: ClassVar = {"a file": SimpleNamespace(pid=os.getpid(), _open_sockets={1: "requests"})}

        def _service_processor_sockets(self, timeout=1.0):
            return timeout

    notices.parse_at_once(Manager)
    assert Manager()._service_processor_sockets(timeout=0.7) == 0.0
    assert Manager()._service_processor_sockets(timeout=0.0) == 0.0
    assert heard == [(0.7, 7)]


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="Linux tells of the end of a process")
def test_a_dag_processor_looks_when_a_process_ends_that_has_closed_its_sockets(monkeypatch):
    ends = []

    def wait(_, _seconds, *others):
        ends.extend(select.select(others, [], [], 60)[0])

    monkeypatch.setattr(notices.NoticeListener, "wait", wait)
    silent, nobody = socket.socketpair()
    child = subprocess.Popen([sys.executable, "-c", ""])

    class Manager:
        selector = silent
        _processors: ClassVar = {
            "ends": SimpleNamespace(pid=child.pid, _open_sockets={}, _process=object()),
            "is gone": SimpleNamespace(pid=2**22 + 1, _open_sockets={}, _process=object()),
        }

        def _service_processor_sockets(self, timeout=1.0):
            return timeout

    notices.parse_at_once(Manager)
    with silent, nobody, child:
        assert Manager()._service_processor_sockets(timeout=0.7) == 0.0
    assert len(ends) == 1
    assert ends[0] != silent.fileno()


def test_a_dag_processor_looks_when_its_companion_tells_of_an_end(monkeypatch):
    """The companion has reaped the process by then, so that its number leads nowhere."""
    waits = []
    monkeypatch.setattr(notices.NoticeListener, "wait", lambda _, *words: waits.append(words))

    class Manager:
        selector = SimpleNamespace(fileno=lambda: 7)
        _processors: ClassVar = {}

        def _service_processor_sockets(self, timeout=1.0):
            return timeout

    notices.parse_at_once(Manager)
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far:
        far.send(b'{"pid": 4194305}')
        forked = dag_code.ForkedProcess(near)
        Manager._processors["a file"] = SimpleNamespace(pid=forked.pid, _open_sockets={}, _process=forked)
        assert Manager()._service_processor_sockets(timeout=0.7) == 0.0
        assert waits == [(0.7, 7, near.fileno())]
        far.send(b'{"code": 0}')
        assert forked.has_ended()
        assert Manager()._service_processor_sockets(timeout=0.7) == 0.0
    assert len(waits) == 1, "it has ended, so there is nothing to wait for"


def test_every_role_of_the_units_is_known(version, make_context):
    for unit in version.adapter.units(make_context(version.number)):
        arguments = roles.parser().parse_args(unit["argv"][1:])
        assert arguments.role in roles.MODULES


def test_a_supervisor_without_sockets_looks_soon():
    class Supervised:
        def __init__(self):
            self._open_sockets = {1: "requests"}

        def _service_subprocess(self, max_wait_time):
            return max_wait_time

    task_supervision.end_promptly(Supervised)
    supervised = Supervised()
    assert supervised._service_subprocess(max_wait_time=5) == 5
    supervised._open_sockets = {}
    assert supervised._service_subprocess(max_wait_time=5) == task_supervision.LAST_LOOK


def test_a_supervisor_that_told_of_the_beginning_beats_one_interval_later():
    class Supervised:
        _last_heartbeat_attempt = _last_successful_heartbeat = 0.0

        def _on_child_started(self, *, ti):
            if ti is None:
                raise KeyError
            self._last_successful_heartbeat = 7.0

    task_supervision.beat_when_due(Supervised)
    supervised = Supervised()
    with pytest.raises(KeyError):
        supervised._on_child_started(ti=None)
    assert supervised._last_heartbeat_attempt == 0.0
    supervised._on_child_started(ti="task")
    assert supervised._last_heartbeat_attempt == 7.0


def test_a_supervisors_client_loads_no_certificate_and_trusts_none():
    class Client:
        @staticmethod
        def _get_ssl_context_cached(*_):
            raise AssertionError("loads certificates")

    task_supervision.trust_no_certificate(Client)
    context = Client._get_ssl_context_cached(None, None)
    assert context is Client._get_ssl_context_cached(None, None)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.get_ca_certs() == []
    task_supervision.trust_no_certificate(object)  # a version without that


def test_adapters_are_compiled_once_for_each_type():
    comms, runner = SimpleNamespace(TypeAdapter=None, ToTask=int | str), SimpleNamespace(TypeAdapter=None)
    older = SimpleNamespace()
    task_supervision.compile_once(comms, runner, older)
    made = comms.TypeAdapter(int | str)
    assert made is runner.TypeAdapter(int | str)
    assert made.validate_python(3) == 3
    assert runner.TypeAdapter(bytes).validate_python(b"3") == b"3"
    assert comms.TypeAdapter.cache_info().misses == 3  # JsonValue, ToTask, bytes
    assert not hasattr(older, "TypeAdapter")


@pytest.mark.parametrize(("code", "told"), [(0, 0), (7, 7), (-9, -9)])
def test_a_supervisor_follows_its_child_as_its_parent(code, told):
    supervisor = SimpleNamespace(psutil=psutil)
    children.follow_without_proc(supervisor)
    assert supervisor.psutil.Process().pid == os.getpid()
    ends, keep = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(keep)
        os.read(ends, 1)
        os._exit(max(code, 0))
    child = supervisor.psutil.Process(pid)
    with pytest.raises(psutil.TimeoutExpired):
        child.wait(timeout=0)
    child.send_signal(-code if code < 0 else 0)
    os.close(keep)
    os.close(ends)
    ended = child.wait()
    assert (ended, child.wait(timeout=0)) == (told, told)
    assert getattr(ended, "name", None) == ("SIGKILL" if code == -9 else None)
    with pytest.raises(psutil.NoSuchProcess):
        child.send_signal(0)


def test_a_child_that_somebody_else_has_reaped_has_no_code():
    pid = os.fork()
    if pid == 0:
        os._exit(3)
    os.waitpid(pid, 0)
    assert children.Child(pid, psutil).wait(timeout=0) is None


@given(st.lists(st.tuples(st.floats(0, 1000), st.booleans()), max_size=60))
def test_a_main_loop_stands_only_for_the_time_in_which_its_process_ran(looks):
    """Each look lasts so long, a beat as it is asked for; in some of them the loop comes round."""
    now, standing, still, moved_at = 0.0, 0.0, 0, 0.0
    for late, moves in looks:
        began, now = now + 0.001, now + 0.001 + notify.BEAT + late
        if moves:
            moved_at = (began + now) / 2
        standing = notify.stood(standing, moved_at, began, now)
        still = 0 if moves else still + 1
        assert standing <= still * 2 * notify.BEAT
        assert (standing >= still * notify.BEAT * 0.99) or moves


def test_a_unit_that_never_spoke_of_a_loop_has_none():
    assert notify.stood(500.0, None, 0.0, 5.0) == 0.0


def test_a_loop_that_may_wait_is_wrong_only_if_it_computes():
    longest = notify.LONGEST_TURN
    assert notify.complaint(1e6, longest, waits=True) == ""
    assert "computed for" in notify.complaint(0.0, longest + 1, waits=True)
    assert notify.complaint(notify.PATIENCE, 1e6, waits=False) == ""
    assert "not come round" in notify.complaint(notify.PATIENCE + 1, 0.0, waits=False)


@given(st.lists(st.tuples(st.floats(0, 4), st.booleans()), max_size=60))
def test_only_what_a_loop_has_computed_since_it_came_round_counts(looks):
    now, computing, expected, moved_at = 0.0, 0.0, 0.0, 0.0
    for used, moves in looks:
        began, now = now + 0.001, now + 5.001
        moved_at = (began + now) / 2 if moves else moved_at
        computing = notify.computed(computing, moved_at, began, now, used)
        expected = 0.0 if moves else max(0.0, expected + used - (now - began) * notify.WAITING_SHARE)
        assert computing == pytest.approx(expected)
    assert notify.computed(5.0, None, 0.0, 5.0, 5.0) == 0.0


def test_a_loop_that_waits_for_hours_never_computes_for_long():
    computing = 0.0
    for began in range(0, 12 * 3600, 2):
        computing = notify.computed(computing, -1.0, began, began + 2, 2 * notify.WAITING_SHARE)
    assert computing == pytest.approx(0.0)


@pytest.fixture
def pipe(monkeypatch):
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    monkeypatch.setenv(notify.VARIABLE, str(writer))
    monkeypatch.setattr(notify, "BEAT", 0.01)
    monkeypatch.setattr(notify, "PATIENCE", 0.05)
    monkeypatch.setattr(notify.faulthandler, "dump_traceback", lambda: None)
    was_on = gc.isenabled()
    yield reader
    os.close(reader)
    (gc.enable if was_on else gc.disable)()


def heard(reader, word, limit=20.0):
    text, deadline = b"", time.monotonic() + limit
    while word not in text and time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            text += os.read(reader, 4096)
        time.sleep(0.005)
    return text.decode().splitlines()


def test_a_unit_beats_before_and_after_it_is_ready_and_complains_of_its_loop(pipe, monkeypatch):
    notifier = notify.Notifier()
    assert notify.VARIABLE not in os.environ
    assert {*heard(pipe, b"WATCHDOG=1")} == {"WATCHDOG=1"}
    notifier.ready()
    notifier.ready()
    lines = heard(pipe, b"READY=1")
    assert lines.count("READY=1") == 1
    heard(pipe, b"WATCHDOG=1")
    notifier.moves()
    lines = heard(pipe, b"WATCHDOG=trigger")
    assert any(line.startswith("STATUS=its main loop has not come round for") for line in lines)
    notifier.moves()
    assert "WATCHDOG=1" in heard(pipe, b"WATCHDOG=1")
    monkeypatch.setattr(notify, "LONGEST_TURN", 0.05)
    monkeypatch.setattr(notify, "WAITING_SHARE", 0.0)  # a loaded machine gives no thread more
    notifier.moves(waits=True)
    ends = time.thread_time() + 0.2
    while time.thread_time() < ends:  # the main thread computes, and a loop that only waits does not
        pass
    lines = heard(pipe, b"WATCHDOG=trigger")
    assert any(line.startswith("STATUS=its main loop has computed for") for line in lines)
    notifier._close()


def test_a_dag_whose_source_is_no_text_is_an_import_error_and_is_not_saved(tmp_path, monkeypatch):
    class DagFileProcessor:
        @staticmethod
        def save_dag_to_db(dags, dag_directory, *, pickle_dags):
            assert (dag_directory, pickle_dags) == ("dags", False)
            saved.extend(dags)
            return {"other.py": "cannot be serialized"}

    saved: list[str] = []
    monkeypatch.setitem(
        sys.modules, "airflow.dag_processing.processor", SimpleNamespace(DagFileProcessor=DagFileProcessor)
    )
    monkeypatch.setitem(
        sys.modules,
        "airflow.utils.file",
        SimpleNamespace(
            open_maybe_zipped=lambda file, _: io.TextIOWrapper(io.BytesIO(Path(file).read_bytes()), "utf-8")
        ),
    )
    for name in ("airflow", "airflow.utils", "airflow.dag_processing"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(__path__=[]))
    good, latin = tmp_path / "good.py", tmp_path / "latin.py"
    good.write_text("# é")
    latin.write_bytes("# é".encode("latin-1"))
    dags = {path.stem: SimpleNamespace(fileloc=str(path)) for path in (good, latin, tmp_path / "gone.py")}

    unreadable_sources.report_unreadable()
    found = dict(DagFileProcessor.save_dag_to_db(dags=dags, dag_directory="dags", pickle_dags=False))

    assert saved == ["good", "gone"]
    assert set(found) == {"other.py", str(latin)}
    assert "UTF-8" in found[str(latin)]


def test_inside_an_interpreter_of_airflow_the_roles_are_those_that_iam_grants():
    assert list(permissions.LEVELS) == [str(role) for role in reversed(AirflowRole)]
