"""An environment's processes end with it, also those that fork faster than anybody lists them."""

import os
import select
import subprocess
import sys

import pytest

import uids
from aerodrome.backends.local import leftovers
from aerodrome.unix_users import UnixUser

UID = uids.block()

CHAIN = f"""
import os, time
os.setgid({UID})
os.setuid({UID})
end = time.monotonic() + 60
os.write(1, b"x")
while time.monotonic() < end:
    if os.fork():
        os._exit(0)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_a_chain_of_forks_does_not_outlive_its_environment():
    reader, writer = os.pipe()  # which is at its end when the last of them is gone
    command = [sys.executable, "-I", "-S", "-c", CHAIN]
    for _ in range(3):
        subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL, stdout=writer).wait()
    os.close(writer)
    try:
        assert os.read(reader, 3)
        leftovers.end([], UnixUser(UID, UID))
        while select.select([reader], [], [], 10)[0]:
            if not os.read(reader, 3):
                return
        raise AssertionError("somebody is left")
    finally:
        os.close(reader)
