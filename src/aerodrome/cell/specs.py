"""What a cell is told to run: the unit specifications, all checked before use.

The configuration file and the apply request are parsed here. Error texts name a field and the fix, never a value of
`env`.
"""

from __future__ import annotations

import hashlib
import json
import re
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LOOPBACK = re.compile(r"connect:127\.0\.0\.1:([0-9]{1,5})")
NOTIFY = "notify"
DEFAULT_UMASK = 0o077
DEFAULT_GRACE = 30.0  # seconds
LONGEST_GRACE = 7 * 24 * 3600.0  # seconds; a drained worker may finish a task of days
LARGEST_ID = 2**32 - 2  # 2**32-1 means "leave as it is" to the kernel
LARGEST_PORT = 65535
LARGEST_LIMIT = 2**62


class RefusedError(Exception):
    """The request cannot be obeyed; the caller must change it as the sentence says."""


class UnitLimits(NamedTuple):
    """What a unit may have, with all that it starts; None = no limit of its own."""

    processes: int | None = None
    """Processes and threads."""
    memory: int | None = None
    """Bytes."""
    user_processes: int | None = None
    """Processes and threads of the unit's user in all its units, where control groups cannot count the unit's own."""
    file: int | None = None
    """Bytes of one file."""
    processors: int | None = None
    """Time of so many processors, where control groups see to it."""


@dataclass(frozen=True)
class UnitSpec:
    """One unit, as its specification says it. `env` is the unit's whole environment and may hold secrets."""

    name: str
    how: str
    argv: tuple[str, ...] = field(repr=False)
    env: dict[str, str] = field(repr=False)
    cwd: str
    umask: int
    uid: int | None
    gid: int | None
    log: str
    ready: str
    after: tuple[str, ...]
    stop_signal: str
    grace: float
    listen: int | None
    """The TCP port on 127.0.0.1 that the cell opens for the unit (`listeners`); None = none."""
    saved_uid: int | None = None
    """Whom its forks may become instead: the saved set-user-ID. None = nobody."""
    visible: bool = False
    """Whether its processes find each other in /proc where those of others are hidden (`kernel.be_visible`)."""
    companion: UnitSpec | None = None
    """A process that is begun beside the unit's own, in its session, and shares a socket pair with it; None = none."""
    limits: UnitLimits = field(default_factory=UnitLimits)
    """They change without a restart."""

    def document(self) -> dict[str, Any]:
        """The specification as JSON, with every default."""
        return {
            "name": self.name,
            "how": self.how,
            "argv": list(self.argv),
            "env": self.env,
            "cwd": self.cwd,
            "umask": self.umask,
            "uid": self.uid,
            "gid": self.gid,
            "log": self.log,
            "ready": self.ready,
            "listen": self.listen,
            "after": list(self.after),
            "stop": {"signal": self.stop_signal, "grace": self.grace},
            "saved_uid": self.saved_uid,
            "visible": self.visible,
            "companion": None if self.companion is None else self.companion.document(),
            "limits": self.limits._asdict(),
        }

    def public(self) -> dict[str, Any]:
        """The specification without what may be secret; enough to stop a unit that is already running."""
        document = self.document()
        document.update(argv=["-"], env={}, companion=None)
        return document

    @property
    def digest(self) -> str:
        """Names what a process is started with: all but what changes without a restart.

        Also without `visible`, so that units of a cell that did not know it are the same.
        """
        without = ("after", "stop", "limits", "visible")
        shape = {key: value for key, value in self.document().items() if key not in without}
        for later in ("listen", "saved_uid", "companion"):
            if shape[later] is None:
                del shape[later]  # units of a cell that did not know the field are the same
        if self.companion is not None:
            shape["companion"] = {key: value for key, value in shape["companion"].items() if key != "limits"}
        return hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()


def parse_units(raw: Any) -> tuple[UnitSpec, ...]:
    """All unit specifications of a cell. Raises RefusedError for the first fault."""
    require(isinstance(raw, list), "units must be a list of unit specifications")
    specs = tuple(parse(one) for one in raw)
    names = [spec.name for spec in specs]
    for name in names:
        require(names.count(name) == 1, f"unit {name}: the name must be given once only")
    _check_order({spec.name: spec.after for spec in specs})
    return specs


