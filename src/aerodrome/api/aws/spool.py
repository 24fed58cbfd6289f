"""Large bodies on their way to the emulator: files that it reads when they are whole and as they were signed.

A body that went through a socket would be copied and looked at piece by piece twice, and would take a part of what the
emulator may hold for as long as its sender takes. Pieces are written as they come, for that costs less than to wake a
thread; once the disk was slow, a thread writes for a while, so that it stops nobody else again. A body of which nobody
knows how long it will be, or for which there is no room here, is passed on as it comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from aerodrome.budget import Budget, BusyError
from aerodrome.identity.payloads import Payload

SMALLEST = 64 * 1024
"""Bytes of a body that is worth a file."""

LARGEST = 16 * 2**20
"""Bytes; SDKs send larger objects in parts of 8 MiB."""

TOTAL = 512 * 2**20
"""Bytes of all files at one time, of which whoever sends has half at most."""

PIECE = 2 * 2**20
"""Bytes of a body that are held before a thread writes them."""

SLOW = 0.1
"""Seconds for one piece, by which a disk is slow; a busy machine takes some hundredths."""

REST = 5.0
"""Seconds for which a thread writes after that."""


class DiskPace:
    """Whether a disk has been quick of late. Times are seconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._slow_until = float("-inf")

    def is_quick(self, now: float) -> bool:
        """Whether a write may be waited for."""
        return now >= self._slow_until

    def took(self, seconds: float, now: float) -> None:
        """Note how long a write has taken, which ended now."""
        if seconds >= SLOW:
            self._slow_until = now + REST


class Spool:
    """The folder of such files; one door has it. An emulator with a user of its own reads there, and no more."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pace = DiskPace()
        self._budget = Budget(TOTAL, each=TOTAL // 2, patience=0)

    def clear(self) -> None:
        """Remove what an earlier door left."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for left in self._folder.iterdir():
            left.unlink(missing_ok=True)

    @asynccontextmanager
    async def room(self, length: int, owner: str) -> AsyncIterator[bool]:
        """Whether a body of so many bytes may be taken within the block; `owner` is who sends it."""
        async with AsyncExitStack() as held:
            is_free = SMALLEST < length <= LARGEST
            if is_free:
                try:
                    await held.enter_async_context(self._budget.share(length, owner))
                except BusyError:
                    is_free = False
            yield is_free

    @asynccontextmanager
    async def taken(self, chunks: AsyncIterator[bytes], payload: Payload) -> AsyncIterator[str]:
        """The name of a file that has the whole body, verified; it is gone after the block.

        Raises:
            AuthenticationError: the body is not what was signed. OSError: the disk does not take it.
        """
        name = secrets.token_hex(16)
        path = self._folder / name
        try:
            with _made(path) as file:
                _give(file, self._folder)
                await self._fill(file, chunks, payload)
            yield name
        finally:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    async def _fill(self, file: BinaryIO, chunks: AsyncIterator[bytes], payload: Payload) -> None:
        loop = asyncio.get_running_loop()
        waiting: list[bytes] = []
        length = 0
        async for chunk in chunks:
            payload.feed(chunk)
            waiting.append(chunk)
            length += len(chunk)
            began = time.monotonic()
            if self._pace.is_quick(began):
                file.writelines(waiting)
                now = time.monotonic()
                self._pace.took(now - began, now)
            elif length >= PIECE:
                await loop.run_in_executor(None, file.writelines, waiting)
            else:
                continue
            waiting, length = [], 0
        payload.finish()
        if self._pace.is_quick(time.monotonic()):
            _end(file, waiting)
        else:
            await loop.run_in_executor(None, _end, file, waiting)


def _made(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _give(file: BinaryIO, folder: Path) -> None:
    """Let the group of the folder, in which the emulator is alone, read the file."""
    group = folder.stat().st_gid
    if os.geteuid() == 0 and group != 0:
        os.fchown(file.fileno(), -1, group)
        os.fchmod(file.fileno(), 0o640)


def _end(file: BinaryIO, waiting: list[bytes]) -> None:
    file.writelines(waiting)
    file.flush()
