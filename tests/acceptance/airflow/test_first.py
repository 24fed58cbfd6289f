"""A whole environment of Airflow 1.10, which has a scheduler that parses, a web server, and no REST API."""

from __future__ import annotations

import contextlib
import re
import stat
import subprocess
from datetime import UTC, datetime

import psutil
import pytest

from aerodrome.airflow import metadata, units
from aerodrome.airflow.metadata import DatabaseQuery

ROLES = ("Public", "Viewer", "User", "Op", "Admin")

HOSTS = {units.hostname(name, 1): name for name in ("worker-1", "worker-2")}
"""What workers take for their hosts' names → the units."""

CHAIN = """
import os
import tempfile
from datetime import datetime

from airflow import DAG
from airflow.operators.python_operator import PythonOperator


def report():
    assert tempfile.gettempdir() == os.environ["TMPDIR"]
    return os.environ["AIRFLOW_VERSION"]


with DAG("{name}", start_date=datetime(2024, 1, 1), schedule_interval="@once", is_paused_upon_creation=False) as dag:
    tasks = [PythonOperator(task_id="t%d" % number, python_callable=report) for number in range({length})]
    for before, after in zip(tasks, tasks[1:]):
        before >> after
"""

STUBBORN = """
import time
from datetime import datetime, timedelta

from airflow import DAG
from airflow.operators.python_operator import PythonOperator


def work(ti, **_):
    if ti.try_number == 1:
        time.sleep(3600)


with DAG("stubborn", start_date=datetime(2024, 1, 1), schedule_interval="@once", is_paused_upon_creation=False) as dag:
    PythonOperator(
        task_id="work", python_callable=work, provide_context=True, retries=1, retry_delay=timedelta(seconds=1)
    )
"""

UI = {
    "/home": "Viewer",
    "/tree?dag_id=chain": "Viewer",
    "/version": "Viewer",
    "/pool/list/": "Op",
    "/connection/list/": "Op",
    "/variable/list/": "Op",
    "/configuration": "Op",
    "/users/list/": "Admin",
    "/roles/list/": "Admin",
}
"""Page → the lowest role that sees it, as Airflow's own roles are."""


def write(environment, name, text):
    aside = environment.context.dags / f"{name}.tmp"
    aside.write_text(text)
    aside.rename(aside.with_suffix(".py"))


def states(environment, dag):
    query = "SELECT task_id, state, hostname FROM task_instance WHERE dag_id = %s ORDER BY task_id"
    return environment.execute(DatabaseQuery(query, (dag,)))


def location(headers):
    """Where a redirect leads; this line's web library writes its own host before each path."""
    return re.sub(r"^http://localhost/", "/", headers["location"])


@pytest.fixture(scope="module")
def chain(first, wait_for):
    """The name of a DAG whose one scheduled run has ended."""
    write(first, "chain", CHAIN.format(name="chain", length=3))
    query = DatabaseQuery("SELECT state FROM dag_run WHERE dag_id = 'chain' AND state IN ('success', 'failed')")
    assert wait_for("the run's end", lambda: first.execute(query), limit=180) == [("success",)]
    return "chain"


def test_every_unit_says_that_it_is_ready(first):
    assert set(first.ready_after) == {"scheduler", "web", "worker-1", "worker-2"}


def test_the_scheduler_is_healthy_in_the_database(first):
    [(kind, _, age)] = first.execute(metadata.running_jobs())
    assert kind == "SchedulerJob"
    assert age < metadata.HEARTBEAT_LIMIT


def test_a_scheduled_chain_succeeds_on_workers_with_names_of_their_own(first, chain):
    found = states(first, chain)
    assert [(task, state) for task, state, _ in found] == [(f"t{number}", "success") for number in range(3)]
    assert {host for _, _, host in found} <= set(HOSTS)


def test_a_task_on_a_killed_worker_is_retried(first, wait_for):
    write(first, "stubborn", STUBBORN)

    def running():
        found = [host for _, state, host in states(first, "stubborn") if state == "running"]
        return found[0] if found else None

    host = wait_for("the task on a worker", running)
    worker = HOSTS[host]
    first.launcher.kill(worker)
    died_at = datetime.now(UTC)
    unit = next(unit for unit in first.units if unit["name"] == worker)
    first.launcher.start(unit)
    first.launcher.wait_ready(unit)
    for statement in metadata.age_heartbeats(first.version, host, died_at):
        first.execute(statement)
    wait_for("the task's end", lambda: [state for _, state, _ in states(first, "stubborn")] == ["success"])
    query = "SELECT state, try_number FROM task_instance WHERE dag_id = 'stubborn'"
    assert first.execute(DatabaseQuery(query)) == [("success", 2)]


def test_the_web_server_shows_the_log_of_a_task(first, chain):
    [(date,)] = first.execute(DatabaseQuery("SELECT execution_date FROM dag_run WHERE dag_id = %s", (chain,)))
    path = f"/get_logs_with_metadata?dag_id={chain}&task_id=t0&try_number=1&metadata=null"
    status, document = first.call("GET", f"{path}&execution_date={date.isoformat().replace('+', '%2B')}")
    assert status == 200
    assert f"Returned value was: {first.context.version}" in str(document["message"])


def test_a_changed_file_is_seen(first, wait_for):
    def shown():
        return set(re.findall(r"\bt\d\b", first.page("/graph?dag_id=changing")[1]))

    write(first, "changing", CHAIN.format(name="changing", length=1))
    wait_for("the DAG on its page", lambda: shown() == {"t0"})
    write(first, "changing", CHAIN.format(name="changing", length=2))
    wait_for("the second task on its page", lambda: shown() == {"t0", "t1"})


