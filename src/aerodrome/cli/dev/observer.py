"""Reports what happens in Airflow as it happens: import errors, files that were read, tasks that failed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aerodrome import clock
from aerodrome.cli.dev import airflow_troubles
from aerodrome.cli.dev.airflow_rest import AirflowRest
from aerodrome.cli.dev.airflow_troubles import ImportTrouble, Reported, TaskFailure
from aerodrome.cli.dev.output import Mark, Teller
from aerodrome.errors import CallerError, RetryError

EVERY = 1.0
"""Seconds between two looks."""

PARSED_WITHIN = timedelta(seconds=60)
"""How long a DAG file is looked for in Airflow's list; a file that defines no DAG never gets there."""

LOG_ATTEMPTS = 5
"""How often the reason of a failure is looked for in a log that may not be there yet."""

LOGS_A_LOOK = 10
"""Logs that one look asks for; a flood of failures must not hold up a file that a person saves."""


@dataclass
class Observer:
    """Reports each trouble once."""

    teller: Teller
    _seen: Reported = field(default_factory=lambda: Reported(since=clock.now()))
    _parsing: dict[str, datetime] = field(default_factory=dict)
    """Files that were put and are not read yet → when they were put."""
    _unexplained: dict[TaskFailure, int] = field(default_factory=dict)
    """Failures that are not told yet → how often their log was looked into."""
    _refused: str = ""
    _looked_at: float = float("-inf")

    def expect(self, files: Iterable[str]) -> None:
        """Report when Airflow has read these files, which were put just now."""
        self._parsing |= dict.fromkeys(files, clock.now())

    def forget(self, files: Iterable[str]) -> None:
        """Forget these files, which are gone."""
        for file in files:
            self._parsing.pop(file, None)

    def look(self, airflow: AirflowRest, *, settled: bool) -> None:
        """Report what is new, if it is time for a look; while its environment is not `settled`, Airflow may be away."""
        if not airflow.has_rest or time.monotonic() - self._looked_at < EVERY:
            return
        try:
            self.tell_imports(airflow.import_troubles())
            self._tell_parsed(airflow)
            self.tell_failures(airflow)
        except RetryError:
            return  # web servers are replaced now and then: then nothing is known to be new or gone
        except CallerError as error:
            if settled and str(error) != self._refused:
                self._refused = str(error)
                self.teller.say("note", Mark.NOTE, f"Airflow tells nothing of its troubles: {error}")
        finally:
            self._looked_at = time.monotonic()

    def tell_imports(self, found: list[ImportTrouble]) -> None:
        """Report which of these are new, and which of those that were reported are gone."""
        news, self._seen = airflow_troubles.imports(self._seen, found)
        for trouble in news.appeared:
            self.forget([trouble.file])
            cause = trouble.cause
            about = {"file": trouble.file, "at": cause.file, "line": cause.line, "message": cause.message}
            self.teller.say("import-error", Mark.BAD, cause.sentence, **about)
        for file in news.gone:
            self.teller.say("import-error-gone", Mark.GOOD, f"{file}: its import error is gone", file=file)

    def tell_failures(self, airflow: AirflowRest) -> bool:
        """Report which attempts of tasks failed, and why; False while a reason is still being looked for."""
        if self._seen.since is None:
            return True
        news, self._seen = airflow_troubles.failures(self._seen, airflow.failures(self._seen.since))
        self._unexplained |= dict.fromkeys(news.failed, 0)
        for failure, looks in list(self._unexplained.items())[:LOGS_A_LOOK]:
            try:
                cause = airflow.cause(failure)
            except (CallerError, RetryError):
                cause = None
            if cause is None and looks < LOG_ATTEMPTS:
                self._unexplained[failure] = looks + 1
                continue
            del self._unexplained[failure]
            again = ", to be tried again" if failure.again else ""
            words = f"{failure.name} failed (run {failure.run}, try {failure.attempt}{again})"
            about = {"dag": failure.dag, "task": failure.task, "run": failure.run, "attempt": failure.attempt}
            if cause is not None:
                about |= {"at": cause.file, "line": cause.line, "message": cause.message}
            why = cause.sentence if cause else "its log names no error"
            self.teller.say("task-failed", Mark.BAD, f"{words}\n{why}", map_index=failure.index, **about)
        return not self._unexplained

    def _tell_parsed(self, airflow: AirflowRest) -> None:
        """Report which of the files that were put have been read, and their DAGs."""
        now = clock.now()
        self._parsing = {file: at for file, at in self._parsing.items() if now - at < PARSED_WITHIN}
        if not self._parsing:
            return
        for file, dags in sorted(airflow_troubles.parsed_since(airflow.dags(), self._parsing).items()):
            seconds = (now - self._parsing.pop(file)).total_seconds()
            words = f"{file}: {airflow_troubles.names(dags)} ({seconds:.1f} s)"
            self.teller.say("parsed", Mark.GOOD, words, file=file, dags=dags)
