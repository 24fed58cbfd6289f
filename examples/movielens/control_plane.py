"""The `aerodrome` command, run as a person would run it: up, env, status and a database for the pipeline's result."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from . import failure

UP_SECONDS = 600
"""The first start unpacks and initialises PostgreSQL; arbitrary, and far above what was ever seen."""

HIDING = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""Variables that would count more than the profile which `aerodrome env` names."""

ANSWER_SECONDS = 60
"""How long any other command may take."""


def up() -> None:
    """Start Aerodrome, or find that it runs already."""
    _run("up", seconds=UP_SECONDS)


def exports() -> dict[str, str]:
    """Give the variables that `eval "$(aerodrome env)"` would set in a shell."""
    return dict(json.loads(_run("env", "--json")))


def database(name: str) -> dict[str, Any]:
    """Make (or find) a database with a role of its own; gives host, port, database, user and password."""
    return dict(json.loads(_run("database", "create", name, "--json")))


def login_link(environment: str) -> str:
    """Make an address that opens Airflow's UI, once and within a minute."""
    return _run("login", environment).strip()


def progress(environment: str) -> dict[str, Any]:
    """Say what Aerodrome is doing for an environment just now; empty when it does not say."""
    try:
        document = json.loads(_run("status", "--json"))
    except (failure.QuickstartError, ValueError):
        return {}  # merely decoration: the status of record comes from GetEnvironment
    return find_progress(document, environment)


def find_progress(document: Any, environment: str) -> dict[str, Any]:
    """Find the environment's `progress` in the document that `aerodrome status --json` prints."""
    for entry in document.get("environments") or [] if isinstance(document, dict) else []:
        if entry.get("name") == environment:
            return dict(entry.get("progress") or {})
    return {}


def told_reason(stderr: str) -> str:
    """Find the sentence among what a command printed: the line marked as the error, else the last one."""
    lines = stderr.strip().splitlines() or [""]
    marked = [line.removeprefix("error:").strip() for line in lines if line.startswith("error:")]
    return (marked or lines)[-1]


def path_to_add() -> Path | None:
    """Find the folder that the shell's PATH lacks for `aerodrome` to be this command; None when it lacks nothing."""
    executable = Path(_executable())
    found = shutil.which("aerodrome")
    return None if found and Path(found).resolve() == executable.resolve() else executable.parent


def _run(*arguments: str, seconds: float = ANSWER_SECONDS) -> str:
    command = " ".join(("aerodrome", *arguments))
    try:
        done = subprocess.run([_executable(), *arguments], capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise failure.QuickstartError(f"`{command}` did not end within {seconds:g} s", look=failure.DOCTOR) from error
    if done.returncode != 0:
        reason = told_reason(done.stderr) or f"exit status {done.returncode}"
        raise failure.QuickstartError(f"`{command}` failed: {reason}", look=failure.DOCTOR)
    return done.stdout


def _executable() -> str:
    beside = Path(sys.executable).with_name("aerodrome")
    found = str(beside) if beside.exists() else shutil.which("aerodrome")
    if found is None:
        raise failure.QuickstartError(
            "there is no `aerodrome` command here", look="run it as `make quickstart` from the project's folder"
        )
    return found
