"""What the door believes of the emulator's and the log store's answers to its own questions."""

import asyncio
from types import SimpleNamespace

import pytest

from aerodrome import forwarding
from aerodrome.api.aws import passing
from aerodrome.api.aws.passing import EmbeddedLogs, EmbeddedService

GROUP = "arn:aws:logs:r:0:log-group:g"


class Answering:
    """A session of which every request has one answer."""

    def __init__(self, status, *pieces):
        self.status, self.pieces, self.asked = status, pieces, []

    def post(self, url, **given):
        self.asked.append((url, given["data"]))
        return self

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None

    @property
    def content(self):
        async def iter_any():
            for piece in self.pieces:
                yield piece

        return SimpleNamespace(iter_any=iter_any)


def asked(made, status, *pieces):
    made._session = Answering(status, *pieces)
    return made


def ask(status, *pieces):
    return asyncio.run(asked(EmbeddedService("x"), status, *pieces).ask("buckets", {}))


def tags(status, *pieces, arn=GROUP):
    return asyncio.run(asked(EmbeddedLogs("x"), status, *pieces).tags(arn))


def test_an_answer_is_read_whole():
    assert ask(200, b'["a", ', b'"b"]') == ["a", "b"]


@pytest.mark.parametrize(
    ("status", "pieces"),
    [(500, [b"[]"]), (404, [b"null"]), (200, [b"no json"]), (200, [b"[" * 200_000]), (200, [b" " * 2**20] * 10)],
)
def test_an_answer_that_is_none_or_has_no_end_is_not_waited_for(status, pieces):
    with pytest.raises(forwarding.UnansweredError):
        ask(status, *pieces)
    assert sum(map(len, pieces[:5])) > passing.LONGEST_ANSWER or len(pieces) == 1


def test_tags_of_a_group_that_nobody_can_tell_are_not_taken_for_none():
    assert tags(200, b'{"tags": {"team": "data"}}') == {"team": "data"}
    assert tags(200, b'{"tags": {}}', arn=f"{GROUP}:log-stream:s") == {}
    assert tags(400, b'{"__type": "ResourceNotFoundException"}') == {}
    assert tags(400, b'{"__type": "ThrottlingException"}') is None
    assert tags(500, b'{"__type": "ServiceUnavailableException"}') is None
    for unclear in ("*", "arn:aws:logs:r:0:log-group:", "arn:aws:logs:r:0:log-group:a*:log-stream:"):
        assert tags(200, b'{"tags": {"team": "data"}}', arn=unclear) is None
