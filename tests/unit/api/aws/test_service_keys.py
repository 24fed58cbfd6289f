from __future__ import annotations

import pytest

from aerodrome.api.aws import service_keys
from aerodrome.api.aws.service_keys import KeptServiceKeys
from aerodrome.model.principals import AccessKey, Granted, Principal, PrincipalKind

NAME = "airflow-env.amazonaws.com"
SERVICE = Principal(
    kind=PrincipalKind.SERVICE, account="0" * 12, arn=NAME, unique_id=NAME, name=NAME, environment="one"
)
KNOWN = "AKIAAERODROMEAAAAAAA"


class Asked:
    """IAM that counts how often it is asked."""

    def __init__(self) -> None:
        self.keys = {KNOWN: AccessKey(access_key_id=KNOWN, sealed_secret=b"", principal=SERVICE, active=True)}
        self.asked: list[str] = []
        self.now = 0.0

    def access_key(self, access_key_id):
        self.asked.append(access_key_id)
        return self.keys.get(access_key_id)

    def granted(self, principal):
        self.asked.append(principal.environment)
        return Granted(identity=())


@pytest.fixture
def asked():
    return Asked()


@pytest.fixture
def kept(asked):
    return KeptServiceKeys(asked, monotonic=lambda: asked.now)


@pytest.mark.parametrize("key", [KNOWN, "AKIAAERODROMEBBBBBBB"])
def test_a_service_key_is_looked_up_once_in_a_while(asked, kept, key):
    assert [kept.access_key(key) for _ in range(3)] == [asked.keys.get(key)] * 3
    assert asked.asked == [key]
    asked.now = service_keys.KEPT
    asked.keys.clear()
    assert kept.access_key(key) is None
    assert asked.asked == [key, key]


def test_whether_its_environment_exists_is_asked_once_in_a_while(asked, kept):
    assert kept.granted(SERVICE) == kept.granted(SERVICE) == Granted(identity=())
    assert asked.asked == ["one"]


@pytest.mark.parametrize("key", ["AKIAUSER", service_keys.CONTROL_PLANE])
def test_other_keys_are_asked_for_each_time(asked, kept, key):
    assert [kept.access_key(key), kept.access_key(key)] == [None, None]
    assert asked.asked == [key, key]


def test_what_is_kept_is_bounded_and_unknown_keys_push_no_known_one_out(asked, kept, monkeypatch):
    monkeypatch.setattr(service_keys, "MOST", 2)
    kept.access_key(KNOWN)
    unknown = [f"AKIAAERODROMEBBBBBB{letter}" for letter in "ABC"]
    for key in unknown:
        kept.access_key(key)
    asked.asked.clear()
    for key in (KNOWN, *reversed(unknown)):
        kept.access_key(key)
    assert asked.asked == [unknown[0]]
