"""Where uv looks for packages while it runs their programs: the same places, and no password in view."""

import os
import threading
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.release import requirements, uv_environment, uv_secrets
from aerodrome.unix_users import UnixUser

ONE, TWO, THREE = (f"https://me:sesame@{name}.example/simple" for name in ("one", "two", "three"))


def told(environ, text="", ours=None):
    wanted = requirements.read(text.encode(), version="3.3.1", python="3.12", files={}.get)
    settings, left = uv_secrets.told(environ, ours or {}, wanted)
    assert "sesame" not in str(left)
    return tomllib.loads(settings), left


@pytest.mark.parametrize(
    ("environ", "text", "indexes"),
    [
        ({}, "", []),
        ({"UV_DEFAULT_INDEX": ONE}, "", [{"url": ONE, "default": True}]),
        ({"UV_INDEX_URL": ONE}, "", [{"url": ONE, "default": True}]),
        ({"UV_DEFAULT_INDEX": ONE, "UV_INDEX_URL": TWO}, "", [{"url": ONE, "default": True}]),
        ({"UV_EXTRA_INDEX_URL": f"{ONE} {TWO}"}, "", [{"url": ONE}, {"url": TWO}]),
        ({"UV_INDEX": f"n={ONE}"}, f"--extra-index-url {TWO}", [{"name": "n", "url": ONE}, {"url": TWO}]),
        ({"UV_INDEX": ONE}, f"-i {TWO}", [{"url": ONE}, {"url": TWO, "default": True}]),
        (
            {"UV_INDEX": "my-own=https://a.example", "UV_INDEX_MY_OWN_USERNAME": "me", "UV_INDEX_MY_OWN_PASSWORD": "@"},
            "",
            [{"name": "my-own", "url": "https://me:%40@a.example"}],
        ),
        (
            {"UV_INDEX": "a=https://me@a.example", "UV_INDEX_A_PASSWORD": "sesame"},
            "",
            [{"name": "a", "url": "https://me:sesame@a.example"}],
        ),
    ],
)
def test_indexes_of_variables_and_requirements_are_told_in_their_order(environ, text, indexes):
    assert told(environ, text)[0].get("index", []) == indexes


def test_the_machine_s_own_file_counts_behind_variables(tmp_path):
    (tmp_path / "uv.toml").write_text(
        f'index-url = "{ONE}"\nextra-index-url = ["{TWO}"]\nnative-tls = true\nkeyring-provider = "subprocess"\n'
    )
    ours = {"UV_CONFIG_FILE": str(tmp_path / "uv.toml")}
    assert told({}, ours=ours)[0] == {"native-tls": True, "index": [{"url": TWO}, {"url": ONE, "default": True}]}
    given = told({"UV_DEFAULT_INDEX": THREE}, ours=ours)[0]["index"]
    assert given == [{"url": TWO}, {"url": THREE, "default": True}]
    assert told({}, "-i https://own.example", ours)[0]["index"] == [{"url": "https://own.example", "default": True}]


def test_links_and_proxies_are_told_where_they_have_a_password():
    plain = {"UV_FIND_LINKS": "/wheels", "HTTPS_PROXY": "http://proxy.example", "NO_PROXY": "a"}
    assert told(plain) == ({}, plain)
    secret = {"UV_FIND_LINKS": f"/wheels,{ONE}", "ALL_PROXY": TWO, "http_proxy": "http://proxy.example"}
    settings, left = told(secret, f"--find-links {THREE}")
    assert settings == {"find-links": ["/wheels", ONE, THREE], "https-proxy": TWO}
    assert left == {"http_proxy": "http://proxy.example"}


@pytest.mark.parametrize("size", [0, 100, 3 * 2**20])
def test_a_text_of_any_length_is_read_once_from_a_pipe(size):
    us = UnixUser(os.getuid(), os.getgid())
    with uv_secrets.piped("é" * size, us) as descriptor, open(descriptor, "rb", closefd=False) as file:
        assert file.read() == ("é" * size).encode()
        assert file.read() == b""


def test_a_text_that_nobody_reads_holds_nothing_up():
    before = threading.active_count()
    with uv_secrets.piped("x" * 3 * 2**20, UnixUser(os.getuid(), os.getgid())):
        pass
    assert threading.active_count() == before


@given(st.dictionaries(st.sampled_from(["index-url", "a"]), st.text() | st.booleans() | st.lists(st.text())))
def test_any_text_is_written_as_toml_reads_it(named):
    written = uv_environment.written(named, [named, {}])
    assert tomllib.loads(written) == {**named, "index": [named, {}]}
