"""Airflow's command line in an environment: runs one command, given as text, as the web server would."""

from __future__ import annotations

from anyio import CapacityLimiter, to_thread

from aerodrome.airflow import commands, versions
from aerodrome.backends.contract import CommandResult, Runtime
from aerodrome.model.environment import Environment

MOST_COMMANDS = 64
"""Airflow commands that run at once. Each holds a thread for up to a minute. They have threads of their own: four
commands in each of ten environments would otherwise leave no thread for the API."""


class Commands:
    """Runs Airflow commands, each in a thread."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._limiter = CapacityLimiter(MOST_COMMANDS)

    async def run(self, environment: Environment, text: str) -> CommandResult:
        """Run a command, given without the word `airflow`.

        Raises:
            CallerError: the command is not allowed.
            RetryError: the command cannot run now.
        """
        argv = commands.parse(versions.lookup(environment.spec.airflow_version), text)
        run, serving = self._runtime.run_command, environment.serving
        return await to_thread.run_sync(run, environment.tenant, serving, argv, limiter=self._limiter)
