"""Run a startup script once for each component, in a scratch process, and keep the variables that it exported.

`building` calls `run`. As with MWAA, bash sources the script, `exit` ends it without losing what it exported, and it
has five minutes. Nothing that it writes to disk is kept: the variables are the release's.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aerodrome.release import confined, startup_variables
from aerodrome.release.confined import Ended, Limits, User
from aerodrome.release.failures import STARTUP_SCRIPT_FAILED, ReleaseError, at

NAME = "startup.sh"

LIMIT = 300.0
"""Seconds: MWAA's five minutes."""

COMPONENTS = ("scheduler", "webserver", "worker")
"""The values of MWAA_AIRFLOW_COMPONENT."""

_WRAPPER = Path(__file__).with_name("inside") / "startup.bash"
_BASH = "/bin/bash"
_SYNTAX_LIMIT = 20.0

_LARGEST_SCRIPT = 1024 * 1024
_LARGEST_ANSWER = 2 * 1024 * 1024
_TAIL = 15

_ANSWERED = ("AERODROME_STATUS", "AERODROME_LINE", "AERODROME_END")
"""What the wrapper says besides the variables."""

_SYNTAX = re.compile(r": line (\d+): ")


@dataclass(frozen=True)
class Startup:
    """What a script exported, by component. Values may be secrets."""

    variables: Mapping[str, Mapping[str, str]] = field(repr=False, default_factory=dict)
    notes: tuple[str, ...] = ()

    def of(self, component: str) -> Mapping[str, str]:
        """The variables for a unit that bears this MWAA_AIRFLOW_COMPONENT."""
        return self.variables.get(component) or self.variables.get("scheduler") or {}


def run(
    script: bytes,
    *,
    environ: Mapping[str, str],
    scratch: Path,
    path: str,
    user: User | None = None,
    limit: float = LIMIT,
    on_line: Callable[[str], None] = lambda _: None,
    tick: Callable[[], None] = lambda: None,
) -> Startup:
    """Run the script once, or once for each component if it asks which one it is.

    Args:
        script: its bytes.
        environ: what the script finds besides PATH, HOME and the component, such as AIRFLOW_ENV_NAME.
        scratch: an empty folder that the user may enter.
        path: PATH.
        user: whom to run it as, when we are root.
        limit: seconds for each run.
        on_line: told each line that it prints.
        tick: called several times a second; what it raises ends the script.

    Raises:
        ReleaseError: it does not parse, ends with another exit code than 0, takes too long, or hides how it ended.
    """
    if len(script) > _LARGEST_SCRIPT:
        raise _failed(f"{NAME} has more than {_LARGEST_SCRIPT // 1024} KiB")
    file = scratch / NAME
    file.write_bytes(script.replace(b"\r\n", b"\n"))
    file.chmod(0o644)
    _check_syntax(file, user, tick)
    asks = b"MWAA_AIRFLOW_COMPONENT" in script
    found, notes = {}, []
    for component in COMPONENTS if asks else COMPONENTS[:1]:
        home = scratch / component
        home.mkdir(mode=0o755)
        if user is not None:
            shutil.chown(home, user.uid, user.gid)
        own = {
            **environ, "AIRFLOW_HOME": str(home), "HOME": str(home), "LANG": "C.UTF-8", "LOGNAME": "airflow",
            "MWAA_AIRFLOW_COMPONENT": component,
            "PATH": path, "TMPDIR": str(home), "TZ": "UTC", "USER": "airflow",
        }  # fmt: skip
        answer = bytearray()

        def told(data: bytes, answer: bytearray = answer) -> None:
            answer.extend(data[: _LARGEST_ANSWER - len(answer)])

        ended = confined.run(
            [_BASH, "--noprofile", "--norc", str(_WRAPPER), str(file)],
            environ=own, cwd=home, limits=Limits(limit), user=user, on_line=on_line, on_message=told, tick=tick,
        )  # fmt: skip
        after = _answered(bytes(answer))
        _judge(ended, after, limit)
        for name in (*_ANSWERED, "AERODROME_CHANNEL"):
            after.pop(name, None)
        found[component], refused = startup_variables.exported(own, after)
        if refused:
            notes.append(f"{NAME} sets what it must not, so that has no effect: {', '.join(refused)}")
    return Startup(found, tuple(dict.fromkeys(notes)))


def _check_syntax(file: Path, user: User | None, tick: Callable[[], None]) -> None:
    """Bash would tell a syntax error and go on behind the script."""
    done = confined.run(
        [_BASH, "--noprofile", "--norc", "-n", str(file)],
        environ={"LANG": "C.UTF-8"}, cwd=Path("/"), limits=Limits(_SYNTAX_LIMIT), user=user, tick=tick,
    )  # fmt: skip
    if done.code == 0:
        return
    said = [line.replace(str(file), NAME) for line in done.tail[-_TAIL:]]
    found = next((match for line in said if (match := _SYNTAX.search(line))), None)
    line = int(found[1]) if found else None
    raise _failed(f"{at(NAME, line)}: bash does not understand the script", line, tuple(said))


def _answered(data: bytes) -> dict[str, str]:
    pairs = (entry.partition(b"=") for entry in data.split(b"\0") if entry)
    return {name.decode(errors="replace"): value.decode(errors="surrogateescape") for name, _, value in pairs}


def _judge(ended: Ended, after: Mapping[str, str], limit: float) -> None:
    tail = ended.tail[-_TAIL:]
    if not ended.in_time:
        raise _failed(f"{NAME} did not end within {limit:g} seconds", tail=tail)
    line = int(after["AERODROME_LINE"]) or None if after.get("AERODROME_LINE", "").isdecimal() else None
    if ended.code != 0:
        how = f"was killed by signal {-ended.code}" if ended.code < 0 else f"ended with exit code {ended.code}"
        raise _failed(f"{at(NAME, line)}: the script {how}", line, tail)
    if _ANSWERED[-1] not in after:
        raise _failed(f"{NAME} ended without a word; it must neither exec a program nor trap EXIT", tail=tail)


def _failed(message: str, line: int | None = None, tail: tuple[str, ...] = ()) -> ReleaseError:
    return ReleaseError(message, code=STARTUP_SCRIPT_FAILED, file=NAME, line=line, tail=tail)