def test_a_broken_file_is_an_import_error_on_the_page(first, wait_for):
    write(first, "broken", "from airflow import DAG\ndef (:\n")
    try:
        wait_for("the error on the page", lambda: "Broken DAG" in first.page("/home")[1])
    finally:
        (first.context.dags / "broken.py").unlink()


@pytest.mark.usefixtures("chain")
@pytest.mark.parametrize("path", UI)
def test_each_role_sees_what_it_may(first, path):
    statuses = {role: first.head("GET", path, role=role)[0] for role in ROLES}
    allowed = [role for role in ROLES if statuses[role] == 200]
    assert allowed == list(ROLES[ROLES.index(UI[path]) :]), statuses
    assert {statuses[role] for role in ROLES if role not in allowed} <= {302}, statuses


@pytest.mark.usefixtures("chain")
def test_a_role_that_is_taken_away_is_gone_with_the_next_request(first):
    for role, expected in (("Admin", 200), ("Viewer", 302), ("Admin", 200)):
        assert first.head("GET", "/variable/list/", token=first.keys.token(role, sub="same-user"))[0] == expected


def test_who_is_nobody_is_led_to_the_gateways_login(first):
    status, headers = first.head("GET", "/login/", token="")
    assert (status, location(headers)) == (302, "/aws_mwaa/aws-console-sso")


def test_who_may_not_is_not_sent_in_circles(first):
    hops = ["/users/list/"]
    while len(hops) < 6:
        status, headers = first.head("GET", hops[-1], role="Viewer")
        if status != 302:
            break
        hops.append(location(headers))
    assert status == 200, hops
    assert hops[-1].startswith("/home")


def test_the_page_says_who_you_are_and_leads_to_the_gateways_logout(first):
    token = first.keys.token("Viewer", sub="assumed-role/Data/alice")
    _, text, cookie = first.page("/home", token=token)
    assert "assumed-role/Data/alice" in text
    assert cookie.partition("=")[0] in {"", "airflow_session"}
    assert '"/logout/"' in text
    status, headers = first.head("GET", "/logout/", token=token)
    assert (status, location(headers)) == (302, "/aws_mwaa/logout")


def forgeries(environment):
    """Tokens that are wrong in one way each."""
    keys, context = environment.keys, environment.context
    other = type(keys)()
    return {
        "nothing": "",
        "garbage": "x.y.z",
        "another key": keys.token("Admin", key=other.private),
        "no signature": keys.token("Admin", key="", algorithm="none"),
        "the secret of its web sessions": keys.token("Admin", key=context.secret_key, algorithm="HS256"),
        "another environment": keys.token("Admin", aud="env:other"),
        "another issuer": keys.token("Admin", iss="someone"),
        "expired": keys.token("Admin", iat=1, nbf=1, exp=60),
        "no end": keys.token("Admin", exp=None),
        "no audience": keys.token("Admin", aud=None),
        "an unknown role": keys.token("Root"),
        "no user": keys.token("Admin", sub=None),
    }


def test_forged_tokens_are_nobodys(first):
    answers = {what: first.head("GET", "/home", token=token)[0] for what, token in forgeries(first).items()}
    assert set(answers.values()) == {302}, answers


FORGE = """
import sys
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
app = Flask("forger")
app.secret_key = sys.argv[1]
session = {"user_id": "1", "_user_id": "1", "_fresh": True}
print(SecureCookieSessionInterface().get_signing_serializer(app).dumps(session))
"""


@pytest.mark.parametrize("name", ["session", "airflow_session"])
def test_a_session_signed_with_the_environments_own_key_is_nobodys(first, name):
    assert first.head("GET", "/users/list/")[0] == 200  # there is a user now, and the first is an Admin
    command = [str(first.context.interpreter), "-W", "ignore", "-c", FORGE, first.context.secret_key]
    done = subprocess.run(command, env={"HOME": str(first.context.home)}, capture_output=True, text=True, check=True)
    cookie = {"Cookie": f"{name}={done.stdout.splitlines()[-1]}"}
    assert first.head("GET", "/users/list/", token="", headers=cookie)[0] == 302


@pytest.mark.parametrize("header", ["REMOTE_USER", "Remote-User", "X-Remote-User", "X-Forwarded-User"])
def test_a_name_in_a_header_is_nobody(first, header):
    assert first.head("GET", "/home", token="", headers={header: "admin-user"})[0] == 302


@pytest.mark.parametrize("role", ["Admin", ""])
def test_the_experimental_api_is_closed(first, role):
    token = first.keys.token(role) if role else ""
    for path in ("/api/experimental/test", "/api/experimental/pools", "/api/experimental/dags/chain/dag_runs"):
        assert first.head("GET", path, token=token)[0] == 403


def test_the_web_socket_belongs_to_its_user_alone(first):
    mode = first.context.web_socket.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.usefixtures("chain")
def test_no_process_holds_a_secret_in_environment_or_command_line(first):
    context = first.context
    secrets = (context.database.password, context.jwt_secret, context.secret_key, context.fernet_key)
    seen = 0
    for process, _ in first.launcher.running.values():
        for each in (psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):  # the scheduler parses in processes that soon end
                text = " ".join([*each.environ(), *each.environ().values(), *each.cmdline()])
                assert not any(secret in text for secret in secrets)
                assert "PYTHONDONTWRITEBYTECODE" not in text
                seen += 1
    assert seen >= len(first.units)
