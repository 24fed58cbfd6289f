"""The script of every Airflow unit: `boot.py <role> [arguments]`.

The cell runs it in a fork of its warm process (or anybody by exec). It makes both cases equal and hands over to
`aerodrome_unit`. It must not import Airflow before the role is ready for that.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time

# In the interpreter's own packages (`release/interpreter_hook`).
import aerodrome_path


def settle() -> None:
    """Apply what an interpreter reads from its environment only when it starts."""
    here = os.path.dirname(os.path.abspath(__file__))
    if here not in sys.path:
        sys.path.insert(0, here)
    aerodrome_path.apply()
    time.tzset()
    # A module that was imported before the fork may have asked for it already.
    tempfile.tempdir = None
    # It says of each client that the environment has told it where AWS is.
    logging.getLogger("botocore.configprovider").setLevel(logging.WARNING)
    # What is installed is compiled already. A DAG file must not be: Python knows its bytecode by size and whole seconds
    # of the modification time, so a second upload within a second could stay unseen for good.
    sys.dont_write_bytecode = True


if __name__ == "__main__":
    settle()
    from aerodrome_unit import roles

    roles.run(sys.argv[1:])
