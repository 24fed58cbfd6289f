"""What each role may do in REST and UI, the same on both lines; who the user is; and forgers, who get nothing."""

from __future__ import annotations

import re
import subprocess
import uuid

import pytest

ROLES = ("Public", "Viewer", "User", "Op", "Admin")

DAG = """
from datetime import datetime
try:
    from airflow.sdk import DAG
    from airflow.providers.standard.operators.empty import EmptyOperator
except ImportError:
    from airflow import DAG
    from airflow.operators.empty import EmptyOperator

with DAG("of_roles", start_date=datetime(2024, 1, 1), schedule=None, catchup=False):
    EmptyOperator(task_id="t")
"""

REST = {
    # what: (method, path, body, the lowest role that may); {new} is another name each time
    "read dags": ("GET", "/dags", None, "Viewer"),
    "read a dag": ("GET", "/dags/of_roles/details", None, "Viewer"),
    "read its tasks": ("GET", "/dags/of_roles/tasks", None, "Viewer"),
    "pause a dag": ("PATCH", "/dags/of_roles", {"is_paused": True}, "User"),
    "delete a dag": ("DELETE", "/dags/no_such_dag", None, "User"),
    "read runs": ("GET", "/dags/of_roles/dagRuns", None, "Viewer"),
    "trigger": ("POST", "/dags/of_roles/dagRuns", {"dag_run_id": "{new}"}, "User"),
    "delete a run": ("DELETE", "/dags/of_roles/dagRuns/no_such_run", None, "User"),
    "clear tasks": ("POST", "/dags/of_roles/clearTaskInstances", {"dry_run": True}, "User"),
    "read task instances": ("GET", "/dags/of_roles/dagRuns/~/taskInstances", None, "Viewer"),
    "read import errors": ("GET", "/importErrors", None, "Viewer"),
    "read warnings": ("GET", "/dagWarnings", None, "Viewer"),
    "read the audit log": ("GET", "/eventLogs", None, "Admin"),
    "read pools": ("GET", "/pools", None, "Viewer"),
    "make a pool": ("POST", "/pools", {"name": "{new}", "slots": 1}, "Op"),
    "delete a pool": ("DELETE", "/pools/no_such_pool", None, "Op"),
    "read connections": ("GET", "/connections", None, "Op"),
    "make a connection": ("POST", "/connections", {"connection_id": "{new}", "conn_type": "http"}, "Op"),
    "delete a connection": ("DELETE", "/connections/no_such_connection", None, "Op"),
    "read variables": ("GET", "/variables", None, "Op"),
    "set a variable": ("POST", "/variables", {"key": "{new}", "value": "1"}, "Op"),
    "delete a variable": ("DELETE", "/variables/no_such_variable", None, "Op"),
    "read plugins": ("GET", "/plugins", None, "Op"),
    "read providers": ("GET", "/providers", None, "Op"),
}

DENIED = 403

UI = {
    2: {
        "/home": "Viewer",
        "/dags/of_roles/grid": "Viewer",
        "/pool/list/": "Viewer",
        "/connection/list/": "Op",
        "/variable/list/": "Op",
        "/plugin": "Op",
        "/provider": "Op",
        "/configuration": "Op",
        "/users/list/": "Admin",
        "/roles/list/": "Admin",
    },
    3: {
        "/ui/dags": "Viewer",
        "/ui/dashboard/historical_metrics_data?start_date=2024-01-01T00:00:00Z": "Viewer",
        "/ui/grid/structure/of_roles": "Viewer",
        "/ui/connections/hook_meta": "Op",
    },
}


@pytest.fixture(scope="module", autouse=True)
def dag(environment, put, wait_for):
    put(environment, "of_roles", DAG)
    wait_for("the DAG", lambda: environment.rest("GET", "/dags/of_roles")[0] == 200)


def filled(environment, body):
    if body is None:
        return None
    name = uuid.uuid4().hex
    whole = {key: name if value == "{new}" else value for key, value in body.items()}
    return {**whole, "logical_date": None} if "dag_run_id" in whole and environment.version.line == 3 else whole


