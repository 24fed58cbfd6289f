"""Airflow's REST API as a client of MWAA reaches it: InvokeRestApi. Hides the differences between Airflow 2 and 3."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote

from botocore.exceptions import ClientError

from aerodrome.cli import aws_clients
from aerodrome.cli.dev import airflow_troubles, tracebacks
from aerodrome.cli.dev.airflow_troubles import ImportTrouble, TaskFailure
from aerodrome.cli.dev.tracebacks import Cause
from aerodrome.errors import CallerError, NotFoundError, RetryError

_PAGE = 100
"""Entries that Airflow gives at once at most."""

_MOST_PAGES = 20
"""Nobody reads what comes after these."""

_NOT_FOUND = 404
_LINE_2 = 2
_ANY = "~"
"""Airflow's word for every DAG, or every run."""


class AirflowRest:
    """The Airflow of one environment. Every method may raise RetryError while its web server is not there."""

    def __init__(self, mwaa: Any, environment: str, version: str) -> None:
        self._mwaa = mwaa
        self._environment = environment
        self._major = int(version.split(".", maxsplit=1)[0])

    @property
    def has_rest(self) -> bool:
        """Whether it has a REST API at all."""
        return self._major > 1

    def import_troubles(self) -> list[ImportTrouble]:
        """The DAG files that cannot be imported now."""
        return airflow_troubles.read_imports(self._pages("/importErrors", "import_errors"))

    def failures(self, since: datetime) -> list[TaskFailure]:
        """The attempts of tasks that failed at this time or later."""
        query = {"state": ["failed", "up_for_retry"], "end_date_gte": since.isoformat()}
        return airflow_troubles.read_failures(
            self._pages(f"/dags/{_ANY}/dagRuns/{_ANY}/taskInstances", "task_instances", **query)
        )

    def cause(self, failure: TaskFailure) -> Cause | None:
        """Why an attempt failed, as far as its log tells."""
        where = "/".join(("", "dags", _quoted(failure.dag), "dagRuns", _quoted(failure.run)))
        path = f"{where}/taskInstances/{_quoted(failure.task)}/logs/{failure.attempt}"
        document = self._call("GET", path, query={"full_content": True, "map_index": failure.index})
        return tracebacks.of_log(document.get("content") if isinstance(document, dict) else None)

    def dags(self) -> dict[str, Any]:
        """Every DAG that Airflow lists."""
        return self._pages("/dags", "dags")

    def is_listed(self, dag: str) -> bool:
        """Whether Airflow knows a DAG now, and did not only know it earlier."""
        try:
            found = self._call("GET", f"/dags/{_quoted(dag)}")
        except NotFoundError:
            return False
        return not found.get("is_stale") and found.get("is_active") is not False

    def trigger(self, dag: str, run: str) -> None:
        """Unpause a DAG and start a run of it."""
        self._call("PATCH", f"/dags/{_quoted(dag)}", body={"is_paused": False})
        body: dict[str, Any] = {"dag_run_id": run}
        if self._major > _LINE_2:
            body["logical_date"] = None  # which Airflow 3 demands, and Airflow 2 refuses
        self._call("POST", f"/dags/{_quoted(dag)}/dagRuns", body=body)

    def run_state(self, dag: str, run: str) -> str:
        """`queued`, `running`, `success` or `failed`."""
        return str(self._call("GET", f"/dags/{_quoted(dag)}/dagRuns/{_quoted(run)}")["state"])

    def _pages(self, path: str, member: str, **query: Any) -> dict[str, Any]:
        """A whole list that Airflow gives page by page."""
        found: list[Any] = []
        for _ in range(_MOST_PAGES):
            page = self._call("GET", path, query={**query, "limit": _PAGE, "offset": len(found)})
            found += page[member]
            if len(page[member]) < _PAGE:
                break
        return {member: found}

    def _call(self, method: str, path: str, *, query: Any = None, body: Any = None) -> Any:
        more = {name: value for name, value in (("QueryParameters", query), ("Body", body)) if value is not None}
        try:
            with aws_clients.told():
                answer = self._mwaa.invoke_rest_api(Name=self._environment, Path=path, Method=method, **more)
        except CallerError as error:
            raise _meant(error, f"{method} {path}") from None
        return answer.get("RestApiResponse")


def _meant(error: CallerError, request: str) -> CallerError | RetryError:
    """The error for a refusal of InvokeRestApi: Airflow's own status decides."""
    cause = error.__context__
    about: Any = cause.response if isinstance(cause, ClientError) else {}
    status = about.get("RestApiStatusCode")
    if status is None:
        return error
    if about.get("Error", {}).get("Code") == "RestApiServerException":
        return RetryError(f"Airflow answers {request} with status {status}.")
    answer = about.get("RestApiResponse")
    reason = answer.get("detail", answer) if isinstance(answer, dict) else answer
    kind = NotFoundError if status == _NOT_FOUND else CallerError
    return kind(f"Airflow refuses {request} with status {status}: {reason}")


def _quoted(text: str) -> str:
    return quote(text, safe="")
