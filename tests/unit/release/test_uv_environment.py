"""What of a person's environment reaches uv."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.release import uv_environment
from aerodrome.release.uv_environment import PipSettings, for_pip, pip_settings, scrubbed

NOTHING = PipSettings()


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=5)))
def test_an_unknown_variable_never_passes(environ):
    hostile = {f"AERODROME_{name}": value for name, value in environ.items()}
    assert scrubbed(hostile, NOTHING) == {}


def test_what_would_slow_or_sway_an_installation_is_dropped():
    environ = dict.fromkeys(
        ["PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "VIRTUAL_ENV", "UV_EXCLUDE_NEWER", "UV_SYSTEM_PYTHON", "LD_PRELOAD"],
        "1",
    )
    assert scrubbed(environ, NOTHING) == {}


def test_proxies_certificates_indexes_and_their_credentials_pass():
    environ = {
        "HTTPS_PROXY": "http://proxy:1",
        "SSL_CERT_FILE": "/etc/ca.pem",
        "UV_INDEX_HOUSE_USERNAME": "u",
        "UV_INDEX_HOUSE_PASSWORD": "p",
        "UV_CACHE_DIR": "/cache",
    }
    assert scrubbed(environ, NOTHING) == environ


def test_the_index_of_pip_is_used_unless_uv_has_one():
    pip = PipSettings(index_url="https://mirror/simple", cert="/pip.pem")
    assert scrubbed({}, pip) == {"UV_DEFAULT_INDEX": "https://mirror/simple", "SSL_CERT_FILE": "/pip.pem"}
    own = {"UV_INDEX_URL": "https://own/simple", "SSL_CERT_FILE": "/own.pem"}
    assert scrubbed(own, pip) == own


def test_the_variable_of_pip_wins_over_its_files(tmp_path):
    (tmp_path / ".pip").mkdir()
    (tmp_path / ".pip" / "pip.conf").write_text("[global]\nindex-url = https://file/simple\ncert = /file.pem\n")
    environ = {"HOME": str(tmp_path), "PIP_INDEX_URL": "https://variable/simple"}
    assert pip_settings(environ) == PipSettings("https://variable/simple", "/file.pem")


def test_a_named_file_wins_and_its_install_section_first(tmp_path):
    (tmp_path / ".config" / "pip").mkdir(parents=True)
    (tmp_path / ".config" / "pip" / "pip.conf").write_text("[global]\nindex-url = https://home/simple\ncert = /c.pem\n")
    named = tmp_path / "pip.conf"
    named.write_text("[global]\nindex-url = https://a/simple\n[install]\nindex-url = https://b/%s\n")
    environ = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(named)}
    assert pip_settings(environ) == PipSettings("https://b/%s", "/c.pem")


def test_a_broken_file_holds_no_setting(tmp_path):
    (tmp_path / "pip.conf").write_bytes(b"\xff\xfe[[[not ini")
    environ = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PIP_CERT": "/c"}
    assert pip_settings(environ).index_url is None


def test_a_script_s_own_pip_finds_the_index_and_sees_no_credentials():
    environ = {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_INDEX_URL": "https://me:secret@index.example/simple",
        "PIP_FIND_LINKS": "/wheels https://me:secret@links.example/a",
        "HTTPS_PROXY": "http://me:secret@proxy.example:3128",
        "HTTP_PROXY": "me:secret@proxy.example",
        "AERODROME_SECRET": "sesame",
    }
    found = for_pip(environ)
    found.pop("PIP_CERT", None)  # the machine's own pip.conf may name one
    assert found == {
        "PIP_INDEX_URL": "https://index.example/simple",
        "PIP_FIND_LINKS": "/wheels https://links.example/a",
        "HTTPS_PROXY": "http://proxy.example:3128",
    }
    plain = {**environ, "PIP_INDEX_URL": "https://index.example/simple"}
    assert for_pip(plain)["PIP_INDEX_URL"] == "https://index.example/simple"


UV_TOML = """
keyring-provider = "subprocess"
index-url = "https://ada:secret@one.example/simple"
extra-index-url = ["https://two.example/simple"]
native-tls = true
cache-dir = "/var/cache/uv"

[[index]]
name = "mirror"
url = "https://three.example/simple"
default = true
credentials = "secret"

[[index]]
name = "private"
url = "https://ada:secret@four.example/simple"

[[index]]
url = "https://five.example/simple?token=secret"
"""


def test_a_package_that_is_built_sees_the_machine_s_indexes_without_credentials(tmp_path):
    (tmp_path / "uv.toml").write_text(UV_TOML)
    environ = {"UV_CONFIG_FILE": str(tmp_path / "uv.toml")}
    assert tomllib.loads(uv_environment.settings(environ, indexes=True)) == {
        "index-url": "https://one.example/simple",
        "extra-index-url": ["https://two.example/simple"],
        "native-tls": True,
        "index": [
            {"name": "mirror", "url": "https://three.example/simple", "default": True},
            {"name": "private", "url": "https://four.example/simple"},
            {"url": "https://five.example/simple"},
        ],
    }
    assert uv_environment.withholds(environ, indexes=True)
    assert not uv_environment.withholds(environ, indexes=False)
    assert tomllib.loads(uv_environment.settings(environ, indexes=False)) == {"native-tls": True}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://ada:se@cret@one.example/simple", "https://one.example/simple"),
        (" HTTPS:/ada:secret@one.example", "HTTPS:/one.example"),
        ("https:token@one.example", "https:one.example"),
        ("https://one.example/simple?a=secret#b", "https://one.example/simple"),
        ("https://one.example/@team/simple", "https://one.example/@team/simple"),
        ("/wheels@home", "/wheels@home"),
    ],
)
def test_an_address_is_shown_without_what_may_be_credentials(tmp_path, url, shown):
    (tmp_path / "uv.toml").write_text(f'index-url = "{url}"\nfind-links = ["{url}"]')
    environ = {"UV_CONFIG_FILE": str(tmp_path / "uv.toml")}
    assert tomllib.loads(uv_environment.settings(environ, indexes=True)) == {"index-url": shown, "find-links": [shown]}
    assert uv_environment.withholds(environ, indexes=True) is (url != shown)


@pytest.mark.parametrize("text", [None, "no TOML [", "index = 3", "[[index]]\nurl = 3"])
def test_settings_that_say_nothing_of_indexes_give_none(tmp_path, text):
    if text is not None:
        (tmp_path / "uv.toml").write_text(text)
    assert tomllib.loads(uv_environment.settings({"UV_CONFIG_FILE": str(tmp_path / "uv.toml")}, indexes=True)) == {}


@pytest.mark.parametrize(
    ("environ", "text", "expected"),
    [
        ({"UV_KEYRING_PROVIDER": "subprocess"}, "", True),
        ({"UV_KEYRING_PROVIDER": "disabled"}, "", False),
        ({}, 'keyring-provider = "subprocess"', True),
        ({}, "", False),
    ],
)
def test_a_keyring_is_seen(tmp_path, environ, text, expected):
    (tmp_path / "uv.toml").write_text(text)
    environ = {**environ, "UV_CONFIG_FILE": str(tmp_path / "uv.toml")}
    assert uv_environment.asks_a_keyring(environ) is expected
