"""The front endpoint: which service a request is for, and that others' requests pass unchanged in both directions."""

from __future__ import annotations

import hashlib
import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from aerodrome.api import queries
from aerodrome.api.app import create_app
from aerodrome.api.dependencies import ApiDependencies
from protocol.api import raw
from protocol.api.serving import served

LARGE = 20 * 1024 * 1024


class Echo:
    """The AWS endpoint: tells what it was sent, or does as the path says."""

    def __init__(self) -> None:
        self.disconnected = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        path = scope["path"].removeprefix("/")
        if path == "large":
            await self._large(send)
        elif path == "endless":
            await self._endless(scope, receive, send)
        elif path == "broken":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        elif path.isdigit():
            headers = [(b"etag", b'"1"'), (b"location", b"http://127.0.0.1:1/nowhere"), (b"connection", b"x-hop")]
            headers += [(b"x-hop", b"1"), (b"x-amz-id-2", b"a"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
            headers += [(b"content-encoding", b"gzip")]
            await send({"type": "http.response.start", "status": int(path), "headers": headers})
            await send({"type": "http.response.body", "body": b""})
        else:
            await self._tell(scope, receive, send)

    async def _tell(self, scope: Scope, receive: Receive, send: Send) -> None:
        digest, length = hashlib.sha256(), 0
        try:
            async for chunk in Request(scope, receive).stream():
                digest.update(chunk)
                length += len(chunk)
        except ClientDisconnect:
            self.disconnected.set()
            return
        document = {
            "line": f"{scope['method']} {scope['raw_path'].decode()}?{scope['query_string'].decode()}",
            "headers": [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]],
            "length": length,
            "sha256": digest.hexdigest(),
        }
        body = json.dumps(document).encode()
        headers = [(b"content-length", str(len(body)).encode()), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _large(self, send: Send) -> None:
        headers = [(b"content-length", str(LARGE).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(LARGE // 65536):
            await send({"type": "http.response.body", "body": b"\x00\xff" * 32768, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _endless(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        request = Request(scope, receive)
        while not await request.is_disconnected():
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        self.disconnected.set()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def front(deps: ApiDependencies, echo: Echo) -> Iterator[int]:
    with (
        served(echo) as upstream,
        served(create_app(replace(deps, aws_endpoint_url=f"http://127.0.0.1:{upstream}/"))) as port,
    ):
        yield port


@pytest.mark.parametrize(
    "target",
    [
        "/bucket/a%2Fb/c+d%20e/%7Ef/../g//h;v=1",
        "/bucket/key?list-type=2&prefix=a%2Fb&empty=&flag",
        "/b/?delete",
        "//double//",
        "/b/%E2%82%AC%ff",
        "/b/./x",
        '/b/"quoted"<>|^`{}\\',
        "/b/a:b@c!$&'()*,=",
    ],
)
def test_path_and_query_pass_byte_for_byte(front: int, target: str) -> None:
    line, _, query = target.partition("?")
    answer = raw.ask(front, "GET", target, service="s3", X_Amz_Date="20261123T120000Z")

    assert answer.json["line"] == f"GET {line}?{query}"


def test_headers_pass_but_for_those_of_one_hop(front: int) -> None:
    answer = raw.ask(
        front,
        "PUT",
        "/bucket/key",
        body=b"12345",
        service="s3",
        Host="bucket.s3.localhost:4560",
        Connection="keep-alive, X-Private",
        X_Private="1",
        TE="trailers",
        Content_Encoding="aws-chunked",
        X_Amz_Meta_Name="a,  b",
        Expect="",
    )
    headers = dict(answer.json["headers"])

    assert headers["host"] == "bucket.s3.localhost:4560"
    assert headers["content-encoding"] == "aws-chunked"
    assert headers["x-amz-meta-name"] == "a,  b"
    assert headers["authorization"] == raw.signature("s3")
    assert headers["content-length"] == "5"
    assert (
        set(headers) & {"x-private", "te", "expect", "user-agent", "accept", "accept-encoding", "content-type"} == set()
    )
    assert answer.json["length"] == 5


def test_headers_in_utf_8_stay_so(front: int) -> None:
    answer = raw.ask(front, "GET", "/b/k", service="s3", X_Amz_Meta_Name="größe".encode())

    assert dict(answer.json["headers"])["x-amz-meta-name"].encode("latin-1").decode() == "größe"


def test_twenty_megabytes_pass_upwards(front: int) -> None:
    data = b"\x00\r\n0\r\n" * (LARGE // 6)
    answer = raw.ask(front, "PUT", "/bucket/large", body=data, service="s3")

    assert (answer.json["length"], answer.json["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert "transfer-encoding" not in dict(answer.json["headers"])


def test_twenty_megabytes_pass_downwards(front: int) -> None:
    answer = raw.ask(front, "GET", "/large", service="s3")

    assert answer.headers["content-length"] == str(LARGE)
    assert hashlib.sha256(answer.body).hexdigest() == hashlib.sha256(b"\x00\xff" * (LARGE // 2)).hexdigest()


def test_a_chunked_upload_stays_one(front: int) -> None:
    body = b"5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32: AA==\r\n\r\n"
    answer = raw.ask(front, "PUT", "/bucket/key", body=body, service="s3", Transfer_Encoding="chunked")

    assert answer.json["length"] == 11
    assert dict(answer.json["headers"])["transfer-encoding"] == "chunked"


def test_a_client_that_waits_for_continue_is_told_to_go_on(front: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", front, timeout=30)
    head = "PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n"
    head += f"Authorization: {raw.signature('s3')}\r\n"
    connection.connect()
    assert connection.sock is not None
    connection.sock.sendall(head.encode() + b"\r\n")
    interim = connection.sock.recv(65536)
    connection.sock.sendall(b"abc")
    response = http.client.HTTPResponse(connection.sock, method="PUT")
    response.begin()
    document = json.loads(response.read())
    response.close()
    connection.close()

    assert interim.startswith(b"HTTP/1.1 100 ")
    assert document["length"] == 3


def test_head_has_headers_and_no_body(front: int) -> None:
    answer = raw.ask(front, "HEAD", "/large", service="s3")

    assert (answer.status, answer.headers["content-length"], answer.body) == (200, str(LARGE), b"")


@pytest.mark.parametrize("status", [204, 304, 307, 404, 503])
def test_a_status_without_a_body_passes(front: int, status: int) -> None:
    answer = raw.ask(front, "GET", f"/{status}", service="s3")

    assert (answer.status, answer.body) == (status, b"")
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers.get_all("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["x-hop"] is None
    assert len(answer.headers.get_all("date", [])) == 1


def test_an_answer_that_breaks_off_breaks_off_here_too(front: int) -> None:
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        raw.ask(front, "GET", "/broken", service="s3")


def test_a_client_that_leaves_ends_the_download(front: int, echo: Echo) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", front, timeout=30)
    connection.request("GET", "/endless", headers={"Authorization": raw.signature("s3")})
    response = connection.getresponse()
    assert len(response.read(65536)) == 65536
    response.close()
    connection.close()

    assert echo.disconnected.wait(30)


def test_a_client_that_leaves_ends_the_upload(front: int, echo: Echo) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", front, timeout=30)
    headers = {"Authorization": raw.signature("s3"), "Content-Length": "1000000"}
    connection.putrequest("PUT", "/bucket/key")
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders(b"x" * 500_000)
    connection.close()

    assert echo.disconnected.wait(30)


@pytest.mark.parametrize("service", ["s3", "athena", "airflow-serverless", None])
def test_what_is_not_ours_passes(front: int, service: str | None) -> None:
    assert raw.ask(front, "POST", "/bucket?Action=x", body=b"", service=service).json["line"] == "POST /bucket?Action=x"


FORM = "application/x-www-form-urlencoded"
WEB_IDENTITY = b"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=a&WebIdentityToken=b"


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, bytes]]:
    """The requests that IAM or STS got: service, path and body."""
    found: list[tuple[str, str, bytes]] = []

    async def answer(_deps: ApiDependencies, service: str, request: Request, raw_path: str) -> Response:
        found.append((service, raw_path, await request.body()))
        return PlainTextResponse("ours")

    monkeypatch.setattr(queries, "answer", answer)
    return found


@pytest.mark.parametrize("service", ["iam", "sts"])
def test_iam_and_sts_are_ours(front: int, answered: list[Any], service: str) -> None:
    answer = raw.ask(front, "POST", "/", body=b"Action=x", service=service, Content_Type=FORM)

    assert answer.body == b"ours"
    assert answered == [(service, "/", b"Action=x")]


@pytest.mark.parametrize(
    ("service", "target", "body", "headers"),
    [
        ("sts", "/", WEB_IDENTITY, {"Content_Type": f"{FORM}; charset=utf-8"}),
        ("sts", "/", WEB_IDENTITY.replace(b"&Version=2011-06-15", b""), {"Content_Type": FORM.upper()}),
        ("sts", f"/?{WEB_IDENTITY.decode()}", b"", {}),
        ("sts", "/", b"Version=2011-06-15&Action=GetCallerIdentity", {"Content_Type": FORM}),
        ("iam", "/", b"Version=2010-05-08&Action=CreateUser&UserName=x", {"Content_Type": FORM}),
    ],
)
def test_unsigned_requests_for_iam_and_sts_never_reach_the_emulators(
    front: int, answered: list[Any], service: str, target: str, body: bytes, headers: dict[str, Any]
) -> None:
    assert raw.ask(front, "POST", target, body=body, service=None, **headers).body == b"ours"
    assert answered == [(service, "/", body)]


@pytest.mark.parametrize(
    ("target", "kind", "body"),
    [
        ("/", FORM, b"Action=SendMessage&Version=2012-11-05&MessageBody=" + b"x" * 60_000),
        ("/", FORM, b""),
        ("/", FORM, b"&" * 5000 + b"Action="),
        ("/", "text/plain", WEB_IDENTITY),
        ("/bucket", FORM, WEB_IDENTITY),
        ("/bucket?Version=2011-06-15", FORM, b"x"),
    ],
)
def test_other_unsigned_forms_pass_whole(front: int, answered: list[Any], target: str, kind: str, body: bytes) -> None:
    told = raw.ask(front, "POST", target, body=body, service=None, Content_Type=kind).json

    assert (told["length"], told["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert answered == []


@pytest.mark.parametrize("body", [b"Version=2011-06-15&x=" + b"y" * 300_000, b"z" * 100_000])
def test_a_large_body_that_nobody_signed_passes_nowhere(front: int, answered: list[Any], body: bytes) -> None:
    assert raw.ask(front, "POST", "/", body=body, service=None, Content_Type=FORM).status == 403
    assert answered == []


def test_mwaa_is_never_passed_on(front: int) -> None:
    answer = raw.ask(front, "GET", "/environments", Host="api.airflow.us-east-1.amazonaws.com")
    presigned = raw.presigned("GET", "/environments", f"127.0.0.1:{front}")

    assert answer.json == {"Environments": []}
    assert raw.ask(front, "GET", presigned, service=None).json == {"Environments": []}


@pytest.mark.parametrize(
    "target",
    ["/environments", "/environments/demo", "/environments/a/b", "/environments-x", "/restapi/demo", "/tags/arn%3Aaws"],
)
def test_mwaa_without_a_signature_is_refused_as_aws_does(front: int, target: str) -> None:
    answer = raw.ask(front, "PUT", target, body=b"{}", service=None)

    assert (answer.status, answer.error) == (403, "MissingAuthenticationTokenException")
    assert answer.json == {"message": "Missing Authentication Token"}


def test_mwaas_host_without_a_signature_is_refused_too(front: int) -> None:
    assert raw.ask(front, "GET", "/x", service=None, Host="env.airflow.eu-west-1.amazonaws.com").status == 403


def test_request_lines_in_absolute_form(front: int) -> None:
    host = "api.airflow.us-east-1.amazonaws.com"
    ours = raw.ask(front, "GET", f"http://{host}/environments?MaxResults=1", Host=host)
    theirs = raw.ask(
        front, "GET", "http://bucket.s3.amazonaws.com/a%2Fb?x=1", service="s3", Host="bucket.s3.amazonaws.com"
    )

    assert ours.json == {"Environments": []}
    assert theirs.json["line"] == "GET /a%2Fb?x=1"
    assert raw.ask(front, "GET", f"http://127.0.0.1:{front}", service=None).json["status"] == "ok"
    assert raw.ask(front, "GET", f"http://{host}/environments", Host="elsewhere").status == 400


@pytest.mark.parametrize("target", ["*", "host:443", "ftp://x/y"])
def test_request_lines_without_a_path(front: int, target: str) -> None:
    assert raw.ask(front, "OPTIONS", target).status == 400


def test_malformed_http_is_refused(front: int) -> None:
    assert raw.send(front, b"GET /\x00 HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert raw.send(front, b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert not raw.send(front, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 200_000).startswith(b"HTTP/1.1 200")
    assert raw.ask(front, "GET", "/_aerodrome/health", service=None).status == 200


def test_health_and_welcome(front: int) -> None:
    health = raw.ask(front, "GET", "/_aerodrome/health", service=None)
    page = raw.ask(front, "GET", "/", service=None, Accept="text/html,*/*", User_Agent="Mozilla/5.0")

    assert (health.status, health.json["status"], health.json["region"]) == (200, "ok", "us-east-1")
    assert raw.ask(front, "GET", "/", service=None).json["service"] == "aerodrome"
    assert f"http://127.0.0.1:{front}" in page.body.decode()
    assert page.headers["content-type"].startswith("text/html")
    assert raw.ask(front, "GET", "/", service=None, Host="bucket.s3.localhost").json["line"] == "GET /?"


@pytest.mark.parametrize("service", ["airflow", "s3", None])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://[evil"},
        {"Origin": "http://evil.example:4560", "Host": "evil.example:4560"},
        {"Origin": "http://localhost:4560", "Host": "evil.example:4560"},
        {"User_Agent": "Mozilla/5.0", "Host": "evil.example:4560"},
        {"Sec_Fetch_Site": "cross-site"},
    ],
)
def test_strangers_pages_are_refused(front: int, headers: dict[str, Any], service: str | None) -> None:
    answer = raw.ask(front, "GET", "/environments", service=service, **headers)

    assert (answer.status, answer.error) == (403, "AccessDeniedException")


@pytest.mark.parametrize(
    "origin", ["http://localhost:4560", "http://127.0.0.1:3000", "http://[::1]:1", "https://a.localhost"]
)
def test_pages_of_this_machine_are_not(front: int, origin: str) -> None:
    headers: dict[str, Any] = {"Origin": origin, "User_Agent": "Mozilla/5.0", "Sec_Fetch_Site": "cross-site"}

    assert raw.ask(front, "GET", "/environments", **headers).status == 200


@pytest.mark.parametrize(
    ("headers", "form"),
    [
        ({"X_Amz_Target": "AmazonAthena.ListWorkGroups"}, b'{"__type": "ServiceUnavailable", "message": "The AWS'),
        ({"Content_Type": "application/x-www-form-urlencoded; charset=utf-8"}, b"<ErrorResponse><Error><Code>Serv"),
        ({}, b"<Error><Code>ServiceUnavailable</Code><Message>The AWS endpoint behind Aerodrome cannot be reached"),
    ],
)
def test_an_endpoint_that_is_away_is_told_in_the_services_own_form(
    deps: ApiDependencies, headers: dict[str, Any], form: bytes
) -> None:
    with served(create_app(replace(deps, aws_endpoint_url="http://127.0.0.1:1"))) as port:
        answer = raw.ask(port, "POST", "/", body=b"x" * 100_000, service="athena", **headers)

    assert answer.status == 503
    assert answer.body.startswith(form)


def test_with_the_real_aws_clients_are_sent_there(port: int) -> None:
    answer = raw.ask(port, "GET", "/bucket", service="s3")

    assert answer.status == 421
    assert b"send it to AWS itself" in answer.body
