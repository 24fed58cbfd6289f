"""The primed process: a second warm process, which has run a script before it forks cells.

The warm process forks it at its start, and again if it was killed; it ends with the warm process. The script leaves in
memory what most environments' units need, and returns; what it is and which environments may have it, only the writer
of the file knows. It knows no environment.

The file is an object: `socket`, where it serves once the script has returned; `argv`, `env` and `cwd` of the script;
and `views`, folders that the script finds at other paths (see `mounts`).
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from . import child, immortal, kernel, logs, mounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

LOWER = 10
"""By how much the script's niceness is higher."""


class PrimedChild:
    """The primed process, as the warm process sees it: its child."""

    def __init__(self, file: str, serve: Callable[[str], int]) -> None:
        """Starts it; it calls `serve` with the path of its socket. Never returns in the child."""
        self._file = file
        self._serve = serve
        self._pid: int | None = None
        self._is_over = False
        self._start()

    @property
    def lives(self) -> bool:
        """Whether there is one, which may not serve yet."""
        if self._pid is not None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._pid = None
                self._is_over = os.WIFEXITED(status)  # what its script could not do it cannot do the next time
                logs.say(
                    "the primed process has ended", code=os.waitstatus_to_exitcode(status), starts=not self._is_over
                )
        return self._pid is not None

    def keep(self) -> None:
        """Start it again if it was killed."""
        if not self.lives and not self._is_over:
            self._start()

    def _start(self) -> None:
        parent = os.getpid()
        try:
            self._pid = os.fork()
        except OSError as error:
            logs.say("no primed process", error=error.strerror or str(error))
            return
        if self._pid:
            return
        code = 1
        try:
            kernel.close_all_but(set())
            kernel.die_with_parent()
            if os.getppid() == parent:
                code = _run(json.loads(Path(self._file).read_text(encoding="utf-8")), self._serve)
        except BaseException:  # noqa: BLE001 - the traceback belongs into the log, whatever it is
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)


def _run(wanted: dict[str, Any], serve: Callable[[str], int]) -> int:
    kernel.set_name("aerodrome-prime")
    environment, started = dict(os.environ), time.monotonic()
    if wanted["views"] and (not mounts.leave() or mounts.show(wanted["views"])):
        logs.say("no primed process", error="folders cannot be shown at other paths")
        return 1
    with _after_others():
        code = child.prepare(wanted["argv"], wanted["env"], wanted["cwd"])
    if code != 0:
        logs.say("no primed process", error="its script has failed", code=code)
        return code
    if kernel.threads() > 1:
        logs.say("no primed process", error="its script has left threads behind", threads=kernel.threads())
        return 1
    child.take_environment(environment)
    os.chdir("/")
    immortal.settle()
    logs.say("primed", seconds=round(time.monotonic() - started, 3))
    return serve(wanted["socket"])


@contextlib.contextmanager
def _after_others() -> Iterator[None]:
    """Takes the processor only when others leave it; the first environment is often made at the same time."""
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, usual - 1)  # only who may do this may come back
    except PermissionError:
        yield
        return
    os.setpriority(os.PRIO_PROCESS, 0, usual + LOWER)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, usual)
