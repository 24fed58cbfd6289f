"""Airflow's REST API, reached through MWAA's InvokeRestApi; the differences between Airflow 2 and 3 end here.

InvokeRestApi takes paths of at most 64 characters (botocore's model), so run ids are short: `r1`, `r2`, …
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import boto3
from botocore.exceptions import ClientError

from . import failure, waiting

DAG = "movielens"

PATH_LIMIT = 64
"""Characters (botocore's model, RestApiPath)."""

LISTED_SECONDS = 120
"""How long the DAG may take from the bucket into Airflow; it takes about two."""

TROUBLED_SECONDS = 30
"""How long a web server may answer with errors of its own before we give up."""

RUN_IDS = 50
"""How many run ids to try; one is taken only when somebody else started a run in the same moment."""

NOT_FOUND, CONFLICT = 404, 409

Method = Literal["GET", "POST", "PATCH"]


class RefusedError(failure.QuickstartError):
    """Airflow answered with a status of 4xx."""

    def __init__(self, request: str, status: int, answer: Any) -> None:
        reason = answer.get("detail", answer) if isinstance(answer, dict) else answer
        super().__init__(f"Airflow refused {request} with status {status}: {reason}")
        self.status = status


class Airflow:
    """The Airflow of one environment; `major` is 2 or 3."""

    def __init__(self, environment: str, major: int) -> None:
        self._environment = environment
        self._major = major
        self._mwaa = boto3.client("mwaa")

    def wait_for_dag(self) -> None:
        """Wait until Airflow lists the DAG; fails at once when Airflow could not import it."""
        try:
            waiting.until(self._listed, seconds=LISTED_SECONDS, every=0.25)
        except TimeoutError:
            raise failure.QuickstartError(
                f"Airflow does not list the DAG {DAG} after {LISTED_SECONDS} s, and reports no import error"
            ) from None

    def connect(self, connection_id: str, database: dict[str, Any]) -> None:
        """Make or renew the Airflow connection through which tasks reach the warehouse."""
        body = connection_body(connection_id, database)
        try:
            self._call("POST", "/connections", body=body)
        except RefusedError as refused:
            if refused.status != CONFLICT:
                raise
            self._call("PATCH", f"/connections/{connection_id}", body=body)

    def trigger(self, conf: dict[str, str]) -> str:
        """Unpause the DAG and start a run; gives the run's id."""
        self._call("PATCH", f"/dags/{DAG}", body={"is_paused": False})
        known = int(self._get(f"/dags/{DAG}/dagRuns", query={"limit": 1})["total_entries"])
        for number in range(known + 1, known + 1 + RUN_IDS):
            try:
                self._call("POST", f"/dags/{DAG}/dagRuns", body=run_body(f"r{number}", conf, self._major))
            except RefusedError as refused:
                if refused.status != CONFLICT:
                    raise
            else:
                return f"r{number}"
        raise failure.QuickstartError(f"no free run id among {RUN_IDS} tried")

    def run_state(self, run_id: str) -> str:
        """Give `queued`, `running`, `success` or `failed`."""
        return str(self._get(f"/dags/{DAG}/dagRuns/{run_id}")["state"])

    def task_instances(self, run_id: str) -> list[dict[str, Any]]:
        """Give the run's tasks as Airflow shows them."""
        return list(self._get(f"/dags/{DAG}/dagRuns/{run_id}/taskInstances")["task_instances"])

    def xcom(self, run_id: str, task_id: str, key: str) -> Any:
        """Give what a task returned under `key`."""
        path = f"/dags/{DAG}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        return plain(self._get(path, query={"stringify": "false"})["value"])

    def _listed(self) -> bool | None:
        try:
            self._get(f"/dags/{DAG}")
        except RefusedError as refused:
            if refused.status != NOT_FOUND:
                raise
            self._raise_import_error()
            return None
        return True

    def _raise_import_error(self) -> None:
        for error in self._get("/importErrors")["import_errors"]:
            if error["filename"].endswith(f"{DAG}.py"):
                last = error["stack_trace"].strip().splitlines()[-1]
                raise failure.QuickstartError(f"Airflow cannot import the DAG: {last}", look="dags/movielens.py")

    def _get(self, path: str, query: Any = None) -> Any:
        """Read, with patience for a web server that is being restarted."""
        try:
            return waiting.until(lambda: self._try_get(path, query), seconds=TROUBLED_SECONDS, every=1)
        except TimeoutError:
            raise failure.QuickstartError(f"Airflow answers nothing but server errors to GET {path}") from None

    def _try_get(self, path: str, query: Any) -> Any:
        try:
            return self._call("GET", path, query=query)
        except ClientError as error:
            if error.response["Error"]["Code"] != "RestApiServerException":
                raise
            return None

    def _call(self, method: Method, path: str, *, body: Any = None, query: Any = None) -> Any:
        if len(path) > PATH_LIMIT:
            raise failure.QuickstartError(f"InvokeRestApi takes paths of {PATH_LIMIT} characters, not {path}")
        documents = {name: value for name, value in (("Body", body), ("QueryParameters", query)) if value is not None}
        try:
            answer = self._mwaa.invoke_rest_api(Name=self._environment, Path=path, Method=method, **documents)
        except ClientError as error:
            if error.response["Error"]["Code"] != "RestApiClientException":
                raise
            members: Mapping[str, Any] = {**error.response}  # this error's own members lie beside `Error`
            status, reason = members["RestApiStatusCode"], members.get("RestApiResponse")
            raise RefusedError(f"{method} {path}", status, reason) from error
        return answer.get("RestApiResponse")


def run_body(run_id: str, conf: dict[str, str], major: int) -> dict[str, Any]:
    """Give the body that starts a run. Airflow 3 demands a logical date and takes null; Airflow 2 refuses null."""
    body: dict[str, Any] = {"dag_run_id": run_id, "conf": conf}
    return body if major < 3 else {**body, "logical_date": None}


def connection_body(connection_id: str, database: dict[str, Any]) -> dict[str, Any]:
    """Give the Airflow connection to a database; its host may be the folder of a unix socket."""
    return {
        "connection_id": connection_id,
        "conn_type": "postgres",
        "host": database["host"],
        "port": database["port"],
        "schema": database["database"],
        "login": database["user"],
        "password": database["password"],
    }


def plain(value: Any) -> Any:
    """Undo the JSON text that some versions wrap around an XCom's value."""
    return json.loads(value) if isinstance(value, str) and value[:1] in "[{" else value
