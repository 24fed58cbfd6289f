"""The door's IAM stays fresh though the ledger goes and comes back."""

from __future__ import annotations

from typing import Any, cast

import pytest

from aerodrome.errors import RetryError
from aerodrome.ledger import iam_watch
from aerodrome.ledger.iam_watch import IamWatch


class Principals:
    def __init__(self, seen: list[str]) -> None:
        self._seen = seen

    def refresh(self) -> None:
        self._seen.append("read")


class Notices:
    """A ledger that goes away during the first wait, is away once more, and is back."""

    def __init__(self, seen: list[str]) -> None:
        self._seen = seen
        self._listens = iter([True, None, True, False])
        self.waits = 0
        self.watch: IamWatch

    def listen(self) -> bool:
        found = next(self._listens)
        self._seen.append("away" if found is None else "listen" if found else "listening")
        if found is None:
            raise RetryError("away")
        return found

    def wait(self, _seconds: float) -> set[str]:
        self._seen.append("wait")
        self.waits += 1
        if self.waits == 1:
            raise RetryError("gone")
        if self.waits == 3:
            self.watch.close()
        return set()


def test_iam_is_read_again_whenever_it_is_listened_to_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iam_watch, "PAUSE", 0.0)
    monkeypatch.setattr(iam_watch, "SPACING", 0.0)
    seen: list[str] = []
    notices = Notices(seen)
    notices.watch = IamWatch(cast("Any", Principals(seen)), cast("Any", notices))
    notices.watch._watch()
    assert seen == [
        "listen", "read", "wait", "read",
        "away", "read",
        "listen", "read", "wait", "read",
        "listening", "wait", "read",
    ]  # fmt: skip
