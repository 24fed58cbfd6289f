"""Wake-ups from the ledger while it is away."""

import socket
from pathlib import Path

import pytest

from aerodrome.errors import RetryError
from aerodrome.ledger import notices as module
from aerodrome.ledger.notices import Notices


def test_a_ledger_that_is_away_may_be_asked_again(tmp_path: Path) -> None:
    notices = Notices(f"host={tmp_path} dbname=aerodrome")
    for _ in range(2):
        with pytest.raises(RetryError, match="the ledger does not answer"):
            notices.wait(0.01)


def test_a_server_that_says_nothing_is_waited_for_no_longer_than_that(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:  # it takes connections, and never a word of them
        address = f"host=127.0.0.1 port={server.getsockname()[1]} dbname=aerodrome"
        with pytest.raises(RetryError):
            Notices(address).listen()
