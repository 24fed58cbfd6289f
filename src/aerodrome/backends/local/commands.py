"""Runs one Airflow command in a process that the environment's cell forks, and brings its outputs back.

`runtime.LocalRuntime.run_command` calls it. The outputs are two files of ours in a folder that units cannot write to.
The cell opens them, the command's process gets only descriptors, and we read by the descriptors that we made them with.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from aerodrome.airflow import units
from aerodrome.backends.contract import OUTPUT_LIMIT, CommandResult
from aerodrome.backends.local import cell_client
from aerodrome.backends.local.paths import CellPaths, EnvironmentPaths
from aerodrome.errors import RetryError

log = structlog.get_logger("aerodrome.backends")

PATIENCE = 15.0
"""Seconds for the command's start and end, beyond its own time."""

SIGNALLED = 128
"""This and a signal's number make a shell's exit code."""


@dataclass(frozen=True, slots=True)
class Output:
    """One output file."""

    path: Path
    descriptor: int

    def read(self, limit: int) -> bytes:
        """Its first `limit` bytes."""
        with os.fdopen(os.dup(self.descriptor), "rb") as file:
            file.seek(0)
            return file.read(limit)


def run(paths: EnvironmentPaths, cell: CellPaths, words: Sequence[str], *, timeout: float) -> CommandResult:
    """Run the command as the cell's web server would; returns when the command has ended.

    Raises:
        RetryError: there is no cell, or it cannot run the command now.
    """
    with _output(paths.run) as stdout, _output(paths.run) as stderr:
        web = _web_unit(cell)
        request = {
            "op": "run",
            "id": f"command-{uuid.uuid4().hex}",
            **units.command(web, words),
            "limits": web.get("limits"),
            "stdout": str(stdout.path),
            "stderr": str(stderr.path),
            "timeout": timeout,
            "limit": OUTPUT_LIMIT,
        }
        try:
            answer = cell_client.ask(cell.socket, request, seconds=timeout + PATIENCE)
        except RetryError as error:
            log.warning("command_not_run", reason=str(error))
            # The caller gets this sentence, and must not learn this machine's paths.
            raise RetryError("the environment cannot run the command now; try again later", delay=5) from error
        if answer is None:
            raise RetryError("the environment does not run")
        return _result(answer, stdout.read(OUTPUT_LIMIT), stderr.read(OUTPUT_LIMIT), timeout)


def _result(answer: dict[str, Any], stdout: bytes, stderr: bytes, timeout: float) -> CommandResult:
    sentences = {
        "timeout": f"The command was stopped: it may run for at most {timeout:g} seconds.",
        "output": f"The command was stopped: its output may have at most {OUTPUT_LIMIT} bytes.",
    }
    killed = answer["killed"]
    if killed is not None and killed not in sentences:
        raise RetryError("the environment stopped while the command ran")
    if killed is not None:
        stderr = _with_sentence(stderr, sentences[killed])
    code = answer["code"] if answer["code"] is not None else SIGNALLED + int(answer["signal"])
    return CommandResult(stdout=stdout, stderr=stderr, exit_code=code)


def _with_sentence(stderr: bytes, sentence: str) -> bytes:
    between = b"" if not stderr or stderr.endswith(b"\n") else b"\n"
    return stderr + between + sentence.encode() + b"\n"


def _web_unit(cell: CellPaths) -> dict[str, Any]:
    """The web server's specification, as the running cell has it."""
    try:
        document = json.loads(cell.config.read_text())
        found: dict[str, Any] = next(unit for unit in document["units"] if units.is_web_server(unit["name"]))
    except (OSError, ValueError, KeyError, StopIteration) as error:
        raise RetryError("the environment has no web server now") from error
    return found


@contextlib.contextmanager
def _output(folder: Path) -> Iterator[Output]:
    """An empty file, which is removed afterwards."""
    try:
        descriptor, path = tempfile.mkstemp(dir=folder, prefix=".command-")
    except FileNotFoundError:
        raise RetryError("the environment does not run") from None
    try:
        yield Output(Path(path), descriptor)
    finally:
        os.close(descriptor)
        with contextlib.suppress(FileNotFoundError):
            Path(path).unlink()
