"""Decides how many web servers an environment has, from what they have had to do. Pure.

MWAA's rule: more when a web server has more than 15 connections or more than 70 % of a processor, from MinWebservers to
MaxWebservers. More come when they have been needed for a few seconds, fewer are enough when they would have been all
through the last while. So neither one busy page nor a load that goes up and down moves anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from aerodrome.controller.scaling import Pace
from aerodrome.model.demand import WebDemand, WebSample
from aerodrome.model.observed import Cell, WebLoad
from aerodrome.model.orders import CellOrder
from aerodrome.model.spec import Spec

CONNECTIONS = 15
"""Open connections that one web server is enough for."""

PROCESSOR = 0.7
"""The part of one processor that it may use before another is needed."""

GROW_AFTER = 5.0
"""Seconds for which more must have been needed; a start takes as long, and a page that is built anew uses a processor
for one."""

LONGEST_STEP = 2.0
"""Seconds that one look adds at most, so that `GROW_AFTER` is never less than three looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebStep:
    """Another number of web servers, and the sentence that tells it."""

    count: int
    sentence: str


def standing(spec: Spec, found: Cell) -> int:
    """How many web servers a cell has, within the bounds of the spec. A new cell begins with as few as may be."""
    known = found.order.web_servers if isinstance(found.order, CellOrder) and found.runs else 0
    return _within(spec, known)


def follows(spec: Spec) -> bool:
    """Whether the number of web servers may change."""
    return spec.running_webservers < spec.most_running_webservers


def seen(before: WebDemand | None, revision: int, load: WebLoad | None, *, window: float, now: datetime) -> WebDemand:
    """What is remembered after this look, of the moments within the `window` (seconds)."""
    if load is None:
        return before if before is not None and before.revision == revision else WebDemand(at=now, revision=revision)
    if before is None or before.revision != revision:
        return WebDemand(at=now, revision=revision, processor=load.processor)
    seconds = (now - before.at).total_seconds()
    step = min(max(seconds, 0.0), LONGEST_STEP)
    older = (replace(sample, ago=sample.ago + step) for sample in before.samples)
    kept = [sample for sample in older if sample.ago <= window]
    sample = WebSample(ago=0.0, connections=load.connections, processors=_used(before, load.processor, seconds))
    return WebDemand(
        at=now,
        revision=revision,
        looked_for=min(before.looked_for + step, window),
        processor=load.processor,
        samples=(*kept, sample),
    )


def step(spec: Spec, running: int, demand: WebDemand, pace: Pace) -> WebStep | None:
    """The next change of the number of web servers, when so many are `running`; None = it is as it should be."""
    least = _least(demand)
    if least is not None and needed(least) > running:
        count = _within(spec, needed(least))
        return _changed(running, count, least)
    most = max(demand.samples, key=needed, default=None)
    is_over = demand.looked_for >= pace.scale_in_after
    if most is None or not is_over or needed(most) >= running:
        return None
    return _changed(running, _within(spec, needed(most)), most, lately=True)


def needed(sample: WebSample) -> int:
    """How many web servers are enough for what was seen at a moment."""
    return max(_by_connections(sample), _by_processors(sample))


def _by_connections(sample: WebSample) -> int:
    return max(1, math.ceil(sample.connections / CONNECTIONS))


def _by_processors(sample: WebSample) -> int:
    return max(1, math.ceil(round(sample.processors / PROCESSOR, 6)))


def _least(demand: WebDemand) -> WebSample | None:
    """The moment of the last few seconds that needed the fewest; None = we have not looked for so long."""
    if demand.looked_for < GROW_AFTER:
        return None
    return min((sample for sample in demand.samples if sample.ago <= GROW_AFTER), key=needed, default=None)


def _used(before: WebDemand, processor: Mapping[str, float], seconds: float) -> float:
    """How many processors the web servers have used since the look before; one that has just come does not count."""
    if seconds <= 0:
        return 0.0
    used = (after - before.processor[name] for name, after in processor.items() if name in before.processor)
    return sum(max(0.0, each) for each in used) / seconds


def _within(spec: Spec, count: int) -> int:
    return min(max(count, spec.running_webservers), spec.most_running_webservers)


def _changed(running: int, count: int, cause: WebSample, *, lately: bool = False) -> WebStep | None:
    if count == running:
        return None
    load, each = (
        (_counted(cause.connections, "open connection"), f"{CONNECTIONS}")
        if _by_connections(cause) >= _by_processors(cause)
        else (f"{cause.processors:.1f} processors in use", f"{PROCESSOR}")
    )
    bound = ""
    if needed(cause) > count:
        bound = " (MaxWebservers)"
    elif needed(cause) < count:
        bound = " (MinWebservers)"
    most = "at most " if lately else ""
    when = " lately" if lately else ""
    return WebStep(
        count=count,
        sentence=f"{most}{load}{when}, {each} a web server → {_counted(count, 'web server')}{bound}",
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
