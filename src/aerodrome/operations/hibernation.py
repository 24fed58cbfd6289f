"""Hibernation: asked for by an operator, ended by an operator or by whatever needs the environment.

MWAA has no such operation, so IAM has no action for it: `operator` is the only door. Whoever may use an environment's
web server, command line or REST API wakes it by doing so.
"""

from __future__ import annotations

import asyncio
import functools
import time
from datetime import datetime

from anyio import to_thread

from aerodrome.clock import Clock
from aerodrome.errors import CallerError, RetryError
from aerodrome.ledger.environments import Environments
from aerodrome.model import hibernation, lifecycle
from aerodrome.model.environment import Environment
from aerodrome.model.hibernation import Rest
from aerodrome.operations import find
from aerodrome.operations.dependencies import Dependencies

PATIENCE = 25.0
"""Seconds that a request waits for an environment that it has woken; clients of MWAA wait a minute at most."""

PAUSE = 0.2
"""Seconds between two looks at an environment that is being woken."""

SERVING = frozenset({Rest.AWAKE, Rest.WAITING})
"""How far its sleep may be while an environment serves requests."""

NOTED_EVERY = 30.0
"""Seconds between two notes that an environment is used."""


def hibernate(deps: Dependencies, name: str, *, waits: bool, requested_by: str) -> Environment:
    """Ask for hibernation; the controller begins it when nothing runs, or refuses it if it is not to wait.

    Raises:
        NotFoundError: there is no such environment.
        CallerError: its status does not allow it.
    """
    environment = find.for_operator(deps, name)
    refused = _refusal(environment, waits=waits)
    if refused:
        raise CallerError(refused)
    now = deps.clock()
    detail = {"by": requested_by}
    return deps.environments.rest(
        name, lambda found: hibernation.asked(found.hibernation, waits=waits, now=now), now, detail=detail
    )


def wake(deps: Dependencies, name: str, *, requested_by: str) -> Environment:
    """Wake the environment, or forget that it was to hibernate; nothing happens to one that is awake.

    Raises:
        NotFoundError: there is no such environment.
    """
    environment, now = find.for_operator(deps, name), deps.clock()
    return deps.environments.rest(
        environment.name,
        lambda found: hibernation.woken(found.hibernation, "Somebody asked for it.", now),
        now,
        detail={"by": requested_by},
    )


def needed(environments: Environments, environment: Environment, why: str, clock: Clock) -> Environment:
    """Wake the environment if it hibernates, because somebody needs it; `why` is a sentence. Blocks."""
    if environment.status not in lifecycle.SETTLED or not environment.hibernation.is_down:
        return environment
    now = clock()
    return environments.rest(environment.name, lambda found: hibernation.woken(found.hibernation, why, now), now)


class Waking:
    """Lets requests wait for the environments that they wake. One for each event loop."""

    def __init__(self, environments: Environments, clock: Clock) -> None:
        self._environments = environments
        self._clock = clock
        self._wakings: dict[str, asyncio.Task[bool]] = {}
        self._noted: dict[str, float] = {}

    async def awake(self, environment: Environment, why: str) -> None:
        """Return when the environment is awake; wake it if need be, for the reason `why`, a sentence.

        Raises:
            RetryError: that takes longer than a client should wait.
        """
        if environment.status not in lifecycle.SETTLED:
            return
        if environment.hibernation.rest in SERVING:
            await self._note(environment)
            return
        waking = self._wakings.get(environment.identifier)
        if waking is None:
            waking = self._wakings[environment.identifier] = asyncio.create_task(self._woken(environment, why))
            waking.add_done_callback(lambda _: self._wakings.pop(environment.identifier, None))
        if not await asyncio.shield(waking):
            raise RetryError(
                f"Environment '{environment.name}' hibernated and is being woken; try again in a moment.", delay=5
            )

    async def _woken(self, environment: Environment, why: str) -> bool:
        """Whether it is awake in time. However many requests wait, one asks the ledger."""
        ends = time.monotonic() + PATIENCE
        await to_thread.run_sync(needed, self._environments, environment, why, self._clock)
        while time.monotonic() < ends:
            found = await to_thread.run_sync(self._environments.get, environment.name)
            if found is None or found.status not in lifecycle.SETTLED or found.hibernation.rest in SERVING:
                return True
            await asyncio.sleep(PAUSE)
        return False

    async def _note(self, environment: Environment) -> None:
        """Write down that the environment is used, where it would fall asleep otherwise."""
        last = self._noted.get(environment.identifier, float("-inf"))
        if not hibernation.habits(environment.tags).any or time.monotonic() - last < NOTED_EVERY:
            return
        self._noted[environment.identifier] = time.monotonic()
        now = self._clock()
        noted = functools.partial(_noted, self._environments, environment)
        await to_thread.run_sync(noted, now)


def _noted(environments: Environments, environment: Environment, now: datetime) -> None:
    environments.rest(environment.name, lambda found: hibernation.used(found.hibernation, now), now)


def _refusal(environment: Environment, *, waits: bool) -> str:
    """Why the status of an environment does not allow hibernation, in a sentence; empty = it does."""
    name, status = environment.name, environment.status
    if status in lifecycle.SETTLED or (waits and status in lifecycle.CHANGING):
        return ""
    if status in lifecycle.CHANGING:
        return f"{name} is {status}: wait until that is over, or ask with --wait, so that it hibernates then."
    return f"{name} is {status}, and only an environment that is AVAILABLE can hibernate."
