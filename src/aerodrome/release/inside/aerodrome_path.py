"""What an interpreter of an Airflow version does for Aerodrome's processes when it starts, and for nobody else's.

`release/interpreter_hook` puts it into the version's virtual environment, where a file `aerodrome.pth` imports it. A
fork of a process that had started before calls `apply` once more. An interpreter of any other virtual environment has
no such module, so it finds its own packages alone.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
"""As type checkers know it; importing `typing` would cost each interpreter milliseconds."""

if TYPE_CHECKING:
    from typing import Any, Callable

VARIABLE = "AERODROME_PATH"
"""Folders with modules, separated as in PYTHONPATH; they come before the version's own packages."""

LOOPBACK = "127.0.0.1"

HERE = os.path.dirname(os.path.abspath(__file__))


def apply() -> None:
    """Put the folders of the environment variable onto the path; without it, do nothing."""
    folders = [folder for folder in os.environ.get(VARIABLE, "").split(os.pathsep) if folder]
    if not folders:
        return
    place = sys.path.index(HERE) if HERE in sys.path else len(sys.path)
    sys.path[place:place] = [folder for folder in folders if folder not in sys.path]
    _resolve_here()
    words = getattr(sys, "orig_argv", [])  # since Python 3.10
    if "--system-site-packages" in words:
        import atexit

        atexit.register(_share, words)


def _share(words: list[str]) -> None:
    """Let the virtual environment that this command made with the system's packages have ours for such.

    Its own come first. The base interpreter's, which it has by itself, are not those that Airflow lies among.
    """
    name = os.path.join("lib", "python{}.{}".format(*sys.version_info), "site-packages")
    folders = [folder for folder in os.environ.get(VARIABLE, "").split(os.pathsep) if folder]
    for word in words:
        site = os.path.join(word, name)
        if os.path.isfile(os.path.join(word, "pyvenv.cfg")) and os.path.isdir(site):
            with open(os.path.join(site, "aerodrome-system.pth"), "w", encoding="utf-8") as file:
                file.writelines(folder + "\n" for folder in [*folders, HERE])


def _resolve_here() -> None:
    """Find names below localhost on this machine (RFC 6761), which the C library alone does not.

    In the C module, which costs less to import than `socket` and is what that calls.
    """
    import _socket

    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
        found = getattr(_socket, name)
        if getattr(found, "aerodrome", False):
            return
        ours = _resolving(found)
        setattr(_socket, name, ours)
        socket = sys.modules.get("socket")
        if getattr(socket, name, None) is found:
            setattr(socket, name, ours)


def _resolving(found: Callable[..., Any]) -> Any:
    """The function, for which names of this machine are its address."""

    def resolve(host: Any, *more: Any, **named: Any) -> Any:
        return found(_address(host), *more, **named)

    resolve.__name__ = found.__name__
    resolve.__doc__ = found.__doc__
    resolve.aerodrome = True  # type: ignore[attr-defined]
    return resolve


def _address(host: Any) -> Any:
    """The address in the place of a name below localhost, or below the address (botocore's `env.127.0.0.1`)."""
    name = host.decode("ascii", "replace") if isinstance(host, (bytes, bytearray)) else host
    if isinstance(name, str) and name.lower().rstrip(".").endswith((".localhost", "." + LOOPBACK)):
        return LOOPBACK
    return host


apply()
