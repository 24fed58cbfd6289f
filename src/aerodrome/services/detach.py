"""Run the command given as arguments in a session of its own, orphaned, and print its process id.

The first argument says, as JSON, what is done to the process before (`daemon` writes it): groups, limits, another user,
a listener. `daemon` runs this file by path under an isolated interpreter: standard library only, and nothing of ours is
imported. Standard error (the log) becomes the command's standard output too, so that the id alone goes to our own.
"""

import json
import os
import resource
import sys
from typing import Any

LISTENER = 3
"""The first descriptor that is passed on, by sd_listen_fds(3)."""

PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h


def main() -> int:
    """Fork, wait until the child runs the command, print its id and go: the child's parent is then init."""
    reading, writing = os.pipe()  # closes on exec, so its end says that the command runs
    child = os.fork()
    if not child:
        _become(json.loads(sys.argv[1]), sys.argv[2:], writing)
    os.close(writing)
    if os.read(reading, 1):
        return 127
    os.write(1, b"%d\n" % child)
    return 0


def _become(wanted: dict[str, Any], command: list[str], failed: int) -> None:
    try:
        os.setsid()
        os.dup2(2, 1)
        if failed == LISTENER:
            failed = os.dup(failed)
        if wanted["listener"] is not None:
            os.dup2(wanted["listener"], LISTENER)
            if wanted["listener"] != LISTENER:
                os.close(wanted["listener"])
            os.environ.update({"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())})
        if wanted.get("confined"):
            _confine(wanted)
        os.execvpe(command[0], command, os.environ)  # noqa: S606 -- a list, no shell
    except OSError as error:
        os.write(2, f"cannot run {command[0]}: {error.strerror}\n".encode())
        os.write(failed, b"!")
    os._exit(127)


def _confine(wanted: dict[str, Any]) -> None:
    """Enter the groups, take the limits, and become the user."""
    texts = dict.fromkeys(wanted["groups"], str(os.getpid()))
    if wanted["oom_score"] is not None:
        texts["/proc/self/oom_score_adj"] = str(wanted["oom_score"])
    for file, text in texts.items():
        try:
            with open(file, "w", encoding="ascii") as kernels:  # noqa: PTH123 -- pathlib would cost more than the rest
                kernels.write(text)
        except OSError as error:
            os.write(2, f"{file} refuses: {error.strerror}\n".encode())
    if wanted["processes"] is not None:
        hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
        most = wanted["processes"] if hard == resource.RLIM_INFINITY else min(hard, wanted["processes"])
        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
    if wanted["user"] is not None:
        os.setgroups([])
        os.setgid(wanted["user"][1])
        os.setuid(wanted["user"][0])
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 -- it takes as long as all else

        ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())
