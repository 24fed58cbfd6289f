"""The sleep of an environment: how far it is, who asked for it, and the tags that let it fall asleep by itself. Pure.

A hibernated environment keeps its database, queue, DAGs and configuration, and runs no unit. Towards MWAA's clients its
status stays AVAILABLE.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta, tzinfo
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aerodrome.errors import CallerError

IDLE_TAG = "aerodrome:hibernate-after"
"""The tag whose value is how long an environment may be idle before it hibernates: `30m`, `2h`."""

ASLEEP_TAG = "aerodrome:asleep"
"""The tag whose value is when an environment shall be asleep, and where it is so late: `20:00-07:00 Europe/Berlin`."""

SHORTEST_IDLE = timedelta(minutes=1)
LONGEST_IDLE = timedelta(days=7)

NIGHT_IDLE = timedelta(minutes=5)
"""How long an environment must be idle to hibernate in the time of `ASLEEP_TAG`."""

_IDLE = re.compile(r"([1-9][0-9]{0,4})([mh])")
_ASLEEP = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])(?: ([A-Za-z0-9_+/-]{1,64}))?")


class Rest(StrEnum):
    """How far an environment is on its way to sleep or back."""

    AWAKE = "AWAKE"
    WAITING = "WAITING"
    """Hibernation was asked for, and begins when nothing runs."""

    STOPPING = "STOPPING"
    HIBERNATED = "HIBERNATED"
    WAKING = "WAKING"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hibernation:
    """Where an environment is between awake and hibernated."""

    rest: Rest = Rest.AWAKE
    since: datetime | None = None
    """When it came to that; None = it has been awake from its beginning."""

    by_command: bool = False
    """Somebody asked for it; otherwise a tag did. While it is being woken: somebody asked for sleep after that."""

    waits: bool = False
    """It waits for what runs, where another request is refused."""

    refusal: str = ""
    """Why the last request came to nothing, in a sentence; empty = it did not."""

    used_at: datetime | None = None
    """When somebody used it last, or something ran, as far as that was written down: not more than twice a minute."""

    dags_at: float | None = None
    """When its DAGs had changed last as it began to stop, in seconds since 1970; None = nobody knew."""

    @property
    def is_down(self) -> bool:
        """Whether its units are stopped, or are being stopped."""
        return self.rest in {Rest.STOPPING, Rest.HIBERNATED}


AWAKE = Hibernation()


@dataclass(frozen=True, slots=True)
class HibernationStep:
    """What becomes of an environment's sleep, and the entry for its event log."""

    after: Hibernation
    kind: str = ""
    """Empty = no event."""

    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Night:
    """When an environment shall be asleep: two times of day in a zone."""

    begins: time
    ends: time
    zone: tzinfo

    def has(self, now: datetime) -> bool:
        """Whether it is night."""
        local = now.astimezone(self.zone).time()
        if self.begins <= self.ends:
            return self.begins <= local < self.ends
        return local >= self.begins or local < self.ends

    def last_end(self, now: datetime) -> datetime:
        """When the last night ended that has ended."""
        local = now.astimezone(self.zone)
        today = datetime.combine(local.date(), self.ends, self.zone)
        return today if today <= now else datetime.combine(local.date() - timedelta(days=1), self.ends, self.zone)


@dataclass(frozen=True, slots=True)
class Habits:
    """When an environment falls asleep by itself; what is None is not asked for."""

    idle: timedelta | None = None
    night: Night | None = None

    @property
    def any(self) -> bool:
        """Whether it does at all."""
        return self.idle is not None or self.night is not None

    def patience(self, now: datetime) -> timedelta | None:
        """How long it must be idle at this moment to hibernate; None = it does not."""
        if self.night is not None and self.night.has(now):
            return NIGHT_IDLE if self.idle is None else min(self.idle, NIGHT_IDLE)
        return self.idle


def habits(tags: Mapping[str, str]) -> Habits:
    """What the tags ask for; a value that cannot be read asks for nothing."""
    try:
        idle = _idle(tags[IDLE_TAG]) if IDLE_TAG in tags else None
    except CallerError:
        idle = None
    try:
        night = _night(tags[ASLEEP_TAG]) if ASLEEP_TAG in tags else None
    except CallerError:
        night = None
    return Habits(idle, night)


def refusals(tags: Mapping[str, str]) -> Iterator[str]:
    """Why these tags are no habits of sleep, each in a sentence without its full stop."""
    for key, read in ((IDLE_TAG, _idle), (ASLEEP_TAG, _night)):
        try:
            if key in tags:
                read(tags[key])
        except CallerError as error:
            yield str(error)


def _idle(text: str) -> timedelta | None:
    if text == "off":
        return None
    match = _IDLE.fullmatch(text)
    found = timedelta(minutes=int(match[1]) * (60 if match[2] == "h" else 1)) if match else timedelta()
    if not SHORTEST_IDLE <= found <= LONGEST_IDLE:
        raise CallerError(
            f"Tags: {IDLE_TAG} is '{text[:64]}': give minutes or hours, such as 30m or 2h (at most a week), or off"
        )
    return found


