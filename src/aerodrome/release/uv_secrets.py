"""What uv is told when it runs packages' programs: passwords by a pipe, which is empty once uv has read it.

`overlay` calls it. A program of a package has uv's user, finds uv's environment variables and reads uv's files. So what
may hold passwords goes into a uv.toml that is a pipe, and the program uv is a copy that its user may run and not read:
of such a process the kernel shows nobody memory, variables and descriptors (`would_dump` in fs/exec.c).
"""

from __future__ import annotations

import os
import select
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aerodrome.release import uv_environment
from aerodrome.release.requirements import Requirements
from aerodrome.unix_users import UnixUser

_RUNNABLE = 0o711

GLANCE = 100
"""Milliseconds between two looks whether a text is still to be read."""

_DEFAULTS = ("UV_DEFAULT_INDEX", "UV_INDEX_URL")
_PROXIES = {
    "http-proxy": ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"),
    "https-proxy": ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
}
"""By uv's setting: the variables in whose place it is, the first one that is set."""


def can_be_hidden(folder: Path) -> bool:
    """Whether a copy of uv that lies there can be run so that nobody reads in it."""
    return sys.platform == "linux" and not os.statvfs(folder).f_flag & os.ST_NOEXEC


def copy_of(program: Path, folder: Path) -> Path:
    """A copy in a folder of ours, which others may run and not read."""
    copy = folder / "uv"
    if not copy.exists():
        shutil.copyfile(program, copy)
        copy.chmod(_RUNNABLE)
    return copy


@contextmanager
def piped(text: str, user: UnixUser) -> Iterator[int]:
    """A descriptor from which the user's program reads the text once, however long it is.

    A pipe cannot be made large enough: beyond a megabyte, and where a user has many pipes, that needs a capability.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    over = threading.Event()
    feeding = threading.Thread(target=_feed, args=(writing, text.encode(), over), name="uv's settings", daemon=True)
    try:
        os.fchown(reading, user.uid, user.gid)
        feeding.start()
        yield reading
    finally:
        over.set()
        os.close(reading)
        if feeding.ident is None:
            os.close(writing)
        else:
            feeding.join()


def _feed(writing: int, data: bytes, over: threading.Event) -> None:
    """Write all, as fast as it is read; in a thread of its own."""
    room = select.poll()
    room.register(writing, select.POLLOUT)
    try:
        while data and not over.is_set():
            if room.poll(GLANCE):
                data = data[os.write(writing, data) :]
    except BrokenPipeError:
        return  # who should read it has ended
    finally:
        os.close(writing)


def told(environ: Mapping[str, str], ours: Mapping[str, str], requirements: Requirements) -> tuple[str, dict[str, str]]:
    """A uv.toml with all that may hold passwords, and what is left of the variables `environ` for uv.

    `ours` are the control plane's variables, which name the machine's own uv.toml; it is read.
    """
    own = requirements.index is not None or requirements.no_index
    named, tables = uv_environment.told(ours, indexes=not own)
    left = dict(environ)
    _move_indexes(named, tables, left, requirements)
    _move_passwords(tables, left)
    for setting, variables in _PROXIES.items():
        found = next((environ[name] for name in variables if environ.get(name)), None)
        if found is not None and "@" in found:
            named[setting] = found
    left = {name: value for name, value in left.items() if "proxy" not in name.lower() or "@" not in value}
    return uv_environment.written(named, tables), left


def _move_indexes(
    named: dict[str, Any], tables: list[dict[str, Any]], left: dict[str, str], requirements: Requirements
) -> None:
    """Put the indexes of variables and requirements before the tables, in the order in which uv would have them."""
    first = [_table(each) for each in left.pop("UV_INDEX", "").split()]
    extra = left.pop("UV_EXTRA_INDEX_URL", "").split() or _list(named.pop("extra-index-url", ()))
    first += [{"url": url} for url in (*extra, *(line.text for line in requirements.extra_indexes))]
    given = [value for name in _DEFAULTS if (value := left.pop(name, ""))]
    default = requirements.index.text if requirements.index is not None else given[0] if given else None
    older = named.pop("index-url", None)
    if default is not None:
        tables[:] = [table for table in tables if not table.get("default")]
        tables.append({**_table(default), "default": True})
    elif isinstance(older, str) and not any(table.get("default") for table in tables):
        tables.append({"url": older, "default": True})
    tables[:0] = first
    links = [line.text for line in requirements.find_links if "@" in line.text]
    from_variable = left.get("UV_FIND_LINKS", "")
    if links or "@" in from_variable:
        left.pop("UV_FIND_LINKS", None)
        machines = [each for each in from_variable.split(",") if each] or _list(named.get("find-links", ()))
        named["find-links"] = [*machines, *links]


def _move_passwords(tables: list[dict[str, Any]], left: dict[str, str]) -> None:
    """Put UV_INDEX_<NAME>_USERNAME and _PASSWORD into the address of that index."""
    for table in tables:
        prefix = "UV_INDEX_" + "".join(letter if letter.isalnum() else "_" for letter in table.get("name", "")).upper()
        user, password = left.get(f"{prefix}_USERNAME", ""), left.get(f"{prefix}_PASSWORD", "")
        scheme, separator, rest = table["url"].partition("://")
        written, at, host = rest.rpartition("@") if "@" in rest.partition("/")[0] else ("", "", rest)
        if table.get("name") and (user or password) and ":" not in written:
            who = written if at and not user else _quoted(user)
            table["url"] = f"{scheme}{separator}{who}:{_quoted(password)}@{host}"
    for name in [name for name in left if name.startswith("UV_INDEX_") and name.endswith(("_USERNAME", "_PASSWORD"))]:
        del left[name]


def _table(text: str) -> dict[str, Any]:
    """An index as variables have it: a URL, or `name=URL`."""
    name, equals, url = text.partition("=")
    return {"name": name, "url": url} if equals and "/" not in name and ":" not in name else {"url": text}


def _list(value: object) -> list[str]:
    return [value] if isinstance(value, str) else [str(each) for each in value] if isinstance(value, list) else []


def _quoted(text: str) -> str:
    return quote(text, safe="")
