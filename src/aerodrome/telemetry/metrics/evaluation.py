"""Looks at every alarm each minute, and tells SNS topics of those that have another state.

A change of state and what is to be told of it are one transaction; whatever is left untold by a killed process is told
by the next one. So a topic hears of each change once, or twice after a crash.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import structlog

from aerodrome.telemetry.metrics import alarms, periods
from aerodrome.telemetry.metrics.alarms import AlarmState
from aerodrome.telemetry.metrics.api import alarm_queries
from aerodrome.telemetry.metrics.catalogue import HistoryItem, MetricCatalogue, Notice
from aerodrome.telemetry.metrics.expressions import Series
from aerodrome.telemetry.metrics.periods import MINUTE
from aerodrome.telemetry.metrics.protocols import Document
from aerodrome.telemetry.metrics.queries import Queries
from aerodrome.telemetry.metrics.store import MetricStore
from aerodrome.telemetry.refusals import TelemetryRefusedError
from aerodrome.unix_http import UnixHttpConnection

LATE = 20.0
"""Seconds after a minute's end at which its points are there."""

MOST_ATTEMPTS = 60
"""To tell a topic something, one a minute at most."""

SECONDS = 10.0
"""For an answer of SNS."""

log = structlog.get_logger("telemetry")

Publish = Callable[[Notice], None]


class PublishError(Exception):
    """The topic was not told.

    `is_final` when it makes no sense to try again, `is_away` when no topic can be told now.
    """

    def __init__(self, sentence: str, *, is_final: bool, is_away: bool = False) -> None:
        super().__init__(sentence)
        self.is_final = is_final
        self.is_away = is_away


class Evaluation:
    """The alarms of a store."""

    def __init__(self, store: MetricStore, publish: Publish, *, region: str, account: str) -> None:
        self._store = store
        self._publish = publish
        self._region = region
        self._account = account
        self._is_retry = True

    async def run(self) -> None:
        """Look each minute, and tell topics at once of what has happened; for ever.

        A topic that does not answer keeps no alarm from being looked at.
        """
        await asyncio.gather(self._look_each_minute(), self._tell_soon())

    async def _look_each_minute(self) -> None:
        while True:
            try:
                await self.evaluate()
            except Exception:
                log.exception("alarms could not be evaluated")  # the next look tries again
            await asyncio.sleep(seconds_until_next(self._store.now))

    async def _tell_soon(self) -> None:
        while True:
            await self._store.untold.wait()
            self._store.untold.clear()
            is_retry, self._is_retry = self._is_retry, False
            try:
                await self.tell(is_retry=is_retry)
            except Exception:
                log.exception("topics could not be told of alarms")  # the next minute tries again

    async def evaluate(self) -> None:
        """Look at every alarm now; what is still untold is tried again."""
        for name in await self._store.ask(MetricCatalogue.alarm_names):
            await self._store.ask(partial(self._look, name))
        self._is_retry = True
        self._store.untold.set()

    def _look(self, name: str, catalogue: MetricCatalogue) -> None:
        """Runs in the catalogue's thread: nobody else changes the alarm meanwhile."""
        alarm, now = catalogue.alarm(name), self._store.now
        if alarm is None:
            return
        try:
            state = _state(alarm, catalogue, now)
        except TelemetryRefusedError as error:
            state = AlarmState(alarms.INSUFFICIENT, f"The alarm cannot be evaluated: {error}")
        move = alarms.moved(alarm, state, now=now, region=self._region, account=self._account)
        if move is not None:
            catalogue.put_alarms([move])

    async def tell(self, *, is_retry: bool = True) -> None:
        """Tell topics what they have not been told yet; `is_retry`: what was tried in vain, too."""
        for number, attempts, notice in await self._store.ask(MetricCatalogue.outbox, is_retry=is_retry):
            try:
                await asyncio.get_running_loop().run_in_executor(None, self._publish, notice)
            except PublishError as error:
                if not error.is_final and attempts + 1 < MOST_ATTEMPTS:
                    await self._store.ask(MetricCatalogue.tried, number)
                    if error.is_away:
                        return
                    continue
                told = f"Failed to execute action {notice.topic}: {error}"
                log.warning("an alarm's topic was not told", alarm=notice.alarm, topic=notice.topic, reason=str(error))
            else:
                told = f"Successfully executed action {notice.topic}"
            data = json.dumps({"actionState": told.partition(" ")[0], "notificationResource": notice.topic})
            item = HistoryItem(notice.alarm, self._store.now, "Action", told, data)
            await self._store.ask(MetricCatalogue.told, number, [item])


def seconds_until_next(now: float) -> float:
    """Until the points of the next minute are there."""
    return MINUTE - (now - LATE) % MINUTE


def _state(alarm: Document, catalogue: MetricCatalogue, now: float) -> AlarmState:
    asked = alarm_queries(alarm)
    period = max(
        (each["MetricStat"]["Period"] for each in asked if "MetricStat" in each), default=alarm.get("Period", MINUTE)
    )
    count, end = alarms.window(alarm), periods.aligned(now - LATE, MINUTE)
    start = end - count * period
    results = Queries(catalogue, asked, start=start, end=end, now=now, sliding=end).results()
    series = results[0].series if results else Series("", {}, period)
    return alarms.evaluated(alarm, [series.points.get(end - number * period) for number in range(1, count + 1)])


def publisher(socket: Path) -> Publish:
    """Publishes through the embedded SNS, behind its unix socket.

    An alarm acts as CloudWatch itself; whoever puts one must be allowed to publish to its topics, says the door.
    """

    def publish(notice: Notice) -> None:
        form = {"Action": "Publish", "Version": "2010-03-31", "TopicArn": notice.topic, "Subject": notice.subject,
                "Message": notice.message}  # fmt: skip
        region, account = notice.topic.split(":")[3:5]
        date = time.strftime("%Y%m%d", time.gmtime())
        scope = f"{account}/{date}/{region}/sns/aws4_request"
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
        }
        connection = UnixHttpConnection(str(socket), SECONDS)
        try:
            connection.request("POST", "/", urlencode(form), headers)
            answer = connection.getresponse()
            told = answer.read(2000).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise PublishError(f"SNS does not answer: {error}", is_final=False, is_away=True) from error
        finally:
            connection.close()
        if answer.status >= 500:  # noqa: PLR2004 - a fault of the service
            raise PublishError(f"SNS answers {answer.status}", is_final=False)
        if answer.status >= 300:  # noqa: PLR2004 - anything but a success
            raise PublishError(f"SNS answers {answer.status}: {told[:200]}", is_final=True)

    return publish
