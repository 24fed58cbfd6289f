"""InvokeRestApi: what becomes of Airflow's answers, and the real call over a unix socket with a real token."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
import uvicorn
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from aerodrome import clock
from aerodrome.airflow import rest
from aerodrome.api import airflow_rest
from aerodrome.api.app import create_app
from aerodrome.api.dependencies import ApiDependencies
from aerodrome.backends.contract import WebServer
from aerodrome.backends.local import paths as local_paths
from aerodrome.backends.local import unit_sockets
from aerodrome.errors import CallerError, RetryError
from aerodrome.identity import tokens
from aerodrome.model.lifecycle import Status
from aerodrome.model.tenant import Tenant
from protocol.api.serving import Impatient, served


@pytest.fixture
def available(mwaa: Any, behind: Any, creation: dict[str, Any]) -> Any:
    mwaa.create_environment(**creation)
    behind.change("demo", status=Status.AVAILABLE)
    return mwaa


def test_status_and_document_come_back(available: Any, behind: Any) -> None:
    behind.rest_answer = (201, {"a": [1, None, {"b": 2.5}]})
    query, body = {"limit": 5, "tags": ["x", "y"]}, {"conf": {"größe": None}}
    answer = available.invoke_rest_api(
        Name="demo", Path="/dags/x/dagRuns", Method="POST", QueryParameters=query, Body=body
    )

    assert (answer["RestApiStatusCode"], answer["RestApiResponse"]) == (201, {"a": [1, None, {"b": 2.5}]})
    assert behind.rest_calls == [("demo", "POST", "/dags/x/dagRuns", query, body)]
    assert behind.rest_identities == [("user/admin", "Admin")]


@pytest.mark.parametrize(
    ("path", "parameters", "query"),
    [
        ("/dags?limit=5&tags=a&tags=b%20c&empty=", None, {"limit": ["5"], "tags": ["a", "b c"], "empty": [""]}),
        ("/dags?limit=5&tags=a", {"tags": ["b"], "x": 1}, {"limit": ["5"], "tags": ["a", "b"], "x": [1]}),
        ("/dags?", {"limit": 5}, {"limit": 5}),
        ("/dags?a=b?c#d", None, {"a": ["b?c#d"]}),
    ],
)
def test_a_query_in_the_path_joins_the_parameters(
    available: Any, behind: Any, path: str, parameters: Any, query: Any
) -> None:
    more = {} if parameters is None else {"QueryParameters": parameters}
    available.invoke_rest_api(Name="demo", Path=path, Method="GET", **more)

    assert behind.rest_calls == [("demo", "GET", "/dags", query, None)]


@pytest.mark.parametrize(
    ("path", "parameters"), [("/dags?a=%FF", {}), ("/dags?a=1", ["b"]), ("/dags?" + "&".join(["a=1"] * 101), {})]
)
def test_a_query_that_is_none(available: Any, behind: Any, path: str, parameters: Any) -> None:
    with pytest.raises(ClientError, match="QueryParameters"):
        available.invoke_rest_api(Name="demo", Path=path, Method="GET", QueryParameters=parameters)

    assert behind.rest_calls == []


@pytest.mark.parametrize(
    ("given", "sent"), [('{"conf": {"a": null}}', {"conf": {"a": None}}), ("[1]", [1]), ({"a": "{}"}, {"a": "{}"})]
)
def test_a_body_may_be_an_object_or_its_text(available: Any, behind: Any, given: Any, sent: Any) -> None:
    available.invoke_rest_api(Name="demo", Path="/dags/x/dagRuns", Method="POST", Body=given)

    assert behind.rest_calls == [("demo", "POST", "/dags/x/dagRuns", None, sent)]


@pytest.mark.parametrize("text", ["", "{", "NaN", "[" * 100_000])
def test_a_text_that_is_no_json_is_no_body(available: Any, behind: Any, text: str) -> None:
    with pytest.raises(ClientError, match="Body is a string that holds no JSON"):
        available.invoke_rest_api(Name="demo", Path="/dags", Method="POST", Body=text)

    assert behind.rest_calls == []


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (307, "RestApiClientException"),
        (404, "RestApiClientException"),
        (499, "RestApiClientException"),
        (500, "RestApiServerException"),
        (504, "RestApiServerException"),
    ],
)
def test_airflows_errors_keep_airflows_answer(available: Any, behind: Any, status: int, code: str) -> None:
    behind.rest_answer = (status, {"detail": "Airflow's own words"})
    with pytest.raises(ClientError) as error:
        available.invoke_rest_api(Name="demo", Path="/dags", Method="GET")

    answer: dict[str, Any] = {**error.value.response}
    assert answer["Error"]["Code"] == code
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert (answer["RestApiStatusCode"], answer["RestApiResponse"]) == (status, {"detail": "Airflow's own words"})


@pytest.mark.parametrize(
    ("problem", "code"),
    [(CallerError("Path is not one."), "ValidationException"), (RetryError("Away."), "InternalServerException")],
)
def test_a_call_that_was_not_made(available: Any, behind: Any, problem: Exception, code: str) -> None:
    behind.rest_answer = problem
    with pytest.raises(ClientError) as error:
        available.invoke_rest_api(Name="demo", Path="/dags", Method="GET")

    assert error.value.response["Error"] == {"Code": code, "Message": str(problem)}


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ({"Method": "HEAD"}, "'method'"),
        ({"Path": ""}, "'path'"),
        ({"Path": "/" + "x" * 2048}, "'path'"),
        ({"Name": "absent"}, "'absent' not found"),
    ],
)
def test_bad_members(available: Any, careless: Any, members: dict[str, Any], word: str) -> None:
    del available
    with pytest.raises(ClientError, match=word):
        careless.invoke_rest_api(**{"Name": "demo", "Path": "/dags", "Method": "GET", **members})


# -- the real call


async def airflow(scope: Scope, receive: Receive, send: Send) -> None:
    """Stands where Airflow's web server stands."""
    if scope["type"] != "http":
        return
    request = Request(scope, receive)
    response: Response
    match scope["path"].rpartition("/")[2]:
        case "slow":
            await asyncio.sleep(30)
            return
        case "large":
            response = PlainTextResponse(b"x" * (rest.RESPONSE_LIMIT + 1))
        case "deep":
            response = PlainTextResponse("[" * 900 + "]" * 900)
        case "many":
            response = PlainTextResponse(f"[{'[],' * (rest.RESPONSE_LIMIT // 4)}0]")
        case "nan":
            response = PlainTextResponse('{"value": NaN}')
        case "empty":
            response = Response(status_code=204)
        case "broken":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
            return
        case _:
            document = {
                "target": f"{request.method} {scope['raw_path'].decode()}?{scope['query_string'].decode()}",
                "token": request.headers["authorization"].removeprefix("Bearer "),
                "body": (await request.body()).decode(),
            }
            response = JSONResponse(document)
    await response(scope, receive, send)


