"""An environment as a client reaches it through the gateway; Airflow 1.10 has no REST API, so there is no other way."""

from __future__ import annotations

import base64
import json
import ssl
from http.client import HTTPSConnection
from urllib.parse import urlencode


class Connection(HTTPSConnection):
    """To the gateway, whose host names not every machine's resolver knows."""

    def __init__(self, address, authorities):
        self._name, _, port = address.partition(":")
        self._context = ssl.create_default_context(cafile=authorities)
        super().__init__("127.0.0.1", int(port), timeout=120, context=self._context)
        self.authority = address

    def connect(self):
        super(HTTPSConnection, self).connect()
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self._name)


class Client:
    """Somebody who has the API's endpoint and the gateway's certificate authority, and nothing else."""

    def __init__(self, product, name):
        self.product = product
        self.name = name
        self.address = product.get(name)["WebserverUrl"]

    def ask(self, method, path, *, body=None, **headers):
        connection = Connection(self.address, str(self.product.data / "ca" / "ca.pem"))
        named = {"Host": self.address, **{name.replace("_", "-"): value for name, value in headers.items()}}
        try:
            connection.request(method, path, body=body, headers=named)
            response = connection.getresponse()
            return response.status, response.headers, response.read().decode()
        finally:
            connection.close()

    def log_in(self):
        """The Cookie header of a new session."""
        token = self.product.mwaa.create_web_login_token(Name=self.name)["WebToken"]
        kind = "application/x-www-form-urlencoded"
        status, headers, text = self.ask("POST", "/aws_mwaa/login", body=urlencode({"token": token}), Content_Type=kind)
        assert status == 200, text
        return headers["set-cookie"].partition(";")[0]

    def command(self, text):
        """Status, stdout and stderr of a command."""
        token = self.product.mwaa.create_cli_token(Name=self.name)["CliToken"]
        status, _, body = self.ask(
            "POST", "/aws_mwaa/cli", body=text, Authorization=f"Bearer {token}", Content_Type="text/plain"
        )
        document = json.loads(body)
        decoded = [base64.b64decode(document.get(stream, "")).decode() for stream in ("stdout", "stderr")]
        return status, *decoded, document
