"""The folders of trials: gone when a trial is over, and also after its control plane was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from aerodrome.backends.releases import trials

TRY = """
import sys, tempfile, time
tempfile.tempdir = sys.argv[1]
from aerodrome.backends.releases import trials
with trials.scratch_folder(None) as folder:
    print(folder, flush=True)
    time.sleep(600)
"""


def test_folders_whose_control_plane_was_killed_go_and_no_others(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    command = [sys.executable, "-c", TRY, str(tmp_path)]
    killed, alive = (subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2))
    try:
        left, held = (Path(process.stdout.readline().strip()) for process in (killed, alive))
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        (left / "some" / "thing").mkdir(parents=True)
        (tmp_path / f"{trials.PREFIX}link").symlink_to(held)
        with trials.scratch_folder(None) as folder:
            assert not left.exists()
            assert held.is_dir()
            trials.sweep()
            assert Path(folder).is_dir()
        assert not Path(folder).exists()
    finally:
        for process in (killed, alive):
            process.kill()
            process.communicate()


def test_a_folder_from_before_the_locks_is_left_for_a_day(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    young, old = tmp_path / "aerodrome-trial-young", tmp_path / "aerodrome-trial-old"
    young.mkdir()
    old.mkdir()
    os.utime(old, (time.time() - 25 * 3600,) * 2)
    trials.sweep()
    assert (young.is_dir(), old.exists()) == (True, False)
