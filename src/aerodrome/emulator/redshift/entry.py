"""The way from the emulator's program to the Redshift Data API, which is imported when it is first asked.

`__main__` hands requests over here; `redshift` answers them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from aerodrome.emulator import rules
from aerodrome.emulator.own_address import OwnAddress

if TYPE_CHECKING:
    from aerodrome.emulator.redshift.operations import Service

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

BODY_LIMIT = 2**20
"""Bytes of a request: forty statements are 100 KB together, and JSON may write each character as six."""

ANY_KEY = "test"
"""What MiniStack takes for its default account."""

FAILED = b'{"__type": "InternalServerException", "Message": "The embedded Redshift Data API failed; its log says why."}'
TOO_LONG = b'{"__type": "ValidationException", "Message": "The request is too long."}'

log = logging.getLogger(__name__)


class Redshift:
    """The service behind the emulator's door."""

    def __init__(self, folder: Path, *, address: OwnAddress, region: str) -> None:
        self._folder = folder
        self._address = address
        self._region = region
        self._service: Service | None = None
        self._making = asyncio.Lock()

    async def answer(self, headers: Mapping[str, str], receive: Receive) -> tuple[int, bytes]:
        """Status and body."""
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > BODY_LIMIT:
                return 413, TOO_LONG
            if not message.get("more_body"):
                break
        try:
            service = await self._made()
            return await service.answer(headers.get("x-amz-target", ""), body, rules.signed_by(headers))
        except Exception:
            log.exception("a request to redshift-data failed")
            return 500, FAILED

    async def close(self) -> None:
        """End every statement."""
        if self._service is not None:
            await self._service.close()

    async def _made(self) -> Service:
        async with self._making:
            if self._service is None:
                self._service = await asyncio.to_thread(self._make)
        return self._service

    def _make(self) -> Service:
        from aerodrome.emulator.redshift.operations import Service  # noqa: PLC0415 - takes most of a second
        from aerodrome.emulator.redshift.running import Surroundings  # noqa: PLC0415 - as above

        return Service(Surroundings(folder=self._folder, s3=self._s3))

    def _s3(self) -> Any:
        """A client of the emulator's own S3; `launch` gives this process no AWS configuration of the host's."""
        session = boto3.session.Session(
            aws_access_key_id=ANY_KEY, aws_secret_access_key=ANY_KEY, region_name=self._region
        )
        config = Config(proxies={}, s3={"addressing_style": "path"}, response_checksum_validation="when_required")
        return self._address.lead(session.client("s3", endpoint_url=self._address.url, config=config))
