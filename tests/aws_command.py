"""The AWS CLI, unmodified, as those on PATH have it: for tests that drive what its own commands do with an API."""

from __future__ import annotations

import functools
import os
import pty
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TextIO

import pytest

from protocol.api.memory import Key

LIMIT = 120.0
"""Seconds that one call may take on a machine that does other work too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsCommand:
    """One program, with what it needs to reach an endpoint of ours."""

    program: str
    url: str
    environment: dict[str, str]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Call it and wait for its end."""
        return subprocess.run(
            self._argv(words), env=self.environment, capture_output=True, text=True, timeout=LIMIT, check=False
        )

    @contextmanager
    def printing(self, *words: str) -> Iterator[list[str]]:
        """The lines that a call has printed so far on a terminal; it is stopped at the end of the block.

        Elsewhere than on a terminal it keeps lines to itself until it has many.
        """
        lines: list[str] = []
        ours, theirs = pty.openpty()
        with (
            os.fdopen(ours, encoding="utf-8") as terminal,
            subprocess.Popen(self._argv(words), env=self.environment, stdout=theirs, stderr=theirs) as process,
        ):
            os.close(theirs)
            reading = Thread(target=_read, args=(terminal, lines))
            reading.start()
            try:
                yield lines
            finally:
                process.kill()
                reading.join()

    def _argv(self, words: tuple[str, ...]) -> list[str]:
        return [self.program, "--endpoint-url", self.url, *words]  # those before 2.13 know no AWS_ENDPOINT_URL


def found(url: str, home: Path, key: Key, *, offering: str) -> AwsCommand:
    """The first AWS CLI on PATH that has a command of CloudWatch Logs, such as `tail`; the test is skipped without one.

    `home` is an empty folder.
    """
    for folder in os.environ["PATH"].split(os.pathsep):
        program = Path(folder) / "aws"
        if os.access(program, os.X_OK) and offering in _offered(str(program)):
            environment = {
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "AWS_ENDPOINT_URL": url,
                "AWS_ACCESS_KEY_ID": key.access_key_id,
                "AWS_SECRET_ACCESS_KEY": key.secret,
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
            }
            return AwsCommand(program=str(program), url=url, environment=environment)
    pytest.skip(f"no `aws` on PATH has `aws logs {offering}`")


def _read(terminal: TextIO, lines: list[str]) -> None:
    with suppress(OSError):  # as a terminal says that nobody writes to it any more
        for line in terminal:
            lines.append(line.rstrip())  # noqa: PERF401 - seen one by one


@functools.cache
def _offered(program: str) -> frozenset[str]:
    """The commands of CloudWatch Logs that it has; its refusal of one that is none names them."""
    refusal = subprocess.run([program, "logs", "-"], capture_output=True, text=True, timeout=LIMIT, check=False)
    return frozenset(refusal.stderr.replace("|", " ").split())
