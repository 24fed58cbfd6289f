"""Web login: as a browser and as MwaaHook do it, once, in time, in the right place, until it is revoked."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from aerodrome.ledger.logins import SESSION_LIFETIME
from aerodrome.model.lifecycle import Event
from waiting import wait_for

FORM = "application/x-www-form-urlencoded"


def post(world, token, path="/aws_mwaa/login", name="three", **headers):
    return world.ask("POST", path, name=name, body=f"token={token}", content_type=FORM, **headers)


@pytest.mark.parametrize("path", ["/aws_mwaa/login", "/pluginsv2/aws_mwaa/login"])
@pytest.mark.parametrize(("name", "cookie"), [("three", "_token"), ("two", "session")])
def test_a_login_sets_the_cookie_of_its_line(world, path, name, cookie):
    answer = post(world, world.token(name, "Op"), path, name)
    assert answer.status == 200
    value = answer.headers["set-cookie"]
    assert value.startswith(f"{cookie}=")
    assert value.endswith("; Path=/; Max-Age=43200; Secure; HttpOnly; SameSite=Lax")
    assert answer.document == {"user": "user/ada", "role": "Op"}
    page = world.ask("GET", "/", name=name, cookie=value.partition(";")[0])
    assert world.claims(page, name)["role"] == "Op"


def test_the_session_of_airflow_3_is_a_bearer_token_of_the_rest_api_alone(world):
    secret = world.log_in().partition("=")[2]
    bearer = {"authorization": f"Bearer {secret}"}
    assert world.ask("GET", "/api/v2/dags", **bearer).status == 200
    assert (
        world.ask("POST", "/api/v2/dags/a/dagRuns", body=b"{}", origin="https://evil.example", **bearer).status == 200
    )
    assert world.ask("GET", "/dags", **bearer).status == 401
    two = world.log_in("two").partition("=")[2]
    assert world.ask("GET", "/api/v1/dags", name="two", authorization=f"Bearer {two}").status == 401
    assert world.ask("GET", "/api/v1/dags", name="two", cookie=f"session={two}").status == 200


@pytest.mark.parametrize("case", ["replayed", "expired", "swapped", "cli", "forged", "none", "twice", "long"])
def test_login_tokens_that_are_not_valid(world, case):
    token = world.token()
    if case == "replayed":
        assert post(world, token).status == 200
    elif case == "expired":
        world.later = timedelta(seconds=60)
    elif case == "swapped":
        token = world.token("two")
    elif case == "cli":
        token = world.token(role=None, kind="cli")
    elif case == "forged":
        token = token[:-1] + ("A" if token[-1] != "A" else "B")
    elif case == "none":
        token = ""
    elif case == "twice":
        token = f"{token}&token={token}"
    else:
        token = "x" * 5000
    answer = post(world, token)
    assert answer.status == 401
    assert answer.headers["set-cookie"] is None
    assert token[:20] not in answer.body.decode() or not token
    refused = world.entries[-1]
    assert (refused.kind, refused.allowed, refused.principal) == ("WEB_LOGIN", False, None)


def test_two_hundred_logins_at_once(world):
    tokens = [world.token() for _ in range(100)] * 2
    with ThreadPoolExecutor(50) as pool:
        statuses = sorted(pool.map(lambda token: post(world, token).status, tokens))
    assert statuses == [200] * 100 + [401] * 100


def test_a_session_is_good_for_its_environment_only(world):
    secret = world.log_in("three").partition("=")[2]
    for name, cookie in (("both", "_token"), ("two", "session"), ("three", "session")):
        assert world.ask("GET", "/", name=name, cookie=f"{cookie}={secret}").status == 401
    assert not world.reached


def test_a_cookie_that_another_page_added_does_not_lock_anybody_out(world):
    cookie = world.log_in()
    assert world.ask("GET", "/", cookie=f"_token=tossed; {cookie}").status == 200


def test_a_session_ends_after_twelve_hours(world):
    cookie = world.log_in()
    world.later = SESSION_LIFETIME - timedelta(seconds=30)
    assert world.ask("GET", "/", cookie=cookie).status == 200
    world.later = SESSION_LIFETIME + timedelta(seconds=1)
    assert world.ask("GET", "/", cookie=cookie).status == 401


def test_a_permission_that_is_withdrawn_ends_the_session_for_good(world, monkeypatch):
    monkeypatch.setattr("aerodrome.gateway.sessions.TRUSTED", 0.0)
    cookie = world.log_in(role="Admin")
    assert world.ask("GET", "/", cookie=cookie).status == 200
    world.granted.discard("Admin")
    assert world.ask("GET", "/", cookie=cookie).status == 403
    world.granted.add("Admin")
    assert world.ask("GET", "/", cookie=cookie).status == 401


def test_logging_out_after_a_permission_was_withdrawn_takes_the_cookie(world, monkeypatch):
    monkeypatch.setattr("aerodrome.gateway.sessions.TRUSTED", 0.0)
    cookie = world.log_in(role="Admin")
    world.granted.discard("Admin")
    answer = world.ask("GET", "/aws_mwaa/logout", cookie=cookie)
    assert answer.status == 200
    assert "Max-Age=0" in answer.headers["set-cookie"]


def test_what_iam_said_stands_for_a_moment_only(world):
    cookie = world.log_in()
    world.ask("GET", "/", cookie=cookie)
    world.logins.close_session(cookie.partition("=")[2])

    def another_answer():
        status = world.ask("GET", "/", cookie=cookie).status
        return status if status != 200 else None

    assert wait_for("another answer", another_answer) == 401


def test_nothing_of_a_deleted_environment_opens_its_namesake(world):
    pending, cookie = world.token("down"), world.log_in("down")
    for event in (Event.DELETE_REQUESTED, Event.REMOVED):
        world.ledger.request("down", event, world.now())
    recreate(world, "down")
    # Known within a second.
    wait_for("the environment is known", lambda: world.ask("GET", "/", name="down").status == 401)
    assert post(world, pending, name="down").status == 401
    assert world.ask("GET", "/", name="down", cookie=cookie).status == 401
    assert world.ask("GET", "/", name="down", cookie=world.log_in("down")).status == 503


def recreate(world, name):
    world.later = timedelta(seconds=1)
    spec = world.environment("three").spec
    world.ledger.create(name, spec, {}, sealed_secrets=b"", quota=10, now=world.now())


def test_logging_out_closes_the_session(world):
    cookie = world.log_in()
    answer = world.ask("GET", "/aws_mwaa/logout", cookie=cookie, accept="text/html", sec_fetch_site="same-origin")
    assert answer.status == 200
    assert "logged out" in answer.body.decode()
    assert answer.headers["set-cookie"].startswith("_token=; Path=/; Max-Age=0;")
    assert world.ask("GET", "/", cookie=cookie).status == 401
    assert [entry.kind for entry in world.entries] == ["WEB_LOGIN", "WEB_LOGOUT", "WEB_REQUEST"]


def test_another_site_s_page_logs_nobody_out(world):
    cookie = world.log_in()
    for site in ("cross-site", "same-site"):
        assert world.ask("GET", "/aws_mwaa/logout", cookie=cookie, sec_fetch_site=site).status == 403
    assert world.ask("GET", "/", cookie=cookie).status == 200


def test_airflow_2_s_own_login_and_logout_lead_to_ours(world):
    cookie = world.log_in("two")
    for path, to in (("/login/", "/"), ("/login", "/"), ("/logout/", "/aws_mwaa/logout")):
        answer = world.ask("GET", path, name="two", cookie=cookie)
        assert (answer.status, answer.headers["location"]) == (302, to)
    assert not world.reached


def test_whoever_is_not_logged_in_is_told_how(world):
    page = world.ask("GET", "/dags", accept="text/html,*/*")
    assert page.status == 401
    assert "aerodrome login" in page.body.decode()
    assert page.headers["content-type"].startswith("text/html")
    program = world.ask("GET", "/api/v2/dags", accept="application/json")
    assert (program.status, program.document["status"]) == (401, 401)
    assert not world.reached


def test_the_login_page_runs_its_own_script_alone(world):
    page = world.ask("GET", "/aws_mwaa/aws-console-sso?login=true", accept="text/html")
    assert page.status == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert not re.search(r"""\b(src|href|on\w+)=["']""", page.body.decode())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "https://HOST"}, 200),
        ({"sec_fetch_site": "same-origin"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://HOST"}, 403),
        ({"origin": "https://OTHER"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
    ],
)
def test_other_pages_change_nothing_in_a_person_s_name(world, headers, status):
    cookie = world.log_in()
    named = {
        key: value.replace("HOST", world.host("three")).replace("OTHER", world.host("both"))
        for key, value in headers.items()
    }
    assert world.ask("POST", "/api/v2/dags/a/dagRuns", body=b"{}", cookie=cookie, **named).status == status
    assert world.ask("GET", "/dags", cookie=cookie, **named).status == 200
    assert post(world, world.token(), **named).status == status


def test_a_login_takes_a_form_alone(world):
    answer = world.ask("POST", "/aws_mwaa/login", body='{"token": "x"}', content_type="application/json")
    assert answer.status == 415
    assert world.ask("GET", "/aws_mwaa/login").status == 404
