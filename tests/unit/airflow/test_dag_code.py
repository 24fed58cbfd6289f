"""The companion of a supervisor, as far as it needs neither Airflow nor a process."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from cryptography.fernet import Fernet

from aerodrome.airflow.inside.aerodrome_unit import dag_code


@pytest.mark.parametrize("role", ["dag-processor", "triggerer"])
def test_a_supervisor_without_a_companion_forks_no_dag_code_itself(monkeypatch, role):
    monkeypatch.delenv(dag_code.VARIABLE, raising=False)
    with pytest.raises(SystemExit, match="needs a companion"):
        dag_code.fork_in_companion(role)


def test_triggers_get_their_arguments_without_the_key(monkeypatch):
    fernet = Fernet(Fernet.generate_key())
    monkeypatch.setitem(sys.modules, "airflow.models.crypto", SimpleNamespace(get_fernet=lambda: fernet))
    text = '{"moment": 1}'
    assert dag_code.deciphered(fernet.encrypt(text.encode()).decode()) == text
    assert dag_code.deciphered(text) == text
    # The trigger fails, and no other.
    stranger = Fernet(Fernet.generate_key()).encrypt(b"{}").decode()
    assert dag_code.deciphered(stranger) == stranger


def test_a_companion_that_answers_with_nonsense_ends_the_unit(monkeypatch):
    ended = []
    monkeypatch.setattr(dag_code, "_give_up", ended.append)
    for message in (b"", b"[]", b'{"pid": "x"}', b'{"code": null}', b"\xff"):
        dag_code._whole(message, "pid")
    assert len(ended) == 5
    assert dag_code._whole(b'{"pid": 7}', "pid") == 7
    assert len(ended) == 5
