"""Signed HTTP to one AWS service; `bucket` and `assume_role` use it.

botocore signs; the standard library speaks HTTP over one kept connection. A botocore client does the same with 11 MB
more of memory and several times the CPU for each idle second, in a process that every environment has. It follows no
redirect, uses no proxy, and must not be used by several threads.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode, urlsplit

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from aerodrome.errors import BrokenError, RetryError
from aerodrome.sidecar.config import AccessKeys

TIMEOUT = 10.0
"""Seconds that the other side may be silent; arbitrary, long for a LIST and short for a person who waits."""

ERROR_LIMIT = 64 * 1024
"""Bytes read of an error document; AWS's have about 500."""

SENTENCE_LIMIT = 300
"""Characters of a service's sentence that we repeat; arbitrary."""

_NOT_ALLOWED = re.compile(
    r"not authorized to perform: (?P<action>[\w:-]{1,128}) on resource: \"?(?P<resource>[^\s\"]{1,256})"
)
"""AWS's sentence for what IAM does not allow."""

HTTP_ERROR, HTTP_TOO_MANY, HTTP_SERVER_ERROR = 300, 429, 500

STALE = (http.client.RemoteDisconnected, http.client.CannotSendRequest, BrokenPipeError, ConnectionResetError)
"""What a kept connection raises when the server has closed it since."""


class AwayError(RetryError):
    """The endpoint does not answer, or asks for patience; the same request is worth trying again."""


class RefusalError(BrokenError):
    """The service answered with a refusal; `code` is its own word for why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsRequest:
    """One request below the endpoint's URL."""

    method: str = "GET"
    path: str = "/"
    """Not yet percent-encoded."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class AwsEndpoint:
    """One service at one URL, over one kept connection."""

    def __init__(self, url: str, *, region: str, service: str, timeout: float = TIMEOUT) -> None:
        self.url = url
        self._parts = urlsplit(url)
        self._region = region
        self._service = service
        self._timeout = timeout
        self._connection: http.client.HTTPConnection | None = None

    def send(self, request: AwsRequest, keys: AccessKeys) -> http.client.HTTPResponse:
        """Send one request. Read its response to the end before the next one, or close the connection.

        Raises:
            AwayError: no answer, or a 5xx or 429.
            RefusalError: any other answer that is not a success.
        """
        try:
            response = self._exchange(request, keys)
            if response.status < HTTP_ERROR:
                return response
            document = response.read(ERROR_LIMIT)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self.away(error) from error
        self.close()
        raise self._refused(response.status, document)

    def away(self, error: Exception) -> AwayError:
        """The sentence for a broken exchange."""
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return AwayError(f"{self._service} at {self.url} does not answer: {why}")

    def close(self) -> None:
        """Drop the connection; the next request makes another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(self, request: AwsRequest, keys: AccessKeys) -> http.client.HTTPResponse:
        kept = self._connection is not None
        try:
            return self._attempt(request, keys)
        except STALE:
            self.close()
            if not kept:
                raise
            return self._attempt(request, keys)

    def _attempt(self, request: AwsRequest, keys: AccessKeys) -> http.client.HTTPResponse:
        target = self._parts.path + quote(request.path, safe="/-_.~")
        if request.query:
            target += "?" + urlencode(request.query, quote_via=quote, safe="-_.~")
        if self._connection is None:
            self._connection = self._connect()
        headers = self._signed(request, target, keys)
        self._connection.request(request.method, target, body=request.body or None, headers=headers)
        return self._connection.getresponse()

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=ssl.create_default_context())
        return http.client.HTTPConnection(host, port, timeout=self._timeout)

    def _signed(self, request: AwsRequest, target: str, keys: AccessKeys) -> dict[str, str]:
        url = f"{self._parts.scheme}://{self._parts.netloc}{target}"
        unsigned = AWSRequest(method=request.method, url=url, data=request.body, headers=dict(request.headers))
        credentials = Credentials(keys.access_key_id, keys.secret_access_key, keys.session_token)
        signer = S3SigV4Auth if self._service == "s3" else SigV4Auth
        signer(credentials, self._service, self._region).add_auth(unsigned)
        return dict(unsigned.headers.items())

    def _refused(self, status: int, document: bytes) -> AwayError | RefusalError:
        code, sentence = _explained(document)
        text = f"{self._service} answers {status} {code}: {sentence}"[:SENTENCE_LIMIT]
        if status >= HTTP_SERVER_ERROR or status == HTTP_TOO_MANY:
            return AwayError(text)
        return RefusalError(text + (_missing(sentence) if self._service == "s3" else ""), code=code or str(status))


def _missing(sentence: str) -> str:
    """The statement that the role lacks, as a sentence of its own; empty when it is not a question of rights."""
    found = _NOT_ALLOWED.search(sentence)
    if found is None:
        return ""
    statement = json.dumps({"Effect": "Allow", "Action": found["action"], "Resource": found["resource"]})
    return f". Add this statement to one of the execution role's policies: {statement}"


def _explained(document: bytes) -> tuple[str, str]:
    """The code and the message of an error document; empty when it is none."""
    with suppress(ValueError, AttributeError):
        said = json.loads(document)
        return str(said.get("__type", "")), str(said.get("message", said.get("Message", "")))
    with suppress(ET.ParseError):
        found = {element.tag.rpartition("}")[2]: element.text or "" for element in parse_xml(document).iter()}
        return found.get("Code", ""), found.get("Message", "")
    return "", ""


def parse_xml(document: bytes) -> ET.Element:
    """Read a bounded document of the configured endpoint.

    Raises:
        ET.ParseError: it is no XML.
    """
    return ET.fromstring(document)  # noqa: S314 - expat bounds entity expansion itself, and the document's size is bounded
