"""Settings and the layout of the data folder."""

from __future__ import annotations

import pytest

from aerodrome.backends.local import paths as local_paths
from aerodrome.settings import SOCKET_PATH_LIMIT, Paths, Settings


def test_settings_survive_their_variables(monkeypatch, tmp_path):
    settings = Settings(data=tmp_path, port=0, region="eu-west-1", redis_url="redis://localhost/0")
    for name, value in settings.variables().items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


@pytest.mark.parametrize("length", [1, 40, 80, 200])
def test_socket_paths_stay_short_however_long_the_data_folder_is(tmp_path, length):
    paths = local_paths.of(Paths(tmp_path / ("x" * length)), "n" * 80, "0123abcd")
    cells = (paths.services.socket, paths.cell(99999).socket)
    of_multiprocessing = paths.temporary / "pymp-12345678" / "listener-12345678"
    for socket in (*cells, paths.web_socket(99999), paths.web, paths.redis_socket, of_multiprocessing):
        assert len(str(socket).encode()) <= SOCKET_PATH_LIMIT


def test_two_data_folders_never_share_a_run_folder(tmp_path):
    long = "x" * 120
    assert Paths(tmp_path / long / "a").run != Paths(tmp_path / long / "b").run


def test_what_steers_the_cell_is_not_where_units_write(tmp_path):
    paths = local_paths.of(Paths(tmp_path), "one", "0123abcd")
    for steering in (paths.services.socket, paths.cell(1).config, paths.web, paths.key_set):
        assert paths.unit_sockets not in steering.parents
    assert paths.logs not in paths.unit_logs.parents