def lowest(statuses):
    """The lowest role that is not denied. Each higher role must be allowed too."""
    allowed = [role for role in ROLES if statuses[role] != DENIED]
    assert allowed == list(ROLES[len(ROLES) - len(allowed) :]), statuses
    assert 401 not in statuses.values(), statuses
    assert all(status < 500 for status in statuses.values()), statuses
    return allowed[0] if allowed else None


def test_each_role_may_do_in_rest_what_it_may_in_flask_appbuilder(environment):
    found, expected = {}, {}
    for what, (method, path, body, role) in REST.items():
        statuses = {one: environment.rest(method, path, role=one, body=filled(environment, body))[0] for one in ROLES}
        found[what] = lowest(statuses)
        expected[what] = role
    assert found == expected


def is_3_0(version):
    return version.number.startswith("3.0.")


def of(version, path):
    """The path in this version. 3.0 answers an unknown path with its start page, for everybody."""
    return "/ui/dags/recent_dag_runs" if path == "/ui/dags" and is_3_0(version) else path


def test_each_role_sees_in_the_ui_what_it_may(environment):
    for listed, role in UI[environment.version.line].items():
        path = of(environment.version, listed)
        statuses = {one: environment.call("GET", path, role=one)[0] for one in ROLES}
        allowed = [one for one in ROLES if statuses[one] == 200]
        assert allowed == list(ROLES[ROLES.index(role) :]), (path, statuses)


def test_the_ui_says_who_you_are_and_logs_out_at_the_gateway(environment):
    token = environment.keys.token("Viewer", sub="assumed-role/Data/alice")
    if environment.version.line == 3:
        if not is_3_0(environment.version):
            assert environment.call("GET", "/ui/auth/me", token=token)[1]["username"] == "assumed-role/Data/alice"
        status, headers = environment.head("GET", "/api/v2/auth/logout", token=token)
        assert (status, headers["location"]) == (307, "/aws_mwaa/logout")
        assert "set-cookie" not in headers
        return
    _, text, cookie = environment.page("/home", token=token)
    assert 'title="assumed-role/Data/alice' in text
    form = re.search(r'action="(/logout/)".*?name="csrf_token" value="([^"]+)"', text, re.DOTALL)
    assert form is not None
    sent = {"csrf_token": form.group(2)}
    assert environment.head("POST", form.group(1), token=token, form=sent)[0] == 400  # not the page's own session
    status, headers = environment.head("POST", form.group(1), token=token, form=sent, headers={"Cookie": cookie})
    assert (status, headers["location"]) == (302, "/aws_mwaa/logout")


def test_who_is_nobody_is_led_to_the_gateways_login(environment):
    path = "/api/v2/auth/login" if environment.version.line == 3 else "/login/"
    status, headers = environment.head("GET", path, token="")
    assert status in {302, 307}
    assert headers["location"] == "/aws_mwaa/aws-console-sso"


def test_who_may_not_is_not_sent_in_circles(environment):
    if environment.version.line == 3:
        pytest.skip("Airflow 3 answers 403 and sends nobody anywhere")
    status, headers = environment.head("GET", "/users/list/", role="Viewer")
    assert status == 302
    hops = [headers["location"]]
    while status == 302 and len(hops) < 5:
        status, headers = environment.head("GET", hops[-1], role="Viewer")
        hops.append(headers.get("location", ""))
    assert status == 200, hops


def test_who_has_no_right_at_all_is_told_so(environment):
    path, words = ("/home", "your user has no roles") if environment.version.line == 2 else ("/ui/dags", "Forbidden")
    status, text, _ = environment.page(of(environment.version, path), role="Public")
    assert status == 403
    assert words in text


def test_no_answer_sets_a_cookie_that_the_gateway_owns(environment):
    path = "/home" if environment.version.line == 2 else "/ui/dags"
    for role in ROLES:
        _, headers = environment.head("GET", of(environment.version, path), role=role)
        names = {cookie.partition("=")[0] for cookie in headers.get_all("set-cookie") or []}
        assert not names & {"session", "_token"}
        assert names <= {"airflow_session"}


