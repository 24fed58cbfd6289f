from __future__ import annotations

import asyncio

import pytest

from aerodrome.telemetry.__main__ import TelemetryApp


class Waiting:
    """An API whose answer takes until `may_end`."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()
        self.told = ""

    async def answer(self, _target: str, _body: bytes, *, caller: str) -> tuple[int, bytes]:
        self.told = f"begun by {caller}"
        self.began.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.told = "cancelled"
            raise
        self.told = "done"
        return 200, b"{}"


@pytest.mark.parametrize(("operation", "told"), [("FilterLogEvents", "cancelled"), ("DeleteLogGroup", "done")])
def test_a_search_ends_with_its_caller_and_a_change_does_not(operation, told):
    async def run() -> None:
        api, sent, arriving = Waiting(), [], asyncio.Queue()
        scope = {
            "path": "/",
            "headers": [
                (b"x-amz-target", f"Logs_20140328.{operation}".encode()),
                (b"authorization", b"AWS4-HMAC-SHA256 Credential=AKIAONE/20260101/us-east-1/logs/aws4_request"),
            ],
        }

        async def send(message: object) -> None:
            sent.append(message)

        request = asyncio.ensure_future(TelemetryApp(api, None, identity="i")(scope, arriving.get, send))
        await arriving.put({"type": "http.request", "body": b"{}"})
        await asyncio.wait_for(api.began.wait(), 30)
        assert api.told == "begun by AKIAONE"
        await arriving.put({"type": "http.disconnect"})
        if told == "done":
            api.may_end.set()
        await asyncio.wait_for(request, 30)
        await asyncio.sleep(0)
        assert api.told == told
        assert bool(sent) == (told == "done")

    asyncio.run(run())