def parse(raw: Any) -> UnitSpec:
    """One unit specification. Raises RefusedError; unknown fields are ignored."""
    require(isinstance(raw, dict), "a unit specification must be an object")
    name = raw.get("name")
    require(isinstance(name, str) and NAME.fullmatch(name) is not None, f"unit name must match {NAME.pattern}")
    take = Fields(f"unit {name}", raw)
    stop = raw.get("stop") or {}
    require(isinstance(stop, dict), f"unit {name}: stop must be an object")
    how = take("how", "fork or exec", lambda value: value in ("fork", "exec"))
    argv = take("argv", "a list of strings, not empty", lambda value: _is_texts(value) and bool(value))
    uid = take("uid", "a user id or null", _is_id, None)
    gid = take(
        "gid",
        "a group id, given whenever uid is",
        lambda value: _is_id(value) and not (uid is not None and value is None),
        None,
    )
    taken_stop = Fields(f"unit {name}: stop", stop)
    ready = take("ready", "notify, started, connect:<path> or connect:127.0.0.1:<port>", _is_ready, "started")
    listen = take("listen", "a TCP port or null", _is_port, None)
    require(listen is None or ready == NOTIFY, f"unit {name}: listen needs a unit that is ready by notify")
    log = take("log", "an absolute path", is_path)
    beside = take("companion", "an object or null", lambda value: value is None or isinstance(value, dict), None)
    return UnitSpec(
        name=str(name),
        how=how,
        argv=tuple(argv),
        env=dict(take("env", "an object of strings", _is_env)),
        cwd=take("cwd", "an absolute path", is_path),
        umask=take("umask", "an integer from 0 to 511", lambda value: _is_int(value, 0o777), DEFAULT_UMASK),
        uid=uid,
        gid=gid,
        log=log,
        ready=ready,
        after=tuple(take("after", "a list of unit names", _is_texts, [])),
        stop_signal=taken_stop("signal", "the name of a signal, such as SIGTERM", _is_signal, "SIGTERM"),
        grace=float(taken_stop("grace", "seconds, at most a week", _is_grace, DEFAULT_GRACE)),
        listen=listen,
        saved_uid=take("saved_uid", "a user id or null", _is_id, None),
        visible=take("visible", "true or false", lambda value: isinstance(value, bool), False),  # noqa: FBT003 - default
        # It has the unit's name and log, and no companion of its own.
        companion=None if beside is None else parse(dict(beside, name=name, log=log, companion=None)),
        limits=_limits(f"unit {name}: limits", raw.get("limits")),
    )


def _limits(where: str, raw: Any) -> UnitLimits:
    given = {} if raw is None else raw
    require(isinstance(given, dict), f"{where} must be an object")
    take = Fields(where, given)
    return UnitLimits(**{name: take(name, "a number above 0 or null", _is_count, None) for name in UnitLimits._fields})


class Fields:
    """Takes checked fields out of an object; the fault names the field, never its value."""

    def __init__(self, where: str, raw: dict[str, Any]) -> None:
        self._where = where
        self._raw = raw

    def __call__(self, key: str, wanted: str, check: Callable[[Any], bool], *default: Any) -> Any:
        value = self._raw.get(key, *default)
        require(check(value), f"{self._where}: {key} must be {wanted}")
        return value


def require(holds: Any, sentence: str) -> None:
    if not holds:
        raise RefusedError(sentence)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(_is_text(one) for one in value)


def is_path(value: Any) -> bool:
    return _is_text(value) and value.startswith("/")


def _is_int(value: Any, largest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= largest


def _is_id(value: Any) -> bool:
    return value is None or _is_int(value, LARGEST_ID)


def _is_count(value: Any) -> bool:
    return value is None or (_is_int(value, LARGEST_LIMIT) and value > 0)


def _is_env(value: Any) -> bool:
    return isinstance(value, dict) and all(
        key and "=" not in key and _is_text(key) and _is_text(value[key]) for key in value
    )


def _is_port(value: Any) -> bool:
    return value is None or (_is_int(value, LARGEST_PORT) and value > 0)


def _is_ready(value: Any) -> bool:
    if not _is_text(value):
        return False
    port = LOOPBACK.fullmatch(value)
    if port is not None:
        return 0 < int(port.group(1)) <= LARGEST_PORT
    return value in (NOTIFY, "started") or value.startswith("connect:/")


def _is_signal(value: Any) -> bool:
    return isinstance(value, str) and value in signal.Signals.__members__


def _is_grace(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= LONGEST_GRACE


def _check_order(after: dict[str, tuple[str, ...]]) -> None:
    """Every unit named in `after` must exist, and none may wait for itself in a circle."""
    for name, needed in after.items():
        for other in needed:
            require(other in after, f"unit {name}: after names {other}, which is not among the units")
    left = dict(after)
    while left:
        free = [name for name in left if not any(other in left for other in left[name])]
        require(free, "units wait for each other in a circle: " + ", ".join(sorted(left)))
        for name in free:
            del left[name]
