"""Which session works in which folder, and who stops Aerodrome: the last session, if a session started it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from aerodrome import file_locks, private_files
from aerodrome.cli import operator_client, starting, stopping
from aerodrome.cli.dev.output import Mark, Teller
from aerodrome.errors import CallerError, RetryError
from aerodrome.services import folders
from aerodrome.settings import Settings


def _home(settings: Settings) -> Path:
    folders.make(settings.paths.data)
    return folders.make(settings.paths.data / "dev", folders.PRIVATE)


@contextlib.contextmanager
def alone(settings: Settings, environment: str, mark: str, folder: Path) -> Iterator[None]:
    """Be the only session of a folder, and of an environment.

    Raises:
        CallerError: another session works there.
    """
    home = _home(settings)
    with contextlib.ExitStack() as held:
        for name, what in (
            (f"folder-{mark}", str(folder)),
            (f"environment-{environment}", f"the environment {environment}"),
        ):
            try:
                held.enter_context(folders.locked(home / f"{name}.lock", timeout=0))
            except RetryError:
                raise CallerError(f"Another `aerodrome dev` is at work on {what}: stop that one first.") from None
        yield


@contextlib.contextmanager
def running(settings: Settings, teller: Teller, *, leaving: Callable[[], None] = lambda: None) -> Iterator[int]:
    """Start Aerodrome if need be; yields its API's port. The last session stops it, if a session started it.

    `leaving` is called before anything is stopped.
    """
    home = _home(settings)
    started = home / "started"
    descriptor = file_locks.opened(home / "sessions.lock")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)  # waits while the last session before us stops everything
        was_up = operator_client.is_up(settings)
        try:
            yield _up(settings, teller, started, was_up=was_up)
        finally:
            leaving()
            teller.quiet()
            if file_locks.taken(descriptor) and (not was_up or _is_ours(settings, started)):
                stopping.down(settings, report=lambda what: teller.progress("stop", what, None))
                started.unlink(missing_ok=True)
                teller.quiet()
                kept = f"Stopped. All is kept for the next time, in {settings.paths.data}"
                teller.say("stopped", Mark.PLAIN, kept, data=settings.paths.data)
            else:
                teller.say("left", Mark.PLAIN, "Aerodrome and the environment go on; aerodrome down stops them.")
    finally:
        os.close(descriptor)


def _up(settings: Settings, teller: Teller, started: Path, *, was_up: bool) -> int:
    if not was_up:
        teller.progress("start", "Starting Aerodrome.", None)
    state = starting.up(settings)
    if not was_up:
        private_files.write(started, _control_plane(settings), durable=True)
    teller.quiet()
    word = "is up already" if was_up else "is up"
    teller.say("up", Mark.PLAIN, f"Aerodrome {word}: {state.api}", api=state.api, adopted=was_up)
    return int(state.api.rpartition(":")[2])


def _is_ours(settings: Settings, started: Path) -> bool:
    """Whether a session started what runs: this one, or an earlier one that left it to us or was killed."""
    try:
        return started.read_text(encoding="utf-8") == _control_plane(settings)
    except FileNotFoundError:
        return False


def _control_plane(settings: Settings) -> str:
    """A text that tells this run of the control plane from every other one."""
    return (settings.paths.run / "control-plane.pid").read_text(encoding="utf-8")
