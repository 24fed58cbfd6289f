"""What somebody with a CLI token learns of the machine: nothing."""

from __future__ import annotations

import json

import pytest

from aerodrome.backends.local import cell_client, commands
from aerodrome.backends.local.paths import EnvironmentPaths
from aerodrome.errors import RetryError

WEB = {"name": "web", "argv": ["/boot.py", "web"], "env": {}, "cwd": "/", "umask": 63, "uid": None, "gid": None}


def test_a_refusal_of_the_cells_keeps_paths_and_reasons_to_itself(tmp_path, monkeypatch):
    paths = EnvironmentPaths(tmp_path / "home", tmp_path)
    paths.services.config.write_text(json.dumps({"units": [WEB]}))

    def refuse(path, request, *, seconds):
        raise RetryError(f"refused at {path}: cannot open {request['stdout']} within {seconds} s")

    monkeypatch.setattr(cell_client, "ask", refuse)
    with pytest.raises(RetryError) as told:
        commands.run(paths, paths.services, ["version"], timeout=1.0)

    assert str(tmp_path) not in str(told.value)
    assert "refused" not in str(told.value)
