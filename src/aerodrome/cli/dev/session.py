"""One session of `aerodrome dev`: the only part of it that acts. `steps` decides what to do."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aerodrome import clock
from aerodrome.backends.local import paths
from aerodrome.cli import browser, operator_client
from aerodrome.cli import login as logging_in
from aerodrome.cli.dev import aws_resources, folder_tree, naming, steps
from aerodrome.cli.dev.airflow_cli import AirflowCli
from aerodrome.cli.dev.airflow_rest import AirflowRest
from aerodrome.cli.dev.aws_resources import AwsResources, ResourceNames
from aerodrome.cli.dev.folder import FileContent, Folder
from aerodrome.cli.dev.observer import Observer
from aerodrome.cli.dev.output import Mark, Teller
from aerodrome.cli.dev.steps import (
    Create,
    Current,
    Delete,
    Desired,
    EnvironmentFile,
    EnvironmentState,
    Put,
    Step,
    Update,
)
from aerodrome.errors import CallerError, RetryError
from aerodrome.release.failures import DAG_IMPORT_FAILED
from aerodrome.settings import Settings

SETTLED = frozenset({"AVAILABLE", "UPDATE_FAILED", "CREATE_FAILED"})
"""Statuses in which an environment stays as it is. UNAVAILABLE, its status while it starts, ends by itself."""

ROUND = 0.25
"""Seconds between two looks at folder and environment while nothing happens."""

SYNCED_WITHIN = 60.0
"""Seconds that the environment may take to fetch what is in the bucket; it looks every second."""

LISTED_WITHIN = 120.0
"""Seconds until a DAG that is to run must be in Airflow's list."""

_MANY = 10
"""With more files than this, their number is reported instead of their names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DevOptions:
    """The options of the command line."""

    folder: Path
    address: ResourceNames
    named: bool
    """Whether the command line gave the environment's name."""
    makes_bucket: bool
    airflow: str | None = None
    options: Mapping[str, str | None] = field(default_factory=dict)
    once: bool = False
    runs: tuple[str, ...] = ()
    """DAGs to run to their end; with `once` only."""
    opens: bool | None = None
    """Whether to open a browser; None = where there is one."""


