"""Wake-ups from the ledger while it is away."""

from pathlib import Path

import pytest

from aerodrome.errors import RetryError
from aerodrome.ledger.notices import Notices


def test_a_ledger_that_is_away_may_be_asked_again(tmp_path: Path) -> None:
    notices = Notices(f"host={tmp_path} dbname=aerodrome")
    for _ in range(2):
        with pytest.raises(RetryError, match="the ledger does not answer"):
            notices.wait(0.01)
