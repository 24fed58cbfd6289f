"""What warm processes are called where everybody reads it."""

from pathlib import Path

from aerodrome.backends.local import warm
from aerodrome.release.installation import Installation
from aerodrome.settings import Settings

SETTINGS = Settings(data=Path("/data"))


def socket_of(release: str) -> str:
    """The name that /proc/net/unix shows to every environment."""
    own = Path("/data/releases") / release / "venv"
    made = Installation(version="3.3.1", folder=Path("/data/versions/3.3.1-abcdef"), lock="f" * 64, own=own)
    argv = warm.describe(SETTINGS, made).argv
    return argv[argv.index("--socket") + 1]


def test_the_name_of_a_socket_does_not_tell_whose_release_it_serves():
    release = "0123456789abcdef" * 4
    shown = Path(socket_of(release)).name
    assert not [at for at in range(len(release) - 5) if release[at : at + 6] in shown]
    assert socket_of(release) == socket_of(release) != socket_of(release[::-1])
