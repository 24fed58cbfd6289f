"""Airflow's command line as a client of MWAA reaches it: CreateCliToken, then the gateway's `/aws_mwaa/cli`."""

from __future__ import annotations

import base64
import json
import ssl
from http import HTTPStatus
from http.client import HTTPException, HTTPSConnection
from typing import Any

from aerodrome.cli import aws_clients
from aerodrome.cli.dev import airflow_troubles
from aerodrome.cli.dev.airflow_troubles import ImportTrouble
from aerodrome.errors import CallerError, RetryError
from aerodrome.gateway import certificates
from aerodrome.settings import Settings, split_address

LIMIT = 300.0
"""Seconds that a command may take: it imports every DAG file."""

_LINE_2 = 2


class AirflowCli:
    """The command line of one environment."""

    def __init__(self, settings: Settings, mwaa: Any, environment: str) -> None:
        self._settings = settings
        self._mwaa = mwaa
        self._environment = environment

    def import_troubles(self, airflow: str) -> list[ImportTrouble]:
        """Import every DAG file now, with Airflow of this version; returns those that cannot be imported.

        Raises:
            RetryError: the gateway gives no answer.
            CallerError: the command cannot be run, or prints no list.
        """
        major = int(airflow.split(".", maxsplit=1)[0])
        if major < _LINE_2:
            raise CallerError(f"Airflow {airflow} has no command that tries all DAG files: use aerodrome check.")
        # Airflow 3 lists what its database has, unless an option tells it to parse; Airflow 2 always parses.
        local = "" if major == _LINE_2 else " --local"
        printed, said = self.run(f"dags list-import-errors{local} --output json")
        start = printed.find("[")
        try:
            found = json.loads(printed[start:] if start >= 0 else printed)
        except ValueError:
            if "No data found" in printed:
                return []
            raise CallerError(f"Airflow could not try the DAG files: {(said or printed).strip()[-2000:]}") from None
        errors = [{"filename": each["filepath"], "stack_trace": each["error"]} for each in found]
        return airflow_troubles.read_imports({"import_errors": errors})

    def run(self, command: str) -> tuple[str, str]:
        """What a command prints on its two streams, whatever its exit code.

        Raises:
            RetryError: the gateway gives no answer.
            CallerError: the gateway refuses the command.
        """
        with aws_clients.told():
            answer = self._mwaa.create_cli_token(Name=self._environment)
        connection = _GatewayConnection(answer["WebServerHostname"], self._settings)
        headers = {"Authorization": f"Bearer {answer['CliToken']}", "Content-Type": "text/plain"}
        try:
            connection.request("POST", "/aws_mwaa/cli", body=command, headers=headers)
            response = connection.getresponse()
            text = response.read()
        except (OSError, HTTPException) as error:
            raise RetryError(f"The gateway gave no answer ({error}).") from error
        finally:
            connection.close()
        if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise RetryError(f"The gateway answers with status {response.status}.")
        try:
            document = json.loads(text)
            return _stream(document, "stdout"), _stream(document, "stderr")
        except (ValueError, AttributeError, KeyError):
            raise CallerError(f"Airflow refuses `{command}`: {text[:500].decode(errors='replace')}") from None


class _GatewayConnection(HTTPSConnection):
    """Connects to the gateway on this machine by its address: not every resolver knows host names below localhost."""

    def __init__(self, host: str, settings: Settings) -> None:
        name, _, port = host.partition(":")
        self._name = name
        self._context_of_name = ssl.create_default_context()
        if not settings.gateway_certificate:
            self._context_of_name.load_verify_locations(certificates.files(settings.paths).authority)
        address, configured = split_address(settings.gateway_public)
        reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 - told apart, not bound
        super().__init__(reachable, int(port or configured or 443), timeout=LIMIT)
        self._host_header = host

    def connect(self) -> None:
        super(HTTPSConnection, self).connect()
        self.sock = self._context_of_name.wrap_socket(self.sock, server_hostname=self._name)

    def putrequest(self, method: str, url: str, *_: Any, **__: Any) -> None:
        super().putrequest(method, url, skip_host=True)
        self.putheader("Host", self._host_header)


def _stream(document: Any, name: str) -> str:
    return base64.b64decode(document[name]).decode(errors="replace")
