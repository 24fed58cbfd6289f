"""Run uv as a child in a process group of its own, follow its output, and stop it when asked.

`install`, `interpreters` and `compile` call it. It decides nothing: `uv_output` reads what uv says, `uv_environment`
chooses the variables.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import uv

from aerodrome import errors
from aerodrome.release import uv_output

UMASK = 0o022
"""Installed files hold no secret, and units may run under another uid."""

LIMIT = 1800.0
"""Seconds for one run of uv; a whole installation takes about 10, over a thin line some minutes. Arbitrary."""

_TICK = 0.2
"""Seconds between two calls of `tick`, by which the caller may stop us."""

_KEPT_LINES = 40

_Lines = queue.SimpleQueue[str | None]
"""What uv printed, line by line; None = it closed its output."""


class UvCancelledError(errors.RetryError):
    """The caller asked to stop, and nothing half made was left; `tick` raises it to stop uv."""


class EndlessError(errors.RetryError):
    """uv did not end in time."""


def run(
    arguments: Sequence[str],
    *,
    what: str,
    environ: Mapping[str, str],
    cwd: Path,
    on_line: Callable[[str], None] = lambda _: None,
    tick: Callable[[], None] = lambda: None,
    hold: Sequence[int] = (),
    limit: float = LIMIT,
    failure: Callable[[str, Sequence[str]], errors.AerodromeError] = uv_output.failure,
) -> None:
    """Run `uv <arguments>` to its end, calling `on_line` with each line and `tick` several times a second.

    What `tick` raises stops uv and goes on to the caller. uv keeps the descriptors in `hold` open as long as it lives.
    Raises EndlessError after `limit` seconds. If uv fails, raises what `failure` makes of `what` and the last lines.
    """
    with subprocess.Popen(
        [uv.find_uv_bin(), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environ),
        cwd=cwd,
        umask=UMASK,
        start_new_session=True,
        pass_fds=hold,
    ) as child:
        lines: _Lines = queue.SimpleQueue()
        reader = threading.Thread(target=_read, args=(child, lines), name="uv-output", daemon=True)
        reader.start()
        try:
            tail = _follow(lines, on_line=on_line, tick=tick, what=what, limit=limit)
        except BaseException:
            _kill(child)
            raise
        finally:
            reader.join()
    if child.returncode != 0:
        raise failure(what, tail)


def _follow(
    lines: _Lines, *, on_line: Callable[[str], None], tick: Callable[[], None], what: str, limit: float
) -> list[str]:
    tail: deque[str] = deque(maxlen=_KEPT_LINES)
    deadline = time.monotonic() + limit
    while True:
        tick()
        if time.monotonic() > deadline:
            raise EndlessError(f"{what}: uv did not end within {limit / 60:.0f} minutes", delay=60)
        try:
            line = lines.get(timeout=_TICK)
        except queue.Empty:
            continue
        if line is None:
            return list(tail)
        tail.append(line)
        on_line(line)


def _read(child: subprocess.Popen[bytes], lines: _Lines) -> None:
    for line in child.stdout or ():
        lines.put(line.decode(errors="replace").rstrip())
    lines.put(None)


def _kill(child: subprocess.Popen[bytes]) -> None:
    # The group, since uv compiles bytecode and builds packages in children of its own.
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    child.wait()