class Session:
    """A folder, its environment, and what was asked for."""

    def __init__(self, options: DevOptions, settings: Settings, port: int, teller: Teller) -> None:
        self._options = options
        self._settings = settings
        self._port = port
        self._teller = teller
        self._notes: set[str] = set()
        self._name = options.address.environment
        self._aws = AwsResources(settings, port, options.address)
        self._folder = Folder(options.folder, self._note)
        self._observer = Observer(teller)
        self._current = Current(dags={}, members=None, state=EnvironmentState.ABSENT)
        self._asked_at = time.monotonic()
        self._removing = False
        """Whether an environment that could not be created is being deleted."""
        self._is_up = False
        """Whether it was seen serving by this session."""
        self._has_asked = False
        """Whether this session asked for a change."""
        self._waits_for_dags = False
        """The last change failed because of a DAG: it is worth another try as soon as a DAG changes."""
        self._airflow: AirflowRest | None = None
        self._ok = True

    def run(self) -> bool:
        """Bring the environment up and follow the folder until interrupted; with `once`, try all and return.

        True = nothing that `once` tried has failed.
        """
        self._prepare()
        trouble = ""
        for _ in self._folder.rounds(ROUND):
            try:
                self._round()
                trouble = ""
            except RetryError as error:
                if str(error) != trouble:
                    trouble = str(error)
                    self._teller.say("waiting", Mark.WORK, trouble)
                time.sleep(error.delay)
            if self._options.once and self._current.state is not EnvironmentState.BUSY:
                self._teller.quiet()
                break
        return self._ok and self._tried()

    # The beginning

    def _prepare(self) -> None:
        """Bucket, role, and what there is already."""
        options = self._options
        found = self._aws.get()
        if found is not None:
            aws_resources.check_is_ours(found, options.address, named=options.named)
        if options.makes_bucket:
            self._aws.make_bucket()
        self._aws.make_role()
        self._aws.mark_folder()
        self._know(dags=self._aws.dags())
        if found is not None:
            self._adopt(found)
        made = "a new environment" if found is None else f"Airflow {found['AirflowVersion']}, with its history"
        bucket, role = options.address.bucket, options.address.role_arn
        words = f"{self._name}: {made}; bucket {bucket}, role {role.rpartition('/')[2]}"
        self._teller.say(
            "environment", Mark.PLAIN, words, environment=self._name, bucket=bucket, role=role, created=found is None
        )

    def _adopt(self, found: Mapping[str, Any]) -> None:
        """Take over what the environment is now."""
        self._aws.adopt(found["Arn"])
        if found["Status"] == "CREATE_FAILED":
            self._remove()
            return
        self._know(
            members=self._has(found),
            options=dict(found.get("AirflowConfigurationOptions") or {}),
            airflow=found["AirflowVersion"],
            state=EnvironmentState.BUSY,  # until its units serve: it may just have been started
        )

    def _has(self, found: Mapping[str, Any]) -> dict[EnvironmentFile, str]:
        """The digests of the files that the environment runs with."""
        digests = {
            member: self._aws.digest(member, found.get(member.version))
            for member in EnvironmentFile
            if found.get(member.path)
        }
        return {member: digest for member, digest in digests.items() if digest is not None}

    def _know(self, **news: Any) -> None:
        """Note that the bucket or the environment has changed."""
        self._current = replace(self._current, **news)

    def _note(self, sentence: str) -> None:
        if sentence not in self._notes:
            self._notes.add(sentence)
            self._teller.say("note", Mark.NOTE, sentence)

    # A round

    def _round(self) -> None:
        """Look at everything once, and do what is to be done now."""
        self._look_at_environment()
        try:
            dags, members = self._folder.dags(), self._folder.members()
            wanted = Desired(
                dags={name: entry.digest for name, entry in dags.items()},
                members={member: content.digest for member, content in members.items()},
                options=self._options.options,
                airflow=self._options.airflow,
            )
            self._act(steps.decide(wanted, self._current), dags, members)
        except FileNotFoundError:
            return  # an editor is writing: the next round sees the result
        if self._airflow is not None and self._is_up and not self._options.once:
            self._observer.look(self._airflow, settled=self._current.state is EnvironmentState.SETTLED)

    def _act(
        self,
        wanted: Sequence[Step],
        dags: Mapping[str, folder_tree.FileEntry],
        members: Mapping[EnvironmentFile, FileContent],
    ) -> None:
        self._put([step.path for step in wanted if isinstance(step, Put)], dags)
        self._delete([step.path for step in wanted if isinstance(step, Delete)])
        for step in wanted:
            match step:
                case Create():
                    self._create(members)
                case Update():
                    self._update(step, members)
                case Put() | Delete() if self._waits_for_dags:
                    self._waits_for_dags = False
                    self._know(members=self._has(self._aws.get() or {}))
                case _:
                    pass

    def _put(self, paths: Sequence[str], files: Mapping[str, folder_tree.FileEntry]) -> None:
        for path in paths:
            data = files[path].path.read_bytes()
            self._aws.put_dag(path, data)
            self._know(dags={**self._current.dags, path: folder_tree.digest(data)})
            if len(paths) <= _MANY:
                self._teller.say("uploaded", Mark.UP, f"dags/{path}", file=f"dags/{path}")
        if len(paths) > _MANY:
            self._teller.say(
                "uploaded", Mark.UP, f"{len(paths)} files of dags", files=[f"dags/{path}" for path in paths]
            )
        if self._is_up:
            self._observer.expect(f"dags/{path}" for path in paths if path.endswith(".py"))

    def _delete(self, paths: Sequence[str]) -> None:
        self._aws.delete_dags(paths)
        self._know(dags={path: digest for path, digest in self._current.dags.items() if path not in paths})
        self._observer.forget(f"dags/{path}" for path in paths)
        for path in paths:
            self._teller.say("deleted", Mark.DOWN, f"dags/{path}", file=f"dags/{path}")

    def _create(self, members: Mapping[EnvironmentFile, FileContent]) -> None:
        versions, digests = self._bring(members, members)
        options = steps.merged(self._options.options, {})
        self._aws.create(versions, options, self._options.airflow)
        self._began(digests, options, self._options.airflow)

    def _update(self, step: Update, members: Mapping[EnvironmentFile, FileContent]) -> None:
        now = self._aws.get()
        if now is None or now["Status"] not in SETTLED:
            self._know(state=EnvironmentState.BUSY)  # somebody else changes it, or its maintenance began: later
            return
        changed = [member for member in step.members if member in members]
        gone = [member for member in step.members if member not in members]
        versions, digests = self._bring(changed, members)
        self._aws.update(versions, gone, step.options, step.airflow)
        kept = {member: digest for member, digest in (self._current.members or {}).items() if member not in gone}
        options = self._current.options if step.options is None else step.options
        self._began({**kept, **digests}, options, step.airflow or self._current.airflow)
        what = [member.key for member in changed] + [f"without {member.key}" for member in gone]
        what += ["options"] if step.options is not None else []
        what += [f"Airflow {step.airflow}"] if step.airflow else []
        self._teller.say("updating", Mark.WORK, f"{', '.join(what)}: tried beside what runs", changed=what)

    def _bring(
        self, which: Iterable[EnvironmentFile], members: Mapping[EnvironmentFile, FileContent]
    ) -> tuple[dict[EnvironmentFile, str], dict[EnvironmentFile, str]]:
        """Upload these files if need be; returns the version of each, and its digest."""
        data = {member: members[member].read() for member in which}
        digests = {member: folder_tree.digest(each) for member, each in data.items()}
        return {member: self._aws.put(member, each, digests[member]) for member, each in data.items()}, digests

    def _began(self, digests: Mapping[EnvironmentFile, str], options: Mapping[str, str], airflow: str | None) -> None:
        """Note that a change was asked for."""
        self._know(members=dict(digests), options=options, airflow=airflow, state=EnvironmentState.BUSY)
        self._asked_at = time.monotonic()
        self._has_asked = True

    def _remove(self) -> None:
        """Delete an environment that could not be created; the next change makes it anew."""
        self._aws.delete()
        self._removing = True
        self._know(state=EnvironmentState.BUSY)

    # The environment

    def _look_at_environment(self) -> None:
        """See how far a change is, and report its end."""
        if self._current.state is not EnvironmentState.BUSY:
            return
        found = self._status()
        if found is None and not self._removing:
            raise CallerError(f"{self._name} was deleted meanwhile.")
        if found is None:
            self._removing = False
            self._know(state=EnvironmentState.ABSENT)
        elif found["status"] not in SETTLED:
            progress = found["progress"]
            self._teller.progress(progress["phase"], progress["detail"], progress["fraction"])
        elif not self._is_up and not _serves(found):
            self._teller.progress("start", "Starting what runs Airflow.", None)
        elif not self._removing:
            self._teller.quiet()
            self._settled(found)

    def _status(self) -> dict[str, Any] | None:
        """The environment as the operator's socket tells it; None when there is none."""
        found = operator_client.ask(self._settings, "GET", "/status")["environments"]
        return next((dict(each) for each in found if each["name"] == self._name), None)

    def _settled(self, shown: Mapping[str, Any]) -> None:
        """A change has ended, or what was there already serves."""
        found = self._aws.get()
        if found is None:
            raise CallerError(f"{self._name} was deleted meanwhile.")
        seconds = round(time.monotonic() - self._asked_at, 1)
        for note in self._remarks(shown):
            self._note(note)
        error = (found.get("LastUpdate") or {}).get("Error") or {}
        # A change that failed before this session is tried again, if the files are still the same.
        if self._has_asked and (found["Status"] != "AVAILABLE" or error):
            self._failed(found["Status"], error, seconds)
        else:
            words = "applied" if self._is_up else f"{self._name} runs Airflow {found['AirflowVersion']}"
            self._teller.say("available", Mark.GOOD, f"{words} ({seconds:.1f} s)", seconds=seconds)
        if found["Status"] == "CREATE_FAILED":
            self._remove()
            return
        self._know(state=EnvironmentState.SETTLED, airflow=found["AirflowVersion"])
        self._airflow = AirflowRest(self._aws.mwaa, self._name, found["AirflowVersion"])
        if not self._is_up:
            self._is_up = True
            self._welcome()

    def _failed(self, status: str, error: Mapping[str, Any], seconds: float) -> None:
        """Report why a change failed, and what that means."""
        self._ok = False
        self._waits_for_dags = error.get("ErrorCode") == DAG_IMPORT_FAILED
        code, message = error.get("ErrorCode") or status, str(error.get("ErrorMessage") or "no reason was given")
        means = {
            "CREATE_FAILED": "It is made anew as soon as one of these files changes.",
        }.get(status, "The environment goes on as it was.")
        told = message.replace(" | ", "\n")  # MWAA has one line for a sentence and the log below it
        words = f"{code}: {told}\n{means}"
        self._teller.say("failed", Mark.BAD, words, code=code, message=message, status=status, seconds=seconds)

    def _remarks(self, shown: Mapping[str, Any]) -> list[str]:
        """The notes on the revision that now runs."""
        found = operator_client.ask(self._settings, "GET", f"/environments/{self._name}/revisions")
        return [note for each in found if each["number"] == shown["revision"] for note in each["report"]]

    def _welcome(self) -> None:
        """Open Airflow in a browser where there is one, or print the link."""
        if self._options.once:
            return
        address = logging_in.link(self._settings, self._port, self._name, None)
        opened = self._options.opens is not False and browser.show(address, os.environ)
        if self._options.opens and not opened:
            self._note("there is no browser here to open Airflow in")
        host = address.partition("/aws_mwaa")[0]
        way = f"Airflow is open in your browser: {host}" if opened else f"Airflow (once, within a minute): {address}"
        words = f"{way}\nanother link: aerodrome login {self._name}"
        self._teller.say("airflow", Mark.PLAIN, words, address=address, opened=opened)
        self._teller.say("watching", Mark.PLAIN, f"Watching {self._options.folder}; Ctrl-C ends it.")

    # Once

    def _tried(self) -> bool:
        """With `once`, after the environment came up: every DAG file, and the DAGs that are to run."""
        if self._airflow is None or self._current.airflow is None:
            return False
        self._await_dags()
        found = AirflowCli(self._settings, self._aws.mwaa, self._name).import_troubles(self._current.airflow)
        self._observer.tell_imports(found)
        if not found:
            words = f"All files of dags import ({len(self._current.dags)})"
            self._teller.say("imported", Mark.GOOD, words, files=len(self._current.dags))
        ran = [self._ran(self._airflow, dag) for dag in self._options.runs]
        return not found and all(ran)

    def _await_dags(self) -> None:
        """Return when the environment holds the DAG files that the bucket holds."""
        began, reader = time.monotonic(), folder_tree.TreeReader()
        while (shown := self._status()) is not None:
            held = reader.tree(paths.of(self._settings.paths, self._name, shown["identifier"]).dags)
            if {name: entry.digest for name, entry in held.items()} == self._current.dags:
                return
            if time.monotonic() - began > SYNCED_WITHIN:
                break
            time.sleep(ROUND)
        raise CallerError(
            f"The DAGs have not come from the bucket into {self._name}: see aerodrome events {self._name}."
        )

    def _ran(self, airflow: AirflowRest, dag: str) -> bool:
        """Run a DAG to its end; whether it succeeded."""
        if not airflow.has_rest:
            raise CallerError("--run needs Airflow 2 or later.")
        began = time.monotonic()
        while not airflow.is_listed(dag):
            if time.monotonic() - began > LISTED_WITHIN:
                self._teller.say("run", Mark.BAD, f"{dag}: there is no such DAG", dag=dag, run=None, state="failed")
                return False
            time.sleep(ROUND)
        run, began = f"dev-{clock.now():%Y%m%dT%H%M%S}", time.monotonic()
        airflow.trigger(dag, run)
        while (state := airflow.run_state(dag, run)) not in {"success", "failed"}:
            self._teller.progress(f"run of {dag}", state, None)
            time.sleep(ROUND)
        while not self._observer.tell_failures(airflow):
            time.sleep(ROUND)
        self._teller.quiet()
        seconds = round(time.monotonic() - began, 1)
        mark = Mark.GOOD if state == "success" else Mark.BAD
        self._teller.say("run", mark, f"{dag}: {state} ({seconds:.1f} s)", dag=dag, run=run, state=state)
        return state == "success"


def _serves(shown: Mapping[str, Any]) -> bool:
    """Whether every unit of an environment is ready, or the environment could not be created."""
    units = shown["units"]
    return shown["status"] == "CREATE_FAILED" or (bool(units) and all(unit["state"] == "ready" for unit in units))


def address(
    folder: Path, settings: Settings, *, name: str | None, bucket: str | None, role: str | None
) -> ResourceNames:
    """The names of everything that belongs to a folder. Pure.

    Raises:
        CallerError: the name that was given is not valid.
    """
    environment = naming.checked(name) if name else naming.environment(folder)
    own_role = naming.role(environment)
    return ResourceNames(
        environment=environment,
        bucket=bucket or naming.bucket(environment),
        prefix=f"{environment}/" if bucket else "",
        role=None if role else own_role,
        role_arn=role or f"arn:aws:iam::{settings.account_id}:role/{own_role}",
        mark=naming.mark(folder),
    )
