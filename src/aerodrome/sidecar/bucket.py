"""The two S3 requests that the sidecar makes: one page of a listing, one object.

Stands between `signed_http` and its users `listing` and `sync`. Addresses are always path-style, so that any endpoint
and any bucket name works.
"""

from __future__ import annotations

import http.client
import os
from typing import Protocol

from aerodrome.sidecar.config import AccessKeys
from aerodrome.sidecar.object_keys import Remote
from aerodrome.sidecar.signed_http import AwayError, AwsEndpoint, AwsRequest, RefusalError

PAGE_LIMIT = 16 * 1024 * 1024
"""Bytes of one page: a thousand keys of 1024 characters, each percent-encoded, stay below 4 MiB."""

CHUNK = 64 * 1024
"""Bytes read at a time."""

EXPIRED = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidToken", "InvalidClientTokenId"}
)
"""Refusals that newer credentials may cure."""


class Signer(Protocol):
    """Who signs: `credentials.RefreshableCredentials`."""

    def keys(self) -> AccessKeys:
        """Valid keys; AwayError when there are none."""

    def reject(self) -> None:
        """Take note that the service no longer accepts them."""


class Bucket:
    """One bucket and prefix."""

    def __init__(self, endpoint: AwsEndpoint, *, name: str, prefix: str, signer: Signer) -> None:
        self.name = name
        self.prefix = prefix
        self._endpoint = endpoint
        self._signer = signer

    def page(self, token: str | None) -> bytes:
        """One ListObjectsV2 document; `token` None means the first.

        Raises:
            AwayError: no whole answer.
            RefusalError: the bucket is missing or closed to the role.
        """
        query = {"encoding-type": "url", "list-type": "2", "prefix": self.prefix}
        if token is not None:
            query["continuation-token"] = token
        request = AwsRequest(path=f"/{self.name}", query=query)
        try:
            with self._send(request) as response:
                body = response.read(PAGE_LIMIT + 1)
                left = response.length
        except (OSError, http.client.HTTPException) as error:
            self._endpoint.close()
            raise self._endpoint.away(error) from error
        # The standard library does not say when a bounded read came short.
        if len(body) > PAGE_LIMIT or left:
            self._endpoint.close()
            raise AwayError(f"a page of the listing of {self.name} was cut off or is too large")
        return body

    def fetch(self, remote: Remote, descriptor: int) -> str | None:
        """Write exactly this version of the object to the descriptor; returns its version id, None where there is none.

        Raises:
            AwayError: no whole answer came.
            RefusalError: it changed since it was listed (code PreconditionFailed), is gone, or is closed to the role.
        """
        request = AwsRequest(path=f"/{self.name}/{remote.key}", headers={"If-Match": remote.etag})
        try:
            with self._send(request) as response:
                self._copy(response, remote, descriptor)
                return response.headers.get("x-amz-version-id")
        except BaseException:
            self._endpoint.close()  # what is left of the body must not be read as the next answer
            raise

    def _send(self, request: AwsRequest) -> http.client.HTTPResponse:
        try:
            return self._endpoint.send(request, self._signer.keys())
        except RefusalError as error:
            if error.code not in EXPIRED:
                raise
            self._signer.reject()
            raise AwayError(str(error)) from error

    def _copy(self, response: http.client.HTTPResponse, remote: Remote, descriptor: int) -> None:
        size = 0
        while chunk := self._read(response):
            size += len(chunk)
            if size > remote.size:
                break
            view = memoryview(chunk)
            while view:
                view = view[os.write(descriptor, view) :]
        if size != remote.size:
            raise AwayError(f"{remote.key} was cut off: {size} of {remote.size} bytes came")

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        try:
            return response.read(CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise self._endpoint.away(error) from error
