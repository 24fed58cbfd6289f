"""Requests of people who are logged in: what Airflow gets, what comes back, and when."""

from __future__ import annotations

import http.client
import threading

import pytest

from waiting import wait_for


def sent(answer, name):
    return [value for key, value in answer.document["headers"] if key == name]


@pytest.mark.parametrize(("name", "private"), [("three", False), ("two", False), ("private", True), ("both", True)])
def test_airflow_gets_the_gateway_s_token_and_no_cookie_of_ours(world, name, private):
    cookie = world.log_in(name, "Viewer", private=private)
    answer = world.ask("GET", "/a/b?c=%2F&c=2", name=name, private=private, cookie=f"theme=dark; {cookie}; x=y=z")
    assert answer.status == 200
    assert (answer.document["path"], answer.document["query"]) == ("/a/b", "c=%2F&c=2")
    claims = world.claims(answer, name)
    assert (claims["sub"], claims["role"], claims["aud"]) == ("user/ada", "Viewer", f"env:{name}")
    assert claims["exp"] - claims["iat"] == 60
    assert sent(answer, "cookie") == ["theme=dark; x=y=z"]
    assert sent(answer, "host") == [world.host(name, private=private)]
    assert sent(answer, "x-forwarded-proto") == ["https"]
    assert sent(answer, "x-forwarded-for") == ["127.0.0.1"]


def test_identity_that_a_client_sends_never_arrives(world):
    cookie = world.log_in(role="Viewer")
    forged = {
        "Authorization": "Bearer forged",
        "X_Forwarded_For": "6.6.6.6",
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-User": "admin",
        "Forwarded": "for=6.6.6.6",
        "X-Real-IP": "6.6.6.6",
        "X-Aerodrome-Role": "Admin",
        "Remote-User": "admin",
        "X-Remote-User": "admin",
        "SCRIPT_NAME": "/execution",
        "PATH_INFO": "/execution",
        "REMOTE_USER": "admin",
        "Connection": "x-hop",
        "X-Hop": "1",
        "TE": "trailers",
        "Proxy-Authorization": "Basic eA==",
        "Cookie": cookie,
    }
    connection = world.connect()
    connection.request("GET", "/x", headers=forged)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    text = body.decode()
    for never in ("6.6.6.6", "admin", "forged", "execution", "hop", "Basic", "trailers"):
        assert never not in text


def test_a_listener_answers_its_own_environments_only(world):
    assert world.ask("GET", "/", name="private").status == 404
    assert world.ask("GET", "/", name="three", private=True).status == 404
    assert world.ask("GET", "/", name="both").status == 401
    assert world.ask("GET", "/", name="both", private=True).status == 401


@pytest.mark.parametrize(
    "host",
    ["localhost", "evil.example", "00000000.us-east-1.airflow.localhost", "{id}.evil.example", "{id}", "", "a\tb"],
)
def test_hosts_that_name_no_environment(world, host):
    host = host.format(id=world.environment("three").identifier)
    assert world.ask("GET", "/", host=host).status in {400, 404}
    assert not world.reached


def test_one_connection_serves_many_requests(world):
    cookie = world.log_in()
    connection = world.connect()
    for number in range(20):
        connection.request("POST", f"/{number}", body=b"x" * number, headers={"Cookie": cookie})
        response = connection.getresponse()
        assert response.status == 200
        assert b'"length": %d' % number in response.read()
    connection.close()


def test_a_stream_is_not_held_back(world):
    cookie = world.log_in()
    connection = world.connect()
    connection.request("GET", "/stream", headers={"Cookie": cookie})
    response = connection.getresponse()
    assert response.readline() == b'{"line": 1}\n'  # the second line is not written before this one is read
    world.airflow.step.set()
    assert response.read() == b'{"line": 2}\n'
    connection.close()


@pytest.mark.parametrize("path", ["/endless", "/silent"])
def test_a_client_that_leaves_ends_its_request(world, path):
    cookie = world.log_in()
    connection = world.connect()
    connection.request("GET", path, headers={"Cookie": cookie})
    wait_for("Airflow has seen it", lambda: f"GET {path}" in world.airflow.seen)
    connection.close()
    assert world.airflow.left.wait(30)


def test_an_answer_that_breaks_off_is_seen_to(world):
    cookie = world.log_in()
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        world.ask("GET", "/broken", cookie=cookie)


def test_airflow_s_cookies_stay_with_their_host_and_never_replace_ours(world):
    answer = world.ask("GET", "/cookies", cookie=world.log_in())
    assert answer.headers.get_all("set-cookie") == ["airflow_session=1; HttpOnly; Secure"]
    assert answer.headers["clear-site-data"] is None
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("location", "seen"),
    [
        ("/dags/x", "/dags/x"),
        ("https://HOST/dags?a=b", "/dags?a=b"),
        ("http://NAME/dags#x", "/dags#x"),
        ("https://evil.example/", None),
        ("//evil.example/", None),
        ("///evil.example/", None),
        ("/\\evil.example/", None),
        ("javascript:alert(1)", None),
    ],
)
def test_redirects_stay_on_the_host(world, location, seen):
    host = world.host("three")
    target = location.replace("HOST", host).replace("NAME", host.partition(":")[0])
    answer = world.raw(
        b"GET /redirect?" + target.replace("#", "%23").encode() + b" HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n"
        b"Cookie: " + world.log_in().encode() + b"\r\n\r\n"
    )
    status = answer.split()[1]
    if seen is None:
        assert status == b"502"
        assert b"evil" not in answer
        assert b"javascript" not in answer
    else:
        assert status == b"302"
        assert b"location: " + seen.replace("#", "%23").encode() + b"\r\n" in answer


def test_a_web_server_that_is_not_up(world):
    answer = world.ask("GET", "/", name="down", cookie=world.log_in("down"))
    assert answer.status == 503
    assert answer.headers["retry-after"] == "2"
    assert str(world.settings.data) not in answer.body.decode()
    assert "sock" not in answer.body.decode()


def test_a_large_upload_streams_and_an_overlong_one_is_refused(world):
    cookie = world.log_in()
    body = b"\x00\xff" * (4 * 1024 * 1024)
    assert world.ask("POST", "/api/v2/variables", body=body, cookie=cookie).document["length"] == len(body)
    answer = world.raw(
        b"POST /api/v2/variables HTTP/1.1\r\nHost: HOST\r\nContent-Length: 104857600\r\nCookie: "
        + cookie.encode()
        + b"\r\n\r\n",
        seconds=60,
    )
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_writes_are_recorded_and_reads_are_not(world):
    cookie = world.log_in(role="User")
    world.entries.clear()
    world.ask("GET", "/api/v2/dags", cookie=cookie)
    world.ask("POST", "/api/v2/dags/a/dagRuns?conf=secret", body=b"{}", cookie=cookie)
    wait_for("an entry in the log", lambda: world.entries)
    [entry] = world.entries
    assert (entry.kind, entry.action, entry.allowed) == ("WEB_REQUEST", "POST /api/v2/dags/a/dagRuns", True)
    assert (entry.principal, entry.environment) == ("arn:aws:iam::000000000000:user/ada", "three")
    assert "secret" not in repr(entry)
    assert entry.detail == {"status": 200, "role": "User"}


def test_many_clients_at_once(world):
    cookie = world.log_in()
    statuses = []

    def many():
        connection = world.connect()
        for _ in range(20):
            connection.request("GET", "/x", headers={"Cookie": cookie})
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
        connection.close()

    threads = [threading.Thread(target=many) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 640
