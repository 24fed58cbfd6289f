"""Run the command given as arguments in a session of its own, orphaned, and print its process id.

`daemon` runs this file by path under an isolated interpreter: standard library only, and nothing of ours is imported.
Standard error (the log) becomes the command's standard output too, so that the id alone goes to our own.
"""

import os
import sys


def main() -> int:
    """Fork, wait until the child runs the command, print its id and go: the child's parent is then init."""
    reading, writing = os.pipe()  # closes on exec, so its end says that the command runs
    child = os.fork()
    if not child:
        _become(sys.argv[1:], writing)
    os.close(writing)
    if os.read(reading, 1):
        return 127
    os.write(1, b"%d\n" % child)
    return 0


def _become(command: list[str], failed: int) -> None:
    os.setsid()
    os.dup2(2, 1)
    try:
        os.execvpe(command[0], command, os.environ)  # noqa: S606 -- a list, no shell
    except OSError as error:
        os.write(2, f"cannot run {command[0]}: {error.strerror}\n".encode())
        os.write(failed, b"!")
    os._exit(127)


if __name__ == "__main__":
    sys.exit(main())
