"""One command of Airflow's command line, in a process that is forked for it: `boot.py cli <words>`.

Airflow's own parser and command run in this process, with the control roles' configuration, and give the exit code.
`airflow/commands.py` has decided before which commands may come here.

The words may be secret (a connection's password), so no command line that `ps` shows has them. If this process has to
start anew (see `prelude`), they wait in its standard input.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
import warnings
from typing import Any

from . import execution_api, notices, prelude, stored_dags

STDIN = 0

IN_ONE_PROCESS = {("dags", "test"), ("tasks", "test")}
"""Commands that run tasks in this process, which speak to an execution API in it."""

UNANSWERED = "The command asks for a confirmation, and here is nobody to answer. Add --yes to it."


def run(words: list[str]) -> None:
    """Run the command; without words, the one that was kept when this process started anew."""
    if words:
        _keep(words)
        del sys.argv[2:]
    prelude.adopt()
    stored_dags.call_what_airflow_knows()
    sys.argv = ["airflow", *_kept()]
    # Every command about DAGs says it, to people who can install nothing; `dags show` says it anyway.
    warnings.filterwarnings("ignore", message="Could not import graphviz")
    main = _command_line()
    notices.tell_of_runs()
    # Airflow 3 logs warnings to stdout, in the middle of a JSON document that somebody has asked for.
    warnings.showwarning = _warn
    if tuple(sys.argv[1:3]) in IN_ONE_PROCESS:
        execution_api.speak_newest_only()
    try:
        main()
    except EOFError:
        sys.exit(UNANSWERED)


def _command_line() -> Any:
    """Airflow's own command line, which reads `sys.argv`; 1.10 has it in a script that is no module."""
    if importlib.util.find_spec("airflow.__main__") is None:
        return _first
    from airflow.__main__ import main

    return main


def _first() -> None:
    """What the script of Airflow 1.10 does."""
    from airflow.bin import cli

    arguments = cli.CLIFactory.get_parser().parse_args()
    arguments.func(arguments)


def _warn(message: Warning | str, category: type, filename: str, lineno: int, *_: Any, **__: Any) -> None:
    sys.stderr.write(warnings.formatwarning(message, category, filename, lineno))


def _keep(words: list[str]) -> None:
    """Put the words into a file without a name that is our standard input."""
    with tempfile.TemporaryFile() as file:
        file.write(json.dumps(words).encode())
        file.flush()
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        os.dup2(file.fileno(), STDIN)


def _kept() -> list[str]:
    """The words; afterwards standard input is empty."""
    received = b""
    while True:
        chunk = os.read(STDIN, 65536)
        if not chunk:
            break
        received += chunk
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, STDIN)
    os.close(nothing)
    return list(json.loads(received.decode()))