def test_airflow_makes_no_token_of_its_own(environment):
    if environment.version.line == 2:
        assert environment.call("POST", "/api/v1/security/login", body={"username": "a", "password": "b"})[0] in {
            401,
            404,
            405,
        }
        return
    for role in ROLES:
        status, document = environment.call("POST", "/ui/auth/token", role=role, body={"token_type": "api"})
        if is_3_0(environment.version):
            assert status == 405  # it has no such page
            continue
        assert status == 403
        assert "CreateWebLoginToken" in document["detail"]


def test_a_role_that_an_admin_made_and_gave_stays_beside_the_tokens(environment):
    if environment.version.line == 3:
        pytest.skip("Airflow 3 has no roles of its own here")
    role = {"name": "PoolReader", "actions": [{"action": {"name": "can_read"}, "resource": {"name": "Pools"}}]}
    token = environment.keys.token("Public", sub="keeper")
    assert environment.rest("POST", "/roles", body=role)[0] == 200
    assert environment.rest("GET", "/pools", token=token)[0] == 403
    user = {"username": "keeper", "first_name": "keeper", "last_name": "-", "email": "keeper@aerodrome.invalid"}
    given = {**user, "roles": [{"name": "PoolReader"}, {"name": "Admin"}]}
    assert environment.rest("PATCH", "/users/keeper?update_mask=roles", body=given)[0] == 200

    assert environment.rest("GET", "/pools", token=token)[0] == 200
    assert environment.rest("GET", "/variables", token=token)[0] == 403
    roles = environment.rest("GET", "/users/keeper")[1]["roles"]
    assert {one["name"] for one in roles} == {"PoolReader", "Public"}


FORGE = """
import sys
from flask import Flask
from itsdangerous import URLSafeTimedSerializer
from airflow.www.session import AirflowSecureCookieSessionInterface as Interface
app = Flask("forger")
app.secret_key = sys.argv[1]
session = {"_user_id": "1", "_fresh": True, "csrf_token": "known"}
print(Interface().get_signing_serializer(app).dumps(session))
print(URLSafeTimedSerializer(app.secret_key, salt="wtf-csrf-token").dumps("known"))
"""


def test_a_session_signed_with_the_environments_own_key_is_nobodys(environment):
    if environment.version.line == 3:
        pytest.skip("Airflow 3 knows no sessions")
    assert environment.rest("GET", "/dags")[0] == 200  # there is a user now, and the first is an Admin
    command = [str(environment.context.interpreter), "-W", "ignore", "-c", FORGE, environment.context.secret_key]
    home = str(environment.context.home)
    done = subprocess.run(command, env={"HOME": home, "AIRFLOW_HOME": home}, capture_output=True, text=True, check=True)
    forged, csrf = done.stdout.splitlines()[-2:]
    cookie = {"Cookie": f"airflow_session={forged}"}

    # The session itself is believed, so that it is the user in it who is not.
    form = {"csrf_token": csrf}
    assert environment.head("POST", "/logout/", form=form, headers=cookie)[0] == 302
    status, headers = environment.head("GET", "/home", token="", headers=cookie)
    assert (status, headers["location"].partition("?")[0]) == (302, "/login/")
    assert environment.head("GET", "/api/v1/dags", token="", headers=cookie)[0] == 401


def test_a_cookie_with_a_forged_token_is_nobodys(environment):
    if environment.version.line == 2:
        pytest.skip("Airflow 2 reads no token from a cookie")
    secret = environment.context.jwt_secret
    for forged in (environment.keys.token("Admin", key=secret, algorithm="HS512"), "x.y.z", "."):
        status, _ = environment.head("GET", "/api/v2/dags", token="", headers={"Cookie": f"_token={forged}"})
        assert status in {401, 403}


@pytest.mark.parametrize(
    "header", ["REMOTE_USER", "Remote-User", "X-Remote-User", "X-Forwarded-User", "X-Airflow-User"]
)
def test_a_name_in_a_header_is_nobody(environment, header):
    path = environment.version.adapter.REST_PREFIX + "/dags"
    assert environment.head("GET", path, token="", headers={header: "admin-user"})[0] in {401, 403}
