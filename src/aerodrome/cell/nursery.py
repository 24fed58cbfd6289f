"""The agent's side of the nursery: a forker that has imported what an environment's units share.

It is started when the first unit needs it, under the units' identity and never ours. It is a help and no more: while
there is none, or when it is lost, units are forked from the forker and import for themselves.
"""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING

from . import forker, logs, spawn

if TYPE_CHECKING:
    from .specs import UnitSpec

PATIENCE_FOR_RUN = 2.0  # seconds; nothing else is heard meanwhile
PATIENCE = 60.0  # seconds for the first unit's fork: it waits for the imports, and a machine may be busy


class Nursery:
    """At most one process. `spec` says what it runs and as whom; None means that there never is one."""

    def __init__(self, spec: UnitSpec | None, writable: list[str] | None = None) -> None:
        """`writable`: the folders in which it and its forks may make files; None = wherever modes let them."""
        self._spec = spec
        self._writable = writable
        self._requests: socket.socket | None = None
        self.pid: int | None = None

    def launch(self, base: socket.socket, spec: UnitSpec, listener: socket.socket | None = None) -> spawn.Launch | None:
        """A process for the unit, forked from the nursery; None when the nursery cannot give one, or is not for it."""
        wanted = self._spec
        if wanted is None or spec.how != "fork" or not _may_become(wanted, spec):
            return None
        try:
            if self._requests is None:
                self._start(base, wanted)
                return spawn.fork(self._asked(), spec, listener=listener, patience=PATIENCE)
            return spawn.fork(self._asked(), spec, listener=listener)
        except (OSError, spawn.LaunchError) as error:
            self.give_up(str(error))
            return None

    def launch_run(self, spec: UnitSpec, outputs: tuple[int, int]) -> spawn.Launch | None:
        """A process for a command; None when there is no nursery, or it is busy: a command is not worth its loss."""
        wanted = self._spec
        if wanted is None or self._requests is None or not _may_become(wanted, spec):
            return None
        try:
            return spawn.fork_run(self._requests, outputs, patience=PATIENCE_FOR_RUN)
        except spawn.LaunchError as error:
            logs.say("no run from the nursery", reason=str(error))
            return None

    def give_up(self, reason: str) -> None:
        """Gives the nursery up; the processes that it forked go on."""
        if self._spec is None:
            return
        logs.say("no nursery", reason=reason)
        self.close()
        self._spec = None

    def close(self) -> None:
        """Lets the process end: it hears that nobody can ask it again."""
        if self._requests is not None:
            self._requests.close()
        self._requests, self.pid = None, None

    def _start(self, base: socket.socket, wanted: UnitSpec) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        log = logs.open_append(wanted.log)
        try:
            self.pid, _, channel = spawn.meet(base, [log, theirs.fileno()], what=forker.NURSERY)
        finally:
            theirs.close()
            os.close(log)
        with channel:
            channel.sendall(json.dumps(dict(wanted.document(), writable=self._writable)).encode() + b"\n")
        self._requests = ours
        logs.say("nursery started", pid=self.pid)

    def _asked(self) -> socket.socket:
        if self._requests is None:
            raise OSError("the nursery is gone")
        return self._requests


def _may_become(nursery: UnitSpec, spec: UnitSpec) -> bool:
    """Whether a fork of the nursery can take the identity of the unit, and of its companion."""
    others = () if nursery.saved_uid is None else (nursery.saved_uid,)
    wanted = (spec,) if spec.companion is None else (spec, spec.companion)
    return all(each.gid == nursery.gid and each.uid in (nursery.uid, *others) for each in wanted)