@contextmanager
def on_socket(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        server = Impatient(uvicorn.Config(airflow, log_config=None, lifespan="off", timeout_graceful_shutdown=0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join(30)
    path.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def called(
    deps: ApiDependencies, key: rsa.RSAPrivateKey, behind: Any, client_of: Any, creation: dict[str, Any]
) -> Iterator[Any]:
    paths = deps.operations.settings.paths

    def web_server(tenant: Tenant) -> WebServer:
        return unit_sockets.WebServers().behind(local_paths.of(paths, tenant.name, tenant.identifier).web)

    caller = airflow_rest.Caller(minter=tokens.Minter(key), web_server=web_server, clock=clock.now)
    with served(create_app(replace(deps, operations=replace(deps.operations, rest=caller.call)))) as port:
        client = client_of("mwaa", f"http://127.0.0.1:{port}", inject_host_prefix=False)
        client.create_environment(**creation)
        behind.change("demo", status=Status.AVAILABLE)
        yield client


@pytest.fixture
def web_socket(called: Any, deps: ApiDependencies, behind: Any) -> Iterator[None]:
    del called
    row = behind.environments.rows["demo"]
    with on_socket(local_paths.of(deps.operations.settings.paths, "demo", row.identifier).web):
        yield
    shutil.rmtree(deps.operations.settings.paths.run)  # which is elsewhere when pytest's folder has a long path


@pytest.mark.usefixtures("web_socket")
def test_the_call_carries_a_token_of_this_environment(called: Any, key: rsa.RSAPrivateKey) -> None:
    answer = called.invoke_rest_api(
        Name="demo", Path="/dags/a%20b/dagRuns", Method="POST", QueryParameters={"limit": 1}, Body={"x": None}
    )["RestApiResponse"]

    claims = jwt.decode(answer["token"], key.public_key(), ["RS256"], audience="env:demo", issuer="aerodrome")
    assert answer["target"] == "POST /api/v2/dags/a%20b/dagRuns?limit=1"
    assert json.loads(answer["body"]) == {"x": None}
    assert (claims["sub"], claims["role"]) == ("user/admin", "Admin")


@pytest.mark.usefixtures("web_socket")
def test_an_empty_answer_is_an_empty_document(called: Any) -> None:
    answer = called.invoke_rest_api(Name="demo", Path="/empty", Method="DELETE")

    assert (answer["RestApiStatusCode"], answer["RestApiResponse"]) == (204, {})


@pytest.mark.usefixtures("web_socket")
@pytest.mark.parametrize(
    ("path", "status"),
    [("/slow", 504), ("/large", 502), ("/broken", 502), ("/deep", 502), ("/many", 502), ("/nan", 502)],
)
def test_an_answer_that_does_not_come(called: Any, monkeypatch: pytest.MonkeyPatch, path: str, status: int) -> None:
    if status == 504:  # the others come, however busy the machine is
        monkeypatch.setattr(rest, "TIMEOUT", 0.5)
    with pytest.raises(ClientError) as error:
        called.invoke_rest_api(Name="demo", Path=path, Method="GET")

    assert error.value.response["Error"]["Code"] == "RestApiServerException"
    assert {**error.value.response}["RestApiStatusCode"] == status


def test_a_web_server_that_is_away(called: Any) -> None:
    with pytest.raises(ClientError, match="cannot be reached") as error:
        called.invoke_rest_api(Name="demo", Path="/dags", Method="GET")

    assert error.value.response["Error"]["Code"] == "InternalServerException"


@pytest.mark.parametrize("path", ["dags", "//ui", "/../ui", "/%2e%2e/ui", "?x=1", "/../ui?x=1", "/dags#x", "/a b"])
def test_a_path_cannot_leave_the_rest_api(called: Any, path: str) -> None:
    with pytest.raises(ClientError) as error:
        called.invoke_rest_api(Name="demo", Path=path, Method="GET")

    assert error.value.response["Error"]["Code"] == "ValidationException"