def _night(text: str) -> Night | None:
    if text == "off":
        return None
    match = _ASLEEP.fullmatch(text)
    zone = _zone(match[5] or "UTC") if match else None
    if match is None or zone is None or match.groups()[0:2] == match.groups()[2:4]:
        raise CallerError(
            f"Tags: {ASLEEP_TAG} is '{text[:64]}': give two times of day and a time zone, such as "
            "20:00-07:00 Europe/Berlin (without a zone: UTC), or off"
        )
    return Night(time(int(match[1]), int(match[2])), time(int(match[3]), int(match[4])), zone)


def _zone(name: str) -> tzinfo | None:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder of zones
        return None


def asked(before: Hibernation, *, waits: bool, now: datetime) -> HibernationStep | None:
    """Somebody asks for hibernation; None = it is under way already, and waits if that is asked for now."""
    if before.is_down or (_is_wanted(before) and before.waits >= waits):
        return None
    after = replace(before, rest=Rest.WAITING, since=now, by_command=True, waits=waits, refusal="")
    if before.rest is Rest.WAKING:  # its units are not there yet: the request follows when it is awake
        after = replace(after, rest=before.rest, since=before.since)
    words = "It begins when nothing runs." if waits else "It begins if nothing runs."
    return HibernationStep(after, "HIBERNATION_REQUESTED", f"Hibernation was asked for. {words}")


def _is_wanted(slept: Hibernation) -> bool:
    """Whether it was asked to hibernate, and has not begun to."""
    return slept.rest is Rest.WAITING or (slept.rest is Rest.WAKING and slept.by_command)


def tired(before: Hibernation, sentence: str, now: datetime) -> HibernationStep:
    """A tag asks for hibernation, and nothing runs."""
    after = replace(before, rest=Rest.WAITING, since=now, by_command=False, waits=False, refusal="")
    return HibernationStep(after, "HIBERNATION_REQUESTED", sentence)


def refused(before: Hibernation, sentence: str, now: datetime) -> HibernationStep:
    """What runs is not to be waited for."""
    after = replace(before, rest=Rest.AWAKE, since=now, waits=False, refusal=sentence if before.by_command else "")
    return HibernationStep(after, "HIBERNATION_REFUSED", f"It does not hibernate: {sentence}")


def begun(before: Hibernation, dags_at: float | None, now: datetime) -> HibernationStep:
    """Nothing runs, so units are stopped from now on."""
    after = replace(before, rest=Rest.STOPPING, since=now, dags_at=dags_at)
    return HibernationStep(after, "HIBERNATION_BEGUN", "Nothing runs: every unit is stopped.")


def reached(before: Hibernation, now: datetime) -> HibernationStep:
    """No unit runs any more."""
    after = replace(before, rest=Rest.HIBERNATED, since=now)
    return HibernationStep(after, "HIBERNATED", "The environment hibernates: no unit runs, and everything is kept.")


def woken(before: Hibernation, why: str, now: datetime) -> HibernationStep | None:
    """Something needs the environment; `why` is a sentence. None = it is awake, or being woken."""
    if before.rest is Rest.WAKING and before.by_command:
        after = replace(before, by_command=False, waits=False)
        return HibernationStep(after, "HIBERNATION_CANCELLED", f"{why} It stays awake when it is.")
    if before.rest in {Rest.AWAKE, Rest.WAKING}:
        return None
    if before.rest is Rest.WAITING:
        after = replace(AWAKE, since=now, used_at=now)
        return HibernationStep(after, "HIBERNATION_CANCELLED", f"{why} It stays awake.")
    return HibernationStep(
        replace(AWAKE, rest=Rest.WAKING, since=now, used_at=now), "WAKING", f"{why} It is being woken."
    )


def awake(before: Hibernation, now: datetime) -> HibernationStep:
    """Every unit is ready again."""
    seconds = (now - before.since).total_seconds() if before.since is not None else 0.0
    after = _arrived(before, now)
    return HibernationStep(after, "AWAKE", f"The environment is awake: every unit is ready after {seconds:.1f} s.")


def _arrived(before: Hibernation, now: datetime) -> Hibernation:
    """The sleep of an environment that was being woken: none, unless hibernation was asked for meanwhile."""
    after = replace(AWAKE, since=now, used_at=now)
    return replace(after, rest=Rest.WAITING, by_command=True, waits=before.waits) if before.by_command else after


def used(before: Hibernation, now: datetime) -> HibernationStep:
    """Somebody uses it, or something runs."""
    return HibernationStep(replace(before, used_at=now))


def changed(before: Hibernation, *, by_maintenance: bool, now: datetime) -> Hibernation:
    """The sleep of an environment of which a change begins: after maintenance it goes on, after others it does not."""
    if not by_maintenance:
        return AWAKE if before.rest is Rest.AWAKE else replace(AWAKE, since=now, used_at=now)
    if before.is_down or before.rest is Rest.WAITING:
        return replace(before, rest=Rest.WAITING, since=now, waits=True)
    return before


def lost(before: Hibernation, now: datetime) -> Hibernation:
    """The sleep of an environment whose processes are gone: one that was being woken is awake when they are back."""
    if before.rest is Rest.WAKING:
        return _arrived(before, now)
    return replace(before, used_at=now)
