"""The front door in a process of its own, so that what it takes of memory and connections is its own.

Run as a program, it serves until its standard input ends; `started` runs it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

TESTS = Path(__file__).parents[2]


@dataclass(frozen=True)
class Alone:
    """A front door that answers."""

    port: int
    process: psutil.Process

    @property
    def memory(self) -> int:
        """Bytes that the process takes."""
        return int(self.process.memory_info().rss)


@contextmanager
def started(aws_endpoint_url: str | None = None) -> Iterator[Alone]:
    """The front door before an AWS endpoint, for the time of the block."""
    argv = [sys.executable, "-m", "protocol.api.alone", *([aws_endpoint_url] if aws_endpoint_url else [])]
    with subprocess.Popen(
        argv, env={**os.environ, "PYTHONPATH": str(TESTS)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "it did not start"
        yield Alone(int(line), psutil.Process(process.pid))


def main() -> None:
    from aerodrome import log  # noqa: PLC0415 - not for those who import this for `started`
    from aerodrome.api.app import create_app  # noqa: PLC0415
    from aerodrome.settings import Settings  # noqa: PLC0415
    from protocol.api.behind import Behind  # noqa: PLC0415
    from protocol.api.serving import served  # noqa: PLC0415

    log.configure()
    with tempfile.TemporaryDirectory() as folder:
        deps = Behind().deps(Settings(data=Path(folder)))
        endpoint = sys.argv[1] if len(sys.argv) > 1 else None
        with served(create_app(replace(deps, aws_endpoint_url=endpoint))) as port:
            print(port, flush=True)  # noqa: T201 - whoever started this reads it
            sys.stdin.read()


if __name__ == "__main__":
    main()
